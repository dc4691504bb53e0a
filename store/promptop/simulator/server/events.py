"""One server-sent event, before it is framed into bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a stream: what it says, what kind of event it is, and the pause before it."""

    payload: Mapping[str, Any] | str | bytes
    """A JSON object; or text or bytes that go out as they are after ``data:``."""
    kind: str = "other"
    """``start``, ``reasoning``, ``content``, ``finish``, ``usage``, ``done`` or ``other``."""
    name: str = ""
    """The ``event:`` line; empty for none."""
    delay_s: float = 0.0
    """Seconds after the event before, at speed 1."""


class BadRequestError(Exception):
    """A 400 as a provider words it: message, parameter, code."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
