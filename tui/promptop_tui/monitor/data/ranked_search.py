"""The search for the window's largest rows, as the reading thread goes on with it between its looks."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from promptop_tui.monitor.data.queries import RankedRows, compiled
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.views.request_table import MOST
from promptop_tui.monitor.views.row_cells import READ

if TYPE_CHECKING:
    from promptop.log import LogReader
    from promptop.log.read.top_rows import Ranking

_TELL_S = 0.4
"""Seconds between two answers of one search."""


class Ordering:
    """One search; owned by the reading thread."""

    def __init__(self, query: SnapshotQuery, figure: str, smallest: bool, now_ms: int) -> None:
        self._query, self._figure, self._smallest = query, figure, smallest
        self._since, self._until = query.moment_ms or query.bounds_ms(now_ms)
        self._ranking: Ranking | None = None
        self._told = 0.0
        self.done = False

    def go_on(self, log: LogReader) -> RankedRows | None:
        """Look at some more of the window, and return what was found if it is time to tell."""
        from promptop.log.read.top_rows import Ranking

        self.done = True  # unless it goes well: a log that cannot be read is not searched again and again
        if self._ranking is None:
            where = compiled(self._query.rows_filter)
            self._ranking = Ranking(self._since, self._until, self._figure, MOST, where, smallest=self._smallest)
        self._ranking.go_on(log)
        self.done = self._ranking.done
        if not self.done and monotonic() - self._told < _TELL_S:
            return None
        found = self._ranking.result(log, READ)
        self._told = monotonic()
        return RankedRows(
            self._query, self._figure, self._smallest, found.rows, self._since, found.since_ms, found.done
        )
