"""What a hit of each cache level costs through the transport, beside the call that it saves, in one run by turns.

``python tests/benchmarks/cache.py [rounds]`` prints p50 and p99 in milliseconds: a bare call over loopback to the
simulated endpoint (in another process, without pauses), then hits in memory, in a real Redis-compatible server and on
disk, each logged like any call. Below: how many upstream calls a hundred identical concurrent ones become, and what
10,000 queued items of a batch hold. Absolute times are this machine's; a busy one widens p99 of every line alike. So
the CPU time of the calling thread stands beside them: what the hit itself takes, without the waiting for a core.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.servers import Server

import promptop
from promptop.batch.input import read_jsonl
from promptop.batch.journal import Journal
from promptop.batch.runner import Batch, Tally
from promptop.cache import Cache, DiskLevel, MemoryLevel, RedisLevel
from promptop.limits.limiter import RateLimits
from promptop.log import LogReader, Writer
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Tell me about caches. " * 50}],
    "temperature": 0,
    "max_tokens": 100,
    "stream": True,
}
ELSEWHERE = """
import sys
from promptop.simulator import SimulatedEndpoint
with SimulatedEndpoint.in_thread(speed=0, record=False) as endpoint:
    print(endpoint.base_url, flush=True)
    sys.stdin.read()
"""
QUEUED = 10_000
WARM = 5


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values, milliseconds."""
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


def levels(base_url: str, folder: Path, rounds: int) -> None:
    """Print what a call and a hit of each level take."""
    redis = Server(folder)
    redis.start()
    with ExitStack() as stack:
        stack.callback(redis.kill)
        writer = stack.enter_context(Writer(folder / "log.db"))
        caches = {
            "L1 memory": Cache([MemoryLevel()]),
            "L2 Redis": Cache([RedisLevel(redis.url, timeout_s=5)]),
            "L3 disk": Cache([DiskLevel(folder / "cache.db")]),
        }
        clients = {"bare call": stack.enter_context(httpx2.Client(timeout=60))}
        for name, cache in caches.items():
            stack.callback(cache.close)
            watched = promptop.transport(asynchronous=False, family="httpx2", log=writer, cache=cache)
            clients[name] = stack.enter_context(httpx2.Client(transport=watched, timeout=60))
        taken: dict[str, list[float]] = {name: [] for name in clients}
        busy: dict[str, list[float]] = {name: [] for name in clients}
        bodies = set()
        for number in range(rounds + WARM):
            for name, client in clients.items():
                started, used = time.perf_counter(), time.thread_time()
                response = client.post(f"{base_url}/chat/completions", json=ASK)
                spent, own = time.perf_counter() - started, time.thread_time() - used
                assert response.status_code == 200
                if name != "bare call":
                    bodies.add(response.content)
                if number >= WARM:
                    taken[name].append(spent)
                    busy[name].append(own)
        assert writer.flush(60)
        with LogReader(writer.path) as reader:
            levels = [row.cache_level for row in reader.latest(10 * rounds)]
        assert levels.count("miss") == len(caches), "every call but the first of each level must be a hit"
    print(f"{'':12} {'n':>6} {'p50 ms':>9} {'p99 ms':>9} {'of a call':>10}   CPU p50, p99 ms")
    call = quantile(sorted(taken["bare call"]), 0.5)
    for name, values in taken.items():
        values.sort()
        middle, high = quantile(values, 0.5), quantile(values, 0.99)
        spent = sorted(busy[name])
        own = f"{quantile(spent, 0.5):.3f}, {quantile(spent, 0.99):.3f}"
        print(f"{name:12} {len(values):6} {middle:9.3f} {high:9.3f} {middle / call:9.0%}   {own}")


async def stampede(folder: Path) -> None:
    """Print how many upstream calls a hundred identical ones at once become."""
    with SimulatedEndpoint.in_thread(speed=0.05) as endpoint, Writer(folder / "stampede.db") as writer:
        cache = Cache([MemoryLevel()])
        watched = promptop.transport(asynchronous=True, family="httpx2", log=writer, cache=cache)
        async with httpx2.AsyncClient(transport=watched, timeout=60) as client:
            answers = await asyncio.gather(
                *(client.post(f"{endpoint.base_url}/chat/completions", json=ASK) for _ in range(100))
            )
        print(f"100 identical concurrent calls: {len(endpoint.requests)} upstream, ", end="")
        print(f"{len({answer.content for answer in answers})} distinct answer")


async def queue(base_url: str, folder: Path) -> None:
    """Print what a long batch holds while it runs."""
    source = folder / "in.jsonl"
    with source.open("w") as file:
        for number in range(QUEUED):
            body = {**ASK, "stream": False, "max_tokens": 5, "user": str(number)}
            line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            file.write(json.dumps(line) + "\n")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    items = read_jsonl(source)
    read, _ = tracemalloc.get_traced_memory()
    held: list[tuple[int, int, int]] = []

    def look(every: int) -> Callable[[Tally], None]:
        def seen(tally: Tally) -> None:
            if tally.done and tally.done % every == 0:
                held.append((tally.done, tracemalloc.get_traced_memory()[0], len(asyncio.all_tasks())))
                if tally.done >= 5 * every:
                    running.cancel()

        return seen

    batch = Batch(
        items,
        Profile(name="benchmark", base_url=base_url),
        Journal(folder / "out.jsonl"),
        limits=RateLimits(10, None, None),
        transport={"log": folder / "batch.db"},
        on_progress=look(100),
    )
    running = asyncio.create_task(batch.run())
    await asyncio.wait([running])
    tracemalloc.stop()
    size = source.stat().st_size
    print(f"{QUEUED:,} queued items: {(read - before) / 2**20:.1f} MiB for {size / 2**20:.1f} MiB of input")
    for done, bytes_now, tasks in held[:5]:
        print(f"  after {done:4} calls: {(bytes_now - read) / 2**20:5.1f} MiB beside them, {tasks} tasks")


def main() -> None:
    """Run every case."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        elsewhere = subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(elsewhere.wait)
        stack.callback(elsewhere.kill)
        assert elsewhere.stdout is not None
        base_url = elsewhere.stdout.readline().strip()
        levels(base_url, folder, rounds)
        asyncio.run(stampede(folder))
        asyncio.run(queue(base_url, folder))


if __name__ == "__main__":
    main()
