"""What a scenario comes to over a stretch of the log: USD and p95 with intervals, and how wrong such a forecast was.

The interval is that of another stretch of the same length: blocks of an hour are drawn again and again, so that a busy
hour stays together. The back-test learns from the first half of the stretch, predicts the second, and is held against
what the second half comes to.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptop.whatif.calls import Call
from promptop.whatif.scenarios import LEAST_CALLS, Learned, Outcome, Scenario

_HOUR_MS = 3_600_000
_DRAWS = 200
_LEAST_BLOCKS = 6
_MOST_TIMED = 20_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds in which 95 of 100 stretches like this one lie; None where they are not known."""

    value: float | None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    """Of the back-test: (predicted − came) / came, of the second half; None where it could not be made."""

    def as_json(self) -> dict[str, float | None]:
        """Return the fields by name."""
        return {"value": self.value, "low": self.low, "high": self.high, "back_test_error": self.error}


@dataclass(frozen=True, slots=True)
class Projection:
    """What a scenario comes to."""

    name: str
    usd: Interval
    p95_s: Interval
    calls: int
    moved: int
    """Calls that the scenario changes."""
    unpriced: int
    """Calls whose cost is not known under it; they are in no sum, and with more than one in twenty there is none."""
    untimed: int
    """Calls whose time is not known under it."""
    assumes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name; p95 is null where more than one call in twenty has no known time."""
        return {
            "scenario": self.name,
            "usd": self.usd.as_json(),
            "p95_s": self.p95_s.as_json(),
            "calls": self.calls,
            "moved": self.moved,
            "unpriced": self.unpriced,
            "untimed": self.untimed,
            "assumes": list(self.assumes),
        }


def project(scenario: Scenario, calls: Sequence[Call], since_ms: int, until_ms: int, seed: int = 0) -> Projection:
    """Return what a scenario comes to over the calls of [since, until)."""
    outcomes = _outcomes(scenario, calls, Learned(calls, seed))
    usd_error, p95_error = _back_test(scenario, calls, since_ms, until_ms, seed)
    unpriced = sum(usd is None for usd, _ in outcomes)
    untimed = sum(seconds is None for _, seconds in outcomes)
    usd_low, usd_high, p95_low, p95_high = _bounds(calls, outcomes, since_ms, until_ms, seed)
    known = _usd(outcomes) if unpriced <= 0.05 * len(outcomes) else None
    return Projection(
        scenario.name,
        Interval(known, usd_low if known is not None else None, usd_high if known is not None else None, usd_error),
        Interval(_p95(outcomes), p95_low, p95_high, p95_error),
        len(calls),
        sum(map(scenario.moved, calls)),
        unpriced,
        untimed,
        scenario.assumes,
    )


def _outcomes(scenario: Scenario, calls: Sequence[Call], learned: Learned) -> list[Outcome]:
    return [scenario.outcome(call, learned) for call in calls]


def _usd(outcomes: Sequence[Outcome]) -> float:
    return sum(usd for usd, _ in outcomes if usd is not None)


def _p95(outcomes: Sequence[Outcome]) -> float | None:
    """Return the 95th percentile; None with few calls, or where more than one in twenty has no known time."""
    times = sorted(seconds for _, seconds in outcomes if seconds is not None)
    if len(times) < LEAST_CALLS or len(times) < 0.95 * len(outcomes):
        return None
    place = 0.95 * (len(times) - 1)
    low = int(place)
    return times[low] + (place - low) * (times[min(low + 1, len(times) - 1)] - times[low])


def _bounds(
    calls: Sequence[Call], outcomes: Sequence[Outcome], since_ms: int, until_ms: int, seed: int
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return low and high of USD and of p95, by drawing the stretch's hours again."""
    first = since_ms // _HOUR_MS
    count = max((until_ms - 1) // _HOUR_MS - first + 1, 1)
    blocks: list[list[Outcome]] = [[] for _ in range(count)]
    for call, outcome in zip(calls, outcomes, strict=True):
        blocks[min(max(call.at_ms // _HOUR_MS - first, 0), count - 1)].append(outcome)
    if sum(map(bool, blocks)) < _LEAST_BLOCKS:
        return None, None, None, None
    source = random.Random(seed)
    money = [_usd(block) for block in blocks]
    sums = sorted(sum(source.choices(money, k=count)) for _ in range(_DRAWS))
    tails: list[float] = []
    if _p95(outcomes) is not None:
        # Of a long log every so many calls: the bounds of a percentile need no more.
        thin = [block[:: len(outcomes) // _MOST_TIMED + 1] for block in blocks]
        for _ in range(_DRAWS // 4):
            drawn = [outcome for block in source.choices(thin, k=count) for outcome in block]
            if (found := _p95(drawn)) is not None:
                tails.append(found)
        tails.sort()
    edge = int(0.025 * (_DRAWS - 1))
    cut = int(0.025 * (len(tails) - 1)) if tails else 0
    return (
        sums[edge],
        sums[-1 - edge],
        tails[cut] if tails else None,
        tails[-1 - cut] if tails else None,
    )


def _back_test(
    scenario: Scenario, calls: Sequence[Call], since_ms: int, until_ms: int, seed: int
) -> tuple[float | None, float | None]:
    """Return the errors of USD and p95 of a forecast for the second half that knows the first alone."""
    middle = (since_ms + until_ms) // 2
    first = [call for call in calls if call.at_ms < middle]
    second = [call for call in calls if call.at_ms >= middle]
    if len(first) < LEAST_CALLS or len(second) < LEAST_CALLS:
        return None, None
    predicted = _outcomes(scenario, first, Learned(first, seed))
    came = _outcomes(scenario, second, Learned(second, seed + 1))
    usd, real_usd = _usd(predicted), _usd(came)
    p95, real_p95 = _p95(predicted), _p95(came)
    return (
        (usd - real_usd) / real_usd if real_usd > 0 and usd > 0 else None,
        (p95 - real_p95) / real_p95 if p95 is not None and real_p95 else None,
    )
