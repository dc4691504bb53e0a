"""The table of why a cache did not answer (:mod:`promptop.cache.misses`)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop_tui.widgets.table import Cell, Column

if TYPE_CHECKING:
    from promptop.cache.misses import MissCause

COLUMNS: tuple[Column, ...] = (
    Column("where", "cache", 8),
    Column("cause", "cause", 46, grows=True),
    Column("n", "misses", 6, right=True),
    Column("age", "sent before", 11, rank=1, right=True),
    Column("tokens", "≈ tokens", 9, rank=3, right=True),
    Column("lost", "≈ lost", 10, right=True, fit=True),
    Column("model", "model", 16, rank=2),
    Column("app", "app", 12, rank=5),
    Column("prompt", "prompt", 16, rank=4),
)


def cells_of(finding: MissCause) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`."""
    return (
        (finding.where, "accent" if finding.where == "ours" else ""),
        finding.cause,
        units.count(finding.n),
        f"{units.seconds(statistics.median(finding.ages_s))}" if finding.ages_s else units.UNKNOWN,
        units.count(finding.tokens),
        units.usd(finding.lost_usd),
        clean_line(finding.model, 30),
        clean_line(finding.app, 20),
        clean_line(finding.prompt, 24),
    )
