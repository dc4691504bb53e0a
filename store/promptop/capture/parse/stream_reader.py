"""The reader of a response: cheap stamps while it passes, everything else afterwards and elsewhere.

:class:`StreamReader` is what the transports and the proxy share. On the caller's path :meth:`StreamReader.feed` notes
the time and size of each read and looks for the first generated token, no more; the bytes themselves are kept (by
reference) and read on the log's writer thread by :meth:`StreamReader.digest`. Memory is bounded: beyond ``hold`` bytes
the oldest reads are digested at once, so that an endless stream costs a few microseconds an event and no growth.

Definitions (reference: docs/log.md): ``ttft`` is the first event that carries a generated token of any kind, ``ttfo``
the first visible one, ``duration`` the last event with generated content (a usage chunk does not move it), all in
seconds from ``started_s``. An event's time is the time of the read that completed it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

from promptop.capture.parse.response_parser import Digest, Splitter
from promptop.providers import NOTHING, VISIBLE, classify
from promptop.providers.stream.decompress import Inflater, inflater
from promptop.providers.stream.json_stream import LineSplitter, ListSplitter
from promptop.providers.stream.sse import EventSplitter

How = Literal["eof", "closed", "cancelled", "error", "abandoned"]
"""How a response ended: read to its end; closed by the caller before; the caller's task was cancelled; the connection
failed; dropped without being read or closed."""

HOLD = 256 * 1024
"""Bytes of a response kept unread until it ends (a streamed answer of about 900 tokens)."""
_READS = 4096
"""Reads kept so; a server may send single bytes, and each kept read costs a hundred."""
JSON_LIMIT = 1 << 20
"""Largest JSON body that is parsed whole; of larger ones (embeddings) the head and the tail are kept."""
MOST_DECODED = 64 << 20
"""Bytes to which a compressed response is inflated if they are more than a hundred times what came: a bomb."""
_BOMB = 100
EDGE = 64 * 1024
"""Bytes kept of the head and of the tail of such a body."""

_LATEST = 8192

_SSE, _LINES, _LIST, _JSON, _TEXT, _OPAQUE, _UNKNOWN = "sse", "lines", "list", "json", "text", "opaque", ""
_STREAMS = frozenset((_SSE, _LINES, _LIST))
_LINE_TYPES = frozenset(
    f"application/{name}"
    for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "stream+json", "json-seq")
)
# Cheaper than parsing an event: can it carry visible text at all? Escapes are spared by the quote before the name.
_MAY_BE_VISIBLE = re.compile(rb'"(?:content|text|delta|refusal|transcript|response)"\s*:\s*(?:"[^"]|\[)')


class StreamReader:
    """One response. Times given to it are absolute seconds of ``time.perf_counter``; times it gives are relative."""

    __slots__ = (
        "_decoded",
        "_digest",
        "_head",
        "_held",
        "_held_bytes",
        "_hold",
        "_inflater",
        "_kind",
        "_path",
        "_plain",
        "_settled",
        "_sniffed",
        "_splitter",
        "bytes_received",
        "first_byte_s",
        "first_event_s",
        "how",
        "last_byte_s",
        "started_s",
        "total_s",
        "ttfo_s",
        "ttft_s",
    )

    def __init__(
        self, started_s: float, *, content_type: str = "", content_encoding: str = "", path: str = "", hold: int = HOLD
    ) -> None:
        """``content_type`` and ``content_encoding`` are the response's headers; ``hold`` is in bytes.

        ``path`` was asked for: it tells of bodies whose shape says nothing.
        """
        self._path = path
        self.started_s = started_s
        self.bytes_received = 0
        self._decoded: int | None = 0
        self.first_byte_s: float | None = None
        self.last_byte_s: float | None = None
        self.first_event_s: float | None = None
        self.ttft_s: float | None = None
        self.ttfo_s: float | None = None
        self.total_s: float | None = None
        self.how: How | None = None
        self._kind = _kind_of(content_type)
        self._sniffed = self._kind in (_OPAQUE, _TEXT)
        self._inflater: Inflater | None = None
        self._plain = True
        self._settled = False
        """Nothing is left to look for on the caller's path: reads are only noted."""
        if content_encoding and content_encoding != "identity":
            self._plain = False
            self._inflater = inflater(content_encoding)
            if self._inflater is None:  # an encoding that this host cannot read
                self._kind = _OPAQUE
                self._sniffed = True
                self._decoded = None
        self._hold = hold
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._head = b""
        self._splitter: Splitter | None = self._new_splitter()
        self._digest: Digest | None = None

    @property
    def bytes_decoded(self) -> int | None:
        """Bytes of the body after decompression; None where it could not be decompressed."""
        return self.bytes_received if self._plain else self._decoded

    @property
    def held_bytes(self) -> int:
        """Bytes that are held to be read later."""
        return self._held_bytes + len(self._head)

    @property
    def is_stream(self) -> bool:
        """True once the response is known to be a stream of events."""
        return self._kind in _STREAMS

    @property
    def is_readable(self) -> bool:
        """Whether the body is one that could be read: no sound, and no compression that this host does not know."""
        return self._kind != _OPAQUE

    def feed(self, data: bytes, now_s: float) -> None:
        """Take one read of the response's body, as it came from the wire."""
        size = len(data)
        self.bytes_received += size
        now = self.last_byte_s = now_s - self.started_s
        if self._settled:
            self._held.append((now, data))
            self._held_bytes += size
            if self._held_bytes > self._hold or len(self._held) > _READS:
                self._spill()
            return
        if self.first_byte_s is None:
            self.first_byte_s = now
        if self._inflater is not None and self._decoded is not None:
            for part in self._inflater(data):
                self._decoded += len(part)
                self._take(part, now)
                if self._decoded > MOST_DECODED and self._decoded > _BOMB * self.bytes_received:
                    self._inflater, self._kind, self._decoded = None, _OPAQUE, None
                    break
        elif data:
            self._take(data, now)

    def finish(self, now_s: float, how: How) -> None:
        """Note the end; only the first call counts."""
        if self.how is None:
            self.how = how
            self.total_s = now_s - self.started_s

    def digest(self) -> Digest:
        """Read what is held and return everything that the response said. Off the caller's path; idempotent."""
        digest = self._digest or Digest(self._new_splitter())
        self._digest = digest
        if self._kind in _STREAMS:
            while self._held:
                digest.feed(*self._pop())
            digest.rest(self.last_byte_s or 0.0)
        elif self._kind in (_JSON, _TEXT):
            held = b"".join(data for _, data in self._held)
            self._held.clear()
            if held:
                digest.read_body(self._head, held, json_body=self._kind == _JSON, path=self._path)
        return digest

    def latest(self) -> bytes:
        """Return the last bytes that are held, 8 KiB about; nothing where they are compressed."""
        if not self._plain:
            return b""
        reads: list[bytes] = []
        size = 0
        for _, data in reversed(self._held):
            reads.append(data)
            size += len(data)
            if size > _LATEST:
                break
        return b"".join(reversed(reads))[-_LATEST:]

    def release(self) -> None:
        """Let go of everything that was held; stamps stay."""
        self._held.clear()
        self._head = b""
        self._splitter = self._digest = None

    def _take(self, data: bytes, now: float) -> None:
        if not self._sniffed:
            self._sniff(data)
        if self._kind == _OPAQUE:
            return
        self._held.append((now, data))
        self._held_bytes += len(data)
        if self._splitter is not None:
            if self._kind in _STREAMS:
                self._watch(data, now)
            elif self._kind != _UNKNOWN:
                self._splitter = None
        if self._held_bytes > self._hold or len(self._held) > _READS:
            self._spill()

    def _sniff(self, data: bytes) -> None:
        """Let the first byte that is not white space correct the content type: servers send either under the other."""
        start = data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
        if not start:
            return
        self._sniffed = True
        if start == b"[" and self._path.endswith(":streamGenerateContent"):
            self._kind = _LIST  # what Gemini streams without alt=sse
            self._splitter = self._new_splitter()
        elif self._kind == _LINES and start == b"{":
            pass
        elif start in b"{[":
            self._kind = _JSON
        elif start in b":dei" and self._kind in (_UNKNOWN, _JSON):
            self._kind = _SSE
        elif self._kind == _UNKNOWN:
            self._kind = _TEXT

    def _new_splitter(self) -> Splitter:
        return LineSplitter() if self._kind == _LINES else ListSplitter() if self._kind == _LIST else EventSplitter()

    def _watch(self, data: bytes, now: float) -> None:
        """Look for the first generated and the first visible token; stop looking when both are known."""
        splitter = self._splitter
        if splitter is None:
            return
        for name, payload in splitter.feed(data):
            if self.first_event_s is None:
                self.first_event_s = now
            if self.ttft_s is not None and not _MAY_BE_VISIBLE.search(payload):
                continue
            kind = classify(name, payload)
            if kind is not NOTHING and self.ttft_s is None:
                self.ttft_s = now
            if kind is VISIBLE and self.ttfo_s is None:
                self.ttfo_s = now
        if self.ttfo_s is not None:
            self._splitter = None
            self._settled = self._plain

    def _pop(self) -> tuple[float, bytes]:
        now, data = self._held.popleft()
        self._held_bytes -= len(data)
        return now, data

    def _spill(self) -> None:
        """Keep within ``hold``: digest the oldest reads of a stream, drop the middle of a large body."""
        if self._kind in _STREAMS:
            digest = self._digest or Digest(self._new_splitter())
            self._digest = digest
            while self._held_bytes > self._hold or len(self._held) > _READS:
                now, data = self._pop()
                digest.feed(now, data)
            return
        if len(self._held) > _READS:
            joined = b"".join(data for _, data in self._held)
            self._held = deque([(self._held[-1][0], joined)])
        limit = JSON_LIMIT if self._kind == _JSON else EDGE
        if self._held_bytes <= limit:
            return
        if not self._head:
            self._head = b"".join(data for _, data in self._held)[:EDGE]
        while self._held_bytes - len(self._held[0][1]) >= EDGE:
            self._pop()


def _kind_of(content_type: str) -> str:
    media = content_type.partition(";")[0].strip().lower()
    if media == "text/event-stream":
        return _SSE
    if media in _LINE_TYPES:
        return _LINES
    if media == "application/json" or media.endswith("+json"):
        return _JSON
    if not media or media in ("text/plain", "application/octet-stream"):
        return _UNKNOWN
    if media.startswith("text/"):
        return _TEXT
    return _OPAQUE
