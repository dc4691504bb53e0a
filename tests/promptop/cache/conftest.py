"""A real Redis-compatible server, alone and as a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.support.servers import Server
from tests.support.waits import until

from promptop.cache import CacheEntry


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a running server with 8 MB that refuses to grow beyond it."""
    one = Server(tmp_path, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
    one.start()
    yield one
    one.kill()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Return the address of a cluster of three nodes."""
    nodes: list[Server] = []
    try:
        for number in range(3):
            folder = tmp_path / str(number)
            folder.mkdir()
            nodes.append(Server(folder, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"))
            nodes[-1].start()
        _join(nodes)
        yield f"redis+cluster://127.0.0.1:{nodes[0].port}"
    finally:
        for node in nodes:
            node.kill()


def _join(nodes: list[Server]) -> None:
    """Give each node a third of the slots and wait until all of them know it."""
    edges = [0, 5461, 10923, 16384]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER ADDSLOTSRANGE", edges[number], edges[number + 1] - 1)
            if number:
                clients[0].execute_command("CLUSTER MEET", "127.0.0.1", nodes[number].port)
        until(lambda: all("cluster_state:ok" in _info(c) and "known_nodes:3" in _info(c) for c in clients))


def _info(client: redis.Redis) -> str:
    found = client.execute_command("CLUSTER INFO")
    if isinstance(found, dict):
        return "\n".join(f"{name}:{value}" for name, value in found.items())
    return found.decode() if isinstance(found, bytes) else str(found)


@pytest.fixture
def entry() -> CacheEntry:
    """Return a small answer."""
    return CacheEntry(
        200, (("content-type", "application/json"),), b'{"a": "\xe4\xbd\xa0"}', model="m", tags=("t", "u")
    )
