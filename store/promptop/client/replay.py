"""Messages and parameters of a request that was logged, as the chat API has them, whatever API it was sent to."""

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
    """Return the parameters of a request's body (Chat Completions, Responses, Anthropic); none if it is not JSON
    object.

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


def messages_of(body: str | Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request's body (Chat Completions, Responses, Anthropic); none if it has none.

    Tool calls and their results become ``tool_calls`` and messages of role tool. Items that are the server's own
    (reasoning, references, calls of hosted tools) have no place in the chat API and are left out.
    """
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return []
    if not isinstance(body, dict):
        return []
    found: list[dict[str, Any]] = [
        {"role": "system", "content": _parts(body[key])}
        for key in ("system", "instructions")
        if isinstance(body.get(key), str | list)
    ]
    given = body.get("messages", body.get("input"))
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    for item in given if isinstance(given, list) else ():
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind in _CALLS:
            _add_call(found, item.get("call_id"), item.get("name"), item.get(_CALLS[kind]))
        elif kind in _OUTPUTS:
            output = _parts(item.get("output"))
            found.append({"role": "tool", "tool_call_id": str(item.get("call_id") or ""), "content": output})
        elif "role" in item:
            found += _turn(item)
    return found


_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def _add_call(found: list[dict[str, Any]], identifier: Any, name: Any, arguments: Any) -> None:
    """Add a tool call to the assistant's message before it, which made it, else to one of its own."""
    if not found or found[-1].get("role") != "assistant":
        found.append({"role": "assistant", "content": None})
    said = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    call = {"id": str(identifier or ""), "type": "function", "function": {"name": str(name or ""), "arguments": said}}
    found[-1]["tool_calls"] = [*(found[-1].get("tool_calls") or ()), call]


def _turn(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a message as the chat API has it; results of tools stand before what else a turn of the user says."""
    message = {name: value for name, value in item.items() if name not in {"type", "id", "status"}}
    content = message.get("content")
    if not isinstance(content, list):
        return [message]
    parts = [part for part in content if isinstance(part, dict)]
    uses = [part for part in parts if part.get("type") == "tool_use"]
    results = [part for part in parts if part.get("type") == "tool_result"]
    rest = _parts([part for part in content if part not in uses and part not in results])
    made = [
        {"role": "tool", "tool_call_id": str(part.get("tool_use_id") or ""), "content": _parts(part.get("content"))}
        for part in results
    ]
    if rest or not results:
        made.append({**message, "content": rest or (None if uses else rest)})
    for part in uses:
        _add_call(made, part.get("id"), part.get("name"), part.get("input"))
    return made


def _parts(content: Any) -> Any:
    """Return content with texts and images under the chat API's names, other parts as they came; none is empty."""
    if not isinstance(content, list):
        return "" if content is None else content
    return [_part(part) for part in content]


def _part(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in {"input_text", "output_text"}:
        return {"type": "text", "text": part.get("text", "")}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    source = part.get("source") if kind == "image" else None
    if isinstance(source, dict) and source.get("type") == "url":
        return {"type": "image_url", "image_url": {"url": source.get("url", "")}}
    if isinstance(source, dict) and source.get("type") == "base64":
        url = f"data:{source.get('media_type', '')};base64,{source.get('data', '')}"
        return {"type": "image_url", "image_url": {"url": url}}
    return part
