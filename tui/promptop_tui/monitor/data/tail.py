"""The tail of the log: which rows are new, and when others are wanted instead of those that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptop_tui.monitor.data.queries import BUDGET_S, PAGE, compiled, stretch_of
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.views.row_cells import READ

if TYPE_CHECKING:
    from promptop.log import LogReader, StoredRow

FLOOD = 2_000
"""With more new rows than this since the last look, only the newest page is read."""
HOLD_MS = 2_000


class Tail:
    """Remembers how far the rows were read; owned by the reading thread."""

    def __init__(self) -> None:
        self.mark: tuple[int, ...] | None = None
        """Highest id of each log that was read; None: begin anew."""
        self._held = False

    def rows(
        self, log: LogReader, query: SnapshotQuery, *, restart: bool
    ) -> tuple[tuple[StoredRow, ...], bool, tuple[int, ...] | None]:
        """Return new rows, oldest first, whether they replace those shown, and where older ones begin."""
        newest = log.mark()
        where = compiled(query.rows_filter)
        before = self.mark
        lost = before is None or any(new < old for new, old in zip(newest, before, strict=True))
        if restart or before is None or lost or (query.tails and sum(newest) - sum(before) > FLOOD):
            self.mark = newest
            if query.tails:
                page, place = log.back(PAGE, None, where, budget_s=BUDGET_S, columns=READ)
                return tuple(reversed(page)), True, place
            rows = log.between(*stretch_of(query), PAGE, where, columns=READ)
            return tuple(reversed(rows)), True, (0,) * len(log.paths) if len(rows) == PAGE else None
        if newest == before or not query.tails:
            return (), False, None
        fresh, self.mark = log.follow(before, FLOOD, where, columns=READ)
        return tuple(fresh), False, None

    def shows_others(self, query: SnapshotQuery, before: SnapshotQuery, now_ms: int) -> bool:
        """Say whether a query wants other rows than are shown, and not only the ones after them."""
        if (query.rows_filter, query.moment_ms) != (before.rows_filter, before.moment_ms):
            self._held = False
            return True
        if query.until_ms == before.until_ms:
            return self.mark is None
        if before.tails and query.until_ms is not None and now_ms - query.until_ms < HOLD_MS:
            self._held = True  # the tail stops where it is, and may go on from there
            return self.mark is None
        resumed, self._held = self._held and query.tails, False
        return not resumed or self.mark is None
