"""The table of requests: a followed tail over the rows that are loaded, or those rows by size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from promptop_tui.monitor.rows import COLUMNS, Feed, cells_of
from promptop_tui.widgets.table import Cell, VirtualTable

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop_tui.monitor.snapshot import Snapshot

ORDERS: dict[str, Callable[[StoredRow], float | None]] = {
    "time": lambda row: None,
    "total": lambda row: row.duration_s if row.duration_s is not None else row.total_s,
    "TTFT": lambda row: row.ttft_s,
    "cost": lambda row: row.cost_usd,
    "tokens": lambda row: _sum(row.usage_input_tokens, row.usage_output_tokens),
}
"""Order → the figure that is largest first; rows without it come last. Time is the log's own order."""


class RequestTable(VirtualTable):
    """Shows a :class:`Feed`; older rows are asked for by whoever hears :class:`VirtualTable.NearTop`."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, id="monitor-rows")
        self.feed = Feed()
        self.unseen = 0
        """Rows that came since the user left the end."""
        self.order = "time"
        self.hidden: frozenset[str] = frozenset()
        """Keys of columns that are not shown."""
        self._places: list[int] | None = None
        self._shown = tuple(range(len(COLUMNS)))
        # A row is asked for its cells at each repaint: 512 rows are more than a screen.
        self._cells = lru_cache(maxsize=512)(self._cells_at)

    @property
    def current(self) -> StoredRow | None:
        """The row under the cursor."""
        return self._at(self.cursor_row)

    @property
    def hungry(self) -> bool:
        """Whether there is room for older rows on the screen, and there may be some."""
        return self.feed.older_from is not None and self.row_count < self.size.height

    def take(self, snapshot: Snapshot) -> None:
        """Show the rows that a snapshot brings."""
        read = self.current
        if snapshot.restart:
            self.feed.restart(snapshot.fresh, older_from=snapshot.older_from)
            self.following = self.order == "time"
            self._fill(0, None)
        elif snapshot.fresh:
            self._fill(self.feed.append(snapshot.fresh, following=self.following), read)
        self.unseen = 0 if self.following else self.unseen + len(snapshot.fresh) * (not snapshot.restart)

    def take_older(self, rows: Sequence[StoredRow], *, older_from: tuple[int, ...] | None) -> None:
        """Put a page of older rows in front."""
        read = self.current
        self._fill(self.feed.prepend(rows, older_from=older_from), read)

    def turn_order(self) -> str:
        """Order the rows by the next figure, and return its name."""
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]
        self._fill(0, None)
        if self.order == "time":
            self.follow()
        else:
            self.following = False
            self.go(0)
        return self.order

    def hide(self, keys: Collection[str]) -> None:
        """Show all columns but these."""
        self.hidden = frozenset(keys)
        self._shown = tuple(place for place, column in enumerate(COLUMNS) if column.key not in self.hidden)
        self._cells.cache_clear()
        self.set_columns([COLUMNS[place] for place in self._shown])
        self.refresh()

    def _fill(self, shift: int, read: StoredRow | None) -> None:
        self._cells.cache_clear()
        if self.order == "time":
            self._places = None
            self.set_rows(len(self.feed.rows), self._row, shift=shift)
            return
        figure = ORDERS[self.order]
        keys = [figure(row) for row in self.feed.rows]
        self._places = sorted(range(len(keys)), key=lambda i: (keys[i] is None, -(keys[i] or 0.0), -i))
        self.set_rows(len(self.feed.rows), self._row)
        if read is not None:  # stay with it, wherever it stands now
            place = next((at for at, i in enumerate(self._places) if _same(self.feed.rows[i], read)), None)
            if place is not None:
                self.cursor_row = place

    def _at(self, index: int) -> StoredRow | None:
        if index >= len(self.feed.rows):
            return None
        return self.feed.rows[self._places[index] if self._places is not None else index]

    def _row(self, index: int) -> Sequence[Cell]:
        row = self._at(index)
        return () if row is None else self._cells(row.id, index)

    def _cells_at(self, row_id: int, index: int) -> tuple[Cell, ...]:
        row = self._at(index)
        cells = () if row is None else cells_of(row)
        return tuple(cells[place] for place in self._shown) if cells else ()


def _same(one: StoredRow, other: StoredRow) -> bool:
    return (one.id, one.source) == (other.id, other.source)


def _sum(*values: int | None) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else None
