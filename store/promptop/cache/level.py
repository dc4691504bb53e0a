"""What every level of the cache can do, and what it tells about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from promptop.cache.entry import CacheEntry


@dataclass(frozen=True, slots=True)
class LevelStats:
    """A level, counted. Hits and misses are this process's; the rest is the level's own."""

    name: str
    total: int
    active: int
    """Entries that may still be given."""
    expired: int
    bytes: int
    hits: int
    misses: int
    state: str = "ok"
    """ok, or why the level is out of use."""

    @property
    def ratio(self) -> float | None:
        """Hits among look-ups; None before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


class Level(Protocol):
    """A place for entries. A level that fails answers as if it were empty; it never raises."""

    name: str

    def get(self, digest: str) -> CacheEntry | None:
        """Return the entry if there is one that has not expired."""

    def put(self, digest: str, entry: CacheEntry) -> None:
        """Keep an entry."""

    def remove(self, *, digest: str = "", prompt: str = "", model: str = "", tag: str = "") -> int:
        """Forget what matches every given part; with none given, everything. Returns how many."""

    def expire(self) -> int:
        """Forget what has expired; returns how many."""

    def stats(self) -> LevelStats:
        """Return the counts."""

    def close(self) -> None:
        """Give back files and connections."""


def matches(entry: CacheEntry, prompt: str, model: str, tag: str) -> bool:
    """Whether an entry has every given part."""
    return (
        (not prompt or entry.prompt == prompt)
        and (not model or entry.model == model)
        and (not tag or tag in entry.tags)
    )
