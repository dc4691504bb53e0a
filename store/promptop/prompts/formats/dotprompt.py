"""Files of dotprompt (``.prompt``): Handlebars with ``{{role "system"}}``, ``{{media url=x}}``, ``{{history}}``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from promptop.prompts.formats.draft import FileDraft, draft_of
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax.front_matter import RENAMED, read_front
from promptop.prompts.syntax.variables import constructs

_ROLE = re.compile(r"""[ \t]*\{\{~?\s*role\s+["'](?P<role>\w+)["']\s*~?\}\}[ \t]*\n?""")
_MARK = re.compile(r"\{\{~?\s*(?:role|media|section)\s+\w*[\"'=]|\{\{~?\s*history\s*~?\}\}")
_MEDIA = re.compile(
    r"""\{\{~?\s*media\s+(?:[a-zA-Z]+=\S+\s+)*?url=(?:["'](?P<url>[^"']+)["']|(?P<name>[\w.-]+))[^{}]*\}\}"""
)
_HISTORY = re.compile(r"[ \t]*\{\{~?\s*history\s*~?\}\}[ \t]*\n?")
_ROLES = {"model": "assistant"}


def read(text: str, name: str = "") -> FileDraft | None:
    """Return the draft of a dotprompt file; None for a text that has nothing of one.

    Raises :class:`PromptopError` if its front matter cannot be read.
    """
    if _MARK.search(text) is None and not (
        name.lower().endswith(".prompt") and text.lstrip("\ufeff").startswith("---")
    ):
        return None
    front = read_front(text, f"{name}.prompty")
    values = front.values
    notes = [note for note in front.notes if "front matter" not in note.cause]
    config = values.get("config")
    parameters = (
        {RENAMED.get(str(key), str(key)): each for key, each in config.items()} if isinstance(config, dict) else {}
    )
    given = values.get("input")
    default = given.get("default") if isinstance(given, dict) else None
    if isinstance(values.get("output"), dict) and values["output"].get("schema"):
        notes.append(PromptNote("the schema of its output is left out", remedy="--response-format FILE sends one"))
    if values.get("tools"):
        notes.append(
            PromptNote("its tools are names without a schema, so none is sent", remedy="--tools FILE sends them")
        )
    body, removed = _HISTORY.subn("", text[front.body_start :])
    if removed:
        notes.append(PromptNote("{{history}} is left out: there is no conversation before it"))
    messages = list(_messages(body))
    written = {
        "name": front.name,
        "description": front.description,
        "model": front.model,
        "parameters": parameters,
        "sample": default if isinstance(default, Mapping) else {},
        "template": "handlebars" if constructs(body) else "",
    }
    return draft_of("a dotprompt file", messages, written, notes)


def _messages(body: str) -> Iterator[dict[str, Any]]:
    at, role = 0, "user"
    for found in [*_ROLE.finditer(body), None]:
        text = body[at : found.start() if found else len(body)]
        if text.strip():
            yield {"role": role, "content": _content(text.strip("\n"))}
        if found:
            at, role = found.end(), _ROLES.get(found["role"], found["role"])
    if not body.strip():
        yield {"role": "user", "content": ""}


def _content(text: str) -> str | list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    at = 0
    for found in _MEDIA.finditer(text):
        if text[at : found.start()].strip():
            parts.append({"type": "text", "text": text[at : found.start()]})
        url = found["url"] or f"{{{{{found['name']}}}}}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
        at = found.end()
    if not parts:
        return text
    if text[at:].strip():
        parts.append({"type": "text", "text": text[at:]})
    return parts
