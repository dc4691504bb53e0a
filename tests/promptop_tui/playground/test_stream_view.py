from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.waits import until_shown as until
from textual.app import App, ComposeResult

from promptop_tui.widgets.stream_text import StreamView


class Streaming(App[None]):
    CSS = "StreamView { width: 30; height: 8; overflow-y: scroll; overflow-x: hidden; }"

    def compose(self) -> ComposeResult:
        yield StreamView()

    @property
    def view(self) -> StreamView:
        return self.query_one(StreamView)


def shown(view: StreamView) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


async def test_pieces_are_shown_as_one_text_and_the_end_is_followed() -> None:
    app = Streaming()
    async with app.run_test() as pilot:
        text = "".join(f"line {number} of the answer\n" for number in range(40)) + "the very last token"
        for start in range(0, len(text), 3):
            app.view.feed("text", text[start : start + 3])
        assert app.view.rows == ()
        assert app.view.flush()
        assert not app.view.flush()
        assert "\n".join(row.rstrip() for row in app.view.rows) == text
        await until(pilot, lambda: shown(app.view)[-1] == "the very last token")


async def test_scrolling_up_stops_following_and_the_end_key_resumes() -> None:
    app = Streaming()
    async with app.run_test() as pilot:
        app.view.feed("text", "\n".join(map(str, range(50))))
        app.view.flush()
        await until(pilot, lambda: shown(app.view)[-1] == "49")
        app.view.focus()
        await pilot.press("pageup")
        await until(pilot, lambda: not app.view.following and app.view.scroll_y == app.view.scroll_target_y)
        top = shown(app.view)
        app.view.feed("text", "\nmore\nand more")
        app.view.flush()
        await pilot.pause()
        assert shown(app.view) == top
        await pilot.press("end")
        await until(pilot, lambda: app.view.following)
        await until(pilot, lambda: shown(app.view)[-1] == "and more")


async def test_reasoning_is_folded_and_can_be_unfolded() -> None:
    app = Streaming()
    async with app.run_test() as pilot:
        app.view.feed("reasoning", "first I think ")
        app.view.feed("reasoning", "then I think again, at length")
        app.view.feed("text", "The answer.")
        app.view.flush()
        await pilot.pause()
        assert [row.strip() for row in app.view.rows] == ["▸ reasoning, 43 characters", "The answer."]
        app.view.feed("text", " More.")
        app.view.flush()
        app.view.fold(unfolded=True)
        assert "".join(app.view.rows) == "first I think then I think again, at lengthThe answer. More."
        app.view.fold(unfolded=False)
        assert len(app.view.rows) == 2


async def test_controls_are_pictured_and_a_cut_crlf_is_one_line_break() -> None:
    app = Streaming()
    async with app.run_test():
        app.view.feed("text", "a\r")
        app.view.flush()
        app.view.feed("text", "\nb\x1b]52;c;x\x07\u202e\tc")
        app.view.flush()
        assert app.view.rows[0] == "a"
        assert app.view.rows[1].startswith("b␛]52;c;x␇")
        assert all(char.isprintable() for row in app.view.rows for char in row)


async def test_a_narrower_view_wraps_again_and_still_shows_the_end() -> None:
    app = Streaming()
    async with app.run_test() as pilot:
        app.view.feed("text", "word " * 200 + "end")
        app.view.flush()
        await pilot.pause()
        before = len(app.view.rows)
        app.view.styles.width = 15
        await until(pilot, lambda: len(app.view.rows) > before)
        await until(pilot, lambda: shown(app.view)[-1].endswith("end"))
        app.view.clear()
        assert app.view.rows == ()


@pytest.mark.parametrize("width", [7, 30])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["text", "refusal"]), st.text("ab \n中，", max_size=12)), max_size=12))
def test_appending_piece_by_piece_equals_laying_out_at_once(width: int, pieces: list[tuple[str, str]]) -> None:
    step, whole = StreamView(), StreamView()
    for view in (step, whole):
        view._wrap_width = width
    for kind, text in pieces:
        step.feed(kind, text)
        step.flush()
        whole.feed(kind, text)
    whole.flush()
    assert step.rows == whole.rows
    step._rewrap()
    assert step.rows == whole.rows
