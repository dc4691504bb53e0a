"""Level 3: one SQLite file, for answers that outlive the process.

A failure of the file (full, read-only, not a database) puts the level out of use for a while (:mod:`.resting`) and is
shown by :meth:`DiskLevel.stats`; the call that met it goes on without a cache.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from promptop.cache.entry import BadEntryError, CacheEntry, pack, unpack
from promptop.cache.level import LevelStats
from promptop.cache.sqlite_file import RestingFile

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
        self._max_bytes = max_bytes
        self._clock = clock
        self._file = RestingFile(path, _SCHEMA)
        self._hits = self._misses = self._puts = self._held = 0

    def get(self, digest: str) -> CacheEntry | None:
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

        data = self._file.do(work, None, writes=False)
        try:
            entry = unpack(data) if data is not None else None
        except BadEntryError:
            self.remove(digest=digest)
            entry = None
        self._hits += entry is not None
        self._misses += entry is None
        return entry

    def put(self, digest: str, entry: CacheEntry) -> None:
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

        self._file.do(work, None)

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

        return int(self._file.do(work, 0))

    def expire(self) -> int:
        """Forget what has expired."""

        def work(database: sqlite3.Connection) -> int:
            count = database.execute("DELETE FROM entries WHERE expires_s <= ?", (self._clock(),)).rowcount
            database.execute("DELETE FROM tags WHERE digest NOT IN (SELECT digest FROM entries)")
            return count

        return int(self._file.do(work, 0))

    def stats(self) -> LevelStats:
        """Return the counts, and why the level is out of use if it is."""

        def work(database: sqlite3.Connection) -> tuple[int, int, int]:
            sums: tuple[int, int, int] = database.execute(
                "SELECT count(*), coalesce(sum(expires_s <= ?), 0), coalesce(sum(bytes), 0) FROM entries",
                (self._clock(),),
            ).fetchone()
            return sums

        total, expired, size = self._file.do(work, (0, 0, 0))
        return LevelStats(self.name, total, total - expired, expired, size, self._hits, self._misses, self._file.state)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
