"""One connection to an upstream: HTTP/1.1 answers parsed by llhttp (through httptools), one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from promptop.proxy.http.answer import ConnectError, CutError, ProtocolError, UpstreamError, plain
from promptop.proxy.http.fields import Raw, safe
from promptop.proxy.http.limits import ProxyLimits

_MOST_INTERIM = 64
"""Answers of status 1xx before the real one; a server that sends more than these sends nothing else."""
_NO_HTTP = "the server's answer is not valid HTTP, or its headers are too large"
_CLOSED = "the server closed the connection without an answer"


class _TooLargeError(Exception):
    """A head beyond the limits."""


class Incoming:
    """One answer: its head as soon as that is there, and its body as it comes."""

    __slots__ = (
        "_chunks",
        "_connection",
        "_error",
        "_held",
        "_waiter",
        "any",
        "complete",
        "head",
        "is_head",
        "raw",
        "reason",
        "status",
        "tunnel",
        "until_close",
    )

    def __init__(self, connection: UpstreamConnection, *, is_head: bool) -> None:
        """``is_head`` is said of an answer to HEAD, which has no body whatever its head says."""
        self._connection = connection
        self.is_head = is_head
        self.head: asyncio.Future[None] = connection.loop.create_future()
        """Done when the head is there; fails with :class:`UpstreamError`."""
        self.status = 0
        self.reason = b""
        self.raw: Raw = []
        self.any = False
        """Whether a byte of it has come."""
        self.until_close = False
        self.complete = False
        self.tunnel = False
        """The connection speaks something else than HTTP from here on; the body is whatever comes."""
        self._chunks: list[bytes] = []
        self._held = 0
        self._error: CutError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def take(self, data: bytes) -> None:
        """Hold bytes until they are read; too many of them stop the reading from the socket."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > self._connection.limits.buffer_bytes:
            self._connection.pause()
        self._wake()

    def finish(self) -> None:
        """Note the regular end."""
        self.complete = True
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        """Note that nothing more will come."""
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # it may be that nobody waits any more
        elif not self.complete:
            self._error = CutError(str(error))
            self._wake()

    def at_hand(self) -> bytes:
        """Return what has come, without waiting."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._held > self._connection.limits.buffer_bytes:
            self._connection.resume()
        self._held = 0
        return data

    async def read(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end; raise :class:`CutError`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        return self.at_hand()

    async def close(self) -> None:
        """Give the connection up, unless it is back in the pool."""
        self._connection.leave(self)

    def write(self, data: bytes) -> None:
        """Send bytes into a tunnel."""
        self._connection.write(data)

    async def drain(self) -> None:
        """Wait until the server takes more."""
        await self._connection.drain()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class UpstreamConnection(asyncio.Protocol):
    """A connection that sends one request after another and is kept between them."""

    def __init__(self, limits: ProxyLimits, released: Callable[[UpstreamConnection], None]) -> None:
        """``released`` is told when an exchange has ended and the connection can be used again."""
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.idle_since = 0.0
        self.closed = False
        self._released = released
        self._transport: asyncio.Transport | None = None
        self._current: Incoming | None = None
        self._parser = self._fresh_parser()
        self._over = self._stray = self._reusable = False
        self._in_head = False
        self._pending = 0
        self._fields = 0
        self._interim = 0
        self._sending = self._asking = False
        self._paused = self._unread = False
        self._drained: asyncio.Future[None] | None = None

    # ── for the pool ──

    def begin(self, *, is_head: bool) -> Incoming:
        """Return what takes the answer of the request that is about to be written."""
        self._current = incoming = Incoming(self, is_head=is_head)
        self._over = self._stray = self._reusable = False
        self._pending = self._fields = self._interim = 0
        self._sending = True
        if self.closed:
            incoming.fail(self._lost(None))
        return incoming

    async def ask(self, request: bytes) -> int:
        """Send a CONNECT and return the status of its answer, whose body is none: what follows speaks for itself."""
        incoming = self.begin(is_head=True)
        self._asking = True
        self.write(request)
        self.sent()
        try:
            await incoming.head
        finally:
            self._asking = False
        return incoming.status

    def sent(self) -> None:
        """Note that the request has been written to its end."""
        self._sending = False

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the server takes more; raise :class:`ConnectError` if it has gone."""
        if self._paused and not self.closed:
            self._drained = self.loop.create_future()
            await self._drained
        if self.closed:
            raise ConnectError(_CLOSED)

    def pause(self) -> None:
        """Read no more from the socket."""
        if self._transport is not None and not self._unread and not self.closed:
            self._unread = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._unread and not self.closed:
            self._unread = False
            self._transport.resume_reading()

    def leave(self, incoming: Incoming) -> None:
        """End an exchange before its time, if it still runs: nothing of it may be taken for the next one's."""
        if self._current is incoming:
            self._current = None
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort() if self._sending else self._transport.close()

    # ── asyncio ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; called again after TLS has begun."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self.limits.buffer_bytes)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the server."""
        current = self._current
        if current is None:
            self.close()  # nobody has asked anything
            return
        if current.tunnel:
            current.take(data)
            return
        current.any = True
        self._pending += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(current, data[upgrade.args[0] :])
            return
        except (httptools.HttpParserError, httptools.HttpParserCallbackError):
            self._fail(ProtocolError(_NO_HTTP))
            return
        if self._in_head and self._pending > self.limits.header_bytes:
            self._fail(ProtocolError(_NO_HTTP))
        elif self._over:
            self._end(current)

    def eof_received(self) -> bool:
        """Let the transport close: an answer that has no length ends here."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """End what runs."""
        self.closed = True
        current, self._current = self._current, None
        if current is not None:
            if error is None and current.head.done() and (current.until_close or current.tunnel):
                current.finish()
            else:
                current.fail(self._lost(error, current))
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._transport = None

    def pause_writing(self) -> None:
        """Note that the server reads slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # ── llhttp ──

    def on_message_begin(self) -> None:
        """Start a head."""
        if self._over or self._current is None:
            self._stray = True
            return
        self._in_head = True
        self._fields = 0
        self._current.raw = []
        self._current.reason = b""

    def on_status(self, status: bytes) -> None:
        """Take a part of the reason."""
        if self._current is not None:
            self._current.reason += status
            if len(self._current.reason) > self.limits.header_bytes:
                raise _TooLargeError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those of a trailer end here."""
        self._pending = 0
        self._fields += 1
        if self._fields > self.limits.headers or len(name) + len(value) > self.limits.header_bytes:
            raise _TooLargeError
        if self._in_head and self._current is not None:
            self._current.raw.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Let the head go up."""
        current = self._current
        self._in_head = False
        if current is None or self._over:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise _TooLargeError
            return
        if status < 101 or status > 999 or not safe(current.raw) or b"\r" in current.reason:
            raise _TooLargeError
        length, coding = False, b""
        for name, value in current.raw:
            if len(name) == 14 and name.lower() == b"content-length":
                length = True
            elif len(name) == 17 and name.lower() == b"transfer-encoding":
                coding = value
        current.status = status
        chunked = coding.rpartition(b",")[2].strip().lower() == b"chunked"
        current.until_close = not length and not chunked and status not in (204, 304) and not current.is_head
        if current.is_head:
            self._over = True
            self._reusable = self._parser.should_keep_alive()
        if not current.head.done():
            current.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """Take bytes of the body."""
        if self._over or self._current is None:
            self._stray = True
        else:
            self._current.take(data)

    def on_message_complete(self) -> None:
        """Note the end; what follows it in the same read is seen first."""
        current = self._current
        if current is None or self._over or not current.status:
            return  # an interim answer
        self._over = True
        self._reusable = self._parser.should_keep_alive()

    # ──

    def _end(self, current: Incoming) -> None:
        self._current = None
        if current.is_head:
            self._parser = self._fresh_parser()
        current.finish()
        if self._asking:
            return
        # A server that answers before it has read the request may not read the rest as one.
        unsent = self._sending or (self._transport is not None and self._transport.get_write_buffer_size())
        if self._reusable and not self._stray and not unsent and not self.closed:
            self.resume()
            self._released(self)
        else:
            self.close()

    def _upgraded(self, current: Incoming, rest: bytes) -> None:
        if current.status != 101:
            self._fail(ProtocolError(_NO_HTTP))
            return
        current.tunnel = True
        current.complete = False
        if rest:
            current.take(rest)

    def _fail(self, error: UpstreamError) -> None:
        current, self._current = self._current, None
        if current is not None:
            current.fail(error)
        self._sending = True  # nothing that waits to be sent is worth waiting for
        self.close()

    def _lost(self, error: Exception | None, current: Incoming | None = None) -> ConnectError:
        lost = ConnectError(_CLOSED if error is None else plain(error))
        lost.replayable = self.idle_since > 0 and (current is None or not current.any)
        return lost

    def _fresh_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        # What aiohttp, curl and the SDKs' own clients take from servers as well; heads are checked before they go on.
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser
