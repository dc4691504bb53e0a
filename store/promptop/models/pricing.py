"""Skeleton: signatures only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs. ``usd`` is None, never 0, where no price is known."""

    usd: float | None
    status: Literal["table", "unpriced"]
    as_of: str
    """ISO date of the price table."""
    model: str | None
    """Id of the catalogue's model that was priced."""


def price(
    models: str | Sequence[str | None],
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None = 0,
    cache_write: int | None = 0,
    provider: str | None = None,
    at_ms: int | None = None,
    context: Mapping[str, str] | None = None,
) -> Price:
    """Price a call by the first of ``models`` that the table knows (response model, then request model)."""
    raise NotImplementedError
