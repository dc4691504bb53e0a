"""The price of a row that came without one."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from promptop.log.row import Row

if TYPE_CHECKING:
    from promptop.providers.usage import Usage


_counts = attrgetter("input_tokens", "output_tokens", "cache_read", "cache_write", "reasoning", "cost_usd")
"""What a row has columns for, in the order of :class:`~promptop.providers.usage.Usage`."""


def price_row(row: Row, usage: Usage | None = None) -> None:
    """Set cost, its status and the price table's date of a row that used tokens and says nothing about its cost.

    ``usage`` adds what the row has no column for: tokens of other kinds, searches, hours of audio.
    """
    if row.cost_status is not None or row.cost_usd is not None or row.cache_level not in (None, "miss"):
        return
    if (
        row.usage_input_tokens is None
        and row.usage_output_tokens is None
        and not (usage is not None and usage.billable)
    ):
        return
    if row.usage_source == "estimated" and row.usage_input_tokens is None:
        row.cost_status = "unpriced"  # the request could not be read: what was put out is the smaller part
        return
    from promptop.providers.costs import cost_of
    from promptop.providers.usage import Usage

    counts = (
        row.usage_input_tokens,
        row.usage_output_tokens,
        row.usage_cache_read_input_tokens,
        row.usage_cache_write_input_tokens,
        row.usage_reasoning_output_tokens,
        None,
    )
    used = Usage(*counts) if usage is None else usage
    if _counts(used) != counts:
        inputs, outputs, read, written, reasoning, cost_usd = counts
        used = replace(
            used,
            input_tokens=inputs,
            output_tokens=outputs,
            cache_read=read,
            cache_write=written,
            reasoning=reasoning,
            cost_usd=cost_usd,
        )
    found = cost_of(
        used,
        (row.response_model, row.request_model),
        provider=row.provider_name,
        at_ms=row.started_ms,
        service_tier=row.response_service_tier,
        at_most_s=1.0,
    )
    row.cost_usd, row.price_as_of = found.usd, found.as_of
    row.cost_status = "estimated" if found.usd is not None and row.usage_source == "estimated" else found.status
