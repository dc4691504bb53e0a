"""The ten figures at the top of the monitor: a pure function of the snapshot and the targets in the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptop.base import units
from promptop.base.texts import tr

if TYPE_CHECKING:
    from promptop.log import Stats, Window
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.analysis.spending import LoggedSpend
    from promptop_tui.monitor.data.snapshot import LogSnapshot

Verdict = Literal["", "met", "missed"]
SIGNS: dict[Verdict, str] = {"": " ", "met": "✓", "missed": "✗"}
MONTH_S = 30.4375 * 86_400
"""Seconds of a month on average: what a window's share of the budget is taken of."""

_NAMES = (
    ("latency", "p95 latency", "p95"),
    ("ttft", "p95 TTFT", "TTFT"),
    ("cache", "cache hits", "hits"),
    ("cached", "provider-cached", "cached"),
    ("errors", "errors", "err"),
    ("spend", "spend", "spend"),
    ("today", "today", "today"),
    ("month", "projected month", "month"),
    ("rate", "requests/s", "req/s"),
    ("tokens", "tokens/s", "tok/s"),
)
_TITLES = {key: (title, short) for key, title, short in _NAMES}


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: a figure, of how many samples, how it moved and whether it meets its target."""

    key: str
    title: str
    short: str
    value: str
    samples: str = ""
    """``n=812``, with a mark where that is too few."""
    note: str = ""
    verdict: Verdict = ""
    target: str = ""
    change: str = ""
    """Against the window before; for today and the month against the day and the month before."""
    few: bool = False
    """Too few samples to trust: shown greyed."""
    spark: tuple[float | None, ...] = ()

    @property
    def sign(self) -> str:
        """The verdict as one cell, for those who do not see its colour."""
        return SIGNS[self.verdict]


def figures_of(snapshot: LogSnapshot, settings: MonitorSettings) -> tuple[Tile, ...]:
    """Return the tiles of a snapshot; without a window, all of them are unknown."""
    window = snapshot.window
    if window is None:
        return tuple(Tile(key, title, short, units.UNKNOWN) for key, title, short in _NAMES)
    now, before = window.total, snapshot.comparable
    money = snapshot.spend
    return (
        _percentile(snapshot, window, "latency", settings.slo_latency_s),
        _percentile(snapshot, window, "ttft", settings.slo_ttft_s),
        _share(snapshot, "cache", lambda stats: stats.hit_ratio, now.lookups, settings.slo_cache_hits),
        _share(snapshot, "cached", lambda stats: stats.cached_share, now.n, 0.0),
        _errors(snapshot, now, before, settings.slo_error_rate),
        _spend(snapshot, now, before, settings.budget_usd_month),
        _today(money, settings.budget_usd_month, filtered=bool(snapshot.query.filter)),
        _month(money, settings.budget_usd_month, filtered=bool(snapshot.query.filter)),
        _rate(snapshot, "rate", lambda stats: stats.n),
        _rate(snapshot, "tokens", lambda stats: stats.input_tokens + stats.output_tokens),
    )


def _tile(key: str, value: str, n: float, **parts: object) -> Tile:
    few = bool(parts.get("few")) and n > 0
    return Tile(key, *_TITLES[key], value, f"n={units.count(n)}{' few' if few else ''}", **parts)  # type: ignore[arg-type]


def _judged(value: float | None, target: float, *, at_least: bool = False) -> Verdict:
    if value is None or not target:
        return ""
    return "met" if (value >= target if at_least else value <= target) else "missed"


def _percentile(snapshot: LogSnapshot, window: Window, which: Literal["latency", "ttft"], target: float) -> Tile:
    sketch = getattr(window.total, which)
    value = sketch.quantile(0.95)
    before = getattr(snapshot.comparable, which).quantile(0.95) if snapshot.comparable else None
    return _tile(
        which,
        units.seconds(value),
        sketch.n,
        note=f"p50 {units.seconds(sketch.quantile(0.5))}, p99 {units.seconds(sketch.quantile(0.99))}"
        + _left_out(window),
        verdict=_judged(value, target),
        target=f"≤{target:g} s" if target else "",
        change=units.change(value, before),
        few=sketch.n < units.FEW,
        spark=snapshot.series(lambda stats: getattr(stats, which).quantile(0.95)),
    )


def _left_out(window: Window) -> str:
    """Say that a percentile leaves calls out where these are many: a hang makes it look better."""
    total = window.total
    out = total.errors + total.cancelled
    return tr(", without {out} failed", out=units.count(out)) if out > 0.05 * max(total.upstream, 1) else ""


def _share(
    snapshot: LogSnapshot, key: str, value: Callable[[Stats], float | None], samples: int, target: float
) -> Tile:
    assert snapshot.window is not None
    total = snapshot.window.total
    share = value(total)
    levels = " ".join(f"{level} {units.count(hits)}" for level, hits in total.hits_by_level.items())
    return _tile(
        key,
        units.share(share),
        samples,
        note=(levels or tr("no hits"))
        if key == "cache"
        else tr("of {input_tokens} input tokens", input_tokens=units.count(total.input_tokens)),
        verdict=_judged(share, target, at_least=True),
        target=f"≥{target * 100:g}%" if target else "",
        change=units.change(share, value(snapshot.comparable) if snapshot.comparable else None),
        few=samples < units.FEW,
        spark=snapshot.series(value),
    )


def spent(stats: Stats) -> str:
    """Return the cost of a window for people: unknown where no row that cost something has a price."""
    if stats.unpriced and not stats.cost_pico:
        return units.UNKNOWN
    return ("≈ " if stats.estimated else "") + units.usd(stats.cost_usd)


def _unpriced(stats: Stats) -> str:
    return tr("{unpriced} unpriced", unpriced=units.count(stats.unpriced)) if stats.unpriced else ""


def _spend(snapshot: LogSnapshot, now: Stats, before: Stats | None, budget: float) -> Tile:
    share = budget * snapshot.query.span.seconds / MONTH_S
    saved = tr("saved {saved_usd}", saved_usd=units.usd(now.saved_usd)) if now.saved_pico else ""
    return _tile(
        "spend",
        spent(now),
        now.n - now.unpriced,
        note=", ".join(filter(None, (_unpriced(now), saved))),
        verdict=_judged(now.cost_usd, share),
        target=f"≤{units.usd(share)}" if share else "",
        change=units.change(now.cost_usd, before.cost_usd if before else None),
        spark=snapshot.series(lambda stats: stats.cost_usd, absent=0.0),
    )


def _whole(filtered: bool) -> str:
    """Say that a figure is of the whole log although a filter holds for those beside it."""
    return tr("all, unfiltered") if filtered else ""


def _today(spend: LoggedSpend | None, budget: float, *, filtered: bool) -> Tile:
    if spend is None:
        return Tile("today", *_TITLES["today"], units.UNKNOWN)
    share = budget / spend.month_days
    then = (
        tr("yesterday by now {yesterday}", yesterday=units.usd(spend.yesterday)) if spend.yesterday is not None else ""
    )
    return _tile(
        "today",
        spent(spend.today),
        spend.today.n - spend.today.unpriced,
        note=_whole(filtered) or then,
        verdict=_judged(spend.today.cost_usd, share),
        target=f"≤{units.usd(share)}" if share else "",
        change=units.change(spend.today.cost_usd, spend.yesterday),
        spark=spend.hours,
    )


def _month(spend: LoggedSpend | None, budget: float, *, filtered: bool) -> Tile:
    if spend is None:
        return Tile("month", *_TITLES["month"], units.UNKNOWN)
    rough = "≈ " if spend.projected is not None else ""
    so_far = tr("this month so far {cost_usd}", cost_usd=units.usd(spend.month.cost_usd))
    if spend.projected_range is not None:
        low, high = map(units.usd, spend.projected_range)
        so_far = tr("{low} to {high}; so far {cost_usd}", low=low, high=high, cost_usd=units.usd(spend.month.cost_usd))
    elif spend.projected is None:
        so_far += tr(", no whole day yet")
    return _tile(
        "month",
        rough + units.usd(spend.projected),
        spend.month.n - spend.month.unpriced,
        note=_whole(filtered) or so_far,
        verdict=_judged(spend.projected, budget),
        target=f"≤${budget:,.0f}" if budget >= 100 else f"≤{units.usd(budget)}" if budget else "",
        change=units.change(spend.projected, spend.month_before),
        spark=spend.days,
    )


def _rate(snapshot: LogSnapshot, key: str, value: Callable[[Stats], float]) -> Tile:
    assert snapshot.window is not None
    now, before = snapshot.window.total, snapshot.comparable
    elapsed = max((min(snapshot.until_ms, snapshot.now_ms) - snapshot.since_ms) / 1000, 1.0)
    note = ""
    if key == "tokens":
        note = tr(
            "in {rate}, out {rate_2}",
            rate=units.rate(now.input_tokens / elapsed),
            rate_2=units.rate(now.output_tokens / elapsed),
        )
    elif now.cancelled:
        note = tr("{cancelled} cancelled", cancelled=units.count(now.cancelled))
    return _tile(
        key,
        units.rate(value(now) / elapsed),
        now.n,
        note=note,
        change=units.change(value(now), value(before) if before else None),
        spark=snapshot.series(value, absent=0.0),
    )


def _errors(snapshot: LogSnapshot, now: Stats, before: Stats | None, target: float) -> Tile:
    """Return the tile of what went wrong: for the caller a rejected call is as bad as a failed one."""
    value, rejected = now.error_rate, now.rejected_rate
    samples = now.answered + now.errors + now.rate_limited
    timeouts = tr(", {timeouts} timeouts", timeouts=units.count(now.timeouts)) if now.timeouts else ""
    limited = (
        tr(", {rate_limited} rejected (429)", rate_limited=units.count(now.rate_limited)) if now.rate_limited else ""
    )
    worst = max((each for each in (value, rejected) if each is not None), default=None)
    return _tile(
        "errors",
        f"{units.share(value)} 429: {units.share(rejected)}" if now.rate_limited else units.share(value),
        samples,
        note=tr(
            "{errors} failed{timeouts}{limited}", errors=units.count(now.errors), timeouts=timeouts, limited=limited
        ),
        verdict=_judged(worst, target),
        target=f"≤{target * 100:g}%" if target else "",
        # Beside two shares there is no room for it, and half a number would be another one.
        change="" if now.rate_limited else units.change(value, before.error_rate if before else None),
        few=samples < units.FEW,
        spark=snapshot.series(lambda stats: stats.errors + stats.rate_limited, absent=0.0),
    )
