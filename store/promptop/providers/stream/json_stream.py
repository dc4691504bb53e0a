"""Streams of JSON objects that are no server-sent events: one a line (Ollama), or the items of one list (Gemini).

The same bytes give the same objects however they are split. An object above :data:`MAX_EVENT` bytes is skipped and
counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptop.providers.stream.sse import MAX_EVENT

_LINE_END = re.compile(rb"[\r\n]+")
_MARKS = re.compile(rb'["\\{}\]]')


class LineSplitter:
    """Cuts a byte stream into its lines; gives each as an event without a name."""

    __slots__ = ("_parts", "_size", "_skipping", "oversized")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False
        self.oversized = 0
        """Lines skipped because they were larger than :data:`MAX_EVENT`."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the lines that ``data`` completes. The iterator must be exhausted before the next call."""
        if b"\n" not in data and b"\r" not in data:
            self._hold(data)
            return
        *lines, rest = _LINE_END.split(b"".join((*self._parts, data)))
        self._parts.clear()
        self._size = 0
        skipping, self._skipping = self._skipping, False
        for line in lines:
            if skipping or len(line) > MAX_EVENT:
                skipping = False
                self.oversized += 1
            elif line.strip():
                yield b"", line.strip()
        self._hold(rest)

    def rest(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield a last line that no line end follows."""
        line = b"".join(self._parts).strip()
        self._parts.clear()
        self._size = 0
        if line and not self._skipping:
            yield b"", line

    def _hold(self, data: bytes) -> None:
        if data and not self._skipping:
            self._parts.append(data)
            self._size += len(data)
            if self._size > MAX_EVENT:
                self._skipping = True
                self._parts.clear()
                self._size = 0


class ListSplitter:
    """Cuts the top-level objects out of one JSON list that grows; gives each as an event without a name."""

    __slots__ = ("_depth", "_escaped", "_parts", "_quoted", "_size", "_skipping", "closed", "oversized")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._quoted = self._escaped = self._skipping = False
        self.closed = False
        """The list's end came."""
        self.oversized = 0
        """Objects skipped because they were larger than :data:`MAX_EVENT`."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the objects that ``data`` completes. The iterator must be exhausted before the next call."""
        start = 0
        skip_at = 0 if self._escaped else -1
        self._escaped = False
        for found in _MARKS.finditer(data):
            at = found.start()
            if at == skip_at:
                continue
            mark = data[at]
            if self._quoted:
                if mark == 0x5C:  # backslash: the byte behind it means nothing
                    skip_at = at + 1
                    self._escaped = skip_at == len(data)
                elif mark == 0x22:
                    self._quoted = False
            elif mark == 0x22:
                self._quoted = True
            elif mark == 0x7B:
                if self._depth == 0:
                    start = at
                self._depth += 1
            elif mark == 0x7D and self._depth:
                self._depth -= 1
                if self._depth == 0:
                    self._hold(data[start : at + 1])
                    whole, skipped = b"".join(self._parts), self._skipping
                    self._parts.clear()
                    self._size, self._skipping = 0, False
                    if not skipped:
                        yield b"", whole
            elif mark == 0x5D and self._depth == 0:
                self.closed = True
        if self._depth:
            self._hold(data[start:])

    def rest(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield nothing: an object that is cut off is none."""
        yield from ()

    def _hold(self, data: bytes) -> None:
        if self._skipping:
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_EVENT:
            self._skipping = True
            self.oversized += 1
            self._parts.clear()
