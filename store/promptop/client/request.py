"""What is asked of a model: messages and parameters, independent of the names that an endpoint uses for them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptop.base.errors import UsageError
from promptop.routing.policy import Decision
from promptop.settings import Profile

MAX_STOPS = 4
"""OpenAI takes at most four stop sequences; other endpoints follow it."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One call to one model. A parameter that is None (or empty) is not sent."""

    profile: Profile
    model: str
    messages: Sequence[Message]
    max_tokens: int | None = None
    """Limit of output tokens, sent in the field that the model takes."""
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning_effort: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request body: tools, response_format, top_k …"""
    label: str = ""
    """What the pane and the tables call it; the model's name if empty."""
    prompt_name: str | None = None
    prompt_version: str | None = None
    cache: bool = False
    """Ask the response cache first, and keep the answer there."""
    retries: int = 2
    """Further attempts after 429, 5xx and failed connections; none after the first token."""
    decision: Decision | None = None
    """What routing decided of it; None where it was not routed."""

    @property
    def title(self) -> str:
        """Return the label, or the model's name."""
        return self.label or self.model

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that are set, by their OpenAI names (``max_tokens`` whatever the model calls it)."""
        values: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": list(self.stop) or None,
            "seed": self.seed,
            "reasoning_effort": self.reasoning_effort,
        }
        return {name: value for name, value in values.items() if value is not None} | dict(self.extra)


_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", "|": "|"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.)|$)", re.DOTALL)
_SHOWN = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "|": "\\|"}


def unescape(text: str) -> str:
    r"""Return text with ``\n \t \r \0 \\ \| \xHH \uHHHH`` replaced.

    Raises :class:`UsageError` at any other backslash.
    """

    def replaced(found: re.Match[str]) -> str:
        if code := found[1] or found[2]:
            return chr(int(code, 16))
        if found[3] in _SIMPLE:
            return _SIMPLE[found[3]]
        raise UsageError(
            f"{found[0]!s} is not an escape that stop sequences know.",
            r"Write \n, \t, \r, \xHH or \uHHHH; a backslash itself is \\.",
        )

    return _ESCAPE.sub(replaced, text)


def parse_stops(text: str) -> tuple[str, ...]:
    r"""Read stop sequences as they are typed: separated by ``|``, with escapes (``\n\n|END``).

    Raises :class:`UsageError` for an unknown escape or more than four sequences.
    """
    parts = re.findall(r"(?:\\.|[^|\\]|\\$)+", text, re.DOTALL)
    stops = tuple(unescape(part) for part in parts)
    check_stops(stops)
    return stops


def check_stops(stops: Sequence[str]) -> None:
    """Raise :class:`UsageError` if there are more than four stop sequences."""
    if len(stops) > MAX_STOPS:
        raise UsageError(
            f"{len(stops)} stop sequences were given; endpoints take at most {MAX_STOPS}.",
            "Leave some out; a line break is written \\n and a bar \\|.",
        )


def show_stops(stops: Sequence[str]) -> str:
    r"""Return stop sequences as they are typed; the inverse of :func:`parse_stops`."""

    def shown(char: str) -> str:
        if char in _SHOWN:
            return _SHOWN[char]
        if char.isprintable():
            return char
        return f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}"

    return "|".join("".join(map(shown, stop)) for stop in stops)


def text_of(messages: Sequence[Message]) -> str:
    """Return the text of messages, as it is counted; parts that are no text are not counted."""
    parts: list[str] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part]
    return "\n".join(parts)
