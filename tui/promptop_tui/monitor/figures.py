"""The six figures at the top of the monitor: a pure function of the snapshot and the targets in the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptop import figures

if TYPE_CHECKING:
    from promptop.log import Stats
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.snapshot import Snapshot

Verdict = Literal["", "met", "missed"]
SIGNS: dict[Verdict, str] = {"": " ", "met": "✓", "missed": "✗"}


_NAMES = (
    ("latency", "p95 latency", "p95"),
    ("ttft", "p95 TTFT", "TTFT"),
    ("cache", "cache hits", "hits"),
    ("spend", "spend", "spend"),
    ("rate", "requests/s", "req/s"),
    ("errors", "errors", "errors"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One tile: a figure, how sure it is, how it moved and whether it meets its target."""

    key: str
    title: str
    short: str
    value: str
    note: str = ""
    verdict: Verdict = ""
    target: str = ""
    change: str = ""
    few: bool = False
    """Too few samples to trust: shown greyed."""
    spark: tuple[float | None, ...] = ()

    @property
    def sign(self) -> str:
        """The verdict as one cell, for those who do not see its colour."""
        return SIGNS[self.verdict]


def figures_of(snapshot: Snapshot, settings: MonitorSettings) -> tuple[Figure, ...]:
    """Return the tiles of a snapshot; without a window, all of them are unknown."""
    if snapshot.window is None:
        return tuple(Figure(key, title, short, figures.UNKNOWN) for key, title, short in _NAMES)
    now, before = snapshot.window.total, snapshot.previous
    return (
        _percentile(snapshot, "latency", settings.slo_latency_s),
        _percentile(snapshot, "ttft", settings.slo_ttft_s),
        _cache(snapshot, now, before, settings.slo_cache_hits),
        _spend(snapshot, now, before, settings.budget_usd_month),
        _rate(snapshot, now, before),
        _errors(snapshot, now, before, settings.slo_error_rate),
    )


def _percentile(snapshot: Snapshot, which: Literal["latency", "ttft"], target: float) -> Figure:
    if snapshot.window is None:
        raise ValueError("a percentile needs a window")
    sketch = getattr(snapshot.window.total, which)
    value = sketch.quantile(0.95)
    before = getattr(snapshot.previous, which).quantile(0.95) if snapshot.previous else None
    few = sketch.n < figures.FEW
    p50 = figures.seconds(sketch.quantile(0.5))
    return Figure(
        which,
        "p95 latency" if which == "latency" else "p95 TTFT",
        "p95" if which == "latency" else "TTFT",
        figures.seconds(value),
        f"n={figures.count(sketch.n)}{' few' if few and sketch.n else ''} · p50 {p50}",
        "" if value is None or not target else "met" if value <= target else "missed",
        f"≤{target:g}s",
        figures.change(value, before),
        few,
        snapshot.series(lambda stats: getattr(stats, which).quantile(0.95)),
    )


def _cache(snapshot: Snapshot, now: Stats, before: Stats | None, target: float) -> Figure:
    ratio = now.hit_ratio
    return Figure(
        "cache",
        "cache hits",
        "hits",
        figures.share(ratio),
        f"n={figures.count(now.lookups)} · provider {figures.share(now.cached_share)}",
        "" if ratio is None or not target else "met" if ratio >= target else "missed",
        f"≥{target * 100:g}%",
        figures.change(ratio, before.hit_ratio if before else None),
        now.lookups < figures.FEW,
        snapshot.series(lambda stats: stats.hit_ratio),
    )


def spent(stats: Stats) -> str:
    """Return the cost of a window for people: unknown where no row that cost something has a price."""
    if stats.unpriced and not stats.cost_pico:
        return figures.UNKNOWN
    return ("≈ " if stats.estimated else "") + figures.usd(stats.cost_usd)


def _spend(snapshot: Snapshot, now: Stats, before: Stats | None, budget: float) -> Figure:
    spend = snapshot.spend
    projected = spend.projected if spend else None
    notes = [f"{figures.count(now.unpriced)} unpriced"] if now.unpriced else []
    notes.append(f"month→{figures.usd(projected)}")
    if spend:
        notes.append(f"today {figures.usd(spend.today)}")
    return Figure(
        "spend",
        "spend",
        "spend",
        spent(now),
        " · ".join(notes),
        "" if not budget or projected is None else "met" if projected <= budget else "missed",
        f"≤{figures.usd(budget)}/mo" if budget else "",
        figures.change(now.cost_usd, before.cost_usd if before else None),
        False,
        snapshot.series(lambda stats: stats.cost_usd, absent=0.0),
    )


def _rate(snapshot: Snapshot, now: Stats, before: Stats | None) -> Figure:
    elapsed = max((min(snapshot.until_ms, snapshot.now_ms) - snapshot.since_ms) / 1000, 1.0)
    tokens = (now.input_tokens + now.output_tokens) / elapsed
    return Figure(
        "rate",
        "requests/s",
        "req/s",
        figures.rate(now.n / elapsed),
        f"n={figures.count(now.n)} · {figures.rate(tokens)} tok/s",
        change=figures.change(now.n, before.n if before else None),
        spark=snapshot.series(lambda stats: stats.n, absent=0.0),
    )


def _errors(snapshot: Snapshot, now: Stats, before: Stats | None, target: float) -> Figure:
    value = now.error_rate
    parts = [f"n={figures.count(now.ok + now.errors)}", f"{figures.count(now.errors)} failed"]
    if now.rate_limited:
        parts.append(f"{figures.count(now.rate_limited)} × 429")
    return Figure(
        "errors",
        "errors",
        "errors",
        figures.share(value),
        " · ".join(parts),
        "" if value is None or not target else "met" if value <= target else "missed",
        f"≤{target * 100:g}%",
        figures.change(value, before.error_rate if before else None),
        now.ok + now.errors < figures.FEW,
        snapshot.series(lambda stats: stats.errors, absent=0.0),
    )
