"""A transport that answers from the response cache, and fills it with what the inner transport brings.

It lies *inside* the logging transport, so that a hit leaves a row like any other call, with its level and its saving.
Only complete answers are kept: a stream that was closed early, cut, or that carries an error under HTTP 200 is not.
What is kept is the decoded body with the time of each read, so that a hit is a stream again, byte for byte, at once or
at the pace at which it came.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import cache as memoize
from importlib import import_module
from typing import Any, Literal

from promptop.cache import Cache, CacheEntry, CacheKey, Hit, Lead, Policy, key_of
from promptop.cache.cache import AsyncEmbed
from promptop.cache.semantic.embedding import Embed
from promptop.capture.annotations import current_note, set_apart
from promptop.capture.caching import embedding_request
from promptop.capture.caching.outcome import EXTENSION, CacheFact, fact_of
from promptop.capture.caching.recorder import Recording
from promptop.providers.api import loads

HEADER = "x-promptop-cache"
"""Header that tells the caller which level answered."""
SCORE_HEADER = "x-promptop-cache-score"
"""Header that tells the caller how near the other wording is whose answer this is."""
MOST_PIECES = 8
"""Parts of a hit that is given at once, beside the first read."""
Pace = Literal["instant", "recorded"]


def _digest(key: CacheKey | None) -> str:
    return key.digest if key is not None else ""


def key_for(request: Any, policy: Policy, httpx: Any) -> CacheKey | None:
    """Return the key of an httpx request whose JSON body is at hand; None for any other."""
    if request.method != "POST":
        return None
    try:
        body = loads(request.content)
    except httpx.RequestNotRead:
        return None
    if not isinstance(body, dict):
        return None
    url = request.url
    return key_of(f"{url.host}:{url.port or url.scheme}", url.path, body, policy)


def tags_of(*tags: Mapping[str, object]) -> tuple[str, ...]:
    """Return tags, merged from left to right, as an entry keeps them: ``name:value``."""
    merged: dict[str, object] = {}
    for mapping in tags:
        merged.update(mapping)
    return tuple(f"{name}:{value}" for name, value in merged.items())


def told(fact: CacheFact) -> list[tuple[str, str]]:
    """Return the headers that tell the caller of a hit."""
    score = [(SCORE_HEADER, str(fact.score))] if fact.score is not None else []
    return [(HEADER, fact.level), *score]


def vector_request(request: Any, model: str, text: str, httpx: Any) -> Any:
    """Return a request for the vector of ``text`` to where ``request`` goes, with its credentials."""
    url, headers = request.url, request.headers.copy()
    for name in embedding_request.NOT_OURS:
        headers.pop(name, None)
    headers["content-type"] = "application/json"
    return httpx.Request(
        "POST",
        url.copy_with(path=embedding_request.path(url.path)),
        headers=headers,
        content=embedding_request.body(model, text),
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), embedding_request.TIMEOUT_S)},
    )


def pieces(entry: CacheEntry) -> Iterator[bytes]:
    """Yield an entry's body in a few parts, for a hit that is given at once: the first read alone, then the rest.

    A part for each read would cost more than all else of a hit (0.2 of 0.33 ms for 90 reads).
    """
    marks = entry.marks
    step = max(1, len(marks) // MOST_PIECES)
    ends = [marks[0][0], *(marks[at][0] for at in range(step, len(marks), step))] if marks else []
    start = 0
    for end in (*ends, len(entry.body)):
        if end > start:
            yield entry.body[start:end]
            start = end


def slices(entry: CacheEntry) -> Iterator[tuple[float, bytes]]:
    """Yield (seconds since the request, bytes) of each read of an entry's body as it was recorded."""
    start = 0
    for end, at in entry.marks:
        if end > start:
            yield at, entry.body[start:end]
        start = end
    if start < len(entry.body):
        yield 0.0, entry.body[start:]


@memoize
def classes(family: str) -> tuple[type[Any], type[Any], type[Any]]:
    """Return the caching transport, the recorded stream and the replayed stream of ``httpx2`` or ``httpx``."""
    httpx: Any = import_module(family)

    class RecordedStream(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]  # bases known at run time
        """A body on its way to the caller, taken down."""

        def __init__(self, inner: Any, recording: Recording) -> None:
            self._inner = inner
            self._recording = recording

        def __iter__(self) -> Iterator[bytes]:
            for data in self._inner:
                self._recording.read(data)
                yield data
            self._recording.ended(at_end=True)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for data in self._inner:
                self._recording.read(data)
                yield data
            # Levels may wait for a disk or a socket.
            await asyncio.to_thread(self._recording.ended, at_end=True)

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._recording.ended(at_end=False)

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                if not self._recording.over:
                    await asyncio.to_thread(self._recording.ended, at_end=False)

        def __del__(self) -> None:
            recording = getattr(self, "_recording", None)
            if recording is not None:
                recording.ended(at_end=False)

    class ReplayedStream(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]  # as above
        """A kept body, given again."""

        def __init__(self, entry: CacheEntry, pace: Pace) -> None:
            self._entry = entry
            self._pace = pace

        def __iter__(self) -> Iterator[bytes]:
            if self._pace == "instant":
                yield from pieces(self._entry)
                return
            started = time.perf_counter()
            for at, data in slices(self._entry):
                time.sleep(max(0.0, started + at - time.perf_counter()))
                yield data

        async def __aiter__(self) -> AsyncIterator[bytes]:
            if self._pace == "instant":
                for data in pieces(self._entry):
                    yield data
                return
            started = time.perf_counter()
            for at, data in slices(self._entry):
                await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
                yield data

    class CachingTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):  # type: ignore[misc]  # as above
        """Answers what the cache has and keeps what it may."""

        def __init__(
            self,
            inner: Any,
            cache: Cache,
            policy: Policy | None = None,
            pace: Pace = "instant",
            aside: Any = None,
            tags: Mapping[str, object] | None = None,
        ) -> None:
            """``aside`` carries our own requests for embeddings: the inner transport, with a row for each.

            Answers are kept under ``tags`` and those of the caller's note, for invalidation.
            """
            self._tags = dict(tags or {})
            self.inner = inner
            self._aside = aside or inner
            self._cache = cache
            self._policy = policy or Policy()
            self._pace = pace

        def handle_request(self, request: Any) -> Any:
            key = key_for(request, self._policy, httpx)
            if key is None or not key.cacheable:
                return self.inner.handle_request(request)
            asked = time.perf_counter()
            begun = self._cache.begin(key, self._embedder(request))
            since = time.perf_counter()
            if isinstance(begun, Hit):
                return self._replayed(begun, key, since - asked, request)
            try:
                response = self.inner.handle_request(request)
                return self._recorded(response, key, begun, (asked, since), request)
            except BaseException:
                begun.done(None)
                raise

        async def handle_async_request(self, request: Any) -> Any:
            key = key_for(request, self._policy, httpx)
            if key is None or not key.cacheable:
                return await self.inner.handle_async_request(request)
            asked = time.perf_counter()
            begun = await self._cache.abegin(key, self._async_embedder(request))
            since = time.perf_counter()
            if isinstance(begun, Hit):
                return self._replayed(begun, key, since - asked, request)
            try:
                response = await self.inner.handle_async_request(request)
                return self._recorded(response, key, begun, (asked, since), request)
            except BaseException:
                begun.done(None)
                raise

        def _embedder(self, request: Any) -> Embed | None:
            """Return what asks the request's own endpoint for a vector; None where the cache needs none from there."""
            semantic = self._cache.semantic
            if semantic is None or semantic.local is not None:
                return None

            def embed(text: str) -> Any:
                with set_apart(embedding_request.TAGS):
                    response = self._aside.handle_request(vector_request(request, semantic.model, text, httpx))
                    try:
                        return embedding_request.vector(response.status_code, response.read())
                    finally:
                        response.close()

            return embed

        def _async_embedder(self, request: Any) -> AsyncEmbed | None:
            semantic = self._cache.semantic
            if semantic is None or semantic.local is not None:
                return None

            async def embed(text: str) -> Any:
                asked = vector_request(request, semantic.model, text, httpx)
                with set_apart(embedding_request.TAGS):
                    response = await self._aside.handle_async_request(asked)
                    try:
                        return embedding_request.vector(response.status_code, await response.aread())
                    finally:
                        await response.aclose()

            return embed

        def _replayed(self, hit: Hit, key: CacheKey, lookup_s: float, request: Any) -> Any:
            fact = fact_of(hit, key.digest, lookup_s)
            return httpx.Response(
                hit.entry.status,
                headers=[*hit.entry.headers, *told(fact)],
                stream=ReplayedStream(hit.entry, self._pace),
                request=request,
                extensions={EXTENSION: fact},
            )

        def _recorded(self, response: Any, key: CacheKey, lead: Lead, times: tuple[float, float], request: Any) -> Any:
            """``times`` are those of the look-up's start and end."""
            asked, since = times
            policy = replace(self._policy, normalize_whitespace=True)
            words = None if policy == self._policy else lambda: _digest(key_for(request, policy, httpx))
            response.extensions[EXTENSION] = CacheFact("miss", key.digest, since - asked, words_key=words)
            if response.status_code != 200:
                lead.done(None)
                return response
            note = current_note()
            tags = tags_of(self._tags, note.tags if note is not None else {})
            recording = Recording(self._cache, key, lead, response, since, tags)
            if response.is_stream_consumed:  # made in memory (a mock): nothing will pass
                recording.abandoned()
                return response
            response.stream = RecordedStream(response.stream, recording)
            return response

        def close(self) -> None:
            self.inner.close()

        async def aclose(self) -> None:
            await self.inner.aclose()

    return CachingTransport, RecordedStream, ReplayedStream
