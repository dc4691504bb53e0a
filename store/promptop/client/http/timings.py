"""Where the time of a call went below HTTP: stamps that the transport (:mod:`.connection`) takes.

A :class:`Stages` is put into :data:`current` before a request is sent; whatever is sent in that task fills it in. Times
are seconds; None is a stage that did not happen, or that could not be seen.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Stages:
    """One attempt."""

    pool_s: float | None = None
    """Waited for a connection of the pool: until one began to be opened, or one that was open was taken."""
    dns_s: float | None = None
    """Name look-up; a part of the log's ``connect_s``. None for an address in digits and for a kept connection."""
    sent_s: float | None = None
    """Until the request's body had left, from when the transport got it."""
    http_version: str = ""
    bytes_sent: int | None = None
    """Request body on the wire."""
    content_encoding: str = ""
    """Of the response."""


current: ContextVar[Stages | None] = ContextVar("promptop_stages", default=None)
