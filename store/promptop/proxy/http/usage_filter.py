"""An event stream as its client asked for it: without the usage chunk that only the log wanted."""

from __future__ import annotations

from collections.abc import Iterator

from promptop.capture.include_usage import UsageHider
from promptop.providers.stream.decompress import inflater
from promptop.proxy.http.fields import Raw


class UsageFilter:
    """An event stream without the usage chunk that the client did not ask for."""

    def __init__(self, fields: Raw) -> None:
        """``fields`` are those of the answer's head; :attr:`fields` are what goes to the client instead."""
        self._hider: UsageHider | None = UsageHider()
        encoding = next((value for name, value in fields if name.lower() == b"content-encoding"), b"identity")
        kind = encoding.decode("latin-1").strip().lower()
        self._inflate = None
        dropped = {b"content-length"}
        self.fields = fields
        if kind not in ("", "identity"):
            # Sent although "identity" was asked for. Where it cannot be read here, the stream passes as it is.
            self._inflate = inflater(kind)
            if self._inflate is None:
                self._hider = None
                return
            dropped.add(b"content-encoding")
        self.fields = [field for field in fields if field[0].lower() not in dropped]

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what may be passed on, in bounded pieces."""
        if self._hider is None:
            yield chunk
            return
        for piece in (chunk,) if self._inflate is None else self._inflate(chunk):
            if shown := self._hider.feed(piece):
                yield shown

    def finish(self) -> bytes:
        """Return what was held back when the stream ended."""
        return b"" if self._hider is None else self._hider.finish()
