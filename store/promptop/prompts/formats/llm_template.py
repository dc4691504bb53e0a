"""Templates of the llm command: one system and one prompt text, variables as ``$name``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from promptop.base.errors import PromptopError
from promptop.prompts.document import Prompt
from promptop.prompts.formats.draft import FileDraft, draft_of
from promptop.prompts.formats.names import template_names
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.variables import VARIABLE
from promptop.prompts.syntax.yaml_values import write_yaml

DEFAULT_MODEL = "gpt-4o-mini"
_DOLLAR = re.compile(r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)\})", re.ASCII)
_LEFT_OUT = ("attachments", "attachment_types", "fragments", "system_fragments", "functions", "tools", "extract")


def read(value: Mapping[str, Any]) -> FileDraft:
    """Read a template, whose variables are those of Python's ``string.Template``; ``$input`` is the text given."""
    messages = []
    if isinstance(value.get("system"), str):
        messages.append({"role": "system", "content": _from_dollar(value["system"])})
    prompt = value.get("prompt")
    messages.append({"role": "user", "content": _from_dollar(prompt) if isinstance(prompt, str) else "{{input}}"})
    parameters = dict(value["options"]) if isinstance(value.get("options"), dict) else {}
    if isinstance(value.get("schema_object"), dict):
        schema = value["schema_object"]
        name = str(schema.get("title") or "answer")
        parameters["response_format"] = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
    notes = [PromptNote(f"its {key} are left out") for key in _LEFT_OUT if value.get(key)]
    front = {
        "name": value.get("name"),
        "description": value.get("description"),
        "model": value.get("model"),
        "parameters": parameters,
        "sample": value.get("defaults"),
    }
    return draft_of("a template of llm", messages, front, notes)


def _from_dollar(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        return "$" if found["escaped"] else f"{{{{{found['name'] or found['braced']}}}}}"

    return _DOLLAR.sub(replaced, text)


def write(prompt: Prompt) -> str:
    """Write a template. Its variables have ASCII names alone; others are numbered: ``$var1`` …

    Raises :class:`PromptopError` for a prompt that it cannot hold: several turns, parts that are no text.
    """
    users = [message for message in prompt.messages if message.role == "user"]
    others = [message.role for message in prompt.messages if message.role not in ("system", "developer", "user")]
    what = f"a message of the role {others[0]}" if others else "several user messages" if len(users) > 1 else ""
    if any(message.parts or message.fields for message in prompt.messages):
        what = what or "parts that are no text"
    if what:
        raise PromptopError(f"An llm template cannot hold {what}.", "Export it as json, prompty or python.")
    names = template_names(prompt)
    systems = [message.content for message in prompt.messages if message.role in ("system", "developer")]
    template: dict[str, Any] = {"model": prompt.model or DEFAULT_MODEL}
    if systems:
        template["system"] = _to_dollar("\n\n".join(systems), names)
    if users:
        template["prompt"] = _to_dollar(users[0].content, names)
    if prompt.parameters:
        template["options"] = dict(prompt.parameters)
    if prompt.sample:
        template["defaults"] = {names.get(name, name): value for name, value in prompt.sample.items()}
    return write_yaml(template)


def _to_dollar(text: str, names: Mapping[str, str]) -> str:
    def variable(found: re.Match[str]) -> str:
        name = names.get(found["name"], found["name"])
        # Braces where a letter follows; without them llm can say which variable is missing.
        return f"${{{name}}}" if re.match(r"[A-Za-z0-9_]", found.string[found.end() :]) else f"${name}"

    return VARIABLE.sub(variable, text.replace("$", "$$"))
