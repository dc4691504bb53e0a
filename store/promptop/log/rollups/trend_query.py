"""Reads the trends of one log: which values there are, their sums in a stretch of time, and rows not yet among them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from promptop.base.files import identity
from promptop.base.sqlite import connect_for_reading
from promptop.log import files
from promptop.log.rollups import watermark
from promptop.log.rollups.keys import ALL, LEVELS_MS, OVERFLOW, VERSION, key_of, series_of, start_of
from promptop.log.rollups.trends import PARTS, QUARTERS, SELECTED, Place, end_of, parts_of, places_of

MOST_ROWS = 20_000
"""Rows above the watermark up to which they are read as rows: 0.2 s. With more, a fold is under way."""
NEWEST_ROWS = 300
"""Rows at most that :meth:`TrendView.newest` reads: 10 ms. Busier logs have enough calls in a minute's sums."""
_SELECT = f"SELECT key, {', '.join(PARTS)} FROM trends WHERE key >= ? AND key < ?"


_OF_SERIES = f"(key & {OVERFLOW}) IN (SELECT value FROM json_each(?))"
_STRAGGLER_MS = 15_000
"""A writer stores rows so much later than they end: an older row ends the search for new ones."""


@dataclass(frozen=True, slots=True)
class TrendSeries:
    """One value of one dimension."""

    dimension: str
    value: str
    app: str
    """The app of all its rows; empty where they are of several."""
    first_ms: int
    last_ms: int
    """First and last start of its rows, Unix milliseconds."""

    @property
    def place(self) -> Place:
        """Dimension and value."""
        return self.dimension, self.value


class TrendCell(NamedTuple):
    """What the rows of one value in one stretch of time add up to."""

    place: Place
    start_ms: int
    parts: tuple[int, ...]
    """:data:`~promptop.log.rollups.trends.PARTS`."""


class TrendView:
    """Reads the file of sums beside a log; what is not there yet reads as nothing."""

    def __init__(self, log: Path) -> None:
        self._path = files.rollups_path(log)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._places: dict[int, Place] = {}

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def series(self, since_ms: int) -> list[TrendSeries]:
        """Return the values that had a row since a time."""
        with self._opened() as connection:
            if connection is None:
                return []
            sql = "SELECT id, dimension, value, app, first_ms, last_ms FROM trend_series WHERE last_ms >= ?"
            found = connection.execute(sql, (since_ms,)).fetchall()
            self._places |= {row[0]: (row[1], row[2]) for row in found}
            return [TrendSeries(*row[1:]) for row in found]

    def cells(
        self, level: int, since_ms: int, until_ms: int, wanted: Collection[Place] | None = None
    ) -> list[TrendCell]:
        """Return the sums of a level that begin in [since, until), of all values or of those wanted."""
        with self._opened() as connection:
            if connection is None:
                return []
            span = (key_of(level, ALL, since_ms), key_of(level, ALL, until_ms))
            out, places = [], self._places
            if wanted is None:
                rows = connection.execute(_SELECT, span)
            else:
                # Most series of a busy log are not wanted: SQLite drops them at a tenth of what a row costs in Python.
                if not places:  # the file was made anew since the values were read
                    found = connection.execute("SELECT id, dimension, value FROM trend_series")
                    places |= {row[0]: (row[1], row[2]) for row in found}
                listed = json.dumps([series for series, place in places.items() if place in wanted])
                rows = connection.execute(f"{_SELECT} AND {_OF_SERIES}", (*span, listed))
            for row in rows:
                key = row[0]
                place = places.get(series := series_of(key)) or self._place(connection, series)
                if place is not None:
                    out.append(TrendCell(place, start_of(key), row[1:]))
            return out

    def quarters(self, place: Place, since_ms: int, until_ms: int) -> list[tuple[int, ...]]:
        """Return the sums of one value, one a quarter of an hour in [since, until); zeros where it had no row."""
        with self._opened() as connection:
            nothing = (0,) * len(PARTS)
            starts = range(since_ms - since_ms % LEVELS_MS[QUARTERS], until_ms, LEVELS_MS[QUARTERS])
            if connection is None:
                return [nothing for _ in starts]
            known = connection.execute(
                "SELECT id FROM trend_series WHERE dimension = ? AND value = ?", place
            ).fetchone()
            keys = [key_of(QUARTERS, ALL, start, known[0]) for start in starts] if known else []
            sql = f"SELECT key, {', '.join(PARTS)} FROM trends WHERE key IN (SELECT value FROM json_each(?))"
            found = {start_of(row[0]): row[1:] for row in connection.execute(sql, (json.dumps(keys),))}
            return [found.get(start, nothing) for start in starts]

    @staticmethod
    def newest(rows: sqlite3.Connection, since_ms: int) -> list[tuple[int, list[Place], tuple[int, ...]]]:
        """Return the last rows written that ended since a time: end (Unix milliseconds), values and parts of each."""
        out = []
        for row in rows.execute(f"SELECT {SELECTED} FROM requests ORDER BY id DESC LIMIT {NEWEST_ROWS}"):
            if (end := end_of(row)) >= since_ms:
                out.append((end, places_of(row), parts_of(row, 0)))
            elif end < since_ms - _STRAGGLER_MS:
                break
        return out

    def newer(self, rows: sqlite3.Connection) -> list[tuple[TrendSeries, TrendCell]] | None:
        """Return the rows that are not in the sums yet, each as minutes of its values; None if they are too many."""
        with self._opened() as connection:
            known = watermark.facts(connection) if connection is not None else {}
            mark = max(int(known.get("trend_mark", -1)), 0)
            if mark and not watermark.same_rows(rows, known, watermark.fact(rows, "log_id", "")):
                return None
            last = int(rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0)
            if last - mark > MOST_ROWS:
                return None
            out = []
            for row in rows.execute(f"SELECT {SELECTED} FROM requests WHERE id > ? ORDER BY id", (mark,)):
                parts, start = parts_of(row, 0), row[1]
                for place in places_of(row):
                    series = TrendSeries(*place, row[4], start, start)
                    out.append((series, TrendCell(place, start - start % 60_000, parts)))
            return out

    def _place(self, connection: sqlite3.Connection, series: int) -> Place | None:
        found = self._places.get(series)
        if found is None:
            row = connection.execute("SELECT dimension, value FROM trend_series WHERE id = ?", (series,)).fetchone()
            if row is None:
                return None
            found = self._places[series] = (row[0], row[1])
        return found

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        found = identity(self._path)
        if found != self._identity:
            self.close()
            self._places.clear()
            self._identity = found
        if self._connection is None and found is not None:
            self._connection = connect_for_reading(self._path)
        connection = self._connection
        if connection is None or connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            yield None
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")
