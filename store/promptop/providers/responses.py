"""OpenAI's Responses API: messages become items, parameters have other homes, and some do not exist.

The answer's first generated token is the first ``*.delta`` event; ``response.created`` is none. Usage comes with the
last event, whichever of ``response.completed``, ``response.incomplete`` and ``response.failed`` that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.providers.api import (
    AnswerFacts,
    Api,
    Path,
    Piece,
    RequestSummary,
    Writing,
    dicts,
    string,
    table,
    take_inputs,
    take_message,
)
from promptop.providers.chat import function_pieces, read_common, read_usage, take_usage
from promptop.providers.usage import Usage

if TYPE_CHECKING:
    from promptop.models import Model

LACKS: Mapping[str, str] = dict.fromkeys(
    ("stop", "seed", "n", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs"),
    "the Responses API has no such field",
)
_LEADING = ("system", "developer")
_TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed"))
_FINAL = frozenset(("completed", "incomplete", "failed", "cancelled"))
_CHARGED = {"web_search_call": "web_searches", "file_search_call": "file_searches"}
_CHARGED_APART = {"image_generation_call": "images that a tool made", "code_interpreter_call": "a container for code"}


class Responses(Api):
    """OpenAI's Responses API."""

    name = "responses"
    title = "the Responses API"
    path = "/responses"
    paths = (Path("/responses", "chat", "responses"),)
    lacks = LACKS
    ours = frozenset({"store"})
    required = frozenset({"model", "messages", "input", "instructions", "stream"})

    def build(self, request: Writing, model: Model | None) -> tuple[dict[str, Any], list[str]]:
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
        for name, value in request.parameters.items():
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

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        read_common(body, asked)
        if body.get("instructions"):
            take_message("system", body["instructions"], asked)
        take_inputs(body.get("input", body.get("prompt")), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        kind = value.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            return True
        return value.get("object") == "response" or isinstance(value.get("output"), list)

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        kind = string(event.get("type"))
        place = event.get("output_index")
        place = place if type(place) is int else 0
        if kind.endswith(".delta"):
            if text := string(event.get("delta")):
                yield Piece(_kind(kind), text, place)
        elif kind == "response.output_item.added":
            item = table(event.get("item"))
            if string(item.get("type")).endswith("_call"):
                yield Piece("tool", string(item.get("name")) or string(item.get("type")), place, is_name=True)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        for place, item in enumerate(dicts(body.get("output"))):
            reasoning = item.get("type") == "reasoning"
            for part in dicts(item.get("content")):
                if text := string(part.get("text")):
                    yield Piece("reasoning" if reasoning else "text", text, place)
                if text := string(part.get("refusal")):
                    yield Piece("refusal", text, place)
            for part in dicts(item.get("summary")):
                if text := string(part.get("text")):
                    yield Piece("reasoning", text, place)
            if string(item.get("type")).endswith("_call"):
                yield from function_pieces(item, place)

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        kind = event.get("type")
        return isinstance(kind, str) and kind.endswith(".delta")

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        kind = string(value.get("type"))
        response = value.get("response") if kind.startswith("response.") else value
        if not isinstance(response, dict):
            return
        facts.named(response)
        if isinstance(response.get("usage"), dict) and response["usage"]:
            take_usage(self, response["usage"], facts)
        facts.fees.update(_fees(response.get("output")))
        status = string(response.get("status"))
        if response.get("background") is True:
            facts.settled_later = True
        if kind in _TERMINAL or (not kind.startswith("response.") and status in _FINAL):
            facts.done = True
        if kind in _TERMINAL or not kind.startswith("response."):
            reason = string(table(response.get("incomplete_details")).get("reason")) or status
            facts.ended(0, reason or kind.removeprefix("response."))
            if response.get("error"):
                facts.failed(response["error"])
            elif status == "failed" or kind == "response.failed":
                facts.failed({"code": "failed", "message": "the server reports that the response failed"})

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        return read_usage(raw, provider)


RESPONSES = Responses()


def _fees(output: Any) -> dict[str, Any]:
    """Return what the tools of an answer used that is charged apart from tokens."""
    found: dict[str, Any] = {}
    for item in dicts(output):
        kind = string(item.get("type"))
        if name := _CHARGED.get(kind):
            found[name] = found.get(name, 0) + 1
        elif kind in _CHARGED_APART:
            found["unpriced"] = _CHARGED_APART[kind]
    return found


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


def _kind(event: str) -> str:
    if "refusal" in event:
        return "refusal"
    if "reasoning" in event:
        return "reasoning"
    if "output_text" in event or "transcript" in event:
        return "text"
    return "audio" if "audio" in event else "tool"


def write_usage(read: int, output: int, *, cached: int = 0, written: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """Return a usage object; ``read`` includes cached tokens, ``output`` includes reasoning."""
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": read + output,
    }
