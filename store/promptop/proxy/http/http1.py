"""The proxy's way to an upstream over HTTP/1.1: aiohttp (HTTP/2, which it has not, is in ``http2.py``).

Both clients give an :class:`Answer`: status, header fields and the body's bytes as they come from the wire, undecoded.
Nothing is added to a request: no cookies of other clients, no redirects followed, no ``.netrc``, no default header.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from promptop.proxy.http.limits import Limits
from promptop.proxy.upstreams import Upstream

Body = bytes | AsyncIterator[bytes] | None

_UNSENT = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""What aiohttp would add; a proxy sends what its client sent."""
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that need no ``Content-Length: 0``."""
_JOINED = 64 * 1024
"""Bytes of the largest body that is copied to go out in one piece with its head."""
_MOST_PLACES = 1024


@dataclass(slots=True)
class Connected:
    """What is known of the connection that a request went out on."""

    reused: bool | None = None
    connect_s: float | None = None
    """Seconds for TCP and TLS together; None on a reused connection."""


class UpstreamError(Exception):
    """The upstream gave no usable answer; the text holds no address and no credentials."""

    replayable = False
    """No byte of an answer came, on a connection that had been kept from before."""


class ConnectError(UpstreamError):
    """No connection, or one that closed before an answer."""


class UpstreamTimeoutError(UpstreamError, TimeoutError):
    """No connection or no answer in time."""


class TLSError(UpstreamError):
    """The server's certificate or handshake was refused."""


class ProtocolError(UpstreamError):
    """The answer's head is not HTTP, or larger than the limits."""


class CutError(OSError):
    """The answer's body ended before its end."""


@dataclass(slots=True)
class Answer:
    """An upstream's response whose body is still to be read."""

    status: int
    reason: str
    headers: Sequence[tuple[str, str]]
    read: Callable[[], Awaitable[bytes]]
    """Next bytes of the body as they came, ``b""`` at its end; raises :class:`CutError`."""
    close: Callable[[], Awaitable[None]]
    """Give the connection up, or back if the body has been read; idempotent."""
    connected: Connected = field(default_factory=Connected)
    at_hand: Callable[[], bytes] = bytes
    """Bytes of the body that have come already, perhaps none; taken without waiting."""


class Client(Protocol):
    """Sends requests to upstreams."""

    async def send(
        self, upstream: Upstream, method: str, target: str, headers: CIMultiDict[str], body: Body, note: Connected
    ) -> Answer:
        """Send one request and return when the answer's head is there; raise :class:`UpstreamError`."""

    async def close(self) -> None:
        """Close every connection."""


_note: ContextVar[Connected | None] = ContextVar("connection", default=None)


class _Connector(aiohttp.TCPConnector):
    """Notes whether a request got a new connection or a kept one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """Return a connection, as the base class does."""
        started = perf_counter()
        connection = await super().connect(req, traces, timeout)
        note, protocol = _note.get(), connection.protocol
        if note is not None and protocol is not None:
            note.reused = protocol in self._known
            if not note.reused:
                note.connect_s = perf_counter() - started
                self._known.add(protocol)
        return connection


class Http1:
    """HTTP/1.1 with kept connections."""

    def __init__(self, limits: Limits) -> None:
        """Must be called inside a running loop."""
        common: dict[str, Any] = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "auto_decompress": False,
            "skip_auto_headers": _UNSENT,
            "read_bufsize": limits.buffer_bytes,
            "max_line_size": limits.header_bytes,
            "max_field_size": limits.header_bytes,
            "max_headers": limits.headers,
            "timeout": aiohttp.ClientTimeout(total=None, connect=limits.connect_s, sock_connect=limits.connect_s),
        }
        self._connector = _Connector(limit=0, keepalive_timeout=60)
        self._kept = aiohttp.ClientSession(connector=self._connector, **common)
        # A body that streams cannot be sent again, so it never meets a connection that the server is about to close.
        self._fresh = aiohttp.ClientSession(connector=_Connector(limit=0, force_close=True), **common)
        self._timeout: aiohttp.ClientTimeout = common["timeout"]
        self._parsing = {
            name: common[name]
            for name in ("auto_decompress", "read_bufsize", "max_line_size", "max_field_size", "max_headers")
        }
        self._places: dict[str, aiohttp.ClientRequest] = {}

    async def send(
        self, upstream: Upstream, method: str, target: str, headers: CIMultiDict[str], body: Body, note: Connected
    ) -> Answer:
        """Send one request over HTTP/1.1."""
        if upstream.via is None and (body is None or isinstance(body, bytes)):
            return await self._send_whole(upstream, method, target, headers, body, note)
        return await self._send_by_session(upstream, method, target, headers, body, note)

    async def _send_whole(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        headers: CIMultiDict[str],
        body: bytes | None,
        note: Connected,
    ) -> Answer:
        """Send a request that is at hand straight over a connection of aiohttp's pool.

        What aiohttp's session does besides (cookies, redirects, a task that writes the body, objects for request and
        response) a proxy does not need, and it is a third of the processor time of a call.
        """
        head = _head(method, target, upstream, headers, body)
        token = _note.set(note)
        try:
            connection = await self._connector.connect(self._place(upstream), [], self._timeout)
        except TimeoutError:
            raise UpstreamTimeoutError("no connection in time") from None
        except aiohttp.ClientError as error:
            raise _failure(error, note) from None
        except (OSError, ValueError) as error:
            raise ConnectError(_plain(error)) from None
        finally:
            _note.reset(token)
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None:
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(skip_payload=method == "HEAD", read_until_eof=True, **self._parsing)
            transport = protocol.transport
            if body and len(body) <= _JOINED:
                transport.write(head + body)
            else:
                transport.write(head)
                if body:
                    transport.write(body)
            while True:
                message, content = await protocol.read()
                if message.code >= 200 or message.code == 101:
                    break
        except BaseException as error:
            connection.close()
            if isinstance(error, HttpProcessingError):
                raise ProtocolError("the server's answer is not valid HTTP, or its headers are too large") from None
            if isinstance(error, aiohttp.ClientError):
                raise _failure(error, note) from None
            if isinstance(error, OSError):
                raise ConnectError(_plain(error)) from None
            raise

        def over() -> None:
            # A server that answers before it has read the request may not read the rest as one.
            if transport.get_write_buffer_size():
                connection.close()
            else:
                connection.release()

        content.on_eof(over)

        async def close() -> None:
            connection.close()  # does nothing once the body has been read, when it is back in the pool

        return _answer(message.code, message.reason, message.raw_headers, content, close, note)

    def _place(self, upstream: Upstream) -> aiohttp.ClientRequest:
        """Return what tells aiohttp's pool where connections to an upstream go."""
        place = self._places.get(upstream.origin)
        if place is None:
            place = aiohttp.ClientRequest("GET", URL(upstream.origin), loop=asyncio.get_running_loop())
            if len(self._places) < _MOST_PLACES:
                self._places[upstream.origin] = place
        return place

    async def _send_by_session(
        self, upstream: Upstream, method: str, target: str, headers: CIMultiDict[str], body: Body, note: Connected
    ) -> Answer:
        session = self._fresh if body is not None and not isinstance(body, bytes) else self._kept
        token = _note.set(note)
        try:
            response = await session.request(
                method,
                URL(upstream.origin + target, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                proxy=upstream.via,
            )
        except aiohttp.ClientError as error:
            raise _failure(error, note) from None
        except TimeoutError:
            raise UpstreamTimeoutError("no answer in time") from None
        except (OSError, ValueError) as error:
            raise ConnectError(_plain(error)) from None
        finally:
            _note.reset(token)

        async def close() -> None:
            # Closes the connection unless the body has been read to its end, when it is back in the pool already.
            response.close()

        return _answer(response.status, response.reason, response.raw_headers, response.content, close, note)

    async def close(self) -> None:
        """Close every connection."""
        await self._kept.close()
        await self._fresh.close()


def _answer(
    status: int,
    reason: str | None,
    raw_headers: Sequence[tuple[bytes, bytes]],
    content: aiohttp.StreamReader,
    close: Callable[[], Awaitable[None]],
    note: Connected,
) -> Answer:
    async def read() -> bytes:
        try:
            return await content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise CutError(type(error).__name__) from None

    def at_hand() -> bytes:
        return b"" if content.exception() is not None else content.read_nowait()

    fields = [(name.decode("utf-8", "replace"), text_of(value)) for name, value in raw_headers]
    return Answer(status, reason or "", fields, read, close, note, at_hand)


def _head(method: str, target: str, upstream: Upstream, headers: CIMultiDict[str], body: bytes | None) -> bytes:
    """Return the head of a request; raise :class:`ConnectError` for one that would be read as more than one."""
    lines = [f"{method} {target.partition('#')[0]} HTTP/1.1", f"Host: {upstream.origin.partition('://')[2]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None or method not in _BODILESS:
        lines.append(f"Content-Length: {len(body or b'')}")
    text = "\r\n".join((*lines, "\r\n"))
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise ConnectError("a header field that cannot be sent")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConnectError("a header field that cannot be sent") from None


def _failure(error: aiohttp.ClientError, note: Connected) -> UpstreamError:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        failed: UpstreamError = ConnectError("the server closed the connection without an answer")
        # Else the message is the part of the head that came.
        failed.replayable = bool(note.reused) and isinstance(error.message, str)
        return failed
    if isinstance(error, aiohttp.ServerTimeoutError):
        return UpstreamTimeoutError("no connection in time" if note.reused is None else "no answer in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return TLSError("the server's certificate or TLS was refused")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectError(_plain(error.os_error))
    if isinstance(error, aiohttp.ClientOSError):
        failed = ConnectError(_plain(error))
        failed.replayable = bool(note.reused)
        return failed
    if isinstance(error, aiohttp.ClientResponseError):
        return ProtocolError("the server's answer is not valid HTTP, or its headers are too large")
    return ConnectError(type(error).__name__)


def _plain(error: BaseException) -> str:
    """Say what failed without the address, which may hold what should not be shown."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def text_of(value: bytes) -> str:
    """Return a header field's value: UTF-8, else Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
