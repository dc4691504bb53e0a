"""The proxy's way to an upstream over HTTP/1.1: kept connections, TLS, and the HTTP proxies of the environment.

Nothing is added to a request: no cookies of other clients, no redirects followed, no ``.netrc``, no default header.
(HTTP/2 is in ``http2.py``.)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohappyeyeballs

from promptop.proxy.http.answer import (
    Body,
    Connected,
    ConnectError,
    TLSError,
    UpstreamAnswer,
    UpstreamError,
    UpstreamTimeoutError,
    plain,
)
from promptop.proxy.http.fields import Fields, safe
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.http.upstream_connection import Incoming, UpstreamConnection

if TYPE_CHECKING:
    from promptop.proxy.upstreams import Upstream

KEPT_S = 60.0
"""Seconds for which a connection without a call is kept."""
_LOOKED_UP_S = 10.0
"""Seconds for which the addresses of a host are remembered."""
_MOST_HOSTS = 1024
_HEAD_START_S = 0.25
"""Seconds that one address family is given before the other is tried beside it (RFC 8305)."""
_JOINED = 64 * 1024
"""Bytes of the largest body that is copied to go out in one piece with its head."""
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that need no ``Content-Length: 0``."""


class Http1:
    """HTTP/1.1 with kept connections."""

    def __init__(self, limits: ProxyLimits) -> None:
        """Must be called inside a running loop."""
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._kept: dict[str, list[UpstreamConnection]] = {}
        self._busy: set[UpstreamConnection] = set()
        self._addresses: dict[tuple[str, int], tuple[float, Any]] = {}
        self._tls: ssl.SSLContext | None = None

    async def send(
        self, upstream: Upstream, method: str, target: str, headers: Fields, body: Body, note: Connected
    ) -> UpstreamAnswer:
        """Send one request over HTTP/1.1."""
        whole = body is None or isinstance(body, bytes)
        absolute = upstream.via is not None and upstream.origin.startswith("http://")
        head = _head(method, target, upstream, headers, body, absolute=absolute)
        # A body that streams cannot be sent again, so it never meets a connection that the server is about to close.
        connection = self._take(upstream) if whole else None
        if connection is not None:
            note.reused = True
        else:
            note.reused = False
            connection = await self._connect(upstream, note)
        self._busy.add(connection)
        incoming = connection.begin(is_head=method == "HEAD")
        sender: asyncio.Task[None] | None = None
        try:
            if body is None or isinstance(body, bytes):
                if body and len(body) <= _JOINED:
                    connection.write(head + body)
                else:
                    connection.write(head)
                    if body:
                        connection.write(body)
                connection.sent()
            else:
                chunked = b"content-length" not in headers
                sender = asyncio.create_task(_send_body(connection, incoming, head, body, chunked=chunked))
            await incoming.head
        except BaseException:
            if sender is not None:
                sender.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await sender
            connection.leave(incoming)
            self._busy.discard(connection)
            raise
        close = incoming.close if sender is None else partial(_close_both, incoming, sender)
        tunnel = incoming if incoming.tunnel or incoming.status == 101 else None
        return UpstreamAnswer(
            incoming.status,
            incoming.reason,
            Fields(incoming.raw),
            incoming.read,
            close,
            note,
            incoming.at_hand,
            tunnel,
        )

    def _take(self, upstream: Upstream) -> UpstreamConnection | None:
        kept = self._kept.get(upstream.origin)
        while kept:
            connection = kept.pop()
            if not connection.closed:
                return connection
        return None

    def _released(self, origin: str, connection: UpstreamConnection) -> None:
        self._busy.discard(connection)
        connection.idle_since = perf_counter()
        self._kept.setdefault(origin, []).append(connection)

    def sweep(self) -> None:
        """Close connections that nobody has used for a while, and forget those that are closed."""
        oldest = perf_counter() - KEPT_S
        self._busy = {connection for connection in self._busy if not connection.closed}
        for origin, kept in list(self._kept.items()):
            left = []
            for connection in kept:
                if connection.closed:
                    continue
                if connection.idle_since < oldest:
                    connection.close()
                else:
                    left.append(connection)
            if left:
                self._kept[origin] = left
            else:
                del self._kept[origin]

    async def close(self) -> None:
        """Close every connection."""
        for connection in (*self._busy, *(one for kept in self._kept.values() for one in kept)):
            connection.close()
        self._kept.clear()
        self._busy.clear()
        await asyncio.sleep(0)

    # ── a new connection ──

    async def _connect(self, upstream: Upstream, note: Connected) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._limits.connect_s):
                return await self._connected(upstream, note)
        except TimeoutError:
            raise UpstreamTimeoutError("no connection in time") from None
        except ssl.SSLError:
            raise TLSError("the server's certificate or TLS was refused") from None
        except (OSError, ValueError) as error:
            raise ConnectError(plain(error)) from None

    async def _connected(self, upstream: Upstream, note: Connected) -> UpstreamConnection:
        secure = upstream.origin.startswith("https://")
        released = partial(self._released, upstream.origin)
        made = partial(UpstreamConnection, self._limits, released)
        started = perf_counter()
        if upstream.via is None:
            sock = await self._socket(upstream.host, upstream.port)
            note.connect_s = perf_counter() - started
            if not secure:
                return (await self._loop.create_connection(made, sock=sock))[1]
            started = perf_counter()
            _, connection = await self._loop.create_connection(
                made, sock=sock, ssl=self._context(), server_hostname=upstream.host
            )
            note.tls_s = perf_counter() - started
            return connection
        parts = urlsplit(upstream.via)
        over_tls = parts.scheme == "https"
        sock = await self._socket(parts.hostname or "", parts.port or (443 if over_tls else 80))
        note.connect_s = perf_counter() - started
        tls: dict[str, Any] = {"ssl": self._context(), "server_hostname": parts.hostname} if over_tls else {}
        transport, connection = await self._loop.create_connection(made, sock=sock, **tls)
        if not secure:
            return connection
        try:
            await self._tunnelled(connection, upstream)
            started = perf_counter()
            inner = await self._loop.start_tls(transport, connection, self._context(), server_hostname=upstream.host)
        except BaseException:
            connection.close()
            raise
        if inner is None:
            raise ConnectError("the connection was lost while TLS began")
        connection.connection_made(inner)
        note.tls_s = perf_counter() - started
        return connection

    async def _tunnelled(self, connection: UpstreamConnection, upstream: Upstream) -> None:
        """Ask an HTTP proxy for a way to the upstream."""
        authority = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
        place = f"{authority}:{upstream.port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}", *_credentials(upstream.via)]
        answer = await connection.ask("\r\n".join((*lines, "\r\n")).encode())
        if not 200 <= answer < 300:
            raise ConnectError(f"the HTTP proxy on the way answered {answer}")

    async def _socket(self, host: str, port: int) -> Any:
        found = self._addresses.get((host, port))
        now = perf_counter()
        if found is None or now - found[0] > _LOOKED_UP_S:
            import socket

            addresses = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            if len(self._addresses) >= _MOST_HOSTS:
                self._addresses.clear()
            found = self._addresses[host, port] = (now, addresses)
        addresses = found[1]
        delay = _HEAD_START_S if len(addresses) > 1 else None
        return await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=delay, interleave=1 if delay else None
        )

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


async def _send_body(
    connection: UpstreamConnection, incoming: Incoming, head: bytes, body: AsyncIterator[bytes], *, chunked: bool
) -> None:
    """Write a body that streams; where it breaks off, so does the connection."""
    try:
        connection.write(head)
        async for data in body:
            if data:
                connection.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await connection.drain()
        if chunked:
            connection.write(b"0\r\n\r\n")
        connection.sent()
    except Exception as error:  # noqa: BLE001 - told to whoever waits for the answer
        failed = error if isinstance(error, UpstreamError) else ConnectError(type(error).__name__)
        if not incoming.head.done():
            incoming.fail(failed)
            connection.leave(incoming)


async def _close_both(incoming: Incoming, sender: asyncio.Task[None]) -> None:
    await incoming.close()
    sender.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sender


def _credentials(via: str | None) -> list[str]:
    """Return the field that an HTTP proxy's user and password make."""
    parts = urlsplit(via or "")
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return ["Proxy-Authorization: Basic " + base64.b64encode(pair.encode()).decode("ascii")]


def _head(method: str, target: str, upstream: Upstream, headers: Fields, body: Body, *, absolute: bool) -> bytes:
    """Return the head of a request; raise :class:`ConnectError` for one that would be read as more than one."""
    target = target.partition("#")[0]
    line = f"{method} {upstream.origin if absolute else ''}{target} HTTP/1.1"
    own = [f"Host: {upstream.origin.partition('://')[2]}"]
    if absolute:
        own += _credentials(upstream.via)
    if body is None or isinstance(body, bytes):
        if body is not None or method not in _BODILESS:
            own.append(f"Content-Length: {len(body or b'')}")
    elif b"content-length" not in headers:
        own.append("Transfer-Encoding: chunked")
    try:
        start = "\r\n".join((line, *own)).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConnectError("a header field that cannot be sent") from None
    if start.count(b"\n") != len(own) or start.count(b"\r") != len(own) or b"\0" in start or not safe(headers.raw):
        raise ConnectError("a header field that cannot be sent")
    return b"".join((start, *(b"\r\n%b: %b" % field for field in headers.raw), b"\r\n\r\n"))
