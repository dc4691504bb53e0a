"""Objectives and gates of a benchmark: ``ttft<1s``, ``p95_ttft>+10%``, ``errors>1%``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.experiments.bench.load_generator import FIGURES, TIMES, MeasuredRequest

SCALARS = ("errors", "throughput", "goodput", "tokens", "cost")
_UNITS: dict[str, dict[str, float]] = {
    "time": {"ms": 0.001, "s": 1.0},
    "errors": {"%": 0.01},
    "cost": {"": 1.0, "usd": 1.0},
    "rate": {"": 1.0, "/s": 1.0},
}
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_FORM = re.compile(
    r"(?:(p\d{1,2}(?:\.\d+)?|mean|min|max)_)?([a-z]+)\s*(>=|<=|>|<)\s*([+\-−]?)(\d+(?:\.\d*)?|\.\d+)\s*(%|ms|s|/s|usd|)",
)


def _kind(name: str) -> str:
    if name in TIMES or name in ("tpot", "lag"):
        return "time"
    return name if name in ("errors", "cost") else "rate"


def shown(name: str, value: float | None) -> str:
    """Return a figure as people read it, by its name."""
    shows = {"time": units.seconds, "errors": units.share, "cost": units.usd, "rate": units.rate}
    return shows[_kind(name)](value)


@dataclass(frozen=True, slots=True)
class GateRule:
    """A condition on a figure; ``relative`` to a baseline it is a change, as a share."""

    text: str
    statistic: str
    figure: str
    sign: str
    value: float
    relative: bool

    def true_of(self, value: float) -> bool:
        """Whether the condition holds for a value in the figure's unit (seconds, USD, a share, per second)."""
        return _SIGNS[self.sign](value, self.value)

    def figure_of(self, measured: MeasuredRequest) -> float | None:
        """Return the figure that the rule is about."""
        return measured.statistic(self.statistic, self.figure) if self.statistic else measured.scalar(self.figure)


def parse(text: str) -> GateRule:
    """Read a rule such as ``p95_ttft>+10%`` or ``errors>1%``; raise :class:`UsageError` for anything else."""
    found = _FORM.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(
            f"{text!r} is not a condition.", "Write FIGURE>VALUE: 'p95_ttft>+10%', 'p99_total>8s' or 'errors>1%'."
        )
    statistic, figure, sign, plus, number, unit = found.groups()
    if figure not in FIGURES and figure not in SCALARS:
        raise UsageError(f"{text!r}: there is no figure {figure!r}.", f"Figures: {', '.join((*FIGURES, *SCALARS))}.")
    if figure in FIGURES and not statistic:
        raise UsageError(
            f"{text!r} does not say which {figure}.", f"Write p50_{figure}, p95_{figure}, mean_{figure} or another."
        )
    if figure in SCALARS and statistic:
        raise UsageError(f"{text!r}: {figure} is one number of all calls.", f"Write {figure} without {statistic}_.")
    if plus and unit == "%":
        change = float(number) / 100 * (1 if plus == "+" else -1)
        return GateRule(text.strip(), statistic or "", figure, sign, change, relative=True)
    units = _UNITS[_kind(figure)]
    if plus or unit not in units:
        forms = " or ".join(f"{number}{each}" for each in units)
        raise UsageError(
            f"{text!r}: {figure} is not measured in {(plus + number + unit)!r}.",
            f"Write {forms}, or a change against a baseline with its sign: +{number}%.",
        )
    return GateRule(text.strip(), statistic or "", figure, sign, float(number) * units[unit], relative=False)


def parse_objective(text: str) -> GateRule:
    """Read what every single call must meet: ``ttft<1s``, ``total<=8s``, ``tps>20``."""
    bare = re.fullmatch(rf"({'|'.join(FIGURES)})(\s*[<>].*)", text.strip().lower(), re.DOTALL)
    if bare is None:
        raise UsageError(f"{text!r} is not an objective of a call.", "Write 'ttft<1s', 'total<8s' or 'tps>20'.")
    rule = parse("max_" + bare[0])  # of one value every statistic is that value
    if rule.relative:
        raise UsageError(f"{text!r} is a change, not an objective.", "Write 'ttft<1s', 'total<8s' or 'tps>20'.")
    return rule


def met(objectives: Sequence[GateRule], values: dict[str, float | None]) -> bool:
    """Whether the figures of a call meet every objective; one that is missing does not."""
    return all((value := values[rule.figure]) is not None and rule.true_of(value) for rule in objectives)


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """What a gate said about one measurement."""

    rule: GateRule
    key: str
    failed: bool
    text: str


def judge(rules: Sequence[GateRule], measured: MeasuredRequest, baseline: MeasuredRequest | None) -> list[GateVerdict]:
    """Hold a measurement against the gates; one that cannot be judged has failed, and says why."""
    verdicts = []
    for rule in rules:
        now = rule.figure_of(measured)
        before = rule.figure_of(baseline) if baseline is not None else None
        reading = shown(rule.figure, now)
        if now is None:
            failed, text = True, "was not measured"
        elif not rule.relative:
            failed, text = rule.true_of(now), reading
        elif not before:
            failed, text = True, f"{reading}, and the baseline has none to compare with"
        else:
            change = (now - before) / before
            failed = rule.true_of(change)
            text = f"{reading}, baseline {shown(rule.figure, before)} ({change * 100:+.1f} %)"
        verdicts.append(GateVerdict(rule, measured.key, failed, text))
    return verdicts
