"""One log, open for reading or not there; :class:`~promptop.log.read.reader.LogReader` reads several as one.

Every statement on ``requests`` names a stretch of ids or of time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.files import identity
from promptop.base.sqlite import connect_for_reading
from promptop.log import files, schema
from promptop.log.read.filters import Filter
from promptop.log.read.windows import Sums, add_rows, without
from promptop.log.rollups.trend_query import TrendCell, TrendSeries, TrendView
from promptop.log.rollups.trends import Place
from promptop.log.rollups.window_query import RollupView, groups_by, level_for
from promptop.log.row import COLUMNS, Row

_CHUNK = 20_000
"""Rows that a filtered page looks at between two looks at the clock: about 20 ms."""
END = (1 << 63) - 1


@dataclass(slots=True, kw_only=True)
class StoredRow(Row):
    """A row with its id in its log and, where several logs are read, the number of that log."""

    id: int = 0
    source: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where to go on."""

    rows: list[StoredRow]
    before_id: int | None
    """``before_id`` of the next page; None if there is no older row."""


class Source:
    """One log, open for reading or not there."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.generation = 0
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._data_version = -1
        self._missing: frozenset[str] = frozenset()
        """Columns of today that an older log does not have: they are unknown there."""
        self._rollups = RollupView(path)
        self._trends = TrendView(path)
        self._trace: Callable[[str], object] | None = None

    def trace(self, tell: Callable[[str], object] | None) -> None:
        """Tell each statement that is run, on the rows and on the rollups, or no longer."""
        self._trace = tell
        self._rollups.trace(tell)
        if self._connection is not None:
            self._connection.set_trace_callback(tell)

    def open(self) -> None:
        """Open the log if there is one with a table; raise PromptopError if it cannot be read."""
        self.close()
        self._identity = identity(self.path)
        self._data_version = -1
        if self._identity is None:
            return
        with self._explained():
            connection = connect_for_reading(self.path)
            try:
                if schema.version_of(connection) == 0:
                    connection.close()
                    return
                present = {row[1] for row in connection.execute("PRAGMA table_info(requests)")}
            except BaseException:
                connection.close()
                raise
            self._missing = frozenset(COLUMNS) - present
            self._connection = connection
            if self._trace is not None:
                connection.set_trace_callback(self._trace)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._rollups.close()
        self._trends.close()

    def changed(self) -> bool:
        if self._moved():
            return True
        if self._connection is None:
            if self._identity is None:
                return False
            self.open()  # the file was empty when last looked at
            return self._connection is not None
        with self._explained():
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return False
        self._data_version = version
        return True

    def _moved(self) -> bool:
        """Open anew if the file appeared, vanished or was replaced; tell whether it did."""
        if identity(self.path) == self._identity:
            return False
        self.generation += 1
        self.open()
        return True

    def _ready(self) -> sqlite3.Connection | None:
        if not self._moved() and self._connection is None and self._identity is not None:
            self.open()
        return self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise files.explain(self.path, error) from None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        connection = self._ready()
        if connection is None:
            return []
        with self._explained():
            return connection.execute(without(sql, self._missing), values).fetchall()

    def last_id(self) -> int:
        found = self.execute("SELECT max(id) FROM requests")
        return int(found[0][0] or 0) if found else 0

    def span(self) -> tuple[int, int] | None:
        found = self.execute("SELECT (SELECT min(started_ms) FROM requests), (SELECT max(started_ms) FROM requests)")
        return found[0] if found and found[0][0] is not None else None

    def rows(
        self, condition: str, values: Sequence[Any], tail: str = "", *, columns: Sequence[str] | None = None
    ) -> list[StoredRow]:
        """Return the rows of a condition; of ``columns`` alone where they are named: the others stay unknown."""
        if self._ready() is None:
            return []
        names = COLUMNS if columns is None else columns
        sql = f"SELECT id, {', '.join(names)} FROM requests WHERE {condition} {tail}"
        keys = ("id", *names)
        return [StoredRow(source=self.number, **dict(zip(keys, row, strict=True))) for row in self.execute(sql, values)]

    def after(self, row_id: int, limit: int, where: Filter, columns: Sequence[str] | None = None) -> list[StoredRow]:
        condition = "id > ?" + (f" AND ({where.sql})" if where else "")
        return self.rows(condition, (row_id, *where.parameters), f"ORDER BY id LIMIT {int(limit)}", columns=columns)

    def page(
        self,
        limit: int,
        before_id: int | None,
        where: Filter,
        budget_s: float | None,
        columns: Sequence[str] | None = None,
    ) -> Page:
        top = END if before_id is None else before_id
        if not where:
            rows = self.rows("id < ?", (top,), f"ORDER BY id DESC LIMIT {int(limit)}", columns=columns)
            return Page(rows, rows[-1].id if len(rows) == limit and rows else None)
        deadline = None if budget_s is None else time.monotonic() + budget_s
        top = min(top, self.last_id() + 1)
        bottom = int((self.execute("SELECT min(id) FROM requests") or [(0,)])[0][0] or 0)
        found: list[StoredRow] = []
        while top > bottom:
            low = max(bottom, top - _CHUNK)
            found += self.rows(
                f"id < ? AND id >= ? AND ({where.sql})",
                (top, low, *where.parameters),
                f"ORDER BY id DESC LIMIT {int(limit - len(found))}",
                columns=columns,
            )
            if len(found) >= limit:
                return Page(found, found[-1].id)
            top = low
            if deadline is not None and time.monotonic() > deadline:
                return Page(found, top if top > bottom else None)
        return Page(found, None)

    def trend_series(self, since_ms: int) -> list[TrendSeries]:
        """Return the values of all dimensions that had a row since a time."""
        with self._explained():
            return self._trends.series(since_ms)

    def trend_cells(
        self, level: int, since_ms: int, until_ms: int, wanted: Collection[Place] | None = None
    ) -> list[TrendCell]:
        """Return the trends of a level that begin in [since, until)."""
        with self._explained():
            return self._trends.cells(level, since_ms, until_ms, wanted)

    def trend_newer(self) -> list[tuple[TrendSeries, TrendCell]] | None:
        """Return the rows that are not in the trends yet; None if there are no trends, or too many such rows."""
        connection = self._ready()
        if connection is None:
            return []
        with self._explained():
            return self._trends.newer(connection)

    def trend_quarters(self, place: Place, since_ms: int, until_ms: int) -> list[tuple[int, ...]]:
        """Return the sums of one value, one a quarter of an hour in [since, until)."""
        with self._explained():
            return self._trends.quarters(place, since_ms, until_ms)

    def trend_newest(self, since_ms: int) -> list[tuple[int, list[Place], tuple[int, ...]]]:
        """Return the last rows that ended since a time, at most 300: end, values and parts of each."""
        connection = self._ready()
        if connection is None:
            return []
        with self._explained():
            return self._trends.newest(connection, since_ms)

    def add_to(self, sums: Sums, by: tuple[str, ...], where: Filter) -> None:
        """Add a window, from rollups where they know it, else from its rows."""
        connection = self._ready()
        if connection is None:
            sums.marks.append(0)
            return
        simple = not where and groups_by(by) and (not sums.step_ms or level_for(sums.step_ms) is not None)
        with self._explained():
            if not simple or not self._rollups.add_to(sums, connection, by):
                self._add_rows(sums, connection, by, where)

    def add_newer(self, sums: Sums, by: tuple[str, ...], where: Filter, mark: int) -> None:
        """Add the rows of a window that have ids above ``mark``."""
        connection = self._ready()
        if connection is None:
            sums.marks.append(0)
            return
        with self._explained():
            self._add_rows(sums, connection, by, where, above_id=mark, by_id=True)

    def _add_rows(
        self, sums: Sums, connection: sqlite3.Connection, by: tuple[str, ...], where: Filter, **which: Any
    ) -> None:
        """Add rows, and note up to which id; both of one moment."""
        connection.execute("BEGIN")
        try:
            sums.marks.append(int(connection.execute("SELECT max(id) FROM requests").fetchone()[0] or 0))
            add_rows(sums, connection, by, sums.since_ms, sums.until_ms, where=where, missing=self._missing, **which)
        finally:
            connection.execute("COMMIT")
