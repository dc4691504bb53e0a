"""Nothing that a terminal would obey leaves the app, whichever widget it was given to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from textual.app import App, ComposeResult
from textual.filter import LineFilter
from textual.widgets import DataTable, Footer, Input, Label, Log, Markdown, OptionList, RichLog, Static, TextArea

from promptop_tui.shell.control_filter import ControlCharacters

EVIL = "A\x1b]52;c;ZXZpbA==\x07B\x9b31mC\u202eD\u2066E"
OBEYED = ("\x1b]52", "\x07", "\x9b", "\u202e", "\u2066")


class Everything(App[None]):
    """One of each widget that passes control characters on as they are."""

    def __init__(self, *, guarded: bool) -> None:
        super().__init__()
        self._guarded = guarded

    def compose(self) -> ComposeResult:
        yield Static(EVIL, markup=False)
        yield Label(EVIL, markup=False)
        yield Input(EVIL)
        yield TextArea(EVIL)
        yield Markdown(EVIL)
        yield OptionList(EVIL)
        yield Log()
        yield RichLog()
        yield DataTable()
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(Log).write_line(EVIL)
        self.query_one(RichLog).write(EVIL)
        table = self.query_one(DataTable)
        table.add_column("c")
        table.add_row(EVIL)
        self.notify(EVIL, markup=False)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *([ControlCharacters()] if self._guarded else [])]


async def painted(app: App[None]) -> str:
    """Return what the compositor hands to the terminal's driver for a full repaint."""
    async with app.run_test(size=(100, 120)) as pilot:
        await pilot.pause()
        update = app.screen._compositor.render_update(full=True)
        return update.render_segments(app.console)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
async def test_control_characters_end_at_the_filter(guarded: bool) -> None:
    text = await painted(Everything(guarded=guarded))
    assert "A" in text
    reached = [code for code in OBEYED if code in text]
    assert reached == [] if guarded else len(reached) >= 3, "without the filter this must fail, or it tests nothing"
