"""Limits shared through a real server: several limiters, as in several processes, and a server that goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.servers import Server

from promptop.cache.circuit_breaker import Breaker
from promptop.limits.limiter import Limiter, RateLimits
from promptop.limits.redis_limiter import SharedLimits


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    one.start()
    yield one
    one.kill()


Make = Callable[..., tuple[Limiter, SharedLimits]]


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    opened: list[SharedLimits] = []

    def build(window_s: float = 60.0, **limits: int | None) -> tuple[Limiter, SharedLimits]:
        values: dict[str, int | None] = {"concurrency": None, "requests_per_minute": None, **limits}
        shared = SharedLimits(server.url, "api:gpt", RateLimits(**values), window_s=window_s, timeout_s=5)
        opened.append(shared)
        return Limiter(RateLimits(None, None, None), shared=shared), shared

    yield build
    for shared in opened:
        shared.close()


async def test_two_processes_together_keep_the_concurrency(make: Make) -> None:
    (one, _), (two, _) = make(concurrency=3), make(concurrency=3)
    running = most = 0

    async def call(limiter: Limiter) -> None:
        nonlocal running, most
        async with limiter.slot():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(call(limiter) for _ in range(10) for limiter in (one, two)))
    assert most == 3


async def test_two_processes_together_keep_the_requests_of_a_window(make: Make) -> None:
    window = 0.4
    (one, _), (two, _) = make(window, requests_per_minute=5), make(window, requests_per_minute=5)
    starts: list[float] = []

    async def call(limiter: Limiter) -> None:
        async with limiter.slot():
            starts.append(time.monotonic())

    await asyncio.gather(*(call(limiter) for _ in range(6) for limiter in (one, two)))
    starts.sort()
    assert len(starts) == 12
    # The server notes a start before the caller does: a start may be seen late, by the time of an answer.
    assert all(later - earlier > window * 0.8 for earlier, later in zip(starts, starts[5:], strict=False))


async def test_tokens_of_a_window_are_shared_and_a_huge_call_goes_alone(make: Make) -> None:
    _, one = make(0.3, tokens_per_minute=100)
    _, two = make(0.3, tokens_per_minute=100)
    assert await one.claim(60) == 0
    pause = await two.claim(60)
    assert 0 < pause <= 0.3
    assert await two.claim(40) == 0
    assert await one.claim(5000) > 0
    end = time.monotonic() + 10
    while (pause := await one.claim(5000)) > 0:
        assert time.monotonic() < end
        await asyncio.sleep(pause)


async def test_without_the_server_calls_go_on_and_one_notice_is_given(server: Server) -> None:
    notices: list[str] = []
    breaker = Breaker(threshold=2, rest_s=1000)
    shared = SharedLimits(server.url, "n", RateLimits(1, None), breaker=breaker, notice=notices.append, timeout_s=1)
    limiter = Limiter(RateLimits(None, None), shared=shared)
    server.kill()
    for _ in range(5):
        async with limiter.slot():
            pass
    assert len(notices) == 1
    assert "Calls go on without it" in notices[0]
    shared.close()
