"""The comparison as a widget: a small table that follows the panes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable

from promptop.runs.comparison import BEST, columns_for, compare_groups, ending
from promptop.runs.result import RunResult
from promptop_tui.playground.pane import MARKS, AnswerPane

NAME_WIDTH = (14, 28)
"""Cells of the model's name: at least and at most."""
END_WIDTH = 18
"""Cells of the reason why a call ended; left out first."""


class ComparisonTable(DataTable[Text]):
    """One row per answer; choosing a row looks at its pane."""

    HELP = """
    One row per answer. `*` marks the best figure of a column among the calls that went well; `≈` marks estimates,
    `n/a` a model without a price. Up and down look at an answer, enter goes into it.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self._panes: Sequence[AnswerPane] = ()
        self._kept: Sequence[Sequence[RunResult]] | None = None
        self._layout_shown: tuple[int, tuple[str, ...], int] | None = None

    def on_resize(self) -> None:
        """Choose the columns that fit."""
        self.call_after_refresh(self.show, self._panes, self._kept)

    def show(self, panes: Sequence[AnswerPane], kept: Sequence[Sequence[RunResult]] | None = None) -> None:
        """Show the answers' figures, or the medians of repeated calls; a handful of rows, so they are filled anew."""
        self._panes, self._kept = panes, kept
        groups = kept if kept is not None else [[] if pane.result is None else [pane.result] for pane in panes]
        self.border_title = f"comparison · {'medians · ' if kept is not None else ''}{BEST} best"
        cursor = self.cursor_row
        width = self.scrollable_content_region.width or self.app.size.width
        least, most = NAME_WIDTH
        columns = columns_for(width - least)
        left = width - sum(column.width for column in columns)
        ends = END_WIDTH if left >= most + END_WIDTH else 0
        name_width = min(most, max(least, left - ends))
        layout = (name_width, tuple(column.key for column in columns), ends)
        with self.prevent(DataTable.RowHighlighted):
            if layout == self._layout_shown:
                self.clear()
            else:
                self._layout_shown = layout
                self.clear(columns=True)
                self.add_column("model", width=name_width)
                for column in columns:
                    self.add_column(Text(column.heading + " ", justify="right"), width=column.width)
                if ends:
                    self.add_column(" end", width=ends)
            for pane, group, row in zip(panes, groups, compare_groups(groups, columns), strict=True):
                times = f"{len(group)}× " if kept is not None else ""
                name = Text(f"{MARKS[pane.state]} {times}{pane.title_text}", no_wrap=True)
                name.truncate(name_width - 1, overflow="ellipsis")
                shown = [
                    Text(cell.text + (BEST if cell.best else " "), style="bold" if cell.best else "", justify="right")
                    for cell in row
                ]
                self.add_row(name, *shown, *([Text(f" {ending(pane.result)}")] if ends else []))
            if 0 <= cursor < self.row_count:
                self.move_cursor(row=cursor, scroll=False)
        # Said outright: a DataTable measures its rows when it is idle, and a layout before that cut the last ones off.
        self.styles.height = self.row_count + self.header_height + self.gutter.height

    def mark(self, number: int) -> None:
        """Put the cursor on a row."""
        if 0 <= number < self.row_count:
            with self.prevent(DataTable.RowHighlighted):
                self.move_cursor(row=number)
