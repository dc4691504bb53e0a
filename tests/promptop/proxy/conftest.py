"""A proxy in a thread in front of the simulated endpoint, or of a server that sends whatever bytes a test wants."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from promptop.log import LogReader, StoredRow, writer_for
from promptop.proxy import Options, ProxyLimits, ProxyThread
from promptop.proxy.server import Proxy
from promptop.proxy.upstreams import parse


class Served:
    """A running proxy and its log."""

    def __init__(self, thread: ProxyThread, log: Path) -> None:
        self.thread = thread
        self.log = log
        self.port = thread.port
        self.url = f"http://127.0.0.1:{thread.port}"
        self.base_url = self.url + "/v1"

    @property
    def proxy(self) -> Proxy:
        assert self.thread.proxy is not None
        return self.thread.proxy

    def rows(self, wanted: int = 0) -> list[StoredRow]:
        """Return the rows of calls that have ended, the oldest first; wait until there are as many as wanted."""
        eventually(lambda: self.proxy.active == 0, "calls are still in flight")
        until = monotonic() + 10
        while True:
            assert writer_for(self.log).flush(10)
            with LogReader(self.log) as reader:
                found = reader.latest(5000)[::-1]
            if len(found) >= wanted or monotonic() > until:
                return found
            sleep(0.01)

    def figure(self, name: str, **labels: str) -> float:
        """Return a counter or gauge, summed over its other labels."""
        series = self.proxy.snapshot().get(name, [])
        return sum(values[0] for found, values in series if labels.items() <= dict(found).items())


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts a proxy in front of upstreams; all of them end with the test."""
    with ExitStack() as stack:
        number = 0

        def start(*upstreams: str, limits: ProxyLimits | None = None, **options: Any) -> Served:
            nonlocal number
            number += 1
            log = tmp_path / f"log{number}.db"
            thread = ProxyThread(
                Options(
                    upstreams=[parse(text) for text in upstreams],
                    port=0,
                    log_path=log,
                    limits=limits or ProxyLimits(grace_s=2),
                    **{"loop": "asyncio", **options},
                )
            )
            stack.callback(lambda: writer_for(log).close())
            stack.enter_context(thread)
            return Served(thread, log)

        yield start


class Raw:
    """A server that hands every connection to a function, in a thread of its own."""

    def __init__(self, handler: Callable[[socket.socket, int], None]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._handler = handler
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError):
            self._handler(connection, number)

    def close(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._accepting, *self._threads):
            thread.join(5)


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[socket.socket, int], None]], Raw]]:
    """Return what starts a server from a function of a connected socket and the connection's number."""
    servers: list[Raw] = []

    def start(handler: Callable[[socket.socket, int], None]) -> Raw:
        servers.append(Raw(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def read_request(connection: socket.socket) -> bytes:
    """Return one request with a Content-Length (or without a body); empty at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def exchange(port: int, request: bytes, *, timeout: float = 10.0) -> bytes:
    """Send bytes on a connection of their own and return everything that comes until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(request)
        received = b""
        with suppress(ConnectionResetError):
            while more := connection.recv(1 << 16):
                received += more
        return received


def eventually(true: Callable[[], bool], message: str = "it did not become true", timeout: float = 10.0) -> None:
    """Wait until something is true; fail after ``timeout`` seconds."""
    until = monotonic() + timeout
    while not true():
        assert monotonic() < until, message
        sleep(0.005)


@pytest.fixture(name="read_request")
def _read_request() -> Callable[[socket.socket], bytes]:
    return read_request


@pytest.fixture(name="exchange")
def _exchange() -> Callable[..., bytes]:
    return exchange


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., None]:
    return eventually
