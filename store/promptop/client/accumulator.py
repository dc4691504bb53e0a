"""What has come of an answer so far, whatever the API: text by kind, tool calls, how it ended, the last usage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from promptop.client.result import Delta, Kind


class StreamFailedError(Exception):
    """The server said inside the stream, under HTTP 200, that it failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True)
class Answer:
    """Grows as the events of a stream are read; ``tell`` gets each piece, in its order."""

    tell: Callable[[Delta], None]
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: dict[int, list[str]] = field(default_factory=dict)
    """Place of a tool call in the answer → its name and its arguments so far."""
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    usage: dict[str, Any] | None = None
    """The last usage object that was not null, as the server wrote it."""
    ended: bool = False
    """An event came that says that the answer is whole, whatever its finish reason."""

    @property
    def begun(self) -> bool:
        """Whether anything generated came."""
        return bool(self.text or self.reasoning or self.tools)

    def add(self, kind: Kind, text: str) -> None:
        """Take a piece of text; an empty one is none. A refusal is part of the text."""
        if not text:
            return
        (self.reasoning if kind == "reasoning" else self.text).append(text)
        self.tell(Delta(kind, text))

    def add_tool(self, place: int, name: str, arguments: str) -> None:
        """Take the name of a tool call, a piece of its arguments, or both."""
        new = place not in self.tools
        parts = self.tools.setdefault(place, ["", ""])
        parts[0] += name
        parts[1] += arguments
        shown = f"{name}(" if new and name else name
        if shown + arguments:
            self.tell(Delta("tool", shown + arguments))
