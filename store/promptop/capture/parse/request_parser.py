"""What of a request is compared and not read: hashes of its prompt, and the ends of one that is too large to read."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from promptop.providers.api import loads

_PREFIX_FROM = 1024
"""First prefix that is hashed, characters; the following ones double. Providers cache from 1,024 tokens on."""
_LEADING = ("system", "developer")
_EDGE = 4096
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*("[^"\\]{1,200}")')
_STREAM = re.compile(rb'(?<!\\)"stream"\s*:\s*(true|false)')


def at_the_ends(body: bytes) -> dict[str, Any]:
    """Return what stands at the ends of a request too large to be parsed: its model, and whether it streams."""
    found: dict[str, Any] = {}
    for edge in (body[:_EDGE], body[-_EDGE:]):
        if model := _MODEL.search(edge):
            found["model"] = loads(model[1])
        if stream := _STREAM.search(edge):
            found["stream"] = stream[1] == b"true"
    return found


def prompt_hash(texts: list[tuple[str, str]], attached: list[str] | None = None) -> str:
    """Return the BLAKE2b-128 of messages, hex: ``role US text RS`` of each in UTF-8, then what is attached."""
    digest = blake2b(_flat(texts).encode("utf-8", "surrogatepass"), digest_size=16)
    for part in attached or ():
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def prefix_hashes(texts: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """Return ``(characters, BLAKE2b-64 hex)`` of growing prefixes of the messages.

    Prefixes end where the leading system messages end and at 1,024 · 2ᵏ characters: two requests whose entries agree
    share at least that much of their beginning.
    """
    flat = _flat(texts)
    if len(flat) < _PREFIX_FROM and (not texts or texts[0][0] not in _LEADING):
        return []
    cuts = set()
    end = 0
    for role, text in texts:
        if role not in _LEADING:
            break
        end += len(role) + len(text) + 2
        cuts.add(end)
    size = _PREFIX_FROM
    while size <= len(flat):
        cuts.add(size)
        size *= 2
    found = []
    digest = blake2b(digest_size=8)
    start = 0
    for cut in sorted(cuts):
        digest.update(flat[start:cut].encode("utf-8", "surrogatepass"))
        found.append((cut, digest.hexdigest()))
        start = cut
    return found


def _flat(texts: list[tuple[str, str]]) -> str:
    return "".join(f"{role}\x1f{text}\x1e" for role, text in texts)
