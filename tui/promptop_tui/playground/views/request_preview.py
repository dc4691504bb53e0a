"""What will be sent, before it is: messages with their roles and parts, tools, parameters, and what is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textual.content import Content

from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr, tr_n
from promptop.client.request import Message, RunRequest

MOST_SHOWN = 4_000
"""Characters of a message that are shown; the rest is counted."""
_VARIABLE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
Span = str | tuple[str, str]


def roles_of(messages: Sequence[Message]) -> str:
    """Return the roles of messages in their order, repetitions counted: ``system + user + 3 turns``."""
    roles = [str(each.get("role", "user")) for each in messages]
    if len(roles) <= 3:
        return " + ".join(roles)
    return tr("{join} + {n} more", join=" + ".join(roles[:2]), n=len(roles) - 2)


def summary(request: RunRequest, unfilled: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Return what will be sent in a few words each."""
    parts = [roles_of(request.messages)]
    kinds = [kind for kind, _ in (each for message in request.messages for each in parts_of(message)) if kind != "text"]
    parts += [f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}" for kind in dict.fromkeys(kinds)]
    tools = request.extra.get("tools") or ()
    parts += [tr_n("{n} tool", "{n} tools", len(tools))] if tools else []
    parts += ["schema"] if request.extra.get("response_format") else []
    parts += [tr("! {n} unfilled", n=len(unfilled))] if unfilled else []
    parts += [tr("✗ {n} left out", n=len(left_out))] if left_out else []
    return parts


def parts_of(message: Message) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of each part of a message: ``text``, or what it is (``image``, ``audio``, ``file`` …)."""
    content = message.get("content")
    if isinstance(content, str):
        yield "text", content
        return
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping):
            yield "part", str(part)
            continue
        kind = str(part.get("type", "part"))
        if isinstance(part.get("text"), str):
            yield "text", part["text"]
        else:
            yield kind.removeprefix("input_").removesuffix("_url"), _described(part.get(kind, part))


def _described(value: Any) -> str:
    """Return a part that is not text in a few words: an address, or the type and size of its data."""
    if isinstance(value, Mapping):
        value = value.get("url") or value.get("data") or value.get("file_data") or value.get("filename") or dict(value)
    if not isinstance(value, str):
        return clean_line(json.dumps(value, ensure_ascii=False, default=str), 100)
    if value.startswith("data:"):
        head, _, data = value.partition(",")
        return tr(
            "{clean_line}, {n:,} bytes",
            clean_line=clean_line(head.removeprefix("data:").split(";")[0], 40) or "data",
            n=len(data) * 3 // 4,
        )
    return clean_line(value, 100) if len(value) < 400 else tr("{n:,} bytes", n=len(value) * 3 // 4)


def preview(request: RunRequest, left_out: Sequence[str], others: Sequence[str] = ()) -> Content:
    """Return a request as it will be sent; ``left_out`` says in words what will not be, ``others`` get the same."""
    spans: list[Span] = []
    for message in request.messages:
        role = str(message.get("role", "user"))
        spans += [(f"▌{clean_line(role, 20)}", f"bold {_ROLES.get(role, '')}"), "\n"]
        for kind, text in parts_of(message):
            spans += _text(text) if kind == "text" else [("▣ " + kind, "bold"), f" {clean(text)}"]
            spans.append("\n")
        for name, arguments in _calls(message):
            spans += [("→ calls ", "dim"), f"{clean_line(name, 60)}({clean_line(arguments, 400)})\n"]
        spans.append("\n")
    spans += _tools(request.extra.get("tools") or ())
    spans += _format(request.extra.get("response_format"))
    values = {name: value for name, value in request.parameters().items() if name not in {"tools", "response_format"}}
    if values:
        said = " · ".join(f"{name} {_short(value)}" for name, value in values.items())
        spans += [("parameters  ", "dim"), f"{said}\n"]
    if others:
        spans += [(tr("also to  "), "dim"), f"{', '.join(clean_line(each, 40) for each in others)}\n"]
    spans += [part for each in left_out for part in (("✗ ", "$text-warning bold"), f"{clean(each)}\n")]
    return Content.assemble(*spans)


_ROLES = {
    "system": "$text-accent",
    "developer": "$text-accent",
    "user": "$text-primary",
    "assistant": "$text-success",
    "tool": "$text-secondary",
}
"""Role → its colour; the role's name says it without colour."""


def _text(text: str) -> list[Span]:
    """Return a text with its variables that have no value marked."""
    shown = clean(text[:MOST_SHOWN])
    spans: list[Span] = []
    at = 0
    for found in _VARIABLE.finditer(shown):
        spans += [shown[at : found.start()], (found[0], "$text-warning bold")]
        at = found.end()
    spans.append(shown[at:])
    if len(text) > MOST_SHOWN:
        spans.append((tr("\n… {n:,} characters more", n=len(text) - MOST_SHOWN), "dim"))
    return spans


def _calls(message: Message) -> Iterator[tuple[str, str]]:
    for call in message.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield str(function.get("name")), str(function.get("arguments"))


def _tools(tools: Sequence[Any]) -> list[Span]:
    spans: list[Span] = []
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) and "function" in tool else tool
        if not isinstance(function, Mapping):
            continue
        schema = function.get("parameters") or function.get("input_schema") or {}
        names = ", ".join(schema.get("properties") or ()) if isinstance(schema, Mapping) else ""
        spans += [
            ("tool  ", "dim"),
            (clean_line(str(function.get("name")), 60), "bold"),
            f"({clean_line(names)})",
        ]
        if about := function.get("description"):
            spans.append((f"  {clean_line(str(about), 100)}", "dim"))
        spans.append("\n")
    return spans


def _format(wanted: Any) -> list[Span]:
    if not isinstance(wanted, Mapping):
        return []
    schema = wanted.get("json_schema")
    name = f" {schema.get('name')}" if isinstance(schema, Mapping) else ""
    return [("answer  ", "dim"), clean_line(f"{wanted.get('type')}{name}", 80), "\n"]


def _short(value: Any) -> str:
    return clean_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), 60)
