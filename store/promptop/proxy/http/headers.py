"""Header fields on their way through: hop-by-hop fields end here, the proxy's own are taken out, the rest passes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from multidict import CIMultiDict

from promptop.capture.annotations import Note

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that belong to one connection (RFC 9110, 7.6.1)."""

OWN = "x-promptop-"
"""Prefix of the fields that speak to the proxy and are not forwarded."""
TOKEN = "x-promptop-token"
_NOT_FORWARDED = HOP_BY_HOP | {"host", "content-length", "expect"}
_NOT_RETURNED = HOP_BY_HOP
_SIGNED = ("content-digest", "x-amz-content-sha256", "x-goog-content-sha256", "signature", "digest")
MAX_NOTE = 256
MAX_TAGS = 2048


def _named(values: Iterable[str]) -> set[str]:
    """Return the fields that ``Connection`` names as belonging to this hop."""
    return {name.strip().lower() for value in values for name in value.split(",")}


def forwarded(raw: Sequence[tuple[bytes, bytes]]) -> tuple[CIMultiDict[str], dict[str, str]]:
    """Return the fields to send on, in order and with their spelling, and the proxy's own by lower-case name."""
    out: CIMultiDict[str] = CIMultiDict()
    own: dict[str, str] = {}
    named: set[str] = set()
    for raw_name, raw_value in raw:
        name = raw_name.decode("utf-8", "surrogateescape")
        value = raw_value.decode("utf-8", "surrogateescape")
        lower = name.lower()
        if lower in _NOT_FORWARDED:
            if lower == "connection":
                named |= _named((value,))
            continue
        if lower.startswith(OWN):
            own[lower] = value
            continue
        out.add(name, value)
    for name in named - {"close", "keep-alive", "content-type", "authorization"}:
        out.popall(name, None)
    return out, own


def returned(fields: Sequence[tuple[str, str]]) -> CIMultiDict[str]:
    """Return the response fields to pass back."""
    out: CIMultiDict[str] = CIMultiDict()
    named: set[str] = set()
    for name, value in fields:
        lower = name.lower()
        if lower in _NOT_RETURNED:
            if lower == "connection":
                named |= _named((value,))
            continue
        out.add(name, value)
    for name in named:
        out.popall(name, None)
    return out


def is_signed(headers: CIMultiDict[str]) -> bool:
    """Say whether a changed body would break the request's signature."""
    return any(name in headers for name in _SIGNED) or headers.get("Authorization", "").startswith("AWS4")


def note_of(own: dict[str, str]) -> Note | None:
    """Read what the program says about its call; what is too long is cut, tags that are no JSON object are dropped."""
    if not own:
        return None
    text = own.get("x-promptop-tags", "")
    try:
        tags = json.loads(text) if 0 < len(text) <= MAX_TAGS else None
    except (ValueError, RecursionError):
        tags = None

    def short(name: str) -> str | None:
        return own.get(OWN + name, "")[:MAX_NOTE].encode("utf-8", "replace").decode() or None

    return Note(
        app=short("app"),
        tags=tags if isinstance(tags, dict) else None,
        prompt_name=short("prompt"),
        prompt_version=short("prompt-version"),
        conversation_id=short("conversation"),
    )
