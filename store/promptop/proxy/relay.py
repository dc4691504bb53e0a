"""One call: its body to the upstream, the answer back, each read passed on as it comes and noted after that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from promptop.capture.annotations import Annotation, apart
from promptop.capture.caching import embedding_request
from promptop.capture.faults import count_fault
from promptop.capture.include_usage import is_streamed, model_of, names_stream_options, remember_refusal, with_usage
from promptop.capture.parse.large_request import LargeRequest
from promptop.capture.routing import routed
from promptop.providers.api import loads
from promptop.proxy import websocket_relay
from promptop.proxy.calls import CallRecorder, ProxiedCall
from promptop.proxy.http import responses
from promptop.proxy.http.answer import Body, Client, Connected, CutError, UpstreamAnswer, UpstreamError
from promptop.proxy.http.client_connection import BrokenBodyError, Request
from promptop.proxy.http.fields import Fields
from promptop.proxy.http.headers import is_signed, returned
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.http.timeouts import CLIENT, UPSTREAM, OpenCall
from promptop.proxy.http.usage_filter import UsageFilter
from promptop.proxy.upstreams import RefusedError, Upstream

if TYPE_CHECKING:
    from promptop.proxy.cache import ProxyCache
    from promptop.proxy.rate_limit import Throttle
    from promptop.routing.policy import Decision, Policy

Shorten = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
"""Takes the messages of a conversation and returns those that are sent."""
_ERROR_BYTES = 64 * 1024
_VECTOR_BYTES = 1024 * 1024
"""Bytes of the longest answer that is read as a vector."""


class _TooLongError(Exception):
    """An answer longer than the limit."""


@dataclass(slots=True)
class UpstreamRequest:
    """What is sent to an upstream."""

    upstream: Upstream
    method: str
    target: str
    headers: Fields
    body: Body
    given: bytes | None = None
    """The body as the client sent it, where it is JSON and held."""
    parsed: Any = None
    """Its JSON, where it has been parsed."""
    large: LargeRequest | None = None
    """Reads the body as it passes, where it is JSON and not held."""
    decision: Decision | None = None
    """What routing decided; ``given`` and ``parsed`` then name the model that it chose."""
    added: bool = False
    """Whether ``include_usage`` stands in ``body`` and not in ``given``."""


class Relay:
    """Carries calls between clients and upstreams within the limits."""

    def __init__(
        self,
        recorder: CallRecorder,
        limits: ProxyLimits,
        client: Callable[[Upstream], Client],
        plain_client: Callable[[Upstream], Client],
        *,
        include_usage: bool = True,
        cache: ProxyCache | None = None,
        throttle: Throttle | None = None,
        routing: Policy | None = None,
        shorten: Shorten | None = None,
    ) -> None:
        self._cache = cache
        self._routing = routing
        self._shorten = shorten
        self._throttle = throttle
        self.held = 0
        """Bytes of request bodies that are held now."""
        self._recorder = recorder
        self._limits = limits
        self._client = client
        self._plain_client = plain_client
        """Speaks HTTP/1.1, which WebSockets begin with."""
        self._include_usage = include_usage

    async def carry(self, request: Request, call: OpenCall, exchange: UpstreamRequest, note: Annotation | None) -> None:
        """Carry one call and answer it; raise :class:`RefusedError` for a body that is not sent on."""
        try:
            await self._read_body(request, call, exchange)
            self._route(exchange, note)
            self._leave_rounds_out(exchange)
            self._ask_for_usage(exchange)
            answer = await self._answer(call, exchange, note)
            try:
                await self._pass_on(request, call, answer, exchange.added)
            finally:
                await answer.close()
        except UpstreamError as failed:
            _end(call, "error", failed)
            responses.bad_gateway(request, failed)
        except RefusedError as refused:
            _end(call, "error", refused.code)
            raise
        except CutError as error:
            _end(call, "error", error)
            request.cut()
        except _TooLongError:
            self._recorder.metrics.count("promptop_proxy_cut_total", reason="response_too_long")
            _end(call, "error", "response_too_long")
            request.cut()
        except asyncio.CancelledError:
            if call.cut is None:
                _end(call, "cancelled")  # the client went away, or the proxy ends in a hurry
                raise
            if call.task is not None:
                call.task.uncancel()
            _end(call, "error", TimeoutError(call.cut))
            responses.cut_off(request, call.cut)
        finally:
            _end(call, "error", "internal")
            self.held -= call.held
            call.held = 0

    async def carry_websocket(
        self, request: Request, call: OpenCall, exchange: UpstreamRequest, note: Annotation | None
    ) -> None:
        """Carry a WebSocket; each response on it is a call of its own."""
        upstream, target = exchange.upstream, exchange.target

        def begin(asked: dict[str, Any]) -> ProxiedCall:
            given = {"stream": True, **asked}
            model = parse_qs(target.partition("?")[2]).get("model")
            if model:
                given.setdefault("model", model[0])
            # Each response is asked for by a message of its own: to the log, a POST.
            return self._recorder.begin(upstream, "POST", target, exchange.headers, None, note, given)

        client = self._plain_client(upstream)
        try:
            declined = await websocket_relay.carry(request, call, exchange.headers, client, (upstream, target), begin)
            if declined is not None:
                call.attempt = begin({})
                try:
                    await self._pass_on(request, call, declined, added=False)
                finally:
                    await declined.close()
        except UpstreamError as failed:
            call.attempt = begin({})
            _end(call, "error", failed)
            responses.bad_gateway(request, failed)
        except CutError as error:
            _end(call, "error", error)
            request.cut()
        except asyncio.CancelledError:
            _end(call, "cancelled")
            if call.cut is None:
                raise
            if call.task is not None:
                call.task.uncancel()
            responses.cut_off(request, call.cut)

    # ── towards the upstream ──

    async def _read_body(self, request: Request, call: OpenCall, exchange: UpstreamRequest) -> None:
        """Read the whole body if it may be held, else leave an iterator over it."""
        if not request.has_body:
            return
        limits, length = self._limits, request.length
        if length is not None and length > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        request.go_on()
        taken: list[bytes] = []
        if length is None or length <= limits.held_body_bytes:
            call.waits_for(CLIENT)
            while self.held < limits.held_bytes and call.held <= limits.held_body_bytes:
                chunk = await _next(request)
                if not chunk:
                    body = exchange.body = taken[0] if len(taken) == 1 else b"".join(taken)
                    if b"json" in exchange.headers.get(b"content-type", b"json"):
                        exchange.given = body
                    return
                taken.append(chunk)
                call.since = perf_counter()
                call.held += len(chunk)
                self.held += len(chunk)
        if length is not None:
            exchange.headers.set(b"Content-Length", b"%d" % length)
        if b"json" in exchange.headers.get(b"content-type", b"json"):
            exchange.large = LargeRequest()
        exchange.body = self._rest(request, call, exchange, taken)

    def _route(self, exchange: UpstreamRequest, note: Annotation | None) -> None:
        """Put the model that the policy names into the body, where one is on."""
        if self._routing is None or exchange.given is None or is_signed(exchange.headers):
            return
        path, labels = exchange.target.partition("?")[0], self._recorder.labels
        try:
            found = routed(self._routing, exchange.given, path, app=labels.app, tags=labels.tags, note=note)
        except Exception as error:  # noqa: BLE001 - the boundary: the request goes out as it came
            count_fault("routing", error)
            return
        if found is not None:
            exchange.decision, exchange.given, exchange.parsed = found
            exchange.body = exchange.given

    def _leave_rounds_out(self, exchange: UpstreamRequest) -> None:
        """Put fewer rounds of a conversation into the body, where that was asked for."""
        if self._shorten is None or exchange.given is None or is_signed(exchange.headers):
            return
        try:
            parsed = loads(exchange.given) if exchange.parsed is None else exchange.parsed
            messages = parsed.get("messages") if isinstance(parsed, dict) else None
            if not isinstance(messages, list) or (kept := self._shorten(messages)) == messages:
                return
            wanted = {**parsed, "messages": kept}
            if exchange.target.partition("?")[0].endswith("/messages") and kept[:1] and kept[0] not in messages:
                # Anthropic has instructions in a field of their own: a summary goes there.
                before = parsed.get("system") or []
                blocks = [{"type": "text", "text": before}] if isinstance(before, str) else before
                wanted |= {"messages": kept[1:], "system": [*blocks, {"type": "text", "text": kept[0]["content"]}]}
            exchange.given = json.dumps(wanted, ensure_ascii=False).encode("utf-8", "surrogatepass")
        except Exception as error:  # noqa: BLE001 - the boundary: the request goes out as it came
            count_fault("rounds", error)
            return
        exchange.parsed, exchange.body = wanted, exchange.given

    def _ask_for_usage(self, exchange: UpstreamRequest) -> None:
        """Add ``include_usage`` where the client's stream would come without; the answer is then not compressed."""
        body = exchange.given
        if body is None or not self._include_usage or not is_streamed(body) or is_signed(exchange.headers):
            return
        try:
            self._with_usage(exchange, body)
        except Exception as error:  # noqa: BLE001 - the boundary: the request goes out as it came
            count_fault("include_usage", error)

    def _with_usage(self, exchange: UpstreamRequest, body: bytes) -> None:
        exchange.parsed = loads(body) if exchange.parsed is None else exchange.parsed
        upstream, path = exchange.upstream, exchange.target.partition("?")[0]
        more = with_usage(upstream.host, upstream.port, path, body, exchange.parsed)
        if more is not None:
            exchange.body, exchange.added = more, True
            if b"accept-encoding" in exchange.headers:
                exchange.headers.set(b"accept-encoding", b"identity")

    async def _rest(
        self, request: Request, call: OpenCall, exchange: UpstreamRequest, taken: list[bytes]
    ) -> AsyncIterator[bytes]:
        """Yield what was taken of a body and then the rest, as the client sends it."""
        call.sent = 0
        for chunk in taken:
            call.sent += len(chunk)
            yield chunk
            _read_on(exchange, chunk)
        taken.clear()
        self.held -= call.held
        call.held = 0
        while True:
            call.waits_for(CLIENT)
            chunk = await _next(request)
            call.waits_for(UPSTREAM)
            if not chunk:
                return
            call.sent += len(chunk)
            if call.sent > self._limits.body_bytes:
                call.refused = _too_large(self._limits.body_bytes)
                raise call.refused
            yield chunk
            _read_on(exchange, chunk)

    async def _answer(self, call: OpenCall, exchange: UpstreamRequest, note: Annotation | None) -> UpstreamAnswer:
        """Send the request and return the answer.

        Sent once more where a kept connection turned out to be closed before a byte of an answer, and where the
        endpoint refuses the ``include_usage`` that was added.
        """
        try:
            answer = await self._send(call, exchange, note)
        except UpstreamError as failed:
            if not failed.replayable or not (exchange.body is None or isinstance(exchange.body, bytes)):
                raise
            self._recorder.metrics.count("promptop_proxy_replays_total")
            answer = await self._send(call, exchange, note)
        if not exchange.added or answer.status not in (400, 422):
            return answer
        error = await _beginning(answer)
        if not names_stream_options(answer.status, error):
            return UpstreamAnswer(
                answer.status, answer.reason, answer.fields, _after(error, answer), answer.close, answer.connected
            )
        await answer.close()
        assert call.attempt is not None
        call.attempt.retried = True
        call.attempt.answered(answer, perf_counter())(error, perf_counter())
        _end(call, "eof")
        exchange.body, exchange.added = exchange.given, False
        answer = await self._send(call, exchange, note)
        if answer.status < 400:
            path, upstream = exchange.target.partition("?")[0], exchange.upstream
            remember_refusal(upstream.host, upstream.port, path, model_of(exchange.parsed))
        return answer

    async def _send(self, call: OpenCall, exchange: UpstreamRequest, note: Annotation | None) -> UpstreamAnswer:
        """Send the request as one attempt."""
        upstream, headers, body = exchange.upstream, exchange.headers, exchange.body
        call.waits_for(UPSTREAM)
        # An attempt that is replaced here met a closed connection; it was never at the server, and leaves no row.
        attempt = call.attempt = self._recorder.begin(
            upstream, exchange.method, exchange.target, headers, exchange.given, note, exchange.parsed
        )
        attempt.decision = exchange.decision
        attempt.large = exchange.large
        if isinstance(body, bytes):
            attempt.bytes_sent = len(body)
        client = self._client(upstream)
        try:
            if self._throttle is None and self._cache is None:
                return await client.send(upstream, exchange.method, exchange.target, headers, body, Connected())
            return await self._send_within(call, attempt, exchange, note, client)
        except UpstreamError:
            if call.refused is not None:
                raise call.refused from None
            raise

    async def _send_within(
        self, call: OpenCall, attempt: ProxiedCall, exchange: UpstreamRequest, note: Annotation | None, client: Client
    ) -> UpstreamAnswer:
        """Send the request unless the cache has its answer, when its limits let it go."""

        async def unlimited() -> UpstreamAnswer:
            call.waits_for(UPSTREAM)
            return await client.send(
                exchange.upstream, exchange.method, exchange.target, exchange.headers, exchange.body, Connected()
            )

        async def send() -> UpstreamAnswer:
            if self._throttle is None:
                return await unlimited()
            return await self._throttle.send(attempt, exchange, unlimited)

        if self._cache is None:
            return await send()
        return await self._cache.answer(attempt, exchange, send, partial(self._aside, exchange, note))

    async def _aside(
        self, exchange: UpstreamRequest, note: Annotation | None, target: str, body: bytes
    ) -> tuple[int, bytes]:
        """Send a request of ours with a call's credentials, as an attempt with a row of its own."""
        upstream, headers = exchange.upstream, exchange.headers.copy()
        headers.remove(*(name.encode().lower() for name in embedding_request.NOT_OURS))
        headers.set(b"Content-Type", b"application/json")
        headers.set(b"Accept-Encoding", b"identity")
        attempt = self._recorder.begin(upstream, "POST", target, headers, body, apart(note, embedding_request.TAGS))
        attempt.bytes_sent = len(body)
        ours = UpstreamRequest(upstream, "POST", target, headers, body, body)

        async def unlimited() -> UpstreamAnswer:
            return await self._client(upstream).send(upstream, "POST", target, headers, body, Connected())

        try:
            # It counts against the limits of its own model.
            throttle = self._throttle
            answer = await (unlimited() if throttle is None else throttle.send(attempt, ours, unlimited))
            feed = attempt.answered(answer, perf_counter())
            taken = bytearray(answer.at_hand())
            feed(bytes(taken), perf_counter())
            try:
                while len(taken) <= _VECTOR_BYTES and (chunk := await answer.read()):
                    feed(chunk, perf_counter())
                    taken += chunk
            finally:
                await answer.close()
        except BaseException as error:
            attempt.end("cancelled" if isinstance(error, asyncio.CancelledError) else "error", error)
            raise
        attempt.end("eof")
        return answer.status, bytes(taken)

    # ── towards the client ──

    async def _pass_on(self, request: Request, call: OpenCall, answer: UpstreamAnswer, added: bool) -> None:
        """Pass the answer's body on; a client that reads slowly slows the upstream down."""
        attempt = call.attempt
        assert attempt is not None
        feed: Callable[[bytes, float], object] = _forget
        try:
            feed = attempt.answered(answer, perf_counter())
        except Exception as error:  # noqa: BLE001 - the boundary: the answer passes, its row is poorer
            count_fault("answer", error)
        fields = returned(answer.fields.raw)
        view = None
        if added and attempt.is_stream:
            view = UsageFilter(fields)
            fields = view.fields
        response = request.respond(answer.status, answer.reason, fields)
        read, write, drain = answer.read, response.write, request.drain
        left = self._limits.event_stream_bytes if attempt.is_stream else self._limits.response_bytes
        chunk = answer.at_hand()
        if not chunk:
            response.flush()
        call.since = perf_counter()
        while chunk := chunk or await read():
            now = call.since = perf_counter()
            call.waits = CLIENT
            if view is None:
                write(chunk)
                await drain()
            else:
                for part in view.feed(chunk):
                    write(part)
                    await drain()
            feed(chunk, now)
            left -= len(chunk)
            if left < 0:
                raise _TooLongError
            call.waits = UPSTREAM
            call.since = perf_counter()
            chunk = answer.at_hand()
        if view is not None and (rest := view.finish()):
            write(rest)
        response.end()
        _end(call, "eof")
        call.waits_for(CLIENT)
        await drain()


def _read_on(exchange: UpstreamRequest, chunk: bytes) -> None:
    if exchange.large is not None:
        try:
            exchange.large.feed(chunk)
        except Exception as error:  # noqa: BLE001 - the boundary: the body passes, its row is poorer
            exchange.large = None
            count_fault("request", error)


def _forget(data: bytes, now_s: float) -> None:
    """Take a read of an answer that cannot be accounted for."""


def _end(call: OpenCall, how: Any, error: BaseException | str | None = None) -> None:
    """End the attempt that runs, if one does; only the first end counts."""
    attempt: ProxiedCall | None = call.attempt
    if attempt is not None:
        if call.sent is not None:
            attempt.bytes_sent = call.sent
        attempt.end(how, error)


async def _next(request: Request) -> bytes:
    try:
        return await request.read()
    except BrokenBodyError:
        raise RefusedError(400, "broken_body", "The request's body is not valid HTTP.") from None


async def _beginning(answer: UpstreamAnswer) -> bytes:
    """Return the body of a refusal, or the beginning of a long one."""
    taken = b""
    while len(taken) < _ERROR_BYTES and (chunk := await answer.read()):
        taken += chunk
    return taken


def _after(first: bytes, answer: UpstreamAnswer) -> Callable[[], Any]:
    """Return a ``read`` that gives what has been taken from an answer before the rest of it."""
    taken = [first] if first else []

    async def read() -> bytes:
        return taken.pop() if taken else await answer.read()

    return read


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, "body_too_large", f"The request's body is larger than {limit} bytes.", "See --max-body.")
