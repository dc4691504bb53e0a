"""A prompt as text: role lines begin messages, ``{{names}}`` are variables, YAML front matter carries the rest.

::

    ---
    model: gpt-4o-mini
    parameters: {max_tokens: 200}
    ---
    system:
    You answer in one sentence.

    user:
    What is {{topic}}?
    @image https://example.org/leaf.png

Text without a role line is one message of the user (or of the role that was chosen for it), unchanged to the last
character. What is not text stands in lines of its own: ``@image URL`` and ``@part {…}`` are content parts as the chat
API writes them, ``@message {…}`` holds further fields of a message (``tool_calls``, ``tool_call_id``, ``name``), and
``@part text`` begins another part of text. A line of content that looks like one of these is written with a backslash
before it, so that :func:`parse` after :func:`compose` gives the messages back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.prompts import comments
from promptop.prompts.notes import PromptNote
from promptop.prompts.syntax import jinja
from promptop.prompts.syntax.front_matter import read_front
from promptop.prompts.syntax.role_lines import DIRECTIVE, ESCAPED, INLINE, ROLES, Inside, content_spans, escape, markers
from promptop.prompts.syntax.variables import (
    VARIABLE,
    constructs,
    fill,
    flat,
    nested,
    variables_of,
    without_literals,
    without_triples,
)

__all__ = ["ROLES", "Message", "Prompt", "PromptNote", "compose", "fill", "parse", "variables_of"]

Part = Mapping[str, Any]
"""A content part as the chat API writes it: ``{"type": "image_url", …}``."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message and where its content stands in the text it was read from."""

    role: str
    content: str
    """Its text; of several parts of text, one below the other."""
    start: int = 0
    """Offset in characters of the content's first character; escapes are counted as they are written."""
    end: int = 0
    """Offset behind the content's last character."""
    parts: tuple[Part, ...] = ()
    """All its parts, where it has others than one text."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields: ``tool_calls``, ``tool_call_id``, ``name``; ``content`` where the text cannot stand for it."""

    def as_chat(self, fill: Callable[[str], str] = str) -> dict[str, Any]:
        """Return the message as the chat API takes it, each text passed through ``fill``."""
        made: dict[str, Any] = {"role": self.role}
        if "content" in self.fields:
            made["content"] = _filled(self.fields["content"], fill)
        elif self.parts:
            made["content"] = [_filled(part, fill) for part in self.parts]
        elif self.content or not self.fields:
            made["content"] = fill(self.content)
        return made | {name: value for name, value in self.fields.items() if name != "content"}

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: no text but blanks, no parts, no calls."""
        return not (self.content.strip() or self.parts or self.fields)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a text says: messages, and what its front matter adds."""

    messages: tuple[Message, ...]
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Request parameters under the names of the chat API: ``max_tokens``, ``temperature``, ``tools`` …"""
    name: str = ""
    description: str = ""
    sample: Mapping[str, str] = field(default_factory=dict)
    """Sample values of variables by the names that reach them: ``topic``, ``customer.name``."""
    front: Mapping[str, Any] = field(default_factory=dict)
    """The whole front matter as read, with keys that promptop does not use."""
    body_start: int = 0
    """Offset in characters where the text behind the front matter begins."""
    notes: tuple[PromptNote, ...] = ()
    """What the reader could not take as it may be meant; to be said before anything is sent."""
    template: str = ""
    """Template language that the front matter names: ``jinja2``, ``handlebars`` …; empty for plain variables."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Sample values as a template sees them: nested, numbers typed."""
    body: str = ""
    """The text behind the front matter, for templates whose blocks reach over several messages."""

    @classmethod
    def parse(cls, text: str, *, name: str = "") -> Prompt:
        """Read a text: front matter, messages under role lines, variables. What it could not take is in ``notes``."""
        return parse(text, name=name)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in order of their first appearance."""
        return variables_of(text for message in self.messages for text in _texts(message))

    @property
    def constructs(self) -> tuple[str, ...]:
        """What plain replacement does not fill: filters, blocks and helpers of template languages."""
        found = [each for message in self.messages for text in _texts(message) for each in constructs(text)]
        return tuple(dict.fromkeys(found))

    def unfilled(self, values: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Names of the variables that neither ``values`` nor the sample values fill: they are sent as written."""
        return tuple(name for name in self.variables if name not in self.sample and name not in (values or {}))

    def missing(self, values: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Names that stay without a value when the prompt is sent, those that its template asks for included."""
        if not self.is_rendered:
            return self.unfilled(values)
        data = nested(self.data, values or {})
        try:
            found = [name for m in self.messages for text in _texts(m) for name in jinja.render(text, data)[1]]
        except PromptopError:  # sending says what is wrong with it
            return self.unfilled(values)
        return tuple(dict.fromkeys(found))

    def filled(self, values: Mapping[str, str] | None = None) -> tuple[Message, ...]:
        """Return the messages with variables replaced by ``values`` over the sample values; unknown ones stay."""
        known = {**self.sample, **(values or {})}
        return tuple(replace(m, content=fill(m.content, known)) for m in self.messages)

    def openai(self, values: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return the messages as the chat API takes them, variables filled; a Jinja template is rendered.

        Raises :class:`PromptopError` if it is a template that cannot be rendered.
        """
        known = {**self.sample, **(values or {})}
        if not self.is_rendered:
            return [m.as_chat(lambda text: fill(self._plain(text), known)) for m in self.messages]
        data = nested(self.data, values or {})
        try:
            return [m.as_chat(lambda text: jinja.render(text, data)[0]) for m in self.messages]
        except jinja.TemplateSyntaxError:
            # A block that begins in one message and ends in another: the whole is rendered, and then read. Values
            # cannot begin messages of their own.
            text = jinja.render(self.body, data, lambda value: escape(value, everywhere=True))[0]
            return [m.as_chat() for m in _messages(text, 0, self.messages[0].role)[0]]

    def with_values(self, values: Mapping[str, str], *, model: str = "") -> Prompt:
        """Return the prompt with ``values`` over its sample values, for another model if one is named."""
        data = nested(self.data, values)
        return replace(self, model=model or self.model, sample={**self.sample, **values}, data=data)

    def _plain(self, text: str) -> str:
        """Return a text of the prompt's template language as one of plain variables."""
        if self.template == "jinja2":
            return without_literals(text)
        return without_triples(text) if self.template in ("mustache", "handlebars") else text

    @property
    def is_rendered(self) -> bool:
        """Whether a template engine fills it: it names Jinja, uses more of it than variables, and jinja2 is there."""
        uses_more = bool(self.constructs) or any("{#" in text for m in self.messages for text in _texts(m))
        return self.template == "jinja2" and uses_more and jinja.is_installed()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return all(message.is_empty for message in self.messages)


def parse(text: str, *, role: str = "user", name: str = "", folder: Path | None = None) -> Prompt:
    """Read a text; text without a role line is one message of ``role``.

    ``name`` is the file's, whose suffix may say what it holds; files that its front matter names are read below
    ``folder``. Raises :class:`PromptopError` if there is front matter and it is not valid YAML.
    """
    front = read_front(text, name, folder)
    messages, notes = _messages(text, front.body_start, role)
    return Prompt(
        messages=messages,
        model=front.model,
        parameters=front.parameters,
        name=front.name,
        description=front.description,
        sample=flat(front.texts),
        front=front.values,
        body_start=front.body_start,
        notes=(*front.notes, *notes),
        template=front.template,
        data=front.data,
        body=text[front.body_start :],
    )


def compose(messages: Iterable[Message | Mapping[str, Any]]) -> str:
    """Write messages as text with role lines; one user message needs none if :func:`parse` reads it back the same.

    Parts and fields of messages of the chat API are kept; line breaks around a message's text are layout. Raises
    :class:`PromptopError` for a role that is none of :data:`ROLES`.
    """
    chats = [each.as_chat() if isinstance(each, Message) else dict(each) for each in messages]
    for each in chats:
        if each.get("role") not in ROLES:
            raise PromptopError(f"A message cannot have the role {each.get('role')!r}.", f"Roles: {', '.join(ROLES)}.")
    if len(chats) == 1 and chats[0]["role"] == "user" and len(chats[0]) == 2:
        content = chats[0].get("content")
        bare = content if isinstance(content, str) else _as_lines(chats[0])
        if _reads_back(bare, chats, exact=True):
            return bare
    text = ""
    # A message that does not come back when it stands alone (a fence without an end) is written as JSON.
    lines = [f"{each['role']}:\n{_as_lines(each)}" for each in chats]
    alone = [_reads_back(f"{line}\n\n{_PROBE}", [each, _PROBED]) for line, each in zip(lines, chats, strict=True)]
    for write in (_as_lines, _as_escaped_lines, _as_json):
        text = "\n\n".join(
            f"{each['role']}:\n{(write if whole else _as_json)(each)}" for each, whole in zip(chats, alone, strict=True)
        )
        if _reads_back(f"{text}\n", chats):
            break
    return f"{text}\n"


_PROBED = {"role": "user", "content": "```\n```"}
_PROBE = "user:\n```\n```\n"
"""A message behind another: a fence that the other leaves open would take it in."""


def _reads_back(text: str, chats: Sequence[Mapping[str, Any]], *, exact: bool = False) -> bool:
    try:
        found = parse(text)
    except PromptopError:
        return False
    if found.body_start:
        return False
    edges = str if exact else _stripped
    return [_normal(each.as_chat(), edges) for each in found.messages] == [_normal(each, edges) for each in chats]


def _stripped(text: str) -> str:
    return text.strip("\r\n")


def _normal(chat: Mapping[str, Any], edges: Callable[[str], str]) -> dict[str, Any]:
    """Return a message as one text where it is a single part of text."""
    content = chat.get("content")
    if isinstance(content, list) and len(content) == 1 and _plain_text(content[0]) is not None:
        content = content[0]["text"]
    return {**chat, "content": edges(content)} if isinstance(content, str) else dict(chat)


def _plain_text(part: object) -> str | None:
    """Return the text of a part that is nothing but text."""
    if isinstance(part, dict) and set(part) == {"type", "text"} and part["type"] == "text":
        return part["text"] if isinstance(part["text"], str) else None
    return None


def _as_lines(chat: Mapping[str, Any], *, everywhere: bool = False) -> str:
    """Write what follows a role line: fields, then text and parts."""
    content = chat.get("content")
    fields = {name: value for name, value in chat.items() if name not in ("role", "content")}
    lines: list[str] = []
    if isinstance(content, list) and content and all(isinstance(part, dict) for part in content):
        lines = list(_part_lines(content, everywhere))
    elif isinstance(content, str) and (content or not fields):
        lines = [escape(content, everywhere=everywhere)]
    elif "content" in chat:
        fields["content"] = content
    return "\n".join([f"@message {_json(fields)}", *lines] if fields else lines)


def _as_escaped_lines(chat: Mapping[str, Any]) -> str:
    return _as_lines(chat, everywhere=True)


def _as_json(chat: Mapping[str, Any]) -> str:
    return f"@message {_json({name: value for name, value in chat.items() if name != 'role'})}"


def _part_lines(parts: Sequence[Mapping[str, Any]], everywhere: bool) -> Iterator[str]:
    after_text = False
    for at, part in enumerate(parts):
        text = part.get("text") if part.get("type") == "text" else None
        at_edge = at == 0 or at == len(parts) - 1
        if isinstance(text, str) and text and not (at_edge and text != _stripped(text)):
            more = {name: value for name, value in part.items() if name not in ("type", "text")}
            if more or after_text:
                yield "@part text" + (f" {_json(more)}" if more else "")
            yield escape(text, everywhere=everywhere)
            after_text = True
            continue
        after_text = False
        image = part.get("image_url")
        is_plain = set(part) == {"type", "image_url"} and isinstance(image, dict) and set(image) == {"url"}
        if is_plain and isinstance(image["url"], str) and _IMAGE.fullmatch(image["url"]):  # type: ignore[index]
            yield f"@image {image['url']}"  # type: ignore[index]
        else:
            yield f"@part {_json(part)}"


def _json(value: Any) -> str:
    # U+2028 and its like are line breaks to some editors; in JSON they may be escaped.
    text = json.dumps(value, ensure_ascii=False, default=str)
    return re.sub(r"[\x85\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


_IMAGE_FILE = re.compile(r"\S+\.(?:png|jpe?g|gif|webp|bmp|svg)", re.IGNORECASE)
_IMAGE = re.compile(r"(?:https?://|data:image/)\S+|" + VARIABLE.pattern)


def _filled(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {name: each if name == "type" else _filled(each, fill) for name, each in value.items()}
    return [_filled(each, fill) for each in value] if isinstance(value, list) else value


def _texts(message: Message) -> Iterator[str]:
    """Yield the texts of a message in which variables are filled."""
    texts: list[str] = []

    def seen(text: str) -> str:
        texts.append(text)
        return text

    message.as_chat(seen)
    yield from texts


def _messages(text: str, body_start: int, role: str) -> tuple[tuple[Message, ...], list[PromptNote]]:
    found = markers(text, body_start)
    inside: Inside | None = None
    if "\n@" in text or text.startswith("@", body_start):
        inside = Inside(content_spans(text, body_start))
    reader = _Reader(text, inside)
    reader.note_inline(body_start, has_roles=bool(found))
    if not found:
        return (reader.message(role, body_start, len(text), strip=False),), reader.notes
    made: list[Message] = []
    head_start, head_end = _trimmed(text, body_start, found[0].start())
    if head_end > head_start and text[head_start:head_end].strip():
        made.append(reader.message("user", head_start, head_end))
        reader.note(head_start, "what stands before the first role line is a message of the user")
    ends = [m.start() for m in found[1:]] + [len(text)]
    for marker, end in zip(found, ends, strict=True):
        start, stop = _trimmed(text, marker.end(), end)
        made.append(reader.message(marker["role"].lower(), start, stop, attributes=marker["attributes"] or ""))
        if made[-1].is_empty:
            reader.note(marker.start(), f"the {made[-1].role} message is empty")
    return tuple(made), reader.notes


_ATTRIBUTE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,\s\]]+))""")


class _Reader:
    """Reads the messages of one text."""

    def __init__(self, text: str, inside: Inside | None) -> None:
        self.text = text
        self.notes: list[PromptNote] = []
        self._inside = inside
        """Fences and tags; None for a text without a directive."""

    def note_inline(self, body_start: int, *, has_roles: bool) -> None:
        """Say once if a role stands with text on its line: that makes no message."""
        first = _trimmed(self.text, body_start, len(self.text))[0]
        for found in INLINE.finditer(self.text, body_start):
            role = found["role"].lower()
            if found.start() != first and not (has_roles and role in ("system", "developer")):
                continue
            if found.start() not in Inside(content_spans(self.text, body_start)):
                said = f"{found['role']}: …"
                self.note(found.start(), f"{said!r} on one line is sent as text: a role stands alone on its line")
                return

    def note(self, offset: int, cause: str) -> None:
        """Add a remark about the line of an offset."""
        self.notes.append(PromptNote(cause, self.text.count("\n", 0, offset) + 1))

    def message(self, role: str, start: int, end: int, *, attributes: str = "", strip: bool = True) -> Message:
        """Read one message of [start, end)."""
        fields = {name: a or b or c for name, a, b, c in _ATTRIBUTE.findall(attributes)}
        fields.pop("nonce", None)  # Prompty's own, to tell role lines of a file from those of values
        directives = list(self._directives(start, end)) if self._inside is not None else []
        if not directives:
            raw = comments.without(self.text[start:end])
            return Message(role, ESCAPED.sub("", raw.strip("\r\n")) if strip else raw, start, end, fields=fields)
        parts: list[dict[str, Any]] = []
        at = start
        more: dict[str, Any] = {}
        content_is_parts = False
        for place, stop, kind, value in directives:
            self._add_text(parts, at, place, more)
            at, more = stop, {}
            if kind == "message":
                fields |= value
                continue
            content_is_parts = True
            if kind == "text":
                more = {"": True, **value}
            else:
                parts.append(value)
        self._add_text(parts, at, end, more)
        content = "\n".join(
            part["text"] for part in parts if part.get("type") == "text" and isinstance(part.get("text"), str)
        )
        if parts and not fields.get("content"):
            fields.pop("content", None)  # text was typed where there was none: what is shown is sent
        elif isinstance(fields.get("content"), str):
            content = fields["content"]
            if parts:
                self.note(start, "text below an @message line that has a content is not sent")
        return Message(role, content, start, end, tuple(parts) if content_is_parts else (), fields)

    def _add_text(self, parts: list[dict[str, Any]], start: int, end: int, more: Mapping[str, Any]) -> None:
        """Add the text between two directives as a part; the line breaks beside a directive are not of it."""
        text = self.text[start:end]
        if self.text[end : end + 1] == "@":
            text = text.removesuffix("\n").removesuffix("\r")
        if text.strip("\r\n") or more:
            written = ESCAPED.sub("", comments.without(text))
            parts.append({"type": "text", "text": written, **{key: value for key, value in more.items() if key}})

    def _directives(self, start: int, end: int) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
        """Yield (start, offset behind it, kind, value) of the directives of a message."""
        assert self._inside is not None
        for found in DIRECTIVE.finditer(self.text, start, end):
            if found.start() in self._inside:
                continue
            read = self._directive(found)
            if read is not None:
                behind = found.end() + (1 if self.text[found.end() : found.end() + 1] == "\n" else 0)
                yield found.start(), min(behind, end), *read

    def _directive(self, found: re.Match[str]) -> tuple[str, dict[str, Any]] | None:
        name, value = found["name"], found["value"].strip()
        if name == "image" and _IMAGE.fullmatch(value):
            return "part", {"type": "image_url", "image_url": {"url": value}}
        if name == "image" and _IMAGE_FILE.fullmatch(value):
            said = "@image takes an address (https://… or data:image/…), not a file, so the line is sent as text"
            self.note(found.start(), said)
            return None
        is_text = name == "part" and (value == "text" or value.startswith("text {"))
        given = value.removeprefix("text").strip() or "{}" if is_text else value
        try:
            read = json.loads(given) if given.startswith("{") else None
        except (ValueError, RecursionError):
            self.note(found.start(), f"@{name} is not followed by valid JSON, so the line is sent as text")
            return None
        if not isinstance(read, dict) or (name == "part" and not is_text and not isinstance(read.get("type"), str)):
            return None
        if name == "image":
            return "part", {"type": "image_url", "image_url": read}
        return ("text" if is_text else name), read


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave out the line breaks around a message: they separate it from its markers."""
    while start < end and text[start] in "\r\n":
        start += 1
    while end > start and text[end - 1] in "\r\n":
        end -= 1
    return start, end
