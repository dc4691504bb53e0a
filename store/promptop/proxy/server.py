"""The reverse proxy: every request is streamed to its upstream and back, and leaves one row in the log.

Bytes are passed on as they come, undecoded, before anything is noted about them; each direction waits for the slower
peer (at most :attr:`Limits.buffer_bytes` a few times per call is held). What a call was is worked out on the log's
writer thread. A failure there, or here in the accounting, never reaches the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptop.capture.call import prepare
from promptop.proxy import metrics as exposition
from promptop.proxy.calls import CallRecorder
from promptop.proxy.http import responses
from promptop.proxy.http.answer import Client
from promptop.proxy.http.client_connection import ClientConnection, ClientConnections, Request
from promptop.proxy.http.headers import TOKEN, forwarded, note_of
from promptop.proxy.http.hosts import Hosts
from promptop.proxy.http.http1 import Http1
from promptop.proxy.http.http2 import Http2
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.http.timeouts import OpenCall, watch
from promptop.proxy.metrics import Metrics, Snapshot
from promptop.proxy.relay import Relay, Shorten, UpstreamRequest
from promptop.proxy.upstreams import RefusedError, Routes, Upstream

if TYPE_CHECKING:
    from promptop.cache import Cache, Policy
    from promptop.capture.caching.transport import Pace
    from promptop.limits.limiter import RateLimits as Rates
    from promptop.limits.limiter import Shared
    from promptop.log import Writer
    from promptop.proxy.cache import ProxyCache
    from promptop.proxy.rate_limit import Throttle
    from promptop.routing.policy import Policy as RoutingPolicy

_logger = logging.getLogger("promptop.proxy")
WARM_S = 5.0
"""Longest wait for the log's writer before connections are taken, seconds."""


class Proxy:
    """One process's proxy. ``start`` it on a bound socket inside a running loop; ``stop`` lets calls finish."""

    def __init__(
        self,
        routes: Routes,
        writer: Writer,
        *,
        limits: ProxyLimits | None = None,
        token: str | None = None,
        hosts: Hosts | None = None,
        app: str | None = None,
        tags: Mapping[str, Any] | None = None,
        metric_tags: Sequence[str] = (),
        simulated: bool = False,
        include_usage: bool = True,
        cache: Cache | None = None,
        cache_policy: Policy | None = None,
        cache_pace: Pace = "instant",
        notice: Callable[[str], None] | None = None,
        routing: RoutingPolicy | None = None,
        shorten: Shorten | None = None,
        rates: Rates | None = None,
        shared_rates: Callable[[str], Shared] | None = None,
    ) -> None:
        """``token``, where given, is asked of every request; ``app`` and ``tags`` stand in rows without their own.
        ``metric_tags`` are the keys of tags that become labels of the metrics.

        ``hosts`` are the names that requests may give the proxy, loopback's if nothing is said.

        ``cache``, where given, answers what it may, and is closed with the proxy. ``notice`` is told what its
        owner should know. ``routing``, where given, says which
        model a request goes to. ``rates`` hold for each upstream and
        model; ``shared_rates`` yields those that several processes keep together.
        """
        self.routes = routes
        self.limits = limits or ProxyLimits()
        self.metrics = Metrics(tags=metric_tags)
        self._writer = writer
        self._token = token.encode() if token else None
        self._hosts = hosts or Hosts(checked=token is None)
        self._recorder = recorder = CallRecorder(writer, self.metrics, app=app, tags=tags, simulated=simulated)
        self._cache: ProxyCache | None = None
        if cache is not None:
            from promptop.cache import Policy
            from promptop.proxy.cache import ProxyCache

            self._cache = ProxyCache(cache, cache_policy or Policy(), cache_pace, self.metrics, notice)
        self._throttle: Throttle | None = None
        if rates is not None:
            from promptop.proxy import rate_limit

            self._throttle = rate_limit.Throttle(rates, self.metrics, shared_rates)
        self._relay = Relay(
            recorder,
            self.limits,
            self._client,
            self._plain_client,
            include_usage=include_usage,
            cache=self._cache,
            throttle=self._throttle,
            routing=routing,
            shorten=shorten,
        )
        self._calls: set[OpenCall] = set()
        self._clients: dict[Upstream, Client] = {}
        self._plain: Http1 | None = None
        self._front = ClientConnections(self.limits, self._handle, self._refused)
        self._listening: asyncio.Server | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._draining = False
        self.port = 0

    async def start(self, listening: socket.socket) -> None:
        """Serve a bound socket until :meth:`stop`."""
        self.port = listening.getsockname()[1]
        prepare(self._writer)
        await asyncio.get_running_loop().run_in_executor(None, self._writer.warm, WARM_S)
        self._plain = plain = Http1(self.limits)
        front = self._front
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(front), sock=listening, backlog=1024
        )

        def sweep() -> None:
            front.sweep()
            plain.sweep()

        self._watchdog = asyncio.create_task(watch(self._calls, self.limits, self.metrics, sweep))

    async def stop(self) -> None:
        """Take no more connections, let running calls finish within the grace period, then close everything."""
        self._draining = True
        if self._listening is not None:
            self._listening.close()
        await self._front.stop()
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
        for client in (self._plain, *self._clients.values()):
            if client is not None:
                await client.close()
        if self._cache is not None:
            await self._cache.close()

    def end_calls(self) -> None:
        """End every call in flight now; their connections are cut."""
        for call in list(self._calls):
            if call.task is not None:
                call.task.cancel()

    def flush(self) -> None:
        """Wait until the log has every row, a few seconds at most. Blocks: not for the loop's thread."""
        self._writer.flush()

    @property
    def active(self) -> int:
        """Calls in flight."""
        return len(self._calls)

    def snapshot(self) -> Snapshot:
        """Return every figure of this process."""
        figures = self.metrics.snapshot()
        log = self._writer.stats
        for name, value in (
            ("promptop_proxy_calls_active", self.active),
            ("promptop_proxy_held_body_bytes", self._relay.held),
            ("promptop_proxy_calls_queued", self._throttle.queued if self._throttle is not None else 0),
            ("promptop_log_queued", log.queued),
            ("promptop_log_written_total", log.written),
            ("promptop_log_dropped_total", log.dropped),
            ("promptop_log_failed_total", log.failed),
        ):
            figures[name] = [((), [float(value)])]
        return figures

    async def exposition(self) -> str:
        """Return the text of ``/metrics``; several workers replace this with the sum of theirs."""
        return exposition.render(self.snapshot())

    # ── one request ──

    async def _handle(self, request: Request) -> None:
        try:
            await self._dispatch(request)
        except RefusedError as refused:
            responses.send(request, refused.status, self._refused(request, refused))

    def _refused(self, _: Request | None, refused: RefusedError) -> bytes:
        self.metrics.count("promptop_proxy_refused_total", reason=refused.code)
        return responses.refusal(refused)

    async def _dispatch(self, request: Request) -> None:
        target = request.target
        headers, own = forwarded(request.fields.raw)
        if target == "/healthz":
            self._health(request)
            return
        self._hosts.admit(request.host, request.origin)
        if self._token is not None:
            target = self._admit(target, own)
        if target == "/metrics":
            responses.send(request, 200, (await self.exposition()).encode(), exposition.CONTENT_TYPE)
            return
        upstream, path = self.routes.resolve(target)
        if len(self._calls) >= self.limits.calls:
            raise RefusedError(
                503, "too_many_calls", f"{self.limits.calls} calls are in flight already.", "Try again later."
            )
        if pause_s := self._recorder.pause_s():
            await asyncio.sleep(pause_s)
        if upstream.authorization is not None and b"authorization" not in headers:
            headers.add(b"Authorization", upstream.authorization.encode("ascii"))
        call = OpenCall(asyncio.current_task())
        self._calls.add(call)
        try:
            exchange = UpstreamRequest(upstream, request.method, path, headers, None)
            if request.websocket:
                await self._relay.carry_websocket(request, call, exchange, note_of(own))
            else:
                await self._relay.carry(request, call, exchange, note_of(own))
        finally:
            self._calls.discard(call)

    def _admit(self, target: str, own: Mapping[str, str]) -> str:
        """Check the access token, from its header or the path, and return the target without it."""
        given = own.get(TOKEN, "")
        if target.startswith("/token/"):
            given, slash, rest = target[7:].partition("/")
            target = slash + rest or "/"
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._token or b""):
            raise RefusedError(
                401,
                "access_token_required",
                "This proxy asks for its access token.",
                f"Send it as the header {TOKEN}, or put /token/TOKEN before the path of the base URL.",
            )
        return target

    def _health(self, request: Request) -> None:
        state = "draining" if self._draining else "ok"
        responses.send(request, 503 if self._draining else 200, json.dumps({"status": state}).encode())

    def _plain_client(self, _: Upstream) -> Client:
        assert self._plain is not None
        return self._plain

    def _client(self, upstream: Upstream) -> Client:
        if not upstream.http2:
            assert self._plain is not None
            return self._plain
        if upstream not in self._clients:
            self._clients[upstream] = Http2(self.limits, upstream)
        return self._clients[upstream]
