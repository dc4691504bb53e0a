"""Reading the log: pages by key, what is new, windows. A reader never changes a log and never scans it.

Every query on ``requests`` names a stretch of ids or of time (a test looks at each query plan), so that its cost
depends on what it returns and not on how much the log holds. A log that is not there yet is an empty log; one that is
deleted or replaced while it is read is opened anew.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from promptop.log import files, schema
from promptop.log.covered import RollupView, groups_by, level_for
from promptop.log.filters import Filter, parse_filter
from promptop.log.row import COLUMNS, Row
from promptop.log.stats import Window
from promptop.log.windows import Sums, add_rows

_CHUNK = 20_000
"""Rows that a filtered page looks at between two looks at the clock: about 20 ms."""
_END = (1 << 63) - 1


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


class LogReader:
    """Reads one log, or several as one; safe to use from several threads, one at a time.

    Raises :class:`PromptopError` with cause and remedy for a file that is no log, is newer, damaged or locked.
    """

    def __init__(self, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        self._sources = [_Source(Path(p), number) for number, p in enumerate(paths)]
        self._lock = threading.RLock()
        for source in self._sources:
            source.open()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(source.path for source in self._sources)

    @property
    def generation(self) -> int:
        """Number that grows when a log was deleted or replaced: ids known before then mean nothing."""
        return sum(source.generation for source in self._sources)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for source in self._sources:
                source.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def changed(self) -> bool:
        """Tell whether any log may hold something new since this was asked last (about 10 µs each)."""
        with self._lock:
            changed = [source.changed() for source in self._sources]  # each must be asked, not only up to the first
        return any(changed)

    def last_id(self) -> int:
        """Return the highest id, 0 for an empty log; of several logs, the highest of any."""
        return max(self.mark(), default=0)

    def mark(self) -> tuple[int, ...]:
        """Return the highest id of each log: what :meth:`follow` goes on from."""
        with self._lock:
            return tuple(source.last_id() for source in self._sources)

    def get(self, row_id: int, source: int = 0) -> StoredRow | None:
        """Return one row, or None if it is not there (any more)."""
        with self._lock:
            rows = self._sources[source].rows("id = ?", (row_id,))
            return rows[0] if rows else None

    def latest(self, limit: int, before_id: int | None = None, where: Filter | str | None = None) -> list[StoredRow]:
        """Return up to ``limit`` rows, newest first, with ids below ``before_id`` and matching ``where``."""
        rows: list[StoredRow] = []
        while True:
            page = self.page(limit - len(rows), before_id, where)
            rows += page.rows
            if page.before_id is None or len(rows) >= limit:
                return rows
            before_id = page.before_id

    def page(
        self,
        limit: int,
        before_id: int | None = None,
        where: Filter | str | None = None,
        *,
        source: int | None = None,
        budget_s: float | None = None,
    ) -> Page:
        """Return a page as :meth:`latest` does, and where the next one begins.

        A filter that matches little looks at many rows: with ``budget_s`` the page ends after so many seconds with
        what was found. Several logs are read as one in order of time only as far as their newest ``limit`` rows;
        name a ``source`` to page through one of them.
        """
        chosen = _compiled(where)
        with self._lock:
            if source is None and len(self._sources) > 1:
                pages = [s.page(limit, None, chosen, budget_s) for s in self._sources]
                rows = sorted((r for p in pages for r in p.rows), key=lambda r: (r.started_ms, r.id), reverse=True)
                return Page(rows[:limit], None)
            return self._sources[source or 0].page(limit, before_id, chosen, budget_s)

    def back(
        self,
        limit: int,
        place: Sequence[int] | None = None,
        where: Filter | str | None = None,
        *,
        budget_s: float | None = None,
    ) -> tuple[list[StoredRow], tuple[int, ...] | None]:
        """Return up to ``limit`` rows before ``place``, newest first, and the place before them; None at the beginning.

        A place is an id in each log; logs that it does not name have no older rows. Each log keeps its own order, so
        that no row is left out or brought twice, whatever the clocks of the writers say. ``budget_s`` holds for each
        log as :meth:`page` says; one whose search it ends may bring rows later that belong before those of others.
        """
        chosen = _compiled(where)
        with self._lock:
            tops = [_END] * len(self._sources) if place is None else [*place, *[0] * (len(self._sources) - len(place))]
            pages = [s.page(limit, top, chosen, budget_s) for s, top in zip(self._sources, tops, strict=True)]
        rows = list(islice(merge(*(p.rows for p in pages), key=lambda r: -(r.started_ms or 0)), limit))
        taken = [[row.id for row in rows if row.source == number] for number in range(len(pages))]
        moved = []
        for page, ids in zip(pages, taken, strict=True):
            if len(ids) == len(page.rows):
                moved.append(page.before_id or 0)
            else:  # the next page begins with the first that found no room
                moved.append(page.rows[len(ids)].id + 1)
        return rows, tuple(moved) if any(moved) else None

    def at(self, moment_ms: int) -> tuple[int, ...]:
        """Return, for each log, the id of its latest row that started before a moment; 0 if there is none."""
        sql = "SELECT id FROM requests WHERE started_ms < ? ORDER BY started_ms DESC, id DESC LIMIT 1"
        with self._lock:
            found = [source.execute(sql, (moment_ms,)) for source in self._sources]
        return tuple(int(rows[0][0]) if rows else 0 for rows in found)

    def after(self, row_id: int, limit: int, where: Filter | str | None = None) -> list[StoredRow]:
        """Return up to ``limit`` rows with ids above ``row_id``, oldest first, of a single log."""
        chosen = _compiled(where)
        with self._lock:
            return self._sources[0].after(row_id, limit, chosen)

    def follow(
        self, mark: Sequence[int], limit: int, where: Filter | str | None = None
    ) -> tuple[list[StoredRow], tuple[int, ...]]:
        """Return up to ``limit`` rows of each log that are newer than ``mark``, oldest first, and the new mark."""
        chosen = _compiled(where)
        rows: list[StoredRow] = []
        moved: list[int] = []
        with self._lock:
            for source, seen in zip(self._sources, mark, strict=True):
                last = source.last_id()
                found = source.after(seen, limit, chosen)
                rows += found
                moved.append(found[-1].id if len(found) == limit else max(last, seen))
        if len(self._sources) > 1:
            rows.sort(key=lambda r: (r.started_ms, r.id))
        return rows, tuple(moved)

    def between(self, since_ms: int, until_ms: int, limit: int, where: Filter | str | None = None) -> list[StoredRow]:
        """Return up to ``limit`` rows that started in [since, until), latest start first."""
        chosen = _compiled(where)
        condition = "started_ms >= ? AND started_ms < ?" + (f" AND ({chosen.sql})" if chosen else "")
        values = (since_ms, until_ms, *chosen.parameters)
        with self._lock:
            rows = [
                row
                for source in self._sources
                for row in source.rows(condition, values, f"ORDER BY started_ms DESC, id DESC LIMIT {int(limit)}")
            ]
        rows.sort(key=lambda r: (r.started_ms, r.id), reverse=True)
        return rows[:limit]

    def tokens(
        self, since_ms: int, until_ms: int, limit: int, where: Filter | None = None
    ) -> list[tuple[int | None, int | None]]:
        """Return (input, output) tokens of up to ``limit`` rows that started in [since, until), latest start first.

        1 µs a row, where :meth:`between` takes 16.
        """
        chosen = where or Filter()
        sql = (
            "SELECT started_ms, usage_input_tokens, usage_output_tokens FROM requests INDEXED BY requests_started"
            f" WHERE started_ms >= ? AND started_ms < ?{f' AND ({chosen.sql})' if chosen else ''}"
            f" ORDER BY started_ms DESC LIMIT {int(limit)}"
        )
        with self._lock:
            found = [source.execute(sql, (since_ms, until_ms, *chosen.parameters)) for source in self._sources]
        newest = merge(*found, key=lambda row: -row[0])
        return [(into, out) for _, into, out in islice(newest, limit)]

    def count(self, since_ms: int, until_ms: int, where: Filter | None = None) -> int:
        """Return the number of rows that started in [since, until); 0.3 to 1 µs a row that is looked at."""
        chosen = where or Filter()
        sql = (
            "SELECT count(*) FROM requests INDEXED BY requests_started"
            f" WHERE started_ms >= ? AND started_ms < ?{f' AND ({chosen.sql})' if chosen else ''}"
        )
        with self._lock:
            found = [source.execute(sql, (since_ms, until_ms, *chosen.parameters)) for source in self._sources]
        return sum(int(rows[0][0]) for rows in found if rows)

    def span(self) -> tuple[int, int] | None:
        """Return (earliest, latest) start of all rows, Unix milliseconds; None for an empty log."""
        with self._lock:
            spans = [found for source in self._sources if (found := source.span())]
        return (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None

    def window(
        self,
        since_ms: int,
        until_ms: int,
        *,
        step_ms: int | None = None,
        by: Sequence[str] = ("model",),
        where: Filter | str | None = None,
    ) -> Window:
        """Add up what started in [since, until): in all, by ``by`` and, with ``step_ms``, by step of UTC time."""
        chosen = _compiled(where)
        sums = Sums(since_ms, until_ms, step_ms)
        with self._lock:
            for source in self._sources:
                source.add_to(sums, tuple(by), chosen)
        return sums.window()


def _compiled(where: Filter | str | None) -> Filter:
    if where is None:
        return Filter()
    return parse_filter(where) if isinstance(where, str) else where


class _Source:
    """One log, open for reading or not there."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.generation = 0
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._data_version = -1
        self._columns = ""
        self._rollups = RollupView(path)

    def open(self) -> None:
        """Open the log if there is one with a table; raise PromptopError if it cannot be read."""
        self.close()
        self._identity = files.identity(self.path)
        self._data_version = -1
        if self._identity is None:
            return
        with self._explained():
            connection = files.connect_for_reading(self.path)
            try:
                if schema.version_of(connection) == 0:
                    connection.close()
                    return
                present = {row[1] for row in connection.execute("PRAGMA table_info(requests)")}
            except BaseException:
                connection.close()
                raise
            self._columns = ", ".join(name if name in present else f"NULL AS {name}" for name in COLUMNS)
            self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._rollups.close()

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
        if files.identity(self.path) == self._identity:
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
            return connection.execute(sql, values).fetchall()

    def last_id(self) -> int:
        found = self.execute("SELECT max(id) FROM requests")
        return int(found[0][0] or 0) if found else 0

    def span(self) -> tuple[int, int] | None:
        found = self.execute("SELECT (SELECT min(started_ms) FROM requests), (SELECT max(started_ms) FROM requests)")
        return found[0] if found and found[0][0] is not None else None

    def rows(self, condition: str, values: Sequence[Any], tail: str = "") -> list[StoredRow]:
        if self._ready() is None:
            return []
        sql = f"SELECT id, {self._columns} FROM requests WHERE {condition} {tail}"
        names = ("id", *COLUMNS)
        return [
            StoredRow(source=self.number, **dict(zip(names, row, strict=True))) for row in self.execute(sql, values)
        ]

    def after(self, row_id: int, limit: int, where: Filter) -> list[StoredRow]:
        condition = "id > ?" + (f" AND ({where.sql})" if where else "")
        return self.rows(condition, (row_id, *where.parameters), f"ORDER BY id LIMIT {int(limit)}")

    def page(self, limit: int, before_id: int | None, where: Filter, budget_s: float | None) -> Page:
        top = _END if before_id is None else before_id
        if not where:
            rows = self.rows("id < ?", (top,), f"ORDER BY id DESC LIMIT {int(limit)}")
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
            )
            if len(found) >= limit:
                return Page(found, found[-1].id)
            top = low
            if deadline is not None and time.monotonic() > deadline:
                return Page(found, top if top > bottom else None)
        return Page(found, None)

    def add_to(self, sums: Sums, by: tuple[str, ...], where: Filter) -> None:
        connection = self._ready()
        if connection is None:
            return
        simple = not where and groups_by(by) and (not sums.step_ms or level_for(sums.step_ms) is not None)
        with self._explained():
            if not simple or not self._rollups.add_to(sums, connection, by):
                add_rows(sums, connection, by, sums.since_ms, sums.until_ms, where=where)
