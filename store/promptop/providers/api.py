"""What an API is to promptop: how its requests are written, and how a request, an event, a body and usage are read.

A provider module holds one :class:`Api` or several. Everything that reads takes any JSON value in any place: a server,
a proxy in between or a file may have written it. Nothing here or in the modules beside it is loaded from outside the
standard library, since the observed program pays for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from promptop.providers.usage import Usage

if TYPE_CHECKING:
    from promptop.models import Model

MOST_CHOICES = 64
"""Choices of one answer whose ends are kept."""


class Piece(NamedTuple):
    """Generated text: ``kind`` is text, refusal, reasoning, tool or audio."""

    kind: str
    text: str
    place: int = 0
    """Of text: the choice. Of a tool call: its place in the answer."""
    is_name: bool = False
    """Whether the text is the name of a tool and not a part of its arguments."""


class Path(NamedTuple):
    """The end of a URL path that an API answers."""

    ending: str
    operation: str
    """``gen_ai.operation.name``."""
    api_type: str | None = None
    """``openai.api.type``."""


@dataclass(frozen=True, slots=True)
class Writing:
    """A request to be written: parameters by OpenAI's names, ``max_tokens`` whatever the model calls it."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Any]


@dataclass(slots=True)
class RequestSummary:
    """A request's facts; None where it does not say."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    choices: int | None = None
    effort: str | None = None
    tools: int | None = None
    messages: int | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Role and text of each message, in order; what is not text stands as JSON in ``attached``."""
    attached: list[str] = field(default_factory=list)
    extra: str = ""
    """Tool and schema definitions, JSON: they are counted, but are no message."""


@dataclass(slots=True)
class AnswerFacts:
    """What an answer says beside its text, gathered event by event or from a body. Unknown is None or empty."""

    id: str = ""
    model: str = ""
    service_tier: str = ""
    usage: dict[str, Any] | None = None
    """The last usage object that was not null, as the server wrote it; those of Anthropic are merged."""
    usage_api: Api | None = None
    """The API whose usage object that is."""
    opening_usage: bool = False
    """Only the usage of the beginning came: its output tokens are not those of the answer."""
    finish: dict[int, str] = field(default_factory=dict)
    """Choice → why it ended."""
    error: tuple[str, str] | None = None
    """Code or type, and message, of an error object in the body or the stream."""
    timings: dict[str, float] = field(default_factory=dict)
    """The server's own timings, seconds."""
    fees: dict[str, Any] = field(default_factory=dict)
    """What was used beside tokens, by the names of :class:`~promptop.providers.usage.Usage`."""
    done: bool = False
    """A mark of the regular end came."""
    known: bool = False
    """At least one event or body had a shape that is known."""
    settled_later: bool = False
    """The answer is made in the background: this is its receipt, or a look at it that may be repeated."""

    def ended(self, place: Any, reason: Any) -> None:
        """Note why a choice ended, if ``reason`` is a word."""
        if isinstance(reason, str) and reason and len(self.finish) < MOST_CHOICES:
            self.finish[place if isinstance(place, int) and not isinstance(place, bool) else 0] = reason

    def failed(self, error: Any) -> None:
        """Note an error object, whatever its shape."""
        from promptop.providers.errors import read

        self.error = read(error)

    def named(self, value: Mapping[str, Any], *, model: str = "model", id: str = "id") -> None:  # noqa: A002
        """Take id, model and service tier where they are words."""
        if isinstance(found := value.get(model), str) and found:
            self.model = found
        if isinstance(found := value.get(id), str) and found:
            self.id = found
        if isinstance(found := value.get("service_tier"), str) and found:
            self.service_tier = found

    def read_usage(self, provider: str | None = None) -> Usage:
        """Return usage in one shape, with what else was used; empty where the server reported none."""
        if self.usage_api is None:
            return Usage(**self.fees) if self.fees else Usage()
        found = self.usage_api.usage(self.usage, provider)
        return found.with_fees(self.fees) if self.fees else found


class Api:
    """One API. A module overrides what its API has; what it leaves says nothing and reads nothing."""

    name: str = ""
    """As a profile's ``api`` names it, where requests can be written for it; else a name for messages."""
    title: str = ""
    """Name for people."""
    path: str = ""
    """Path below ``base_url`` that requests are sent to."""
    paths: tuple[Path, ...] = ()
    """Ends of the URL paths that speak it; the longest that fits decides."""
    provider: str | None = None
    """Who answers at these paths, where only one does."""
    lacks: Mapping[str, str] = {}
    """Parameters (OpenAI's names) that it does not have → why not, for a person who set one."""
    ours: frozenset[str] = frozenset()
    """Fields that nobody asked for: where an endpoint refuses one it is left out without a word."""
    required: frozenset[str] = frozenset()
    """Fields that are never left out."""

    def headers(self, key: str) -> dict[str, str]:
        """Return what each request carries beside the caller's own headers; ``key`` may be empty."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def build(self, request: Writing, model: Model | None) -> tuple[dict[str, Any], list[str]] | None:
        """Return the body of a streamed request and, in words, how it differs from what was asked for.

        None where promptop does not write requests for this API.
        """
        return None

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        """Take the facts of a parsed request."""

    def recognises(self, value: Mapping[str, Any]) -> bool:
        """Say whether an event or a body has this API's shape."""
        return False

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what a streamed event adds to the answer; nothing for role chunks, pings, usage and notices."""
        yield from ()

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what a whole (not streamed) answer says."""
        yield from ()

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        """Take ids, model, usage, ends and errors of an event or a body."""

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        """Say cheaply that an event has text and no other fact, as nearly all have; in doubt say no."""
        return False

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        """Return this API's usage object in one shape; ``provider`` is the log's name of who answered."""
        return Usage()


_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # left out of typeshed


def loads(data: bytes | str) -> Any:
    """Return the JSON value of ``data``, or None where it is none (also where it nests too deeply)."""
    try:
        if isinstance(data, bytes) and data[:1] == b"{" and data[1:2] != b"\0":
            # Nearly all: an object in UTF-8, nothing around it. json.loads looks for encodings and blanks first, which
            # takes as long as the parsing of a stream's event.
            data = data.decode("utf-8", "surrogatepass")
            value, end = _scan(data, 0)
            if end == len(data):
                return value
        return json.loads(data)
    except (ValueError, RecursionError, StopIteration):
        return None


def dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; nothing where ``value`` is not a list."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item


def string(value: Any) -> str:
    """Return ``value`` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def table(value: Any) -> dict[str, Any]:
    """Return ``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


compact = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
"""JSON in one spelling, for hashes and counts."""


def take_message(role: str, content: Any, asked: RequestSummary) -> None:
    """Take one message of a request: text, or parts of which those that are no text are attached."""
    if isinstance(content, dict):
        content = content.get("parts", [content])
    if not isinstance(content, list):
        asked.texts.append((role, string(content)))
        return
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text", part.get("content"))
            if isinstance(text, str):
                texts.append(text)
            elif isinstance(text, list):
                texts.extend(string(inner.get("text")) for inner in dicts(text))
            else:
                asked.attached.append(compact(part))
    asked.texts.append((role, "".join(texts)))


def take_inputs(inputs: Any, asked: RequestSummary) -> None:
    """Take a prompt or an input: a text, a list of texts or items, or a list of token numbers."""
    if isinstance(inputs, str):
        asked.messages = 1
        asked.texts.append(("user", inputs))
    elif isinstance(inputs, list):
        tokens = bool(inputs) and all(isinstance(item, int) for item in inputs)
        asked.messages = 1 if tokens else len(inputs)
        for item in [inputs] if tokens else inputs:
            if isinstance(item, str):
                asked.texts.append(("user", item))
            elif isinstance(item, dict):
                content = item.get("content", item.get("text", item.get("output", item.get("arguments"))))
                take_message(string(item.get("role")) or "user", content, asked)
            else:
                asked.attached.append(compact(item))
