"""Front matter: what stands between two lines of ``---`` before a prompt, and what of it is a request.

Two rules that enclose other lines are no front matter: it is YAML with at least one key that a known format uses. It
is never sent. Our own short form is read (``model: gpt-4o``, ``parameters: {max_tokens: 5}``), and the forms of
Prompty 1 and 2.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.yaml_values import YamlError, read_yaml, read_yaml_texts

_FRONT = re.compile(
    r"\ufeff?(?:[ \t]*\r?\n)*---[ \t]*\r?\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_TOML = re.compile(r"\ufeff?\+\+\+[ \t]*\r?\n(?P<toml>.*?)^\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_PARAMETERS = ("temperature", "max_tokens", "top_p", "stop", "seed", "reasoning_effort", "response_format")
"""Parameters that may stand at the top."""
USED = frozenset(
    {"model", "parameters", "sample", "inputs", "tools", "template", "name", "description", "lint-off", *_PARAMETERS}
)
"""Keys that become a part of the request or name the prompt."""
_IGNORED = frozenset(
    # Prompty, dotprompt, and what trimming leaves.
    {"authors", "author", "tags", "version", "metadata", "outputs", "output", "input", "config", "variant", "promptop"}
    # Lint rules that are silenced in the prompt.
    | {"lint-off", "lint_off"}
    # Notes and documents: Obsidian, Jekyll, Hugo.
    | {
        "title",
        "date",
        "created",
        "updated",
        "modified",
        "aliases",
        "category",
        "categories",
        "layout",
        "slug",
        "license",
    }
    # Prompts of editors and agents: commands, rules, skills, modes.
    | {"allowed-tools", "argument-hint", "disable-model-invocation", "applyTo", "globs", "alwaysApply"}
)
_KNOWN = USED | _IGNORED
_REQUEST = USED - {"name", "description"}
"""Keys that change what is sent."""
_LANGUAGES = {
    ".j2": "jinja2", ".jinja": "jinja2", ".jinja2": "jinja2", ".mustache": "mustache", ".hbs": "handlebars",
    ".handlebars": "handlebars",
}  # fmt: skip
"""Suffix of a file → its template language."""
_KEY_LINE = re.compile(r"^[\"']?(?P<key>[A-Za-z][\w-]*)[\"']?[ \t]*:(?:[ \t]|\r?$)", re.MULTILINE)
_OUTSIDE = re.compile(r"\$\{(?P<kind>env|file):(?P<what>[^}]*)\}")
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)
MOST_BYTES = 4 << 20
"""Largest file that front matter may name."""

PROMPTY_OPTIONS = {
    "max_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "reasoning_effort": "reasoningEffort",
}
"""Parameters of the chat API → options of a model in Prompty 2."""
RENAMED = {**{theirs: ours for ours, theirs in PROMPTY_OPTIONS.items()}, "max_completion_tokens": "max_tokens"}
"""Names of options in other formats → parameters of the chat API."""


@dataclass(frozen=True, slots=True)
class Front:
    """What front matter says."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """All of it, as it was read."""
    body_start: int = 0
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    description: str = ""
    template: str = ""
    """Template language; empty for plain variables."""
    texts: Mapping[str, Any] = field(default_factory=dict)
    """Sample values as they are written, nested."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Sample values with numbers and booleans typed, nested."""
    notes: tuple[PromptNote, ...] = ()


def read_front(text: str, name: str = "", folder: Path | None = None) -> Front:
    """Read the front matter of a text; one without it has an empty one.

    ``name`` is the file's. Raises :class:`PromptopError` if there is front matter and it cannot be read.
    """
    lowered = name.lower()
    after_mark = 1 if text.startswith("\ufeff") else 0
    plain = Front(body_start=after_mark, template=_LANGUAGES.get(Path(lowered).suffix, ""))
    if (toml := _TOML.match(text)) is not None and (read := _toml(toml["toml"])) is not None:
        return _Reader(folder, plain.template).front(read, read, toml.end())
    found = _FRONT.match(text) if "---" in text[:1000] else None
    if found is None:
        return plain
    yaml = found["yaml"]
    keys = {each["key"] for each in _KEY_LINE.finditer(yaml)}
    is_meant = lowered.endswith(".prompty") or bool(keys & _KNOWN) or not yaml.strip()
    if not is_meant:
        said = "the lines between the first two --- are sent: none of their keys is one of front matter"
        return replace(plain, notes=(PromptNote(said, 1),) if keys else ())
    first_line = text.count("\n", 0, found.start("yaml"))
    try:
        values, texts = read_yaml(yaml), read_yaml_texts(yaml)
    except YamlError as error:
        line = f" (line {first_line + error.line})" if error.line else ""
        if not keys & _REQUEST:  # rules of editors have `globs: *.ts`, which is not YAML
            said = f"front matter is not sent, and it is not valid YAML{line}: {error.cause}"
            return replace(plain, body_start=found.end(), notes=(PromptNote(said),))
        raise PromptopError(
            f"The front matter is not valid YAML{line}: {error.cause}.", "Correct it, or remove the lines between ---."
        ) from None
    if values is None:
        return Front(body_start=found.end(), template=plain.template)
    if not isinstance(values, dict):
        raise PromptopError(
            "The front matter is not a YAML mapping.", "Write lines of the form `key: value` between ---."
        )
    return _Reader(folder, plain.template).front(values, texts, found.end())


def _toml(text: str) -> dict[str, Any] | None:
    """Return TOML front matter as a mapping; None if it is none, or has no key that is known."""
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return found if found.keys() & _KNOWN else None


class _Reader:
    """Reads what the values mean, resolving ``${env:…}`` and ``${file:…}``."""

    def __init__(self, folder: Path | None, template: str) -> None:
        self.notes: list[PromptNote] = []
        self._folder = folder
        self._template = template

    def front(self, values: dict[str, Any], texts: dict[str, Any], body_start: int) -> Front:
        unknown = [key for key in values if key not in _KNOWN]
        if not values.keys() & USED:
            self.notes.append(
                PromptNote(f"front matter is not sent, and nothing is taken from it: {', '.join(values)}")
            )
        elif unknown:
            self.notes.append(
                PromptNote(f"front matter: {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} not used")
            )
        model, parameters = self._model(values)
        sample, data = self._sample(values, texts)
        return Front(
            values=values,
            body_start=body_start,
            model=model,
            parameters=parameters,
            name=str(values.get("name") or ""),
            description=str(values.get("description") or ""),
            template=_template(values) or self._template,
            texts=sample,
            data=data,
            notes=tuple(self.notes),
        )

    def _model(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Find model and parameters in our own short form and in the two forms that Prompty files have used."""
        model = values.get("model")
        parameters: dict[str, Any] = {}
        name: Any = ""
        if isinstance(model, str):
            name = model
        elif isinstance(model, dict):
            inside = model.get("configuration")
            inside = inside if isinstance(inside, dict) else {}
            name = model.get("id") or model.get("name") or inside.get("azure_deployment") or inside.get("name") or ""
            for key in ("parameters", "options"):
                given = self._resolved(model.get(key), f"model.{key}")
                parameters |= given if isinstance(given, dict) else {}
        parameters |= {key: values[key] for key in _PARAMETERS if key in values}
        if isinstance(values.get("parameters"), dict):
            parameters |= self._resolved(values["parameters"], "parameters")
        if isinstance(parameters.get("additionalProperties"), dict):
            parameters |= parameters.pop("additionalProperties")
        if isinstance(values.get("tools"), list):
            tools = self._tools(self._resolved(values["tools"], "tools"))
            parameters |= {"tools": tools} if tools else {}
        name = self._resolved(name, "model") or ""
        return str(name), {RENAMED.get(str(key), str(key)): value for key, value in parameters.items()}

    def _tools(self, given: Any) -> list[dict[str, Any]]:
        """Return tools as the chat API takes them; names alone, which agents have, are told."""
        found = []
        for each in given if isinstance(given, list) else ():
            if not isinstance(each, dict):
                continue
            if isinstance(each.get("function"), dict):
                found.append({"type": "function", **each})
            elif each.get("kind", each.get("type", "function")) == "function" and isinstance(each.get("name"), str):
                found.append(_function(each))
            else:
                kind = each.get("kind", each.get("type"))
                self.notes.append(PromptNote(f"the tool {each.get('name', '?')!s} of the kind {kind!s} is left out"))
        if given and not found:
            self.notes.append(PromptNote("front matter: its tools are names without a schema, so none is sent"))
        return found

    def _sample(self, values: Mapping[str, Any], texts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return sample values: of ``sample``, else the defaults of the ``inputs`` that Prompty 2 declares."""
        if "sample" in values:
            found = self._resolved(values["sample"], "sample", may_read_environment=False)
            if not isinstance(found, dict):
                self.notes.append(PromptNote("front matter: sample is not a mapping, so it fills nothing"))
                return {}, {}
            as_written = texts["sample"] if isinstance(values["sample"], dict) else found
            return {**_as_read(as_written, found)}, found
        inputs, raw = values.get("inputs"), texts.get("inputs")
        pairs: list[tuple[str, Any, Any]] = []
        if isinstance(inputs, dict) and isinstance(raw, dict):  # the short form: name → default, or → the property
            pairs = [(str(name), inputs[name], raw[name]) for name in inputs]
        elif isinstance(inputs, list) and isinstance(raw, list):
            pairs = [
                (str(each["name"]), each, raw[at])
                for at, each in enumerate(inputs)
                if isinstance(each, dict) and "name" in each
            ]
        data, written = {}, {}
        for name, value, text in pairs:
            for key in ("default", "example", "sample") if isinstance(value, dict) else ():
                if value.get(key) is not None:
                    data[name], written[name] = value[key], text[key]
                    break
            if not isinstance(value, dict):
                data[name], written[name] = value, text
        return written, data

    def _resolved(self, value: Any, place: str, *, may_read_environment: bool = True) -> Any:
        """Return a value with ``${env:NAME:default}`` and ``${file:NAME}`` replaced where they can be."""
        if isinstance(value, dict):
            return {
                k: self._resolved(v, f"{place}.{k}", may_read_environment=may_read_environment)
                for k, v in value.items()
            }
        if isinstance(value, list):
            return [self._resolved(each, place, may_read_environment=may_read_environment) for each in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _OUTSIDE.fullmatch(value)
        if whole is not None and whole["kind"] == "file":
            return self._file(whole["what"].strip(), place)

        def replaced(found: re.Match[str]) -> str:
            if found["kind"] == "file":
                read = self._file(found["what"].strip(), place)
                return read if isinstance(read, str) else json.dumps(read, ensure_ascii=False)
            return self._environment(found["what"], place, may_read_environment)

        return _OUTSIDE.sub(replaced, value)

    def _environment(self, what: str, place: str, may_read: bool) -> str:
        name, _, default = what.partition(":")
        name = name.strip()
        if may_read and not _SECRET.search(name):
            if (value := os.environ.get(name)) is not None:
                return value
            if not default:
                self.notes.append(PromptNote(f"front matter: {place} takes ${name}, which is not set"))
        else:
            self.notes.append(PromptNote(f"front matter: {place} asks for ${name}, which is not put into a prompt"))
        return default

    def _file(self, what: str, place: str) -> Any:
        """Return what a file beside the prompt holds: JSON or YAML read, another text as it is."""
        cause = ""
        try:
            if self._folder is None:
                cause = "it is known only beside the prompt's file"
            else:
                path = (self._folder / what).resolve()
                if not path.is_relative_to(self._folder.resolve()):
                    cause = "it lies outside the prompt's folder"
                elif path.stat().st_size > MOST_BYTES:
                    cause = f"it is larger than {MOST_BYTES >> 20} MiB"
                else:
                    text = path.read_text(encoding="utf-8-sig")
                    if path.suffix.lower() == ".json":
                        return json.loads(text)
                    return read_yaml(text) if path.suffix.lower() in (".yaml", ".yml") else text
        except (OSError, ValueError, RecursionError) as error:
            cause = getattr(error, "strerror", None) or "it cannot be read as text, JSON or YAML"
        self.notes.append(PromptNote(f"front matter: {place} names the file {what}, and {cause}"))
        return ""


def _as_read(texts: Any, values: Any) -> Any:
    """Return sample values as they are written, those of files as they were read."""
    if isinstance(texts, dict) and isinstance(values, dict):
        return {key: _as_read(texts.get(key), value) for key, value in values.items()}
    if isinstance(texts, str) and isinstance(values, str | int | float | bool | None):
        return values if "${" in texts else "" if values is None else texts
    return values if not isinstance(texts, type(values)) else texts


def _template(values: Mapping[str, Any]) -> str:
    """Return the template language: of ``template`` in its several forms; Prompty 1 without one means Jinja."""
    given = values.get("template")
    for _ in range(3):
        if isinstance(given, dict):
            given = given.get("format") or given.get("kind") or given.get("type")
    model = values.get("model")
    if not isinstance(given, str) and isinstance(model, dict) and ("configuration" in model or "api" in model):
        given = "jinja2"
    said = given.lower() if isinstance(given, str) else ""
    return {"jinja": "jinja2", "nunjucks": "jinja2", "liquid": "jinja2"}.get(said, said)


_KINDS = {"float": "number", "text": "string", "int": "integer", "bool": "boolean"}


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool of Prompty 2, whose parameters are a list of properties, as the chat API takes it."""
    function = {key: tool[key] for key in ("name", "description", "strict") if key in tool}
    given = tool.get("parameters")
    if isinstance(given, dict) and "properties" in given and isinstance(given["properties"], list):
        given = given["properties"]
    if isinstance(given, list):
        properties: dict[str, Any] = {}
        required = []
        for each in given:
            if not isinstance(each, dict) or "name" not in each:
                continue
            kind = str(each.get("kind", each.get("type", "string")))
            entry = {"type": _KINDS.get(kind, kind)}
            entry |= {
                to: each[at]
                for at, to in (("description", "description"), ("enumValues", "enum"), ("enum", "enum"))
                if at in each
            }
            properties[str(each["name"])] = entry
            if each.get("required"):
                required.append(str(each["name"]))
        given = {"type": "object", "properties": properties} | ({"required": required} if required else {})
    if isinstance(given, dict):
        function["parameters"] = given
    return {"type": "function", "function": function}
