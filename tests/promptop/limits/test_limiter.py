"""The limiter on a clock that moves only when the test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest

from promptop.limits.limiter import Limiter, RateLimits, retry_after, seconds_of


class Time:
    """A clock and its timers. ``run_until`` moves from timer to timer and lets the tasks between them run."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self.timers, (self.now + delay, self._count, callback))

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_later(seconds, lambda: done.done() or done.set_result(None))  # type: ignore[func-returns-value]
        await done

    async def run_until(self, end: Callable[[], object]) -> None:
        for _ in range(100_000):
            for _ in range(10):
                await asyncio.sleep(0)
            if end():
                return
            assert self.timers, "nothing is due and the end has not come"
            self.now, _, callback = heapq.heappop(self.timers)
            callback()
        raise AssertionError("no end")


def made(clock: Time, **limits: int | None) -> Limiter:
    values: dict[str, int | None] = {"concurrency": None, "requests_per_minute": None, **limits}
    return Limiter(RateLimits(**values), clock=clock, call_later=clock.call_later)


async def test_never_more_than_60_starts_in_any_60_s_nor_5_in_flight_under_200_tasks() -> None:
    clock = Time()
    limiter = made(clock, concurrency=5, requests_per_minute=60)
    starts: list[float] = []
    most = done = 0

    async def call(number: int) -> None:
        nonlocal most, done
        async with limiter.slot():
            starts.append(clock.now)
            most = max(most, limiter.in_flight)
            await clock.sleep(0.1 + number % 7)
        done += 1

    tasks = [asyncio.create_task(call(number)) for number in range(200)]
    await clock.run_until(lambda: done == 200)
    await asyncio.gather(*tasks)
    assert most == 5
    # 1e-9: the clock is a float, and 60 s after a start is rounded
    assert all(later - earlier >= 60 - 1e-9 for earlier, later in zip(starts, starts[60:], strict=False))
    assert limiter.in_flight == limiter.queued == 0
    assert limiter.waited_s > 0


async def test_a_slot_is_used_as_soon_as_it_is_free() -> None:
    clock = Time()
    limiter = made(clock, requests_per_minute=60)
    starts: list[float] = []

    async def call() -> None:
        async with limiter.slot():
            starts.append(clock.now - 1000)

    tasks = [asyncio.create_task(call()) for _ in range(120)]
    await clock.run_until(lambda: len(starts) == 120)
    await asyncio.gather(*tasks)
    assert starts == [0.0] * 60 + [60.0] * 60


async def test_one_timer_wakes_one_waiter_and_not_all() -> None:
    clock = Time()
    limiter = made(clock, requests_per_minute=1)
    tasks = [asyncio.create_task(_once(limiter)) for _ in range(50)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert limiter.queued == 49
    assert len(clock.timers) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.queued == 0


async def _once(limiter: Limiter, lane: str = "") -> None:
    async with limiter.slot(lane=lane):
        pass


async def test_lanes_take_turns_and_within_one_the_first_comes_first() -> None:
    clock = Time()
    limiter = made(clock, concurrency=1)
    order: list[str] = []
    gate = asyncio.Event()

    async def call(name: str, lane: str) -> None:
        async with limiter.slot(lane=lane):
            await gate.wait()
            order.append(name)

    tasks = [asyncio.create_task(call(f"b{n}", "batch")) for n in range(4)]
    tasks += [asyncio.create_task(call(f"i{n}", "interactive")) for n in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["b0", "b1", "i0", "b2", "i1", "b3"]


async def test_tokens_a_minute_hold_back_and_are_corrected_by_what_the_server_counted() -> None:
    clock = Time()
    limiter = made(clock, tokens_per_minute=1000)
    async with limiter.slot(600) as first:
        pass
    second = asyncio.create_task(_once_with(limiter, 600))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    first.used(300)
    await asyncio.wait_for(second, 5)
    third = asyncio.create_task(_once_with(limiter, 200))
    await clock.run_until(third.done)
    assert clock.now == 1060
    huge = asyncio.create_task(_once_with(limiter, 5000))
    await clock.run_until(huge.done)
    assert clock.now == 1120, "a call above the whole budget goes alone instead of never"


async def _once_with(limiter: Limiter, tokens: int) -> None:
    async with limiter.slot(tokens):
        pass


async def test_a_cancelled_waiter_and_a_cancelled_holder_leave_no_hole() -> None:
    clock = Time()
    limiter = made(clock, concurrency=1)
    holding = asyncio.Event()

    async def hold() -> None:
        async with limiter.slot():
            holding.set()
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await holding.wait()
    waiters = [asyncio.create_task(_once(limiter)) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    holder.cancel()
    results = await asyncio.gather(holder, *waiters, return_exceptions=True)
    assert [type(result) for result in results[:2]] == [asyncio.CancelledError] * 2
    assert results[2:] == [None, None]
    assert limiter.in_flight == 0


@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"retry-after": "7"}, 7),
        (429, {"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (503, {"retry-after": "2"}, 2),
        (200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360),
        (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (200, {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "20s"}, 0),
        (200, {"retry-after": "7"}, 0),
        (429, {"retry-after": "soon"}, 0),
    ],
)
async def test_what_the_server_says_is_obeyed(status: int, headers: dict[str, str], pause: float) -> None:
    clock = Time()
    limiter = made(clock)
    async with limiter.slot() as slot:
        slot.heard(status, headers)
    after = asyncio.create_task(_once(limiter))
    await clock.run_until(after.done)
    assert clock.now - 1000 == pytest.approx(pause)


def test_durations_and_dates_as_servers_write_them() -> None:
    assert [seconds_of(text) for text in ("1h2m3s", "1.5s", "12", "", "x", "-1", "inf", "3s!")] == [
        3723, 1.5, 12, None, None, None, None, None,
    ]  # fmt: skip
    assert retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=lambda: 20) == 40
    assert retry_after({}) is None
