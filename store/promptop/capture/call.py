"""One attempt of one call: stamped while it runs, made into its row afterwards on the log's writer thread.

Transports and proxy drive a :class:`Call`: made just before the request leaves, then :meth:`Call.responded`,
:meth:`Call.feed` for each read, and :meth:`Call.end` once; or :meth:`Call.failed` where no response came. ``end`` puts
the call into the log's queue, and the writer's thread calls :meth:`Call.finish`. None of them raises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from promptop.capture.annotations import Annotation, current_note
from promptop.capture.faults import count_fault
from promptop.capture.heartbeat import Heartbeat
from promptop.capture.parse.stream_reader import HOLD, How, StreamReader

if TYPE_CHECKING:
    from promptop.capture.caching.outcome import CacheFact
    from promptop.capture.parse.large_request import LargeRequest
    from promptop.log.row import Row
    from promptop.log.write.pending import Bodies, Finished, Pending
    from promptop.log.write.writer import Writer
    from promptop.routing.policy import Decision, Policy

clock = time.perf_counter
"""Seconds, monotonic: the clock of every stamp."""

Headers = Iterable[tuple[str, str]]
"""Fields of a request or a response; iterated again and again, so no generator."""


class RawHeaders:
    """Fields as bytes, decoded once, when somebody looks: the row is made when nobody waits."""

    __slots__ = ("_decoded", "_raw")

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._decoded: list[tuple[str, str]] | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        if self._decoded is None:
            self._decoded = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._raw]
        return iter(self._decoded)


_PARSED_AGAIN = 64 * 1024
"""Bytes of a request from which its JSON is parsed again for the row rather than held twice until then."""

_live: WeakSet[Call] = WeakSet()
"""Calls under way: the end of the process ends them, so that they leave a row."""
_heartbeat = Heartbeat(lambda: _live)
_hooked = False


class Sink(Protocol):
    """Where calls go: :class:`promptop.log.Writer`."""

    def put(self, item: Pending) -> None:
        """Take an item without blocking or raising."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What all calls of one client have in common, and where their rows go."""

    sink: Sink
    app: str | None = None
    tags: Mapping[str, object] = field(default_factory=dict)
    bodies: Bodies | None = None
    """What is kept of prompts and answers; None: what the log says."""
    simulated: bool = False
    include_usage: bool = True
    """Ask for usage in streams where the caller says nothing of it."""
    hold: int = HOLD
    """Bytes of a response kept unread until it ends."""
    routing: Policy | None = None
    """What decides which model a request goes to; None: the one that it names."""

    @property
    def mode(self) -> Bodies:
        """What is kept of bodies."""
        if self.bodies is not None:
            return self.bodies
        mode: Bodies = getattr(self.sink, "bodies", "off")
        return mode


class Call:
    """One attempt. Seconds in its properties count from its start; None where it has not come so far."""

    __slots__ = (
        "__weakref__",
        "_ended",
        "_process",
        "body",
        "bytes_sent",
        "cache",
        "connect_s",
        "connection_reused",
        "decision",
        "error",
        "finished",
        "headers",
        "host",
        "labels",
        "large",
        "lost",
        "method",
        "note",
        "parsed",
        "path",
        "port",
        "query",
        "reader",
        "response_headers",
        "retried",
        "started_ms",
        "started_s",
        "status",
        "tls_s",
        "ttfb_s",
        "userinfo",
    )

    def __init__(
        self,
        labels: Labels,
        *,
        method: str,
        host: str,
        port: int | None,
        path: str,
        query: str = "",
        userinfo: str = "",
        headers: Headers = (),
        body: bytes | None = None,
        parsed: Any = None,
        bytes_sent: int | None = None,
    ) -> None:
        """Start the clock. ``body`` is the request's JSON if it is at hand, ``parsed`` its value if that is, too."""
        self.labels = labels
        self.method = method
        self.host = host
        self.port = port
        self.path = path
        self.query = query
        self.userinfo = userinfo
        self.headers = headers
        self.body = body
        self.parsed = parsed
        self.bytes_sent = len(body) if body is not None else bytes_sent
        self.response_headers: Headers = ()
        self.status: int | None = None
        self.reader: StreamReader | None = None
        self.error: BaseException | str | None = None
        self.connect_s: float | None = None
        self.tls_s: float | None = None
        self.connection_reused: bool | None = None
        self.ttfb_s: float | None = None
        self.large: LargeRequest | None = None
        """What was read of a request's body as it passed, where it is too large to be held."""
        self.cache: CacheFact | None = None
        """What the response cache had to do with the answer, if it was asked."""
        self.decision: Decision | None = None
        """What routing decided, where it was on."""
        self.retried = False
        """The shim itself sent the request again, without what it had added."""
        self.lost = False
        """The response could not be watched to its end: what the row does not know of it is NULL."""
        self.finished: Row | None = None
        """The row, once the log's writer has made it."""
        self._ended = False
        self._process = os.getpid()
        # Before anyone else can see the call: the heartbeat and a screen's clock look at it from other threads.
        self.started_ms = time.time_ns() // 1_000_000
        self.started_s = clock()
        self.note: Annotation | None = current_note()
        if self.note is not None:
            self.note._begin(self)
        if not _hooked:
            _hook()
        _live.add(self)
        if not _heartbeat.awake:
            _heartbeat.wake()
        self.started_s = clock()  # what was done meanwhile is no time of the endpoint's

    # ── stamps for a caller that looks while the call runs ──

    @property
    def time_to_first_chunk_s(self) -> float | None:
        """First event of the stream."""
        return self.reader.first_event_s if self.reader else None

    @property
    def ttft_s(self) -> float | None:
        """First generated token of any kind."""
        return self.reader.ttft_s if self.reader else None

    @property
    def ttfo_s(self) -> float | None:
        """First visible token."""
        return self.reader.ttfo_s if self.reader else None

    @property
    def total_s(self) -> float | None:
        """End of the response."""
        return self.reader.total_s if self.reader else None

    @property
    def ended(self) -> bool:
        """Whether the attempt is over."""
        return self._ended

    # ── the hot path ──

    def looked_up(self, fact: CacheFact) -> None:
        """Note what the cache had to do with the call. The look-up of a miss is no time of the endpoint's: the clock
        of every stamp starts after it."""
        self.cache = fact
        if fact.level == "miss":
            self.started_s += fact.lookup_s

    def responded(
        self,
        status: int,
        headers: Headers,
        now_s: float | None = None,
        *,
        content: tuple[str, str] | None = None,
    ) -> None:
        """Note the response's head. ``headers`` are kept by reference; ``content`` is its type and encoding."""
        try:
            self.ttfb_s = (clock() if now_s is None else now_s) - self.started_s
            self.status = status
            self.response_headers = headers
            kind, encoding = content if content is not None else _content(headers)
            self.reader = StreamReader(
                self.started_s,
                content_type=kind,
                content_encoding=encoding,
                path=self.path,
                hold=self.labels.hold,
            )
        except Exception as error:  # noqa: BLE001 - the boundary: nothing of ours reaches the host
            count_fault("response", error)

    def feed(self, data: bytes, now_s: float | None = None) -> None:
        """Note one read of the response's body as it came from the wire."""
        try:
            if self.reader is not None:
                self.reader.feed(data, clock() if now_s is None else now_s)
            if self.note is not None and self.note.tee is not None:
                self.note.tee(self, data)
        except Exception as error:  # noqa: BLE001 - the boundary
            self.reader = None
            self.lost = True
            count_fault("read", error)

    def failed(self, error: BaseException | str, now_s: float | None = None) -> None:
        """End a call that got no response."""
        self.end("error", error, now_s)

    def end(self, how: How, error: BaseException | str | None = None, now_s: float | None = None) -> None:
        """End the call and give it to the log; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        if self._process != os.getpid():
            return  # inherited by a fork: the parent's calls are the parent's
        try:
            _live.discard(self)
            self.error = error
            if self.reader is None:
                self.reader = StreamReader(self.started_s)
            self.reader.finish(clock() if now_s is None else now_s, how)
            if self.body is not None and len(self.body) > _PARSED_AGAIN:
                self.parsed = None
            self.labels.sink.put(self)
        except Exception as fault:  # noqa: BLE001 - the boundary
            count_fault("end", fault)

    # ── the log's queue ──

    @property
    def held_bytes(self) -> int:
        """Bytes of the request and of the answer that are held for the row."""
        return len(self.body or b"") + (self.reader.held_bytes if self.reader is not None else 0)

    def lighten(self) -> None:
        """Let go of the request's body for want of memory: the row has its parameters, and no estimate of its input."""
        body, self.body = self.body, None
        if body is not None:
            from promptop.capture.parse.request_parser import at_the_ends

            self.parsed = at_the_ends(body)

    def outline(self) -> Row:
        """Return what can be told of the call without reading prompt or answer, should the process end now."""
        from promptop.capture.parse.outline import outline

        return self.finished or outline(self)

    # ── the writer's thread ──

    def finish(self) -> Finished:
        """Read what was kept and return the row (and bodies, where they are kept). Lets go of all that was held."""
        from promptop.capture.parse.row_builder import finished

        try:
            done = finished(self)
            self.finished = done.row
            if self.note is not None:
                try:
                    self.note._finished(done.row)
                except Exception as error:  # noqa: BLE001 - the row is worth more than its echo
                    count_fault("note", error)
            return done
        finally:
            self.body = self.parsed = self.large = None
            self.headers = self.response_headers = ()
            self.userinfo = self.query = ""
            self.error = self.note = None
            if self.reader is not None:
                self.reader.release()


def prepare(sink: Sink) -> None:
    """Let a sink that is a log get ready for the first row now, and not when it comes."""
    from promptop.log.write import lifecycle

    if load_row_builder not in lifecycle.before_first:
        lifecycle.before_first.append(load_row_builder)
        lifecycle.beside.append(_ship)
    warm = getattr(sink, "warm", None)
    if warm is not None:
        warm()


def _ship(writer: Writer) -> None:
    """Ship the settings' log from this process, if the settings say so."""
    from promptop.settings import load

    found = load()
    if found.fleet.in_process and found.log_path().absolute() == writer.path:
        from promptop.fleet.background import start

        start(writer.path, found.fleet)


def load_row_builder() -> None:
    """Load what making a row needs: 70 ms of modules and prices."""
    from promptop import providers
    from promptop.capture.parse import row_builder  # noqa: F401 - loaded here to be at hand
    from promptop.models import catalogue
    from promptop.models.pricing import price
    from promptop.providers.estimate import tokens
    from promptop.tokens.scripts import chars_by_script

    catalogue.as_of()
    providers.load_added()
    tokens("gpt-4o", chars_by_script("a"))
    price(["gpt-4o"], input_tokens=1, output_tokens=1)


def _content(headers: Headers) -> tuple[str, str]:
    """Return the type and the encoding of a body."""
    kind = encoding = ""
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type":
            kind = value
        elif lower == "content-encoding":
            encoding = value
    return kind, encoding


def _hook() -> None:
    """End calls with the process, whether it exits or a signal ends it."""
    global _hooked  # noqa: PLW0603
    _hooked = True
    from promptop.log.write import lifecycle

    lifecycle.before_end.append(_end_live)


def _end_live() -> None:
    try:
        calls = list(_live)
    except RuntimeError as error:  # another thread begins a call just now
        count_fault("end", error)
        return
    for call in calls:
        call.end("abandoned")
