"""The table of requests: a followed tail over the rows that are loaded, or the window's rows by a figure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from promptop_tui.monitor.views.row_cells import COLUMNS, Feed, cells_of
from promptop_tui.widgets.table import Cell, ChoiceTable

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop_tui.monitor.data.snapshot import LogSnapshot

ORDERS: dict[str, Callable[[StoredRow], float | None]] = {
    "time": lambda row: None,
    "total": lambda row: row.duration_s if row.duration_s is not None else row.total_s,
    "TTFT": lambda row: row.ttft_s,
    "cost": lambda row: row.cost_usd,
    "tokens": lambda row: _sum(row.usage_input_tokens, row.usage_output_tokens),
}
"""Order → the figure by which rows are ordered; time is the log's own order. The names are those of ``FIGURES``."""
MOST = 500
"""Rows of a window that are shown in another order than that of time."""


class RequestTable(ChoiceTable):
    """Shows a :class:`Feed`; older rows are asked for by whoever hears :class:`VirtualTable.NearTop`."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, id="monitor-rows")
        self.feed = Feed()
        self.unseen = 0
        """Rows that came since the user left the end."""
        self.order = "time"
        self.smallest = False
        """Whether the smallest figure comes first."""
        self._best: list[StoredRow] = []
        """Rows of the window in the order of a figure, at most :data:`MOST`."""
        self._came: list[StoredRow] = []
        """Rows that came since the window was asked for in this order."""
        self.hidden: frozenset[str] = frozenset()
        """Keys of columns that are not shown."""
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

    def take(self, snapshot: LogSnapshot) -> None:
        """Show the rows that a snapshot brings."""
        if snapshot.restart:
            self.feed.restart(snapshot.fresh, older_from=snapshot.older_from)
            self.following = self.order == "time"
            self._fill(0)
        elif snapshot.fresh:
            shift = self.feed.append(snapshot.fresh, following=self.following)
            if self.order == "time":
                self._fill(shift)
            else:
                self._came.extend(snapshot.fresh)
                self._merge(snapshot.fresh, snapshot.since_ms)
        counts = not (self.following or snapshot.restart or self.order != "time")
        self.unseen = self.unseen + len(snapshot.fresh) if counts else 0

    def take_older(self, rows: Sequence[StoredRow], *, older_from: tuple[int, ...] | None) -> None:
        """Put a page of older rows in front."""
        shift = self.feed.prepend(rows, older_from=older_from)
        if self.order == "time":
            self._fill(shift)

    def turn_order(self) -> None:
        """Order the rows by the next figure; those of the window come with :meth:`take_ranked`."""
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]
        self._merge(self.feed.rows, 0, anew=True)
        if self.order == "time":
            self._fill(0)
            self.follow()
        else:
            self.following = False
            self.go(0)

    def turn_round(self) -> None:
        """Put the smallest first, or the largest again."""
        self.smallest = not self.smallest
        self._merge(self.feed.rows, 0, anew=True)
        self.go(0)

    def take_ranked(self, rows: Sequence[StoredRow], since_ms: int) -> None:
        """Show what was found in the window, with what came meanwhile."""
        if self.order != "time":
            self._merge([*rows, *self._came], since_ms, anew=True)

    def await_ranked(self) -> None:
        """Forget what came: the window is asked for from now on."""
        self._came = []

    def _merge(self, rows: Sequence[StoredRow], since_ms: int, *, anew: bool = False) -> None:
        """Put rows where they belong among those that are shown (``anew``: instead of them), and drop older ones."""
        if self.order == "time":
            return
        read = self.current if self.cursor_row else None  # who looks at the first wants the first
        figure, sign = ORDERS[self.order], 1 if self.smallest else -1
        known = {
            (row.source, row.id): row
            for row in (*(() if anew else self._best), *rows)
            if (row.started_ms or 0) >= since_ms
        }
        keyed = [(sign * amount, place) for place, row in known.items() if (amount := figure(row)) is not None]
        self._best = [known[place] for _, place in sorted(keyed, key=lambda each: (each[0], -each[1][1]))[:MOST]]
        self._fill(0)
        if read is not None:  # stay with it, wherever it stands now
            place = next((at for at, row in enumerate(self._best) if _same(row, read)), None)
            if place is not None:
                self.cursor_row = place

    def hide(self, keys: Collection[str]) -> None:
        """Show all columns but these."""
        self.hidden = frozenset(keys)
        self._shown = tuple(place for place, column in enumerate(COLUMNS) if column.key not in self.hidden)
        self._cells.cache_clear()
        self.set_columns([COLUMNS[place] for place in self._shown])
        self.refresh()

    @property
    def _rows(self) -> list[StoredRow]:
        return self.feed.rows if self.order == "time" else self._best

    def _fill(self, shift: int) -> None:
        self._cells.cache_clear()
        self.set_rows(len(self._rows), self._row, shift=shift)

    def _at(self, index: int) -> StoredRow | None:
        return self._rows[index] if index < len(self._rows) else None

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
