"""The response cache in the proxy: the same key, levels and recording as in the transport, around what is sent.

A hit passes the same way as an upstream's answer, so that it is streamed, freed of a usage chunk that the client did
not ask for, and logged like any other. Entries are separated by account: by whatever credentials, organisation and
query a request carries, of which only a hash enters the key.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from promptop.base.redact import is_secret_name
from promptop.cache import Cache, CacheEntry, CacheKey, Hit, Lead, Policy, key_of
from promptop.cache.cache import AsyncEmbed
from promptop.capture.caching import embedding_request
from promptop.capture.caching.outcome import CacheFact, fact_of
from promptop.capture.caching.recorder import Recording
from promptop.capture.caching.transport import Pace, slices, tags_of, told
from promptop.capture.faults import count_fault
from promptop.providers.api import loads
from promptop.proxy.http.answer import UpstreamAnswer
from promptop.proxy.http.fields import Fields
from promptop.proxy.http.headers import is_signed
from promptop.proxy.metrics import Metrics

if TYPE_CHECKING:
    from promptop.proxy.calls import ProxiedCall
    from promptop.proxy.relay import UpstreamRequest

_PIECE = 64 * 1024
"""Bytes of a hit that are written at once where it is not given at its recorded pace."""
_SCOPES = ("openai-", "anthropic-", "x-goog-", "x-dashscope-")
"""Prefixes of headers that choose an organisation, a project or a version of the API."""
_NAMES_ONE_REQUEST = frozenset(("idempotency-key",))

Send = Callable[[], Awaitable[UpstreamAnswer]]
Aside = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
"""Sends (target, body) and returns (status, body); raises what the upstream's client raises."""


class ProxyCache:
    """Answers calls of a proxy from a cache, and fills it."""

    def __init__(
        self,
        cache: Cache,
        policy: Policy,
        pace: Pace,
        metrics: Metrics,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """``notice`` is told once of each reason for which calls are not kept: they are paid for again and again."""
        self._notice = notice
        self._told: set[str] = set()
        self._cache = cache
        self._policy = policy
        self._pace = pace
        self._metrics = metrics

    async def answer(
        self, attempt: ProxiedCall, exchange: UpstreamRequest, send: Send, aside: Aside | None = None
    ) -> UpstreamAnswer:
        """Return the answer from the cache, or from ``send``, taken down on its way if it may be kept.

        ``aside`` sends a request of ours to the same upstream, with the credentials of this one.
        """
        asked = perf_counter()
        try:
            key = self._key(exchange)
            begun = None if key is None else await self._cache.abegin(key, self._embedder(exchange, aside))
        except Exception as error:  # noqa: BLE001 - the boundary: a failing cache leaves a proxy without one
            count_fault("cache", error)
            return await send()
        if key is None or begun is None:
            return await send()
        if isinstance(begun, Hit):
            self._metrics.count("promptop_proxy_cache_total", level=begun.level)
            fact = fact_of(begun, key.digest, perf_counter() - asked)
            attempt.looked_up(fact)
            return self._replayed(begun, fact)
        self._metrics.count("promptop_proxy_cache_total", level="miss")
        words = None if self._policy.normalize_whitespace else lambda: self._words_key(exchange)
        since = perf_counter()
        attempt.looked_up(CacheFact("miss", key.digest, since - asked, words_key=words))
        try:
            tags = tags_of(attempt.labels.tags, attempt.note.tags if attempt.note is not None else {})
            return _recorded(await send(), self._cache, key, begun, since, tags)
        except BaseException:
            begun.done(None)
            raise

    def _words_key(self, exchange: UpstreamRequest) -> str:
        key = self._key(exchange, replace(self._policy, normalize_whitespace=True))
        return key.digest if key is not None else ""

    def _key(self, exchange: UpstreamRequest, policy: Policy | None = None) -> CacheKey | None:
        """Return the key of a request that may be answered from the cache, else None."""
        policy = policy or self._policy
        body = exchange.body
        if exchange.method != "POST" or exchange.given is None or not isinstance(body, bytes):
            return None
        headers = exchange.headers
        if is_signed(headers) or any(
            word in value.lower() for value in headers.all(b"cache-control") for word in (b"no-cache", b"no-store")
        ):
            return None
        parsed: Any = exchange.parsed if exchange.parsed is not None and body is exchange.given else loads(body)
        if not isinstance(parsed, dict):
            return None
        upstream = exchange.upstream
        path, _, query = exchange.target.partition("?")
        account = account_of(headers, query)
        key = key_of(f"{upstream.host}:{upstream.port}", path, parsed, policy, account=account)
        if key is not None and key.refusal:
            self._refused(key.refusal)
        return key if key is not None and key.cacheable else None

    def _refused(self, refusal: str) -> None:
        self._metrics.count("promptop_proxy_cache_total", level="refused")
        if self._notice is not None and refusal not in self._told:
            self._told.add(refusal)
            self._notice(f"The cache keeps no answer of some calls: {refusal}. This is said once.")

    def _embedder(self, exchange: UpstreamRequest, aside: Aside | None) -> AsyncEmbed | None:
        semantic = self._cache.semantic
        if semantic is None or semantic.local is not None or aside is None:
            return None

        async def embed(text: str) -> list[float]:
            path, mark, query = exchange.target.partition("?")
            async with asyncio.timeout(embedding_request.TIMEOUT_S):
                return embedding_request.vector(
                    *await aside(embedding_request.path(path) + mark + query, embedding_request.body(model, text))
                )

        model = semantic.model
        return embed

    def _replayed(self, hit: Hit, fact: CacheFact) -> UpstreamAnswer:
        entry = hit.entry
        told_of = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in (*entry.headers, *told(fact))]
        fields = Fields(told_of)
        if not entry.marks:
            fields.add(b"Content-Length", b"%d" % len(entry.body))
        if self._pace == "recorded" and entry.marks:
            return UpstreamAnswer(entry.status, b"OK", fields, _Paced(entry).read, _nothing)
        pieces = _pieces(entry.body)

        async def read() -> bytes:
            return next(pieces, b"")

        return UpstreamAnswer(entry.status, b"OK", fields, read, _nothing, at_hand=lambda: next(pieces, b""))

    async def close(self) -> None:
        """Close the levels."""
        await asyncio.to_thread(self._cache.close)


def account_of(headers: Any, query: str) -> str:
    """Return a hash of what separates those who must not see each other's answers."""
    parts = sorted(
        (lower, value)
        for name, value in headers
        if ((lower := name.lower()).startswith(_SCOPES) or is_secret_name(lower)) and lower not in _NAMES_ONE_REQUEST
    )
    text = repr((parts, query))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class _Head:
    """The head of an answer, as a recording reads it."""

    __slots__ = ("headers", "status_code")

    def __init__(self, answer: UpstreamAnswer) -> None:
        self.status_code = answer.status
        self.headers = {name.lower(): value.strip() for name, value in answer.fields}


def _recorded(
    answer: UpstreamAnswer, cache: Cache, key: CacheKey, lead: Lead, since: float, tags: tuple[str, ...]
) -> UpstreamAnswer:
    """Return an answer whose reads are taken down, to be kept if it turns out to be whole."""
    if answer.status != 200:
        lead.done(None)
        return answer
    head = _Head(answer)
    recording = Recording(cache, key, lead, head, since, tags)
    length = head.headers.get("content-length", "")
    # A client may leave as soon as it has every byte, before the upstream's end is seen here.
    left = int(length) if length.isdecimal() else -1

    def take(data: bytes) -> None:
        nonlocal left
        left -= len(data)
        try:
            recording.read(data)
        except Exception as error:  # noqa: BLE001 - the boundary: the answer passes and is not kept
            count_fault("cache", error)
            recording.abandoned()

    async def end(*, at_end: bool) -> None:
        if recording.over:
            return
        try:
            # Levels may wait for a disk or a socket.
            await asyncio.to_thread(recording.ended, at_end=at_end)
        except Exception as error:  # noqa: BLE001 - as above
            count_fault("cache", error)

    async def read() -> bytes:
        data = await answer.read()
        if data:
            take(data)
        else:
            await end(at_end=True)
        return data

    async def close() -> None:
        try:
            await answer.close()
        finally:
            await end(at_end=left == 0)

    def at_hand() -> bytes:
        data = answer.at_hand()
        if data:
            take(data)
        return data

    return replace(answer, read=read, close=close, at_hand=at_hand)


class _Paced:
    """Gives a stream's reads as late as they came when it was recorded."""

    def __init__(self, entry: CacheEntry) -> None:
        self._reads = slices(entry)
        self._started = perf_counter()

    async def read(self) -> bytes:
        """Return the next read when its time has come; ``b""`` at the end."""
        at, data = next(self._reads, (0.0, b""))
        if data:
            await asyncio.sleep(max(0.0, self._started + at - perf_counter()))
        return data


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


async def _nothing() -> None:
    """Close what holds nothing."""
