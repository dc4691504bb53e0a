"""Limits on the figures of the log: checks for scripts, rules that fire and resolve for the monitor.

A check is ``p95_ttft>1s``. A rule is a check over one or more lengths of time, ``error_rate>5% over 15m``; with
several, ``burn>14.4 over 1h,5m``, it holds where it holds over each: the long one says that it matters, the short one
that it still goes on. What is not known breaks no limit, and a percentile of fewer than 20 samples is not known here.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.files import write_private
from promptop.log.own_calls import are_asked_for
from promptop.log.read.filters import parse_filter

if TYPE_CHECKING:
    from promptop.log import LogReader, Stats
    from promptop.settings import MonitorSettings

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
}
BURN_RATE = 0.001
"""Share of failed calls that ``burn`` reckons with where the settings have no target."""
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class MeasuredStats:
    """Stats and the seconds that they cover."""

    stats: Stats
    seconds: float


def _cost(stats: Stats) -> float | None:
    return None if stats.unpriced and not stats.cost_pico else stats.cost_usd


METRICS: dict[str, Callable[[MeasuredStats], float | None]] = {
    "n": lambda m: m.stats.n,
    "rate": lambda m: m.stats.n / m.seconds,
    "errors": lambda m: m.stats.errors,
    "error_rate": lambda m: m.stats.error_rate,
    "rejected": lambda m: m.stats.rate_limited,
    "rejected_rate": lambda m: m.stats.rejected_rate,
    "timeouts": lambda m: m.stats.timeouts,
    "truncated": lambda m: m.stats.truncated,
    "hit_ratio": lambda m: m.stats.hit_ratio,
    "cached_share": lambda m: m.stats.cached_share,
    "cost": lambda m: _cost(m.stats),
    "saved": lambda m: m.stats.saved_usd,
    "unpriced": lambda m: m.stats.unpriced,
    "input_tokens": lambda m: m.stats.input_tokens,
    "output_tokens": lambda m: m.stats.output_tokens,
    **{
        f"{name}{suffix}": lambda m, q=q, part=part: getattr(m.stats, part).quantile(q)  # type: ignore[misc]
        for name, q in _QUANTILES.items()
        for suffix, part in (("", "latency"), ("_ttft", "ttft"))
    },
    **{
        f"{name}{suffix}": lambda m, name=name, part=part: getattr(getattr(m.stats, part), name)  # type: ignore[misc]
        for name in ("mean", "max")
        for suffix, part in (("", "latency"), ("_ttft", "ttft"))
    },
}
"""Name of a figure → how it is taken from stats; seconds, shares of one, USD."""

_SHAPE = re.compile(
    r"\s*([a-z0-9_]+)\s*(?:\{([^{}]*)\})?\s*(>=|<=|>|<)\s*\$?(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|m|%|k|M)?\s*"
)
_SCALES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "%": 0.01, "k": 1e3, "M": 1e6, "": 1.0}
_SPECIAL = ("burn", "today_cost", "month_cost")
_LENGTHS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DEFAULT_S = 300
UNUSUAL = "unusual"
"""The rule that fires for whatever the monitor's second line tells."""
_HISTORY = 24
"""Windows before the present one that an unusual value is held against."""
_MIN_HISTORY = 8


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """A limit: it is broken if the comparison holds."""

    text: str
    metric: str
    sign: str
    limit: float
    where: str = ""
    """Filter of the rows that it is held against."""

    def value(self, measured: MeasuredStats) -> float | None:
        """Return the figure that is judged; None if it is unknown."""
        return METRICS[self.metric](measured)

    def holds(self, value: float | None) -> bool:
        """Say whether the limit is broken; what is unknown breaks none."""
        return value is not None and _SIGNS[self.sign](value, self.limit)

    def show(self, value: float | None) -> str:
        """Return a value of this figure for people."""
        name = self.metric.removeprefix("odd_")
        if self.metric != name or name == "burn":
            return units.rate(value)
        if name.split("_", maxsplit=1)[0] in (*_QUANTILES, "mean", "max"):
            return units.seconds(value)
        if name in ("error_rate", "rejected_rate", "hit_ratio", "cached_share"):
            return units.share(value)
        if name in ("cost", "saved", "today_cost", "month_cost"):
            return units.usd(value)
        return units.rate(value) if name == "rate" else units.count(value)


def _parsed(text: str, names: Iterable[str]) -> LimitCheck:
    found = _SHAPE.fullmatch(text)
    if not found or found[1] not in names:
        raise UsageError(
            f"{text!r} is not a check.", f"Write for example 'p95_ttft>1s' or slo. Figures: {', '.join(names)}."
        )
    where = (found[2] or "").strip()
    if where:
        parse_filter(where)
    return LimitCheck(text.strip(), found[1], found[3], float(found[4]) * _SCALES[found[5] or ""], where)


def parse_check(text: str, targets: MonitorSettings) -> tuple[LimitCheck, ...]:
    """Return the checks of ``p95_ttft>1s``, ``error_rate>1%``, ``cost>5``; ``slo`` is every target of the settings."""
    if text.strip() == "slo":
        limits = (
            ("p95", ">", targets.slo_latency_s),
            ("p95_ttft", ">", targets.slo_ttft_s),
            ("error_rate", ">", targets.slo_error_rate),
            ("hit_ratio", "<", targets.slo_cache_hits),
        )
        found = tuple(LimitCheck(f"{name}{sign}{limit:g}", name, sign, limit) for name, sign, limit in limits if limit)
        if not found:
            raise UsageError(
                "slo checks the targets of the settings, and none is set.", "Set one in [monitor]: slo_ttft_s = 1.0"
            )
        return found
    return (_parsed(text, METRICS),)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A check over lengths of time, seconds."""

    text: str
    check: LimitCheck
    spans_s: tuple[int, ...]

    def values(self, log: LogReader, now_ms: int, targets: MonitorSettings) -> tuple[float | None, ...]:
        """Return the judged figure over each length of time, the longest first."""
        if self.check.metric in ("today_cost", "month_cost"):
            day = datetime.fromtimestamp(now_ms / 1000).replace(hour=0, minute=0, second=0, microsecond=0)
            start = day if self.check.metric == "today_cost" else day.replace(day=1)
            window = log.window(round(start.timestamp() * 1000), now_ms + 1, by=(), where=self.check.where or None)
            return (_cost(window.total),)
        return tuple(self._value(log, now_ms, span, targets) for span in self.spans_s)

    def _value(self, log: LogReader, now_ms: int, span_s: int, targets: MonitorSettings) -> float | None:
        span, where = span_s * 1000, self.check.where or None
        own = are_asked_for(where or "")
        stats = log.window(now_ms - span, now_ms + 1, by=(), where=where, own=own).total
        metric = self.check.metric
        if metric == "burn":
            rate = targets.slo_error_rate or BURN_RATE
            return stats.error_rate / rate if stats.error_rate is not None else None
        odd = metric.startswith("odd_")
        name = metric.removeprefix("odd_")
        value = _known(name, MeasuredStats(stats, span_s))
        if not odd or value is None:
            return value
        # Whole steps of the clock before the present window, so that rollups answer.
        end = (now_ms - span) // span * span
        past = log.window(end - _HISTORY * span, end, step_ms=span, by=(), where=where, own=own)
        return robust_z(value, [_known(name, MeasuredStats(each, span_s)) for _, each, _ in past.buckets])


def _known(name: str, measured: MeasuredStats) -> float | None:
    """Return a figure, or None where a percentile has too few samples to be judged."""
    if name.split("_", maxsplit=1)[0] in (*_QUANTILES, "mean"):
        sketch = measured.stats.ttft if name.endswith("_ttft") else measured.stats.latency
        if sketch.n < units.FEW:
            return None
    return METRICS[name](measured)


def robust_z(value: float, past: Iterable[float | None]) -> float | None:
    """Return how many robust standard deviations (1.4826 × MAD) ``value`` lies above the median of ``past``.

    None with fewer than eight past values. Where they hardly vary, 5 % of the median stands for the deviation: else the
    smallest change would be unusual.
    """
    known = [each for each in past if each is not None]
    if len(known) < _MIN_HISTORY:
        return None
    middle = statistics.median(known)
    deviation = 1.4826 * statistics.median(abs(each - middle) for each in known)
    scale = max(deviation, 0.05 * abs(middle), 1e-12)
    return (value - middle) / scale


def parse_rule(text: str) -> AlertRule:
    """Return the rule of ``CHECK [over LENGTH[,LENGTH]]``; a rule without lengths is judged over five minutes.

    Beside the figures of checks there are ``burn`` (error rate / its target), ``today_cost``, ``month_cost`` and, with
    ``odd_`` before a figure, its robust z-score against the 24 windows before. A filter in braces after the figure
    limits the rows: ``p95_ttft{model:claude*}>2s over 10m``. ``unusual`` alone is :data:`UNUSUAL`.

    Raises :class:`UsageError`.
    """
    if text.strip() == UNUSUAL:
        return AlertRule(UNUSUAL, LimitCheck(UNUSUAL, "n", ">", math.inf), (_DEFAULT_S,))
    condition, _, lengths = text.rpartition(" over ") if " over " in text else (text, "", "")
    names = (*METRICS, *_SPECIAL, *(f"odd_{name}" for name in METRICS))
    found = _SHAPE.fullmatch(condition)
    if not found or found[1] not in names:
        raise UsageError(
            f"{text!r} is not an alert.",
            "Write for example 'p95_ttft>2s over 15m', 'burn>14.4 over 1h,5m', 'month_cost>$100', 'odd_p95>4 over 1h'.",
        )
    check = _parsed(condition, names)
    spans = []
    for part in lengths.split(",") if lengths.strip() else ():
        length = re.fullmatch(r"\s*(\d+)\s*([smhd])\s*", part)
        if length is None or int(length[1]) == 0:
            raise UsageError(f"{part.strip()!r} in {text!r} is not a length of time.", "Write 30s, 5m, 1h or 7d.")
        spans.append(int(length[1]) * _LENGTHS[length[2]])
    return AlertRule(text.strip(), check, tuple(sorted(spans, reverse=True)) or (_DEFAULT_S,))


def rules_of(text: str, targets: MonitorSettings) -> tuple[AlertRule, ...]:
    """Return what of ``--fail-on`` is a rule with its own lengths of time; ``alerts`` is every rule of the settings.

    Empty for a plain check, which is held against the window of the report. Raises :class:`UsageError`.
    """
    if text.strip() == "alerts":
        if not targets.alerts:
            raise UsageError("There are no alerts in the settings.", '[monitor] alerts = ["p95_ttft>2s over 15m"]')
        return tuple(parse_rule(rule) for rule in targets.alerts)
    found = _SHAPE.match(text)
    if " over " in text or (found and (found[1] in _SPECIAL or found[1].startswith("odd_"))):
        return (parse_rule(text),)
    return ()


@dataclass(frozen=True, slots=True)
class Alert:
    """Where a rule stands."""

    rule: str
    firing: bool = False
    since_ms: int = 0
    """When it began to fire, or ceased; 0: never yet."""
    value: float | None = None
    shown: str = units.UNKNOWN
    """The value for people."""
    scope: str = ""
    """Filter of the rows that it is judged on."""
    seen_ms: int = 0
    """When it was last found to hold, where it holds on for a while."""


def judge(
    rules: Iterable[AlertRule], log: LogReader, now_ms: int, targets: MonitorSettings, before: Mapping[str, Alert]
) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
    """Judge each rule; return where all stand, and those that have just begun to fire or ceased.

    A rule whose figure is not known stays as it was: silence is not a recovery.
    """
    alerts, changed = [], []
    for rule in rules:
        old = before.get(rule.text, Alert(rule.text, scope=rule.check.where))
        values = rule.values(log, now_ms, targets)
        last = values[-1]
        firing = old.firing if any(value is None for value in values) else all(map(rule.check.holds, values))
        since = now_ms if firing != old.firing else old.since_ms
        alert = Alert(rule.text, firing, since, last, rule.check.show(last), rule.check.where)
        alerts.append(alert)
        if firing != old.firing:
            changed.append(alert)
    return tuple(alerts), tuple(changed)


def load(path: Path) -> dict[str, Alert]:
    """Return where the rules stood when they were last saved; nothing if that is not known."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(item["rule"]): Alert(**item) for item in found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # a damaged file costs one repeated bell


def save(path: Path, alerts: Iterable[Alert]) -> None:
    """Write where the rules stand (0600), in one piece. Raises :class:`OSError`."""
    write_private(path, json.dumps([asdict(alert) for alert in alerts], ensure_ascii=False))
