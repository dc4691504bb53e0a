"""What a call would have cost and taken under another model, price list, tier, router or a shorter prompt.

Nothing is sent. A scenario changes only what it is about: tokens stay those of the log, save where the log itself shows
how much longer another model answers the same prompts. What the log cannot show (the time of a model that it never
called, of a batch) is unknown.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from promptop.cache.key import Policy as CachePolicy
from promptop.cache.simulation import Variant, history, simulate
from promptop.log.row import Row
from promptop.models import price
from promptop.models.overrides import Overrides
from promptop.routing.policy import Policy
from promptop.whatif.calls import Call

LEAST_CALLS = 20
"""Timed calls of a model below which its times are not known."""
_MOST_RATIO = 8.0

Outcome = tuple[float | None, float | None]
"""USD and seconds of one call; None where it is not known."""


_Pace = tuple[float, float]
"""Seconds to the first token, and seconds a token from there on."""


def _paces(pairs: Sequence[tuple[int, float]]) -> list[_Pace]:
    """Return the paces of calls that were not streamed: the line through their lengths and times, scaled to each."""
    tokens, times = zip(*pairs, strict=True)
    try:
        slope, start = statistics.linear_regression(tokens, times)
    except statistics.StatisticsError:  # all of one length
        slope, start = 0.0, statistics.fmean(times)
    if slope < 0 or start < 0:
        slope, start = (0.0, statistics.fmean(times)) if slope < 0 else (sum(times) / sum(tokens), 0.0)
    found = []
    for count, took in pairs:
        scale = took / max(start + slope * count, 1e-9)
        found.append((start * scale, slope * scale))
    return found


class Learned:
    """What a stretch of the log shows of its models: their times, and how long they answer the same prompts."""

    def __init__(self, calls: Sequence[Call], seed: int = 0) -> None:
        self._random = random.Random(seed)
        streamed: dict[str, list[_Pace]] = {}
        whole: dict[str, list[tuple[int, float]]] = {}
        lengths: dict[tuple[str, str], list[int]] = {}
        for call in calls:
            lengths.setdefault((call.model, call.facts.prompt or ""), []).append(call.output_tokens)
            if call.duration_s is None or not call.output_tokens:
                continue
            whole.setdefault(call.model, []).append((call.output_tokens, call.duration_s))
            if call.ttft_s is not None:
                pace = max(call.duration_s - call.ttft_s, 0.0) / call.output_tokens
                streamed.setdefault(call.model, []).append((call.ttft_s, pace))
        self._times = {model: found for model, found in streamed.items() if len(found) >= LEAST_CALLS}
        for model, pairs in whole.items():
            if model not in self._times and len(pairs) >= LEAST_CALLS:
                self._times[model] = _paces(pairs)
        self._lengths = {
            place: statistics.fmean(found) for place, found in lengths.items() if len(found) >= LEAST_CALLS
        }

    def seconds(self, model: str, output_tokens: int) -> float | None:
        """Return how long an answer of so many tokens takes: as one call of the model did, drawn at random."""
        times = self._times.get(model)
        if times is None:
            return None
        first, pace = self._random.choice(times)
        return first + pace * output_tokens

    def length_ratio(self, call: Call, model: str) -> float | None:
        """Return how much longer ``model`` answers this call's prompt than its own model; None where not known."""
        prompt = call.facts.prompt or ""
        theirs, own = self._lengths.get((model, prompt)), self._lengths.get((call.model, prompt))
        if not prompt or not theirs or not own:
            return None
        return min(max(theirs / own, 1 / _MOST_RATIO), _MOST_RATIO)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something to try: its name, how one call comes out under it, and what that takes for granted."""

    name: str
    outcome: Callable[[Call, Learned], Outcome]
    assumes: tuple[str, ...] = ()
    moved: Callable[[Call], bool] = field(default=lambda call: True)
    """Whether a call is changed by it."""


def priced(call: Call, model: str, *, processing: str | None = None, said: Overrides | None = None) -> float | None:
    """Return what a call costs by the price table, and by ``said`` first; USD, None where it has no price."""
    context = None
    if processing == "batch":
        context = {"processing": "batch"}
    elif processing is not None:
        context = {"service_tier": processing}
    same = model == call.model
    return price(
        model,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cache_read=call.cache_read,
        cache_write=call.cache_write,
        reasoning=call.reasoning,
        provider=call.provider if same else None,
        at_ms=call.at_ms if same else None,
        context=context,
        at_most_s=60.0,  # a look at prices.toml for each of 100,000 calls would take a third of the time
        said=said,
    ).usd


def as_it_was(call: Call, _: Learned) -> Outcome:
    """Return what a call cost and took."""
    return call.cost_usd, call.duration_s


def _under(call: Call, model: str, learned: Learned) -> Outcome:
    """Return a call as another model would have answered it."""
    if model == call.model:
        return call.cost_usd, call.duration_s
    ratio = learned.length_ratio(call, model)
    length = call.output_tokens if ratio is None else max(1, round(call.output_tokens * ratio))
    moved = replace(call, output_tokens=length, reasoning=min(call.reasoning, length))
    return priced(moved, model), learned.seconds(model, moved.output_tokens)


def other_model(model: str, only: str = "") -> Scenario:
    """Return the scenario in which all calls, or those of the model ``only``, go to ``model``."""
    return Scenario(
        f"model {only + ' -> ' if only else ''}{model}",
        lambda call, learned: _under(call, model, learned) if only in ("", call.model) else as_it_was(call, learned),
        (
            "input tokens as they were; output as long as the log shows for the same prompts, else as it was",
            "the same share of the input read from the provider's cache",
        ),
        lambda call: only in ("", call.model) and call.model != model,
    )


def router(policy: Policy, name: str) -> Scenario:
    """Return the scenario in which each call goes to the model that a routing policy names."""

    def target(call: Call) -> str | None:
        decision = policy.decide(call.facts)
        return decision.model if decision.changes else None

    def outcome(call: Call, learned: Learned) -> Outcome:
        model = target(call)
        return as_it_was(call, learned) if model is None else _under(call, model, learned)

    return Scenario(
        f"router {name}",
        outcome,
        ("calls whose complexity is not in the log keep their model", "answers are as good as they were"),
        lambda call: target(call) not in (None, call.model),
    )


def tier(name: str) -> Scenario:
    """Return the scenario in which calls that were not streamed are sent in a tier that answers later."""

    def waits(call: Call) -> bool:
        return not call.streamed and call.tier not in (name, "batch")

    def outcome(call: Call, learned: Learned) -> Outcome:
        if not waits(call):
            return as_it_was(call, learned)
        usd = priced(call, call.model, processing=name)
        # A model without a price for the tier has the ordinary one in the table: what the tier costs is not known.
        known = name == "batch" or usd != priced(call, call.model)
        return usd if known else None, None

    late = "within 24 hours" if name == "batch" else "later, and may be refused when it is busy"
    return Scenario(f"tier {name}", outcome, (f"calls that are not streamed may wait: {name} answers {late}",), waits)


def price_list(name: str, said: Overrides | None = None) -> Scenario:
    """Return the scenario of other prices: those of a ``prices.toml`` and else the table's, or the table's of now."""
    return Scenario(
        f"prices {name}",
        lambda call, _: (priced(call, call.model, said=said), call.duration_s),
        ("tokens as they were",),
    )


def cached(rows: Sequence[Row], policy: CachePolicy, ttl_s: float | None, name: str) -> Scenario:
    """Return the scenario in which promptop's response cache keeps answers for so long (None: for good)."""
    hits: set[int] = set()
    found = history(rows, policy)
    asked = found.asked
    simulate(asked, [Variant(ttl_s)], on_hit=lambda request: hits.add(request.number))
    why = "".join(f"; {count:,} not: {reason}" for reason, count in found.refused.most_common(2))
    return Scenario(
        f"cache {name}",
        lambda call, _: (0.0, 0.0) if call.number in hits else (call.cost_usd, call.duration_s),
        (f"{len(asked):,} of {len(rows):,} calls may be answered by the cache{why}",),
        lambda call: call.number in hits,
    )


def trimmed(prompt: str, tokens: int) -> Scenario:
    """Return the scenario in which a prompt is so many tokens shorter."""

    def outcome(call: Call, learned: Learned) -> Outcome:
        if call.facts.prompt != prompt:
            return as_it_was(call, learned)
        saved = min(tokens, max(call.input_tokens - 1, 0))
        share = call.cache_read / call.input_tokens if call.input_tokens else 0.0
        written = call.cache_write / call.input_tokens if call.input_tokens else 0.0
        shorter = replace(
            call,
            input_tokens=call.input_tokens - saved,
            cache_read=max(0, call.cache_read - round(saved * share)),
            cache_write=max(0, call.cache_write - round(saved * written)),
        )
        return priced(shorter, call.model), call.duration_s

    return Scenario(
        f"prompt {prompt} −{tokens:,} tokens",
        outcome,
        ("the same share of the prompt read from the provider's cache", "times as they were"),
        lambda call: call.facts.prompt == prompt,
    )
