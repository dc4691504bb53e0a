"""Counts by model: exact where the tokenizer is known, else estimated from o200k; each says which it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from promptop import models
from promptop.tokens import estimate, factors
from promptop.tokens.scripts import Chars, chars_by_script

BASIS = "o200k_base"
"""Encoding that estimates start from."""
_SAME_TEXT = {"o200k_harmony": "o200k_base"}  # they differ in special tokens alone, and text is counted as ordinary


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a text for a model, and how sure that is."""

    tokens: int
    kind: Literal["exact", "estimated"]
    interval: tuple[int, int] | None
    """Where 90 of 100 such texts lie, where that was measured; None for exact counts and for factors without data."""
    encoding: str
    error: float | None = None
    """Half the interval relative to the count (0.016 is ± 1.6 %), before both are rounded to whole tokens."""

    def __str__(self) -> str:
        if self.kind == "exact":
            return f"{self.tokens:,}"
        return f"≈ {self.tokens:,}" + (f" ± {self.error:.1%}".replace("%", " %") if self.error else "")


def encodings_for(names: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct encodings that these models need, in order: twenty models share a few of them."""
    wanted: dict[str, None] = {}
    for name in names:
        model = models.find(name)
        exact = model is not None and model.count_kind == "exact"
        encoding = model.encoding if model is not None and exact else BASIS
        wanted[_SAME_TEXT.get(encoding, encoding)] = None
    return tuple(wanted)


def count(text: str, model: str) -> Count:
    """Count ``text`` as ordinary text (special tokens are text) for ``model``, in this process."""
    from promptop.tokens.short_texts import count_tokens

    counts = {name: count_tokens(name, text) for name in encodings_for([model])}
    return for_model(model, counts, chars_by_script(text))


def for_model(model: str, counts: Mapping[str, int], chars: Chars) -> Count:
    """Turn counts by encoding into the count of a model; no tokenizer is loaded.

    ``counts`` holds the encodings of :func:`encodings_for`. If the model's own is not among them the count is estimated
    from o200k, and without that from the characters.
    """
    known = models.find(model)
    if known is not None and known.count_kind == "exact":
        own = known.encoding if known.encoding in counts else _SAME_TEXT.get(known.encoding, known.encoding)
        if own in counts:
            return Count(counts[own], "exact", None, known.encoding)
    base = float(counts[BASIS]) if BASIS in counts else estimate.o200k_from_chars(chars)
    learned = factors.current().get(factors.key(model))
    family = estimate.family(known.family if known is not None else "")
    if known is not None and known.count_kind == "exact":
        family = estimate.ENCODINGS.get(known.encoding, family)
    error = learned.error if learned else family.error
    if BASIS not in counts and error is not None:
        error = math.hypot(error, estimate.RATE_ERROR)
    tokens = estimate.apply(learned.factors if learned else family.factors, base, chars)
    whole = max(round(tokens), 1) if sum(chars) or base else 0
    interval = (math.floor(tokens * (1 - error)), math.ceil(tokens * (1 + error))) if error is not None else None
    return Count(whole, "estimated", interval, BASIS, error)
