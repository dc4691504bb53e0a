"""Prompts in YAML and TOML: templates of llm, GitHub Models, LangChain, Semantic Kernel, commands of Gemini CLI."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promptop.prompts.formats import chat_json, llm_template, promptfoo
from promptop.prompts.formats.draft import FileDraft, draft_of
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.yaml_values import YamlError, read_yaml

_FORMAT = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)(?:![rsa])?(?::[^{}\n]{0,20})?\}")
_KERNEL = re.compile(r"\{\{\s*\$(?P<name>\w+)\s*\}\}")
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read(text: str, name: str, folder: Path | None) -> FileDraft | None:
    """Return the draft of a YAML or TOML file (by the suffix of ``name``); None if it is another one.

    A file that is none of these prompts is a text of its own, with a note.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in (".yaml", ".yml", ".toml"):
        return None
    try:
        value = tomllib.loads(text) if suffix == ".toml" else read_yaml(text.removeprefix("\ufeff"))
    except YamlError as error:
        return FileDraft(
            text, notes=(PromptNote(f"this is not valid YAML ({error.cause}), so it is sent as text", error.line),)
        )
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return FileDraft(text, notes=(PromptNote(f"this is not valid TOML ({error}), so it is sent as text"),))
    found = _read(value, text, folder)
    if found is not None:
        return found
    kind = suffix[1:].upper()
    return FileDraft(
        text, notes=(PromptNote(f"this {kind} is not a prompt of a form that is known here, so it is sent as text"),)
    )


def _read(value: Any, text: str, folder: Path | None) -> FileDraft | None:
    if isinstance(value, list):
        return chat_json.of_value(value, text)
    if not isinstance(value, dict):
        return None
    if "prompts" in value:
        return promptfoo.read(value, folder)
    if isinstance(value.get("messages"), list):
        return _github(value, text)
    if isinstance(value.get("template"), str):
        return _langchain(value) if "_type" in value else _kernel(value)
    if isinstance(value.get("prompt"), str) or isinstance(value.get("system"), str):
        return llm_template.read(value)
    return None


def _github(value: Mapping[str, Any], text: str) -> FileDraft | None:
    """Read a ``.prompt.yml`` of GitHub Models, or a request body in YAML."""
    if not {"modelParameters", "testData", "evaluators", "responseFormat"} & value.keys():
        return chat_json.of_value(value, text)
    given = value.get("modelParameters")
    parameters = {_snake(str(key)): each for key, each in given.items()} if isinstance(given, dict) else {}
    if value.get("responseFormat") == "json_object":
        parameters["response_format"] = {"type": "json_object"}
    rows = value.get("testData")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    sample = {str(key): each for key, each in row.items() if key != "expected"}
    notes = []
    if value.get("jsonSchema"):
        notes.append(PromptNote("its JSON schema is left out", remedy="--response-format FILE sends one"))
    if isinstance(rows, list) and len(rows) > 1:
        notes.append(PromptNote(f"its variables have the values of the first of {len(rows)} rows of test data"))
    body = chat_json.of_value({"messages": value["messages"]}, text)
    if body is None or body.messages is None:
        return body
    front = {
        "name": value.get("name"),
        "description": value.get("description"),
        "model": value.get("model"),
        "parameters": parameters,
        "sample": sample,
    }
    return draft_of("a prompt of GitHub Models", body.messages, front, [*body.notes, *notes])


def _snake(name: str) -> str:
    written = _SNAKE.sub("_", name).lower()
    return "max_tokens" if written == "max_completion_tokens" else written


def _langchain(value: Mapping[str, Any]) -> FileDraft:
    """Read a prompt of LangChain, whose variables are those of format strings unless it says otherwise."""
    template, language = str(value["template"]), str(value.get("template_format") or "f-string")
    written = _from_format(template) if language == "f-string" else template
    partial = value.get("partial_variables")
    front = {"sample": partial, "template": "" if language == "f-string" else language}
    return draft_of("a prompt of LangChain", [{"role": "user", "content": written}], front)


def _from_format(text: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        return found[0][0] if found["name"] is None else f"{{{{{found['name']}}}}}"

    return _FORMAT.sub(replaced, text)


def _kernel(value: Mapping[str, Any]) -> FileDraft:
    """Read a prompt of Semantic Kernel, whose own template language writes variables as ``{{$name}}``."""
    language = str(value.get("template_format") or "semantic-kernel")
    template = str(value["template"])
    written = _KERNEL.sub(r"{{\g<name>}}", template) if language == "semantic-kernel" else template
    settings = value.get("execution_settings")
    chosen = (
        next((each for each in settings.values() if isinstance(each, dict)), {}) if isinstance(settings, dict) else {}
    )
    inputs = value.get("input_variables")
    sample = {
        str(each["name"]): each["default"]
        for each in (inputs if isinstance(inputs, list) else ())
        if isinstance(each, dict) and "name" in each and each.get("default") not in (None, "")
    }
    notes = (
        [PromptNote("its <message> tags are sent as text: roles stand alone on their lines here")]
        if "<message" in written
        else []
    )
    front = {
        "name": value.get("name"),
        "description": value.get("description"),
        "model": chosen.get("model_id"),
        "parameters": {
            key: each for key, each in chosen.items() if key not in ("model_id", "service_id", "extension_data")
        },
        "sample": sample,
        "template": "" if language == "semantic-kernel" else language,
    }
    return draft_of("a prompt of Semantic Kernel", [{"role": "user", "content": written}], front, notes)
