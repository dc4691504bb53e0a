"""What a caching transport tells the logging transport around it, through the response's extensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.cache import Hit

EXTENSION = "promptop.cache"
"""Key in a response's extensions under which a :class:`CacheFact` stands."""


@dataclass(frozen=True, slots=True)
class CacheFact:
    """What the cache had to do with a response."""

    level: str
    """The level that answered, or ``miss``."""
    key: str
    """The request's key, hex."""
    lookup_s: float = 0.0
    """Seconds that the look-up took, the wait for another asker's fetch included."""
    saved_usd: float | None = None
    """What the answer cost when it was fetched; None if that is not known."""
    match: str = ""
    """Key of the answer to another wording that was given instead; empty where the very request was known."""
    score: float | None = None
    """How near that wording is, 0 … 1."""
    words_key: Callable[[], str] | None = None
    """Of a miss: yields the key without regard to runs of white space; asked for after the call, not on its way."""
    prompt: str = ""
    """That wording. It goes to the caller, whose prompt it was, and not into the row."""


def fact_of(hit: Hit, key: str, lookup_s: float) -> CacheFact:
    """Return what a hit tells of itself; ``key`` is the request's own, ``lookup_s`` what finding it took."""
    match = hit.match
    if match is None:
        return CacheFact(hit.level, key, lookup_s, hit.entry.cost_usd)
    return CacheFact(
        hit.level, key, lookup_s, hit.entry.cost_usd, match.digest, round(match.score, 4), prompt=match.text
    )
