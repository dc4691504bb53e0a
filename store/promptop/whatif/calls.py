"""The calls of a log as scenarios take them: tokens, cost, times, and what a router would know of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from promptop.log.row import Row
from promptop.routing.policy import RequestFacts, facts_of_row


@dataclass(slots=True)
class Call:
    """One attempt that reached a provider and was answered, with what is needed to price and time it again."""

    number: int
    """Place of its row among those that were read."""
    at_ms: int
    model: str
    provider: str | None
    facts: RequestFacts
    input_tokens: int
    output_tokens: int
    cache_read: int
    cache_write: int
    reasoning: int
    cost_usd: float | None
    """As it is in the log; None where it is unpriced."""
    ttft_s: float | None
    duration_s: float | None
    streamed: bool
    tier: str | None


def calls_of(rows: Iterable[Row]) -> tuple[list[Call], int]:
    """Return the answered calls of ``rows`` in order of time, and how many rows were left out.

    Left out are failures, hits of the response cache, and rows without a model or tokens: no scenario changes them.
    """
    calls, left_out = [], 0
    for number, row in enumerate(rows):
        model = row.response_model or row.request_model
        known = row.usage_input_tokens is not None and row.usage_output_tokens is not None
        if row.error_type is not None or row.cache_level not in (None, "miss") or not model or not known:
            left_out += 1
            continue
        calls.append(
            Call(
                number,
                row.started_ms or 0,
                model,
                row.provider_name,
                facts_of_row(row),
                row.usage_input_tokens or 0,
                row.usage_output_tokens or 0,
                row.usage_cache_read_input_tokens or 0,
                row.usage_cache_write_input_tokens or 0,
                row.usage_reasoning_output_tokens or 0,
                row.cost_usd,
                row.ttft_s,
                row.duration_s if row.duration_s is not None else row.total_s,
                bool(row.request_stream),
                row.response_service_tier,
            )
        )
    calls.sort(key=lambda call: call.at_ms)
    return calls, left_out
