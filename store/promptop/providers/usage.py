"""The server's usage object in one shape: input includes cached tokens, output includes reasoning.

Each API's module turns its own object into a :class:`Usage`; this module has the shape, the coercions and the choice of
API by shape alone, for objects that come without their answer (spend logs, batches).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_LARGEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, as reported; None where the server did not say.

    Counts of a kind (audio, image, video, one-hour writes) are part of the count that they belong to.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cost_usd: float | None = None
    """What the server says that the call cost."""
    cache_write_1h: int | None = None
    """Of ``cache_write``, what is kept for an hour."""
    input_audio: int | None = None
    input_image: int | None = None
    input_video: int | None = None
    cache_read_audio: int | None = None
    cache_read_image: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    output_video: int | None = None
    output_citation: int | None = None
    web_searches: int | None = None
    """Searches of the web that are charged each."""
    file_searches: int | None = None
    characters: int | None = None
    """Characters of the input, where those are charged (speech)."""
    audio_seconds: float | None = None
    """Length of the input, where that is charged (transcription)."""
    service: str | None = None
    """What chooses among prices: batch, flex, priority, fast; None is the ordinary one."""
    surcharge: float | None = None
    """Factor on the table's price, for where the call was served; None is 1."""
    unpriced: str | None = None
    """Why no table can price the call: what was used that is charged apart; None where nothing was."""

    def __bool__(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None

    @property
    def billable(self) -> bool:
        """Whether anything is known that a price could be put on."""
        return bool(self) or self.characters is not None or self.audio_seconds is not None

    def with_fees(self, fees: Mapping[str, Any]) -> Usage:
        """Return the usage with counts that stood elsewhere in the answer; what is known already stays."""
        return replace(self, **{name: value for name, value in fees.items() if getattr(self, name) is None})


FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Usage))


def whole(value: Any) -> int | None:
    """Return a count, or None where ``value`` is none (a bool, a word, negative, beyond 2⁵³). ``"12"`` is twelve."""
    if value is None:
        return None
    if type(value) is int:  # nearly all: a fifth of the time of what follows, thirty times a row
        return value if 0 <= value < _LARGEST else None
    found = amount(value)
    return None if found is None else int(found)


def amount(value: Any) -> float | None:
    """Return a finite number of at least 0, or None. A number written as text is one."""
    if type(value) is str and value[:24].strip().replace(".", "", 1).replace("e-", "", 1).isdecimal():
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LARGEST:
        return None
    return float(value) if math.isfinite(value) else None


def first(*values: int | None) -> int | None:
    """Return the first value that is known."""
    for value in values:
        if value is not None:
            return value
    return None


def total(*values: int | None) -> int | None:
    """Return the sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def modalities(details: Any) -> dict[str, int]:
    """Return tokens by kind from an object like ``{"audio_tokens": 100, "text_tokens": 20}``."""
    if not isinstance(details, dict):
        return {}
    return {
        kind: count
        for kind in ("audio", "image", "video")
        if (count := whole(details.get(f"{kind}_tokens"))) is not None and count
    }
