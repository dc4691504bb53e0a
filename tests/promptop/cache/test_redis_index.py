"""Vector search in Redis: a stand-in that gives the commands' documented replies, and a real server without them."""

from __future__ import annotations

import fnmatch
import re
import struct
from typing import Any

import pytest
import redis
from tests.support.servers import Server

from promptop.cache.redis_client import GuardedRedis
from promptop.cache.semantic.level import Remembered, packed
from promptop.cache.semantic.redis_index import VectorMemory


def floats(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


class Search:
    """The part of a server with vector search that is used: hashes, one index, K nearest of a tag."""

    def __init__(self, *, resp3: bool) -> None:
        self.hashes: dict[str, dict[str, Any]] = {}
        self.expiries: dict[str, int] = {}
        self.indexes: dict[str, str] = {}
        self.resp3 = resp3

    def execute_command(self, *command: Any) -> Any:
        if command[0] == "FT._LIST":
            return list(self.indexes)
        if command[0] == "FT.CREATE":
            if command[1] in self.indexes:
                raise redis.ResponseError("Index already exists")
            self.indexes[command[1]] = command[command.index("PREFIX") + 2]
            return b"OK"
        assert command[0] == "FT.SEARCH"
        asked = re.fullmatch(r"\(@frame:\{(\w+)\}\)=>\[KNN (\d+) @vector \$v AS distance\]", command[2])
        assert asked, command[2]
        wanted = floats(command[command.index("PARAMS") + 3])
        rows = []
        for name, fields in self.hashes.items():
            if name.startswith(self.indexes[command[1]]) and fields["frame"] == asked[1]:
                distance = 1 - sum(a * b for a, b in zip(wanted, floats(fields["vector"]), strict=True))
                rows.append((distance, name, fields))
        rows = sorted(rows, key=lambda row: row[0])[: int(asked[2])]
        listed = [
            (name, {b"distance": str(d).encode(), b"digest": f["digest"].encode(), b"text": f["text"].encode()})
            for d, name, f in rows
        ]
        if self.resp3:
            return {b"total_results": len(rows), b"results": [{b"id": n, b"extra_attributes": f} for n, f in listed]}
        reply: list[Any] = [len(rows)]
        for name, values in listed:
            reply += [name.encode(), [part for pair in values.items() for part in pair]]
        return reply

    def pipeline(self, *, transaction: bool) -> Search:
        return self

    def hset(self, name: str, *, mapping: dict[str, Any]) -> None:
        self.hashes[name] = mapping

    def pexpire(self, name: str, left_ms: int) -> None:
        self.expiries[name] = left_ms

    def execute(self) -> None:
        """Everything was done at once."""

    def delete(self, name: Any) -> int:
        return int(self.hashes.pop(name, None) is not None)

    def scan_iter(self, pattern: str, count: int) -> list[str]:
        return [name for name in self.hashes if fnmatch.fnmatchcase(name, pattern)]

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("resp3", [False, True])
def test_prompts_are_kept_found_by_frame_and_forgotten(resp3: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Search(resp3=resp3)
    monkeypatch.setattr("promptop.cache.redis_client.connect", lambda url, timeout_s: server)
    memory = VectorMemory("redis://x", clock=lambda: 100.0)
    vectors = [packed(values) for values in ((1.0, 0.0), (0.8, 0.6), (0.0, 1.0))]
    for number, vector in enumerate(vectors):
        assert vector is not None
        memory.add(Remembered(f"d{number}", "frame:m-1", f"提示 {number}", vector, 160.0))
    assert vectors[0] is not None
    memory.add(Remembered("else", "frame:m-2", "other", vectors[0], None))
    found = memory.near("frame:m-1", vectors[0], 0.7)
    assert [(item.digest, item.text) for _, item in found] == [("d0", "提示 0"), ("d1", "提示 1")]
    assert [round(score, 3) for score, _ in found] == [1.0, 0.8]
    assert set(server.expiries.values()) == {60_000}
    again = VectorMemory("redis://x")
    assert [item.digest for _, item in again.near("frame:m-1", vectors[0], 0.9)] == ["d0"], (
        "an index that exists is used"
    )
    assert sorted(memory.digests()) == ["d0", "d1", "d2", "else"]
    VectorMemory("redis://x").drop("d0")
    assert [item.digest for _, item in memory.near("frame:m-1", vectors[0], 0.7)] == ["d1"]
    assert memory.stats()[0] == 3
    memory.clear()
    assert memory.stats()[0] == 0


def test_a_server_without_vector_search_is_found_out_and_this_process_compares(server: Server) -> None:
    memory = VectorMemory(server.url, timeout_s=5)
    vector = packed((1.0, 0.0))
    assert vector is not None
    memory.add(Remembered("d", "f", "text", vector, None))
    assert [item.digest for _, item in memory.near("f", vector, 0.9)] == ["d"]
    assert memory.stats() == (1, 12, "the server has no vector search: compared in this process")
    memory.close()


def test_a_server_that_is_away_costs_the_level_and_nothing_else() -> None:
    memory = VectorMemory("redis://127.0.0.1:1/0", timeout_s=0.1)
    vector = packed((1.0, 0.0))
    assert vector is not None
    memory.add(Remembered("d", "f", "text", vector, None))
    assert [item.digest for _, item in memory.near("f", vector, 0.9)] == ["d"]
    assert "out of use" in memory.stats()[2]
    assert isinstance(memory._server, GuardedRedis)
