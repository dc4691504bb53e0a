"""Configurations of promptfoo: its first prompt, provider and test are read; all of a prompt is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptop.prompts.document import Prompt
from promptop.prompts.formats.draft import FileDraft, draft_of
from promptop.prompts.formats.names import jinja_names, renamed
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.front_matter import RENAMED
from promptop.prompts.syntax.variables import as_jinja, constructs, nested, without_literals
from promptop.prompts.syntax.yaml_values import write_yaml

DEFAULT_MODEL = "gpt-4o-mini"
MOST_BYTES = 4 << 20


def read(value: Mapping[str, Any], folder: Path | None) -> FileDraft | None:
    """Return the draft of a configuration; None if its first prompt cannot be told."""
    from promptop.prompts.formats import chat_json

    notes: list[PromptNote] = []
    prompts = value["prompts"]
    first, more = (prompts[0], len(prompts) - 1) if isinstance(prompts, list) and prompts else (prompts, 0)
    if isinstance(first, dict):
        first = first.get("raw") or first.get("id")
    if not isinstance(first, str):
        return None
    if more:
        notes.append(PromptNote(f"its first prompt is read, and {more} more are left out"))
    text = _loaded(first, folder, notes)
    if text is None:
        return None
    template = "jinja2" if constructs(text) else ""
    chat = chat_json.read(text)
    if chat is not None and chat.messages is not None:
        messages: list[Mapping[str, Any]] = list(chat.messages)
    else:
        messages = [{"role": "user", "content": text}]
    if not template:  # the braces that an export wrote so that Nunjucks gives them back
        messages = _without_literals(messages)
    model, parameters = _provider(value.get("providers", value.get("targets")), notes)
    front = {
        "name": value.get("description"),
        "model": model,
        "parameters": parameters,
        "sample": _values(value, folder, notes),
        "template": template,
    }
    return draft_of("a promptfoo configuration", messages, front, notes)


def _without_literals(value: Any) -> Any:
    if isinstance(value, str):
        return without_literals(value)
    if isinstance(value, Mapping):
        return {key: _without_literals(each) for key, each in value.items()}
    return [_without_literals(each) for each in value] if isinstance(value, list) else value


def _loaded(text: str, folder: Path | None, notes: list[PromptNote]) -> str | None:
    if not text.startswith("file://"):
        return text
    name = text.removeprefix("file://")
    if folder is not None:
        path = (folder / name).resolve()
        try:
            if path.is_relative_to(folder.resolve()) and path.stat().st_size <= MOST_BYTES:
                return path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError):
            pass  # said below, with every other reason
    notes.append(PromptNote(f"the file {name} cannot be read, or lies outside the configuration's folder"))
    return None


def _provider(providers: Any, notes: list[PromptNote]) -> tuple[str, dict[str, Any]]:
    first, more = (providers[0], len(providers) - 1) if isinstance(providers, list) and providers else (providers, 0)
    if more:
        notes.append(PromptNote(f"its first provider is asked, and {more} more are left out"))
    config: Any = {}
    if isinstance(first, dict):
        if "id" in first:
            config, first = first.get("config"), first["id"]
        elif len(first) == 1:  # {"openai:chat:gpt-4o": {"config": …}}
            ((first, rest),) = first.items()
            config = rest.get("config") if isinstance(rest, dict) else {}
    model = str(first).rpartition(":")[2] if isinstance(first, str) and not first.startswith(("file:", "http")) else ""
    given = config if isinstance(config, dict) else {}
    left_out = {"apiKey", "apiKeyEnvar", "apiHost", "apiBaseUrl", "organization", "headers"}
    return model, {RENAMED.get(str(key), str(key)): each for key, each in given.items() if key not in left_out}


def _values(value: Mapping[str, Any], folder: Path | None, notes: list[PromptNote]) -> dict[str, Any]:
    default, tests = value.get("defaultTest"), value.get("tests")
    first = tests[0] if isinstance(tests, list) and tests else {}
    found: dict[str, Any] = {}
    for each in (default, first):
        given = each.get("vars") if isinstance(each, dict) else None
        found |= given if isinstance(given, dict) else {}
    if isinstance(tests, str):
        notes.append(PromptNote(f"its tests are in {tests}, and give no variable a value here"))
    elif isinstance(tests, list) and len(tests) > 1:
        notes.append(PromptNote(f"its variables have the values of the first of {len(tests)} tests"))
    for name, each in found.items():
        if isinstance(each, str) and each.startswith("file://"):
            found[name] = _loaded(each, folder, notes) or ""
    return found


def write(prompt: Prompt) -> str:
    """Write a configuration; promptfoo renders texts by Nunjucks, where dots in names are members of objects."""
    names = jinja_names(prompt)
    messages = [
        {
            **each.as_chat(lambda text: renamed(text if prompt.template == "jinja2" else as_jinja(text), names)),
            "role": each.role,
        }
        for each in prompt.messages
    ]
    provider: dict[str, Any] = {"id": f"openai:chat:{prompt.model or DEFAULT_MODEL}"}
    if prompt.parameters:
        provider["config"] = dict(prompt.parameters)
    variables = nested(
        {}, {names.get(name, name): value for name, value in prompt.sample.items() if _is_leaf(name, prompt)}
    )
    variables = {name: value for name, value in variables.items() if "." not in name and "[" not in name}
    tests: dict[str, Any] = {"vars": variables} if variables else {}
    return write_yaml(
        {
            "description": prompt.name or "exported by promptop",
            "prompts": [json.dumps(messages, ensure_ascii=False)],
            "providers": [provider],
            "tests": [tests],
        }
    )


def _is_leaf(name: str, prompt: Prompt) -> bool:
    return not any(other.startswith((f"{name}.", f"{name}[")) for other in prompt.sample)
