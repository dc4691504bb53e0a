"""Server-sent events from bytes, as the WHATWG specification has them, in bounded memory.

The same bytes give the same events however they are split. Line ends may be LF, CRLF or CR; a byte order mark at the
start is dropped; comments and unknown fields are ignored; several ``data`` lines are joined by a newline; an event that
the stream's end cuts off is not dispatched. Text is decoded per event, so that a character split across reads is whole
again, and broken UTF-8 becomes U+FFFD. An event above :data:`MAX_EVENT` bytes is skipped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_EVENT = 1 << 20
"""Bytes of the largest event that is read; larger ones (a hostile server's) are skipped."""

_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Cuts a byte stream into ``(event name, data)`` pairs; both are bytes, the name is empty where none was given."""

    __slots__ = ("_after_cr", "_first", "_skipping", "_tail", "oversized")

    def __init__(self) -> None:
        self._tail = b""
        self._after_cr = False
        self._first = True
        self._skipping = False
        self.oversized = 0
        """Events skipped because they were larger than :data:`MAX_EVENT`."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the events that ``data`` completes. The iterator must be exhausted before the next call."""
        if b"\r" in data or self._after_cr:
            data = self._newlines(data)
        buffer = self._tail + data if self._tail else data
        # A blank line can only be completed by the new bytes or by the last old one.
        start = 0
        search = max(0, len(self._tail) - 1)
        while (end := buffer.find(b"\n\n", search)) >= 0:
            block = buffer[start:end]
            start = search = end + 2
            first, self._first = self._first, False
            if self._skipping or len(block) > MAX_EVENT:
                self._skipping = False
                self.oversized += 1
                continue
            if first:
                block = block.removeprefix(_BOM)
            event = parse_block(block)
            if event is not None:
                yield event
        rest = buffer[start:] if start else buffer
        if len(rest) > MAX_EVENT + 1:  # the last byte may be half of the blank line
            # One byte is enough to see the blank line that ends the skipped event.
            self._skipping = True
            self._first = False
            rest = rest[-1:]
        self._tail = rest

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
