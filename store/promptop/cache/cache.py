"""The levels as one cache: look-up with promotion, storing, and one fetch for many askers.

A look-up goes memory → Redis → disk and copies what it finds into the levels above; then, where it is switched on, to
answers of prompts that ask the same in other words (:mod:`.semantic`), which are not copied: they stay known as such.
Of those who ask for the same key at the same time one leads and fetches; the others wait for its answer (in this
process by a future, across processes by a short lock in Redis), and lead themselves if it came to nothing. Nothing here
raises for a level that fails.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import Any

from promptop.cache.entry import CacheEntry
from promptop.cache.key import CacheKey
from promptop.cache.level import Level, LevelStats
from promptop.cache.memory_level import MemoryLevel
from promptop.cache.redis_level import RedisLevel
from promptop.cache.semantic.embedding import Embed
from promptop.cache.semantic.level import Semantic, SemanticMatch

AsyncEmbed = Callable[[str], Awaitable[Any]]
"""Returns the vector of a text when awaited; None where there is none to be had now."""

LEAD_S = 120.0
"""How long followers wait for a leader before they fetch themselves, seconds."""
ROUNDS = 2
"""How many leaders an asker waits for; when they came to nothing it fetches alone, so that failures do not queue up."""
POLL_S = 0.02
"""How often a process looks whether another process's fetch has arrived, seconds."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer, and the level that had it; level ``""`` means that it was fetched."""

    entry: CacheEntry
    level: str
    shared: bool = False
    """Whether another asker's fetch, under way at the same time, gave it."""
    match: SemanticMatch | None = None
    """The other prompt whose answer this is; None where the very request was answered before."""


class Lead:
    """The part of one asker in a fetch: it leads, or it waits for the one who does."""

    def __init__(self, cache: Cache, key: CacheKey, future: Future[Hit | None], *, leads: bool) -> None:
        self._cache = cache
        self._key = key
        self._future = future
        self._token = ""
        self._over = False
        self.leads = leads
        """Whether this asker must fetch and call :meth:`done`, whatever happens."""
        self.vector: bytes | None = None
        """The prompt's vector, where it was compared by meaning: kept with the answer."""

    def elsewhere(self) -> Hit | None:
        """Agree with other processes on who fetches: returns what another one has fetched, or None: fetch.

        Waits for as long as another process holds the right to fetch. To be called by the leader only.
        """
        self._token, hit = self._cache._across(self._key)
        if self._over:  # given up meanwhile, from another thread: the lock would stay for as long as a fetch may take
            self._release()
        return hit

    def done(self, entry: CacheEntry | None, match: SemanticMatch | None = None) -> None:
        """Give the followers the answer, or None: the next one leads. Only the first call counts."""
        self._over = True
        self._release()
        level = "memory" if match is None else "semantic"
        hit = None if entry is None else Hit(entry, level, shared=True, match=match)
        self._cache._settle(self._key, self._future, hit)

    def _release(self) -> None:
        token, self._token = self._token, ""
        if token:
            self._cache._unlock(self._key, token)

    def wait(self, timeout_s: float = LEAD_S) -> Hit | None:
        """Wait for the leader's answer; None if it came to nothing or took too long."""
        try:
            return self._future.result(timeout_s)
        except FutureTimeout:
            return None

    async def wait_async(self, timeout_s: float = LEAD_S) -> Hit | None:
        """Like :meth:`wait`, in an event loop. A cancelled waiter does not disturb the others."""
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._future)), timeout_s)
        except TimeoutError:
            return None


class Cache:
    """Levels, nearest first."""

    def __init__(
        self,
        levels: Sequence[Level],
        *,
        ttl_s: float | None = 3600.0,
        clock: Callable[[], float] = time.time,
        semantic: Semantic | None = None,
    ) -> None:
        """``semantic`` finds answers to other wordings, for keys whose policy allows it; they lie in the levels."""
        self.levels = tuple(levels)
        self.semantic = semantic
        self.ttl_s = ttl_s
        self._clock = clock
        self._flights: dict[str, Future[Hit | None]] = {}
        self._lock = threading.Lock()
        self._remote = next((level for level in self.levels if isinstance(level, RedisLevel)), None)
        self._front = self.levels[0] if self.levels and isinstance(self.levels[0], MemoryLevel) else None
        self._instant = next((n for n, level in enumerate(self.levels) if level.name != "memory"), len(self.levels))

    def warm(self) -> None:
        """Connect to what is far away, so that no call's clock runs meanwhile; a server that is down is told of."""
        if self._remote is not None:
            self._remote.warm()

    def look(self, key: CacheKey) -> Hit | None:
        """Return the nearest answer, copied into the levels above it; None if no level has one."""
        return self._look(key.digest, 0, len(self.levels))

    def _at_hand(self, key: CacheKey) -> Hit | None:
        """Return a hit of the process's memory, without a part in a fetch, which takes a future and locks."""
        if self._front is None:
            return None
        entry = self._front.peek(key.digest)
        return None if entry is None else Hit(entry, self._front.name)

    def _look(self, digest: str, first: int, end: int) -> Hit | None:
        for depth in range(first, end):
            entry = self.levels[depth].get(digest)
            if entry is not None:
                for nearer in self.levels[:depth]:
                    nearer.put(digest, entry)
                return Hit(entry, self.levels[depth].name)
        return None

    def _similar(self, key: CacheKey, vector: bytes | None) -> Hit | None:
        """Return the answer to the nearest prompt that asks the same and whose answer is still kept."""
        if self.semantic is None or vector is None:
            return None
        for match in self.semantic.matches(key, vector):
            hit = self._look(match.digest, 0, len(self.levels))
            if hit is not None:
                self.semantic.found(match)
                return Hit(hit.entry, self.semantic.name, match=match)
            self.semantic.memory.drop(match.digest)
        self.semantic.found(None)
        return None

    def store(
        self, key: CacheKey, entry: CacheEntry, *, ttl_s: float | None = None, vector: bytes | None = None
    ) -> CacheEntry:
        """Keep an answer in every level, for ``ttl_s`` or the cache's own; returns it as kept.

        With its ``vector`` the prompt is remembered too, for others that ask the same.
        """
        now = self._clock()
        ttl = self.ttl_s if ttl_s is None else ttl_s
        kept = replace(
            entry,
            model=entry.model or key.model,
            prompt=key.prompt,
            created_s=now,
            expires_s=None if ttl is None else now + ttl,
        )
        for level in self.levels:
            level.put(key.digest, kept)
        if self.semantic is not None and vector is not None:
            self.semantic.remember(key, vector, kept.expires_s)
        return kept

    def join(self, key: CacheKey, round_: int = 0) -> Lead:
        """Join the fetch of ``key``: the first to join leads, and after :data:`ROUNDS` everyone leads alone."""
        if round_ >= ROUNDS:
            return Lead(self, key, Future(), leads=True)
        with self._lock:
            future = self._flights.get(key.digest)
            if future is not None:
                return Lead(self, key, future, leads=False)
            future = self._flights[key.digest] = Future()
            return Lead(self, key, future, leads=True)

    def _settle(self, key: CacheKey, future: Future[Hit | None], hit: Hit | None) -> None:
        with self._lock:
            if self._flights.get(key.digest) is future:
                del self._flights[key.digest]
        if not future.done():
            future.set_result(hit)

    def begin(self, key: CacheKey, embed: Embed | None = None) -> Hit | Lead:
        """Return the answer, from a level or from another asker's fetch, or the leader's part of a new fetch.

        ``embed`` gives a prompt's vector where the semantic level has no model of its own.
        """
        if (hit := self._at_hand(key)) is not None:
            return hit
        for round_ in range(ROUNDS + 1):
            # Joined before it is looked for: else a fetch that ends in between would be made once more.
            lead = self.join(key, round_)
            if not lead.leads:
                if (waited := lead.wait()) is not None:
                    return waited
                continue
            try:
                hit = self.look(key)
                if hit is None and self.semantic is not None and key.text:
                    lead.vector = self.semantic.vector(key.text, embed)
                    hit = self._similar(key, lead.vector)
                hit = hit or lead.elsewhere()
            except BaseException:
                lead.done(None)
                raise
            if hit is None:
                return lead
            lead.done(hit.entry, hit.match)
            return hit
        raise AssertionError("after the last round everyone leads")

    async def abegin(self, key: CacheKey, embed: AsyncEmbed | None = None) -> Hit | Lead:
        """Like :meth:`begin`, in an event loop: levels that wait for a disk or a socket are asked in a thread."""
        if (hit := self._at_hand(key)) is not None:
            return hit
        for round_ in range(ROUNDS + 1):
            lead = self.join(key, round_)
            if not lead.leads:
                if (waited := await lead.wait_async()) is not None:
                    return waited
                continue
            try:
                # Memory is asked here: a thread would cost more than the look.
                hit = self._look(key.digest, 0, self._instant)
                if hit is None and self._instant < len(self.levels):
                    hit = await asyncio.to_thread(self._look, key.digest, self._instant, len(self.levels))
                if hit is None and self.semantic is not None and key.text:
                    hit = await self._asimilar(key, lead, embed)
                if hit is None and self._remote is not None:
                    hit = await asyncio.to_thread(lead.elsewhere)
            except BaseException:
                lead.done(None)
                raise
            if hit is None:
                return lead
            lead.done(hit.entry, hit.match)
            return hit
        raise AssertionError("after the last round everyone leads")

    async def _asimilar(self, key: CacheKey, lead: Lead, embed: AsyncEmbed | None) -> Hit | None:
        assert self.semantic is not None
        if self.semantic.local is not None or embed is None:
            lead.vector = await asyncio.to_thread(self.semantic.vector, key.text)
        else:
            lead.vector = await self.semantic.avector(key.text, embed)
        return await asyncio.to_thread(self._similar, key, lead.vector)

    def fetch(self, key: CacheKey, fetch: Callable[[], CacheEntry | None], *, ttl_s: float | None = None) -> Hit | None:
        """Return the cached answer, or the one that ``fetch`` gets: one call for all who ask at the same time.

        What is fetched is kept for ``ttl_s``, or for the cache's own time.
        None if ``fetch`` returned None: there was nothing to keep. What ``fetch`` raises reaches its own asker only.
        """
        begun = self.begin(key)
        if isinstance(begun, Hit):
            return begun
        entry = None
        try:
            entry = fetch()
            if entry is not None:
                entry = self.store(key, entry, ttl_s=ttl_s, vector=begun.vector)
        finally:
            begun.done(entry)
        return None if entry is None else Hit(entry, "")

    async def afetch(
        self, key: CacheKey, fetch: Callable[[], Awaitable[CacheEntry | None]], *, ttl_s: float | None = None
    ) -> Hit | None:
        """Like :meth:`fetch`, in an event loop."""
        begun = await self.abegin(key)
        if isinstance(begun, Hit):
            return begun
        entry = None
        try:
            entry = await fetch()
            if entry is not None:
                entry = await asyncio.to_thread(self.store, key, entry, ttl_s=ttl_s, vector=begun.vector)
        finally:
            begun.done(entry)
        return None if entry is None else Hit(entry, "")

    def _unlock(self, key: CacheKey, token: str) -> None:
        if self._remote is not None:
            self._remote.unlock(key.digest, token)

    def _across(self, key: CacheKey) -> tuple[str, Hit | None]:
        """Agree with other processes on who fetches: returns our lock's token, or what another process has fetched."""
        if self._remote is None:
            return "", None
        end = time.monotonic() + LEAD_S
        while time.monotonic() < end:
            token = self._remote.lock(key.digest, LEAD_S)
            if token is None:
                return "", None
            if token:
                # Another process may have finished between our look-up and the lock.
                hit = self.look(key)
                if hit is not None:
                    self._remote.unlock(key.digest, token)
                    return "", hit
                return token, None
            time.sleep(POLL_S)
            if (hit := self.look(key)) is not None:
                return "", hit
        return "", None

    def remove(self, *, digest: str = "", prompt: str = "", model: str = "", tag: str = "") -> int:
        """Forget what matches in every level; returns how many entries went, counted once a level."""
        count = sum(level.remove(digest=digest, prompt=prompt, model=model, tag=tag) for level in self.levels)
        if self.semantic is None:
            return count
        if not (digest or prompt or model or tag):
            self.semantic.memory.clear()
            return count
        # A prompt is remembered in plain text: whoever has an answer forgotten means its prompt too.
        for known in self.semantic.memory.digests():
            if all(level.get(known) is None for level in self.levels):
                self.semantic.memory.drop(known)
        return count

    def expire(self) -> int:
        """Forget what has expired, in every level."""
        return sum(level.expire() for level in self.levels)

    def stats(self) -> list[LevelStats]:
        """Return the counts, nearest level first."""
        found = [level.stats() for level in self.levels]
        return found if self.semantic is None else [*found, self.semantic.stats()]

    def close(self) -> None:
        """Close every level."""
        for level in self.levels:
            level.close()
        if self.semantic is not None:
            self.semantic.close()
