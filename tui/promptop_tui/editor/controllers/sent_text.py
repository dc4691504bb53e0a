"""What of a draft goes into a request: its figures are of that, not of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.texts import tr, tr_n
from promptop.prompts import parse
from promptop.tokens.overhead import content_texts


@dataclass(frozen=True, slots=True)
class SentText:
    """The part of a draft that is sent, and what limits the answer."""

    texts: tuple[str, ...] | None
    """Texts of the messages with variables filled by their samples; None for a draft that is sent as it stands."""
    most_output: int | None = None
    """The prompt's own limit of output tokens."""
    uncounted: str = ""
    """What is sent as well and is not in the figures: images, files, a response schema."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Definitions of tools, whose tokens depend on the model."""


def sent_of(text: str) -> SentText:
    """Read a draft for what is sent of it; one that cannot be read or rendered yet is counted as it stands."""
    try:
        prompt = parse(text)
        messages = prompt.openai()
    except PromptopError:  # it is being typed
        return SentText(None)
    texts = tuple(said for message in messages for said in _texts(message))
    limits = (prompt.parameters.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
    most = next((value for value in limits if isinstance(value, int) and value > 0), None)
    given = prompt.parameters.get("tools")
    tools = tuple(tool for tool in given if isinstance(tool, Mapping)) if isinstance(given, Sequence) else ()
    others = sum(part.get("type") != "text" for message in prompt.messages for part in message.parts)
    named = [tr_n("{n} image or file", "{n} images or files", others)] if others else []
    form = prompt.parameters.get("response_format")
    if isinstance(form, Mapping) and form.get("json_schema"):
        named.append(tr("the response schema"))
    return SentText(None if texts == (text,) else texts, most, ", ".join(named), tools)


def _texts(message: Mapping[str, Any]) -> list[str]:
    name = message.get("name")
    return [*content_texts(message), *([name] if isinstance(name, str) and name else [])]
