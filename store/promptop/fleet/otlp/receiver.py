"""The receiver: OTLP over HTTP from instrumented programs into the log.

An answer of 200 is given after the commit, so what is not answered is sent again by the exporter, and a span or event
that comes twice is one row. Bodies of requests are bounded before and after decompression, and so are those that are
read at a time; beyond that clients are told when to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from promptop.base.errors import PromptopError
from promptop.fleet.otlp import messages
from promptop.fleet.otlp.events import EventReader
from promptop.fleet.otlp.spans import SpanReader
from promptop.log.transfer.imports import RowsInserter
from promptop.log.write.pending import Bodies, Finished

PORT = 4318
MOST_BYTES = 16 << 20
"""Largest request body, bytes after decompression."""
_MOST_WAITING = 16
"""Requests that are read at a time; each may hold :data:`MOST_BYTES`."""
_RETRY_S = "2"
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


@dataclass(slots=True)
class Received:
    """What came in since the start."""

    rows: int = 0
    known: int = 0
    """Calls that the log had already."""
    spans: int = 0
    events: int = 0
    metrics: int = 0
    """Metrics, which are sums and make no rows."""
    refused: int = 0
    """Entries that are calls and could not be read."""
    last_error: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


Admit = Callable[[str | None, str | None], str]
"""Takes ``Host`` and ``Origin``; returns why a request is refused, empty if it is not."""


class Receiver:
    """Answers OTLP requests and writes rows; one log, one event loop, one writing thread at a time."""

    def __init__(
        self, log: Path, *, admit: Admit, token: str | None = None, bodies: Bodies = "off", most_bytes: int = MOST_BYTES
    ) -> None:
        self.received = Received()
        self._admit, self._token = admit, token
        self._spans, self._events = SpanReader(bodies=bodies != "off"), EventReader()
        self._inserter = RowsInserter(log, bodies)
        self._writing = threading.Lock()
        self._places = asyncio.Semaphore(_MOST_WAITING)
        self.app = web.Application(client_max_size=most_bytes)
        for signal in ("traces", "metrics", "logs"):
            self.app.router.add_post(f"/v1/{signal}", self._handle)

    def close(self) -> None:
        """Close the log."""
        with self._writing:
            self._inserter.close()

    async def _handle(self, request: web.Request) -> web.Response:
        refusal = self._admit(request.headers.get("Host"), request.headers.get("Origin"))
        if refusal:
            return _plain(403, refusal)
        if self._token is not None:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {self._token}".encode()):
                return _plain(401, "A bearer token is needed: OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN")
        kind = request.content_type
        if kind not in (_PROTOBUF, _JSON):
            return _plain(415, "Send application/x-protobuf or application/json.")
        if request.headers.get("Content-Encoding", "identity") not in ("identity", "gzip", "deflate"):
            return _plain(415, "Send gzip, or no compression.")
        if self._places.locked():
            return _plain(503, "Too many requests at a time.", retry=True)
        async with self._places:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                return _plain(413, f"A request may have {self.app._client_max_size} bytes.")
            except web.RequestPayloadError:
                return _plain(400, "The body is cut short, or is not compressed as its header says.")
            return await asyncio.to_thread(self._take, request.path.rpartition("/")[2], body, kind == _JSON)

    def _take(self, name: str, body: bytes, is_json: bool) -> web.Response:
        signal: messages.Signal = "traces" if name == "traces" else "logs" if name == "logs" else "metrics"
        try:
            entries = messages.entries(signal, body, is_json=is_json)
        except messages.UnreadableError as error:
            return _plain(400, str(error))
        with self._writing:
            try:
                refused = self._write(signal, entries)
            except (PromptopError, sqlite3.Error, OSError) as error:
                self.received.last_error = error.cause if isinstance(error, PromptopError) else str(error)
                return _plain(503, "The log cannot be written now.", retry=True)
        self.received.last_error = ""
        why = "spans of calls without ids or a start" if refused else ""
        answer = messages.empty_answer(signal, refused, why, is_json=is_json)
        return web.Response(body=answer, content_type=_JSON if is_json else _PROTOBUF)

    def _write(self, signal: messages.Signal, entries: list[messages.Entry]) -> int:
        """Write the calls among the entries; return how many could not be read."""
        counts = self.received
        if signal == "metrics":
            counts.metrics += len(entries)
            return 0
        if signal == "traces":
            calls, refused = self._spans.read(entries)
            self._insert([call.finished for call in calls])
            self._spans.have_written(calls)
            counts.spans += len(entries)
        else:
            rows = [row for row in map(self._events.row_of, entries) if row is not None]
            self._insert([Finished(row) for row in rows])
            refused = 0
            counts.events += len(entries)
        counts.refused += refused
        return refused

    def _insert(self, finished: list[Finished]) -> None:
        added, known = self._inserter.insert(finished)
        self.received.rows += added
        self.received.known += known


def _plain(status: int, text: str, *, retry: bool = False) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers={"Retry-After": _RETRY_S} if retry else None)


async def serve(receiver: Receiver, host: str, port: int, ready: Callable[[int], object], stop: asyncio.Event) -> None:
    """Listen until ``stop``; ``ready`` is told the port. Raises :class:`PromptopError` if it cannot listen."""
    runner = web.AppRunner(receiver.app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise PromptopError(f"{host}:{port} cannot be listened on ({why}).", "Choose another --listen.") from None
        ready(int(runner.addresses[0][1]))
        await stop.wait()
    finally:
        await runner.cleanup()


@contextmanager
def receiving(receiver: Receiver, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve on a thread for the time of a ``with`` block and yield the port."""
    started, ports = threading.Event(), list[int]()
    ends: list[Callable[[], object]] = []

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))

        def ready(port: int) -> None:
            ports.append(port)
            started.set()

        await serve(receiver, host, 0, ready, stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="promptop-collect", daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield ports[0]
    finally:
        with contextlib.suppress(RuntimeError):
            ends[0]()
        thread.join(10)
        receiver.close()
