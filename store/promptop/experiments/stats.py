"""Statistics over repeated calls: what is measured, how sure it is, and when there is nothing to see.

Percentiles interpolate linearly between the sorted values, both ends included (1..100 → p95 = 95.05). Intervals are
95 % percentile bootstraps of the median from a fixed seed, so that the same results always give the same verdict.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from promptop.base import units
from promptop.client.result import RunResult

RESAMPLES = 2000
"""Bootstrap resamples: the ends of an interval then move by about 2 % of its width from seed to seed."""
FEWEST = 5
"""Below this many values of each side no difference is judged: an interval would be a guess."""


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return a quantile of sorted values by inclusive linear interpolation."""
    place = (len(ordered) - 1) * q
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a call that is compared: how it is read, shown, and which way is better."""

    key: str
    name: str
    value: Callable[[RunResult], float | None]
    show: Callable[[float | None], str]
    lower_is_better: bool
    less: str
    """What a lower value is called: faster, slower, cheaper …"""
    more: str


# Getters and not lambdas: a comparison that was made in another process comes over as a pickle.
METRICS: tuple[Metric, ...] = (
    Metric("ttft_s", "TTFT", attrgetter("ttft_s"), units.seconds, True, "faster", "slower"),
    Metric("total_s", "total", attrgetter("total_s"), units.seconds, True, "faster", "slower"),
    Metric("output_tps", "tok/s", attrgetter("output_tps"), units.rate, False, "slower", "faster"),
    Metric("output_tokens", "output", attrgetter("usage.output_tokens"), units.count, True, "shorter", "longer"),
    Metric("cost_usd", "cost", attrgetter("cost_usd"), units.usd, True, "cheaper", "dearer"),
)
INPUT = Metric("input_tokens", "input", attrgetter("usage.input_tokens"), units.count, True, "fewer", "more")
"""Not among :data:`METRICS`, since the same prompt has the same tokens each time: for prompts held against others."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The distribution of one figure over the calls that went well; ``interval`` is of the median."""

    n: int
    mean: float
    p50: float
    p95: float
    minimum: float
    maximum: float
    interval: tuple[float, float] | None
    """95 % interval of the median; None below :data:`FEWEST` values."""

    def to_json(self) -> dict[str, object]:
        """Return the shape of the commands."""
        return {
            "n": self.n,
            "mean": self.mean,
            "p50": self.p50,
            "p95": self.p95,
            "min": self.minimum,
            "max": self.maximum,
            "p50_interval": list(self.interval) if self.interval else None,
        }


def values_of(results: Sequence[RunResult], metric: Metric) -> list[float]:
    """Return a figure of every call that went well and has it."""
    return [value for result in results if result.state == "done" and (value := metric.value(result)) is not None]


def summarise(values: Sequence[float]) -> Summary | None:
    """Return the distribution of values; None if there are none."""
    if not values:
        return None
    ordered = sorted(values)
    interval = None
    if len(ordered) >= FEWEST:
        medians = sorted(_medians(ordered, random.Random(len(ordered))))
        interval = (quantile(medians, 0.025), quantile(medians, 0.975))
    return Summary(
        len(ordered),
        sum(ordered) / len(ordered),
        quantile(ordered, 0.5),
        quantile(ordered, 0.95),
        ordered[0],
        ordered[-1],
        interval,
    )


def _medians(values: Sequence[float], rng: random.Random) -> list[float]:
    count = len(values)
    return [quantile(sorted(rng.choices(values, k=count)), 0.5) for _ in range(RESAMPLES)]


@dataclass(frozen=True, slots=True)
class Difference:
    """How the median of a figure differs from the baseline's."""

    metric: Metric
    baseline: Summary
    other: Summary
    difference: float
    """Other minus baseline, in the figure's unit."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the difference; None where there are too few values."""

    @property
    def measurable(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]

    def too_few(self) -> str:
        """Say that an interval would be a guess, where there is none."""
        return f"too few runs to tell (n={min(self.baseline.n, self.other.n)}, {FEWEST} are needed)"

    def verdict(self) -> str:
        """Return the comparison in words."""
        name = self.metric.name
        if self.interval is None:
            return f"{name}: {self.too_few()}"
        low, high = sorted(abs(end) for end in self.interval)
        show = self.metric.show
        if high == 0:
            return f"{name}: equal (n={self.baseline.n}+{self.other.n})"
        if not self.measurable:
            within = max(abs(self.interval[0]), abs(self.interval[1]))
            return f"{name}: no measurable difference (within ±{show(within)}, n={self.baseline.n}+{self.other.n})"
        word = self.metric.more if self.difference > 0 else self.metric.less
        base = self.baseline.p50
        share = f" ({units.share(abs(self.difference) / base)})" if base else ""
        size = show(abs(self.difference))
        return f"{name}: {size}{share} {word} [{show(low)} … {show(high)}, n={self.baseline.n}+{self.other.n}]"

    def to_json(self) -> dict[str, object]:
        """Return the shape of the commands."""
        return {
            "metric": self.metric.key,
            "difference": self.difference,
            "interval": list(self.interval) if self.interval else None,
            "measurable": self.measurable,
            "verdict": self.verdict(),
        }


def difference(
    baseline: Sequence[RunResult], other: Sequence[RunResult], metric: Metric, confidence: float = 0.95
) -> Difference | None:
    """Compare the medians of a figure; None where either side has no value.

    Where several differences are judged at once, ``confidence`` is raised, or one in twenty would be chance.
    """
    left, right = values_of(baseline, metric), values_of(other, metric)
    before, after = summarise(left), summarise(right)
    if before is None or after is None:
        return None
    interval = None
    if min(len(left), len(right)) >= FEWEST:
        rng = random.Random(len(left) * 1000 + len(right))
        gaps = sorted(b - a for a, b in zip(_medians(left, rng), _medians(right, rng), strict=True))
        beyond = (1 - confidence) / 2
        interval = (quantile(gaps, beyond), quantile(gaps, 1 - beyond))
    return Difference(metric, before, after, after.p50 - before.p50, interval)


def share_interval(passed: int, n: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson)."""
    if not n:
        return 0.0, 1.0
    z = 1.96
    share = passed / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
