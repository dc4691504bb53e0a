"""Lean peers for measuring a proxy: a server of event streams and a client, both cheaper than what stands between.

Run as a program it is the server: ``python proxy_peers.py PORT``. The request's field ``user``, which every proxy
passes on, says what is answered: ``n=50&wait=10&gap=2`` is a stream of 50 events, the first after 10 ms, 2 ms apart;
``n=0`` is a JSON answer. ``python proxy_peers.py PORT UPSTREAM`` is a relay instead, which copies bytes to that port
and back and reads none of them: what one more hop costs on this machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT = json.dumps(
    {
        "id": "chatcmpl-9aBcDeFgHiJkLmNoPqRsTuVwXyZ01",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "choices": [{"index": 0, "delta": {"content": " token"}, "logprobs": None, "finish_reason": None}],
    }
).encode()
_USAGE = {"prompt_tokens": 1200, "completion_tokens": 50, "total_tokens": 1250}
_LAST = json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": _USAGE}).encode()
_JSON = json.dumps(
    {
        "id": "chatcmpl-9",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello " * 60}, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
).encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ASKED = re.compile(rb"(n|wait|gap)=([\d.]+)")
_BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello world " * 100}]}
_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """Answers one request after another on a connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(buffer, 0, end)
        if len(buffer) < end + 4 + (int(found[1]) if found else 0):
            return
        self._buffer = b""
        asked = {key: float(value) for key, value in _ASKED.findall(buffer, end)}
        if not asked.get(b"n"):
            size = len(_JSON)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
            self._write(head + _JSON)
            return
        pace = asked.get(b"wait", 0.0) / 1e3, asked.get(b"gap", 0.0) / 1e3
        task = asyncio.ensure_future(self._stream(int(asked[b"n"]), *pace))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stream(self, count: int, wait: float, gap: float) -> None:
        if wait:
            await asyncio.sleep(wait)
        event = _chunk(b"data: " + _EVENT + b"\n\n")
        self._write(_HEAD + event)
        for number in range(1, count):
            if gap:
                await asyncio.sleep(gap)
            elif number % 8 == 0:
                await asyncio.sleep(0)
            self._write(event)
        self._write(_chunk(b"data: " + _LAST + b"\n\n") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()


class Client(asyncio.Protocol):
    """Sends one request after another on a connection and notes when the first body byte and the end came."""

    def __init__(self) -> None:
        self._done: asyncio.Future[float] | None = None
        self._tail = b""
        self._buffer: bytes | None = None
        self.first_s: float | None = None
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self.received += len(data)
        if self._buffer is not None:  # the head is not complete
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._buffer[:end], self._buffer[end + 4 :]
            found = _LENGTH.search(head)
            self.status = int(head[9:12])
            self._left = int(found[1]) if found else -1
            self._buffer = None
        if data and self.first_s is None:
            self.first_s = now
        if self._left >= 0:
            self._left -= len(data)
            over = self._left <= 0
        else:
            self._tail = (self._tail + data)[-5:]
            over = self._tail == b"0\r\n\r\n"
        if over and self._done is not None and not self._done.done():
            self._done.set_result(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("connection lost"))

    async def ask(self, request: bytes) -> tuple[float, float]:
        """Send a request; return seconds to the first byte of the body and to its end. Raises ConnectionError."""
        self.first_s, self._tail, self._buffer, self.status = None, b"", b"", 0
        self._done = asyncio.get_running_loop().create_future()
        started = perf_counter()
        self.transport.write(request)
        ended = await self._done
        if self.status != 200:
            raise ConnectionError(f"status {self.status}")
        assert self.first_s is not None
        return self.first_s - started, ended - started


async def connect(port: int) -> Client:
    """Return a client connected to a loopback port."""
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client


def request(asked: str) -> bytes:
    """Return the bytes of a chat completion request: streamed unless ``asked`` is ``n=0``."""
    body = json.dumps({**_BODY, **({} if asked == "n=0" else _STREAMED), "user": asked}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer sk-benchmark\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Hop(asyncio.Protocol):
    """One side of a connection that is copied to another one."""

    def __init__(self, upstream: int = 0) -> None:
        self._upstream = upstream
        self._waiting: list[bytes] = []
        self._write: Callable[[bytes], None] = self._waiting.append
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._upstream:
            task = asyncio.ensure_future(self._connect())
            self._tasks.add(task)

    async def _connect(self) -> None:
        _, other = await asyncio.get_running_loop().create_connection(Hop, "127.0.0.1", self._upstream)
        other._write, self._write = self.transport.write, other.transport.write
        other._close, self._close = self.transport.close, other.transport.close  # type: ignore[method-assign]
        for data in self._waiting:
            self._write(data)

    def data_received(self, data: bytes) -> None:
        self._write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._close()

    def _close(self) -> None:
        """Close the other side; nothing while there is none."""


async def serve(port: int, upstream: int = 0) -> None:
    """Serve until killed: answers, or with ``upstream`` what that port answers."""
    side = (lambda: Hop(upstream)) if upstream else Upstream
    server = await asyncio.get_running_loop().create_server(side, "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(serve(*map(int, sys.argv[1:])))
