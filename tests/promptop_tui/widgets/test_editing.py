"""What a good editor does under the hands: whole characters, indentation, lines, switching off, words."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.document._document import Selection

from promptop_tui.widgets.prompt_area.area import PromptArea, word_at

FAMILY = "👨‍👩‍👧‍👦"


class AreaApp(App[None]):
    def __init__(self, text: str, *, is_document: bool = True) -> None:
        super().__init__()
        self._text = text
        self._is_document = is_document

    def compose(self) -> ComposeResult:
        yield PromptArea(self._text, is_document=self._is_document)

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)


@pytest.mark.parametrize("cluster", [FAMILY, "🇩🇪", "e\u0301", "👍🏽", "한", "नि"])
async def test_the_cursor_and_backspace_take_whole_characters(cluster: str) -> None:
    app = AreaApp(f"a{cluster}b")
    async with app.run_test() as pilot:
        area = app.area
        await pilot.press("right", "right")
        assert area.selection.end == (0, 1 + len(cluster))
        await pilot.press("left")
        assert area.selection.end == (0, 1)
        await pilot.press("right", "backspace")
        assert area.text == "ab"
        await pilot.press("ctrl+z", "left", "delete")
        assert area.text == "ab"


async def test_a_click_and_the_arrows_never_land_inside_a_character() -> None:
    app = AreaApp(f"{FAMILY}{FAMILY}x\n1234567")
    async with app.run_test() as pilot:
        area = app.area
        for column in range(7):
            area.selection = Selection.cursor((1, column))
            area.record_cursor_width()
            await pilot.press("up")
            assert area.selection.end[1] in (0, len(FAMILY), 2 * len(FAMILY), 2 * len(FAMILY) + 1)


async def test_enter_keeps_the_margin_and_tab_makes_one() -> None:
    app = AreaApp("  - one")
    async with app.run_test() as pilot:
        area = app.area
        await pilot.press("end", "enter", "x")
        assert area.text == "  - one\n  x"
        await pilot.press("ctrl+home", "ctrl+shift+end", "tab")
        assert area.text == "    - one\n    x"
        await pilot.press("shift+tab", "shift+tab", "shift+tab")
        assert area.text == "- one\nx"
        await pilot.press("ctrl+z", "ctrl+z")
        assert area.text == "    - one\n    x"


async def test_a_field_of_a_form_leaves_with_tab_and_a_document_with_escape() -> None:
    for is_document, key in ((False, "tab"), (True, "escape")):
        app = AreaApp("a", is_document=is_document)
        async with app.run_test() as pilot:
            other = PromptArea("b")
            await app.mount(other)
            app.area.focus()
            await pilot.press(key)
            assert app.focused is other
            assert app.area.text == "a"


async def test_lines_are_moved_and_repeated_in_one_step() -> None:
    app = AreaApp("one\ntwo\nthree")
    async with app.run_test() as pilot:
        area = app.area
        await pilot.press("alt+down")
        assert area.text == "two\none\nthree"
        await pilot.press("alt+down", "alt+down")
        assert area.text == "two\nthree\none"
        assert area.selection.end[0] == 2
        await pilot.press("alt+up", "alt+d")
        assert area.text == "two\none\none\nthree"
        assert area.selection.end[0] == 2
        await pilot.press("ctrl+z", "ctrl+z", "ctrl+z", "ctrl+z")
        assert area.text == "one\ntwo\nthree"


async def test_lines_are_switched_off_and_on() -> None:
    app = AreaApp("keep\noff 1\noff 2\nkeep")
    async with app.run_test() as pilot:
        area = app.area
        area.selection = Selection((1, 0), (2, 3))
        await pilot.press("ctrl+underscore")
        off = "keep\n{{!-- off\noff 1\noff 2\n--}}\nkeep"
        assert area.text == off
        assert area.selected_text == "off 1\noff"
        await pilot.press("ctrl+underscore")
        assert area.text == "keep\noff 1\noff 2\nkeep"
        await pilot.press("ctrl+z")
        assert area.text == off
        area.selection = Selection((0, 0), (5, 4))
        await pilot.press("ctrl+underscore")
        assert area.text == "{{!-- off\nkeep\noff 1\noff 2\nkeep\n--}}"


@pytest.mark.parametrize(
    ("line", "column", "word"),
    [
        ("say hello, you", 5, "hello"),
        ("say hello", 9, "hello"),
        ("a  b", 1, "  "),
        ("请总结。好", 1, "请总结"),
        ("", 0, ""),
    ],
)
def test_a_word_is_what_a_double_click_takes(line: str, column: int, word: str) -> None:
    start, end = word_at(line, column)
    assert line[start:end] == word


async def test_a_double_click_selects_a_word_and_a_third_the_line() -> None:
    app = AreaApp("say hello, you")
    async with app.run_test() as pilot:
        left = app.area.gutter_width
        await pilot.click(PromptArea, offset=(left + 5, 0), times=2)
        assert app.area.selected_text == "hello"
        await pilot.click(PromptArea, offset=(left + 5, 0), times=3)
        assert app.area.selected_text == "say hello, you"


async def test_select_all_top_and_bottom() -> None:
    app = AreaApp("one\ntwo\nthree")
    async with app.run_test() as pilot:
        await pilot.press("ctrl+end")
        assert app.area.selection.end == (2, 5)
        await pilot.press("ctrl+home")
        assert app.area.selection.end == (0, 0)
        await pilot.press("alt+a")
        assert app.area.selected_text == "one\ntwo\nthree"


async def test_undo_goes_on_in_another_session() -> None:
    app = AreaApp("")
    async with app.run_test() as pilot:
        await pilot.press(*"one", "enter", *"two", "ctrl+z")
        text, undo, redo = app.area.text, *app.area.undo_steps()
    app = AreaApp(text)
    async with app.run_test() as pilot:
        app.area.restore_undo(undo, redo)
        await pilot.press("ctrl+y")
        assert app.area.text == "one\ntwo"
        await pilot.press("ctrl+z", "ctrl+z", "ctrl+z")
        assert app.area.text == ""


async def test_in_a_file_that_mixes_line_ends_each_line_keeps_its_own() -> None:
    app = AreaApp("one\r\ntwo\nthree\r\n")
    async with app.run_test() as pilot:
        await pilot.press("end", "x", "enter", "y")
        assert app.area.text == "onex\r\ny\r\ntwo\nthree\r\n"
        await pilot.press("down", "end", "z", "down", "end", "!")
        assert app.area.text == "onex\r\ny\r\ntwoz\nthree!\r\n"
