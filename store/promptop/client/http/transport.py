"""The transport of our own calls: a pool as its profile sets it, with stamps of what happens below HTTP.

It stands below the logging transport, which sees requests as they were written: compression of a request happens here.
The stamps come from httpcore's trace events; a name look-up has none, so the pool's network backend is wrapped. Where a
later httpx2 has no such backend, look-ups are simply not seen (a test tells).
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import importlib
import ipaddress
import os
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpcore2
import httpx2

from promptop.base.errors import PromptopError
from promptop.client.http.timings import current
from promptop.settings import Profile

GZIP_FROM = 1024
"""Bytes of a request body from which compression is worth its header."""
NEXT_ADDRESS_S = 0.25
"""Seconds after which a host's next address is tried beside the one before (RFC 8305)."""


def shared_tls(*, http2: bool, ca_file: str = "") -> ssl.SSLContext:
    """Return the context of all connections of this process: to read the authorities takes 30 ms, and holds the loop.

    Protocols are offered by a setting of the context, so pools with HTTP/2 have one of their own. ``ca_file`` is the
    PEM file of a further authority; raises :class:`PromptopError` if it cannot be read.
    """
    return _tls(http2, ca_file, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=8)
def _tls(http2: bool, ca_file: str, file: str | None, folder: str | None) -> ssl.SSLContext:
    context = httpx2.create_ssl_context()
    if ca_file:
        try:
            context.load_verify_locations(Path(ca_file).expanduser())
        except OSError as error:  # ssl.SSLError too
            reason = error.strerror or type(error).__name__
            raise PromptopError(f"ca_file {ca_file!r} cannot be read ({reason}).", "Name a PEM file.") from None
    return context


class Connection(httpx2.AsyncHTTPTransport):
    """Sends the requests of one endpoint."""

    def __init__(self, profile: Profile, proxy: str | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        """Open nothing yet; ``proxy`` is the HTTP proxy to go through, ``tls`` a context of its own."""
        with contextlib.suppress(ImportError):
            # Loaded by the first request otherwise, within its time: 10 to 130 ms that no server took.
            importlib.import_module("anyio._backends._asyncio")
        limits = httpx2.Limits(
            max_connections=profile.max_connections or None,
            max_keepalive_connections=profile.keep_alive,
            keepalive_expiry=profile.keep_alive_s,
        )
        context = tls if tls is not None else shared_tls(http2=profile.http2, ca_file=profile.ca_file)
        super().__init__(verify=context, http2=profile.http2, limits=limits, proxy=proxy)
        self._gzip = profile.gzip_requests
        backend = getattr(self._pool, "_network_backend", None)
        if backend is not None:
            self._pool._network_backend = LookUp(backend)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; what is seen on the way goes into the running task's :class:`Stages`, if it has any."""
        if self._gzip:
            request = _compressed(request)
        stages = current.get()
        if stages is None:
            return await super().handle_async_request(request)
        before = request.extensions
        start = time.perf_counter()
        following = before.get("trace")

        async def trace(name: str, info: Any) -> None:
            if stages.pool_s is None:
                stages.pool_s = time.perf_counter() - start
            if name.endswith("send_request_body.complete"):
                stages.sent_s = time.perf_counter() - start
            if following is not None:
                await following(name, info)

        request.extensions = {**before, "trace": trace}
        stages.bytes_sent = int(request.headers.get("content-length", 0))
        try:
            response = await super().handle_async_request(request)
        finally:
            request.extensions = before
        version = response.extensions.get("http_version", b"")
        stages.http_version = version.decode("ascii", "replace") if isinstance(version, bytes) else ""
        stages.content_encoding = response.headers.get("content-encoding", "")
        return response


def _compressed(request: httpx2.Request) -> httpx2.Request:
    """Return the request with its body gzipped, or as it is where that is not worth it or not ours to do."""
    try:
        content = request.content
    except httpx2.RequestNotRead:
        return request
    if len(content) < GZIP_FROM or "content-encoding" in request.headers:
        return request
    headers = request.headers.copy()
    small = gzip.compress(content, 6, mtime=0)
    headers["content-encoding"], headers["content-length"] = "gzip", str(len(small))
    return httpx2.Request(request.method, request.url, headers=headers, content=small, extensions=request.extensions)


class LookUp(httpcore2.AsyncNetworkBackend):
    """Looks names up itself, so that the time of it is known, and connects by another backend."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend) -> None:
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the address of a host that answers first; ``timeout`` seconds are for all of it.

        Raises what the inner backend raises.
        """
        if _is_address(host):
            return await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        start = time.perf_counter()
        addresses = await _look_up(host, port, timeout)
        if (stages := current.get()) is not None:
            stages.dns_s = time.perf_counter() - start
        left = None if timeout is None else max(0.0, timeout - (time.perf_counter() - start))

        async def connect(address: str) -> httpcore2.AsyncNetworkStream:
            return await self._inner.connect_tcp(address, port, left, local_address, socket_options)

        return await _first_of(addresses, connect)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Pass on."""
        return await self._inner.connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Pass on."""
        await self._inner.sleep(seconds)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


async def _first_of(
    addresses: list[str], connect: Callable[[str], Awaitable[httpcore2.AsyncNetworkStream]]
) -> httpcore2.AsyncNetworkStream:
    """Return the first connection that comes about, each address begun a little after the one before, or at its end.

    Raises the last failure if there is none.
    """
    waiting = list(addresses)
    running: set[asyncio.Future[httpcore2.AsyncNetworkStream]] = set()
    failure: BaseException = httpcore2.ConnectError("the name has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            limit = NEXT_ADDRESS_S if waiting else None
            done, running = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                error = each.exception()
                if error is None:
                    running |= done - {each}  # two at the same moment: the other is closed below
                    return each.result()
                failure = error
    finally:
        await _let_go(running)
    raise failure


async def _let_go(connections: set[asyncio.Future[httpcore2.AsyncNetworkStream]]) -> None:
    for each in connections:
        each.cancel()
    for came in await asyncio.gather(*connections, return_exceptions=True):
        if not isinstance(came, BaseException):
            await came.aclose()


async def _look_up(host: str, port: int, timeout: float | None) -> list[str]:
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(f"the name {host} was not looked up in time") from error
    except OSError as error:
        raise httpcore2.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def proxy_for(url: str) -> str | None:
    """Return the HTTP proxy that the environment names for ``url``: a client with its own transport ignores it."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return proxy
