"""An SQLite file of the cache: private, opened when it is used, left alone for a while after a failure."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptop.base import sqlite

REST_S = 30.0
"""How long a file that failed (full, read-only, not a database) is left alone, seconds."""


class RestingFile:
    """A file of mode 0600; what it cannot do yields what the caller would do without one. Safe for threads."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._rest_until = 0.0
        self.state = "ok"
        """ok, or why the last try failed."""

    def _open(self) -> sqlite3.Connection:
        if self._database is not None and self._pid == os.getpid():
            return self._database
        database = sqlite.connect(self._path)
        database.executescript(self._schema)
        self._database, self._pid = database, os.getpid()
        return database

    def do(self, work: Callable[[sqlite3.Connection], Any], otherwise: Any, *, writes: bool = True) -> Any:
        """Run ``work`` on the file, in one transaction if it ``writes``; a failure rests the file: ``otherwise``."""
        with self._lock:
            if time.monotonic() < self._rest_until:
                return otherwise
            try:
                database = self._open()
                if not writes:
                    result = work(database)
                else:
                    database.execute("BEGIN IMMEDIATE")
                    try:
                        result = work(database)
                    except BaseException:
                        database.execute("ROLLBACK")
                        raise
                    database.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                self.state = f"{self._path}: {error}"
                self._rest_until = time.monotonic() + REST_S
                self._shut()
                return otherwise
            self.state = "ok"
            return result

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def close(self) -> None:
        """Close the file; what it holds stays."""
        with self._lock:
            self._shut()
