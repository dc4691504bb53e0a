"""Find and replace by keys, and going to a line."""

from __future__ import annotations

import pytest

from promptop.base.errors import PromptopError
from promptop_tui.editor.controllers.go_to import place, wrong
from promptop_tui.widgets.prompt_area.search import SearchQuery, find, replaced

from .conftest import Open, Running

TEXT = "Cat and cat.\nA catalogue.\n猫 cat 猫\n"


def said(running: Running) -> str:
    return str(running.pane.find_bar.said.render())


async def found(running: Running, keys: str) -> str:
    running.pane.area.edit_whole(TEXT)
    running.pane.area.go_to(0)
    await running.pilot.press("ctrl+f", "ctrl+u", *keys)
    await running.pilot.pause()
    return said(running)


async def test_matches_are_found_walked_through_and_replaced(editor: Open) -> None:
    async with editor() as running:
        await _walked_through(running)
        await _replaced_one_and_all(running)
        await _in_a_selection(running)
        await _by_regular_expression(running)
        await _gone_to(running)


async def _walked_through(running: Running) -> None:
    area = running.pane.area
    assert await found(running, "cat") == "1 of 4"
    assert area.selected_text == "Cat"
    for at in ("2 of 4", "3 of 4", "4 of 4", "1 of 4"):
        await running.pilot.press("enter")
        assert said(running) == at
    await running.pilot.press("up")
    assert area.selection.end == (2, 5)
    await running.pilot.press("alt+c")
    assert said(running).endswith("of 3")
    await running.pilot.press("escape")
    assert running.app.focused is area
    assert area.selected_text == "cat"
    assert running.text == TEXT
    await running.pilot.press("ctrl+f", "ctrl+u", *"dog")
    assert said(running) == "no match"
    await running.pilot.press("alt+c", "escape")


async def _replaced_one_and_all(running: Running) -> None:
    await found(running, "cat")
    await running.pilot.press("tab", "tab", "tab", "tab", *"dog", "enter")
    assert running.text == TEXT.replace("Cat", "dog", 1)
    assert said(running) == "1 of 3"
    assert running.pane.area.selection.start == (0, 8)
    await running.pilot.press("alt+a")
    assert running.text == "dog and dog.\nA dogalogue.\n猫 dog 猫\n"
    assert said(running) == "3 replaced"
    await running.pilot.press("escape", "ctrl+z")
    assert running.text == TEXT.replace("Cat", "dog", 1)
    await running.pilot.press("ctrl+z")
    assert running.text == TEXT


async def _in_a_selection(running: Running) -> None:
    """A selection of lines bounds the search, and grows with what is put in."""
    area = running.pane.area
    area.edit_whole(TEXT)
    area.go_to(1)
    await running.pilot.press("shift+down", "shift+end", "ctrl+f", "ctrl+u", *"cat")
    assert said(running) == "1 of 2"
    await running.pilot.press("tab", "tab", "tab", "tab", "ctrl+u", *"feline", "enter", "enter")
    assert running.text == "Cat and cat.\nA felinealogue.\n猫 feline 猫\n"
    await running.pilot.press("escape")


async def _by_regular_expression(running: Running) -> None:
    await found(running, "(c)at(a?)")
    await running.pilot.press("alt+r")
    assert said(running) == "1 of 4"
    await running.pilot.press("tab", "tab", "tab", "tab", "ctrl+u", *r"\1ow\2", "alt+a")
    assert running.text == "Cow and cow.\nA cowalogue.\n猫 cow 猫\n"
    await running.pilot.press("shift+tab", "shift+tab", "shift+tab", "shift+tab", "ctrl+u", *"(c")
    assert "Not a regular expression" in said(running)
    await running.pilot.press("escape")


async def _gone_to(running: Running) -> None:
    running.pane.area.edit_whole("\n".join(map(str, range(200))))
    await running.pilot.press("ctrl+g", *"120:2")
    await running.pilot.press("enter")
    await running.until(lambda: running.pane.area.selection.end == (119, 1))
    assert running.app.focused is running.pane.area


def test_a_search_that_would_never_end_is_stopped() -> None:
    with pytest.raises(PromptopError, match="too long"):
        find(SearchQuery("(a|aa)+$", is_regex=True), "a" * 60 + "b")
    with pytest.raises(PromptopError, match="replacement"):
        find(SearchQuery("(a)", is_regex=True), "a", replacement=r"\2")


def test_replacements_make_one_edit() -> None:
    text = "a b a"
    start, end, new = replaced(text, find(SearchQuery("a"), text, replacement="xx").matches)
    assert text[:start] + new + text[end:] == "xx b xx"


def test_places_are_lines_columns_steps_and_shares() -> None:
    assert place("12:3", 0, 99) == (11, 2)
    assert place("-5", 10, 99) == (5, 0)
    assert place("50%", 0, 101) == (50, 0)
    assert wrong("x")
    assert not wrong(" 7 ")
