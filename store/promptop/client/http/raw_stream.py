"""The bytes of an answer as they came: kept beside it while it streams, bounded, to be looked at afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.capture.call import Call

MOST = 1 << 20
"""Bytes kept of an answer; what comes behind them is counted only."""


@dataclass(frozen=True, slots=True)
class Received:
    """The body of a response as it was read from the wire."""

    reads: tuple[tuple[float, bytes], ...]
    """Seconds since the start of the call, and the bytes of one read."""
    left_out: int = 0
    """Bytes that came behind those that are kept."""
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return sum(len(data) for _, data in self.reads) + self.left_out

    def decoded(self) -> list[tuple[float, str]]:
        """Return the text of each read, decompressed; characters cut between two reads stand in the later one."""
        import codecs

        from promptop.providers.stream.decompress import inflater

        encoding = next((value for name, value in self.headers if name.lower() == "content-encoding"), "identity")
        inflate = None if encoding == "identity" else inflater(encoding)
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        found = []
        for at_s, data in self.reads:
            plain = data if inflate is None else b"".join(inflate(data))
            if text := utf8.decode(plain):
                found.append((at_s, text))
        return found


class RawStreamRecorder:
    """Takes the reads of a call's attempts; those of an earlier attempt go when a later one brings something."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._reads: list[tuple[float, bytes]] = []
        self._headers: tuple[tuple[str, str], ...] = ()
        self._kept = self._left_out = 0

    def take(self, call: Call, data: bytes) -> None:
        """Keep one read; on the path of the caller's bytes."""
        if call is not self._call:
            self._call, self._reads, self._kept, self._left_out = call, [], 0, 0
            self._headers = tuple(call.response_headers)
        if self._kept + len(data) > MOST:
            self._left_out += len(data)
            return
        self._kept += len(data)
        at_s = call.reader.last_byte_s if call.reader is not None else None
        self._reads.append((at_s or 0.0, data))

    def whole(self) -> Received | None:
        """Return what came in the last attempt that brought something."""
        if self._call is None:
            return None
        return Received(tuple(self._reads), self._left_out, self._call.status, self._headers)
