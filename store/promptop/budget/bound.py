"""The most that one request can cost, from the body that is sent: a bound on every count at the highest price of each.

Text is counted by the model's own tokenizer where it is exact, else as a token for each byte, which no tokenizer
exceeds. Everything is uncached, every answer is as long as its limit. What cannot be bounded is named, and then there
is not a bound at all: a cap refuses such a request instead of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptop.providers.billing.request import Billed, billed

if TYPE_CHECKING:
    from promptop.models import Model

PER_PIECE = 8
"""Tokens around each message, part or tool at most: chat formats add 3 to 5, and a few for a role or a name."""
PRIMING = 16
"""Tokens that open the answer at most."""
_IMAGE_TOKENS = {"gpt-4o-mini": 48_200, "claude": 5_000, "gemini": 2_600, "openai": 16_000}
"""The largest bill of one image by model or family; pictures of unknown families are taken as the dearest of these."""
_DEAREST_IMAGE = max(_IMAGE_TOKENS.values())
_LONG_CACHE = 2.0
"""The dearest write to a provider's cache, as a multiple of the input price."""

CountText = Callable[[str, str], int]
"""Counts a text for a model: tokens at most."""


@dataclass(frozen=True, slots=True)
class CostBound:
    """The most that one request can cost."""

    usd: float | None
    """None if there is no bound."""
    open: tuple[str, ...] = ()
    """Why there is none, a reason each."""
    input_tokens: int = 0
    """Input at most."""
    output_tokens: int = 0
    """Output at most, all answers together."""
    output_usd: float = 0.0
    """What of ``usd`` the output may cost."""
    answers: int = 1


def count_at_most(text: str, model: str) -> int:
    """Count a text for a model: exactly, or as many tokens as it has bytes."""
    from promptop.tokens import count

    found = count(text, model)
    size = len(text.encode("utf-8", "surrogatepass"))
    return min(size, found.tokens) if found.kind == "exact" else size


def count_bytes(text: str, model: str) -> int:
    """Count a token for each byte: loads no tokenizer, and is never less than the tokens."""
    return len(text.encode("utf-8", "surrogatepass"))


def bound(
    body: Mapping[str, Any], path: str, *, provider: str | None = None, count: CountText = count_at_most
) -> CostBound:
    """Return the most that a request with this ``body`` can cost; ``provider`` tells equal model names apart."""
    asked = billed(body, path)
    if asked.unknown:
        return CostBound(None, tuple(f"{what} has no known price" for what in asked.unknown), answers=asked.answers)
    found = [_bound_of(asked, model, provider, count) for model in dict.fromkeys(asked.models)]
    unbounded = [each for each in found if each.usd is None]
    return unbounded[0] if unbounded else max(found, key=lambda each: each.usd or 0.0)


def _bound_of(asked: Billed, name: str, provider: str | None, count: CountText) -> CostBound:
    from promptop import models

    model = models.find(name, provider)
    shown = name or "a request that names no model"
    given = count(asked.text, name) + asked.extra_tokens + len(asked.texts) + PER_PIECE * asked.pieces + PRIMING
    given += len(asked.images) * _image_tokens(name, model)
    if asked.audio_bytes:
        return CostBound(None, (f"sound has no price of its own here for {shown}",), given, answers=asked.answers)
    if asked.unsized:
        window = model.context_window if model is not None else None
        if window is None:
            return CostBound(None, tuple(f"{what} is of unknown size" for what in asked.unsized))
        given = max(given, window)
    made = 0
    if asked.makes_output:
        limit = asked.limit or (model.max_output if model is not None else None)
        if limit is None:
            return CostBound(None, (f"no limit of output tokens is known for {shown}",), given, answers=asked.answers)
        made = limit + sum(count(text, name) for text in asked.predicted)
    made *= asked.answers
    context = {"service_tier": asked.tier} if asked.tier else None

    def priced(**given_counts: Any) -> float | None:
        return models.price(
            name, provider=provider, context=context, **({"input_tokens": 0, "output_tokens": 0} | given_counts)
        ).usd

    if context is not None and not _is_listed(name, provider, context):
        return CostBound(None, (f"service_tier {asked.tier[:40]} has no listed price for {shown}",))
    read, written, whole = (
        priced(input_tokens=given),
        priced(input_tokens=given, cache_write=given),
        priced(input_tokens=given, output_tokens=made),
    )
    thought = priced(input_tokens=given, output_tokens=made, reasoning=made)
    if read is None or whole is None:
        return CostBound(None, (f"no price is known for {shown}",), given, made, answers=asked.answers)
    input_usd = max(read * (_LONG_CACHE if asked.writes_cache else 1.0), written or 0.0)
    output_usd = max(whole, thought or 0.0) - read
    return CostBound(input_usd + output_usd, (), given, made, output_usd, asked.answers)


def _is_listed(name: str, provider: str | None, context: Mapping[str, str]) -> bool:
    """Whether the table prices a processing tier apart from the usual one."""
    from promptop import models

    counts: dict[str, Any] = {"input_tokens": 1_000_000, "output_tokens": 1_000_000, "provider": provider}
    return models.price(name, **counts, context=context).usd != models.price(name, **counts).usd


def _image_tokens(name: str, model: Model | None) -> int:
    key = (model.id if model is not None else name).lower()
    for known, tokens in _IMAGE_TOKENS.items():
        if key.startswith(known) or known == (model.family if model is not None else ""):
            return tokens
    return _DEAREST_IMAGE
