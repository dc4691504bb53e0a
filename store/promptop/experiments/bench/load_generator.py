"""Many calls under a chosen load: a closed loop keeps so many under way, an open loop starts them when users would.

In an open loop latency counts from the moment when a call was due (Poisson arrivals, or those of a log), not from when
it left: a slow answer must not hide the wait of those behind it. How late calls left is reported, and the mean number
under way, as counted here, is held against Little's law, whose times come from the transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptop.client.result import CAP, CallProgress, RunResult
from promptop.experiments.stats import quantile
from promptop.limits.limiter import Limiter, RateLimits

MOST_CALLS = 100_000
MOST_AT_ONCE = 10_000
"""Calls under way at most; each has a connection of its own (:mod:`promptop.base.descriptors` says what that needs)."""
OPEN_AT_ONCE = 1000
"""Calls of an open loop under way at most: those that are due beyond wait, and the wait is reported."""
TIMES = ("ttft", "ttfo", "total")
FIGURES = (*TIMES, "tpot", "tps", "lag")
"""What is measured of each call: seconds (``tpot``: for each output token after the first), but for ``tps``, which is
output tokens a second."""
LATEST = 1000
"""Calls that are looked at while it runs: sorting more, five times a second, would delay what is measured."""

MakeCall = Callable[[int, CallProgress], Awaitable[RunResult]]
"""Makes a call of the request with this number; never raises for what an endpoint does."""


@dataclass(frozen=True, slots=True)
class Load:
    """How calls are started: ``concurrency`` at a time, or ``rate`` a second whatever becomes of the others."""

    calls: int
    concurrency: int | None = None
    rate: float | None = None
    warm_ups: int = 1
    """Calls before the measurement, which are dropped: connections, caches and cold models."""
    seed: int = 0
    due: tuple[float, ...] = ()
    """When the calls of an open loop are due, seconds from the start, where arrivals are given and not drawn."""
    name: str = ""
    """What given arrivals are called."""

    @property
    def is_open(self) -> bool:
        """Whether calls start when they are due, whatever becomes of the others."""
        return self.rate is not None

    @property
    def title(self) -> str:
        """``4 at once``, ``2.5/s``, or ``arrivals of 1h, 2.5/s``."""
        if self.rate is None:
            return f"{self.concurrency} at once"
        return f"{self.name}, {self.rate:.3g}/s" if self.name else f"{self.rate:g}/s"

    def arrivals(self) -> list[float]:
        """Return when the calls of an open loop are due, seconds from the start; the same for the same seed."""
        assert self.rate is not None
        if self.due:
            return list(self.due)
        rng = random.Random(self.seed)
        at, due = 0.0, []
        for _ in range(self.calls):
            due.append(at)
            at += rng.expovariate(self.rate)
        return due


@dataclass(frozen=True, slots=True)
class CallSample:
    """One measured call. Moments are seconds of the clock."""

    intended_s: float
    sent_s: float | None
    result: RunResult

    @property
    def lag_s(self) -> float:
        """Seconds from when it was due until it left."""
        return max(0.0, self.sent_s - self.intended_s) if self.sent_s is not None else 0.0


@dataclass(slots=True)
class MeasuredRequest:
    """What came of one request under one load; as a baseline it is kept like this."""

    title: str
    load: str
    calls: int = 0
    failed: int = 0
    cancelled: int = 0
    good: int | None = None
    """Calls that met every objective; None where there was none."""
    wall_s: float = 0.0
    """From the first start to the last end."""
    in_flight: float = 0.0
    """Calls under way on average, counted as they began and ended."""
    in_flight_expected: float = 0.0
    """The same by Little's law: arrival rate times the mean time, as the transport stamped it."""
    cost_usd: float | None = None
    unpriced: int = 0
    checked: int = 0
    """Answers that were held against the checks of their case."""
    passed: int = 0
    """Those that pass all of them."""
    output_tokens: int = 0
    """Of the calls that went well."""
    values: dict[str, list[float]] = field(default_factory=dict)
    """Of the calls that went well, by name of the figure, sorted."""

    @property
    def key(self) -> str:
        """What it is found by in a baseline."""
        return f"{self.title}, {self.load}"

    @property
    def well(self) -> int:
        """Calls that were answered."""
        return self.calls - self.failed - self.cancelled

    def scalar(self, name: str) -> float | None:
        """Return a number that is one of all calls; None where it is not known.

        ``errors`` (a share), ``throughput`` or ``goodput`` (calls a second), ``tokens`` (output tokens a second of all
        calls together), ``cost`` (USD a call).
        """
        if name == "errors":
            ended = self.well + self.failed
            return self.failed / ended if ended else None
        if name == "cost":
            return self.cost_usd / self.well if self.cost_usd is not None and self.well else None
        number = {"throughput": self.well, "goodput": self.good, "tokens": self.output_tokens or None}[name]
        return number / self.wall_s if number is not None and self.wall_s > 0 else None

    def statistic(self, name: str, of: str) -> float | None:
        """Return ``mean``, ``min``, ``max`` or a percentile such as ``p95`` of a figure; None without values."""
        values = self.values.get(of)
        if not values:
            return None
        if name == "mean":
            return sum(values) / len(values)
        places = {"min": 0.0, "max": 1.0}
        return quantile(values, places[name] if name in places else float(name[1:]) / 100)

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``promptop bench --json`` (seconds, USD, unknown is None)."""
        names = ("min", "mean", "p50", "p90", "p95", "p99", "max")
        return {
            "title": self.title,
            "load": self.load,
            "calls": self.calls,
            "answered": self.well,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "good": self.good,
            "wall_s": self.wall_s,
            "throughput": self.scalar("throughput"),
            "goodput": self.scalar("goodput"),
            "output_tokens": self.output_tokens,
            "tokens": self.scalar("tokens"),
            "in_flight": self.in_flight,
            "in_flight_expected": self.in_flight_expected,
            "cost_usd": self.cost_usd,
            "unpriced": self.unpriced,
            "checked": self.checked,
            "passed": self.passed if self.checked else None,
        } | {
            of: {"n": len(self.values.get(of, ()))} | {name: self.statistic(name, of) for name in names}
            for of in FIGURES
        }


Meets = Callable[[dict[str, float | None]], bool]
"""Tells whether the figures of a call meet the objectives."""


def figures_of(sample: CallSample, load: Load) -> dict[str, float | None]:
    """Return the figures of a call; in an open loop its times count from when it was due."""
    result, late = sample.result, sample.lag_s if load.rate is not None else 0.0
    found: dict[str, float | None] = {"tpot": result.tpot_s, "tps": result.output_tps, "lag": sample.lag_s}
    for name in TIMES:
        value: float | None = getattr(result, f"{name}_s")
        found[name] = None if value is None else value + late
    return found


class Bench:
    """Measures one request under one load. It belongs to one event loop."""

    def __init__(
        self,
        make_call: MakeCall,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """``clock`` must be the one that :attr:`Progress.sent_at` is of."""
        self._make_call = make_call
        self._clock = clock
        self._load: Load | None = None
        self._latest: deque[dict[str, float | None]] = deque(maxlen=LATEST)
        self._stopped = asyncio.Event()
        self._running: set[CallProgress] = set()
        self._in_flight = 0
        self._area = 0.0
        self._changed_s = 0.0
        self.ended = 0
        """Calls that are over, warm-ups included."""

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    def stop(self) -> Sequence[CallProgress]:
        """Start no further call; return those under way, for the caller to cancel. What came is kept."""
        self._stopped.set()
        return tuple(self._running)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    def latest(self) -> list[dict[str, float | None]]:
        """Return the figures of the last :data:`LATEST` calls of the load in progress that went well."""
        return list(self._latest)

    async def measure(self, request: int, title: str, load: Load, meets: Meets | None = None) -> MeasuredRequest:
        """Warm up, make the calls of a load, and return what came of them."""
        at_once = load.concurrency or min(load.warm_ups, 4)
        await self._closed(request, load.warm_ups, at_once)
        self._latest.clear()
        self._load = load
        self._area, self._changed_s = 0.0, self._clock()
        begun = self._changed_s
        if load.rate is None:
            samples = await self._closed(request, load.calls, at_once)
        else:
            samples = await self._open(request, load)
        self._load = None
        return self._summed(samples, title, load, begun, meets)

    async def _closed(self, request: int, calls: int, at_once: int) -> list[CallSample]:
        left = iter(range(calls))
        tasks: list[asyncio.Task[CallSample]] = []

        async def worker() -> None:
            for _ in left:
                if self.stopped:
                    return
                # The next call starts when the last byte came, not when the log has written the row of this one.
                streamed = asyncio.Event()
                task = asyncio.create_task(self._call(request, None, streamed))
                tasks.append(task)
                await streamed.wait()

        await asyncio.gather(*(worker() for _ in range(min(at_once, calls))))
        return list(await asyncio.gather(*tasks))

    async def _open(self, request: int, load: Load) -> list[CallSample]:
        limiter = Limiter(RateLimits(concurrency=OPEN_AT_ONCE, requests_per_minute=None))
        start = self._clock()
        tasks: list[asyncio.Task[CallSample]] = []

        async def call(due_s: float) -> CallSample | None:
            async with limiter.slot():
                if self.stopped:
                    return None
                streamed = asyncio.Event()
                task = asyncio.create_task(self._call(request, due_s, streamed))
                tasks.append(task)
                await streamed.wait()
            return await task

        waiting = []
        for arrival in load.arrivals():
            due_s = start + arrival
            if (pause := due_s - self._clock()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), pause)
            if self.stopped:
                break
            waiting.append(asyncio.create_task(call(due_s)))
        await asyncio.gather(*waiting)
        return [task.result() for task in tasks]

    async def _call(self, request: int, due_s: float | None, streamed: asyncio.Event) -> CallSample:
        progress = CallProgress()
        intended_s = self._clock() if due_s is None else due_s

        def over() -> None:
            if not streamed.is_set():
                streamed.set()
                self._count(-1)

        progress.on_streamed = over
        self._running.add(progress)
        self._count(1)
        try:
            result = await self._make_call(request, progress)
        finally:
            over()
            self._running.discard(progress)
        self.ended += 1
        if result.error is not None and result.error.type == CAP:
            self._stopped.set()
        sample = CallSample(intended_s, progress.sent_at, result)
        if self._load is not None and result.state == "done":
            self._latest.append(figures_of(sample, self._load))
        return sample

    def _count(self, change: int) -> None:
        now = self._clock()
        self._area += self._in_flight * (now - self._changed_s)
        self._changed_s = now
        self._in_flight += change

    def _summed(
        self, samples: Sequence[CallSample], title: str, load: Load, begun_s: float, meets: Meets | None
    ) -> MeasuredRequest:
        found = MeasuredRequest(title, load.title, calls=len(samples), good=0 if meets is not None else None)
        found.wall_s = max(0.0, self._changed_s - begun_s)
        found.values = {name: [] for name in FIGURES}
        spent = 0.0
        for sample in samples:
            result = sample.result
            if result.error is not None and result.error.type == CAP:
                found.calls -= 1  # it was not sent
                continue
            spent += result.total_s or 0.0
            if result.cost_usd is not None:
                found.cost_usd = (found.cost_usd or 0.0) + result.cost_usd
            elif result.state == "done":
                found.unpriced += 1
            if result.state != "done":
                found.failed += result.state == "failed"
                found.cancelled += result.state == "cancelled"
                continue
            found.output_tokens += result.usage.output_tokens or 0
            figures = figures_of(sample, load)
            for name, value in figures.items():
                if value is not None:
                    found.values[name].append(value)
            if meets is not None and found.good is not None:
                found.good += meets(figures)
        for values in found.values.values():
            values.sort()
        if found.wall_s > 0:
            found.in_flight = self._area / found.wall_s
            found.in_flight_expected = spent / found.wall_s
        return found
