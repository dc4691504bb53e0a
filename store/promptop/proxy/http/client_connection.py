"""The proxy's side towards its clients: HTTP/1.1 requests parsed by llhttp (through httptools), answered in order.

What is not exactly HTTP is refused and its connection closed: two lengths, a length beside ``Transfer-Encoding``, bare
CR or LF, folded fields, control bytes in a value, more or longer fields than the limits. One request at a time is
handled; what a client sends ahead waits, at most one read of it, and its socket is not read meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import cast

import httptools

from promptop.proxy.http.fields import Fields, Raw, safe
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.upstreams import RefusedError

_LINGER_S = 2.0
"""Seconds for which the rest of a body that nobody wants is read, so that the client sees the answer."""
_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))
"""Fields that may stand once: two of them would be read differently by two servers."""
_NO_HTTP = "The request is not valid HTTP."


class BrokenBodyError(Exception):
    """The request's body is not what its head says."""


class _HeadTooLargeError(Exception):
    """A head beyond the limits."""


class _BadHeadError(Exception):
    """A head that two servers could read differently."""


class Request:
    """One request: its head, and its body as it comes."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_error",
        "_waiter",
        "complete",
        "expects_continue",
        "fields",
        "has_body",
        "host",
        "http_1_0",
        "is_head",
        "keep_alive",
        "length",
        "method",
        "origin",
        "response",
        "target",
        "websocket",
    )

    def __init__(self, connection: ClientConnection, method: str, target: str, raw: Raw) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.fields = Fields(raw)
        self.is_head = method == "HEAD"
        self.http_1_0 = self.keep_alive = self.websocket = self.expects_continue = self.has_body = False
        self.length: int | None = None
        """Bytes of the body, where the head says them."""
        self.host: str | None = None
        self.origin: str | None = None
        self.complete = False
        self.response: Response | None = None
        """The answer, once it has begun."""
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._error: BrokenBodyError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Return the next bytes of the body, ``b""`` at its end; raise :class:`BrokenBodyError`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        full, self._buffered = self._buffered > self._connection.limits.buffer_bytes, 0
        if full:
            self._connection.resume()
        return data

    def whole(self) -> bytes | None:
        """Return the body, or what is left of it, if all of it has come already."""
        if not self.complete or self._error is not None:
            return None
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        return data

    def go_on(self) -> None:
        """Tell a client that waits for it to send its body."""
        if self.expects_continue and not self._chunks and not self.complete:
            self.expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def respond(self, status: int, reason: bytes, fields: Raw, *, last: bool = False) -> Response:
        """Begin the answer; after the ``last`` one the connection closes."""
        if last:
            self.keep_alive = False
        self.response = Response(self, self._connection, status, reason, fields)
        return self.response

    def take(self, data: bytes) -> None:
        """Hold a part of the body until it is read."""
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > self._connection.limits.buffer_bytes:
            self._connection.pause()
        self._wake()

    def finish(self) -> None:
        """Note the end of the body."""
        self.complete = True
        self._wake()

    def fail(self) -> None:
        """Note that the body broke off."""
        self._error = BrokenBodyError()
        self._wake()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        await self._connection.drain()

    def cut(self, *, hard: bool = False) -> None:
        """Close the connection without the mark of a regular end; ``hard`` drops also what has not been sent."""
        self._connection.cut(hard=hard or self.http_1_0)

    def tunnel(self) -> None:
        """Leave HTTP: from here on :meth:`read` yields whatever comes, and :meth:`write` writes."""
        self._connection.tunnel()

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._connection.write(data)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Response:
    """An answer on its way: head, body, end."""

    __slots__ = ("_chunked", "_connection", "_left", "ended", "keep_alive", "status")

    def __init__(self, request: Request, connection: ClientConnection, status: int, reason: bytes, fields: Raw) -> None:
        """Write the head; its bytes go out with the first ones of the body if those come at once."""
        self._connection = connection
        self.status = status
        self.ended = False
        bodiless = request.is_head or status in (204, 304) or status < 200
        length = None
        if not safe(fields) or b"\n" in reason:
            raise ValueError("a field that cannot be sent")
        head = [b"HTTP/1.1 %d %b" % (status, reason)]
        for field in fields:
            name = field[0]
            if len(name) == 14 and name.lower() == b"content-length":
                if status == 204 or length is not None or not field[1].isdigit():
                    continue
                length = int(field[1])
            head.append(b"%b: %b" % field)
        self._left: int | None = 0 if bodiless else length
        self._chunked = False
        self.keep_alive = request.keep_alive and not connection.ends
        if self._left is None:
            if request.http_1_0:
                self.keep_alive = False
            else:
                self._chunked = True
                head.append(b"Transfer-Encoding: chunked")
        if not self.keep_alive and status != 101:
            head.append(b"Connection: close")
        elif request.http_1_0:
            head.append(b"Connection: keep-alive")
        head.append(b"\r\n")
        connection.hold(b"\r\n".join(head))

    def write(self, data: bytes) -> None:
        """Write a part of the body."""
        if self._chunked:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:  # more than the head says: what follows would be read as the next answer
                data = data[: self._left]
                self._left = 0
                self.keep_alive = False
        self._connection.write(data)

    def flush(self) -> None:
        """Write the head if no body came with it."""
        self._connection.write(b"")

    def end(self) -> None:
        """Write the end; a body shorter than its head says is cut instead."""
        if self.ended:
            return
        self.ended = True
        self._connection.write(b"0\r\n\r\n" if self._chunked else b"")
        if self._left:
            self._connection.cut()


class ClientConnections:
    """All connections of clients of one proxy."""

    def __init__(
        self,
        limits: ProxyLimits,
        handle: Callable[[Request], Awaitable[None]],
        refused: Callable[[Request | None, RefusedError], bytes],
    ) -> None:
        """``handle`` answers a request; ``refused`` notes what is not a request and returns the answer's body, JSON."""
        self.limits = limits
        self.handle = handle
        self.refused = refused
        self.connections: set[ClientConnection] = set()
        self.draining = False

    def sweep(self) -> None:
        """Close connections that have waited too long for the head of a request."""
        oldest = perf_counter() - self.limits.keep_alive_s
        for connection in [one for one in self.connections if one.idle_since is not None and one.idle_since < oldest]:
            connection.cut(hard=True)

    async def stop(self) -> None:
        """Close idle connections, and wait until the others have finished within the grace period; then end them."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()
        tasks = {one.task for one in self.connections if one.task is not None}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.limits.grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self.limits.grace_s)
        for connection in list(self.connections):
            connection.cut()


class ClientConnection(asyncio.Protocol):
    """A client's connection: one request after another."""

    def __init__(self, front: ClientConnections) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = front.limits
        self.task: asyncio.Task[None] | None = None
        self.idle_since: float | None = perf_counter()
        """Since when no head has come; None while a request is being answered."""
        self.ends = False
        """No request after this one."""
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._raw: Raw = []
        self._url = b""
        self._in_head = True
        self._pending = 0
        self._fields = 0
        self._repeated: set[bytes] = set()
        self._current: Request | None = None
        """The one that is being answered."""
        self._incoming: Request | None = None
        """The one whose body is being read."""
        self._waiting: deque[Request] = deque()
        self._refusal: RefusedError | None = None
        self._tunnelled = self._discarding = False
        self._unread = False
        self._held = b""
        self._paused = False
        self._drained: asyncio.Future[None] | None = None

    # ── for requests and responses ──

    def hold(self, head: bytes) -> None:
        """Keep bytes until the next ones."""
        self._held = head

    def write(self, data: bytes) -> None:
        """Write bytes behind what is held."""
        if self._held:
            data, self._held = self._held + data, b""
        if data and self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken enough."""
        if self._paused:
            self._drained = self.loop.create_future()
            await self._drained

    def pause(self) -> None:
        """Read no more from the socket."""
        if self._transport is not None and not self._unread and not self._transport.is_closing():
            self._unread = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and self._unread and not self._transport.is_closing():
            self._unread = False
            self._transport.resume_reading()

    def cut(self, *, hard: bool = False) -> None:
        """Close the connection after what was written, or at once."""
        self.ends = True
        if self._transport is not None:
            self._transport.abort() if hard else self._transport.close()

    def close_if_idle(self) -> None:
        """Close a connection that carries no request."""
        self.ends = True
        if self._current is None:
            self.cut()

    def tunnel(self) -> None:
        """Hand everything that comes from now on to the request's reader."""
        request = self._current
        assert request is not None
        self._tunnelled = True
        rest, request._chunks = request._chunks, []
        request.complete = False
        for data in rest:
            request.take(data)

    # ── asyncio ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self.limits.buffer_bytes)
        self._front.connections.add(self)
        if self._front.draining:
            self.cut()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._discarding or self._refusal is not None:
            return
        if self._tunnelled:
            if self._current is not None:
                self._current.take(data)
            return
        self._feed(data)
        if self._waiting and self._refusal is None:
            self.pause()

    def _feed(self, data: bytes) -> None:
        if self._in_head:
            self._pending += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, _HeadTooLargeError):
                self._refuse(RefusedError(431, "head_too_large", "The head of the request is larger than the limits."))
                return
            self._refuse(RefusedError(400, "bad_request", _NO_HTTP))
            return
        except httptools.HttpParserError:
            self._refuse(RefusedError(400, "bad_request", _NO_HTTP))
            return
        if self._in_head and self._pending > self.limits.header_bytes:
            self._refuse(RefusedError(431, "head_too_large", "The head of the request is larger than the limits."))

    def eof_received(self) -> bool:
        """Let the connection close: who has gone gets no answer."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """End the request that runs: its client has gone."""
        self._transport = None
        self._front.connections.discard(self)
        self._waiting.clear()
        self.ends = True
        if self.task is not None:
            self.task.cancel()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def pause_writing(self) -> None:
        """Note that the client reads slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """Let the writer go on."""
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # ── llhttp ──

    def on_message_begin(self) -> None:
        """Start a head."""
        self._in_head = True
        self._raw = []
        self._url = b""
        self._fields = 0
        if self._repeated:
            self._repeated = set()

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._url += url
        self._pending = 0
        if len(self._url) > self.limits.header_bytes:
            raise _HeadTooLargeError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; those of a trailer end here."""
        self._pending = 0
        self._fields += 1
        if self._fields > self.limits.headers or len(name) + len(value) > self.limits.header_bytes:
            raise _HeadTooLargeError
        if self._in_head:
            self._raw.append((name, value.rstrip(b" \t")))
        elif name.lower() in _ONCE:
            raise _BadHeadError

    def on_headers_complete(self) -> None:
        """Begin a request."""
        parser, raw = self._parser, self._raw
        version = parser.get_http_version()
        if version not in ("1.1", "1.0") or (self._url[:1] == b"*" and self._url != b"*"):
            raise _BadHeadError
        request = Request(self, parser.get_method().decode("ascii"), self._url.decode("utf-8", "surrogateescape"), raw)
        request.http_1_0 = version == "1.0"
        request.keep_alive = parser.should_keep_alive()
        upgrade = b""
        for name, value in raw:
            lower = name.lower()
            if lower in _ONCE:
                if lower in self._repeated:
                    raise _BadHeadError
                self._repeated.add(lower)
                if lower == b"host":
                    request.host = value.decode("latin-1")
                elif lower == b"content-length":
                    if not value.isdigit() or len(value) > 18:
                        raise _BadHeadError
                    request.length = int(value)
                elif lower == b"transfer-encoding":
                    if value.lower() != b"chunked" or request.http_1_0:
                        raise _BadHeadError
                    request.has_body = True
            elif lower == b"origin":
                request.origin = value.decode("latin-1")
            elif lower == b"upgrade":
                upgrade = value
            elif lower == b"expect":
                request.expects_continue = value.strip().lower() == b"100-continue"
        if request.host is None and not request.http_1_0:
            raise _BadHeadError
        if request.length:
            request.has_body = True
        request.websocket = upgrade.strip().lower() == b"websocket"
        self._in_head = False
        self._incoming = request
        self.idle_since = None
        if self._current is None:
            self._start(request)
        else:
            self._waiting.append(request)

    def on_body(self, data: bytes) -> None:
        """Take a part of a body."""
        if self._incoming is not None:
            self._incoming.take(data)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.finish()
        self._in_head = True
        self._pending = 0
        if self._discarding:
            self.cut()

    # ──

    def _upgraded(self, rest: bytes) -> None:
        """Go on behind a head that asks for another protocol; only WebSockets are carried."""
        request = self._waiting[-1] if self._waiting else self._current
        assert request is not None
        if request.method == "CONNECT":
            request.keep_alive = False
            self.ends = True
            return
        if request.websocket:
            request.keep_alive = False
            # What follows belongs to the WebSocket, should there be one.
            if rest:
                request._chunks.append(rest)
            return
        # The offer is not taken: the request goes on as any other, behind a head that offers nothing.
        request.complete = False
        self._incoming = request
        self._parser = httptools.HttpRequestParser(_Rest(self))
        head = b"POST / HTTP/1.1\r\n"
        if request.length is not None:
            head += b"Content-Length: %d\r\n" % request.length
        elif request.has_body:
            head += b"Transfer-Encoding: chunked\r\n"
        self._parser.feed_data(head + b"\r\n")
        if rest:
            self._feed(rest)

    def _refuse(self, refusal: RefusedError) -> None:
        """Answer what is not a request behind the answers that are due, and read no more."""
        self._refusal = refusal
        self.ends = True
        if self._incoming is not None:
            self._incoming.fail()
        if self._current is None:
            self._answer_refusal()

    def _answer_refusal(self) -> None:
        refusal = self._refusal
        assert refusal is not None
        body = self._front.refused(None, refusal)
        head = b"HTTP/1.1 %d Refused\r\nContent-Type: application/json\r\n" % refusal.status
        self.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        self._linger()

    def _linger(self) -> None:
        """Read and drop what still comes for a moment, then close: else the answer could be lost with the rest."""
        self._discarding = True
        self.resume()
        self.loop.call_later(min(_LINGER_S, self.limits.client_idle_s), self.cut)
        if self._transport is not None and self._transport.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                self._transport.write_eof()

    def _start(self, request: Request) -> None:
        self._current = request
        self.task = self.loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            await self._front.handle(request)
        except asyncio.CancelledError:
            self.cut()
        except BaseException:
            self.cut(hard=True)
            raise
        finally:
            self._over(request)

    def _over(self, request: Request) -> None:
        self._current = self.task = None
        if self._transport is None:
            return
        response = request.response
        if response is None or not response.ended or self._tunnelled:
            self.cut()
            return
        if self._refusal is not None and request._error is None:
            self._answer_refusal()
            return
        if not request.complete:
            self._linger()
            return
        if not response.keep_alive or self.ends or self._front.draining:
            self.cut()
            return
        if self._waiting:
            self._start(self._waiting.popleft())
            return
        self.idle_since = perf_counter()
        self.resume()


class _Rest:
    """Parses on behind a head that was read already."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._handed = False
        """Whether the body that is left has been read, so that heads are those of further requests."""

    def on_headers_complete(self) -> None:
        if self._handed:
            self._connection.on_headers_complete()

    def on_message_begin(self) -> None:
        if self._handed:
            self._connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._handed:
            self._connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._handed:
            self._connection.on_header(name, value)

    def on_body(self, data: bytes) -> None:
        self._connection.on_body(data)

    def on_message_complete(self) -> None:
        self._handed = True
        self._connection.on_message_complete()
