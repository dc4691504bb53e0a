"""From a request at the proxy to its row: the shim's own :class:`~promptop.capture.call.Call`, with three additions.

Its row feeds the metrics. A compressed answer is not inflated while it passes: its reads are kept with their times,
within :data:`HELD_COMPRESSED`, and read on the log's writer thread in small bites up to :data:`MOST_DECODED`, so that a
compression bomb costs neither the loop nor memory. And of a stream too long to be held, the parts go to that thread one
after another (an event costs about 15 µs to read): the loop that carries other calls only passes bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import perf_counter, sleep, time_ns
from typing import TYPE_CHECKING, Any

from promptop.capture.annotations import Annotation
from promptop.capture.call import Call, Labels, Sink
from promptop.capture.faults import count_fault
from promptop.capture.parse.response_parser import Digest
from promptop.capture.parse.stream_reader import StreamReader
from promptop.proxy.http.answer import UpstreamAnswer
from promptop.proxy.http.fields import Fields
from promptop.proxy.metrics import Metrics
from promptop.proxy.upstreams import Upstream

if TYPE_CHECKING:
    from promptop.log import Writer
    from promptop.log.write.pending import Finished

HELD_COMPRESSED = 1 << 20
"""Most bytes of a compressed answer that are kept for reading; a longer one passes and is read up to there."""
MOST_DECODED = 64 << 20
"""Most bytes that a compressed answer is inflated to; what follows is a bomb, or no answer of a model."""
MOST_WAITING = 16 << 20
"""Most bytes of streams, of all calls together, that wait to be read (about a second's work)."""
_BITE = 4096
BREATH_S = 20e-6
"""Pause of the writer's thread before each row, so that the loop finds the interpreter free when bytes come. At 1,000
calls a second the p99 to a call's first byte fell from 13.7 to 8.4 ms on a busy machine, the p90 from 7 to 4."""
BEHIND_S, LONGEST_PAUSE_S = 0.1, 0.5
"""Seconds of row making that may wait before calls do, and the longest that one call waits."""
_PRESSING = 2_000
"""Rows in the queue from which on nobody pauses."""


class Backlog:
    """Bytes of streams that wait to be read on the writer's thread, of all calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0

    def take(self, size: int) -> bool:
        """Add to it; False, and nothing added, if it is full."""
        with self._lock:
            if self._bytes + size > MOST_WAITING:
                return False
            self._bytes += size
            return True

    def give_back(self, size: int) -> None:
        """Take from it."""
        with self._lock:
            self._bytes -= size


class _Part:
    """Reads of a stream, on their way to its digest; the queue keeps their order."""

    def __init__(self, digest: Digest, reads: list[tuple[float, bytes]], size: int, backlog: Backlog) -> None:
        self._digest, self._reads, self._size, self._backlog = digest, reads, size, backlog

    def finish(self) -> Finished | None:
        """Read them; there is no row of this."""
        try:
            for now, data in self._reads:
                self._digest.feed(now, data)
        finally:
            self._reads = []
            self.__del__()
        return None

    def __del__(self) -> None:
        # Also for a part that a full queue has dropped.
        size, self._size = self._size, 0
        self._backlog.give_back(size)


class _Reader(StreamReader):
    """Hands what it cannot hold of an event stream to the log's writer instead of reading it where it passes."""

    __slots__ = ("backlog", "sink")

    sink: Sink
    backlog: Backlog

    def _watch(self, data: bytes, now: float) -> None:
        self._splitter = None  # nobody looks at a call's stamps while it runs; the digest has them for the row

    def _spill(self) -> None:
        if not self.is_stream:
            super()._spill()
            return
        reads, size = list(self._held), self._held_bytes
        self._held.clear()
        self._held_bytes = 0
        self._digest = self._digest or Digest(self._new_splitter())
        if self.backlog.take(size):
            self.sink.put(_Part(self._digest, reads, size, self.backlog))
        else:
            # It comes faster than it can be read. What is skipped here ends inside an event, perhaps.
            self._held.append((reads[-1][0], b"\n\n"))


class CallRecorder:
    """Makes the calls of one proxy."""

    def __init__(
        self,
        writer: Writer,
        metrics: Metrics,
        *,
        app: str | None = None,
        tags: Mapping[str, object] | None = None,
        simulated: bool = False,
    ) -> None:
        self.metrics = metrics
        self._writer = writer
        self._backlog = Backlog()
        self.labels = Labels(sink=writer, app=app, tags=tags or {}, simulated=simulated)

    def begin(
        self,
        upstream: Upstream,
        method: str,
        target: str,
        headers: Fields,
        body: bytes | None,
        note: Annotation | None,
        parsed: Any = None,
    ) -> ProxiedCall:
        """Start the clock of one attempt. ``headers`` and ``body`` are the request's as it is sent on."""
        path, _, query = target.partition("?")
        call = ProxiedCall(
            self.labels,
            method=method,
            host=upstream.host,
            port=upstream.port,
            path=path,
            query=query,
            userinfo=upstream.userinfo,
            headers=headers.copy(),
            body=body,
            parsed=parsed,
        )
        call.metrics, call.backlog, call.breathe = self.metrics, self._backlog, self._breathe
        call.note = note
        call.compressed = call.waited_s = call.settle = None
        return call

    def pause_s(self) -> float:
        """Return how long a new call should wait so that rows keep up with calls; 0 nearly always.

        The loop would otherwise never let the writer's thread at the interpreter: at 600 calls a second on a busy
        machine rows came seconds late, and 3,000 of 5,100 calls left none when the process was killed.
        """
        return min(max(0.0, getattr(self._writer, "behind_s", 0.0) - BEHIND_S), LONGEST_PAUSE_S)

    def _breathe(self) -> None:
        """Let the loop have the interpreter for a moment, unless rows pile up."""
        stats = getattr(self._writer, "stats", None)
        if stats is None or stats.queued < _PRESSING:
            sleep(BREATH_S)


class ProxiedCall(Call):
    """One attempt that went through the proxy."""

    __slots__ = ("backlog", "breathe", "compressed", "compressed_bytes", "metrics", "settle", "waited_s")

    metrics: Metrics
    backlog: Backlog
    breathe: Callable[[], None]
    compressed: list[tuple[bytes, float]] | None
    """Reads of a compressed answer and their times, to be inflated later; None for an answer that is not."""
    compressed_bytes: int
    waited_s: float | None
    settle: Callable[[int], None] | None
    """Takes the tokens that the server counted, on the writer's thread."""

    def waits(self, waited_s: float, settle: Callable[[int], None]) -> None:
        """Start the clock now: the call waited for a limiter until it could be sent, which is not a latency of its."""
        self.started_s, self.started_ms = perf_counter(), time_ns() // 1_000_000
        self.waited_s, self.settle = waited_s, settle

    def waited(self, waited_s: float) -> None:
        """Note how long a call waited that was not sent."""
        if self.waited_s is None:
            self.waited_s = waited_s

    def answered(self, answer: UpstreamAnswer, now_s: float) -> Callable[[bytes, float], None]:
        """Note the answer's head and return what takes each of its reads."""
        connected = answer.connected
        self.connect_s, self.tls_s, self.connection_reused = connected.connect_s, connected.tls_s, connected.reused
        kind = encoding = b""
        for name, value in answer.fields.raw:
            lower = name.lower()
            if lower == b"content-type":
                kind = value
            elif lower == b"content-encoding":
                encoding = value.strip().lower()
        content = (kind.decode("latin-1"), encoding.decode("latin-1"))
        self.responded(answer.status, answer.fields, now_s, content=content)
        if encoding not in (b"", b"identity"):
            self.compressed, self.compressed_bytes = [], 0
            return self._keep
        if self.is_stream:
            reader = _Reader(self.started_s, content_type=content[0], path=self.path, hold=self.labels.hold)
            reader.sink, reader.backlog = self.labels.sink, self.backlog
            self.reader = reader
        return self.feed

    def _keep(self, data: bytes, now_s: float) -> None:
        self.compressed_bytes += len(data)
        if self.compressed is not None and self.compressed_bytes <= HELD_COMPRESSED:
            self.compressed.append((data, now_s))

    @property
    def is_stream(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.reader is not None and self.reader.is_stream

    def finish(self) -> Finished:
        """Return the row, on the writer's thread, and tell it to the metrics."""
        self.breathe()
        if self.compressed:
            try:
                self._inflate(self.compressed)
            except Exception as error:  # noqa: BLE001 - the boundary: the row is written with what could be read
                count_fault("inflate", error)
            self.compressed = None
        done = super().finish()
        if self.waited_s is not None:
            done.row.queue_s = self.waited_s
        counted = (done.row.usage_input_tokens or 0) + (done.row.usage_output_tokens or 0)
        if self.settle is not None and counted:
            self.settle(counted)
        self.metrics.observe(done.row)
        return done

    def _inflate(self, reads: list[tuple[bytes, float]]) -> None:
        reader = self.reader
        if reader is None:
            return
        for data, now_s in reads:
            for start in range(0, len(data), _BITE):
                reader.feed(data[start : start + _BITE], now_s)
                if (reader.bytes_decoded or 0) > MOST_DECODED:
                    reader.bytes_received = self.compressed_bytes
                    return
        reader.bytes_received = self.compressed_bytes
