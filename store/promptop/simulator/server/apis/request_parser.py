"""Request bodies of three dialects, read into a :class:`~promptop.simulator.answers.answer.Question`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from promptop.simulator.answers.answer import AskedMessage, Question, Tool
from promptop.simulator.answers.profiles import ModelProfile
from promptop.simulator.server.events import BadRequestError

_MOST_STOPS = 4
_UNSAMPLED = ("claude-opus-4-7", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5")
"""Models of Anthropic that take no sampling parameters."""


def chat(body: Mapping[str, Any], profile: ModelProfile) -> Question:
    """Read a Chat Completions request. Raises :class:`BadRequestError` as the provider would."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    _refused(body, profile)
    form = _table(body.get("response_format"))
    choice = body.get("tool_choice", "auto")
    return Question(
        model=str(body["model"]),
        messages=[_message(message) for message in messages],
        max_tokens=_whole(body, "max_completion_tokens") or _whole(body, "max_tokens"),
        stop=_stops(body.get("stop"), "stop"),
        temperature=_number(body, "temperature", 0.0, 2.0),
        seed=_whole(body, "seed", least=-(1 << 63)),
        n=_whole(body, "n") or 1,
        tools=[_tool(_table(tool.get("function"))) for tool in body.get("tools") or ()],
        tool_choice=_table(choice.get("function")).get("name", "auto") if isinstance(choice, dict) else str(choice),
        json=form.get("type") == "json_object",
        schema=_table(form.get("json_schema")).get("schema"),
        stream=bool(body.get("stream")),
        include_usage=bool(_table(body.get("stream_options")).get("include_usage")),
    )


def responses(body: Mapping[str, Any], profile: ModelProfile) -> Question:
    """Read a Responses API request. Raises :class:`BadRequestError` for what that API does not take."""
    asked = body.get("input")
    if not isinstance(asked, str | list) or not asked:
        raise BadRequestError("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    for name in ("stop", "seed", "n", "max_tokens", "messages"):
        if name in body:
            raise BadRequestError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    _refused(body, profile)
    messages = [AskedMessage("system", str(body["instructions"]))] if body.get("instructions") else []
    if isinstance(asked, str):
        messages.append(AskedMessage("user", asked))
    else:
        for item in asked:
            if item.get("type") == "function_call_output":
                messages.append(AskedMessage("tool", str(item.get("output", ""))))
            elif item.get("type", "message") == "message":
                messages.append(_message(item))
    form = _table(_table(body.get("text")).get("format"))
    choice = body.get("tool_choice", "auto")
    return Question(
        model=str(body["model"]),
        messages=messages,
        max_tokens=_whole(body, "max_output_tokens"),
        temperature=_number(body, "temperature", 0.0, 2.0),
        tools=[_tool(tool) for tool in body.get("tools") or () if tool.get("type") == "function"],
        tool_choice=str(choice.get("name", "auto")) if isinstance(choice, dict) else str(choice),
        json=form.get("type") == "json_object",
        schema=form.get("schema"),
        stream=bool(body.get("stream")),
        include_usage=True,
    )


def anthropic(body: Mapping[str, Any]) -> Question:
    """Read an Anthropic Messages request. Raises :class:`BadRequestError` for what it requires."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: Field required", "messages")
    if (limit := _whole(body, "max_tokens")) is None:
        raise BadRequestError("max_tokens: Field required", "max_tokens")
    if str(body["model"]).startswith(_UNSAMPLED):
        for name in ("temperature", "top_p", "top_k"):
            if name in body:
                raise BadRequestError(f"`{name}` is deprecated for this model.", name)
    system = [AskedMessage("system", _text(body["system"]))] if body.get("system") else []
    choice = _table(body.get("tool_choice"))
    kind = str(choice.get("type", "auto"))
    return Question(
        model=str(body["model"]),
        messages=[*system, *(_message(message) for message in messages)],
        max_tokens=limit,
        stop=_stops(body.get("stop_sequences"), "stop_sequences", most=16),
        temperature=_number(body, "temperature", 0.0, 1.0),
        tools=[
            Tool(str(tool.get("name", "")), str(tool.get("description", "")), _table(tool.get("input_schema")))
            for tool in body.get("tools") or ()
        ],
        tool_choice={"any": "required", "tool": str(choice.get("name", ""))}.get(kind, kind),
        stream=bool(body.get("stream")),
        include_usage=True,
        caching="explicit" if "cache_control" in json.dumps(body) else "none",
    )


def _refused(body: Mapping[str, Any], profile: ModelProfile) -> None:
    """Refuse what a reasoning model refuses, in its provider's words."""
    if "max_tokens" in body and "max_tokens" in profile.refuses:
        raise BadRequestError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    for name in ("temperature", "top_p"):
        if name in profile.refuses and body.get(name) not in (None, 1, 1.0):
            raise BadRequestError(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                "Only the default (1) value is supported.",
                name,
                "unsupported_value",
            )
    if "stop" in profile.refuses and body.get("stop"):
        raise BadRequestError(
            "Unsupported parameter: 'stop' is not supported with this model.", "stop", "unsupported_parameter"
        )


def _message(message: Any) -> AskedMessage:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequestError(
            "Invalid type for 'messages[0]': expected an object with a role.", "messages", "invalid_type"
        )
    said = _text(message.get("content"))
    for call in message.get("tool_calls") or ():
        said += json.dumps(call.get("function", {}), ensure_ascii=False)
    return AskedMessage(message["role"], said)


def _text(content: Any) -> str:
    """Return the text of a content field: a string, or the text parts of a list."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRequestError("Invalid type for 'content': expected a string or a list.", "messages", "invalid_type")
    said = []
    for part in content:
        if isinstance(part, str):
            said.append(part)
        elif part.get("type") == "tool_result":
            said.append(_text(part.get("content")))
        elif part.get("type") == "tool_use":
            said.append(json.dumps(part.get("input", {}), ensure_ascii=False))
        else:
            said.append(str(part.get("text", "")))
    return "\n".join(said)


def _tool(function: Mapping[str, Any]) -> Tool:
    schema = _table(function.get("parameters"))
    return Tool(str(function.get("name", "")), str(function.get("description") or ""), schema)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _stops(value: Any, name: str, most: int = _MOST_STOPS) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else tuple(value or ())
    if len(stops) > most or not all(isinstance(stop, str) for stop in stops):
        raise BadRequestError(f"Invalid '{name}': at most {most} strings.", name, "array_above_max_length")
    return stops


def _whole(body: Mapping[str, Any], name: str, least: int = 1) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequestError(f"Invalid type for '{name}': expected an integer.", name, "invalid_type")
    if value < least:
        raise BadRequestError(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value} instead.",
            name,
            "integer_below_min_value",
        )
    return value


def _number(body: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadRequestError(f"Invalid type for '{name}': expected a decimal.", name, "invalid_type")
    if not low <= value <= high:
        raise BadRequestError(
            f"Invalid '{name}': expected a value between {low} and {high}.", name, "decimal_out_of_range"
        )
    return float(value)
