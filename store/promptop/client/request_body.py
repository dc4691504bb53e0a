"""The body of a request in the API of its profile, and the repair after a refusal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.client.apis import api_of
from promptop.client.request import RunRequest
from promptop.providers.api import Writing
from promptop.providers.chat import OTHER_NAME
from promptop.providers.errors import of_body

if TYPE_CHECKING:
    from promptop.client.http.endpoints import RefusedFields
    from promptop.models import Model

# What a model refuses is answered with one of these codes, or in words that differ by server.
_REFUSED_CODES = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "unsupported_field"}
_REFUSED_WORDS = re.compile(
    r"unsupported|not supported|does not support|doesn't support|unrecogni[sz]ed|unknown (?:field|parameter|argument)"
    r"|not permitted|unexpected keyword|no longer supported|extra inputs|is deprecated|cannot both be specified"
    r"|may only be set to",
    re.IGNORECASE,
)


def find_model(request: RunRequest) -> Model | None:
    """Return what the catalogue knows of the model of a request."""
    from promptop import models

    return models.find(request.model, request.profile.provider or None)


def body_of(request: RunRequest, model: Model | None, learned: RefusedFields) -> tuple[dict[str, Any], list[str]]:
    """Return the body to send and, in words, how it differs from what was asked for."""
    api = api_of(request.profile)
    built = api.build(Writing(request.model, request.messages, request.parameters()), model)
    assert built is not None, "api_of gives only APIs that requests are written for"
    body, changes = built
    for name, new in learned.renamed.items():
        if name in body:
            body[new] = body.pop(name)
            changes.append(f"{name} sent as {new}: the endpoint asked for it")
    for name, why in learned.dropped.items():
        if body.pop(name, None) is not None and name not in api.ours:
            changes.append(f"{name} not sent: {why}")
    return body, changes


def sent_body(request: RunRequest) -> tuple[str, dict[str, Any]]:
    """Return path and body of a request as its first attempt sends them; its own API may rename or drop fields."""
    from promptop.client.http.endpoints import RefusedFields

    return api_of(request.profile).path, body_of(request, find_model(request), RefusedFields())[0]


def whole_body(request: RunRequest, learned: RefusedFields) -> dict[str, Any]:
    """Return the body of the same request for an answer that comes in one piece (batches)."""
    body, _ = body_of(request, find_model(request), learned)
    return {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}


def repair(body: dict[str, Any], error: Any, learned: RefusedFields, request: RunRequest) -> bool:
    """Learn from a 400 which field to drop or rename; return whether there is something to try again."""
    api = api_of(request.profile)
    field = _refused_field([name for name in body if name not in api.required], error)
    if field is None:
        return False
    message = clean_line(_words(error), 120)
    other = OTHER_NAME.get(field) if api.name == "chat" else None
    if other and other not in learned.renamed and other not in learned.dropped:
        learned.renamed[field] = other
    elif field in learned.dropped:
        return False
    else:
        why = f"the endpoint refused it ({message})"
        learned.dropped[field] = why
        for old in [old for old, new in learned.renamed.items() if new == field]:
            del learned.renamed[old]
            learned.dropped[old] = why  # refused under both names
    return True


def _words(error: Any) -> str:
    said = of_body(error.body)
    return said[1] if said is not None else str(error.message)


def _refused_field(candidates: list[str], error: Any) -> str | None:
    """Return the optional field that a 400 or 422 names as unsupported; a wrong *value* is no reason."""
    words = _words(error)
    refused = str(error.code or "") in _REFUSED_CODES or bool(_REFUSED_WORDS.search(words))
    if not refused:
        return None
    param = str(error.param or "").partition(".")[0]
    if param in candidates:
        return param
    for name in sorted(candidates, key=len, reverse=True):
        if re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", words):
            return name
    return None
