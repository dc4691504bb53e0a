"""Level 2: Redis (or Valkey), shared by the processes of a machine or a fleet.

Any server that redis-py speaks to: ``redis://``, ``rediss://`` (TLS), ``unix://``, and ``redis+cluster://`` and
``redis+sentinel://host:port,host:port/service`` by their own names. Nothing that Redis does breaks or delays a call for
longer than ``timeout_s``: a failure counts as a miss, after three the breaker opens, one notice is given, and the first
call after the rest finds out by itself whether the server is back.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

from promptop.cache.circuit_breaker import Breaker
from promptop.cache.entry import BadEntryError, CacheEntry, pack, unpack
from promptop.cache.level import LevelStats
from promptop.cache.redis_client import GuardedRedis

_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class RedisLevel:
    """Entries under ``prefix``, each with its own expiry; sets under it for invalidation by prompt, model and tag."""

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "promptop:",
        timeout_s: float = 0.25,
        clock: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """``notice`` is told once when the server is given up and once when it is back."""
        self._prefix = prefix
        self._clock = clock
        self._server = GuardedRedis(url, "The Redis cache", timeout_s=timeout_s, breaker=breaker, notice=notice)
        self._hits = self._misses = 0

    def warm(self) -> None:
        """Connect before the first look-up."""
        self._server.warm()

    def _key(self, digest: str) -> str:
        return f"{self._prefix}e:{digest}"

    def _index(self, kind: str, name: str) -> str:
        return f"{self._prefix}i:{kind}:{name}"

    def get(self, digest: str) -> CacheEntry | None:
        """Return the entry; what another program wrote under our key is forgotten and counts as a miss."""
        data = self._server.do(lambda client: client.get(self._key(digest)), None)
        entry = None
        if data is not None:
            try:
                entry = unpack(data)
            except BadEntryError:
                self._server.do(lambda client: client.delete(self._key(digest)), 0)
        if entry is not None and entry.expired(self._clock()):
            entry = None
        self._hits += entry is not None
        self._misses += entry is None
        return entry

    def put(self, digest: str, entry: CacheEntry) -> None:
        """Keep an entry until it expires, in one round trip."""
        left_ms = None if entry.expires_s is None else int((entry.expires_s - self._clock()) * 1000)
        if left_ms is not None and left_ms <= 0:
            return
        data = pack(entry)

        def work(client: Any) -> None:
            pipe = client.pipeline(transaction=False)
            pipe.set(self._key(digest), data, px=left_ms)
            for name in self._indexes(entry):
                pipe.sadd(name, digest)
                if left_ms is not None:
                    # An index outlives its newest entry by a day; a longer expiry is never shortened.
                    pipe.pexpire(name, left_ms + 86_400_000, nx=True)
                    pipe.pexpire(name, left_ms + 86_400_000, gt=True)
            pipe.execute()

        self._server.do(work, None)

    def _indexes(self, entry: CacheEntry) -> list[str]:
        pairs = [("prompt", entry.prompt), ("model", entry.model), *(("tag", tag) for tag in entry.tags)]
        return [self._index(kind, name) for kind, name in pairs if name]

    def remove(self, *, digest: str = "", prompt: str = "", model: str = "", tag: str = "") -> int:
        """Forget what matches; the server is scanned only where everything is to go."""
        sets = [self._index(k, n) for k, n in (("prompt", prompt), ("model", model), ("tag", tag)) if n]

        def work(client: Any) -> int:
            if not sets and not digest:
                return sum(
                    self._delete(client, batch) for batch in _batches(client.scan_iter(f"{self._prefix}*", 1000))
                )
            found: set[bytes] | None = {digest.encode()} if digest else None
            for name in sets:
                members = set(client.smembers(name))
                found = members if found is None else found & members
            names = [self._key(member.decode()) for member in found or ()]
            count = sum(self._delete(client, batch) for batch in _batches(names))
            if len(sets) == 1 and not digest:
                client.delete(sets[0])
            return count

        return int(self._server.do(work, 0))

    def _delete(self, client: Any, names: list[Any]) -> int:
        """Delete keys one command each in one round trip: a cluster refuses one command over several slots."""
        pipe = client.pipeline(transaction=False)
        for name in names:
            pipe.delete(name)
        entries = [(name if isinstance(name, str) else name.decode()).startswith(f"{self._prefix}e:") for name in names]
        return sum(done for done, is_entry in zip(pipe.execute(), entries, strict=True) if is_entry)

    def expire(self) -> int:
        """Do nothing: the server forgets by itself."""
        return 0

    def stats(self) -> LevelStats:
        """Count our keys by a scan, and their bytes by their lengths."""

        def work(client: Any) -> tuple[int, int]:
            count = size = 0
            for batch in _batches(client.scan_iter(f"{self._prefix}e:*", 1000)):
                pipe = client.pipeline(transaction=False)
                for name in batch:
                    pipe.strlen(name)
                lengths = pipe.execute()
                count += len(lengths)
                size += sum(lengths)
            return count, size

        found = self._server.do(work, None)
        count, size = found or (0, 0)
        state = "ok" if found is not None else f"out of use: {self._server.cause}"
        return LevelStats(self.name, count, count, 0, size, self._hits, self._misses, state)

    def lock(self, digest: str, hold_s: float) -> str | None:
        """Take the right to fetch ``digest`` for all processes, for at most ``hold_s``.

        Returns a token for :meth:`unlock`, an empty string if another process has it, None if the server is out of use.
        """
        token = secrets.token_hex(8)
        name = f"{self._prefix}l:{digest}"
        taken = self._server.do(lambda client: bool(client.set(name, token, nx=True, px=int(hold_s * 1000))), None)
        return None if taken is None else token if taken else ""

    def unlock(self, digest: str, token: str) -> None:
        """Give the right back, if it is still ours."""
        self._server.do(lambda client: client.eval(_RELEASE, 1, f"{self._prefix}l:{digest}", token), None)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()


def _batches(names: Iterable[Any], size: int = 500) -> Iterable[list[Any]]:
    batch: list[Any] = []
    for name in names:
        batch.append(name)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
