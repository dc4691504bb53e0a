"""The largest rows of a window by one figure, found slice by slice, so that a reader is never held for long.

No index knows the order of a figure, and one for each would cost every write. The window is looked through by its index
on time, from its end back, in slices of about a tenth of a second; after each slice the best so far are known, and how
far back they were looked for. Whoever asks decides whether to go on.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop.base.errors import UsageError
from promptop.log.read.filters import Filter

if TYPE_CHECKING:
    from promptop.log.read.log_file import StoredRow
    from promptop.log.read.reader import LogReader

FIGURES: dict[str, str] = {
    "total": "coalesce(duration_s, total_s)",
    "TTFT": "ttft_s",
    "cost": "cost_usd",
    "tokens": "nullif(coalesce(usage_input_tokens, 0) + coalesce(usage_output_tokens, 0), 0)",
}
"""Name of a figure that rows are ordered by → its SQL; NULL is in no order."""
SLICE_S = 0.1
_FIRST_SLICES = 64


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best rows so far, largest (or smallest) first."""

    rows: tuple[StoredRow, ...]
    since_ms: int
    """Rows that started from here on were looked at."""
    done: bool
    """Whether that is the whole window."""


class Ranking:
    """One search. Not for several threads at a time."""

    def __init__(
        self, since_ms: int, until_ms: int, figure: str, limit: int, where: Filter | None, *, smallest: bool = False
    ) -> None:
        if figure not in FIGURES:
            raise UsageError(f"Rows cannot be ordered by {figure!r}.", f"Known: {', '.join(FIGURES)}.")
        self._since, self._reached = since_ms, until_ms
        self._figure, self._limit, self._where, self._sign = (
            FIGURES[figure],
            limit,
            where or Filter(),
            -1 + 2 * smallest,
        )
        self._step = max((until_ms - since_ms) // _FIRST_SLICES, 1_000)
        self._best: list[tuple[float, int, int]] = []
        """(figure, smallest first in the order that is wanted; source; -id)."""

    @property
    def done(self) -> bool:
        """Whether the whole window was looked at."""
        return self._reached <= self._since

    def go_on(self, log: LogReader, budget_s: float = SLICE_S) -> None:
        """Look at slices until the budget is used up; each adapts its length to the time that the one before took."""
        deadline = time.monotonic() + budget_s
        while not self.done:
            began = time.monotonic()
            first = max(self._since, self._reached - self._step)
            found = log.top(first, self._reached, self._figure, self._limit, self._where, smallest=self._sign > 0)
            ranked = [(self._sign * figure, source, -row_id) for figure, source, row_id in found]
            self._best = heapq.nsmallest(self._limit, self._best + ranked)
            self._reached = first
            now = time.monotonic()
            if now - began < SLICE_S / 4:
                self._step *= 2
            elif now - began > SLICE_S:
                self._step = max(self._step // 2, 1_000)
            if now >= deadline:
                return

    def result(self, log: LogReader, columns: Sequence[str] | None = None) -> Ranked:
        """Return the best rows so far; those that are gone meanwhile are left out."""
        rows = log.rows_by_id([(source, -negative) for _, source, negative in self._best], columns=columns)
        return Ranked(tuple(rows), self._reached, self.done)
