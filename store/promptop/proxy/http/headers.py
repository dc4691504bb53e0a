"""Header fields on their way through: hop-by-hop fields end here, the proxy's own are taken out, the rest passes."""

from __future__ import annotations

import json

from promptop.capture.annotations import Annotation
from promptop.proxy.http.fields import Fields, Raw

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that belong to one connection (RFC 9110, 7.6.1)."""

OWN = "x-promptop-"
"""Prefix of the fields that speak to the proxy and are not forwarded."""
TOKEN = "x-promptop-token"
_OWN = OWN.encode()
_NOT_FORWARDED = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_NOT_RETURNED = HOP_BY_HOP
_KEPT_THOUGH_NAMED = frozenset((b"close", b"keep-alive", b"content-type", b"authorization"))
_SIGNED = (b"content-digest", b"x-amz-content-sha256", b"x-goog-content-sha256", b"signature", b"digest")
MAX_NOTE = 256
MAX_TAGS = 2048


def _named(value: bytes) -> set[bytes]:
    """Return the fields that a ``Connection`` names as belonging to this hop."""
    return {name.strip().lower() for name in value.split(b",")}


def forwarded(raw: Raw) -> tuple[Fields, dict[str, str]]:
    """Return the fields to send on, in order and with their spelling, and the proxy's own by lower-case name."""
    out: Raw = []
    own: dict[str, str] = {}
    named: set[bytes] = set()
    for field in raw:
        lower = field[0].lower()
        if lower in _NOT_FORWARDED:
            if lower == b"connection":
                named |= _named(field[1])
            continue
        if lower.startswith(_OWN):
            own[lower.decode("ascii", "replace")] = field[1].decode("utf-8", "surrogateescape")
            continue
        out.append(field)
    fields = Fields(out)
    if named and (named := named - _KEPT_THOUGH_NAMED):
        fields.remove(*named)
    return fields, own


def returned(raw: Raw) -> Raw:
    """Return the response fields to pass back."""
    out: Raw = []
    named: set[bytes] = set()
    for field in raw:
        lower = field[0].lower()
        if lower in _NOT_RETURNED:
            if lower == b"connection":
                named |= _named(field[1])
            continue
        out.append(field)
    if named:
        out = [field for field in out if field[0].lower() not in named]
    return out


def is_signed(headers: Fields) -> bool:
    """Say whether a changed body would break the request's signature."""
    return any(
        (lower := name.lower()) in _SIGNED or (lower == b"authorization" and value.startswith(b"AWS4"))
        for name, value in headers.raw
    )


def note_of(own: dict[str, str]) -> Annotation | None:
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

    return Annotation(
        app=short("app"),
        tags=tags if isinstance(tags, dict) else None,
        prompt_name=short("prompt"),
        prompt_version=short("prompt-version"),
        conversation_id=short("conversation"),
    )
