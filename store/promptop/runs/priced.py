"""What single calls may cost, counted exactly: for measurements, which are priced call by call before they begin."""

from __future__ import annotations

from collections.abc import Sequence

from promptop.runs.ceiling import Ceiling, ceiling, text_of
from promptop.runs.request import RunRequest
from promptop.runs.trial import Trial


def most_usd(request: RunRequest) -> float | None:
    """Return the most that one call may cost; None where price or limit is not known."""
    return ceiling_of([request], 1).usd


def ceiling_of(requests: Sequence[RunRequest], calls_each: int) -> Ceiling:
    """Return the most that the calls may cost; unlike :func:`promptop.runs.ceiling.ceiling` prompts may differ."""
    from promptop.tokens import count

    calls, tokens, usd, is_priced = 0, 0, 0.0, False
    unknown: list[str] = []
    for request in requests:
        text = text_of(request.messages)
        found = ceiling([request], lambda model, text=text: count(text, model).tokens, calls_each)  # type: ignore[misc]
        calls, tokens, unknown = calls + found.calls, tokens + found.input_tokens, [*unknown, *found.open]
        is_priced |= found.usd is not None
        usd += found.usd or 0.0
    return Ceiling(calls, tokens, usd if is_priced else None, tuple(dict.fromkeys(unknown)))


def ceiling_of_trial(trial: Trial) -> Ceiling:
    """Return the most that a trial may cost, warm-ups included."""
    unknown = tuple(dict.fromkeys(arm.request.model for arm in trial.arms if arm.most_usd is None))
    rounds = trial.size / max(1, len(trial.arms))
    known = [arm.most_usd for arm in trial.arms if arm.most_usd is not None]
    return Ceiling(trial.size, 0, rounds * sum(known) if known else None, unknown)
