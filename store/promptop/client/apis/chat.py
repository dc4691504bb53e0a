"""Chat Completions, OpenAI's and everybody's: the limit of tokens has two names, and reasoning has several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.providers.events import dicts, event_pieces, string

if TYPE_CHECKING:
    from promptop.client.accumulator import Answer
    from promptop.client.request import RunRequest
    from promptop.models import Model

OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def build(request: RunRequest, model: Model | None) -> tuple[dict[str, Any], list[str]]:
    """Return the body: parameters under the names that the model takes, those that it refuses left out."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [dict(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    changes: list[str] = []
    for name, value in request.parameters().items():
        takes = model.takes(name) if model is not None else None
        if name in OTHER_NAME and takes is False:
            body[OTHER_NAME[name]] = value
        elif takes is False:
            changes.append(f"{name} not sent: {clean_line(request.model, 60)} does not take it")
        else:
            body[name] = value
    return body, changes


def read(event: dict[str, Any], answer: Answer) -> None:
    """Take one chunk; the usage chunk has no choices, and some servers repeat usage in every chunk."""
    answer.model = string(event.get("model")) or answer.model
    answer.response_id = string(event.get("id")) or answer.response_id
    groq = event.get("x_groq")
    for usage in (event.get("usage"), groq.get("usage") if isinstance(groq, dict) else None):
        if isinstance(usage, dict):
            answer.usage = usage
    for choice in dicts(event.get("choices")):
        answer.finish_reason = string(choice.get("finish_reason")) or answer.finish_reason
        delta = choice.get("delta")
        for call in dicts(delta.get("tool_calls")) if isinstance(delta, dict) else ():
            function = call.get("function") or call.get("custom")
            if isinstance(function, dict):
                index = call.get("index")
                name, said = string(function.get("name")), string(function.get("arguments") or function.get("input"))
                answer.add_tool(index if isinstance(index, int) else 0, name, said)
    for piece in event_pieces(event):
        if piece.kind in {"text", "reasoning", "refusal"}:
            answer.add(piece.kind, piece.text)  # type: ignore[arg-type]  # narrowed by the line above
