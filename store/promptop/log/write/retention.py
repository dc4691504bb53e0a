"""Retention: rows and bodies are deleted by age and size, in small transactions; rollups stay.

Rows are folded into the rollups before they are deleted. The log remembers from when on it is whole
(``pruned_before_ms``), so that windows widen to a stretch that rollups still know instead of showing too little.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from promptop.base import sqlite
from promptop.base.sqlite import connect
from promptop.log import files
from promptop.log.outbox import confirmed_id, floor_ms
from promptop.log.rollups.rollups import Rollups
from promptop.log.write.bodies import delete_body

DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_BATCH = 500
"""Rows deleted in one transaction: about 5 ms, in which another process's writer waits."""
_VACUUM_PAGES = 500


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one run of retention deleted."""

    rows: int = 0
    bodies: int = 0
    bytes_freed: int = 0
    complete: bool = True
    """False if it was stopped before the limits held."""


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of a database that hold something, without the pages that are free for reuse."""
    pages = (
        connection.execute("PRAGMA page_count").fetchone()[0]
        - connection.execute("PRAGMA freelist_count").fetchone()[0]
    )
    return int(pages * connection.execute("PRAGMA page_size").fetchone()[0])


def prune(
    log: Path,
    *,
    keep_days: float = 0,
    max_bytes: int = 0,
    bodies_only: bool = False,
    now_ms: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Delete rows that are older than ``keep_days`` and the oldest ones beyond ``max_bytes`` (0: no limit).

    ``max_bytes`` counts rows and bodies together; ``bodies_only`` deletes bodies by age and keeps the rows.
    Raises :class:`sqlite3.Error` or :class:`OSError`.
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    with contextlib.ExitStack() as stack:
        rows = stack.enter_context(contextlib.closing(files.open_log(log)))
        bodies = None
        if files.bodies_path(log).exists():
            bodies = stack.enter_context(contextlib.closing(connect(files.bodies_path(log))))
        before = _size(rows, bodies)
        if bodies_only:
            run = _Run(rows, bodies, stop)
            run.bodies_before(_cut(now_ms, keep_days) if keep_days else 0)
            run.sweep()
            return Pruned(0, run.bodies, max(0, before - _size(rows, bodies)), complete=not stop())
        oldest = _oldest(rows)
        if oldest is None or not (_too_old(oldest, keep_days, now_ms) or (max_bytes and before > max_bytes)):
            return Pruned()
        with Rollups(log) as rollups:
            while rollups.lag() and not stop():
                if not rollups.catch_up(0.05):
                    return Pruned(complete=False)  # another process folds: next time
            if rollups.lag():
                return Pruned(complete=False)
        confirmed = confirmed_id(log)
        run = _Run(rows, bodies, stop, confirmed)
        if keep_days:
            # Whole days: sums of a day are then either whole in the rows or wholly out of them.
            span = DAY_MS if keep_days >= 1 else _MINUTE_MS
            cut = round(now_ms - keep_days * DAY_MS) // span * span
            waits_from = floor_ms(rows, confirmed)
            run.before(cut if waits_from is None else min(cut, waits_from // span * span))
        while max_bytes and not stop() and _size(rows, bodies) > max_bytes:
            oldest = _oldest(rows)
            if oldest is None:
                break
            run.before(_hundredth(rows, oldest))
        run.sweep()
        return Pruned(run.rows, run.bodies, max(0, before - _size(rows, bodies)), complete=not stop())


def _cut(now_ms: int, keep_days: float) -> int:
    return round(now_ms - keep_days * DAY_MS) // _MINUTE_MS * _MINUTE_MS


def _too_old(oldest_ms: int, keep_days: float, now_ms: int) -> bool:
    return bool(keep_days) and oldest_ms < now_ms - keep_days * DAY_MS


def _size(rows: sqlite3.Connection, bodies: sqlite3.Connection | None) -> int:
    return used_bytes(rows) + (used_bytes(bodies) if bodies is not None else 0)


def _oldest(rows: sqlite3.Connection) -> int | None:
    found = rows.execute("SELECT min(started_ms) FROM requests").fetchone()[0]
    return None if found is None else int(found)


def _hundredth(rows: sqlite3.Connection, oldest_ms: int) -> int:
    """Return the minute before which about a hundredth of the rows lies, by ids, without counting them."""
    low, high = rows.execute("SELECT (SELECT min(id) FROM requests), (SELECT max(id) FROM requests)").fetchone()
    offset = max(1, (high - low) // 100)
    found = rows.execute(
        "SELECT started_ms FROM requests INDEXED BY requests_started WHERE started_ms >= ?"
        " ORDER BY started_ms LIMIT 1 OFFSET ?",
        (oldest_ms, offset),
    ).fetchone()
    latest = int(found[0]) if found else oldest_ms
    return max(latest // _MINUTE_MS, oldest_ms // _MINUTE_MS + 1) * _MINUTE_MS


class _Run:
    def __init__(
        self,
        rows: sqlite3.Connection,
        bodies: sqlite3.Connection | None,
        stop: Callable[[], bool],
        confirmed: int | None = None,
    ) -> None:
        self._rows, self._bodies, self._stop, self._confirmed = rows, bodies, stop, confirmed
        self.rows = self.bodies = 0

    def before(self, moment_ms: int) -> None:
        """Delete what started before a moment, rows first: bodies without a row are found again by their time."""
        while not self._stop():
            ids = self._rows.execute(
                "SELECT id FROM requests INDEXED BY requests_started WHERE started_ms < ? ORDER BY started_ms LIMIT ?",
                (moment_ms, _BATCH),
            ).fetchall()
            if not ids:
                break
            with sqlite.transaction(self._rows):
                # First of all the mark: from now on no window takes the rows that are left for all there were.
                sql = "UPDATE meta SET value = max(value, ?) WHERE key = 'pruned_before_ms'"
                self._rows.execute(sql, (moment_ms,))
                self._rows.executemany("DELETE FROM requests WHERE id = ?", ids)
                unshipped = 0 if self._confirmed is None else sum(row_id > self._confirmed for (row_id,) in ids)
                if unshipped:  # only the size of the log gets here: age waits for the shipper
                    self._rows.execute(
                        "INSERT INTO losses (at_ms, pid, rows, cause) VALUES (?, ?, ?, 'unshipped')",
                        (time.time_ns() // 1_000_000, os.getpid(), unshipped),
                    )
            self.rows += len(ids)
        self.bodies_before(moment_ms)

    def bodies_before(self, moment_ms: int) -> None:
        """Delete the bodies of requests that started before a moment."""
        while self._bodies is not None and not self._stop():
            ids = self._bodies.execute(
                "SELECT request_id FROM bodies WHERE at_ms < ? LIMIT ?", (moment_ms, _BATCH)
            ).fetchall()
            if not ids:
                break
            with sqlite.transaction(self._bodies):
                for (row_id,) in ids:
                    delete_body(self._bodies, row_id)
            self.bodies += len(ids)

    def sweep(self) -> None:
        """Give free pages back to the disk, some at a time, and empty the write-ahead files."""
        for connection in (self._rows, self._bodies):
            if connection is None:
                continue
            while not self._stop() and connection.execute("PRAGMA freelist_count").fetchone()[0] > _VACUUM_PAGES:
                connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            if not self._stop():
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
