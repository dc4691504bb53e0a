"""What a call costs: exact decimal arithmetic over the table's dated, tiered, cache-aware prices.

The price is computed once, when the row is written, and stored with it: a later table does not change an old row. It is
computed in the process that writes the row, from a compiled snapshot read with the standard library, and not when rows
are folded: the row is then complete for every reader (``sqlite3``, exports), and the service's own ``prices.toml``
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from promptop.base import units
from promptop.models import catalogue, overrides, snapshot

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs. ``usd`` is None, never 0, where no price is known."""

    usd: float | None
    status: Literal["table", "unpriced", "reported"]
    as_of: str
    """ISO date of the price table."""
    model: str | None
    """The model that was priced: its id in the table, or its name in ``prices.toml``."""


def price(
    models: str | Sequence[str | None],
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None = 0,
    cache_write: int | None = 0,
    reasoning: int | None = 0,
    provider: str | None = None,
    at_ms: int | None = None,
    context: Mapping[str, str] | None = None,
    kinds: Mapping[str, float] | None = None,
    at_most_s: float = 0.0,
    said: overrides.Overrides | None = None,
) -> Price:
    """Price a call by the first of ``models`` that has a price (response model, then request model).

    ``input_tokens`` includes what was read from and written to the provider's cache, ``output_tokens`` includes
    reasoning. ``at_ms`` is the call's start (UTC Unix milliseconds; now if None): it chooses among dated and off-peak
    prices. ``context`` chooses variants, ``{"service_tier": "flex"}``. ``kinds`` are counts that may have a price of
    their own (:data:`KINDS`), each part of the count that it belongs to. Unpriced: the model has no price, a count that
    would be multiplied is unknown, something was used that has no price, or the counts contradict each other (more
    cached than input tokens).
    ``at_most_s`` seconds may pass before a change of ``prices.toml`` is seen; ``said`` stands in its place.
    """
    names = (models,) if isinstance(models, str) else models
    moment = datetime.now(UTC) if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    table_date = catalogue.as_of()
    unpriced = Price(None, "unpriced", table_date, None)
    kinds = kinds or {}
    if input_tokens is None and output_tokens is None and not (kinds.get("characters") or kinds.get("audio_seconds")):
        return unpriced
    for name in names:
        if not name:
            continue
        found = _prices(name, provider, moment, context, overrides.current(at_most_s) if said is None else said)
        if found is None:
            continue
        prices, identity = found
        counts = (input_tokens, output_tokens, cache_read or 0, cache_write or 0, reasoning or 0)
        usd = _total(prices, counts, kinds, identity)
        return unpriced if usd is None else Price(float(usd), "table", table_date, identity)
    return unpriced


_Found = tuple[Mapping[str, Any], str] | None
_known: tuple[overrides.Overrides, dict[Any, _Found]] = overrides.Overrides(), {}
"""What names cost in one minute under one ``prices.toml``: looking that up again takes 20 µs of a row's 100."""
_MOST_KNOWN = 8192


def _prices(
    name: str,
    provider: str | None,
    moment: datetime,
    context: Mapping[str, str] | None,
    said: overrides.Overrides,
) -> _Found:
    """Return prices by their keys in the table and the model's id; None if the name has no price."""
    global _known  # noqa: PLW0603
    if _known[0] is not said or len(_known[1]) >= _MOST_KNOWN:
        _known = said, {}
    known = _known[1]
    # Prices change at whole minutes only (a test holds the table to that); looking up anew takes 20 µs a call.
    key = (name, provider, int(moment.timestamp()) // 60, tuple(context.items()) if context else None)
    if key not in known:
        known[key] = _look_up(name, provider, moment, context, said)
    return known[key]


def _look_up(
    name: str,
    provider: str | None,
    moment: datetime,
    context: Mapping[str, str] | None,
    said: overrides.Overrides,
) -> _Found:
    meant = catalogue.canonical(name, provider)
    own = said.models.get(meant.lower().strip())
    if own is not None and own.priced:
        pairs = zip(("i", "o", "r", "w"), catalogue.rate_values(own), strict=True)
        return {key: str(value) for key, value in pairs if value is not None}, meant
    located = snapshot.locate(meant, provider)
    if located is None:
        return None
    if (context or {}).get("processing") == "batch" and not any(
        when.get("processing") == "batch" for when, *_ in located[1].get("variants", ())
    ):
        return None  # half the price nearly everywhere, but not known to be
    prices = snapshot.prices_at(located[1], moment, context)
    return (prices, located[1]["id"]) if prices else None


def _total(
    prices: Mapping[str, Any],
    counts: tuple[int | None, int | None, int, int, int],
    kinds: Mapping[str, float],
    identity: str,
) -> Decimal | None:
    """Return USD; tokens that have a price of their own leave the count that they are part of."""
    inputs, outputs, read, written, reasoning = counts
    measured = {key: kinds[name] for name, key in _MEASURES.items() if kinds.get(name)}
    if inputs is None and outputs is None:
        return _measured(prices, measured) if measured.keys() & prices.keys() else None
    if (inputs is None and "i" in prices) or (outputs is None and "o" in prices):
        return None
    inputs, outputs = inputs or 0, outputs or 0
    parts = {"r": read if "r" in prices else 0, "w": written if "w" in prices else 0}
    parts["t"] = reasoning if "t" in prices else 0
    if kinds and not _apart(parts, prices, kinds, identity):
        return None
    parts["i"] = inputs - sum(count for key, count in parts.items() if key[0] in "rwhi")
    parts["o"] = outputs - sum(count for key, count in parts.items() if key[0] in "to")
    if min(parts.values()) < 0 or any(count and key not in prices for key, count in parts.items()):
        return None
    fees = {key: count for key, count in measured.items() if key in _FEES}
    if kinds.get("output_citation") and "c" in prices:
        parts["c"] = int(kinds["output_citation"])
    total = Decimal(0)
    for key, count in parts.items():
        if count:
            total += _rate(prices[key], inputs) * count
    total /= _MILLION
    if "q" in prices:
        total += _rate(prices["q"], inputs) / 1000
    if fees:
        charged = _measured(prices, fees)
        return None if charged is None else total + charged
    return total


KINDS = (
    *("cache_write_1h", "input_audio", "input_image", "input_video", "cache_read_audio", "cache_read_image"),
    *("output_audio", "output_image", "output_video", "output_citation"),
    *("web_searches", "file_searches", "characters", "audio_seconds"),
)
"""Counts that :func:`price` takes in ``kinds``."""
_MEASURES = {"web_searches": "s", "file_searches": "f", "characters": "x", "audio_seconds": "a"}
_PER = {"s": 1000, "f": 1000, "x": 1_000_000, "a": 3600}
_FEES = ("s", "f")
"""Charged beside tokens; characters and hours are charged instead of them."""
_MODALITIES = {
    "input_audio": "ia",
    "input_image": "ii",
    "input_video": "iv",
    "output_audio": "oa",
    "output_image": "oi",
    "output_video": "ov",
}


def _measured(prices: Mapping[str, Any], counts: Mapping[str, float]) -> Decimal | None:
    """Return USD of what is not a token; None where something has no price."""
    total = Decimal(0)
    for key, count in counts.items():
        if key in prices:
            total += _rate(prices[key], 0) * Decimal(str(count)) / _PER[key]
        elif key in _FEES:
            return None
    return total


def _apart(parts: dict[str, int], prices: Mapping[str, Any], kinds: Mapping[str, float], identity: str) -> bool:
    """Take tokens of a kind out of the count that they are part of; False where one has a price that is not known."""
    hour = int(kinds.get("cache_write_1h") or 0)
    if hour:
        if "h" not in prices:
            return False
        parts["h"] = hour
        parts["w"] -= hour if "w" in prices else 0
    for kind, key in (("cache_read_audio", "ra"), ("cache_read_image", "ri")):
        again = min(int(kinds.get(kind) or 0), parts["r"])
        if again and key in prices:
            parts[key] = again
            parts["r"] -= again
    for kind, key in _MODALITIES.items():
        count = int(kinds.get(kind) or 0)
        if not count:
            continue
        if key in prices:
            cached = int(kinds.get(kind.replace("input", "cache_read")) or 0) if key[0] == "i" else 0
            parts[key] = max(0, count - min(cached, count))
        elif not _as_text(kind, identity):
            return False
    return True


def _as_text(kind: str, identity: str) -> bool:
    """Say whether tokens of a kind cost what the model's other tokens cost, where the table has no price for them.

    Images and video in a prompt do, and audio with Gemini. What a model answers does only if it makes nothing else.
    """
    name = identity.lower()
    if kind in ("input_image", "input_video"):
        return True
    if kind == "input_audio":
        return "gemini" in name or "transcribe" in name or "voxtral" in name
    return "tts" in name if kind == "output_audio" else "image" in name if kind == "output_image" else "veo" in name


def _rate(value: Any, inputs: int) -> Decimal:
    """Return the rate of a request with that many input tokens: a tier, once passed, applies to all of them."""
    if isinstance(value, str):
        return _decimal(value)
    chosen = value[0]
    for start, rate in value[1:]:
        if inputs > start:
            chosen = rate
    return _decimal(chosen)


@lru_cache(maxsize=2048)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


def usd_text(usd: float | None, digits: int = 6) -> str:
    """Write dollars with up to ``digits`` significant digits, at least cents: $0.00045, $12.50; n/a for None.

    A second currency stands behind, as in :func:`promptop.base.units.usd`.
    """
    if usd is None:
        return "n/a"
    whole = Decimal(f"{usd:.{digits}g}")
    text = f"{whole:,f}"
    dollars, _, cents = text.partition(".")
    return f"${dollars}.{cents.rstrip('0').ljust(2, '0')}{units.also(usd)}"
