"""PromptArea against a mirror: exact text, spans that tell every change, wrapping by parts equal to wrapping whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from textual import on
from textual.app import App, ComposeResult

from promptop_tui.widgets.prompt_area.area import PromptArea, short
from promptop_tui.widgets.prompt_area.document import ExactDocument
from promptop_tui.widgets.prompt_area.wrapping import BlockWrappedDocument, wrap_line

FOREIGN = "a\r\nb\u2028c\u0085d\x0be\x0cf\rg\u2029h\x1ci\ufeffj\r\n"
ALPHABET = "abc  de\tf日本，。🙂é\n\r\u2028 ́\u200d\ufe0f\x1b\x9b"


class AreaApp(App[None]):
    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.start_text = text
        self.mirror = text
        self.edits = 0

    def compose(self) -> ComposeResult:
        yield PromptArea(self.start_text)

    @property
    def area(self) -> PromptArea:
        return self.query_one(PromptArea)

    @on(PromptArea.Edited)
    def mirror_edit(self, message: PromptArea.Edited) -> None:
        self.edits += 1
        if message.reset:
            self.mirror = message.area.text
        for span in message.spans:
            end = span.offset + len(span.replaced)
            assert self.mirror[span.offset : end] == span.replaced
            self.mirror = self.mirror[: span.offset] + span.inserted + self.mirror[end:]


def same_as_wrapped_anew(area: PromptArea) -> None:
    anew = BlockWrappedDocument(area.exact, area.wrapping._width, area.wrapping._tab_width)
    assert [list(b) for b in area.wrapping._breaks] == [list(b) for b in anew._breaks]
    assert area.wrapping.height == anew.height == sum(len(b) + 1 for b in anew._breaks)


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_edits_keep_text_spans_and_wrapping(seed: int) -> None:
    app = AreaApp("hello\nworld " * 50)
    async with app.run_test(size=(40, 20)) as pilot:
        area = app.area
        rng = random.Random(seed)

        def place() -> tuple[int, int]:
            line = rng.randrange(area.document.line_count)
            return line, rng.randrange(len(area.document.get_line(line)) + 1)

        def typed() -> None:
            text = "".join(rng.choice(ALPHABET) for _ in range(rng.choice([0, 1, 1, 3, 60, 300])))
            start = place()
            area.replace(text, start, place() if rng.random() < 0.1 else start, maintain_selection_offset=True)

        def deleted() -> None:
            line, column = place()
            area.delete((line, column), (line, column + 3))

        actions: list[Callable[[], object]] = [typed] * 12 + [deleted] * 3 + [area.undo] * 2 + [area.redo]
        actions.append(area.history.checkpoint)
        for step in range(600):
            rng.choice(actions)()
            same_as_wrapped_anew(area)
            if step % 60 == 0:
                area.move_cursor(place())
                await pilot.pause()
                assert app.mirror == area.text
                width = area.scrollable_content_region.width
                assert {area.render_line(y).cell_length for y in range(area.size.height)} <= {width, area.size.width}
        await pilot.pause()
        assert app.mirror == area.text
        assert app.edits > 300


async def test_one_long_line_is_rewrapped_near_the_edit_alone() -> None:
    rng = random.Random(3)
    line = "".join(rng.choice("word 你好，world\t ") for _ in range(4000))
    app = AreaApp(line)
    async with app.run_test(size=(50, 10)):
        area = app.area
        for _ in range(300):
            column = rng.randrange(len(area.document.get_line(0)))
            area.replace(rng.choice(["x", "长", " ", "", "\t", "a long word "]), (0, column), (0, column + 1))
            same_as_wrapped_anew(area)


@pytest.mark.parametrize("text", [FOREIGN, "", "\n", "\r\n\r\n", "one\ntwo\r\nthree\rfour"])
async def test_what_was_opened_comes_back_to_the_byte(text: str) -> None:
    app = AreaApp(text)
    async with app.run_test(size=(60, 10)) as pilot:
        assert app.area.text == text
        app.area.move_cursor(app.area.exact.end)
        await pilot.press("x", "backspace")
        assert app.area.text == text


async def test_control_characters_are_painted_as_pictures() -> None:
    app = AreaApp("\x1b]52;c;ZXZpbA==\x07 \x9b31m \u202etxt \r end")
    async with app.run_test(size=(70, 5)):
        painted = app.area.render_line(0).text
        assert "␛]52;c;ZXZpbA==␇" in painted
        assert not set(painted) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}


async def test_paste_of_many_lines_then_undo_and_redo() -> None:
    app = AreaApp("before\nafter")
    async with app.run_test(size=(60, 10)) as pilot:
        area = app.area
        area.focus()
        area.move_cursor((0, 6))
        from textual import events

        area.post_message(events.Paste("one\rtwo\r\nthree 你好\r" * 30))
        await pilot.pause()
        pasted = area.text
        assert pasted == "before" + "one\ntwo\nthree 你好\n" * 30 + "\nafter"
        await pilot.press("z", "ctrl+z", "ctrl+z")
        assert area.text == "before\nafter"
        same_as_wrapped_anew(area)
        await pilot.press("ctrl+y")
        assert area.text == pasted
        same_as_wrapped_anew(area)
        await pilot.pause()
        assert app.mirror == pasted


async def test_joiners_can_be_typed() -> None:
    app = AreaApp("")
    async with app.run_test(size=(60, 5)) as pilot:
        from textual import events

        app.area.focus()
        app.area.post_message(events.Key("zwj", "\u200d"))
        await pilot.pause()
        assert app.area.text == "\u200d"


async def test_a_whole_replacement_is_one_undo_step() -> None:
    app = AreaApp("first\ndraft")
    async with app.run_test(size=(60, 5)) as pilot:
        app.area.edit_whole("second\n\u2028draft")
        app.area.edit_at(0, 6, "2nd")
        assert app.area.text == "2nd\n\u2028draft"
        app.area.undo()
        assert app.area.text == "second\n\u2028draft"
        app.area.undo()
        await pilot.pause()
        assert app.area.text == app.mirror == "first\ndraft"


async def test_the_gutter_shows_tokens_of_known_lines_and_follows_edits() -> None:
    app = AreaApp("alpha\nbeta\ngamma")
    async with app.run_test(size=(40, 6)) as pilot:
        area = app.area
        area.set_line_tokens(0, [11, 22, 12345])
        assert [area.render_line(y).text.split() for y in range(3)] == [
            ["1", "11", "alpha"],
            ["2", "22", "beta"],
            ["3", "12.3k", "gamma"],
        ]
        area.insert("new\n", (1, 0))
        await pilot.pause()
        assert area.render_line(2).text.split() == ["3", "·", "beta"]
        assert area.render_line(3).text.split() == ["4", "12.3k", "gamma"]
        area.show_tokens = False
        await pilot.pause()
        assert area.render_line(0).text.split() == ["1", "alpha"]


def test_cursor_cells_and_locations_agree() -> None:
    text = "汉字，汉字abc def\tghi 🙂🙂 word " * 6
    document = ExactDocument(text + "\nsecond")
    for width in (10, 17, 33):
        wrapped = BlockWrappedDocument(document, width, 4)
        for row in range(wrapped.height):
            line, section = wrapped.line_at(row)
            start, end = wrapped.row_span(line, section)
            assert wrapped.row_of(line) + section == row
            assert wrapped.cells(document.get_line(line)[start:end].rstrip(" ")) <= width
            for column in range(start, max(start + 1, end)):
                offset = wrapped.location_to_offset((line, column))
                assert offset.y == row
                assert wrapped.offset_to_location(offset) == (line, column)


def test_no_row_begins_with_closing_punctuation() -> None:
    text = "请你帮我总结下面的文章，并且翻译成英文。" * 20
    for width in range(9, 30):
        places = [0, *wrap_line(text, width, 4), len(text)]
        assert all(text[place] not in "，。" for place in places[1:-1])
        assert max(2 * (b - a) for a, b in pairwise(places)) <= width


def test_offsets_and_locations_by_the_anchor() -> None:
    rng = random.Random(5)
    document = ExactDocument("\n".join("x" * rng.randrange(20) for _ in range(200)))
    for _ in range(300):
        text = document.text
        offset = rng.randrange(len(text) + 1)
        row, column = document.location_at(offset)
        assert (row, column) == (text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1))
        assert document.offset_at((row, column)) == offset
        start = document.location_at(rng.randrange(len(text) + 1))
        document.replace_range((row, column), start, rng.choice(["", "a", "b\nc\nd"]))
        assert document.length == len(document.text)


@pytest.mark.parametrize(
    ("number", "label"), [(0, "0"), (9999, "9999"), (12345, "12.3k"), (99_960, "100k"), (9_999_999, "10M")]
)
def test_short_counts_fit_the_gutter(number: int, label: str) -> None:
    assert short(number) == label
    assert len(label) <= 5
