"""What has come of an answer so far, whatever the API: text by kind, tool calls, how it ended, the last usage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from promptop import providers
from promptop.base.sanitize import whole_text
from promptop.client.result import Delta, Kind
from promptop.providers.api import AnswerFacts, Api, Piece


class StreamFailedError(Exception):
    """The server said inside the stream, under HTTP 200, that it failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True)
class AnswerAccumulator:
    """Grows as the events of a stream are read; ``tell`` gets each piece, in its order."""

    tell: Callable[[Delta], None]
    has_choices: bool = False
    """Whether several answers were asked for: then each stays apart."""
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: dict[int, list[str]] = field(default_factory=dict)
    """Place of a tool call in the answer → its name and its arguments so far."""
    facts: AnswerFacts = field(default_factory=AnswerFacts)
    """Model, usage, ends and errors, read as the log reads them."""

    refused: bool = False
    """Whether text came in the field that an API keeps for refusals."""
    others: dict[int, list[str]] = field(default_factory=dict)
    """Choices after the first → their text; nobody is told of their pieces, which come between those of the first."""

    _halves: dict[str, str] = field(default_factory=dict)
    """Kind → the first half of a surrogate pair that came last, until the second is there."""

    @property
    def begun(self) -> bool:
        """Whether anything generated came."""
        return bool(self.text or self.reasoning or self.tools)

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.facts.finish[min(self.facts.finish)] if self.facts.finish else None

    @property
    def model(self) -> str | None:
        """The model that answers, as the server names it."""
        return self.facts.model or None

    @property
    def response_id(self) -> str | None:
        """The answer's id."""
        return self.facts.id or None

    @property
    def ended(self) -> bool:
        """Whether an event said that the answer is whole, whatever its finish reason."""
        return self.facts.done

    def read(self, event: dict[str, Any], api: Api) -> None:
        """Take one event of the stream; ``api`` is the one that was asked."""
        found = providers.take(event, self.facts, api)
        if found is not None:
            self._say(found.event_pieces(event))

    def read_whole(self, body: Any, api: Api) -> None:
        """Take an answer that came in one piece although a stream was asked for: some servers know no streams."""
        for item in body if isinstance(body, list) else [body]:
            if isinstance(item, dict) and (found := providers.take(item, self.facts, api)) is not None:
                self._say(found.body_pieces(item))

    def check(self) -> None:
        """Raise :class:`StreamFailedError` if the server said that it failed.

        Asked for at the end and not at once: behind the error there may be the usage of what came before it.
        """
        if self.facts.error is not None:
            raise StreamFailedError(*self.facts.error)

    def add(self, kind: Kind, text: str) -> None:
        """Take a piece of text; an empty one is none. A refusal is part of the text."""
        text = self._halves.pop(kind, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            # A character beyond the first 65,536 may come in two halves, each escaped in a delta of its own.
            text, self._halves[kind] = text[:-1], text[-1]
        text = whole_text(text)
        if not text:
            return
        self.refused = self.refused or kind == "refusal"
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

    def _say(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if piece.kind == "tool":
                self.add_tool(piece.place, *((piece.text, "") if piece.is_name else ("", piece.text)))
            elif self.has_choices and piece.place > 0 and piece.kind in {"text", "refusal"}:
                self.others.setdefault(piece.place, []).append(whole_text(piece.text))
            elif piece.kind in {"text", "reasoning", "refusal"}:
                self.add(piece.kind, piece.text)  # type: ignore[arg-type]  # narrowed by the line above
