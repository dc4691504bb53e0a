"""Rollups: what rows add up to by minute, quarter of an hour, two hours, six and day, in a file beside the log.

Derived data: rows with ids up to a high-water mark are in, each exactly once, because sums and mark move in one
transaction of one file. Rows above the mark are read as rows. So a reader that adds both is exact at any moment, and a
crash anywhere loses nothing but work. Whoever holds the lease folds; the lease saves double work, the transaction
alone makes it right.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.files import identity
from promptop.base.sqlite import BUSY_S, connect, connect_for_reading
from promptop.log import files
from promptop.log.read.stats import SELECTED
from promptop.log.rollups import watermark
from promptop.log.rollups.keys import (
    ALL,
    BY_APP,
    BY_EACH,
    BY_MODEL,
    BY_PROMPT,
    KINDS,
    LEVELS_MS,
    OVERFLOW,
    SKETCHED,
    STORED,
    SUMS_SINCE,
    VERSION,
    RollupCell,
    add_row,
    key_of,
    kinds_at,
    merged_buckets,
    merged_errors,
    upsert,
)
from promptop.log.rollups.trends import DDL as TRENDS_DDL
from promptop.log.rollups.trends import TrendFold

KEPT_DAYS = (8, 100, 0, 0, 0)
"""Days that each level is kept; 0 is for good. The window of 7 days needs minutes at its edge, and no older ones."""
LEASE_S = 15.0
_NEVER = 1 << 62
_PAGE = 16_384
"""Bytes. A window reads long stretches: cold, large pages take a third of the time of small ones."""

_DDL = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, model TEXT NOT NULL, app TEXT NOT NULL,"
    " prompt TEXT NOT NULL, UNIQUE (kind, model, app, prompt))",
    "INSERT INTO meta VALUES ('mark', 0), ('mark_started_ms', 0), ('log_id', ''), ('kept_from_0', 0),"
    " ('kept_from_1', 0), ('lease', ''), ('lease_until_ms', 0)",
)


def _table(name: str) -> str:
    blobs = {f"{sketch}_buckets" for sketch in SKETCHED}
    columns = ", ".join(
        f"{c} {'BLOB' if c in blobs else 'TEXT' if c == 'error_types' else 'INTEGER NOT NULL'}" for c in STORED
    )
    return f"CREATE TABLE {name} (key INTEGER PRIMARY KEY, {columns})"


_Names = tuple[str, str, str]
"""Model, app and prompt."""
_Place = tuple[int, int, _Names]
"""Start, series and names of a sum by each."""


class Rollups:
    """Keeps the rollups of a log; one thread at a time.

    Raises :class:`sqlite3.Error`, :class:`OSError` or :class:`PromptopError` if the log or the sidecar cannot be used.
    """

    def __init__(self, log: Path, *, timeout_s: float = BUSY_S, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.log, self.path = log, files.rollups_path(log)
        self._timeout_s = timeout_s
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{id(self)}"
        self._rows: sqlite3.Connection | None = None
        self._sums: sqlite3.Connection | None = None
        self._trends: TrendFold | None = None
        self._identities: tuple[object, object] = (None, None)
        self._known: dict[tuple[int, str, str, str], int] = {}

    def release(self) -> None:
        """Give the lease back, so that another process may fold at once; the next fold takes it anew."""
        if self._sums is not None:
            with contextlib.suppress(sqlite3.Error):  # a lease that cannot be given back runs out
                self._sums.execute(
                    "UPDATE meta SET value = 0 WHERE key = 'lease_until_ms'"
                    " AND (SELECT value FROM meta WHERE key = 'lease') = ?",
                    (self._holder,),
                )

    def close(self) -> None:
        """Give the lease back and close both files."""
        self.release()
        for connection in (self._rows, self._sums):
            if connection is not None:
                connection.close()
        self._rows = self._sums = self._trends = None

    def __enter__(self) -> Rollups:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def lag(self) -> int:
        """Return how many ids lie above the mark."""
        rows, sums = self._open()
        last = rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0
        behind = self._trend_fold(sums).behind(rows, int(last), self._now_ms())
        return max(0, int(last) - int(watermark.fact(sums, "mark")), behind)

    def busy(self) -> bool:
        """Tell whether another process holds the lease."""
        _, sums = self._open()
        left_ms = int(watermark.fact(sums, "lease_until_ms")) - self._now_ms()
        return watermark.fact(sums, "lease") != self._holder and 0 < left_ms <= 2000 * LEASE_S

    def fold(self, limit: int = 2_000) -> int | None:
        """Fold the next rows in one transaction and return their number; None if another process holds the lease."""
        rows, sums = self._open()
        sums.execute("BEGIN IMMEDIATE")
        try:
            if not self._leased(sums):
                sums.execute("ROLLBACK")
                return None
            mark = self._checked_mark(rows, sums)
            count = self._fold(rows, sums, "rollups", mark, limit, frozen_before_ms=0)
            count = max(count, self._trend_fold(sums).fold(rows, limit, self._now_ms()))
            self._renew(sums)
            sums.execute("COMMIT")
        except BaseException:
            self._known.clear()  # series that the rollback took away
            self._trend_fold(sums).forget()
            if sums.in_transaction:
                sums.execute("ROLLBACK")
            raise
        return count

    def catch_up(self, budget_s: float = 1.0, *, limit: int = 2_000, stop: Callable[[], bool] = lambda: False) -> int:
        """Fold until nothing is left, ``budget_s`` is used up or ``stop()``; return how many rows were folded."""
        deadline = time.monotonic() + budget_s
        folded = 0
        while not stop():
            count = self.fold(limit)
            folded += count or 0
            if count is None or count < limit or time.monotonic() >= deadline:
                break
        return folded

    def rebuild(self, progress: Callable[[int, int], None] = lambda done, of: None) -> int:
        """Compute everything anew from the rows and return their number; what retention has deleted stays as it was.

        Readers see the old sums until the new ones are complete, and a crash leaves the old ones.
        """
        rows, sums = self._open(mend=True)
        self._renew(sums)  # whoever folds now is told to wait
        for level, moment in self._kept_from(self._now_ms()):
            if moment > int(watermark.fact(sums, f"kept_from_{level}")):
                watermark.note(sums, f"kept_from_{level}", moment)  # readers take coarser sums, of old ones and of new
        boundary = watermark.fact(rows, "pruned_before_ms")
        if boundary:
            self.catch_up(float("inf"), limit=20_000)  # stretches that retention has cut are kept: they are completed
        last = int(rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0)
        self._begin_rebuild(sums, boundary)
        mark = done = 0
        while mark < last:
            sums.execute("BEGIN IMMEDIATE")
            try:
                self._renew(sums)
                done += self._fold(
                    rows, sums, "rebuilt", mark, 20_000, frozen_before_ms=boundary, mark_key="rebuilt_mark"
                )
                mark = int(watermark.fact(sums, "rebuilt_mark"))
                sums.execute("COMMIT")
            except BaseException:
                self._known.clear()
                if sums.in_transaction:
                    sums.execute("ROLLBACK")
                raise
            progress(mark, last)
        sums.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have folded meanwhile; from this mark on the rows are folded again into the new table.
            watermark.note(sums, "mark", mark)
            watermark.note(sums, "mark_started_ms", watermark.started_ms(rows, mark) or 0)
            watermark.note(sums, "log_id", watermark.fact(rows, "log_id", ""))
            self._trend_fold(sums).reset()
            sums.execute("DROP TABLE rollups")
            sums.execute("ALTER TABLE rebuilt RENAME TO rollups")
            sums.execute("COMMIT")
        except BaseException:
            if sums.in_transaction:
                sums.execute("ROLLBACK")
            raise
        self.catch_up(float("inf"), limit=20_000)
        return done

    def prune(self) -> int:
        """Delete the finer levels of old times (:data:`KEPT_DAYS`) and return how many sums that were."""
        now_ms = self._now_ms()
        _, sums = self._open()
        gone = 0
        sums.execute("BEGIN IMMEDIATE")
        try:
            for level, before_ms in self._kept_from(now_ms):
                if before_ms <= int(watermark.fact(sums, f"kept_from_{level}")):
                    continue
                for kind in KINDS:
                    span = (key_of(level, kind, 0), key_of(level, kind, before_ms))
                    gone += sums.execute("DELETE FROM rollups WHERE key >= ? AND key < ?", span).rowcount
                watermark.note(sums, f"kept_from_{level}", before_ms)
            sums.execute("COMMIT")
        except BaseException:
            if sums.in_transaction:
                sums.execute("ROLLBACK")
            raise
        return gone

    # ── inside ──

    def _open(self, *, mend: bool = False) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        now = (identity(self.log), identity(self.path))
        if self._rows is not None and self._sums is not None and now == self._identities:
            return self._rows, self._sums
        self.close()
        self._known.clear()
        if now[0] is None:
            raise PromptopError(f"There is no log at {self.log}.", "It is created by the first call that is logged.")
        self._rows = connect_for_reading(self.log, timeout_s=self._timeout_s)
        try:
            self._sums = self._open_sums()
        except sqlite3.DatabaseError as error:
            if not mend or isinstance(error, sqlite3.OperationalError):
                raise
            for suffix in ("", "-wal", "-shm"):  # damaged, and derived: begin anew
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            self._sums = self._open_sums()
        self._identities = (identity(self.log), identity(self.path))
        return self._rows, self._sums

    def _trend_fold(self, sums: sqlite3.Connection) -> TrendFold:
        if self._trends is None:
            self._trends = TrendFold(sums)
        return self._trends

    def _open_sums(self) -> sqlite3.Connection:
        connection = connect(self.path, timeout_s=self._timeout_s, page_size=_PAGE)
        connection.create_function("merged_buckets", 2, merged_buckets, deterministic=True)
        connection.create_function("merged_errors", 2, merged_errors, deterministic=True)
        try:
            connection.execute("BEGIN IMMEDIATE")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version == SUMS_SINCE:
                for statement in (*TRENDS_DDL, f"PRAGMA user_version = {VERSION}"):
                    connection.execute(statement)
            elif version == 3:
                # The host that was called is named server since version 4.
                connection.execute("UPDATE trend_series SET dimension = 'server' WHERE dimension = 'host'")
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                # Derived data of another version, older or newer, is made anew.
                for (name,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
                ).fetchall():
                    connection.execute(f'DROP TABLE "{name}"')
                for statement in (*_DDL, _table("rollups"), *TRENDS_DDL, f"PRAGMA user_version = {VERSION}"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _leased(self, sums: sqlite3.Connection) -> bool:
        """Take or renew the lease; False if another holds it. One that lies far ahead is a clock that was set back."""
        if self.busy():
            return False
        watermark.note(sums, "lease", self._holder)
        return True

    def _renew(self, sums: sqlite3.Connection) -> None:
        watermark.note(sums, "lease", self._holder)
        watermark.note(sums, "lease_until_ms", self._now_ms() + round(LEASE_S * 1000))

    def _checked_mark(self, rows: sqlite3.Connection, sums: sqlite3.Connection) -> int:
        """Return the mark, or 0 after emptying the rollups if they belong to another log or to its future."""
        known, log_id = watermark.facts(sums), watermark.fact(rows, "log_id", "")
        if not watermark.same_rows(rows, known, log_id):
            sums.execute("DELETE FROM rollups")
            self._trend_fold(sums).reset()
            for key in ("mark", "mark_started_ms", *(f"kept_from_{level}" for level in range(len(LEVELS_MS)))):
                watermark.note(sums, key, 0)
            known["mark"] = 0
        watermark.note(sums, "log_id", log_id)
        if not known["mark"]:
            for level, moment in self._kept_from(self._now_ms()):
                watermark.note(sums, f"kept_from_{level}", moment)
        return int(known["mark"])

    def _kept_from(self, now_ms: int) -> Iterator[tuple[int, int]]:
        """Yield (level, from when on it is kept, a midnight UTC) of the levels that are not kept for good."""
        for level, days in enumerate(KEPT_DAYS):
            if days:
                yield level, max(0, (now_ms - days * LEVELS_MS[-1]) // LEVELS_MS[-1] * LEVELS_MS[-1])

    def _begin_rebuild(self, sums: sqlite3.Connection, boundary: int) -> None:
        sums.execute("BEGIN IMMEDIATE")
        try:
            self._renew(sums)
            sums.execute("DROP TABLE IF EXISTS rebuilt")
            sums.execute(_table("rebuilt"))
            watermark.note(sums, "rebuilt_mark", 0)
            if boundary:
                for level in range(len(LEVELS_MS)):
                    for kind in KINDS:
                        span = (key_of(level, kind, 0), key_of(level, kind, boundary))
                        sums.execute("INSERT INTO rebuilt SELECT * FROM rollups WHERE key >= ? AND key < ?", span)
            sums.execute("COMMIT")
        except BaseException:
            if sums.in_transaction:
                sums.execute("ROLLBACK")
            raise

    def _fold(
        self,
        rows: sqlite3.Connection,
        sums: sqlite3.Connection,
        table: str,
        mark: int,
        limit: int,
        *,
        frozen_before_ms: int,
        mark_key: str = "mark",
    ) -> int:
        """Add the rows above ``mark`` to ``table`` and move the mark; older stretches are frozen."""
        known = watermark.facts(sums)
        # Minutes of long ago are not even made: most of the work and of the file of a first build.
        first = [max(frozen_before_ms, int(known.get(f"kept_from_{level}", 0))) for level in range(len(LEVELS_MS))]
        cells: list[dict[tuple[int, _Names], RollupCell]] = [{} for _ in LEVELS_MS]
        level, since, until = 0, first[0], _NEVER
        last: Any = None
        count = 0
        for row in rows.execute(f"SELECT {SELECTED} FROM requests WHERE id > ? ORDER BY id LIMIT ?", (mark, limit)):
            last = row
            count += 1
            started = row[1]
            if not since <= started < until:
                level = next((at for at, kept in enumerate(first) if started >= kept), len(first) - 1)
                since, until = first[level] if started >= first[level] else 0, first[level - 1] if level else _NEVER
            span = LEVELS_MS[level]
            add_row(cells[level], (started - started % span, row[2:5]), row)
        if last is None:
            return 0
        statement = upsert(table)
        for level, sums_of_level in enumerate(self._by_level(sums, cells, first)):
            sums.executemany(
                statement,
                [
                    (key_of(level, kind, start, series), *cell.stored())
                    for (kind, start, series), cell in sums_of_level.items()
                ],
            )
        watermark.note(sums, mark_key, last[0])
        if mark_key == "mark":
            watermark.note(sums, "mark_started_ms", last[1])
        return count

    def _by_level(
        self, sums: sqlite3.Connection, cells: Sequence[dict[tuple[int, _Names], RollupCell]], first: Sequence[int]
    ) -> Iterator[dict[tuple[int, int, int], RollupCell]]:
        """Yield (kind, start, series) → cell of each level from ``first`` on, each added up from the level below it.

        ``cells`` has for each level the rows of times of which no finer one is kept.
        """
        each: dict[_Place, RollupCell] = {}
        for level, span in enumerate(LEVELS_MS):
            below, each = (
                each,
                {
                    (start, self._series(sums, BY_EACH, *names), names): cell
                    for (start, names), cell in cells[level].items()
                },
            )
            for (start, series, names), cell in below.items():
                _add_to(each, (start - start % span, series, names), cell)
            wanted = {place: cell for place, cell in each.items() if place[0] >= first[level]}
            found: dict[tuple[int, int, int], RollupCell] = {
                (BY_EACH, *place[:2]): cell for place, cell in wanted.items()
            }
            for kind in kinds_at(level):
                if kind not in (ALL, BY_EACH):
                    for (start, _, names), cell in wanted.items():
                        _add_to(found, (kind, start, self._series(sums, kind, *names)), cell)
            whole: dict[tuple[int, int, int], RollupCell] = {}
            for (kind, start, _), cell in found.items():
                if kind == BY_MODEL:  # a few models, and many prompts of each
                    _add_to(whole, (ALL, start, 0), cell)
            found |= whole
            yield found

    def _series(self, sums: sqlite3.Connection, kind: int, model: str, app: str, prompt: str) -> int:
        if kind == ALL:
            return 0
        each = kind == BY_EACH
        name = (
            kind,
            model if each or kind == BY_MODEL else "",
            app if each or kind == BY_APP else "",
            prompt if each or kind == BY_PROMPT else "",
        )
        found = self._known.get(name)
        if found is None:
            where = "kind = ? AND model = ? AND app = ? AND prompt = ?"
            row = sums.execute(f"SELECT id FROM series WHERE {where}", name).fetchone()
            if row is None:
                made = sums.execute("INSERT INTO series (kind, model, app, prompt) VALUES (?, ?, ?, ?)", name).lastrowid
                row = (made,)
            found = self._known[name] = min(int(row[0]), OVERFLOW)
        return found


def _add_to(cells: dict[Any, RollupCell], key: Any, cell: RollupCell) -> None:
    """Add a cell to the one under a key. A sum of one cell is that cell; it is copied when a second one comes."""
    found = cells.get(key)
    if found is None:
        cells[key] = cell
        return
    if found.owner is not cells:
        found = cells[key] = found.copied(cells)
    found.add(cell)
