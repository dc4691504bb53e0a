"""The APIs that a profile may speak: how a request is written for each, and how its stream is read.

``chat`` is OpenAI's Chat Completions, which nearly every server speaks; ``responses`` is OpenAI's Responses API;
``anthropic`` is Anthropic's own Messages API. A parameter that an API does not have is never dropped in silence: the
body comes with sentences that say what was sent otherwise than asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptop.client.accumulator import StreamFailedError
from promptop.client.apis import chat, messages, responses

if TYPE_CHECKING:
    from promptop.client.accumulator import Answer
    from promptop.client.request import RunRequest
    from promptop.models import Model
    from promptop.settings import Profile

Build = Callable[["RunRequest", "Model | None"], tuple[dict[str, Any], list[str]]]
Read = Callable[[dict[str, Any], "Answer"], None]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API."""

    name: str
    title: str
    """Name for people."""
    path: str
    """Path below ``base_url``."""
    build: Build
    """Returns the body of a streamed request, and what in it differs from what was asked for, in words."""
    read: Read
    """Takes one event of the stream into the answer; raises :class:`.answer.StreamFailedError`."""
    lacks: Mapping[str, str]
    """Parameters (OpenAI's names) that it does not have → why not, for a person who set one."""
    ours: frozenset[str]
    """Fields that nobody asked for: where an endpoint refuses one it is left out without a word."""
    required: frozenset[str]
    """Fields that are never left out."""


_OPENAI = frozenset({"model", "messages", "input", "instructions", "stream"})
DIALECTS: Mapping[str, Dialect] = {
    "chat": Dialect(
        "chat",
        "Chat Completions",
        "/chat/completions",
        chat.build,
        chat.read,
        {},
        frozenset({"stream_options"}),
        _OPENAI,
    ),
    "responses": Dialect(
        "responses",
        "the Responses API",
        "/responses",
        responses.build,
        responses.read,
        responses.LACKS,
        frozenset({"store"}),
        _OPENAI,
    ),
    "anthropic": Dialect(
        "anthropic",
        "Anthropic's API",
        "/messages",
        messages.build,
        messages.read,
        messages.LACKS,
        frozenset(),
        frozenset({"model", "messages", "system", "stream", "max_tokens"}),
    ),
}


def read_whole(dialect: Dialect, body: dict[str, Any], answer: Answer) -> None:
    """Take an answer that came in one piece although a stream was asked for: some servers know no streams.

    Raises :class:`.answer.StreamFailedError` for an error object under HTTP 200.
    """
    from promptop.providers.events import body_pieces, dicts, string

    if error := body.get("error"):
        said = error if isinstance(error, dict) else {"message": str(error)}
        code = string(said.get("code")) or string(said.get("type")) or "error"
        raise StreamFailedError(code, string(said.get("message")) or "no reason given")
    if dialect.name == "chat":
        choices = [{**choice, "delta": choice.get("message")} for choice in dicts(body.get("choices"))]
        dialect.read({**body, "choices": choices}, answer)
        return
    if dialect.name == "responses":
        dialect.read({"type": f"response.{body.get('status', 'completed')}", "response": body}, answer)
    else:
        dialect.read({"type": "message_start", "message": body}, answer)
        dialect.read({"type": "message_delta", "delta": {"stop_reason": body.get("stop_reason")}}, answer)
    for piece in body_pieces(body):
        if piece.kind in {"text", "reasoning", "refusal"}:
            answer.add(piece.kind, piece.text)  # type: ignore[arg-type]  # narrowed by the line above


MODEL_REFUSES = "the model does not take it"


def dialect_of(profile: Profile) -> Dialect:
    """Return the API of a profile."""
    return DIALECTS[profile.api]


def refusal(profile: Profile, model: str, parameter: str) -> str:
    """Say why a model of a profile does not take a parameter (OpenAI's name for it); empty if it may take it.

    ``max_tokens`` is taken by all: it is sent in whatever field the model has for it.
    """
    from promptop import models

    if parameter == "max_tokens":
        return ""
    dialect = dialect_of(profile)
    if parameter in dialect.lacks:
        return dialect.lacks[parameter]
    if dialect.name == "anthropic" and parameter == "reasoning_effort":
        return ""  # the table speaks of OpenAI's field; here it becomes thinking
    known = models.find(model, profile.provider or None)
    if known is not None and known.takes(parameter) is False:
        return MODEL_REFUSES
    return ""
