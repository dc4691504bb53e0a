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
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

from promptop.shim.note import Note
from promptop.shim.proxy import metrics as exposition
from promptop.shim.proxy.clients import Answer, Body, Client, Connected, CutError, Http1, Http2, UpstreamError
from promptop.shim.proxy.headers import TOKEN, forwarded, note_of, returned
from promptop.shim.proxy.limits import Limits
from promptop.shim.proxy.metrics import Metrics, Snapshot
from promptop.shim.proxy.recording import ProxiedCall, Recorder
from promptop.shim.proxy.upstreams import RefusedError, Routes, Upstream
from promptop.shim.proxy.watchdog import CLIENT, UPSTREAM, Call, watch

if TYPE_CHECKING:
    from promptop.log import Writer

# aiohttp reports broken requests here, with bytes of them that may hold a key: nothing of it is shown or stored.
_http_log = logging.getLogger("promptop.proxy.http")
_http_log.addHandler(logging.NullHandler())
_http_log.propagate = False
_logger = logging.getLogger("promptop.proxy")

JSON = {"Content-Type": "application/json"}


class Proxy:
    """One process's proxy. ``start`` it on a bound socket inside a running loop; ``stop`` lets calls finish."""

    def __init__(
        self,
        routes: Routes,
        writer: Writer,
        *,
        limits: Limits | None = None,
        token: str | None = None,
        app: str | None = None,
        tags: Mapping[str, Any] | None = None,
        simulated: bool = False,
        include_usage: bool = True,
    ) -> None:
        """``token``, where given, is asked of every request; ``app`` and ``tags`` stand in rows without their own."""
        self.routes = routes
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self._writer = writer
        self._token = token.encode() if token else None
        self._include_usage = include_usage
        self._recorder = Recorder(writer, self.metrics, app=app, tags=tags, simulated=simulated)
        self._calls: set[Call] = set()
        self._held = 0
        self._clients: dict[Upstream, Client] = {}
        self._plain: Client | None = None
        self._runner: web.ServerRunner | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._draining = False
        self.port = 0

    async def start(self, listening: socket.socket) -> None:
        """Serve a bound socket until :meth:`stop`."""
        limits = self.limits
        self.port = listening.getsockname()[1]
        self._plain = Http1(limits)
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_http_log,
            keepalive_timeout=limits.keep_alive_s,
            lingering_time=2.0,
            read_bufsize=limits.buffer_bytes,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=limits.grace_s)
        await self._runner.setup()
        await web.SockSite(self._runner, listening, backlog=1024).start()
        self._watchdog = asyncio.create_task(watch(self._calls, limits, self.metrics))

    async def stop(self) -> None:
        """Take no more connections, let running calls finish within the grace period, then close everything."""
        self._draining = True
        if self._runner is not None:
            await self._runner.cleanup()
        if self._watchdog is not None:
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog
        for client in (self._plain, *self._clients.values()):
            if client is not None:
                await client.close()

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
            ("promptop_proxy_held_body_bytes", self._held),
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

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except RefusedError as refused:
            self.metrics.count("promptop_proxy_refused_total", reason=refused.code)
            return _refusal(refused, request)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        target = request.raw_path
        headers, own = forwarded(request.raw_headers)
        if target == "/healthz":
            return self._health()
        if self._token is not None:
            target = self._admit(target, own)
        if target == "/metrics":
            return web.Response(text=await self.exposition(), headers={"Content-Type": exposition.CONTENT_TYPE})
        if request.headers.get("Upgrade", "").strip().lower() == "websocket":
            raise RefusedError(
                501,
                "websocket_not_supported",
                "promptop proxy does not carry WebSockets (the Realtime API).",
                "Point that client at the endpoint itself.",
            )
        upstream, path = self.routes.resolve(target)
        if len(self._calls) >= self.limits.calls:
            raise RefusedError(
                503, "too_many_calls", f"{self.limits.calls} calls are in flight already.", "Try again later."
            )
        if upstream.authorization is not None and "Authorization" not in headers:
            headers["Authorization"] = upstream.authorization
        call = Call(asyncio.current_task())
        self._calls.add(call)
        try:
            return await self._call(request, call, upstream, path, headers, own)
        finally:
            self._calls.discard(call)
            self._held -= call.held

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

    def _health(self) -> web.Response:
        state = "draining" if self._draining else "ok"
        return web.Response(text=json.dumps({"status": state}), status=503 if self._draining else 200, headers=JSON)

    async def _call(
        self,
        request: web.BaseRequest,
        call: Call,
        upstream: Upstream,
        target: str,
        headers: CIMultiDict[str],
        own: dict[str, str],
    ) -> web.StreamResponse:
        attempt: ProxiedCall | None = None
        response: web.StreamResponse | None = None
        try:
            held, body = await self._body(request, call)
            if held is None and "Content-Length" in request.headers:
                headers["Content-Length"] = request.headers["Content-Length"]
            exchange = Exchange(upstream, request.method, target, headers, body if held is None else held)
            note = note_of(own)
            attempt = self._begin(exchange, note)
            answer = await self._send(call, exchange, attempt)
            if answer is None:
                attempt = self._begin(exchange, note)
                answer = await self._send(call, exchange, attempt, again=True)
            assert answer is not None
            fields = returned(answer.headers)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=fields)
            try:
                await self._relay(request, call, response, answer, attempt)
            finally:
                await answer.close()
            return response
        except UpstreamError as failed:
            assert attempt is not None
            attempt.failed(failed)
            return _bad_gateway(failed)
        except (CutError, _TooLongError) as error:
            assert attempt is not None and response is not None
            attempt.end("error", error)
            return _abort(request, response)
        except ConnectionError:
            # The client went away while bytes were written to it.
            if attempt is not None:
                attempt.end("cancelled")
            raise
        except asyncio.CancelledError:
            if attempt is not None:
                attempt.end("cancelled") if call.cut is None else attempt.end("error", TimeoutError(call.cut))
            if call.cut is None:
                raise
            return _cut_off(request, call, response)
        finally:
            if attempt is not None:
                attempt.bytes_sent = call.sent if call.sent is not None else attempt.bytes_sent
                attempt.end("error", "internal")

    async def _body(self, request: web.BaseRequest, call: Call) -> tuple[bytes | None, Body]:
        """Return the whole body if it may be held, else None and an iterator over it."""
        if not request.body_exists:
            return None, None
        limits = self.limits
        length = request.content_length
        if length is not None and length > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        if request.headers.get("Expect", "").strip().lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        taken: list[bytes] = []
        if length is None or length <= limits.held_body_bytes:
            call.waits_for(CLIENT)
            while self._held < limits.held_bytes:
                chunk = await _next(request)
                if not chunk:
                    call.waits_for(UPSTREAM)
                    return b"".join(taken), None
                taken.append(chunk)
                call.since = perf_counter()
                call.held += len(chunk)
                self._held += len(chunk)
                if call.held > limits.held_body_bytes:
                    break
        return None, self._rest(request, call, taken)

    async def _rest(self, request: web.BaseRequest, call: Call, taken: list[bytes]) -> AsyncIterator[bytes]:
        """Yield what was taken of a body and then the rest, as the client sends it."""
        sent = 0
        for chunk in taken:
            sent += len(chunk)
            yield chunk
        taken.clear()
        self._held -= call.held
        call.held = 0
        while True:
            call.waits_for(CLIENT)
            chunk = await _next(request)
            call.waits_for(UPSTREAM)
            if not chunk:
                call.sent = sent
                return
            sent += len(chunk)
            call.sent = sent
            if sent > self.limits.body_bytes:
                call.refused = _too_large(self.limits.body_bytes)
                raise call.refused
            yield chunk

    def _begin(self, exchange: Exchange, note: Note | None) -> ProxiedCall:
        body = exchange.body if isinstance(exchange.body, bytes) else None
        return self._recorder.begin(
            exchange.upstream, exchange.method, exchange.target, exchange.headers, body, note, exchange.parsed
        )

    async def _send(
        self, call: Call, exchange: Exchange, attempt: ProxiedCall, *, again: bool = False
    ) -> Answer | None:
        """Send the request; None if a kept connection turned out to be closed and it may be sent once more."""
        client = self._client(exchange.upstream)
        call.waits_for(UPSTREAM)
        try:
            return await client.send(
                exchange.upstream, exchange.method, exchange.target, exchange.headers, exchange.body, Connected()
            )
        except UpstreamError as failed:
            if call.refused is not None:
                raise call.refused from None
            if again or not failed.replayable or not (exchange.body is None or isinstance(exchange.body, bytes)):
                raise
        self.metrics.count("promptop_proxy_replays_total")
        return None

    def _client(self, upstream: Upstream) -> Client:
        if not upstream.http2:
            assert self._plain is not None
            return self._plain
        if upstream not in self._clients:
            self._clients[upstream] = Http2(self.limits, upstream)
        return self._clients[upstream]

    async def _relay(
        self,
        request: web.BaseRequest,
        call: Call,
        response: web.StreamResponse,
        answer: Answer,
        attempt: ProxiedCall,
    ) -> None:
        """Pass the body on, each read as it comes, and note it after it is on its way."""
        feed = attempt.answered(answer, perf_counter())
        await response.prepare(request)
        read, write = answer.read, response.write
        left = self.limits.event_stream_bytes if attempt.is_stream else self.limits.response_bytes
        call.since = perf_counter()
        while chunk := await read():
            now = call.since = perf_counter()
            call.waits = CLIENT
            await write(chunk)
            feed(chunk, now)
            left -= len(chunk)
            if left < 0:
                self.metrics.count("promptop_proxy_cut_total", reason="response_too_long")
                raise _TooLongError("the answer is longer than the proxy's limit")
            call.waits = UPSTREAM
            call.since = perf_counter()
        attempt.end("eof")
        call.waits_for(CLIENT)
        await response.write_eof()


@dataclass(slots=True)
class Exchange:
    """What is sent to an upstream."""

    upstream: Upstream
    method: str
    target: str
    headers: CIMultiDict[str]
    body: Body
    parsed: Any = None
    """The body's JSON, where it has been parsed already."""


class _TooLongError(Exception):
    """A response longer than the limit."""


async def _next(request: web.BaseRequest) -> bytes:
    try:
        return await request.content.readany()
    except web.RequestPayloadError:
        raise RefusedError(400, "broken_body", "The request's body is not valid HTTP.") from None


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "body_too_large", f"The request's body is larger than {limit} bytes.", "See --max-body.")


def _error_body(message: str, kind: str, code: str) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _refusal(refused: RefusedError, request: web.BaseRequest) -> web.Response:
    message = f"{refused.cause} {refused.remedy}".strip()
    text = _error_body(f"promptop proxy: {message}", "promptop_proxy", refused.code)
    response = web.Response(text=text, status=refused.status, headers=JSON)
    if request.body_exists:
        response.force_close()  # the body was not read
    return response


def _bad_gateway(failed: UpstreamError) -> web.Response:
    timeout = isinstance(failed, TimeoutError)
    code = "timeout" if timeout else type(failed).__name__
    text = _error_body(f"promptop proxy: the upstream failed: {failed}", "upstream_error", code)
    return web.Response(text=text, status=504 if timeout else 502, headers=JSON)


def _abort(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection without the mark of a regular end, so that the client sees the answer is cut."""
    response.force_close()
    if request.transport is not None:
        request.transport.close()
    return response


def _cut_off(request: web.BaseRequest, call: Call, response: web.StreamResponse | None) -> web.StreamResponse:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if response is not None and response.prepared:
        if request.transport is not None:
            request.transport.abort()  # unsent bytes would wait for a client that does not read
        return _abort(request, response)
    answer = web.Response(
        text=_error_body(f"promptop proxy: {call.cut}", "timeout", "timeout"), status=504, headers=JSON
    )
    answer.force_close()
    return answer
