"""The table of requests: a followed tail over the rows that are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from promptop_tui.monitor.rows import COLUMNS, Feed, cells_of
from promptop_tui.widgets.table import Cell, VirtualTable

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop_tui.monitor.snapshot import Snapshot


class RequestTable(VirtualTable, inherit_css=True):
    """Shows a :class:`Feed`; older rows are asked for by whoever hears :class:`VirtualTable.NearTop`."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, id="monitor-rows")
        self.feed = Feed()
        self.unseen = 0
        """Rows that came since the user left the end."""
        # A row is asked for its cells at each repaint: 512 rows are more than a screen.
        self._cells = lru_cache(maxsize=512)(self._cells_at)

    @property
    def current(self) -> StoredRow | None:
        """The row under the cursor."""
        rows = self.feed.rows
        return rows[self.cursor_row] if self.cursor_row < len(rows) else None

    def take(self, snapshot: Snapshot) -> None:
        """Show the rows that a snapshot brings."""
        if snapshot.restart:
            self.feed.restart(snapshot.fresh, older_from=snapshot.older_from)
            self.following = True
            self._show(0)
        elif snapshot.fresh:
            self._show(self.feed.append(snapshot.fresh, following=self.following))
        if self.following:
            self.unseen = 0
        else:
            self.unseen += len(snapshot.fresh)

    def take_older(self, rows: Sequence[StoredRow], *, older_from: int | None) -> None:
        """Put a page of older rows in front."""
        self._show(self.feed.prepend(rows, older_from=older_from))

    @property
    def hungry(self) -> bool:
        """Whether there is room for older rows on the screen, and there may be some."""
        return self.feed.older_from is not None and self.row_count < self.size.height

    def _show(self, shift: int) -> None:
        self._cells.cache_clear()
        self.set_rows(len(self.feed.rows), self._row, shift=shift)

    def _row(self, index: int) -> Sequence[Cell]:
        rows = self.feed.rows
        return self._cells(rows[index].id, index) if index < len(rows) else ()

    def _cells_at(self, row_id: int, index: int) -> tuple[Cell, ...]:
        return cells_of(self.feed.rows[index])
