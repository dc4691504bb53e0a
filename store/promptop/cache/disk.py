"""Level 3: one SQLite file, for answers that outlive the process.

A failure of the file (full, read-only, not a database) puts the level out of use for :data:`REST_S` and is shown by
:meth:`DiskLevel.stats`; the call that met it goes on without a cache.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptop.cache.entry import BadEntryError, Entry, pack, unpack
from promptop.cache.level import LevelStats

REST_S = 30.0
"""How long a file that failed is left alone, seconds."""
USED_STEP_S = 60.0
"""A use is noted once a minute: a hit is then a read, and waits for no other process's write."""
RECOUNT = 64
"""Entries kept between two countings of the file's bytes: counting reads an index, and other processes add too."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    digest TEXT PRIMARY KEY, prompt TEXT, model TEXT, created_s REAL, expires_s REAL, used_s REAL, bytes INTEGER,
    entry BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires_s);
CREATE INDEX IF NOT EXISTS entries_used ON entries (used_s);
CREATE INDEX IF NOT EXISTS entries_bytes ON entries (bytes);
CREATE TABLE IF NOT EXISTS tags (tag TEXT, digest TEXT, PRIMARY KEY (tag, digest)) WITHOUT ROWID;
"""


class DiskLevel:
    """Entries in a file of mode 0600, bounded by bytes; the least recently used go first."""

    name = "disk"

    def __init__(self, path: Path, *, max_bytes: int = 512 << 20, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._hits = self._misses = self._puts = self._held = 0
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

    def _do(self, work: Callable[[sqlite3.Connection], Any], otherwise: Any, *, writes: bool = True) -> Any:
        """Run ``work`` on the file, in one transaction if it ``writes``; a failure rests the level: ``otherwise``."""
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
                self._state = f"{self._path}: {error}"
                self._rest_until = time.monotonic() + REST_S
                self._shut()
                return otherwise
            self._state = "ok"
            return result

    def get(self, digest: str) -> Entry | None:
        """Return the entry and note its use."""
        now = self._clock()

        def work(database: sqlite3.Connection) -> bytes | None:
            row = database.execute(
                "SELECT entry, used_s FROM entries WHERE digest = ? AND (expires_s IS NULL OR expires_s > ?)",
                (digest, now),
            ).fetchone()
            if row is None:
                return None
            if not 0 <= now - row[1] < USED_STEP_S:
                database.execute("UPDATE entries SET used_s = ? WHERE digest = ?", (now, digest))
            data: bytes = row[0]
            return data

        data = self._do(work, None, writes=False)
        try:
            entry = unpack(data) if data is not None else None
        except BadEntryError:
            self.remove(digest=digest)
            entry = None
        self._hits += entry is not None
        self._misses += entry is None
        return entry

    def put(self, digest: str, entry: Entry) -> None:
        """Keep an entry, and make room."""
        data = pack(entry)
        if len(data) > self._max_bytes:
            return

        def work(database: sqlite3.Connection) -> None:
            values = (
                digest,
                entry.prompt,
                entry.model,
                entry.created_s,
                entry.expires_s,
                self._clock(),
                len(data),
                data,
            )
            database.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            database.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, digest) for tag in entry.tags])
            self._held += len(data)
            self._puts += 1
            if self._held > self._max_bytes or self._puts % RECOUNT == 1:
                (self._held,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM entries").fetchone()
                if self._held > self._max_bytes:
                    self._make_room(database, self._held - self._max_bytes)

        self._do(work, None)

    @staticmethod
    def _make_room(database: sqlite3.Connection, excess: int) -> None:
        doomed = []
        for digest, size in database.execute("SELECT digest, bytes FROM entries ORDER BY used_s"):
            if excess <= 0:
                break
            doomed.append((digest,))
            excess -= size
        database.executemany("DELETE FROM entries WHERE digest = ?", doomed)
        database.executemany("DELETE FROM tags WHERE digest = ?", doomed)

    def remove(self, *, digest: str = "", prompt: str = "", model: str = "", tag: str = "") -> int:
        """Forget what matches."""
        wanted = {"digest": digest, "prompt": prompt, "model": model}
        where = [f"{name} = :{name}" for name, value in wanted.items() if value]
        if tag:
            where.append("digest IN (SELECT digest FROM tags WHERE tag = :tag)")
        clause = " AND ".join(where) or "1"

        def work(database: sqlite3.Connection) -> int:
            count = database.execute(f"DELETE FROM entries WHERE {clause}", {**wanted, "tag": tag}).rowcount
            database.execute("DELETE FROM tags WHERE digest NOT IN (SELECT digest FROM entries)")
            return count

        return int(self._do(work, 0))

    def expire(self) -> int:
        """Forget what has expired."""

        def work(database: sqlite3.Connection) -> int:
            count = database.execute("DELETE FROM entries WHERE expires_s <= ?", (self._clock(),)).rowcount
            database.execute("DELETE FROM tags WHERE digest NOT IN (SELECT digest FROM entries)")
            return count

        return int(self._do(work, 0))

    def stats(self) -> LevelStats:
        """Return the counts, and why the level is out of use if it is."""

        def work(database: sqlite3.Connection) -> tuple[int, int, int]:
            sums: tuple[int, int, int] = database.execute(
                "SELECT count(*), coalesce(sum(expires_s <= ?), 0), coalesce(sum(bytes), 0) FROM entries",
                (self._clock(),),
            ).fetchone()
            return sums

        total, expired, size = self._do(work, (0, 0, 0))
        return LevelStats(self.name, total, total - expired, expired, size, self._hits, self._misses, self._state)

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._shut()
