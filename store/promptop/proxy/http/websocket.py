"""WebSocket frames as they pass (RFC 6455): the text messages of one direction, for whoever counts."""

from __future__ import annotations

from collections.abc import Iterator

LARGEST_MESSAGE = 4 << 20
"""Bytes of the largest message that is put together; a larger one passes unread."""
_CONTINUED, _TEXT, _BINARY = 0, 1, 2


class Messages:
    """Reads one direction of a connection, fed as it comes."""

    __slots__ = ("_buffer", "_held", "_skip", "_text")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._held = bytearray()
        self._text = False
        """A text message is being put together."""
        self._skip = 0
        """Bytes of a frame that nobody reads."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each text message that is whole now."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        self._buffer += data
        while (frame := self._frame()) is not None:
            final, kind, payload = frame
            if kind >= 8:
                continue  # pings and the like may stand between the parts of a message
            if kind != _CONTINUED:
                self._held.clear()
                self._text = kind == _TEXT
            if self._text:
                self._held += payload
                if len(self._held) > LARGEST_MESSAGE:
                    self._text = False
            if final:
                if self._text:
                    yield bytes(self._held)
                self._held.clear()
                self._text = False

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(buffer) < 2 + size:
                return None
            length, start = int.from_bytes(buffer[2 : 2 + size], "big"), 2 + size
        masked = buffer[1] & 0x80
        end = start + (4 if masked else 0) + length
        first = buffer[0]
        if length > LARGEST_MESSAGE:
            self._skip = max(0, end - len(buffer))
            del buffer[:end]
            return bool(first & 0x80), _BINARY, b""
        if len(buffer) < end:
            return None
        payload = bytes(buffer[start + 4 : end]) if masked else bytes(buffer[start:end])
        if masked and payload:
            key = bytes(buffer[start : start + 4]) * (length // 4 + 1)
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key[:length], "big")).to_bytes(length, "big")
        del buffer[:end]
        return bool(first & 0x80), first & 0x0F, payload
