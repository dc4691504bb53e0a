"""The steps of the optimisation sheet: what each changes in the way of asking, and whether there is anything to change.

A step is planned from where the prompt stands now: the calls before and after differ in one thing, and are asked in
turns. Where nothing can be changed the step says why, and no call is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from promptop.base.errors import UsageError
from promptop.base.texts import mark
from promptop.client.conversation import Older, context_of, rounds_of
from promptop.client.request import RunRequest
from promptop.client.targets import Target, offered, parse_target
from promptop.models import find, price
from promptop.prompts import parse
from promptop.settings import Settings

BASELINE_CALLS = 10
MAX_TOKENS = 256
"""Limit of output tokens that is tried where the prompt has none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of asking the prompt: everything that a step may change."""

    text: str
    """The draft, as a file would hold it."""
    model: str
    """As it is written: ``model`` or ``model@profile``."""
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    rounds: int | None = None
    """Rounds of a conversation before the pending turn that are sent; None: all."""
    older: Older = "dropped"
    cache: bool = False

    def request(self, settings: Settings, values: dict[str, str] | None = None) -> RunRequest:
        """Return the call that asks so; ``values`` fill the prompt's variables."""
        prompt = parse(self.text)
        target = parse_target(self.model, settings)
        sent = context_of(prompt.openai(values or {}), self.rounds, self.older).messages
        front = {name: value for name, value in prompt.parameters.items() if name in ("max_tokens", "temperature")}
        limits: dict[str, Any] = {
            **front,
            **{
                name: value
                for name, value in (("max_tokens", self.max_tokens), ("temperature", self.temperature))
                if value is not None
            },
        }
        return RunRequest(
            profile=target.profile,
            model=target.model,
            messages=sent,
            label=self.model,
            stop=self.stop,
            cache=self.cache,
            **limits,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """What a person chose for a step; empty: what the step itself proposes."""

    shorter: str = ""
    """A shorter text of the prompt."""
    to: str = ""
    """Another model, or ``model@profile``."""
    rounds: int = 3
    max_tokens: int | None = None
    temperature: float = 0.0
    repeats: int = BASELINE_CALLS


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a step changes, in words, and the way of asking that follows."""

    label: str
    after: Variant


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step measures."""

    changes: tuple[Change, ...] = ()
    note: str = ""
    """What a person should know beside the figures; without changes: why there are none."""
    together: bool = False
    """Whether the same call is asked one after the other, and then all at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the sheet."""

    name: str
    title: str
    what: str
    """One sentence: what it changes, and what that is good for."""
    plan: Callable[[Variant, Settings, Options], Plan]
    adopts: bool = True
    """Whether the following steps start from the change. A model or an endpoint is another's to choose."""


def _baseline(now: Variant, settings: Settings, options: Options) -> Plan:
    return Plan((Change(now.model, now),))


def _shorten(now: Variant, settings: Settings, options: Options) -> Plan:
    if options.shorter.strip():
        from promptop.tokens import count

        name = parse_target(now.model, settings).model
        before, after = (count(text, name).tokens for text in (now.text, options.shorter))
        return Plan((Change(f"your text: {before:,} → {after:,} tokens", replace(now, text=options.shorter)),))
    from promptop.trim import trim
    from promptop.trim.rule_switches import rules_for

    model = find(parse_target(now.model, settings).model)
    encoding = model.encoding if model is not None and model.encoding else "o200k_base"
    done = trim(now.text, encoding, rules_for(settings.editor, safe_only=False, rounds=options.rounds))
    saved = done.tokens_before - done.tokens_after
    if saved <= 0:
        return Plan(
            note="The rules find nothing to shorten. A model can rewrite it (--rewrite; F8, then r in the app), and"
            " promptop ablate finds sentences that carry no weight."
        )
    label = f"rules: {done.tokens_before:,} → {done.tokens_after:,} tokens"
    few = done.tokens_after > 0.6 * done.tokens_before
    if not few:
        return Plan((Change(label, replace(now, text=done.text)),))
    return Plan(
        (Change(label, replace(now, text=done.text)),),
        "The rules save little. A model can rewrite it (--rewrite; F8, then r in the app), and promptop ablate finds"
        " sentences that carry no weight.",
    )


def _context(now: Variant, settings: Settings, options: Options) -> Plan:
    past = max(0, len(rounds_of(parse(now.text).openai({}))) - 1)
    kept = past if now.rounds is None else min(now.rounds, past)
    if kept <= options.rounds:
        return Plan(note=f"Earlier rounds in the prompt: {past}. There is nothing to leave out.")
    return Plan((Change(f"{options.rounds} of {kept} earlier rounds", replace(now, rounds=options.rounds)),))


def _parameters(now: Variant, settings: Settings, options: Options) -> Plan:
    changes = []
    limited = now
    if options.max_tokens is not None or now.max_tokens is None:
        wanted = options.max_tokens or MAX_TOKENS
        limited = replace(now, max_tokens=wanted)
        changes.append(Change(f"max_tokens {wanted}", limited))
    if now.temperature != options.temperature:
        cooled = replace(limited, temperature=options.temperature)
        changes.append(Change(f"temperature {options.temperature:g}", cooled))
    if not changes:
        return Plan(note="max_tokens and temperature are set already.")
    return Plan(tuple(changes))


def _cache(now: Variant, settings: Settings, options: Options) -> Plan:
    if now.temperature != 0 and not settings.cache.any_temperature:
        return Plan(
            note="Answers above temperature 0 are not kept. Take the step parameters with temperature 0 first, or set"
            " any_temperature = true in [cache]."
        )
    return Plan((Change(mark("answered by the cache"), replace(now, cache=True)),))


def lighter_of(now: Variant, settings: Settings) -> Target | None:
    """Return the cheapest model that the settings name and that is cheaper than the one in use; None if none is."""
    own = parse_target(now.model, settings)

    def usd(target: Target) -> float | None:
        return price(target.model, input_tokens=1000, output_tokens=500).usd

    mine = usd(own)
    known = [(cost, each) for each in offered(settings) if (cost := usd(each)) is not None]
    cheaper = [(cost, each) for cost, each in known if mine is None or cost < mine]
    return min(cheaper, key=lambda pair: pair[0])[1] if cheaper else None


def _lighter(now: Variant, settings: Settings, options: Options) -> Plan:
    found = parse_target(options.to, settings) if options.to else lighter_of(now, settings)
    if found is None:
        return Plan(note="The settings name no cheaper model. Name one: --to MODEL.")
    note = "Its answers are others: hold them against your cases with promptop compare --cases before you change over."
    return Plan((Change(found.spec, replace(now, model=found.spec)),), note)


def _together(now: Variant, settings: Settings, options: Options) -> Plan:
    note = "promptop batch sends many prompts so, within limits and with the cache first."
    return Plan((Change(mark("all at once"), now),), note, together=True)


def _endpoint(now: Variant, settings: Settings, options: Options) -> Plan:
    own = parse_target(now.model, settings)
    if options.to:
        found = parse_target(options.to if "@" in options.to else f"{own.model}@{options.to}", settings)
        if found.profile.base_url == own.profile.base_url:
            raise UsageError(f"--to {options.to!r} names no other endpoint.", "Name a profile: --to PROFILE.")
        return Plan((Change(found.spec, replace(now, model=found.spec)),))
    others = [name for name, each in settings.profiles.items() if each.base_url != own.profile.base_url]
    if not others:
        return Plan(note="One endpoint is configured. promptop probe URL … ranks others by their first byte.")
    return Plan(
        tuple(Change(f"{own.model}@{name}", replace(now, model=f"{own.model}@{name}")) for name in others[:3]),
    )


def _without_calls(now: Variant, settings: Settings, options: Options) -> Plan:
    return Plan()


STEPS: tuple[Step, ...] = (
    Step(
        "baseline", mark("Baseline"), mark("Ten calls as the prompt is now: what all else is held against."), _baseline
    ),
    Step("shorten", mark("Shorten"), mark("Say the same with fewer tokens, by rules or your own words."), _shorten),
    Step("context", mark("Context"), mark("Send the last rounds of a conversation instead of all of it."), _context),
    Step(
        "parameters",
        mark("Parameters"),
        mark("Limit the answer; see whether a low temperature is faster."),
        _parameters,
    ),
    Step("cache", mark("Cache"), mark("Answer a repeated call from the cache."), _cache),
    Step("model", mark("Lighter model"), mark("Ask a smaller model the same."), _lighter, adopts=False),
    Step(
        "parallel",
        mark("Parallel and batch"),
        mark("Make the calls at once instead of one after the other."),
        _together,
    ),
    Step("endpoint", mark("Endpoint"), mark("Ask another endpoint the same."), _endpoint, adopts=False),
    Step("streaming", mark("Streaming"), mark("Read the first words while the rest is written."), _without_calls),
    Step(
        "monitoring",
        mark("Monitoring"),
        mark("Whether the prompt's calls in the log meet the targets."),
        _without_calls,
    ),
)
"""In the order in which they are taken."""
NAMES = tuple(step.name for step in STEPS)


def step_of(name: str) -> Step:
    """Return a step by its name; raise :class:`UsageError` for another."""
    for step in STEPS:
        if step.name == name:
            return step
    raise UsageError(f"The guide has no step {name!r}.", f"Steps: {', '.join(NAMES)}.")
