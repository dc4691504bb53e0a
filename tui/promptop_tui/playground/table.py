"""The comparison as a widget: a small table that follows the panes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable

from promptop_tui.playground.comparison import BEST, COLUMNS, compare, ending
from promptop_tui.playground.pane import MARKS, AnswerPane

NARROW = 64
"""Cells below which columns that are seldom compared are left out."""


class ComparisonTable(DataTable[Text]):
    """One row per answer; choosing a row looks at its pane."""

    HELP = """
    ## Comparison
    One row per answer. `*` marks the best figure of a column among the calls that went well; `≈` marks estimates,
    `n/a` a model without a price. Up and down look at an answer, enter goes into it.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, cursor_type="row", zebra_stripes=False, cell_padding=1)
        self._narrow: bool | None = None

    def show(self, panes: Sequence[AnswerPane]) -> None:
        """Show the answers' figures; a handful of rows, so the table is filled anew."""
        narrow = self.app.size.width < 100
        cursor = self.cursor_row
        columns = [column for column in COLUMNS if column.narrow or not narrow]
        if narrow != self._narrow:
            self._narrow = narrow
            self.clear(columns=True)
            for heading in ("model", *(column.heading for column in columns), "end"):
                self.add_column(heading, key=heading)
        else:
            self.clear()
        cells = compare([pane.result for pane in panes], columns)
        for pane, row in zip(panes, cells, strict=True):
            figures = [
                Text(cell.text + (BEST if cell.best else " "), style="bold" if cell.best else "", justify="right")
                for cell in row
            ]
            self.add_row(Text(f"{MARKS[pane.state]} {pane.title_text}"), *figures, Text(ending(pane.result)))
        self.border_title = f"comparison · {BEST} best"
        if 0 <= cursor < self.row_count:
            self.move_cursor(row=cursor, scroll=False)

    def mark(self, number: int) -> None:
        """Put the cursor on a row."""
        if 0 <= number < self.row_count:
            self.move_cursor(row=number)
