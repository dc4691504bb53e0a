"""Anthropic's own Messages API: system text apart, ``max_tokens`` required, usage in two events, thinking in blocks.

Running counts in ``message_delta`` are cumulative: the last one stands for all. ``input_tokens`` leave out what was
read from the cache or written to it (:mod:`promptop.providers.usage` adds them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.client.accumulator import StreamFailedError
from promptop.providers.events import dicts, event_pieces, string

if TYPE_CHECKING:
    from promptop.client.accumulator import Answer
    from promptop.client.request import RunRequest
    from promptop.models import Model

VERSION = "2023-06-01"
"""Of the API, sent with each request."""
LACKS: Mapping[str, str] = dict.fromkeys(
    ("seed", "n", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    "Anthropic's API has no such field",
)
DEFAULT_MAX_TOKENS = 4096
"""Sent where nothing was asked for and the model's own limit is not known."""
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
"""Tokens for thinking by effort, for models that take a budget."""
_LEAST_BUDGET = 1024
# From 4.6 on the model budgets its thinking itself, by effort; from Opus 4.7 on a budget is refused.
_BUDGETED = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-(?:3|4(?:$|[-.][0-5](?:$|\D)|-20|@)))")
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def build(request: RunRequest, model: Model | None) -> tuple[dict[str, Any], list[str]]:
    """Return the body; system messages are moved to ``system``, wherever they stood."""
    changes: list[str] = []
    parameters = request.parameters()
    limit = parameters.pop("max_completion_tokens", None) or parameters.pop("max_tokens", None)
    parameters.pop("max_tokens", None)
    if limit is None:
        limit = (model.max_output if model is not None else None) or DEFAULT_MAX_TOKENS
        changes.append(f"max_tokens sent as {limit}: Anthropic's API requires one")
    system, turns = _split(request.messages, changes)
    body: dict[str, Any] = {"model": request.model, "max_tokens": limit}
    if system:
        body["system"] = system
    body |= {"messages": turns, "stream": True}
    for name, value in parameters.items():
        if name in LACKS:
            changes.append(f"{name} not sent: {LACKS[name]}")
        elif name == "reasoning_effort":
            _think(str(value), body, changes)
        elif model is not None and model.takes(name) is False:
            changes.append(f"{name} not sent: {clean_line(request.model, 60)} does not take it")
        elif name == "temperature" and value > 1:
            body["temperature"] = 1
            changes.append("temperature sent as 1: Anthropic's API ends there")
        elif name == "stop":
            _stop([value] if isinstance(value, str) else list(value), body, changes)
        elif name == "tools":
            body["tools"] = [_tool(tool) for tool in value]
        elif name == "tool_choice":
            body["tool_choice"] = _choice(value)
        elif name == "parallel_tool_calls":
            if value is False:
                body.setdefault("tool_choice", {"type": "auto"})["disable_parallel_tool_use"] = True
        elif name == "response_format":
            _format(value, body, changes)
        elif name != "stream_options":
            body[name] = value
    return body, changes


def _think(effort: str, body: dict[str, Any], changes: list[str]) -> None:
    """Turn an effort into thinking: by effort where the model budgets itself, else a budget below ``max_tokens``."""
    if effort == "none":
        return
    if not _BUDGETED.search(body["model"].lower()):
        body["thinking"] = {"type": "adaptive"}
        body.setdefault("output_config", {})["effort"] = effort
        return
    limit = int(body["max_tokens"])
    if limit <= _LEAST_BUDGET:
        changes.append(f"reasoning_effort not sent: thinking takes {_LEAST_BUDGET} tokens or more, below max_tokens")
        return
    budget = min(BUDGETS.get(effort, BUDGETS["medium"]), max(_LEAST_BUDGET, limit // 2))
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    changes.append(f"reasoning_effort sent as thinking of up to {budget} tokens")


def _stop(stops: list[str], body: dict[str, Any], changes: list[str]) -> None:
    taken = [stop for stop in stops if stop.strip()]
    if len(taken) < len(stops):
        changes.append("a stop sequence of white space not sent: Anthropic's API refuses it")
    if taken:
        body["stop_sequences"] = taken


def _format(value: Any, body: dict[str, Any], changes: list[str]) -> None:
    inner = value.get("json_schema") if isinstance(value, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("schema"), dict):
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": inner["schema"]}
    elif not (isinstance(value, dict) and value.get("type") == "text"):
        changes.append("response_format not sent: Anthropic's API takes a JSON schema only")


def _tool(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool
    described = {"description": function["description"]} if function.get("description") else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function.get("name", ""), **described, "input_schema": schema}


def _choice(value: Any) -> Any:
    if isinstance(value, str):
        return {"type": _CHOICES.get(value, value)}
    function = value.get("function") if isinstance(value, dict) else None
    return {"type": "tool", "name": function.get("name", "")} if isinstance(function, dict) else value


def _split(messages: Any, changes: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the system text and the turns; a system message from between the turns is moved, and that is said."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    moved = False
    for message in messages:
        role, content = str(message.get("role", "user")), message.get("content")
        if role in {"system", "developer"}:
            system.append(content if isinstance(content, str) else _text(content))
            moved = moved or bool(turns)
            continue
        if role == "tool":
            result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id", ""), "content": content}
            role, blocks = "user", [result]
        else:
            blocks = [*_blocks(content), *(_use(call) for call in dicts(message.get("tool_calls")))]
            if len(blocks) == 1 and blocks[0].get("type") == "text" and isinstance(content, str):
                turns.append({"role": role, "content": content})
                continue
        if blocks and turns and turns[-1]["role"] == role == "user" and isinstance(turns[-1]["content"], list):
            turns[-1]["content"] += blocks  # results of calls made together belong into one turn
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if moved:
        changes.append("a system message was moved to the start: Anthropic's API has one place for it")
    return "\n\n".join(system), turns


def _text(content: Any) -> str:
    return "\n".join(string(part.get("text")) for part in dicts(content))


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_block(part) for part in dicts(content)]


def _block(part: dict[str, Any]) -> dict[str, Any]:
    if part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    url = string(image.get("url") if isinstance(image, dict) else image)
    inline = re.match(r"data:([\w/+.-]+);base64,(.*)", url, re.DOTALL)
    if inline is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": inline[1], "data": inline[2]}}


def _use(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        given = json.loads(function.get("arguments") or "{}")
    except ValueError:
        given = {}
    return {"type": "tool_use", "id": call.get("id", ""), "name": function.get("name", ""), "input": given}


def read(event: dict[str, Any], answer: Answer) -> None:
    """Take one event; raise :class:`StreamFailedError` where the server reports that it failed."""
    kind = string(event.get("type"))
    if kind == "error":
        error = event.get("error")
        found = error if isinstance(error, dict) else {}
        raise StreamFailedError(string(found.get("type")) or "error", string(found.get("message")) or "no reason given")
    message = event.get("message")
    if kind == "message_start" and isinstance(message, dict):
        answer.model = string(message.get("model")) or answer.model
        answer.response_id = string(message.get("id")) or answer.response_id
        event = {**event, "usage": message.get("usage")}
    if isinstance(event.get("usage"), dict):
        given = {name: value for name, value in event["usage"].items() if value is not None}
        answer.usage = {**(answer.usage or {}), **given}
    delta = event.get("delta")
    if kind == "message_delta" and isinstance(delta, dict):
        answer.finish_reason = string(delta.get("stop_reason")) or answer.finish_reason
    answer.ended = answer.ended or kind == "message_stop"
    place = event.get("index")
    index = place if isinstance(place, int) else 0
    block = event.get("content_block")
    named = string(block.get("name")) if isinstance(block, dict) else ""
    for piece in event_pieces(event):
        if piece.kind == "tool":
            is_name = bool(named) and piece.text == named
            answer.add_tool(index, piece.text if is_name else "", "" if is_name else piece.text)
        elif piece.kind in {"text", "reasoning", "refusal"}:
            answer.add(piece.kind, piece.text)  # type: ignore[arg-type]  # narrowed by the line above
