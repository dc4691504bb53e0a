"""Money under way and spent, in one file that all processes of the user share, so that caps hold for them together.

A *scope* is what a cap holds for: a local day, a session of the app, one command. A call reserves its most in all of
its scopes in one transaction, or in none, and is settled to what it cost. What a call may have cost that never said so
(cancelled, cut, killed) stays reserved: a cap counts it, and no sum of known cost does.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from promptop.base import sqlite

NANO = 1_000_000_000
"""Sums are kept as whole billionths of a dollar: a sum of floats would depend on its order."""
BUSY_S = 10.0
"""Seconds that a transaction waits for another process's."""
KEEP_S = 3 * 86_400
"""Scopes that nothing was added to for so long are forgotten."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS scopes (
    scope TEXT PRIMARY KEY, spent INTEGER NOT NULL DEFAULT 0, held INTEGER NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0, changed_s REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    id INTEGER PRIMARY KEY, scopes TEXT NOT NULL, amount INTEGER NOT NULL, begun_s REAL NOT NULL
);
"""
_Found = TypeVar("_Found")


def up(usd: float) -> int:
    """Return billionths of a dollar, rounded up."""
    return math.ceil(round(usd * NANO, 3))


@dataclass(frozen=True, slots=True)
class Sum:
    """What a scope has used, USD."""

    spent_usd: float = 0.0
    held_usd: float = 0.0
    """Reserved by calls under way, and by calls that never said what they cost."""

    @property
    def used_usd(self) -> float:
        """What counts against a cap."""
        return self.spent_usd + self.held_usd


class Ledger:
    """The file, created with the first reservation (mode 0600); usable from any thread and after a fork."""

    def __init__(self, path: Path | None) -> None:
        """Keep the path; None keeps the sums in this process alone."""
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def reserve(self, usd: float, caps: Mapping[str, float | None]) -> tuple[int, str | None]:
        """Reserve an amount in every scope; returns the hold, or 0 and the scope whose cap does not leave that much.

        ``caps`` maps scopes to their caps, None for a scope that is only summed.
        """
        amount = up(usd)

        def work(database: sqlite3.Connection) -> tuple[int, str | None]:
            for scope, cap in caps.items():
                spent, held = _sums(database, scope)
                if cap is not None and spent + held + amount > math.floor(round(cap * NANO, 3)):
                    return 0, scope
            now = time.time()
            for scope in caps:
                _add(database, scope, now, held=amount)
            row = database.execute(
                "INSERT INTO holds (scopes, amount, begun_s) VALUES (?, ?, ?)", ("\n".join(caps), amount, now)
            )
            return int(row.lastrowid or 0), None

        return self._change(work)

    def settle(self, hold: int, usd: float | None) -> None:
        """Count what a call cost in place of what it had reserved; None is unknown, and keeps the reservation."""

        def work(database: sqlite3.Connection) -> None:
            row = database.execute("SELECT scopes, amount FROM holds WHERE id = ?", (hold,)).fetchone()
            if row is None or usd is None:
                return
            database.execute("DELETE FROM holds WHERE id = ?", (hold,))
            now = time.time()
            for scope in str(row[0]).split("\n"):
                _add(database, scope, now, spent=up(usd), held=-int(row[1]), calls=1)

        self._change(work)

    def know(self, scope: str, usd: float) -> None:
        """Take over what is known of a scope from elsewhere, where it is more than all that was reserved here."""

        def work(database: sqlite3.Connection) -> None:
            spent, held = _sums(database, scope)
            if up(usd) > spent + held:
                _add(database, scope, time.time(), spent=up(usd) - spent - held)

        self._change(work)

    def sum_of(self, scope: str) -> Sum:
        """Return what a scope has used."""
        if self.path is not None and self._connection is None and not self.path.exists():
            return Sum()
        spent, held = self._change(lambda database: _sums(database, scope))
        return Sum(spent / NANO, held / NANO)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __getstate__(self) -> tuple[Path | None]:
        return (self.path,)  # a tuple: a state that is None would not be handed back

    def __setstate__(self, state: tuple[Path | None]) -> None:
        self.__init__(*state)  # type: ignore[misc]  # a ledger that was sent to another process opens the file there

    def _change(self, work: Callable[[sqlite3.Connection], _Found]) -> _Found:
        with self._lock:
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            try:
                found = work(database)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            return found

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _opened(self.path)
        return self._connection


def _opened(path: Path | None) -> sqlite3.Connection:
    database = sqlite.in_memory() if path is None else sqlite.connect(path, timeout_s=BUSY_S)
    # A kill loses nothing that was committed; only a power cut might, and no call goes on after one.
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(_SCHEMA)
    database.execute("DELETE FROM scopes WHERE changed_s < ?", (time.time() - KEEP_S,))
    database.execute("DELETE FROM holds WHERE begun_s < ?", (time.time() - KEEP_S,))
    return database


def _sums(database: sqlite3.Connection, scope: str) -> tuple[int, int]:
    row: Sequence[int] | None = database.execute("SELECT spent, held FROM scopes WHERE scope = ?", (scope,)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def _add(
    database: sqlite3.Connection, scope: str, now_s: float, *, spent: int = 0, held: int = 0, calls: int = 0
) -> None:
    database.execute(
        "INSERT INTO scopes (scope, spent, held, calls, changed_s) VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE"
        " SET spent = spent + excluded.spent, held = max(0, held + excluded.held), calls = calls + excluded.calls,"
        " changed_s = excluded.changed_s",
        (scope, spent, held, calls, now_s),
    )
