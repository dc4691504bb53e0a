"""Transports that watch: they wrap any transport of httpx2 or httpx and pass requests, bytes and errors through it.

Both families export the same names, so one function builds the classes for either. A transport of ours serves sync and
async clients alike, as far as what it wraps does. HTTP/2, connection reuse, proxies and limits are the inner
transport's. What is not at hand without reading it (file uploads, multipart, generators) is not read.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib import import_module
from types import TracebackType
from typing import Any

from promptop.capture.attempt import REFUSAL_LIMIT, WatchedAttempt, begin
from promptop.capture.call import Labels, clock

FAMILIES = ("httpx2", "httpx")


def family_of(thing: object) -> str | None:
    """Return ``httpx2`` or ``httpx``, whichever defines the client or transport class of ``thing``."""
    for kind in type(thing).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in FAMILIES:
            return root
    return None


def default_family() -> str:
    """Return the family that the host has loaded, else the first that is installed."""
    for name in FAMILIES:
        if name in sys.modules:
            return name
    for name in FAMILIES:
        try:
            import_module(name)
        except ImportError:
            continue
        return name
    raise ImportError("promptop.transport needs httpx2 or httpx: pip install httpx2")


@cache
def classes(family: str) -> tuple[type[Any], type[Any]]:
    """Return the transport and the response stream of a family, built on its base classes."""
    httpx: Any = import_module(family)

    class WatchedStream(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc]  # bases known at run time
        """A response's body on its way to the caller: stamped, and without a usage chunk that we asked for."""

        def __init__(self, inner: Any, attempt: WatchedAttempt, before: tuple[bytes, Any] | None = None) -> None:
            self._inner = inner
            self._attempt = attempt
            self._before = before
            """What was read already (and noted), and the iterator that goes on from there."""

        def __iter__(self) -> Iterator[bytes]:
            attempt = self._attempt
            call = attempt.call
            reads = self._inner
            try:
                if self._before is not None:
                    first, reads = self._before
                    yield first
                for data in reads:
                    call.feed(data, clock())
                    if not attempt.filtered:
                        yield data
                        continue
                    for shown in attempt.shown(data):
                        yield shown
                if shown := attempt.rest():
                    yield shown
            except GeneratorExit:
                raise
            except BaseException as error:
                call.end("error", error)
                raise
            attempt.at_end = True

        async def __aiter__(self) -> AsyncIterator[bytes]:
            attempt = self._attempt
            call = attempt.call
            reads = self._inner
            try:
                if self._before is not None:
                    first, reads = self._before
                    yield first
                async for data in reads:
                    call.feed(data, clock())
                    if not attempt.filtered:
                        yield data
                        continue
                    for shown in attempt.shown(data):
                        yield shown
                if shown := attempt.rest():
                    yield shown
            except GeneratorExit:
                raise
            except BaseException as error:
                call.end("error", error)
                raise
            attempt.at_end = True

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._attempt.close("closed")

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._attempt.close("closed")

        def __del__(self) -> None:
            attempt = getattr(self, "_attempt", None)
            if attempt is not None:
                attempt.close("abandoned")

    class WatchedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):  # type: ignore[misc]  # as above
        """Logs every request that passes; see :func:`promptop.transport`."""

        def __init__(self, inner: Any, labels: Labels) -> None:
            self.inner = inner
            self.labels = labels

        def handle_request(self, request: Any) -> Any:
            attempt = begin(self.labels, request, httpx)
            response = self._send(attempt)
            if not attempt.responded(response):
                return attempt.watched(response, WatchedStream, httpx)
            first = b""
            reads: Iterator[bytes] = iter(())
            try:
                if response.is_stream_consumed:
                    first = response.content
                else:
                    reads = iter(response.stream)
                    for data in reads:
                        first += data
                        if len(first) >= REFUSAL_LIMIT:
                            break
            except BaseException as error:
                attempt.call.end("error", error)
                raise
            if not attempt.refused(response, first):
                return attempt.watched(response, WatchedStream, httpx, (first, reads))
            try:
                response.close()
            finally:
                attempt.close("eof")
            attempt = begin(self.labels, request, httpx, refused=attempt)
            response = self._send(attempt)
            attempt.responded(response)
            return attempt.watched(response, WatchedStream, httpx)

        def _send(self, attempt: WatchedAttempt) -> Any:
            try:
                return self.inner.handle_request(attempt.sent(asynchronous=False))
            except BaseException as error:
                attempt.call.failed(error)
                raise
            finally:
                attempt.restore()

        async def handle_async_request(self, request: Any) -> Any:
            attempt = begin(self.labels, request, httpx)
            response = await self._asend(attempt)
            if not attempt.responded(response):
                return attempt.watched(response, WatchedStream, httpx)
            first = b""
            reads: AsyncIterator[bytes] = _nothing()
            try:
                if response.is_stream_consumed:
                    first = response.content
                else:
                    reads = aiter(response.stream)
                    async for data in reads:
                        first += data
                        if len(first) >= REFUSAL_LIMIT:
                            break
            except BaseException as error:
                attempt.call.end("error", error)
                raise
            if not attempt.refused(response, first):
                return attempt.watched(response, WatchedStream, httpx, (first, reads))
            try:
                await response.aclose()
            finally:
                attempt.close("eof")
            attempt = begin(self.labels, request, httpx, refused=attempt)
            response = await self._asend(attempt)
            attempt.responded(response)
            return attempt.watched(response, WatchedStream, httpx)

        async def _asend(self, attempt: WatchedAttempt) -> Any:
            try:
                return await self.inner.handle_async_request(attempt.sent(asynchronous=True))
            except BaseException as error:
                attempt.call.failed(error)
                raise
            finally:
                attempt.restore()

        def close(self) -> None:
            self.inner.close()

        async def aclose(self) -> None:
            await self.inner.aclose()

        def __enter__(self) -> Any:
            self.inner.__enter__()
            return self

        def __exit__(
            self,
            kind: type[BaseException] | None = None,
            error: BaseException | None = None,
            traceback: TracebackType | None = None,
        ) -> None:
            self.inner.__exit__(kind, error, traceback)

        async def __aenter__(self) -> Any:
            await self.inner.__aenter__()
            return self

        async def __aexit__(
            self,
            kind: type[BaseException] | None = None,
            error: BaseException | None = None,
            traceback: TracebackType | None = None,
        ) -> None:
            await self.inner.__aexit__(kind, error, traceback)

    return WatchedTransport, WatchedStream


async def _nothing() -> AsyncIterator[bytes]:
    """Yield nothing: what is left of a response that was read already."""
    nothing: tuple[bytes, ...] = ()
    for data in nothing:
        yield data
