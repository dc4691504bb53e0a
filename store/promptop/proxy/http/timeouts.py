"""Ends calls that no longer move: one scan a second over the calls in flight, instead of a timer per read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Final

from promptop.proxy.calls import ProxiedCall
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.metrics import Metrics

UPSTREAM: Final = 0
CLIENT: Final = 1


class OpenCall:
    """A call in flight: whom it waits for, since when, and what it holds."""

    __slots__ = ("attempt", "cut", "held", "refused", "sent", "since", "started", "task", "waits")

    def __init__(self, task: asyncio.Task[object] | None) -> None:
        self.task = task
        self.started = self.since = perf_counter()
        self.waits = CLIENT
        self.attempt: ProxiedCall | None = None
        """The attempt that runs, or the last one."""
        self.held = 0
        """Bytes of its request body that are held."""
        self.sent: int | None = None
        """Bytes of a streamed request body that have been sent on."""
        self.cut: str | None = None
        """Why the watchdog ended it."""
        self.refused: Exception | None = None

    def waits_for(self, peer: int) -> None:
        """Note whom the call waits for from now on."""
        self.waits = peer
        self.since = perf_counter()


def overdue(call: OpenCall, now: float, limits: ProxyLimits) -> str | None:
    """Say which limit a call has crossed, or None."""
    if now - call.started > limits.call_s:
        return f"the call took longer than {limits.call_s:g} s"
    silent = now - call.since
    if call.waits == UPSTREAM and silent > limits.upstream_idle_s:
        return f"the upstream sent nothing for {limits.upstream_idle_s:g} s"
    if call.waits == CLIENT and silent > limits.client_idle_s:
        return f"the client took or sent nothing for {limits.client_idle_s:g} s"
    return None


async def watch(
    calls: set[OpenCall], limits: ProxyLimits, metrics: Metrics, sweep: Callable[[], None] = lambda: None
) -> None:
    """End overdue calls until cancelled, and ``sweep`` with every scan.

    The shortest limit is met within a quarter of it, at most a second late.
    """
    shortest = min(limits.call_s, limits.upstream_idle_s, limits.client_idle_s, limits.keep_alive_s)
    tick = min(1.0, shortest / 4)
    while True:
        await asyncio.sleep(tick)
        sweep()
        now = perf_counter()
        for call in list(calls):
            if call.cut is None and (reason := overdue(call, now, limits)) is not None and call.task is not None:
                call.cut = reason
                metrics.count("promptop_proxy_cut_total", reason=("upstream", "client")[call.waits])
                call.task.cancel()
