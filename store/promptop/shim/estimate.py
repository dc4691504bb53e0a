"""Tokens from characters, for answers whose server reports no usage; no tokenizer is loaded in the host."""

from __future__ import annotations

import time
from functools import lru_cache

Chars = tuple[int, int, int, int]
_FRESH_S = 60.0
_UNIT = 1_000_000


def tokens(model: str | None, chars: Chars, messages: int = 0) -> int:
    """Return the estimated tokens of text with ``chars`` by script, plus the frame of ``messages`` chat messages."""
    *rates, per_message, priming = _rates(model or "", time.monotonic() // _FRESH_S)
    text = sum(count * rate for count, rate in zip(chars, rates, strict=True))
    return round(text + (messages * per_message + priming if messages else 0))


@lru_cache(maxsize=256)
def _rates(model: str, _minute: float) -> tuple[float, ...]:
    """Return a model's tokens a character by script, a message, and a request; learned factors may change them."""
    from promptop.tokens.counting import for_model
    from promptop.tokens.overhead import overhead

    frame = overhead(model)
    units: tuple[Chars, ...] = ((_UNIT, 0, 0, 0), (0, _UNIT, 0, 0), (0, 0, _UNIT, 0), (0, 0, 0, _UNIT))
    rates = [for_model(model, {}, unit).tokens / _UNIT for unit in units]
    return (*rates, frame.per_message, frame.priming)
