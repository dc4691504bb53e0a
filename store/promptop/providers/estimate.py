"""Tokens from characters, for answers whose server reports no usage; no tokenizer is loaded in the host."""

from __future__ import annotations

import sys
import time
from functools import lru_cache

Chars = tuple[int, int, int, int]
O200K_LIMIT = 400_000
"""Characters that are counted at most: about 40 ms on the log's writer thread, with the interpreter's lock released."""
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


def o200k_if_loaded(text: str) -> int | None:
    """Return the o200k tokens of ``text`` where this process holds that tokenizer already; None elsewhere.

    Nothing is loaded for it: ours is looked for among the loaded modules, then the host's own tiktoken.
    """
    if len(text) > O200K_LIMIT:
        return None
    ours = sys.modules.get("promptop.tokens.vocabularies")
    encoding = ours.loaded("o200k_base") if ours is not None else None
    if encoding is None:
        registry = sys.modules.get("tiktoken.registry")
        encoding = registry.ENCODINGS.get("o200k_base") if registry is not None else None
    if encoding is None:
        return None
    return len(encoding.encode_ordinary(text.encode("utf-8", "replace").decode()))
