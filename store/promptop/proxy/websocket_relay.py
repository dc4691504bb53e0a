"""A WebSocket through the proxy: bytes pass both ways as they come, and each response on it leaves a row.

The Realtime API and the Responses API over WebSockets send the same events as over HTTP. Compression is not offered to
the server, so that the messages can be read; no program relies on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from promptop.capture.faults import count_fault
from promptop.providers.api import loads
from promptop.proxy.calls import ProxiedCall
from promptop.proxy.http.answer import Client, Connected, CutError, UpstreamAnswer, UpstreamError
from promptop.proxy.http.client_connection import Request
from promptop.proxy.http.fields import Fields
from promptop.proxy.http.headers import returned
from promptop.proxy.http.timeouts import UPSTREAM, OpenCall
from promptop.proxy.http.websocket import Messages

_ENDS = ("response.done", "response.completed", "response.failed", "response.incomplete")
_MOST_AT_ONCE = 64
"""Responses of one connection that run at a time."""
_STREAM = Fields([(b"Content-Type", b"text/event-stream")])

Begin = Callable[[dict[str, Any]], ProxiedCall]


class ConnectionMeter:
    """Makes a call of each response on a connection, from what the server says of it."""

    def __init__(self, begin: Begin) -> None:
        """``begin`` starts a call of a request's parameters."""
        self._begin = begin
        self._messages = Messages()
        self._sent = Messages()
        self._session: dict[str, Any] = {}
        self._asked_s = 0.0
        """When the program asked for the next response."""
        self._running: dict[str, tuple[ProxiedCall, Callable[[bytes, float], None]]] = {}

    def from_client(self, data: bytes) -> None:
        """Take bytes of the program's: they name the model."""
        for message in self._sent.feed(data):
            event = loads(message)
            if isinstance(event, dict):
                self._learn(event)
                if event.get("type") == "response.create":
                    self._asked_s = perf_counter()

    def from_server(self, data: bytes, now_s: float) -> None:
        """Take bytes of the server's."""
        for message in self._messages.feed(data):
            event = loads(message)
            if not isinstance(event, dict):
                continue
            kind = str(event.get("type") or "")
            self._learn(event)
            if not kind.startswith("response."):
                continue
            response = event.get("response")
            name = str((response.get("id") if isinstance(response, dict) else None) or event.get("response_id") or "")
            if name not in self._running:
                if (kind in _ENDS and not isinstance(response, dict)) or len(self._running) >= _MOST_AT_ONCE:
                    continue
                call = self._begin(dict(self._session))
                call.started_s, self._asked_s = self._asked_s or call.started_s, 0.0
                self._running[name] = (
                    call,
                    call.answered(UpstreamAnswer(200, b"OK", _STREAM, _nothing, _no_close), now_s),
                )
            call, feed = self._running[name]
            shown = message.replace(b"\n", b" ")
            if kind == "response.done":  # the Realtime API's word for what ends a response
                shown = shown.replace(b'"response.done"', b'"response.completed"', 1)
            feed(b"data: " + shown + b"\n\n", now_s)
            if kind in _ENDS:
                del self._running[name]
                call.end("eof")

    def end(self, how: Any, error: BaseException | None = None) -> None:
        """End what runs."""
        for call, _ in self._running.values():
            call.end(how, error)
        self._running.clear()

    def _learn(self, event: dict[str, Any]) -> None:
        for holder in (event, event.get("session"), event.get("response")):
            if isinstance(holder, dict) and isinstance(holder.get("model"), str):
                self._session["model"] = holder["model"]


async def carry(
    request: Request, call: OpenCall, headers: Fields, client: Client, send: tuple[Any, str], begin: Begin
) -> UpstreamAnswer | None:
    """Carry a WebSocket until either side ends it; return the answer of a server that declines it."""
    upstream, target = send
    headers = headers.copy()
    headers.remove(b"sec-websocket-extensions")
    headers.add(b"Upgrade", b"websocket")
    headers.add(b"Connection", b"Upgrade")
    call.waits_for(UPSTREAM)
    answer = await client.send(upstream, "GET", target, headers, None, Connected())
    tunnel = answer.tunnel
    if tunnel is None:
        return answer
    fields = [*returned(answer.fields.raw), (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    response = request.respond(101, answer.reason, fields)
    response.flush()
    request.tunnel()
    meter = ConnectionMeter(begin)

    def noted(note: Callable[..., None], *args: Any) -> None:
        try:
            note(*args)
        except Exception as error:  # noqa: BLE001 - the boundary: the messages pass, their rows are poorer
            count_fault("websocket", error)

    async def up() -> None:
        while data := await request.read():
            call.since = perf_counter()
            tunnel.write(data)
            noted(meter.from_client, data)
            await tunnel.drain()

    async def down() -> None:
        while data := await answer.read():
            now = call.since = perf_counter()
            request.write(data)
            noted(meter.from_server, data, now)
            await request.drain()

    ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    how, failure = "closed", None
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            failed = way.exception()
            if isinstance(failed, CutError | UpstreamError):
                how, failure = "error", failed
            elif failed is not None:
                raise failed
    except BaseException:
        how = "cancelled"
        raise
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        meter.end(how, failure)
        await answer.close()
        response.end()
        request.cut()
    return None


async def _nothing() -> bytes:
    return b""


async def _no_close() -> None:
    """Close what holds nothing."""
