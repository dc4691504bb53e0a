"""What a provider bills beside the text: tokens that wrap each message, prime the answer, and describe tools.

Documented per family. OpenAI wraps each message in three tokens (start, separator, end), adds the tokens of the role
and of a name (and one more for the name), and primes the answer with three; checked against recorded usage in the
tests. For the others the figure is that of their published chat template, or a guess, which ``source`` says; the
counts of such models are estimates anyway, and the overhead is learned with the factors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop import models


@dataclass(frozen=True, slots=True)
class Overhead:
    """Tokens beside the text of a request."""

    per_message: float
    """Around each message, the role included."""
    per_name: int
    """For a ``name`` beside its own tokens."""
    priming: int
    """Once a request: what opens the answer, and what opens the text."""
    source: str
    """measured, template or guess."""


FAMILIES: dict[str, Overhead] = {
    "openai": Overhead(4, 1, 3, "measured"),
    "claude-4": Overhead(4, 0, 4, "guess"),
    "claude": Overhead(4, 0, 4, "guess"),
    "gemini": Overhead(0, 0, 1, "guess"),
    "gemma": Overhead(5, 0, 4, "template"),  # <start_of_turn>role\n … <end_of_turn>\n; <bos>, model turn
    "llama": Overhead(
        5, 0, 5, "template"
    ),  # <|start_header_id|>role<|end_header_id|>\n\n … <|eot_id|>; <|begin_of_text|>
    "qwen": Overhead(5, 0, 3, "template"),  # <|im_start|>role\n … <|im_end|>\n
    "deepseek": Overhead(1, 0, 2, "template"),  # <｜begin▁of▁sentence｜> … <｜User｜> … <｜Assistant｜>
    "mistral": Overhead(2, 0, 1, "template"),  # <s>[INST] … [/INST]
    "phi": Overhead(4, 0, 2, "template"),
}
_OTHER = Overhead(4, 0, 3, "guess")
_EMBEDDING = Overhead(0, 0, 0, "measured")

_FUNCTIONS = {  # OpenAI renders tools as TypeScript in a system message; tokens around each part, o200k and cl100k
    "o200k_base": (7, 3, -3, 3, 3, 12),
    "cl100k_base": (10, 3, -3, 3, 3, 12),
}


def overhead(model: str) -> Overhead:
    """Return the overhead of a model's family."""
    known = models.find(model)
    name = (known.id if known else model).lower()
    if "embedding" in name or "-embed" in name:
        return _EMBEDDING
    return FAMILIES.get(known.family if known is not None else "", _OTHER)


def content_texts(message: Mapping[str, Any]) -> list[str]:
    """Return the texts of a chat message: its content, or the text parts of it; tool calls as name and arguments."""
    content = message.get("content")
    texts = [content] if isinstance(content, str) else []
    if isinstance(content, list):
        texts += [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
    for call in message.get("tool_calls") or ():
        function = call.get("function", {}) if isinstance(call, dict) else {}
        texts += [str(function[key]) for key in ("name", "arguments") if function.get(key)]
    return texts


def chat_tokens(
    messages: Sequence[Mapping[str, Any]],
    model: str,
    measure: Callable[[str], int],
    tools: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Return the prompt tokens that the provider bills for a request; ``measure`` counts a text for the model."""
    cost = overhead(model)
    total = float(cost.priming)
    for message in messages:
        total += cost.per_message + sum(measure(text) for text in content_texts(message))
        name = message.get("name")
        if isinstance(name, str) and name:
            total += cost.per_name + measure(name)
    if tools:
        total += tool_tokens(tools, model, measure)
    return round(total)


def tool_texts(tools: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[str, ...]:
    """Return the texts that :func:`tool_tokens` measures for these models, each once: to be counted elsewhere."""
    found: dict[str, None] = {}

    def note(text: str) -> int:
        found[text] = None
        return 0

    for name in names:
        tool_tokens(tools, name, note)
    return tuple(found)


def tool_tokens(tools: Sequence[Mapping[str, Any]], model: str, measure: Callable[[str], int]) -> int:
    """Return the tokens of tool definitions: by OpenAI's published recipe, elsewhere those of their JSON."""
    known = models.find(model)
    recipe = _FUNCTIONS.get(known.encoding) if known is not None and known.family == "openai" else None
    if recipe is None:
        return sum(measure(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    opening, properties, enums, item, each, ending = recipe
    total = ending
    for tool in tools:
        function = tool.get("function", tool)
        described = str(function.get("description") or "").rstrip(".")
        total += opening + measure(f"{function.get('name', '')}:{described}")
        fields = (function.get("parameters") or {}).get("properties") or {}
        if not fields:
            continue
        total += properties
        for name, given in fields.items():
            schema = given if isinstance(given, dict) else {}
            total += each
            if schema.get("enum"):
                total += enums + sum(item + measure(str(value)) for value in schema["enum"])
            text = str(schema.get("description") or "").rstrip(".")
            total += measure(f"{name}:{schema.get('type', '')}:{text}")
    return total
