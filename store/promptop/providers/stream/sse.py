"""Server-sent events from bytes, as the WHATWG specification has them, in bounded memory.

The same bytes give the same events however they are split. Line ends may be LF, CRLF or CR; a byte order mark at the
start is dropped; comments and unknown fields are ignored; several ``data`` lines are joined by a newline; an event that
the stream's end cuts off is not dispatched. Text is decoded per event, so that a character split across reads is whole
again, and broken UTF-8 becomes U+FFFD. An event above :data:`MAX_EVENT` bytes is skipped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_EVENT = 8 << 20
"""Bytes of the largest event that is read, an image among them; larger ones (a hostile server's) are skipped."""

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cuts a byte stream into ``(event name, data)`` pairs; both are bytes, the name is empty where none was given."""

    __slots__ = ("_after_cr", "_first", "_last", "_parts", "_size", "_skipping", "oversized")

    def __init__(self) -> None:
        # Reads of an unfinished event are joined once, when it ends: a server that sends single bytes costs no more.
        self._parts: list[bytes] = []
        self._size = 0
        self._last = b""
        self._after_cr = False
        self._first = True
        self._skipping = False
        self.oversized = 0
        """Events skipped because they were larger than :data:`MAX_EVENT`."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the events that ``data`` completes. The iterator must be exhausted before the next call."""
        if b"\r" in data or self._after_cr:
            data = self._newlines(data)
        if b"\n\n" not in data and not (self._last == b"\n" and data.startswith(b"\n")):
            self._hold(data)
            return
        self._parts.append(data)
        *blocks, rest = b"".join(self._parts).split(b"\n\n") if len(self._parts) > 1 else data.split(b"\n\n")
        self._parts.clear()
        self._size = 0
        self._last = b""
        skipping, self._skipping = self._skipping, False
        self._hold(rest)
        for block in blocks:
            first, self._first = self._first, False
            if skipping or len(block) > MAX_EVENT:
                skipping = False
                self.oversized += 1
                continue
            event = parse_block(block.removeprefix(_BOM) if first else block)
            if event is not None:
                yield event

    def single(self, data: bytes) -> bytes | None:
        """Return the data of a read that is one event of one line and nothing else, as most are; else None.

        What it returns is taken; where it returns None, nothing has been, and :meth:`feed` takes the read.
        """
        if (
            self._size
            or self._after_cr
            or not data.startswith(b"data: ")
            or not data.endswith(b"\n\n")
            or data.count(b"\n") != 2
            or b"\r" in data
            or len(data) > MAX_EVENT
        ):
            return None
        self._first = False
        return data[6:-2]

    def _hold(self, data: bytes) -> None:
        """Keep the beginning of an event; of one that grows too large only what shows where it ends."""
        if not data:
            return
        self._parts.append(data)
        self._size += len(data)
        self._last = data[-1:]
        if self._size > MAX_EVENT + 1:  # the last byte may be half of the blank line
            self._skipping = True
            self._parts = [self._last]
            self._size = 1

    def _newlines(self, data: bytes) -> bytes:
        """Turn CR and CRLF into LF; a CR at the end of a read counts at once, an LF that follows it does not."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_block(block: bytes) -> tuple[bytes, bytes] | None:
    """Return ``(event name, data)`` of the lines of one event, or None where they carry no data."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return b"", block[6:]
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, colon, value = line.partition(b":")
        if not field:
            continue
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None
