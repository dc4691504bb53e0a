"""Reading the log: pages by key, what is new, windows. A reader never changes a log and never scans it.

Every query on ``requests`` names a stretch of ids or of time (a test looks at each query plan), so that its cost
depends on what it returns and not on how much the log holds. A log that is not there yet is an empty log; one that is
deleted or replaced while it is read is opened anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Sequence
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from promptop.log.read.filters import Filter, parse_filter
from promptop.log.read.log_file import END, Page, Source, StoredRow
from promptop.log.read.stats import Window
from promptop.log.read.windows import Sums
from promptop.log.rollups.trend_query import TrendCell, TrendSeries
from promptop.log.rollups.trends import Place


class LogSource(Protocol):
    """What a reader asks of each log: a file (:class:`Source`), or a fleet's log elsewhere."""

    number: int
    path: Path
    generation: int

    def open(self) -> None: ...

    def close(self) -> None: ...

    def trace(self, tell: Callable[[str], object] | None) -> None: ...

    def changed(self) -> bool: ...

    def last_id(self) -> int: ...

    def span(self) -> tuple[int, int] | None: ...

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Any]: ...

    def rows(
        self, condition: str, values: Sequence[Any], tail: str = "", *, columns: Sequence[str] | None = None
    ) -> list[StoredRow]: ...

    def after(
        self, row_id: int, limit: int, where: Filter, columns: Sequence[str] | None = None
    ) -> list[StoredRow]: ...

    def page(
        self,
        limit: int,
        before_id: int | None,
        where: Filter,
        budget_s: float | None,
        columns: Sequence[str] | None = None,
    ) -> Page: ...

    def trend_series(self, since_ms: int) -> list[TrendSeries]: ...

    def trend_cells(
        self, level: int, since_ms: int, until_ms: int, wanted: Collection[Place] | None = None
    ) -> list[TrendCell]: ...

    def trend_newer(self) -> list[tuple[TrendSeries, TrendCell]] | None: ...

    def trend_quarters(self, place: Place, since_ms: int, until_ms: int) -> list[tuple[int, ...]]: ...

    def trend_newest(self, since_ms: int) -> list[tuple[int, list[Place], tuple[int, ...]]]: ...

    def add_to(self, sums: Sums, by: tuple[str, ...], where: Filter) -> None: ...

    def add_newer(self, sums: Sums, by: tuple[str, ...], where: Filter, mark: int) -> None: ...


class RemoteLog(Protocol):
    """Names a log that is no file."""

    def source(self, number: int) -> LogSource:
        """Return it open for reading, as one of several."""


LogPlace = str | os.PathLike[str] | RemoteLog


class LogReader:
    """Reads one log, or several as one; safe to use from several threads, one at a time.

    Raises :class:`PromptopError` with cause and remedy for a file that is not a log, is newer, damaged or locked.
    """

    def __init__(self, path: LogPlace | Sequence[LogPlace]) -> None:
        paths = list(path) if isinstance(path, Sequence) and not isinstance(path, str) else [path]
        self._sources: list[LogSource] = [
            Source(Path(place), number) if isinstance(place, str | os.PathLike) else place.source(number)
            for number, place in enumerate(paths)
        ]
        self._lock = threading.RLock()
        for source in self._sources:
            source.open()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read; of a fleet's log a name without a file."""
        return tuple(source.path for source in self._sources)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files alone: what is known of calls in flight lies beside them."""
        return tuple(source.path for source in self._sources if isinstance(source, Source))

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

    def trace(self, tell: Callable[[str], object] | None) -> None:
        """Tell each SQL statement that is run from now on, with its values; None ends that."""
        with self._lock:
            for source in self._sources:
                source.trace(tell)

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
        columns: Sequence[str] | None = None,
    ) -> tuple[list[StoredRow], tuple[int, ...] | None]:
        """Return up to ``limit`` rows before ``place``, newest first, and the place before them; None at the beginning.

        A place is an id in each log; logs that it does not name have no older rows. Each log keeps its own order, so
        that no row is left out or brought twice, whatever the clocks of the writers say. ``budget_s`` holds for each
        log as :meth:`page` says; one whose search it ends may bring rows later that belong before those of others.
        """
        chosen = _compiled(where)
        with self._lock:
            tops = [END] * len(self._sources) if place is None else [*place, *[0] * (len(self._sources) - len(place))]
            pages = [s.page(limit, top, chosen, budget_s, columns) for s, top in zip(self._sources, tops, strict=True)]
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
        self,
        mark: Sequence[int],
        limit: int,
        where: Filter | str | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> tuple[list[StoredRow], tuple[int, ...]]:
        """Return up to ``limit`` rows of each log that are newer than ``mark``, oldest first, and the new mark."""
        chosen = _compiled(where)
        rows: list[StoredRow] = []
        moved: list[int] = []
        with self._lock:
            for source, seen in zip(self._sources, mark, strict=True):
                last = source.last_id()
                found = source.after(seen, limit, chosen, columns)
                rows += found
                moved.append(found[-1].id if len(found) == limit else max(last, seen))
        if len(self._sources) > 1:
            rows.sort(key=lambda r: (r.started_ms, r.id))
        return rows, tuple(moved)

    def between(
        self,
        since_ms: int,
        until_ms: int,
        limit: int,
        where: Filter | str | None = None,
        *,
        before: tuple[int, int, int] | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[StoredRow]:
        """Return up to ``limit`` rows that started in [since, until), latest start first.

        ``before`` is (start, id, source) of the last row of a page: the next page has what comes after it. Of
        ``columns`` alone where they are named, ``started_ms`` among them: the others are unknown then.
        """
        chosen = _compiled(where)
        condition = "started_ms >= ? AND started_ms < ?" + (f" AND ({chosen.sql})" if chosen else "")
        if before is not None:
            until_ms = min(until_ms, before[0] + 1)
        rows: list[StoredRow] = []
        with self._lock:
            for source in self._sources:
                values: tuple[Any, ...] = (since_ms, until_ms, *chosen.parameters)
                further = ""
                if before is not None:
                    # Of one moment the row of the higher id comes first, and of one id that of the later log.
                    further = " AND (started_ms < ? OR +id < ?)"
                    values += (before[0], before[1] + (source.number < before[2]))
                tail = f"ORDER BY started_ms DESC, id DESC LIMIT {int(limit)}"
                rows += source.rows(condition + further, values, tail, columns=columns)
        rows.sort(key=lambda r: (r.started_ms, r.id, r.source), reverse=True)
        return rows[:limit]

    def stretch(
        self, source: int, place: tuple[int, int], until_ms: int, limit: int, where: Filter | None = None
    ) -> list[StoredRow]:
        """Return up to ``limit`` rows of one log that started before ``until_ms`` and come after ``place``, in order.

        A place is (start, id); the one of the last row leads to the next page. Found by time, whatever the log's size.
        """
        chosen = where or Filter()
        condition = "started_ms >= ? AND started_ms < ? AND (started_ms > ? OR +id > ?)"
        condition += f" AND ({chosen.sql})" if chosen else ""
        values = (place[0], until_ms, *place, *chosen.parameters)
        with self._lock:
            return self._sources[source].rows(condition, values, f"ORDER BY started_ms, id LIMIT {int(limit)}")

    def top(
        self, since_ms: int, until_ms: int, figure: str, limit: int, where: Filter, *, smallest: bool = False
    ) -> list[tuple[float, int, int]]:
        """Return (figure, source, id) of the rows of [since, until) with the largest figures; ``figure`` is SQL.

        Looks at every row of the stretch, 1 to 2 µs each: see :mod:`promptop.log.read.top_rows`.
        """
        sql = (
            f"SELECT {figure} AS figure, id FROM requests INDEXED BY requests_started"
            f" WHERE started_ms >= ? AND started_ms < ? AND figure IS NOT NULL{f' AND ({where.sql})' if where else ''}"
            f" ORDER BY figure {'ASC' if smallest else 'DESC'}, id DESC LIMIT {int(limit)}"
        )
        with self._lock:
            return [
                (float(amount), source.number, row_id)
                for source in self._sources
                for amount, row_id in source.execute(sql, (since_ms, until_ms, *where.parameters))
            ]

    def rows_by_id(self, places: Sequence[tuple[int, int]], *, columns: Sequence[str] | None = None) -> list[StoredRow]:
        """Return the rows of (source, id), in that order; those that are gone are left out."""
        found: dict[tuple[int, int], StoredRow] = {}
        with self._lock:
            for source in self._sources:
                ids = [row_id for number, row_id in places if number == source.number]
                for first in range(0, len(ids), 500):
                    chosen = ids[first : first + 500]
                    for row in source.rows(f"id IN ({', '.join('?' * len(chosen))})", chosen, columns=columns):
                        found[source.number, row.id] = row
        return [found[place] for place in places if place in found]

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
        own: bool = True,
    ) -> Window:
        """Add up what started in [since, until): in all, by ``by`` and, with ``step_ms``, by step of UTC time.

        Without ``own`` promptop's own measuring calls are left out, and counted apart.
        """
        chosen = _compiled(where)
        sums = Sums(since_ms, until_ms, step_ms, own=own)
        with self._lock:
            for source in self._sources:
                source.add_to(sums, tuple(by), chosen)
        return sums.window()

    def trend_series(self, since_ms: int) -> list[TrendSeries]:
        """Return the values of all dimensions that had a row since a time; of several logs, each log's own."""
        with self._lock:
            return [series for source in self._sources for series in source.trend_series(since_ms)]

    def trend_cells(
        self, level: int, since_ms: int, until_ms: int, wanted: Collection[Place] | None = None
    ) -> list[TrendCell]:
        """Return the trends of a level (minutes or quarters of an hour) that begin in [since, until)."""
        with self._lock:
            return [cell for source in self._sources for cell in source.trend_cells(level, since_ms, until_ms, wanted)]

    def trend_newer(self) -> list[tuple[TrendSeries, TrendCell]] | None:
        """Return the rows that are not in the trends yet; None while those of any log are not made."""
        out: list[tuple[TrendSeries, TrendCell]] = []
        with self._lock:
            for source in self._sources:
                found = source.trend_newer()
                if found is None:
                    return None
                out += found
        return out

    def trend_quarters(self, place: Place, since_ms: int, until_ms: int) -> list[list[int]]:
        """Return the trends of one value, one a quarter of an hour in [since, until); zeros where it had no row."""
        with self._lock:
            of_sources = [source.trend_quarters(place, since_ms, until_ms) for source in self._sources]
        return [[sum(column) for column in zip(*cells, strict=True)] for cells in zip(*of_sources, strict=True)]

    def trend_newest(self, since_ms: int) -> list[tuple[int, list[Place], tuple[int, ...]]]:
        """Return the last rows that ended since a time, at most 300 a log: end, values and parts of each."""
        with self._lock:
            return [row for source in self._sources for row in source.trend_newest(since_ms)]

    def extend(
        self,
        window: Window,
        *,
        step_ms: int | None = None,
        by: Sequence[str] = ("model",),
        where: Filter | str | None = None,
        own: bool = True,
    ) -> Window | None:
        """Return a window that :meth:`window` gave for the same question, with what came since; it stays as it was.

        Costs what came, and not what the window has. None if a log was replaced or lost its newest rows: then the
        question must be asked anew. Rows that were deleted since stay counted.
        """
        sums = Sums(window.since_ms, window.until_ms, step_ms, own=own)
        chosen = _compiled(where)
        with self._lock:
            for source, mark in zip(self._sources, window.marks, strict=True):
                source.add_newer(sums, tuple(by), chosen, mark)
        newer = sums.window()
        if any(new < old for new, old in zip(newer.marks, window.marks, strict=True)):
            return None
        return window.joined(newer)


def _compiled(where: Filter | str | None) -> Filter:
    if where is None:
        return Filter()
    return parse_filter(where) if isinstance(where, str) else where
