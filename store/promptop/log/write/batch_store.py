"""The open files of one writer: rows go in by batches, bodies beside them."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from itertools import compress, groupby
from operator import is_not
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base.files import identity
from promptop.base.sqlite import BUSY_S
from promptop.log import files
from promptop.log.row import COLUMNS
from promptop.log.write.pending import Bodies, Finished

if TYPE_CHECKING:
    from promptop.log.row import Row
    from promptop.log.write.spill import Mark, Spill

_NONES = (None,) * len(COLUMNS)
_STATEMENTS = 256
"""Insert statements that are kept: one for each set of columns that rows bring."""
_DATA_ERRORS = (
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    OverflowError,
    ValueError,
    TypeError,
)
"""What a value raises that SQLite cannot take: a list where a number belongs, 2**64, half a surrogate pair."""


class Store:
    """The open log of one writer."""

    def __init__(self, path: Path, *, timeout_s: float = BUSY_S) -> None:
        """``timeout_s`` is how long a transaction waits for that of another process."""
        self._path = path
        self._timeout_s = timeout_s
        self._bodies: Any = None
        self._statements: dict[tuple[bool, ...], str] = {}
        self._connection = files.open_log(path, timeout_s=timeout_s)
        self._identity = identity(path)

    def wait(self, timeout_s: float) -> None:
        """Let transactions wait so long for those of other processes."""
        if timeout_s != self._timeout_s:
            self._connection.execute(f"PRAGMA busy_timeout = {int(timeout_s * 1000)}")
            self._timeout_s = timeout_s

    def replaced(self) -> bool:
        """Tell whether the file at the path is no longer the one that is open (2 µs)."""
        return identity(self._path) != self._identity

    def insert(
        self, rows: list[tuple[Any, ...]], losses: dict[str, int], mark: Mark | None = None
    ) -> tuple[int, set[int]]:
        """Insert rows in one transaction; return the last id and the indexes of rows that SQLite refused.

        ``mark`` says up to where that settles the outlines.
        """
        try:
            return self._transaction(lambda cursor: self._insert_all(cursor, rows), losses, mark), set()
        except _DATA_ERRORS:
            refused: set[int] = set()

            def one_by_one(cursor: sqlite3.Cursor) -> None:
                for index, row in enumerate(rows):
                    try:
                        self._insert_all(cursor, [tuple(_storable(value) for value in row)])
                    except _DATA_ERRORS:
                        refused.add(index)

            return self._transaction(one_by_one, losses, mark), refused

    def _insert_all(self, cursor: sqlite3.Cursor, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows, naming only the columns that a row has: sqlite3 takes 0.3 µs to bind a None, 13 µs a row."""
        for mask, group in groupby(rows, lambda row: tuple(map(is_not, row, _NONES))):
            statement = self._statements.get(mask)
            if statement is None:
                if len(self._statements) >= _STATEMENTS:
                    self._statements.clear()
                names = list(compress(COLUMNS, mask))
                statement = f"INSERT INTO requests ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                self._statements[mask] = statement
            cursor.executemany(statement, [tuple(compress(row, mask)) for row in group])

    def _transaction(
        self, insert: Callable[[sqlite3.Cursor], object], losses: dict[str, int], mark: Mark | None
    ) -> int:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            insert(cursor)
            last = int(cursor.execute("SELECT last_insert_rowid()").fetchone()[0])
            if mark is not None:
                mark.write(cursor)
            for cause, count in losses.items():
                cursor.execute(
                    "INSERT INTO losses (at_ms, pid, rows, cause) VALUES (?, ?, ?, ?)",
                    (time.time_ns() // 1_000_000, os.getpid(), count, cause),
                )
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return last

    def read_back(
        self, spill: Spill, most: int, values: Callable[[Row], tuple[Any, ...]]
    ) -> list[tuple[int, Finished]]:
        """Move the next rows of a spill file into the log; return those that went in, with their ids."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        kept: list[tuple[int, Finished]] = []
        try:
            rows, place = spill.next(cursor, most)
            for finished in rows:
                try:
                    self._insert_all(cursor, [tuple(_storable(value) for value in values(finished.row))])
                except _DATA_ERRORS:
                    continue
                kept.append((_last_id(cursor), finished))
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        spill.have_read(place, len(rows))
        if not spill.left:
            spill.remove(self._connection)
        return kept

    def remove(self, spill: Spill) -> None:
        """Delete a file whose rows are in the log."""
        spill.remove(self._connection)

    def insert_bodies(
        self, kept: list[tuple[int, Finished]], mode: Bodies, redact: Callable[[str], str] | None
    ) -> None:
        if self._bodies is None:
            from promptop.log.write.bodies import BodyStore

            self._bodies = BodyStore(self._path)
        self._bodies.insert(kept, mode, redact)

    def close(self) -> None:
        if self._bodies is not None:
            self._bodies.close()
        self._connection.close()


def _last_id(cursor: sqlite3.Cursor) -> int:
    """Return the id of the latest row; ``executemany`` sets no ``lastrowid``."""
    return int(cursor.execute("SELECT last_insert_rowid()").fetchone()[0])


def _storable(value: Any) -> Any:
    """Return a value that SQLite can take, as near as it gets; None where there is none."""
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None
