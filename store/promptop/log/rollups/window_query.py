"""Windows from rollups: the largest stretches that fit, and rows only for the edges and above the mark.

The cost depends on how many stretches a window has and not on how many rows: thirty days are about thirty days, some
quarters of an hour at both ends and the rows of less than a minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from promptop.base.files import identity
from promptop.base.sqlite import connect_for_reading
from promptop.log import files
from promptop.log.own_calls import OWN_APPS
from promptop.log.read.stats import NONE_GROUP
from promptop.log.read.windows import JOIN, Sums, add_rows, group_in
from promptop.log.rollups import watermark
from promptop.log.rollups.keys import (
    ALL,
    BY_APP,
    BY_EACH,
    BY_MODEL,
    BY_PROMPT,
    LEVELS_MS,
    STORED,
    SUMS_SINCE,
    VERSION,
    add_stored,
    key_of,
    kinds_at,
    series_of,
    start_of,
)

ROWS = -1
"""In place of a level: an edge that is read from rows."""
_TOP = len(LEVELS_MS) - 1
_DIMENSIONS = ("model", "app", "prompt")
_KINDS: dict[tuple[str, ...], int] = {("model",): BY_MODEL, ("app",): BY_APP, ("prompt",): BY_PROMPT}
_SELECT = f"SELECT key, {', '.join(STORED)} FROM rollups WHERE key >= ? AND key < ?"


def pieces(since_ms: int, until_ms: int, top: int, kept_from: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Cut [since, until) into (level, start, end): whole stretches of levels up to ``top``, and edges of rows.

    ``kept_from`` is, by level, from when on its sums are kept.
    """
    if since_ms >= until_ms:
        return
    if top < 0:
        yield ROWS, since_ms, until_ms
        return
    span = LEVELS_MS[top]
    start, end = -(-max(since_ms, kept_from[top]) // span) * span, until_ms // span * span
    if start >= end:
        yield from pieces(since_ms, until_ms, top - 1, kept_from)
        return
    yield from pieces(since_ms, start, top - 1, kept_from)
    yield top, start, end
    yield from pieces(end, until_ms, top - 1, kept_from)


def level_for(step_ms: int) -> int | None:
    """Return the largest level whose stretches a step is made of, or None if steps are no whole minutes."""
    fitting = [level for level, span in enumerate(LEVELS_MS) if step_ms % span == 0]
    return fitting[-1] if fitting else None


def groups_by(by: Sequence[str]) -> bool:
    """Tell whether rollups know this grouping."""
    return set(by) <= set(_DIMENSIONS)


class RollupView:
    """Reads the rollups of one log, if they are there and are that log's."""

    def __init__(self, log: Path) -> None:
        self._path = files.rollups_path(log)
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._names: dict[int, tuple[str, str, str]] = {}
        self._trace: Callable[[str], object] | None = None

    def trace(self, tell: Callable[[str], object] | None) -> None:
        """Tell each statement that is run, or no longer."""
        self._trace = tell
        if self._connection is not None:
            self._connection.set_trace_callback(tell)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def add_to(self, sums: Sums, rows: sqlite3.Connection, by: tuple[str, ...]) -> bool:
        """Add a whole window to ``sums``; False, with nothing added, if there are no rollups to read it from."""
        try:
            with self._opened() as connection:
                if connection is None:
                    return False
                meta = watermark.facts(connection)
                rows.execute("BEGIN")
                try:
                    known = watermark.facts(rows)
                    if not meta["mark"] or not watermark.same_rows(rows, meta, known.get("log_id", "")):
                        return False
                    self._add(sums, rows, connection, by, meta, int(known.get("pruned_before_ms", 0)))
                finally:
                    rows.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if sums.total.n or isinstance(error, sqlite3.OperationalError):
                raise
            self.close()  # damaged: derived data, so the rows are read instead
            return False
        return True

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """Give the open file inside one read transaction, or None if there is none of a version that we know."""
        found = identity(self._path)
        if found != self._identity:
            self.close()
            self._names.clear()
            self._identity = found
        if self._connection is None and found is not None:
            self._connection = connect_for_reading(self._path)
            if self._trace is not None:
                self._connection.set_trace_callback(self._trace)
        connection = self._connection
        if connection is None or not (SUMS_SINCE <= connection.execute("PRAGMA user_version").fetchone()[0] <= VERSION):
            yield None
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")

    def _add(
        self,
        sums: Sums,
        rows: sqlite3.Connection,
        connection: sqlite3.Connection,
        by: tuple[str, ...],
        meta: dict[str, Any],
        rows_from_ms: int,
    ) -> None:
        mark = int(meta["mark"])
        kept_from = [int(meta.get(f"kept_from_{level}", 0)) for level in range(_TOP + 1)]
        since = _widened(sums.since_ms, kept_from, rows_from_ms, up=False)
        until = _widened(sums.until_ms, kept_from, rows_from_ms, up=True)
        sums.since_ms, sums.until_ms = min(since, sums.since_ms), max(until, sums.until_ms)
        for level, start, end in pieces(since, until, _TOP, kept_from):
            if level == ROWS:
                add_rows(sums, rows, by, start, end, upto_id=mark, steps=False)
            else:
                self._add_whole(sums, connection, by, level, start, end)
        if sums.step_ms:
            top = level_for(sums.step_ms)
            assert top is not None
            day = LEVELS_MS[-1]
            # Where neither this level nor the rows are left, larger stretches fall into the step they begin in.
            gone = min(-(-min(rows_from_ms, kept_from[top]) // day) * day, until)
            stretches = [*pieces(since, gone, _TOP, kept_from), *pieces(max(since, gone), until, top, kept_from)]
            for level, start, end in stretches:
                if level == ROWS:
                    add_rows(sums, rows, by, start, end, upto_id=mark, whole=False)
                else:
                    self._add_steps(sums, connection, by, level, start, end)
        last = int(rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0)
        sums.marks.append(last)
        lag = last - mark
        if lag > 0:
            # By id this looks at every new row, by time at every row of the window.
            by_id = lag <= sums.total.n + 2_000
            add_rows(sums, rows, by, since, until, above_id=mark, by_id=by_id)

    def _add_whole(
        self, sums: Sums, connection: sqlite3.Connection, by: tuple[str, ...], level: int, start: int, end: int
    ) -> None:
        apart = self._own(connection, sums)
        if apart:
            for key, *columns in connection.execute(_SELECT, _span(level, _kind(("app",), level), start, end)):
                add_stored(sums.left_out if series_of(key) in apart else sums.total, columns)
        else:
            for _, *columns in connection.execute(_SELECT, _span(level, ALL, start, end)):
                add_stored(sums.total, columns)
        if by:
            kind = _kind(("app", *by) if apart else by, level)
            for key, *columns in connection.execute(_SELECT, _span(level, kind, start, end)):
                if series_of(key) in apart:
                    continue
                add_stored(sums.group(self._name(connection, by, series_of(key))), columns)

    def _add_steps(
        self, sums: Sums, connection: sqlite3.Connection, by: tuple[str, ...], level: int, start: int, end: int
    ) -> None:
        apart = self._own(connection, sums)
        kind = _kind(("app",), level) if apart else ALL
        for key, *columns in connection.execute(_SELECT, _span(level, kind, start, end)):
            if series_of(key) not in apart:
                add_stored(sums.bucket(start_of(key))[0], columns)
        if by:
            kind = _kind(("app", *by) if apart else by, level)
            for key, *columns in connection.execute(_SELECT, _span(level, kind, start, end)):
                if series_of(key) in apart:
                    continue
                groups = sums.bucket(start_of(key))[1]
                add_stored(group_in(groups, self._name(connection, by, series_of(key))), columns)

    @staticmethod
    def _own(connection: sqlite3.Connection, sums: Sums) -> frozenset[int]:
        """Return the series of promptop's own calls, where a window leaves them out; most logs have none."""
        if sums.own:
            return frozenset()
        marks = ", ".join("?" * len(OWN_APPS))
        found = connection.execute(f"SELECT id FROM series WHERE app IN ({marks})", OWN_APPS)
        return frozenset(int(series) for (series,) in found)

    def _name(self, connection: sqlite3.Connection, by: tuple[str, ...], series: int) -> str:
        found = self._names.get(series)
        if found is None:
            row = connection.execute("SELECT model, app, prompt FROM series WHERE id = ?", (series,)).fetchone()
            found = self._names[series] = row or ("", "", "")
        return JOIN.join(found[_DIMENSIONS.index(name)] or NONE_GROUP for name in by)


def _kind(by: tuple[str, ...], level: int) -> int:
    kind = _KINDS.get(tuple(dict.fromkeys(by)), BY_EACH)
    return kind if kind in kinds_at(level) else BY_EACH


def _span(level: int, kind: int, start: int, end: int) -> tuple[int, int]:
    return key_of(level, kind, start), key_of(level, kind, end)


def _widened(moment_ms: int, kept_from: Sequence[int], rows_from_ms: int, *, up: bool) -> int:
    """Return where the edge of a window lies if the rows there are gone: at the end of the finest stretch left."""
    if moment_ms >= rows_from_ms:
        return moment_ms
    for level, span in enumerate(LEVELS_MS):
        start = moment_ms // span * span
        if start >= kept_from[level]:
            return start + span if up and start < moment_ms else start
    return moment_ms
