"""The semantic level: an answer to the same question in other words. Off unless it is asked for.

Only requests that differ in nothing but the text of their last message are compared (:attr:`Key.frame`): same endpoint,
account, model, parameters and earlier messages. Among these the nearest vectors are taken, best first, and the first
one above the threshold that no guard objects to answers, if its entry is still kept by some level. What is remembered
here is (text, vector, key): the answers themselves lie in the other levels, with their expiry.

An embedding that fails, is slow or has no model costs a look-up by meaning and never a call.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from promptop.cache.circuit_breaker import Breaker
from promptop.cache.key import CacheKey
from promptop.cache.level import LevelStats
from promptop.cache.semantic.embedding import Embed
from promptop.cache.semantic.guards import difference

CANDIDATES = 20
"""Nearest prompts that the guards look at; beyond these the rest is too far in practice."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A prompt whose answer is kept."""

    digest: str
    """Key of the answer."""
    frame: str
    text: str
    vector: bytes
    """32-bit floats, length 1."""
    expires_s: float | None


@dataclass(frozen=True, slots=True)
class SemanticMatch:
    """The prompt whose answer was given, and how near it is."""

    digest: str
    text: str
    score: float
    """Cosine, 0 … 1."""


class Memory(Protocol):
    """Where remembered prompts lie: in this process, in a file, in a server with vector search."""

    def add(self, item: Remembered) -> None:
        """Remember a prompt, dropping the one that was not used for longest where there are too many."""

    def near(self, frame: str, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        """Return the nearest prompts of a frame with at least this similarity, best first."""

    def drop(self, digest: str) -> None:
        """Forget a prompt: its answer is gone."""

    def clear(self) -> None:
        """Forget everything."""

    def digests(self) -> list[str]:
        """Return the keys of the answers to all remembered prompts."""

    def stats(self) -> tuple[int, int, str]:
        """Return entries, bytes and the state: ok, or why it is out of use."""

    def text_of(self, digest: str) -> str:
        """Return the prompt under a key; empty if it is not remembered."""

    def close(self) -> None:
        """Give back files and connections."""


class _Shelf:
    """The prompts of one frame: rows of a matrix, so that a look is one product."""

    def __init__(self, size: int) -> None:
        import numpy

        self._numpy = numpy
        self._matrix = numpy.empty((8, size), dtype=numpy.float32)
        self._items: list[Remembered] = []
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Remembered) -> None:
        place = self._places.get(item.digest)
        if place is None:
            place = len(self._items)
            if place == len(self._matrix):
                self._matrix = self._numpy.concatenate((self._matrix, self._numpy.empty_like(self._matrix)))
            self._items.append(item)
            self._places[item.digest] = place
        self._items[place] = item
        self._matrix[place] = self._numpy.frombuffer(item.vector, dtype=self._numpy.float32)

    def drop(self, digest: str) -> None:
        place = self._places.pop(digest)
        last = self._items.pop()
        if last.digest != digest:  # the last one takes the free place
            self._items[place] = last
            self._places[last.digest] = place
            self._matrix[place] = self._matrix[len(self._items)]

    def near(self, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        scores = self._matrix[: len(self._items)] @ self._numpy.frombuffer(vector, dtype=self._numpy.float32)
        best = self._numpy.argsort(-scores, kind="stable")[:CANDIDATES]
        return [(float(scores[place]), self._items[place]) for place in best if scores[place] >= least]


class ProcessMemory:
    """Prompts in this process, bounded by their number; least recently used first out."""

    def __init__(self, *, max_entries: int = 2000, clock: Callable[[], float] = time.time) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._shelves: dict[tuple[str, int], _Shelf] = {}
        self._used: OrderedDict[str, Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, item: Remembered) -> None:
        """Remember a prompt."""
        with self._lock:
            if item.digest in self._used:
                self._forget(item.digest)
            place = item.frame, len(item.vector)
            if place not in self._shelves:
                self._shelves[place] = _Shelf(len(item.vector) // 4)
            self._shelves[place].put(item)
            self._used[item.digest] = item
            while len(self._used) > self._max_entries:
                self._forget(next(iter(self._used)))

    def _forget(self, digest: str) -> None:
        item = self._used.pop(digest)
        place = item.frame, len(item.vector)
        self._shelves[place].drop(digest)
        if not self._shelves[place]:
            del self._shelves[place]

    def near(self, frame: str, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        """Return the nearest prompts that have not expired."""
        now = self._clock()
        with self._lock:
            shelf = self._shelves.get((frame, len(vector)))
            found = shelf.near(vector, least) if shelf is not None else []
            kept = []
            for score, item in found:
                if item.expires_s is not None and item.expires_s <= now:
                    self._forget(item.digest)
                else:
                    kept.append((score, item))
            return kept

    def touch(self, digest: str) -> None:
        """Mark a prompt as used."""
        with self._lock:
            if digest in self._used:
                self._used.move_to_end(digest)

    def drop(self, digest: str) -> None:
        """Forget a prompt."""
        with self._lock:
            if digest in self._used:
                self._forget(digest)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._shelves.clear()
            self._used.clear()

    def digests(self) -> list[str]:
        """Return the keys of the answers to all remembered prompts."""
        with self._lock:
            return list(self._used)

    def stats(self) -> tuple[int, int, str]:
        """Return entries and bytes."""
        with self._lock:
            size = sum(len(item.vector) + len(item.text.encode("utf-8", "replace")) for item in self._used.values())
            return len(self._used), size, "ok"

    def text_of(self, digest: str) -> str:
        """Return the prompt under a key."""
        with self._lock:
            item = self._used.get(digest)
            return item.text if item is not None else ""

    def close(self) -> None:
        """Forget everything."""
        self.clear()


class Semantic:
    """Finds remembered prompts that ask the same."""

    name = "semantic"

    def __init__(
        self,
        memory: Memory,
        *,
        threshold: float,
        model: str,
        embed: Embed | None = None,
        breaker: Breaker | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """``embed`` is the local model; without it the caller of each look-up brings the endpoint's.

        ``model`` names the vectors' model: those of another are never compared.
        """
        self.memory = memory
        self.threshold = threshold
        self.model = model
        self.local = embed
        self._breaker = breaker or Breaker(rest_s=30.0, longest_s=600.0)
        self._notice = notice
        self._hits = self._misses = 0

    def vector(self, text: str, embed: Embed | None = None) -> bytes | None:
        """Return the vector of a text; None where there is none to be had: then nothing is compared."""
        embed = self.local or embed
        if embed is None or not self._breaker.allows():
            return None
        try:
            found = packed(embed(text))
        except Exception as error:  # noqa: BLE001 - the boundary: an embedding that fails must not fail the call
            self._failed(f"{type(error).__name__}: {error}")
            return None
        return self._judged(found)

    async def avector(self, text: str, embed: Callable[[str], Any]) -> bytes | None:
        """Like :meth:`vector`, with an embedding that is awaited."""
        if not self._breaker.allows():
            return None
        try:
            found = packed(await embed(text))
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(f"{type(error).__name__}: {error}")
            return None
        return self._judged(found)

    def _judged(self, vector: bytes | None) -> bytes | None:
        if vector is None:
            self._failed("the endpoint gave no vector")
        elif self._breaker.succeeded() and self._notice is not None:
            self._notice("Prompts are compared by meaning again.")
        return vector

    def _failed(self, cause: str) -> None:
        if self._breaker.failed(cause) and self._notice is not None:
            self._notice(f"Prompts are not compared by meaning ({cause}). Calls go on without it; it is tried again.")

    def matches(self, key: CacheKey, vector: bytes) -> Iterator[SemanticMatch]:
        """Yield the prompts that ask the same as ``key``, best first."""
        for score, item in self.memory.near(self._frame(key), vector, self.threshold):
            if item.digest != key.digest and not difference(item.text, key.text):
                yield SemanticMatch(item.digest, item.text, min(1.0, score))

    def found(self, match: SemanticMatch | None) -> None:
        """Count a look-up."""
        self._hits += match is not None
        self._misses += match is None
        if match is not None and isinstance(self.memory, ProcessMemory):
            self.memory.touch(match.digest)

    def remember(self, key: CacheKey, vector: bytes, expires_s: float | None) -> None:
        """Remember a prompt whose answer has been kept."""
        self.memory.add(Remembered(key.digest, self._frame(key), key.text, vector, expires_s))

    def _frame(self, key: CacheKey) -> str:
        return f"{key.frame}:{self.model}"

    def stats(self) -> LevelStats:
        """Return the counts; while the embedding is out of use the state says why."""
        entries, size, state = self.memory.stats()
        if self._breaker.is_open:
            state = f"out of use: {self._breaker.cause}"
        return LevelStats(self.name, entries, entries, 0, size, self._hits, self._misses, state)

    def close(self) -> None:
        """Close the memory."""
        self.memory.close()


def packed(vector: Sequence[float] | None) -> bytes | None:
    """Return a vector as 32-bit floats of length 1; None for none, or for one that has no direction.

    Raises :class:`ValueError` or :class:`TypeError` for what is not a vector.
    """
    if vector is None:
        return None
    import numpy

    values = numpy.asarray(vector, dtype=numpy.float32)
    if values.ndim != 1 or not numpy.isfinite(values).all():
        raise ValueError("not a vector")
    length = float(numpy.linalg.norm(values))
    return (values / length).tobytes() if length else None
