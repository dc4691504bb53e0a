"""Remembered prompts in a Redis server that has vector search, shared by a fleet: only where that was chosen.

Redis with its search module and Valkey with valkey-search speak the same ``FT.*`` commands. A server without them is
found out by the first look, says so in the stats, and this process compares what it has seen itself. Prompts lie in the
server in plain text, like the answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from promptop.cache.circuit_breaker import Breaker
from promptop.cache.redis_client import GuardedRedis
from promptop.cache.semantic.level import CANDIDATES, ProcessMemory, Remembered

_UNKNOWN = ("unknown command", "unknown subcommand")


class VectorMemory(ProcessMemory):
    """Prompts as hashes under ``prefix``, found by one index a length of vector; each expires by itself."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "promptop:",
        timeout_s: float = 0.25,
        max_entries: int = 2000,
        clock: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
        notice: Callable[[str], None] | None = None,
        server: GuardedRedis | None = None,
    ) -> None:
        """``max_entries`` bounds what this process compares itself where the server cannot."""
        super().__init__(max_entries=max_entries, clock=clock)
        self._prefix = f"{prefix}s:"
        self._now = clock
        self._server = server or GuardedRedis(
            url, "The Redis vector search", timeout_s=timeout_s, breaker=breaker, notice=notice
        )
        self._able: bool | None = None
        self._indexes: set[int] = set()

    @property
    def searches(self) -> bool:
        """Whether the server has vector search; asked once, and again while it cannot be reached."""
        if self._able is None:
            self._able = self._server.do(_asks, None)
        return bool(self._able)

    def _index(self, size: int) -> str:
        """Return the name of the index for vectors of ``size`` floats, made where there is none."""
        name = f"{self._prefix}index:{size}"
        if size not in self._indexes:
            schema = ["SCHEMA", "frame", "TAG", "vector", "VECTOR", "FLAT", "6", "TYPE", "FLOAT32"]
            schema += ["DIM", str(size), "DISTANCE_METRIC", "COSINE"]
            command = ["FT.CREATE", name, "ON", "HASH", "PREFIX", "1", f"{self._prefix}{size}:", *schema]
            if self._server.do(lambda client: _made(client, command), False):
                self._indexes.add(size)
        return name

    def add(self, item: Remembered) -> None:
        """Remember a prompt."""
        if not self.searches:
            super().add(item)
            return
        size = len(item.vector) // 4
        self._index(size)
        name = f"{self._prefix}{size}:{item.digest}"
        left_ms = None if item.expires_s is None else max(1, int((item.expires_s - self._now()) * 1000))

        def work(client: Any) -> None:
            pipe = client.pipeline(transaction=False)
            values = {"frame": _tag(item.frame), "text": item.text, "vector": item.vector, "digest": item.digest}
            pipe.hset(name, mapping=values)
            if left_ms is not None:
                pipe.pexpire(name, left_ms)
            pipe.execute()

        self._server.do(work, None)

    def near(self, frame: str, vector: bytes, least: float) -> list[tuple[float, Remembered]]:
        """Return the nearest prompts of a frame."""
        if not self.searches:
            return super().near(frame, vector, least)
        index = self._index(len(vector) // 4)
        query = f"(@frame:{{{_tag(frame)}}})=>[KNN {CANDIDATES} @vector $v AS distance]"
        command = ["FT.SEARCH", index, query, "PARAMS", "2", "v", vector, "RETURN", "3", "distance", "digest", "text"]
        command += ["DIALECT", "2"]
        reply = self._server.do(lambda client: client.execute_command(*command), None)
        found = []
        for fields in _documents(reply):
            score = 1.0 - float(fields.get("distance", "2"))
            if score >= least and fields.get("digest"):
                found.append((score, Remembered(fields["digest"], frame, fields.get("text", ""), vector, None)))
        return sorted(found, key=lambda each: -each[0])

    def drop(self, digest: str) -> None:
        """Forget a prompt."""
        super().drop(digest)

        def work(client: Any) -> None:
            # By any length of vector: another process may have made its index.
            for name in client.scan_iter(f"{self._prefix}*:{digest}", 1000):
                client.delete(name)

        self._server.do(work, None)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()

        def work(client: Any) -> None:
            for name in client.scan_iter(f"{self._prefix}*", 1000):
                client.delete(name)

        self._server.do(work, None)

    def digests(self) -> list[str]:
        """Return the keys of the answers to all remembered prompts."""

        def work(client: Any) -> list[str]:
            return [_text(name).rpartition(":")[2] for name in client.scan_iter(f"{self._prefix}*", 1000)]

        return [*super().digests(), *self._server.do(work, [])]

    def stats(self) -> tuple[int, int, str]:
        """Return entries and bytes, and whether the server or this process compares."""
        if not self.searches:
            entries, size, _ = super().stats()
            missing = "the server has no vector search: compared in this process"
            return entries, size, missing if self._able is False else f"out of use: {self._server.cause}"

        def work(client: Any) -> int:
            return sum(1 for _ in client.scan_iter(f"{self._prefix}*", 1000))

        found = self._server.do(work, None)
        state = "ok" if found is not None else f"out of use: {self._server.cause}"
        return found or 0, 0, state

    def close(self) -> None:
        """Close the connections; what the server holds stays."""
        super().clear()
        self._server.close()


def _asks(client: Any) -> bool:
    """Return whether the server knows the commands of vector search."""
    import redis

    try:
        client.execute_command("FT._LIST")
    except redis.ResponseError as error:
        if any(words in str(error).lower() for words in _UNKNOWN):
            return False
        raise
    return True


def _made(client: Any, command: list[str]) -> bool:
    import redis

    try:
        client.execute_command(*command)
    except redis.ResponseError as error:
        if "exist" not in str(error).lower():
            raise
    return True


def _tag(frame: str) -> str:
    """Return a frame as a tag that needs no escaping."""
    return "".join(char if char.isalnum() else "_" for char in frame)


def _documents(reply: Any) -> list[dict[str, str]]:
    """Return the fields of each document of an ``FT.SEARCH`` reply, as RESP2 or RESP3 write it."""
    if isinstance(reply, dict):
        rows: list[Any] = reply.get("results") or reply.get(b"results") or []
        pairs = [row.get("extra_attributes", row.get(b"extra_attributes", {})) for row in rows]
        return [{_text(name): _text(value) for name, value in row.items()} for row in pairs]
    if not isinstance(reply, list):
        return []
    listed: list[Any] = reply[2::2]
    return [{_text(row[at]): _text(row[at + 1]) for at in range(0, len(row) - 1, 2)} for row in listed]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
