"""Repeated calls in an interleaved order: a slow minute of the network meets every model alike.

The first round is a warm-up (connections, caches, cold models) and is dropped. Calls are made one after the other
unless more are allowed at once: side by side they would compete for the same link and processor.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from promptop.client.result import RunResult

WARM_UPS = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One call of a schedule: which request, in which round; warm-up rounds are below zero."""

    request: int
    round: int

    @property
    def warm_up(self) -> bool:
        """Whether its result is dropped."""
        return self.round < 0


class Schedule:
    """Which call comes next, and what came of those that are over. Not thread-safe: one thread owns it."""

    def __init__(self, requests: int, repeats: int, *, warm_ups: int = WARM_UPS, seed: int = 0) -> None:
        """Plan ``repeats`` rounds of all requests, each round in an order of its own."""
        rng = random.Random(seed)
        self.repeats = repeats
        self._waiting: deque[Job] = deque()
        for number in range(-warm_ups, repeats):
            order = list(range(requests))
            rng.shuffle(order)
            self._waiting.extend(Job(request, number) for request in order)
        self.size = len(self._waiting)
        self.ended = 0
        self.kept: list[list[RunResult]] = [[] for _ in range(requests)]
        """Results of each request in the order of their rounds, warm-ups left out."""
        self.first: list[RunResult | None] = [None] * requests
        """Each request's very first call, which met a cold connection and perhaps a cold model."""

    def next(self) -> Job | None:
        """Take the next call to make; None if there is none."""
        return self._waiting.popleft() if self._waiting else None

    def done(self, job: Job, result: RunResult) -> None:
        """Keep a result."""
        self.ended += 1
        if self.first[job.request] is None:
            self.first[job.request] = result
        if not job.warm_up:
            self.kept[job.request].append(result)

    def stop(self) -> None:
        """Make no further calls; what came is kept."""
        self._waiting.clear()

    @property
    def left(self) -> int:
        """Calls that are still to be begun."""
        return len(self._waiting)


MakeCall = Callable[[Job], Awaitable[RunResult | None]]
"""Makes a call; None for one that was not sent."""


async def work_through(schedule: Schedule, make_call: MakeCall, *, concurrency: int = 1) -> None:
    """Make the calls of a schedule, at most ``concurrency`` at once."""

    async def worker() -> None:
        while (job := schedule.next()) is not None:
            if (result := await make_call(job)) is not None:
                schedule.done(job, result)

    await asyncio.gather(*(worker() for _ in range(max(1, concurrency))))
