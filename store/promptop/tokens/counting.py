"""Skeleton: signatures only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from promptop.tokens.scripts import Chars


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a text for a model, and how sure that is."""

    tokens: int
    kind: Literal["exact", "estimated"]
    interval: tuple[int, int] | None
    """Where 90 of 100 such texts lie, where that was measured; None for exact counts and for factors without data."""
    encoding: str


def count(text: str, model: str) -> Count:
    """Count ``text`` as ordinary text for ``model``."""
    raise NotImplementedError


def for_model(model: str, counts: Mapping[str, int], chars: Chars) -> Count:
    """Turn counts by encoding (with ``o200k_base`` among them) into the count of a model. No tokenizer is loaded."""
    raise NotImplementedError
