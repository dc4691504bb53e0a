"""Anthropic's Messages API: system text apart, ``max_tokens`` required, usage in two events, thinking in blocks.

Running counts in ``message_delta`` are cumulative: the last one stands for all. ``input_tokens`` leave out what was
read from the cache or written to it.
"""

from __future__ import annotations

import json
import re
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
    take_message,
)
from promptop.providers.chat import read_common, read_messages
from promptop.providers.usage import Usage, total, whole

if TYPE_CHECKING:
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
_EVENTS = frozenset(
    (
        "message",
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "ping",
    )
)
_US_ONLY = 1.1
"""Factor of all prices of a call that was to stay in the United States."""
_FREE_TOOLS = frozenset(("web_search_requests", "web_fetch_requests", "tool_search_requests"))
"""Counts of its own tools that are free, or that have a price of their own."""


class Anthropic(Api):
    """Anthropic's Messages API."""

    name = "anthropic"
    title = "Anthropic's API"
    path = "/messages"
    paths = (Path("/messages", "chat"), Path(":rawPredict", "chat"), Path(":streamRawPredict", "chat"))
    lacks = LACKS
    required = frozenset({"model", "messages", "system", "stream", "max_tokens"})

    def headers(self, key: str) -> dict[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def build(self, request: Writing, model: Model | None) -> tuple[dict[str, Any], list[str]]:
        """Return the body; system messages are moved to ``system``, wherever they stood."""
        changes: list[str] = []
        parameters = dict(request.parameters)
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
            _set(name, value, body, changes, model)
        return body, changes

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        read_common(body, asked)
        if asked.stream is None:
            asked.stream = False
        if body.get("system"):
            take_message("system", body["system"], asked)
        messages = body.get("messages")
        if isinstance(messages, list):
            read_messages(messages, asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return string(value.get("type")) in _EVENTS

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        kind = event.get("type")
        place = event.get("index")
        place = place if type(place) is int else 0
        if kind == "content_block_delta":
            yield from _pieces(event.get("delta"), place)
        elif kind == "content_block_start":
            yield from _pieces(event.get("content_block"), place)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        for place, block in enumerate(dicts(body.get("content"))):
            yield from _pieces(block, place)

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        return event.get("type") == "content_block_delta"

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        kind = value.get("type")
        opening = kind == "message_start"
        holder = table(value.get("message")) if opening else value
        if opening or kind == "message":
            facts.named(holder)
        if kind == "message_stop":
            facts.done = True
        facts.ended(0, holder.get("stop_reason"))
        facts.ended(0, table(value.get("delta")).get("stop_reason"))
        usage = holder.get("usage")
        if isinstance(usage, dict) and usage:
            # Counts are cumulative, each event with some of them.
            fresh = {name: given for name, given in usage.items() if given is not None}
            facts.usage = {**(facts.usage or {}), **fresh}
            facts.usage_api = self
            if tier := string(fresh.get("service_tier")):
                facts.service_tier = tier
        if kind in ("message_start", "message_delta"):
            facts.opening_usage = opening or (facts.opening_usage and not usage)

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = table(raw)
        read, written = whole(usage.get("cache_read_input_tokens")), whole(usage.get("cache_creation_input_tokens"))
        made = table(usage.get("cache_creation"))
        hour, minutes = whole(made.get("ephemeral_1h_input_tokens")), whole(made.get("ephemeral_5m_input_tokens"))
        if written is None or (hour or 0) + (minutes or 0) > written:
            written = total(hour, minutes)
        taken = whole(usage.get("input_tokens"))
        if taken is not None:
            taken += (read or 0) + (written or 0)
        tools = table(usage.get("server_tool_use"))
        unknown = next((name for name, count in tools.items() if name not in _FREE_TOOLS and whole(count)), None)
        return Usage(
            taken,
            whole(usage.get("output_tokens")),
            read,
            written,
            whole(table(usage.get("output_tokens_details")).get("thinking_tokens")),
            cache_write_1h=hour,
            web_searches=whole(tools.get("web_search_requests")),
            service=_service(usage),
            surcharge=_US_ONLY if usage.get("inference_geo") == "us" else None,
            unpriced=f"a tool's {unknown}" if unknown else None,
        )


ANTHROPIC = Anthropic()


def _service(usage: Mapping[str, Any]) -> str | None:
    if usage.get("speed") == "fast":
        return "fast"
    return "batch" if usage.get("service_tier") == "batch" else None


def _set(name: str, value: Any, body: dict[str, Any], changes: list[str], model: Model | None) -> None:
    """Write one parameter as Anthropic's API has it, or say why it is not sent."""
    if name in LACKS:
        changes.append(f"{name} not sent: {LACKS[name]}")
    elif name == "reasoning_effort":
        _think(str(value), body, changes)
    elif model is not None and model.takes(name) is False:
        changes.append(f"{name} not sent: {clean_line(str(body['model']), 60)} does not take it")
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


def _pieces(block: Any, place: int) -> Iterator[Piece]:
    if not isinstance(block, dict):
        return
    if text := string(block.get("text")):
        yield Piece("text", text, place)
    if text := string(block.get("thinking")):
        yield Piece("reasoning", text, place)
    if text := string(block.get("partial_json")):
        yield Piece("tool", text, place)
    if block.get("type") in ("tool_use", "server_tool_use"):
        if text := string(block.get("name")):
            yield Piece("tool", text, place, is_name=True)
        if isinstance(block.get("input"), dict) and block["input"]:
            yield Piece("tool", json.dumps(block["input"], ensure_ascii=False), place)


def write_usage(read: int, output: int, *, cached: int = 0, written: int = 0) -> dict[str, Any]:
    """Return a usage object; ``read`` includes what was read from the cache and written to it, which is taken out."""
    return {
        "input_tokens": read - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": output,
        "service_tier": "standard",
    }
