"""Skeleton: signatures only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens of a request of ordinary size, at the moment it was asked for; None is not priced apart."""

    input: float | None
    output: float | None
    cache_read: float | None = None
    cache_write: float | None = None
    tiered: bool = False
    """Whether large inputs cost more."""


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model."""

    id: str
    provider: str
    name: str
    family: str
    """Key of estimates and chat overhead: openai, claude, gemini, qwen, deepseek, mistral, llama, …"""
    context_window: int | None
    max_output: int | None
    encoding: str
    """Tokenizer that is exact for it, or the one an estimate starts from."""
    count_kind: Literal["exact", "estimated"]
    prices: Rates | None
    """Today's rates; None if unpriced."""
    overridden: bool = False
    """Whether ``prices.toml`` of the user said something about it."""

    def takes(self, parameter: str) -> bool | None:
        """Return whether the model accepts a request parameter (OpenAI's name for it); None if that is not known."""
        raise NotImplementedError


def find(name: str, provider: str | None = None) -> Model | None:
    """Return the model that ``name`` means, by override, alias, exact or fuzzy match; None if nothing is known of it."""
    raise NotImplementedError


def search(text: str = "", provider: str | None = None) -> tuple[Model, ...]:
    """Return the catalogue's models whose id, name or provider contain every word of ``text``."""
    raise NotImplementedError


def suggest(name: str, limit: int = 3) -> tuple[str, ...]:
    """Return names of the catalogue that look like ``name``, nearest first."""
    raise NotImplementedError


def watch_list() -> tuple[str, ...]:
    """Return the models whose counts and cost are shown when the user has chosen none."""
    return ("gpt-4o-mini", "gpt-4o", "gpt-4-turbo", "o1")


def as_of() -> str:
    """Return the ISO date that the price table is current to."""
    raise NotImplementedError
