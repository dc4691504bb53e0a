"""The server's usage object in one shape: input includes cached tokens, output includes reasoning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_LARGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as reported; None where the server did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_usd: float | None = None

    def __bool__(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None


def whole(value: Any) -> int | None:
    """Return a count of tokens, or None where ``value`` is none (a bool, a text, negative, beyond 2⁵³)."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LARGEST:
        return None
    return int(value)


def amount(value: Any) -> float | None:
    """Return a finite, non-negative number, or None."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LARGEST:
        return None
    return float(value)


def normalise(usage: Any, *, anthropic: bool = False, provider: str | None = None) -> Usage:
    """Return the usage object of any supported API in one shape (reference: docs/shim.md).

    ``anthropic`` says that the object is of Anthropic's own API, whose ``input_tokens`` leave out cached ones.
    """
    if not isinstance(usage, dict):
        return Usage()
    if "promptTokenCount" in usage:
        return _gemini(usage)
    details_in = _dict(usage.get("prompt_tokens_details")) or _dict(usage.get("input_tokens_details"))
    details_out = _dict(usage.get("completion_tokens_details")) or _dict(usage.get("output_tokens_details"))
    cache_read = _first(
        whole(details_in.get("cached_tokens")),
        whole(usage.get("prompt_cache_hit_tokens")),  # DeepSeek
        whole(usage.get("cached_tokens")),  # Moonshot
        whole(usage.get("cache_read_input_tokens")),  # Anthropic
    )
    cache_write = _first(
        whole(details_in.get("cache_write_tokens")),
        whole(usage.get("cache_write_tokens")),
        whole(usage.get("cache_creation_input_tokens")),
    )
    reasoning = whole(details_out.get("reasoning_tokens"))
    taken = _first(whole(usage.get("prompt_tokens")), whole(usage.get("input_tokens")))
    given = _first(whole(usage.get("completion_tokens")), whole(usage.get("output_tokens")))
    if anthropic and taken is not None:
        taken += (cache_read or 0) + (cache_write or 0)
    elif given is not None:
        given, reasoning = _with_reasoning(taken, given, whole(usage.get("total_tokens")), reasoning, provider)
    return Usage(taken, given, cache_read, cache_write, reasoning, amount(usage.get("cost")))


def _with_reasoning(
    taken: int | None, given: int, total: int | None, reasoning: int | None, provider: str | None
) -> tuple[int, int | None]:
    """Add reasoning that the server counts outside of completion_tokens (xAI, Gemini's compatible endpoint)."""
    if total is None:
        return (given + (reasoning or 0) if provider == "x_ai" else given), reasoning
    rest = total - (taken or 0) - given
    if taken is None or rest <= 0 or (reasoning is not None and reasoning != rest):
        return given, reasoning
    return given + rest, rest


def _gemini(usage: dict[str, Any]) -> Usage:
    reasoning = whole(usage.get("thoughtsTokenCount"))
    given = whole(usage.get("candidatesTokenCount"))
    if given is not None:
        given += reasoning or 0
    return Usage(
        whole(usage.get("promptTokenCount")), given, whole(usage.get("cachedContentTokenCount")), None, reasoning
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(*values: int | None) -> int | None:
    for value in values:
        if value is not None:
            return value
    return None
