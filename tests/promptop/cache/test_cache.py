from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.servers import Server
from tests.support.waits import until

from promptop.cache import Cache, CacheEntry, CacheKey, DiskLevel, Hit, Lead, MemoryLevel, RedisLevel, key_of


@pytest.fixture
def key() -> CacheKey:
    found = key_of("h", "/v1/chat/completions", {"model": "m", "messages": [], "temperature": 0})
    assert found is not None
    return found


def test_a_hit_below_is_copied_into_the_levels_above(
    server: Server, tmp_path: Path, entry: CacheEntry, key: CacheKey
) -> None:
    memory, remote, disk = MemoryLevel(), RedisLevel(server.url, timeout_s=5), DiskLevel(tmp_path / "c.db")
    cache = Cache([memory, remote, disk], ttl_s=60)
    assert cache.look(key) is None
    kept = cache.store(key, replace(entry, cost_usd=0.5))
    assert kept.expires_s == kept.created_s + 60
    found = []
    for level in (None, memory, remote):
        if level is not None:
            level.remove()
            if level is remote:
                memory.remove()
        hit = cache.look(key)
        assert hit is not None
        assert hit.entry == kept
        found.append(hit.level)
    assert found == ["memory", "redis", "disk"]
    assert memory.get(key.digest) == remote.get(key.digest) == kept, "promoted"
    assert cache.remove(prompt=key.prompt) == 3
    cache.close()


def test_per_entry_ttl_stands_above_the_cache_s(entry: CacheEntry, key: CacheKey) -> None:
    now = 100.0
    cache = Cache([MemoryLevel(clock=lambda: now)], ttl_s=1000, clock=lambda: now)
    cache.store(key, entry, ttl_s=5)
    assert cache.look(key) is not None
    now = 105.0
    assert cache.look(key) is None


async def test_get_or_fetch_keeps_each_entry_for_its_own_time(entry: CacheEntry, key: CacheKey) -> None:
    now = 100.0
    cache = Cache([MemoryLevel(clock=lambda: now)], ttl_s=1000, clock=lambda: now)
    made = 0

    async def fetch() -> CacheEntry:
        nonlocal made
        made += 1
        return entry

    for moment, fetched in ((100.0, 1), (104.9, 1), (105.0, 2)):
        now = moment
        assert await cache.afetch(key, fetch, ttl_s=5) is not None
        assert made == fetched


def test_a_hundred_threads_at_once_make_one_call(entry: CacheEntry, key: CacheKey) -> None:
    cache = Cache([MemoryLevel()])
    asked = 0
    release = threading.Event()

    def fetch() -> CacheEntry:
        nonlocal asked
        asked += 1
        release.wait(20)
        return entry

    with ThreadPoolExecutor(100) as pool:
        futures = [pool.submit(cache.fetch, key, fetch) for _ in range(100)]
        until(lambda: asked == 1)
        release.set()
        hits = [future.result(20) for future in futures]
    assert asked == 1
    assert all(hit is not None and hit.entry.body == entry.body for hit in hits)
    assert sum(hit is not None and hit.level == "" for hit in hits) == 1


async def test_a_hundred_tasks_at_once_make_one_call_and_a_cancelled_leader_is_replaced(
    entry: CacheEntry, key: CacheKey
) -> None:
    cache = Cache([MemoryLevel()])
    started: list[asyncio.Event] = []
    go = asyncio.Event()

    async def fetch() -> CacheEntry:
        mine = asyncio.Event()
        started.append(mine)
        mine.set()
        await go.wait()
        return entry

    tasks = [asyncio.create_task(cache.afetch(key, fetch)) for _ in range(100)]
    while not started:
        await asyncio.sleep(0)
    tasks[0].cancel()
    while len(started) < 2:
        await asyncio.sleep(0)
    go.set()
    hits = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(hits[0], asyncio.CancelledError)
    assert len(started) == 2, "the cancelled leader's and its successor's"
    assert all(not isinstance(hit, BaseException) and hit is not None for hit in hits[1:])


def test_what_a_fetch_raises_reaches_its_asker_alone_and_nothing_is_kept(entry: CacheEntry, key: CacheKey) -> None:
    cache = Cache([MemoryLevel()])

    def fails() -> CacheEntry:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError):
        cache.fetch(key, fails)
    assert cache.look(key) is None
    hit = cache.fetch(key, lambda: entry)
    assert hit is not None
    assert hit.level == ""


def test_an_answer_not_worth_keeping_does_not_queue_the_others(key: CacheKey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four askers two lead in turn; when both came to nothing, the other two fetch at the same time."""
    cache = Cache([MemoryLevel()])
    waiting = 0
    real_wait = Lead.wait

    def wait(self: Lead, timeout_s: float = 20) -> CacheEntry | None:
        nonlocal waiting
        waiting += 1
        return real_wait(self, timeout_s)

    monkeypatch.setattr(Lead, "wait", wait)
    together = threading.Barrier(2)
    fetches: list[int] = []

    def fetch() -> None:
        fetches.append(1)
        if len(fetches) <= 2:
            until(lambda: waiting == (3 if len(fetches) == 1 else 5))
        else:
            together.wait(20)

    with ThreadPoolExecutor(4) as pool:
        assert [future.result(30) for future in [pool.submit(cache.fetch, key, fetch) for _ in range(4)]] == [None] * 4
    assert len(fetches) == 4


def test_processes_agree_through_redis_on_one_fetch(server: Server, tmp_path: Path) -> None:
    script = """
import sys, time
from promptop.cache import Cache, CacheEntry, MemoryLevel, RedisLevel, key_of
url, out = sys.argv[1:]
key = key_of("h", "/v1/embeddings", {"model": "m", "input": "x"})
def fetch():
    with open(out, "a") as file:
        file.write("fetched\\n")
    time.sleep(0.3)
    return CacheEntry(200, (), b"answer")
print("ready", flush=True)
sys.stdin.readline()
hit = Cache([MemoryLevel(), RedisLevel(url, timeout_s=5)]).fetch(key, fetch)
print(hit.entry.body.decode(), flush=True)
"""
    out = tmp_path / "fetches"
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, server.url, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0].strip() for process in running]
    assert answers == ["answer"] * 4
    assert out.read_text() == "fetched\n"


async def test_a_hit_in_memory_takes_no_thread_and_no_part_in_a_fetch(
    entry: CacheEntry, key: CacheKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache([MemoryLevel(), DiskLevel(tmp_path / "c.db")])
    cache.store(key, entry)

    def never(*_: object) -> None:
        raise AssertionError("a hop of threads costs more than the look")

    monkeypatch.setattr("promptop.cache.cache.asyncio.to_thread", never)
    monkeypatch.setattr(Cache, "join", never)
    for hit in (await cache.abegin(key), cache.begin(key)):
        assert isinstance(hit, Hit)
        assert hit.level == "memory"
    assert cache.stats()[0].hits == 2
    cache.close()


def test_a_hit_on_disk_writes_nothing_and_waits_for_no_writer(entry: CacheEntry, tmp_path: Path) -> None:
    now = 1000.0
    level = DiskLevel(tmp_path / "c.db", clock=lambda: now)
    level.put("d", entry)
    with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert level.get("d") == entry
        other.execute("ROLLBACK")
        now += 3600
        assert level.get("d") == entry
        (used,) = other.execute("SELECT used_s FROM entries").fetchone()
    assert used == now, "a use is noted, once a minute"
    level.close()
