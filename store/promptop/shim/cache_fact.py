"""What a caching transport tells the logging transport around it, through the response's extensions."""

from __future__ import annotations

from dataclasses import dataclass

EXTENSION = "promptop.cache"
"""Key in a response's extensions under which a :class:`CacheFact` stands."""


@dataclass(frozen=True, slots=True)
class CacheFact:
    """What the cache had to do with a response."""

    level: str
    """The level that answered, or ``miss``."""
    key: str
    """The request's key, hex."""
    saved_usd: float | None = None
    """What the answer cost when it was fetched; None if that is not known."""
