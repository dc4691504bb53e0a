"""What calls will cost, before anything is sent: at most by the bound of each body, likely by the log's lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from promptop.base import units
from promptop.budget.bound import CostBound, bound, count_bytes
from promptop.client.request import RunRequest
from promptop.client.request_body import sent_body
from promptop.providers.billing.request import billed

LOOK_BACK_S = 7 * 86_400
"""How far back the log is asked for the lengths of answers."""


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a run can cost."""

    calls: int
    input_tokens: int
    """Of all calls, at most."""
    usd: float | None
    """At most: the sum over the models that have a price and a limit; None if there is none of them."""
    open: tuple[str, ...] = ()
    """Models for which nothing can be said."""
    likely_usd: float | None = None
    """With answers as long as the log's; None where the log knows none."""
    why: tuple[str, ...] = ()
    """Why nothing can be said of the open ones."""
    dearest: CostBound | None = None
    """The bound of the dearest single call."""

    def __str__(self) -> str:
        most = f"at most {units.usd(self.usd)}" if self.usd is not None else "no known price"
        likely = f"likely {units.usd(self.likely_usd)} (lengths from the log), " if self.likely_usd is not None else ""
        calls = "1 call" if self.calls == 1 else f"{self.calls} calls"
        without = f" + {len(self.open)} unknown" if self.open and self.usd is not None else ""
        return f"{calls}, {likely}{most}{without}"


Lengths = Mapping[str, float]
"""Model → mean output tokens of its answers in the log."""


def said_of(request: RunRequest) -> str:
    """Return the text of everything that is read as input: messages, tools, schemas, further fields."""
    path, body = sent_body(request)
    return billed(body, path).text


def bound_of(request: RunRequest, count: Callable[[str, str], int] | None = None) -> CostBound:
    """Return the most that one call of a request can cost."""
    path, body = sent_body(request)
    provider = request.profile.provider or None
    return bound(body, path, provider=provider) if count is None else bound(body, path, provider=provider, count=count)


def ceiling(
    requests: Sequence[RunRequest], count: Callable[[str], int], calls_each: int = 1, lengths: Lengths | None = None
) -> CostEstimate:
    """Price ``calls_each`` calls of every request.

    ``count`` gives the tokens of :func:`said_of` for a model's name; all requests say the same.
    """
    return together([_estimate(each, calls_each, lengths, lambda _, model: count(model)) for each in requests])


def estimate(requests: Sequence[RunRequest], calls_each: int = 1, lengths: Lengths | None = None) -> CostEstimate:
    """Price ``calls_each`` calls of every request, counted by each model's tokenizer (takes half a second to load)."""
    return together([_estimate(each, calls_each, lengths, None) for each in requests])


def rough_estimate(requests: Sequence[RunRequest], calls_each: int = 1) -> CostEstimate:
    """Price the calls at a token for each byte: loads no tokenizer, and is never less than :func:`estimate`."""
    return together([_estimate(each, calls_each, None, count_bytes) for each in requests])


def _estimate(
    request: RunRequest, calls: int, lengths: Lengths | None, count: Callable[[str, str], int] | None
) -> CostEstimate:
    most = bound_of(request, count)
    likely = _likely(request, most, lengths) if lengths else None
    if most.usd is None:
        return CostEstimate(calls, most.input_tokens * calls, None, (request.model,), likely, most.open)
    return CostEstimate(
        calls, most.input_tokens * calls, most.usd * calls, (), None if likely is None else likely * calls, (), most
    )


def _likely(request: RunRequest, most: CostBound, lengths: Lengths) -> float | None:
    """Return what a call costs if its answer is as long as the log's answers of the model, but not above its most."""
    from promptop import models

    length = lengths.get(request.model)
    if length is None or not most.input_tokens:
        return None
    made = math.ceil(length) * most.answers
    made = min(made, most.output_tokens) if most.output_tokens else made
    provider = request.profile.provider or None
    usd = models.price(request.model, input_tokens=most.input_tokens, output_tokens=made, provider=provider).usd
    return usd if usd is None or most.usd is None else min(usd, most.usd)


def together(parts: Sequence[CostEstimate]) -> CostEstimate:
    """Return the estimate of several runs that are made as one."""
    known = [part.usd for part in parts if part.usd is not None]
    likely = [part.likely_usd for part in parts]
    bounds = [part.dearest for part in parts if part.dearest is not None]
    return CostEstimate(
        sum(part.calls for part in parts),
        sum(part.input_tokens for part in parts),
        math.fsum(known) if known else None,
        tuple(dict.fromkeys(name for part in parts for name in part.open)),
        math.fsum(each for each in likely if each is not None) if parts and None not in likely else None,
        tuple(dict.fromkeys(why for part in parts for why in part.why)),
        max(bounds, key=lambda each: each.usd or 0.0, default=None),
    )


def times(found: CostEstimate, calls: int) -> CostEstimate:
    """Return the estimate of a run made so many times."""
    return replace(
        found,
        calls=found.calls * calls,
        input_tokens=found.input_tokens * calls,
        usd=None if found.usd is None else found.usd * calls,
        likely_usd=None if found.likely_usd is None else found.likely_usd * calls,
    )


def output_lengths(log: Path, now_s: float) -> dict[str, float]:
    """Return the mean output tokens of each model's answers in the log's last week; empty for a log that is not there.

    Raises :class:`promptop.base.errors.PromptopError` for a file that is not a log.
    """
    from promptop.log import LogReader

    if not log.exists():
        return {}
    until = int(now_s * 1000) + 1000
    with LogReader(log) as reader:
        groups = reader.window(until - LOOK_BACK_S * 1000, until).groups
    return {
        name: stats.output_tokens / stats.ok for name, stats in groups.items() if stats.ok > 0 and stats.output_tokens
    }
