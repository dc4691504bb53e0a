"""Tokens from characters, for answers whose server reports no usage; no tokenizer is loaded in the host."""

from __future__ import annotations

# Tokens a character of o200k_base: Latin, CJK, code, other.
_PER_CHAR = (0.22, 0.76, 0.47, 0.46)
_PER_MESSAGE = 4
_PER_REQUEST = 3


def tokens(chars: tuple[int, int, int, int], messages: int = 0) -> int:
    """Return the estimated tokens of text with ``chars`` by script, plus the frame of ``messages`` chat messages."""
    text = sum(count * factor for count, factor in zip(chars, _PER_CHAR, strict=True))
    frame = _PER_MESSAGE * messages + _PER_REQUEST if messages else 0
    return round(text) + frame
