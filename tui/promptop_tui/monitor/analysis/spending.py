"""Money beyond the window: today, this month and where it is heading, against the same stretch before each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from promptop.log.read.stats import Stats

if TYPE_CHECKING:
    from promptop.log import LogReader

_HOUR_MS, _STEP_MS = 3_600_000, 7_200_000
"""Steps of today and of the month: both are made of the log's sums, and two hours fit every local day well enough."""

_LEAST_DAYS = 3
Series = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class LoggedSpend:
    """What was spent since local midnight and since the first of the month, whatever is filtered; USD."""

    today: Stats = field(default_factory=Stats)
    yesterday: float | None = None
    """Up to the same time of the day; None if the log does not reach back that far."""
    month: Stats = field(default_factory=Stats)
    month_before: float | None = None
    """All of it; None if the log does not reach back to its first day."""
    projected: float | None = None
    """Month so far, and as much an hour as since its first request until it ends; None on its first day."""
    projected_range: tuple[float, float] | None = None
    """Where the month will end in 90 of 100 cases, by how much days differ; None with fewer than three whole days."""
    hours: Series = ()
    """Of today, by hour; None for those to come."""
    days: Series = ()
    """Of the month, by local day; None for those to come."""
    month_days: int = 30


def read_spend(log: LogReader, now_ms: int) -> LoggedSpend:
    """Read today and the month; from sums, so that it costs the same for any log."""
    today, month, month_end = month_bounds(now_ms)
    day = datetime.fromtimestamp(today / 1000)
    yesterday = _ms(day - timedelta(days=1))
    month_before, _ = _month_of(_ms(day.replace(day=1) - timedelta(days=1)))
    span = log.span()
    first = span[0] if span else None
    by_hour = log.window(today, now_ms + 1, step_ms=_HOUR_MS, by=())
    by_step = log.window(month, now_ms + 1, step_ms=_STEP_MS, by=())
    spent = by_step.total.cost_usd
    days = round((month_end - month) / 86_400_000)
    by_day = _series(
        (
            (datetime.fromtimestamp(max(start, month) / 1000).day - 1, stats.cost_usd)
            for start, stats, _ in by_step.buckets
        ),
        day.day - 1,
        days,
    )
    began = 0 if first is None or first <= month else datetime.fromtimestamp(first / 1000).day
    projected = project(spent, first, now_ms)
    return LoggedSpend(
        today=by_hour.total,
        yesterday=_cost(log, yesterday, now_ms - (today - yesterday) + 1, first),
        month=by_step.total,
        month_before=_cost(log, month_before, month, first),
        projected=projected,
        projected_range=spread_of(
            projected,
            spent,
            [each for each in by_day[began : day.day - 1] if each is not None],
            (month_end - now_ms) / 86_400_000,
        ),
        hours=_series(
            ((max(start - today, 0) // _HOUR_MS, stats.cost_usd) for start, stats, _ in by_hour.buckets),
            (now_ms - today) // _HOUR_MS,
            24,
        ),
        days=by_day,
        month_days=days,
    )


def _cost(log: LogReader, since_ms: int, until_ms: int, first_ms: int | None) -> float | None:
    if first_ms is None or first_ms > since_ms + (until_ms - since_ms) / 10:  # a change would be a fiction
        return None
    return log.window(since_ms, until_ms, by=()).total.cost_usd


def _series(found: Iterable[tuple[int, float]], now: int, length: int) -> Series:
    sums: dict[int, float] = {}
    for place, amount in found:
        sums[place] = sums.get(place, 0.0) + amount
    return tuple(sums.get(place, 0.0) if place <= now else None for place in range(max(length, now + 1)))


def month_bounds(now_ms: int) -> tuple[int, int, int]:
    """Return the starts of the local day and month and the end of the month, Unix milliseconds."""
    now = datetime.fromtimestamp(now_ms / 1000)
    return _ms(now.replace(hour=0, minute=0, second=0, microsecond=0)), *_month_of(now_ms)


def _month_of(moment_ms: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(moment_ms / 1000)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _ms(first), _ms(datetime(first.year + first.month // 12, first.month % 12 + 1, 1))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def project(month_usd: float, first_ms: int | None, now_ms: int) -> float | None:
    """Return what the month will have cost if spending goes on as since its first request.

    None on the month's or the log's first day: an hour of the morning says nothing of a night.
    """
    _, start, end = month_bounds(now_ms)
    if first_ms is None:
        return None
    elapsed = now_ms - max(start, first_ms)
    if elapsed < 86_400_000:
        return None
    return month_usd + month_usd / elapsed * max(end - now_ms, 0)


def spread_of(
    projected: float | None, spent: float, days: Sequence[float], days_left: float
) -> tuple[float, float] | None:
    """Return the bounds of a projection by how much whole days differed; 90 %, not below what is spent already.

    The days to come vary as those that were did, and their mean is known only as well as so few days show it.
    """
    if projected is None or len(days) < _LEAST_DAYS:
        return None
    error = statistics.stdev(days) * math.sqrt(days_left + days_left**2 / len(days))
    # Student's factor for few days, near enough: 2.9 for three, 1.8 for ten, 1.7 for thirty.
    reach = (1.645 + 2.6 / (len(days) - 1)) * error
    return max(spent, projected - reach), projected + reach
