"""What changed, as the lines of a list: pure functions."""

from __future__ import annotations

from promptop.alerts.changes import Change, shown, times
from promptop.alerts.figures import WORDS
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop_tui.widgets.table import Cell, Column

COLUMNS: tuple[Column, ...] = (
    Column("value", "what", 18, most=44),
    Column("figure", "figure", 16, most=24),
    Column("change", "change", 7, right=True),
    Column("before", "before", 9, rank=1, right=True),
    Column("after", "after", 9, rank=1, right=True),
    Column("share", "share", 6, rank=2, right=True),
    Column("n", "calls", 6, rank=3, right=True),
    Column("dimension", "by", 10, rank=4, grows=True),
)


def cells_of(change: Change) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`."""
    worse = change.figure not in ("n", "cost") and (change.after > change.before)
    factor = "new" if change.new else times(change.factor) if change.factor is not None else "from 0"
    return (
        clean_line(change.subject, 60),
        WORDS[change.figure],
        (factor, "warn" if worse else ""),
        (shown(change.figure, change.before), "muted"),
        shown(change.figure, change.after),
        units.share(change.share),
        units.count(change.n),
        (clean_line(change.dimension, 30), "muted"),
    )
