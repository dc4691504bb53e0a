"""What a usage costs: what the server says, else the price table's, with everything that has a price of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from promptop.providers.usage import Usage

if TYPE_CHECKING:
    from promptop.models.pricing import Price

_SERVICES = {"batch": {"processing": "batch"}, "fast": {"speed": "fast"}}


def cost_of(
    usage: Usage,
    models: Sequence[str | None],
    *,
    provider: str | None = None,
    at_ms: int | None = None,
    service_tier: str | None = None,
    at_most_s: float = 0.0,
) -> Price:
    """Return the cost of a call by the first of ``models`` that has a price (response model, then request model).

    Its status is ``reported``, ``table``, or ``unpriced`` where anything that was used has no known price.
    """
    from promptop.models.catalogue import as_of
    from promptop.models.pricing import KINDS, Price, price

    if usage.cost_usd is not None:
        return Price(usage.cost_usd, "reported", as_of(), None)
    if usage.unpriced or not usage.billable:
        return Price(None, "unpriced", as_of(), None)
    context = {"service_tier": service_tier} if service_tier else {}
    if usage.service is not None:
        context |= _SERVICES.get(usage.service, {"service_tier": usage.service})
    found = price(
        [model for model in models if model],
        # One of the two may be missing where the call has no such side (embeddings).
        input_tokens=usage.input_tokens or 0 if usage else None,
        output_tokens=usage.output_tokens or 0 if usage else None,
        cache_read=usage.cache_read or 0,
        cache_write=usage.cache_write or 0,
        reasoning=usage.reasoning or 0,
        provider=provider,
        at_ms=at_ms,
        context=context or None,
        kinds={name: count for name in KINDS if (count := getattr(usage, name))},
        at_most_s=at_most_s,
    )
    if found.usd is None or usage.surcharge is None:
        return found
    return replace(found, usd=found.usd * usage.surcharge)
