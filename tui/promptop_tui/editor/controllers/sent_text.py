"""What of a draft goes into a request: its figures are of that, not of the file."""

from __future__ import annotations

from dataclasses import dataclass

from promptop.base.errors import PromptopError
from promptop.prompts import parse


@dataclass(frozen=True, slots=True)
class SentText:
    """The part of a draft that is sent, and what limits the answer."""

    texts: tuple[str, ...] | None
    """Contents of the messages with variables filled by their samples; None for a draft that is sent as it stands."""
    most_output: int | None = None
    """The prompt's own limit of output tokens."""
    uncounted: str = ""
    """What is sent as well and is not in the figures: tools, images."""


def sent_of(text: str) -> SentText:
    """Read a draft for what is sent of it; front matter that cannot be read leaves the draft as it stands."""
    try:
        prompt = parse(text)
        texts = tuple(message.content for message in prompt.filled())
    except PromptopError:  # it is being typed
        return SentText(None)
    limits = (prompt.parameters.get(name) for name in ("max_tokens", "max_completion_tokens"))
    most = next((value for value in limits if isinstance(value, int) and value > 0), None)
    tools = prompt.parameters.get("tools")
    parts = sum(part.get("type") != "text" for message in prompt.messages for part in message.parts)
    named = [
        f"{number} {name}{'s' if number > 1 else ''}"
        for number, name in ((len(tools) if isinstance(tools, list) else 0, "tool"), (parts, "image or file"))
        if number
    ]
    return SentText(None if texts == (text,) else texts, most, ", ".join(named))
