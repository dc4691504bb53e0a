"""What the simulated endpoint remembers of a request: what came, and when each event of the answer left."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event that left: its kind, its size, and the moment before its last byte was handed to the socket."""

    kind: str
    at_s: float
    """``time.perf_counter()`` of the server; on Linux the same clock in every process of the machine."""
    size: int
    """Bytes of the write that completed it."""


@dataclass(slots=True)
class Recorded:
    """One request and how it was answered. Moments are ``time.perf_counter()`` seconds, None until they come."""

    method: str
    path: str
    """Path with its query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Number of the TCP connection, from 1; the same number means that it was kept alive."""
    received_s: float
    """When the whole request had been read."""
    fault: str = ""
    status: int | None = None
    headers_s: float | None = None
    """When the response headers left."""
    events: list[SentEvent] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)
    """The response body as it left, before compression and chunking."""
    finished_s: float | None = None
    how: str = ""
    """``complete``, ``cut``, ``reset``, ``dropped`` or ``client gone``; empty while it runs."""

    @property
    def json(self) -> Any:
        """The body, parsed. Raises ValueError if it is not JSON."""
        return json.loads(self.body)

    def first(self, *kinds: str) -> float | None:
        """Return when the first event of one of these kinds left, or None."""
        return next((sent.at_s for sent in self.events if sent.kind in kinds), None)

    def last(self, *kinds: str) -> float | None:
        """Return when the last event of one of these kinds left, or None."""
        return next((sent.at_s for sent in reversed(self.events) if sent.kind in kinds), None)

    def summary(self) -> dict[str, Any]:
        """Return what can be shown as JSON: no header values and no bodies, since they may hold keys and prompts."""
        return {
            "method": self.method,
            "path": self.path,
            "headers": sorted(self.headers),
            "bytes": len(self.body),
            "connection": self.connection,
            "fault": self.fault,
            "status": self.status,
            "received_s": self.received_s,
            "headers_s": self.headers_s,
            "finished_s": self.finished_s,
            "how": self.how,
            "events": [[sent.kind, sent.at_s] for sent in self.events],
        }
