"""Models × prompt versions: what is asked of whom, with parameters that one model may have to itself.

Tools, response format and overrides are typed as text; the ``read_…`` functions here are the only ones that give that
text a meaning, and each names what it cannot mean.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.client.request import Message, RunRequest, check_stops
from promptop.client.targets import Target

AS_TYPED = ""
"""Label of the version that stands in the prompt's field."""
_OWN_FIELDS = {
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "seed": int,
    "reasoning_effort": str,
}
"""Parameters that a request has a field for, and what they must be; all others go into its body as they are."""
_RESERVED = frozenset({"model", "messages", "stream", "stream_options"})


@dataclass(frozen=True, slots=True)
class PromptVersion:
    """One prompt of several that are asked side by side."""

    label: str
    """What the panes call it; empty for the one in the prompt's field."""
    messages: Sequence[Message]
    name: str | None = None
    """The prompt's name in the library, if it has one."""
    version: str | None = None


def read_tools(text: str) -> list[dict[str, Any]]:
    """Read tools: a JSON list, or one object; a bare function (``name``, ``parameters``) is wrapped for the API.

    Raises :class:`UsageError` for what is not a tool.
    """
    found = _json(text, "tools", "Write a JSON list of tools, each with a name and parameters.")
    if found is None:
        return []
    tools = []
    for each in found if isinstance(found, list) else [found]:
        if not isinstance(each, dict):
            raise UsageError(f"A tool cannot be {clean_line(json.dumps(each), 24)}.", "Each tool is a JSON object.")
        tool = each if "type" in each else {"type": "function", "function": each}
        if tool["type"] == "function" and not isinstance(_name_of(tool), str):
            raise UsageError("A tool has no name.", 'Write {"name": …, "description": …, "parameters": {…}}.')
        tools.append(tool)
    return tools


def _name_of(tool: Mapping[str, Any]) -> Any:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")


def read_format(text: str) -> dict[str, Any] | None:
    """Read a response format: empty for text, ``json``, the API's own object, or a JSON schema, which is wrapped."""
    if text.strip().lower() in {"", "text"}:
        return None
    if text.strip().lower() == "json":
        return {"type": "json_object"}
    found = _json(text, "response format", "Write json, or a JSON schema.")
    if not isinstance(found, dict):
        raise UsageError("The response format is not a JSON object.", "Write json, or a JSON schema.")
    if found.get("type") in {"text", "json_object", "json_schema"}:
        return found
    name = "".join(char if char.isascii() and char.isalnum() else "_" for char in str(found.get("title") or "answer"))
    return {"type": "json_schema", "json_schema": {"name": name[:64], "schema": found, "strict": True}}


def read_overrides(text: str) -> dict[str, dict[str, Any]]:
    """Read per-model parameters: a TOML table for each model, keys as the chat API names them.

    Raises :class:`UsageError` naming the line or the key that is not valid.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"The overrides are not TOML: {error}.", 'Write ["model"], below it lines such as temperature = 0.'
        ) from None
    check_overrides(tables)
    return tables


def check_overrides(tables: Mapping[str, Any]) -> None:
    """Raise :class:`UsageError` naming the model and the key that is not valid."""
    for model, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{clean_line(model, 40)} stands outside a table.", 'Begin with ["model"].')
        for key, value in table.items():
            _check(model, key, value)


def _check(model: str, key: str, value: Any) -> None:
    wanted = _OWN_FIELDS.get(key)
    wrong = wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool))  # type: ignore[arg-type]
    if key == "stop":
        stops = [value] if isinstance(value, str) else value
        wrong = not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops)
        if not wrong:
            check_stops(stops)
    if wrong or key in _RESERVED or (key == "max_tokens" and value < 1):
        raise UsageError(
            f"{key} of {clean_line(model, 40)} cannot be {clean_line(str(value), 24)!r}.",
            "Parameters are named as in the chat API; model and messages are chosen elsewhere.",
        )


def write_override(model: str, values: Mapping[str, Any]) -> str:
    """Return parameters of one model as :func:`read_overrides` takes them; empty if there are none."""
    lines = [f"{_toml(name)} = {_toml(value)}" for name, value in values.items() if value is not None]
    return "\n".join([f"[{_toml(model)}]", *lines, ""]) if lines else ""


def _toml(value: Any) -> str:
    """Return a JSON value in TOML, on one line: strings and numbers are written alike in both."""
    if isinstance(value, dict):
        pairs = (f"{_toml(str(key))} = {_toml(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value if each is not None) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _json(text: str, what: str, remedy: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"The {what} are nested too deep.", remedy) from None
    except ValueError as error:
        raise UsageError(f"The {what} cannot be read as JSON: {error}.", remedy) from None


def requests_of(
    targets: Sequence[Target],
    versions: Sequence[PromptVersion],
    parameters: Mapping[str, Any],
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    system: bool = True,
) -> list[RunRequest]:
    """Return a request for each model with each version, the versions of a model beside each other.

    ``parameters`` are fields of a request; what else they name goes into the body. ``overrides`` (by the model's name
    or as it is written in the list) win over them. Without ``system``, messages of role system or developer are left
    out.
    """
    made = []
    for target in targets:
        table = {**(overrides or {}).get(target.model, {}), **(overrides or {}).get(target.spec, {})}
        for version in versions:
            messages = list(version.messages) if system else without_system(version.messages)
            label = f"{target.spec} · {version.label}" if version.label else target.spec
            values = _fields_of({**parameters, **table}, parameters.get("extra") or {})
            made.append(
                RunRequest(
                    profile=target.profile,
                    model=target.model,
                    messages=messages,
                    label=label,
                    prompt_name=version.name,
                    prompt_version=version.version,
                    **values,
                )
            )
    return made


_FIELDS = frozenset(field.name for field in fields(RunRequest)) - {"profile", "model", "messages", "label", "decision"}


def _fields_of(values: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Part values into fields of a request and further fields of its body."""
    own = {name: value for name, value in values.items() if name in _FIELDS and name != "extra"}
    if "stop" in own:
        own["stop"] = (own["stop"],) if isinstance(own["stop"], str) else tuple(own["stop"])
    rest = {name: value for name, value in values.items() if name not in _FIELDS}
    return {**own, "extra": {**extra, **rest}}


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages that are no instructions of the program: the same prompt with its system part off."""
    return [message for message in messages if message.get("role") not in {"system", "developer"}]
