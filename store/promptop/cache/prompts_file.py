"""Remembered prompts in a file, shared by the processes of a user: only where that was chosen (``semantic_keep``).

The file holds prompts in plain text beside their vectors (mode 0600). Each look first reads what other processes have
added since the last one, and then compares in memory. A file that fails rests for :data:`REST_S`; the look then knows
only what this process has seen.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptop.cache.semantic import ProcessMemory, Remembered

REST_S = 30.0
"""How long a file that failed is left alone, seconds."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS prompts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT UNIQUE, frame TEXT, text TEXT, vector BLOB, expires_s REAL
);
"""


class FileMemory(ProcessMemory):
    """A memory that outlives the process, bounded by entries; the oldest go first."""

    def __init__(self, path: Path, *, max_entries: int = 2000, clock: Callable[[], float] = time.time) -> None:
        super().__init__(max_entries=max_entries, clock=clock)
        self._path = path
        self._most = max_entries
        self._now = clock
        self._file_lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._seen = 0
        self._rest_until = 0.0
        self._state = "ok"

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and self._pid == os.getpid():
            return self._database
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        database = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        self._database, self._pid = database, os.getpid()
        return database

    def _do(self, work: Callable[[sqlite3.Connection], Any], otherwise: Any) -> Any:
        with self._file_lock:
            if time.monotonic() < self._rest_until:
                return otherwise
            try:
                result = work(self._open())
            except (sqlite3.Error, OSError) as error:
                self._state = f"{self._path}: {error}"
                self._rest_until = time.monotonic() + REST_S
                self._shut()
                return otherwise
            self._state = "ok"
            return result

    def _catch_up(self) -> None:
        """Take what has come into the file since the last look."""

        def work(database: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return database.execute(
                "SELECT seq, digest, frame, text, vector, expires_s FROM prompts WHERE seq > ? ORDER BY seq",
                (self._seen,),
            ).fetchall()

        for seq, *values in self._do(work, []):
            self._seen = seq
            super().add(Remembered(values[0], values[1], values[2], bytes(values[3]), values[4]))

    def add(self, item: Remembered) -> None:
        """Remember a prompt, here and in the file."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.execute(
                    "INSERT OR REPLACE INTO prompts (digest, frame, text, vector, expires_s) VALUES (?, ?, ?, ?, ?)",
                    (item.digest, item.frame, item.text, item.vector, item.expires_s),
                )
                database.execute("DELETE FROM prompts WHERE expires_s <= ?", (self._now(),))
                database.execute(
                    "DELETE FROM prompts WHERE seq <= (SELECT seq FROM prompts ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                    (self._most,),
                )
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

        super().add(item)
        self._do(work, None)

    def near(self, frame: str, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        """Return the nearest prompts, those of other processes included."""
        self._catch_up()
        return super().near(frame, vector, least)

    def drop(self, digest: str) -> None:
        """Forget a prompt, here and in the file."""
        super().drop(digest)
        self._do(lambda database: database.execute("DELETE FROM prompts WHERE digest = ?", (digest,)), None)

    def clear(self) -> None:
        """Forget everything, here and in the file."""
        super().clear()
        self._do(lambda database: database.execute("DELETE FROM prompts"), None)

    def stats(self) -> tuple[int, int, str]:
        """Return entries and bytes, those of other processes included, and the file's state."""
        self._catch_up()
        entries, size, _ = super().stats()
        return entries, size, self._state

    def text_of(self, digest: str) -> str:
        """Return the prompt under a key."""
        self._catch_up()
        return super().text_of(digest)

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def close(self) -> None:
        """Close the file; what it holds stays."""
        super().clear()
        with self._file_lock:
            self._shut()
