"""The price of a row that came without one."""

from __future__ import annotations

from promptop.log.row import Row


def price_row(row: Row) -> None:
    """Set cost, its status and the price table's date of a row that used tokens and says nothing about its cost."""
    if row.cost_status is not None or row.cost_usd is not None or row.cache_level not in (None, "miss"):
        return
    if row.usage_input_tokens is None and row.usage_output_tokens is None:
        return
    from promptop.models.pricing import price

    found = price(
        [model for model in (row.response_model, row.request_model) if model],
        input_tokens=row.usage_input_tokens or 0,
        output_tokens=row.usage_output_tokens or 0,
        cache_read=row.usage_cache_read_input_tokens or 0,
        cache_write=row.usage_cache_write_input_tokens or 0,
        reasoning=row.usage_reasoning_output_tokens or 0,
        provider=row.provider_name,
        at_ms=row.started_ms,
        context={"service_tier": row.response_service_tier} if row.response_service_tier else None,
        at_most_s=1.0,
    )
    row.cost_usd, row.price_as_of = found.usd, found.as_of
    row.cost_status = "estimated" if found.usd is not None and row.usage_source == "estimated" else found.status
