"""Level 1: this process's memory, bounded by entries and by bytes, least recently used first out."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from promptop.cache.entry import CacheEntry
from promptop.cache.level import LevelStats, matches

_OVERHEAD = 600
"""Bytes that an entry takes beside its body: measured with tracemalloc on entries of 20 marks."""


class MemoryLevel:
    """A dictionary with limits. Safe for threads: one lock around a few dictionary operations."""

    name = "memory"

    def __init__(
        self, *, max_entries: int = 1000, max_bytes: int = 64 << 20, clock: Callable[[], float] = time.time
    ) -> None:
        self._entries: OrderedDict[str, CacheEntry] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = self._hits = self._misses = 0
        self._lock = threading.Lock()

    def get(self, digest: str) -> CacheEntry | None:
        """Return the entry and mark it as used."""
        entry = self.peek(digest)
        if entry is None:
            with self._lock:
                self._misses += 1
        return entry

    def peek(self, digest: str) -> CacheEntry | None:
        """Like :meth:`get`, without counting a miss: who finds nothing here asks again."""
        with self._lock:
            entry = self._entries.get(digest)
            if entry is not None and entry.expired(self._clock()):
                self._drop(digest)
                entry = None
            if entry is None:
                return None
            self._entries.move_to_end(digest)
            self._hits += 1
            return entry

    def put(self, digest: str, entry: CacheEntry) -> None:
        """Keep an entry, dropping the least recently used until it fits; one larger than the level is not kept."""
        size = len(entry.body) + 16 * len(entry.marks) + _OVERHEAD
        if size > self._max_bytes:
            return
        with self._lock:
            if digest in self._entries:
                self._drop(digest)
            self._entries[digest] = replace(entry, size=size)
            self._bytes += size
            while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
                self._drop(next(iter(self._entries)))

    def _drop(self, digest: str) -> None:
        self._bytes -= self._entries.pop(digest).size

    def remove(self, *, digest: str = "", prompt: str = "", model: str = "", tag: str = "") -> int:
        """Forget what matches."""
        with self._lock:
            found = [
                name
                for name, entry in self._entries.items()
                if (not digest or name == digest) and matches(entry, prompt, model, tag)
            ]
            for name in found:
                self._drop(name)
        return len(found)

    def expire(self) -> int:
        """Forget what has expired."""
        now = self._clock()
        with self._lock:
            found = [name for name, entry in self._entries.items() if entry.expired(now)]
            for name in found:
                self._drop(name)
        return len(found)

    def stats(self) -> LevelStats:
        """Return the counts."""
        now = self._clock()
        with self._lock:
            expired = sum(entry.expired(now) for entry in self._entries.values())
            total = len(self._entries)
            return LevelStats(self.name, total, total - expired, expired, self._bytes, self._hits, self._misses)

    def close(self) -> None:
        """Forget everything."""
        self.remove()
