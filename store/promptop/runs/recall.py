"""Parameters of a request that was logged, under the names of the chat API, whatever API it was sent to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_RENAMED = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
}
_NO_PARAMETER = frozenset(
    (
        "model",
        "messages",
        "input",
        "system",
        "instructions",
        "stream",
        "stream_options",
        "reasoning",
        "text",
        "metadata",
    )
)


def parameters_of(body: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request's body (Chat Completions, Responses, Anthropic); none if it is no JSON object.

    Tools and the response format come in the chat API's form. What only the sender's program knows (metadata, keys of
    conversations) is left out.
    """
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(body, dict):
        return {}
    found: dict[str, Any] = {}
    for name, value in body.items():
        if value is not None and name not in _NO_PARAMETER:
            found[_RENAMED.get(str(name), str(name))] = value
    reasoning, text = body.get("reasoning"), body.get("text")
    if isinstance(reasoning, dict) and isinstance(reasoning.get("effort"), str):
        found["reasoning_effort"] = reasoning["effort"]
    if isinstance(text, dict) and isinstance(text.get("format"), dict) and text["format"].get("type") != "text":
        found["response_format"] = _chat_format(text["format"])
    if isinstance(found.get("tools"), list):
        found["tools"] = [_chat_tool(tool) for tool in found["tools"]]
    return found


def _chat_format(given: Mapping[str, Any]) -> dict[str, Any]:
    if given.get("type") != "json_schema" or "json_schema" in given:
        return dict(given)
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}


def _chat_tool(tool: Any) -> Any:
    """Return a tool as the chat API has it; one of the provider's own kind stays as it is."""
    if not isinstance(tool, dict) or "function" in tool or "name" not in tool:
        return tool
    if tool.get("type", "function") not in {"function", "custom"}:
        return tool
    function = {name: value for name, value in tool.items() if name in {"name", "description", "strict"}}
    return {
        "type": "function",
        "function": {**function, "parameters": tool.get("parameters", tool.get("input_schema", {}))},
    }
