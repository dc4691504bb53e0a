"""How many answers fit side by side."""

from __future__ import annotations

MIN_WIDTH = 36
"""Cells below which a pane's figures and text are not readable."""
MIN_HEIGHT = 7
"""Rows below which a pane is more border than text."""


def fit_grid(count: int, width: int, height: int) -> tuple[int, int]:
    """Return columns and rows for ``count`` panes in so many cells: at least one pane, no more than needed."""
    most_columns = max(1, width // MIN_WIDTH)
    most_rows = max(1, height // MIN_HEIGHT)
    columns = min(most_columns, count)
    rows = min(most_rows, -(-count // columns))
    # Fewer columns are wider: take as few as still show everything in the same number of rows.
    while columns > 1 and (columns - 1) * rows >= count:
        columns -= 1
    return columns, rows
