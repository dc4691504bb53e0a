"""The library by keys: save versions, find them, compare, take one, undo."""

from __future__ import annotations

from textual.widgets import Input, OptionList

from promptop.prompts.library import Library

from .conftest import Open


async def test_versions_are_saved_found_compared_and_taken(editor: Open) -> None:
    async with editor() as running:
        app = running.app
        await running.pilot.press(*"one", "ctrl+l")
        await running.until(lambda: app.screen.query("#library-find"))
        await running.pilot.press(*"tea", "space", "#", *"hot", "f9")
        await running.until(lambda: "Saved as tea v1" in running.notices)
        await running.pilot.press("escape", "end", *" two", "ctrl+l")
        await running.until(lambda: app.screen.query("#library-names"))
        names = app.screen.query_one("#library-names", OptionList)
        await running.until(lambda: names.option_count == 1)
        await running.pilot.press("f9")  # no name typed: the highlighted one
        await running.until(lambda: "Saved as tea v2" in running.notices)
        versions = app.screen.query_one("#library-versions", OptionList)
        await running.until(lambda: versions.option_count == 2)
        await running.pilot.press("enter", "enter", "down")
        changes = app.screen.query_one("#library-changes")
        await running.until(lambda: "− one two" in str(changes.render()))
        await running.pilot.press("enter")
        await running.until(lambda: running.text == "one")
        assert "tea v1" in running.status
        await running.pilot.press("ctrl+z")
        assert running.text == "one two"
    entry = Library().entries("hot")[0]
    assert (entry.name, entry.versions, entry.tags) == ("tea", 2, ("hot",))


async def test_an_empty_library_says_what_to_do(editor: Open) -> None:
    async with editor(size=(80, 24)) as running:
        app = running.app
        await running.pilot.press("ctrl+l")
        await running.until(lambda: app.screen.query("#library-changes"))
        says = app.screen.query_one("#library-changes")
        await running.until(lambda: "F9" in str(says.render()))
        await running.pilot.press("f9")
        await running.until(lambda: "draft is empty" in str(says.render()))
        app.screen.query_one("#library-find", Input).value = "nothing here"
        await running.until(lambda: "Nothing of that name" in str(says.render()))
