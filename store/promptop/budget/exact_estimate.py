"""What single calls may cost, counted exactly: for measurements, which are priced call by call before they begin."""

from __future__ import annotations

from collections.abc import Sequence

from promptop.budget.estimate import CostEstimate, ceiling
from promptop.client.request import RunRequest, text_of


def most_usd(request: RunRequest) -> float | None:
    """Return the most that one call may cost; None where price or limit is not known."""
    return ceiling_of([request], 1).usd


def ceiling_of(requests: Sequence[RunRequest], calls_each: int) -> CostEstimate:
    """Return the most that the calls may cost; unlike :func:`promptop.budget.estimate.ceiling` prompts may differ."""
    from promptop.tokens import count

    calls, tokens, usd, is_priced = 0, 0, 0.0, False
    unknown: list[str] = []
    for request in requests:
        text = text_of(request.messages)
        found = ceiling([request], lambda model, text=text: count(text, model).tokens, calls_each)  # type: ignore[misc]
        calls, tokens, unknown = calls + found.calls, tokens + found.input_tokens, [*unknown, *found.open]
        is_priced |= found.usd is not None
        usd += found.usd or 0.0
    return CostEstimate(calls, tokens, usd if is_priced else None, tuple(dict.fromkeys(unknown)))
