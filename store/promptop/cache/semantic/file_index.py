"""Remembered prompts in a file, shared by the processes of a user: only where that was chosen (``semantic_keep``).

The file holds prompts in plain text beside their vectors (mode 0600). Each look first reads what other processes have
added since the last one, and then compares in memory. A file that fails rests for a while (:mod:`.resting`); the look
then knows only what this process has seen.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptop.cache.semantic.level import ProcessMemory, Remembered
from promptop.cache.sqlite_file import RestingFile

_SCHEMA = """
CREATE TABLE IF NOT EXISTS prompts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT UNIQUE, frame TEXT, text TEXT, vector BLOB, expires_s REAL
);
"""


class FileMemory(ProcessMemory):
    """A memory that outlives the process, bounded by entries; the oldest go first."""

    def __init__(self, path: Path, *, max_entries: int = 2000, clock: Callable[[], float] = time.time) -> None:
        super().__init__(max_entries=max_entries, clock=clock)
        self._file = RestingFile(path, _SCHEMA)
        self._most = max_entries
        self._now = clock
        self._seen = 0

    def _catch_up(self) -> None:
        """Take what has come into the file since the last look."""

        def work(database: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return database.execute(
                "SELECT seq, digest, frame, text, vector, expires_s FROM prompts WHERE seq > ? ORDER BY seq",
                (self._seen,),
            ).fetchall()

        for seq, *values in self._file.do(work, [], writes=False):
            self._seen = seq
            super().add(Remembered(values[0], values[1], values[2], bytes(values[3]), values[4]))

    def add(self, item: Remembered) -> None:
        """Remember a prompt, here and in the file."""

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT OR REPLACE INTO prompts (digest, frame, text, vector, expires_s) VALUES (?, ?, ?, ?, ?)",
                (item.digest, item.frame, item.text, item.vector, item.expires_s),
            )
            database.execute("DELETE FROM prompts WHERE expires_s <= ?", (self._now(),))
            database.execute(
                "DELETE FROM prompts WHERE seq <= (SELECT seq FROM prompts ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                (self._most,),
            )

        super().add(item)
        self._file.do(work, None)

    def near(self, frame: str, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        """Return the nearest prompts, those of other processes included."""
        self._catch_up()
        return super().near(frame, vector, least)

    def drop(self, digest: str) -> None:
        """Forget a prompt, here and in the file."""
        super().drop(digest)
        self._file.do(lambda database: database.execute("DELETE FROM prompts WHERE digest = ?", (digest,)), None)

    def clear(self) -> None:
        """Forget everything, here and in the file."""
        super().clear()
        self._file.do(lambda database: database.execute("DELETE FROM prompts"), None)

    def digests(self) -> list[str]:
        """Return the keys of the answers to all remembered prompts, those of other processes included."""
        self._catch_up()
        return super().digests()

    def stats(self) -> tuple[int, int, str]:
        """Return entries and bytes, those of other processes included, and the file's state."""
        self._catch_up()
        entries, size, _ = super().stats()
        return entries, size, self._file.state

    def text_of(self, digest: str) -> str:
        """Return the prompt under a key."""
        self._catch_up()
        return super().text_of(digest)

    def close(self) -> None:
        """Close the file; what it holds stays."""
        super().clear()
        self._file.close()
