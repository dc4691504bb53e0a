"""The key of a request in the response cache: what was asked, canonically, and whether its answer may be kept at all.

Two requests share a key only if no parameter that can change the answer differs. What is left out is listed
(:data:`IGNORED`), not what is included: a parameter that a provider invents tomorrow is part of the key at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = 2
"""Part of every key: a change of the canonical form must not find old entries."""

IGNORED = frozenset({"user", "metadata", "prompt_cache_key", "safety_identifier", "store", "service_tier"})
"""Parameters that address, label or bill a request and do not shape its answer."""

_ENDPOINTS = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/messages": "messages",
    "/completions": "completions",
    "/embeddings": "embeddings",
}
_SPACE = re.compile(r"[ \t\u00a0\u3000]+")
_LINES = re.compile(r"\s*\n\s*")
MEANING_LIMIT = 2000
"""Characters of the longest text that is compared by meaning: one vector says little of a long document."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be cached beyond the safe default."""

    any_temperature: bool = False
    """Keep answers that were sampled (temperature above 0 or not given)."""
    tools: bool = False
    """Keep answers to requests that offer tools, whose calls may have side effects when they are repeated."""
    normalize_whitespace: bool = False
    """Let prompts share a key that differ only in runs of white space."""
    semantic: bool = False
    """Let prompts share an answer that ask the same in other words (:mod:`promptop.cache.semantic.level`)."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """A request's place in the cache."""

    digest: str
    """BLAKE2b-256, hex."""
    model: str
    prompt: str
    """BLAKE2b-128 of the messages alone, hex: what invalidation by prompt names."""
    refusal: str = ""
    """Why the answer may not be kept; empty if it may."""
    text: str = field(default="", repr=False)
    """The last message's text, where it may be compared by meaning; else empty."""
    frame: str = ""
    """BLAKE2b-256 of everything but ``text``, hex: only requests of one frame are compared by meaning."""

    @property
    def cacheable(self) -> bool:
        """Whether the cache may be asked and filled for this request."""
        return not self.refusal


def endpoint_of(path: str) -> str | None:
    """Return the kind of endpoint that a URL path names, or None for one whose answers are not understood."""
    bare = path.split("?", 1)[0].rstrip("/")
    for ending, kind in _ENDPOINTS.items():
        if bare.endswith(ending):
            return kind
    return None


def key_of(
    host: str, path: str, body: Mapping[str, Any], policy: Policy | None = None, *, account: str = ""
) -> CacheKey | None:
    """Return the key of a request, or None if it is not one whose answer is understood.

    ``host`` is the server with its port, ``path`` the URL path, ``body`` the parsed JSON. ``account`` is any text that
    separates those who must not see each other's answers; it enters the digest and is not recoverable from it.
    """
    policy = policy or Policy()
    endpoint = endpoint_of(path)
    if endpoint is None:
        return None
    bare = path.split("?", 1)[0].rstrip("/")  # Azure names its deployment there, others a version
    asked = {name: value for name, value in body.items() if name not in IGNORED and value is not None}
    asked = (
        {name: _normalized(value) if name in _PROMPTS else value for name, value in asked.items()}
        if (policy.normalize_whitespace)
        else asked
    )
    prompt = {name: asked[name] for name in _PROMPTS if name in asked}
    refusal = _refusal(endpoint, body, policy)
    text, frame = "", ""
    if policy.semantic and not refusal and (parted := _parted(endpoint, asked)) is not None:
        text, rest = parted
        frame = _digest(json.dumps([VERSION, "frame", host.lower(), bare, account, rest], **_CANONICAL), 32)
    return CacheKey(
        digest=_digest(json.dumps([VERSION, host.lower(), bare, account, asked], **_CANONICAL), 32),
        model=str(body.get("model", "")),
        prompt=_digest(json.dumps(prompt, **_CANONICAL), 16),
        refusal=refusal,
        text=text,
        frame=frame,
    )


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def _parted(endpoint: str, asked: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the text of the last user message and the request without it; None if it is not text alone."""
    name = {"chat": "messages", "messages": "messages", "responses": "input", "completions": "prompt"}.get(endpoint, "")
    given = asked.get(name)
    last = given[-1] if isinstance(given, list) and given else given
    before = given[:-1] if isinstance(given, list) else []
    rest: dict[str, Any] = {}
    text: Any = last
    if isinstance(last, Mapping):
        if last.get("role") != "user":
            return None
        text, rest = last.get("content"), {key: value for key, value in last.items() if key != "content"}
        if isinstance(text, list) and len(text) == 1 and isinstance(text[0], Mapping):
            text = text[0].get("text") if text[0].keys() == {"type", "text"} else None
    if not isinstance(text, str) or not text.strip() or len(text) > MEANING_LIMIT:
        return None
    return text, {**asked, name: [*before, rest]}


_TOOLS = ("tools", "functions", "mcp_servers")
_PROMPTS = ("messages", "input", "instructions", "system", "prompt")
_CANONICAL: dict[str, Any] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}


def _normalized(value: Any) -> Any:
    """Collapse runs of blanks and the blanks around newlines in every string below ``value``."""
    if isinstance(value, str):
        return _LINES.sub("\n", _SPACE.sub(" ", value)).strip()
    if isinstance(value, list):
        return [_normalized(item) for item in value]
    if isinstance(value, dict):
        return {name: _normalized(item) for name, item in value.items()}
    return value


def _refusal(endpoint: str, body: Mapping[str, Any], policy: Policy) -> str:
    if endpoint == "embeddings":
        return ""
    if body.get("store") is True:
        return "store: the server keeps this answer under an id of its own"
    if isinstance(body.get("n"), int) and body["n"] > 1:
        return "n > 1: several answers were asked for because they differ (ask for one at a time to keep them)"
    if body.get("background") is True:
        return "background: the answer is fetched later"
    if body.get("previous_response_id") or body.get("conversation"):
        return "the prompt depends on what the server remembers"
    offered = next((name for name in _TOOLS if body.get(name)), "")
    if offered and not policy.tools:
        return f"{offered}: a repeated call may have side effects (tools = true in [cache] keeps it)"
    if body.get("web_search_options") is not None:
        return "web_search_options: the answer is of the moment"
    temperature = body.get("temperature")
    if not policy.any_temperature and not (isinstance(temperature, int | float) and temperature == 0):
        keeps = "temperature 0, or any_temperature = true in [cache], keeps it"
        return f"temperature above 0: the answer is meant to vary ({keeps})"
    return ""
