"""The limiter in the proxy: calls of one upstream and model wait for their turn, fairly among the clients.

A call holds its place from the moment it is sent until its answer has been read. Answers from the cache wait for
nothing. The wait is not part of a call's latency: its clock starts when it is sent, and ``queue_s`` of its row says how
long it waited. A client that leaves while it waits leaves no hole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from promptop.limits.limiter import Limiter, RateLimits, Shared
from promptop.providers.api import loads
from promptop.proxy.cache import account_of
from promptop.proxy.http.answer import UpstreamAnswer
from promptop.proxy.metrics import Metrics

if TYPE_CHECKING:
    from promptop.proxy.calls import ProxiedCall
    from promptop.proxy.relay import UpstreamRequest

Send = Callable[[], Awaitable[UpstreamAnswer]]
MOST_LIMITERS = 1000
"""Pairs of upstream and model with limits of their own; a client that invents names shares one beyond that."""
_BYTES_A_TOKEN = 4
"""Of a request's JSON: the estimate that a call is let in on, until the server has counted."""


class Throttle:
    """The limiters of one proxy."""

    def __init__(self, limits: RateLimits, metrics: Metrics, shared: Callable[[str], Shared] | None = None) -> None:
        """``shared`` yields the limits of a name that several processes keep together."""
        self._limits = limits
        self._metrics = metrics
        self._shared = shared
        self._limiters: dict[str, Limiter] = {}

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return sum(limiter.queued for limiter in self._limiters.values())

    async def send(self, attempt: ProxiedCall, exchange: UpstreamRequest, send: Send) -> UpstreamAnswer:
        """Wait for the right to send a call, send it, and hold its place until the answer is closed."""
        model = _model(exchange)
        limiter = self._limiter(f"{exchange.upstream.host}:{exchange.upstream.port} {model}")
        body = exchange.body if isinstance(exchange.body, bytes) else b""
        lane = account_of(exchange.headers, "")
        since = perf_counter()
        async with AsyncExitStack() as stack:
            # Until it is sent, all that a call does is wait: also one whose client leaves meanwhile.
            stack.callback(lambda: attempt.waited(perf_counter() - since))
            slot = await stack.enter_async_context(limiter.slot(len(body) // _BYTES_A_TOKEN, lane=lane))
            if slot.waited_s > 0:
                self._metrics.count("promptop_proxy_waited_seconds_total", slot.waited_s)
            loop = asyncio.get_running_loop()

            def settle(tokens: int) -> None:
                with suppress(RuntimeError):  # the proxy has ended since
                    loop.call_soon_threadsafe(slot.used, tokens)

            attempt.waits(slot.waited_s, settle)
            answer = await send()
            slot.heard(answer.status, {name.lower(): value for name, value in answer.fields})
            held = stack.pop_all()

        async def close() -> None:
            try:
                await answer.close()
            finally:
                await held.aclose()

        return replace(answer, close=close)

    def _limiter(self, name: str) -> Limiter:
        if name not in self._limiters:
            if len(self._limiters) >= MOST_LIMITERS:
                name = "other"
            shared = self._shared(name) if self._shared is not None else None
            self._limiters.setdefault(name, Limiter(self._limits, shared=shared))
        return self._limiters[name]


def _model(exchange: UpstreamRequest) -> str:
    if exchange.given is None:
        return ""
    parsed: Any = exchange.parsed if exchange.parsed is not None else loads(exchange.given)
    return str(parsed.get("model") or "")[:200] if isinstance(parsed, dict) else ""
