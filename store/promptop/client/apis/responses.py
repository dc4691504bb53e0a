"""OpenAI's Responses API: messages become items, parameters have other homes, and some do not exist.

The answer's first generated token is the first ``*.delta`` event; ``response.created`` is none. Usage comes with the
last event, whichever of ``response.completed``, ``response.incomplete`` and ``response.failed`` that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.client.accumulator import StreamFailedError
from promptop.providers.events import dicts, event_pieces, string

if TYPE_CHECKING:
    from promptop.client.accumulator import Answer
    from promptop.client.request import RunRequest
    from promptop.models import Model

LACKS: Mapping[str, str] = dict.fromkeys(
    ("stop", "seed", "n", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs"),
    "the Responses API has no such field",
)
_LEADING = ("system", "developer")


def build(request: RunRequest, model: Model | None) -> tuple[dict[str, Any], list[str]]:
    """Return the body: system messages at the start are ``instructions``, the rest are items of ``input``.

    ``store`` is false: by default the server would keep the answer for 30 days.
    """
    leading = 0
    for message in request.messages:
        if message.get("role") not in _LEADING or not isinstance(message.get("content"), str):
            break
        leading += 1
    body: dict[str, Any] = {"model": request.model}
    if leading:
        body["instructions"] = "\n\n".join(str(message["content"]) for message in request.messages[:leading])
    body["input"] = [item for message in request.messages[leading:] for item in _items(message)]
    body |= {"stream": True, "store": False}
    changes: list[str] = []
    for name, value in request.parameters().items():
        if name in LACKS:
            changes.append(f"{name} not sent: {LACKS[name]}")
        elif name in {"max_tokens", "max_completion_tokens"}:
            body["max_output_tokens"] = value
        elif model is not None and model.takes(name) is False:
            changes.append(f"{name} not sent: {clean_line(request.model, 60)} does not take it")
        elif name == "reasoning_effort":
            body["reasoning"] = {"effort": value}
        elif name == "response_format":
            body["text"] = {"format": _format(value)}
        elif name == "tools":
            body["tools"] = [_tool(tool) for tool in value]
        elif name == "tool_choice":
            body["tool_choice"] = _tool(value) if isinstance(value, dict) else value
        elif name != "stream_options":
            body[name] = value
    return body, changes


def _items(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the items of one message: what was said, and tool calls or their results as items of their own."""
    role, content = str(message.get("role", "user")), message.get("content")
    if role == "tool":
        output = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        yield {"type": "function_call_output", "call_id": message.get("tool_call_id", ""), "output": output}
        return
    if isinstance(content, list):
        yield {"role": role, "content": [_part(part, role) for part in dicts(content)]}
    elif content:
        yield {"role": role, "content": content}
    for call in dicts(message.get("tool_calls")):
        function = call.get("function") or {}
        yield {
            "type": "function_call",
            "call_id": call.get("id", ""),
            "name": function.get("name", ""),
            "arguments": function.get("arguments", ""),
        }


def _part(part: dict[str, Any], role: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.get("text", "")}
    if kind == "image_url":
        image = part.get("image_url")
        given = image if isinstance(image, dict) else {"url": image}
        return {"type": "input_image", "image_url": given.get("url"), "detail": given.get("detail", "auto")}
    return part


def _format(value: Any) -> Any:
    """Return ``text.format``: a JSON schema stands in it directly, not one level deeper."""
    if isinstance(value, dict) and isinstance(value.get("json_schema"), dict):
        return {"type": "json_schema", **value["json_schema"]}
    return value


def _tool(tool: Any) -> Any:
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        return {"type": tool.get("type", "function"), **tool["function"]}
    return tool


def read(event: dict[str, Any], answer: Answer) -> None:
    """Take one event; raise :class:`StreamFailedError` where the server reports that it failed."""
    kind = string(event.get("type"))
    if kind == "error":
        raise StreamFailedError(string(event.get("code")) or "error", string(event.get("message")) or json.dumps(event))
    response = event.get("response")
    if isinstance(response, dict):
        _take_head(response, kind, answer)
    place = event.get("output_index")
    index = place if isinstance(place, int) else 0
    item = event.get("item")
    if kind == "response.output_item.added" and isinstance(item, dict) and string(item.get("type")).endswith("_call"):
        answer.add_tool(index, string(item.get("name")) or string(item.get("type")), "")
    for piece in event_pieces(event):
        if piece.kind == "tool":
            answer.add_tool(index, "", piece.text)
        elif piece.kind in {"text", "reasoning", "refusal"}:
            answer.add(piece.kind, piece.text)  # type: ignore[arg-type]  # narrowed by the line above


def _take_head(response: dict[str, Any], kind: str, answer: Answer) -> None:
    answer.model = string(response.get("model")) or answer.model
    answer.response_id = string(response.get("id")) or answer.response_id
    if isinstance(response.get("usage"), dict):
        answer.usage = response["usage"]
    if kind == "response.failed":
        error = response.get("error")
        found = error if isinstance(error, dict) else {}
        raise StreamFailedError(
            string(found.get("code")) or "failed", string(found.get("message")) or "no reason given"
        )
    if kind in {"response.completed", "response.incomplete"}:
        answer.ended = True
        details = response.get("incomplete_details")
        reason = string(details.get("reason")) if isinstance(details, dict) else ""
        answer.finish_reason = reason or string(response.get("status")) or kind.removeprefix("response.")
