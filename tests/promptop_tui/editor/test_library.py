"""The library by keys: save versions, find them, compare, take one, undo."""

from __future__ import annotations

from tests.promptop_tui.editor.conftest import Open
from textual.widgets import Input, OptionList

from promptop.prompts.library import Library
from promptop.tokens import encoding


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
        told = app.screen.query_one("#library-told")
        await running.until(lambda: "draft is empty" in str(told.render()))
        app.screen.query_one("#library-find", Input).value = "nothing here"
        await running.until(lambda: "Nothing of that name" in str(says.render()))


async def test_two_versions_are_compared_and_a_prompt_is_renamed_and_removed(editor: Open) -> None:
    library = Library()
    library.save("tea", "green tea leaves", now_ms=1)
    library.save("tea", "black tea leaves", now_ms=2)
    library.save("coffee", "beans", now_ms=3)
    async with editor(counts=True) as running:
        await running.until(lambda: running.pane.counts.live.is_current)
        await running.pilot.press("ctrl+l")
        await running.until(lambda: running.app.screen.query("#library-names"))
        screen = running.app.screen
        screen.query_one("#library-find", Input).value = "tea"
        names = screen.query_one("#library-names", OptionList)
        versions = screen.query_one("#library-versions", OptionList)
        await running.until(lambda: names.option_count == 1 and versions.option_count == 2)
        says, told = screen.query_one("#library-changes"), screen.query_one("#library-told")
        await running.pilot.press("enter", "enter")
        await running.until(lambda: "black tea" in str(says.render()))
        await running.pilot.press("f6")
        await running.until(lambda: "compared with tea v2" in str(told.render()))
        await running.pilot.press("down")
        await running.until(lambda: "tea v2 → tea v1" in str(says.render()) and "− black tea" in str(says.render()))
        figures = screen.query_one("#library-figures")
        count = encoding("o200k_base").encode_ordinary
        before, after = len(count("black tea leaves")), len(count("green tea leaves"))
        await running.until(lambda: f"gpt-4o  ={before} → ={after} tokens" in str(figures.render()))
        assert "/call" in str(figures.render())
        await running.pilot.press("f7")
        screen.query_one("#library-find", Input).value = "coffee"
        await running.pilot.press("enter")
        await running.until(lambda: "already" in str(told.render()))
        await running.until(lambda: names.option_count >= 1)
        await running.pilot.press("f7")
        renamed = screen._renaming  # type: ignore[attr-defined]
        screen.query_one("#library-find", Input).value = "new name"
        await running.pilot.press("enter")
        await running.until(lambda: Library().versions("new name"))
        assert not Library().versions(renamed)
        # The list of before has one line too: it is the new name that must stand there.
        await running.until(lambda: names.option_count == 1 and "new name" in str(names.get_option_at_index(0).prompt))
        await running.until(lambda: versions.option_count == 2)
        await running.pilot.press("f8")
        await running.until(lambda: "F8 again" in str(told.render()))
        assert Library().versions("new name")
        await running.pilot.press("f8")
        await running.until(lambda: not Library().versions("new name"))
    assert [entry.name for entry in Library().entries()] == ["coffee"]
