"""A prompt as text: marker lines begin messages, ``{{names}}`` are variables, YAML front matter carries the rest.

::

    ---
    model: gpt-4o-mini
    parameters: {max_tokens: 200}
    ---
    system:
    You answer in one sentence.

    user:
    What is {{topic}}?

Text without a marker line is one user message, unchanged to the last character. A line of content that looks like a
marker is written with a backslash before it (``\\user:``), so that :func:`parse` after :func:`compose` gives the
messages back; only line breaks around a message's content belong to the layout and are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptop.base.errors import PromptopError
from promptop.prompts import comments

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles that a marker line may name."""

_ROLE_LINE = r"[ \t]*(?:#[ \t]*)?(?P<role>" + "|".join(ROLES) + r")[ \t]*[:：][ \t]*\r?"
_MARKER = re.compile(rf"^{_ROLE_LINE}$", re.MULTILINE | re.IGNORECASE)
_ESCAPED = re.compile(rf"^\\(?=\\*{_ROLE_LINE.replace('?P<role>', '')}$)", re.MULTILINE | re.IGNORECASE)
_NEEDS_ESCAPE = re.compile(rf"^(?=\\*{_ROLE_LINE.replace('?P<role>', '')}$)", re.MULTILINE | re.IGNORECASE)
_FRONT = re.compile(r"\ufeff?---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_VARIABLE = re.compile(r"\{\{\s*(?P<name>[^\W\d][\w.]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message and where its content stands in the text it was read from."""

    role: str
    content: str
    start: int = 0
    """Offset in characters of the content's first character; escapes are counted as they are written."""
    end: int = 0
    """Offset behind the content's last character."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a text says: messages, and what its front matter adds."""

    messages: tuple[Message, ...]
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Request parameters under the names of the chat API: ``max_tokens``, ``temperature`` …"""
    name: str = ""
    description: str = ""
    sample: Mapping[str, str] = field(default_factory=dict)
    """Sample values of variables."""
    front: Mapping[str, Any] = field(default_factory=dict)
    """The whole front matter as read, with keys that promptop does not use."""
    body_start: int = 0
    """Offset in characters where the text behind the front matter begins."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in order of their first appearance."""
        return variables_of(m.content for m in self.messages)

    def unfilled(self, values: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Names of the variables that neither ``values`` nor the sample values fill: they are sent as written."""
        return tuple(name for name in self.variables if name not in self.sample and name not in (values or {}))

    def filled(self, values: Mapping[str, str] | None = None) -> tuple[Message, ...]:
        """Return the messages with variables replaced by ``values`` over the sample values; unknown ones stay."""
        known = {**self.sample, **(values or {})}
        return tuple(Message(m.role, fill(m.content, known), m.start, m.end) for m in self.messages)

    def openai(self, values: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return the messages as the chat API takes them, variables filled."""
        return [{"role": m.role, "content": m.content} for m in self.filled(values)]


def parse(text: str) -> Prompt:
    """Read a text; never fails for a text without front matter.

    Raises :class:`PromptopError` if there is front matter and it is not a YAML mapping.
    """
    front, body_start = _front_matter(text)
    model, parameters = _model(front)
    return Prompt(
        messages=_messages(text, body_start),
        model=model,
        parameters=parameters,
        name=str(front.get("name") or ""),
        description=str(front.get("description") or ""),
        sample=_sample(front),
        front=front,
        body_start=body_start,
    )


def compose(messages: Iterable[Message | Mapping[str, Any]]) -> str:
    """Write messages as text with marker lines; one user message needs none if :func:`parse` reads it back the same."""
    pairs = [(m.role, m.content) if isinstance(m, Message) else (str(m["role"]), _plain(m)) for m in messages]
    if len(pairs) == 1 and pairs[0][0] == "user" and not _FRONT.match(pairs[0][1]) and not _MARKER.search(pairs[0][1]):
        return pairs[0][1]
    return "\n\n".join(f"{role}:\n{_NEEDS_ESCAPE.sub(_backslash, content)}" for role, content in pairs) + "\n"


def variables_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the variables in texts, in order of their first appearance."""
    return tuple(dict.fromkeys(found["name"] for text in texts for found in _VARIABLE.finditer(text)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its variables replaced by ``values``; those that have none stay."""
    return _VARIABLE.sub(lambda found: str(values.get(found["name"], found[0])), text)


def _backslash(_: re.Match[str]) -> str:
    return "\\"


def _plain(message: Mapping[str, Any]) -> str:
    """Return the text of a chat API message; parts that are no text are named in brackets."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = []
    for part in content:
        kind = str(part.get("type", "part")) if isinstance(part, dict) else "part"
        is_text = isinstance(part, dict) and isinstance(part.get("text"), str)
        parts.append(part["text"] if is_text else f"[{kind}]")
    return "\n".join(parts)


def _messages(text: str, body_start: int) -> tuple[Message, ...]:
    off = comments.spans(text, body_start)
    markers = [each for each in _MARKER.finditer(text, body_start) if not any(a <= each.start() < b for a, b in off)]
    if not markers:
        return (Message("user", comments.without(text[body_start:]), body_start, len(text)),)
    found = []
    head_start, head_end = _trimmed(text, body_start, markers[0].start())
    if head_end > head_start:
        head = comments.without(text[head_start:head_end])
        found.append(Message("user", head, head_start, head_end))
    ends = [m.start() for m in markers[1:]] + [len(text)]
    for marker, end in zip(markers, ends, strict=True):
        start, stop = _trimmed(text, marker.end(), end)
        content = _ESCAPED.sub("", comments.without(text[start:stop]).strip("\r\n"))
        found.append(Message(marker["role"].lower(), content, start, stop))
    return tuple(found)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out the line breaks around a message: they separate it from its markers."""
    while start < end and text[start] in "\r\n":
        start += 1
    while end > start and text[end - 1] in "\r\n":
        end -= 1
    return start, end


def _front_matter(text: str) -> tuple[dict[str, Any], int]:
    if not text.startswith(("---", "\ufeff---")):
        return {}, 0
    found = _FRONT.match(text)
    if found is None:
        return {}, 0
    import yaml

    try:
        front = yaml.safe_load(found["yaml"])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 2})" if mark is not None else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise PromptopError(
            f"The front matter is not valid YAML{line}: {problem}.", "Mend it, or remove the lines between ---."
        ) from None
    if front is None:
        return {}, found.end()
    if not isinstance(front, dict):
        raise PromptopError("The front matter is no YAML mapping.", "Write lines of the form `key: value` between ---.")
    return {str(key): value for key, value in front.items()}, found.end()


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
_RENAMED = {**{theirs: ours for ours, theirs in PROMPTY_OPTIONS.items()}, "max_completion_tokens": "max_tokens"}


def _sample(front: Mapping[str, Any]) -> dict[str, str]:
    """Return sample values: of ``sample``, else the defaults of the ``inputs`` that Prompty 2 declares."""
    sample = front.get("sample")
    if isinstance(sample, dict):
        return {str(key): str(value) for key, value in sample.items()}
    inputs = front.get("inputs")
    if isinstance(inputs, dict):  # the short form: name → default, or → the property
        inputs = [{**(value if isinstance(value, dict) else {"default": value}), "name": name}
                  for name, value in inputs.items()]  # fmt: skip
    found = {}
    for each in inputs if isinstance(inputs, list) else ():
        if isinstance(each, dict) and "name" in each:
            value = each.get("default", each.get("example"))
            if isinstance(value, str | int | float):
                found[str(each["name"])] = str(value)
    return found


def _model(front: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Find model and parameters in our own short form and in the two forms that Prompty files have used."""
    model = front.get("model")
    parameters: dict[str, Any] = {}
    name = ""
    if isinstance(model, str):
        name = model
    elif isinstance(model, dict):
        configuration = model.get("configuration")
        inside = configuration if isinstance(configuration, dict) else {}
        name = str(model.get("id") or model.get("name") or inside.get("azure_deployment") or inside.get("name") or "")
        for key in ("parameters", "options"):
            if isinstance(model.get(key), dict):
                parameters.update(model[key])
    if isinstance(front.get("parameters"), dict):
        parameters.update(front["parameters"])
    if isinstance(parameters.get("additionalProperties"), dict):
        parameters.update(parameters.pop("additionalProperties"))
    return name, {_RENAMED.get(str(key), str(key)): value for key, value in parameters.items()}
