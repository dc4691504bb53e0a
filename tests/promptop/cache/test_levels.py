from __future__ import annotations

import signal
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from tests.support.servers import Server

from promptop.base.errors import UsageError
from promptop.cache import CacheEntry, DiskLevel, Level, MemoryLevel, RedisLevel
from promptop.cache.circuit_breaker import Breaker
from promptop.cache.entry import BadEntryError, pack, unpack


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "disk", "redis"])
def level(request: pytest.FixtureRequest, tmp_path: Path) -> Level:
    if request.param == "memory":
        return MemoryLevel()
    if request.param == "disk":
        made = DiskLevel(tmp_path / "private" / "cache.db")
        request.addfinalizer(made.close)
        return made
    server: Server = request.getfixturevalue("server")
    remote = RedisLevel(server.url, timeout_s=5)
    request.addfinalizer(remote.close)
    return remote


def test_what_is_put_comes_back_byte_for_byte(level: Level, entry: CacheEntry) -> None:
    kept = replace(entry, body=bytes(range(256)) * 40, marks=((10, 0.1), (10240, 1.25)), cost_usd=0.00045)
    assert level.get("d") is None
    level.put("d", kept)
    assert level.get("d") == kept
    stats = level.stats()
    assert (stats.total, stats.active, stats.hits, stats.misses, stats.ratio) == (1, 1, 1, 1, 0.5)
    assert stats.bytes > 0
    assert stats.state == "ok"


def test_invalidation_by_prompt_model_tag_and_all_of_them(level: Level, entry: CacheEntry) -> None:
    level.put("1", replace(entry, prompt="p1", model="a", tags=("x",)))
    level.put("2", replace(entry, prompt="p1", model="b", tags=("x", "y")))
    level.put("3", replace(entry, prompt="p3", model="b", tags=()))
    assert level.remove(prompt="p1", model="b") == 1
    assert level.get("2") is None
    assert level.get("1") is not None
    assert level.remove(tag="x") == 1
    assert level.remove(model="nobody") == 0
    level.put("4", replace(entry, model="b"))
    assert level.remove(digest="4", model="a") == 0
    assert level.remove() == 2
    assert level.stats().total == 0


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_expiry_on_a_clock_that_stands_still(kind: str, tmp_path: Path, entry: CacheEntry) -> None:
    clock = Clock()
    level: Level = MemoryLevel(clock=clock) if kind == "memory" else DiskLevel(tmp_path / "c.db", clock=clock)
    level.put("short", replace(entry, expires_s=clock.now + 10))
    level.put("long", replace(entry, expires_s=clock.now + 100))
    level.put("ever", entry)
    clock.now += 10
    stats = level.stats()
    assert (stats.total, stats.active, stats.expired) == (3, 2, 1)
    assert level.get("short") is None
    assert level.get("long") is not None
    clock.now += 1000
    assert level.expire() == (1 if kind == "memory" else 2)
    assert level.get("ever") is not None
    level.close()


def test_memory_is_bounded_by_entries_and_by_bytes_and_drops_the_least_used(entry: CacheEntry) -> None:
    level = MemoryLevel(max_entries=3, max_bytes=1 << 20)
    for name in "abc":
        level.put(name, entry)
    assert level.get("a") is not None
    level.put("d", entry)
    assert level.get("b") is None
    assert level.get("a") is not None
    level = MemoryLevel(max_entries=1000, max_bytes=10_000)
    for number in range(100):
        level.put(str(number), replace(entry, body=bytes(1000)))
    assert level.stats().bytes <= 10_000
    assert level.get("99") is not None
    level.put("huge", replace(entry, body=bytes(20_000)))
    assert level.get("huge") is None
    assert level.get("99") is not None


def test_the_file_is_private_bounded_and_read_by_the_next_process(tmp_path: Path, entry: CacheEntry) -> None:
    path = tmp_path / "private" / "cache.db"
    level = DiskLevel(path, max_bytes=20_000)
    import random

    noise = random.Random(1)
    for number in range(50):
        level.put(str(number), replace(entry, body=noise.randbytes(1000)))
    assert level.stats().bytes <= 20_000
    level.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = DiskLevel(path)
    assert again.get("49") is not None
    assert again.get("0") is None
    again.close()


def test_a_file_that_is_no_database_is_a_miss_and_says_so(tmp_path: Path, entry: CacheEntry) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"this is not a database" * 100)
    level = DiskLevel(path)
    level.put("a", entry)
    assert level.get("a") is None
    assert "not a database" in level.stats().state
    assert path.read_bytes().startswith(b"this is not"), "a file that is not ours is left as it is"


@given(st.binary(max_size=200))
def test_foreign_bytes_never_pass_for_an_entry(data: bytes) -> None:
    with pytest.raises(BadEntryError):
        unpack(data)
    with pytest.raises(BadEntryError):
        unpack(b"ptc1" + data)


def test_a_bomb_in_a_shared_server_is_refused(entry: CacheEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptop.cache.entry.LIMIT", 1000)
    with pytest.raises(BadEntryError):
        unpack(pack(replace(entry, body=bytes(1001))))
    assert unpack(pack(replace(entry, body=bytes(1000)))).body == bytes(1000)


def test_garbage_under_our_key_is_a_miss_and_is_forgotten(server: Server, entry: CacheEntry) -> None:
    level = RedisLevel(server.url, timeout_s=5)
    with redis.Redis(port=server.port) as client:
        client.set("promptop:e:d", b"\x00garbage")
        assert level.get("d") is None
        assert client.exists("promptop:e:d") == 0
        client.lpush("promptop:e:list", "x")
    assert level.get("list") is None, "a key of another type is a failed call, not a crash"
    level.put("d", entry)
    assert level.get("d") == entry
    level.close()


def test_a_server_that_expires_by_itself_and_indexes_that_do_too(server: Server, entry: CacheEntry) -> None:
    level = RedisLevel(server.url, timeout_s=5)
    level.put("d", replace(entry, expires_s=time.time() + 60))
    with redis.Redis(port=server.port) as client:
        assert 50_000 < client.pttl("promptop:e:d") <= 60_000
        assert client.pttl("promptop:i:model:m") > 60_000
    level.close()


def test_a_full_server_refuses_quietly_and_reads_go_on(server: Server, entry: CacheEntry) -> None:
    level = RedisLevel(server.url, timeout_s=5, breaker=Breaker(threshold=1000))
    level.put("first", entry)
    import random

    for number in range(12):
        level.put(f"big{number}", replace(entry, body=random.Random(number).randbytes(1 << 20)))
    assert level.get("first") == entry
    assert level.get("big11") is None
    level.close()


def test_a_server_killed_paused_and_back_costs_one_notice_each_way(server: Server, entry: CacheEntry) -> None:
    notices: list[str] = []
    clock = Clock()
    breaker = Breaker(threshold=2, rest_s=1, clock=clock)
    level = RedisLevel(server.url, timeout_s=0.1, breaker=breaker, notice=notices.append)
    level.put("d", entry)
    assert level.get("d") == entry

    server.signal(signal.SIGSTOP)
    assert [level.get("d") for _ in range(20)] == [None] * 20
    assert breaker.is_open
    assert len(notices) == 1
    assert "out of use" in notices[0]
    assert "out of use" in level.stats().state
    server.signal(signal.SIGCONT)
    clock.now += 2
    assert level.get("d") == entry, "the first call after the rest finds the server back"
    assert notices[1:] == ["The Redis cache is back."]

    server.kill()
    assert [level.get("d") for _ in range(20)] == [None] * 20
    assert len(notices) == 3
    clock.now += 2
    assert level.get("d") is None, "still away: the rest doubles, and no second notice is given"
    assert len(notices) == 3
    server.start()
    clock.now += 3
    assert level.get("d") is None
    level.put("d", entry)
    assert level.get("d") == entry
    assert notices[3:] == ["The Redis cache is back."]
    level.close()


def test_while_the_breaker_is_open_calls_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def connect(url: str, *, timeout_s: float) -> redis.Redis:
        nonlocal calls
        calls += 1
        raise redis.ConnectionError(url)

    monkeypatch.setattr("promptop.cache.redis_client.connect", connect)
    level = RedisLevel("redis://127.0.0.1:1/0", timeout_s=0.1, breaker=Breaker(threshold=3, rest_s=1000))
    for _ in range(50):
        assert level.get("d") is None
    assert calls == 3
    level.close()


def test_one_caller_tries_while_the_others_go_on() -> None:
    clock = Clock()
    breaker = Breaker(threshold=1, rest_s=1, clock=clock)
    assert breaker.failed("x")
    clock.now += 1
    allowed = []
    threads = [threading.Thread(target=lambda: allowed.append(breaker.allows())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(allowed) == 1


def test_a_cluster_keeps_finds_and_forgets(cluster: str, entry: CacheEntry) -> None:
    level = RedisLevel(cluster, timeout_s=5)
    for number in range(30):
        level.put(f"d{number}", replace(entry, model="a" if number % 2 else "b"))
    assert all(level.get(f"d{number}") is not None for number in range(30))
    assert level.stats().total == 30
    assert level.remove(model="a") == 15
    assert level.remove(tag="t", model="b") == 15
    level.put("x", entry)
    token = level.lock("x", 10)
    assert token
    assert level.lock("x", 10) == ""
    level.unlock("x", token)
    assert level.lock("x", 10)
    assert level.remove() == 1
    level.close()


@pytest.mark.parametrize("url", ["http://x", "redis://host:notaport", "redis+sentinel://a:1", "nonsense"])
def test_an_address_that_cannot_be_meant_is_refused_with_the_forms(url: str) -> None:
    with pytest.raises(UsageError, match="not an address") as caught:
        RedisLevel(url).get("d")
    assert "redis+cluster://" in caught.value.remedy


def test_a_password_never_appears_in_a_message() -> None:
    with pytest.raises(UsageError) as caught:
        RedisLevel("redis://user:hunter2@host:notaport").get("d")
    assert "hunter2" not in str(caught.value)
