"""An event stream as its client asked for it: without the usage chunk that only the log wanted."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from promptop.capture.include_usage import UsageHider
from promptop.providers.decompress import inflater


class StreamView:
    """An event stream without the usage chunk that the client did not ask for."""

    def __init__(self, response: web.StreamResponse) -> None:
        """Change the response's head as the body will be changed."""
        self._hider: UsageHider | None = UsageHider()
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        self._inflate = None
        if encoding not in ("", "identity"):
            # Sent although "identity" was asked for. Where it cannot be read here, the stream passes as it is.
            self._inflate = inflater(encoding)
            if self._inflate is None:
                self._hider = None
                return
            del response.headers["Content-Encoding"]
        response.headers.popall("Content-Length", None)

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
