"""From a snapshot to the plots of the monitor: pure functions, one for each chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptop.base import units
from promptop_tui.monitor.analysis.tile_figures import MONTH_S, spent
from promptop_tui.monitor.analysis.token_histogram import histogram
from promptop_tui.widgets.plot import Plot, Series

if TYPE_CHECKING:
    from promptop.log import Stats
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.data.snapshot import LogSnapshot

LAYERS = 5
"""Groups that have a layer of their own in a stack; the rest is ``other``."""


@dataclass(frozen=True, slots=True)
class ChartKind:
    """A chart that the monitor can show."""

    key: str
    title: str
    plot: Callable[[LogSnapshot, MonitorSettings], Plot]


def _frame(snapshot: LogSnapshot, title: str) -> Plot:
    step_ms = snapshot.query.span.step_s * 1000
    running = (snapshot.now_ms - snapshot.since_ms) // step_ms if snapshot.query.until_ms is None else None
    return Plot(title, snapshot.since_ms / 1000, step_ms / 1000, running=running)


def _with(frame: Plot, **changes: object) -> Plot:
    return replace(frame, **changes)  # type: ignore[arg-type]


def _layers(snapshot: LogSnapshot, layers: list[Series]) -> tuple[Series, ...]:
    """Return layers with a gap where nothing was logged: that is no zero."""
    rows = snapshot.series(lambda stats: float(stats.n))
    return tuple(
        replace(
            layer,
            values=tuple(None if n is None else value for value, n in zip(layer.values, rows, strict=True)),
        )
        for layer in layers
    )


def _percentiles(which: str, title: str, snapshot: LogSnapshot, target: float) -> Plot:
    lines = []
    for quantile, name, role in ((0.95, "p95", "series-1"), (0.5, "p50", "series-2"), (0.99, "p99", "series-3")):
        values = snapshot.series(lambda stats, q=quantile: getattr(stats, which).quantile(q))  # type: ignore[misc]
        lines.append(Series(name, values, role, area=name == "p95", drawn=name != "p99"))
    level = (target, f"target {target:g} s") if target else None
    return _with(_frame(snapshot, title), series=tuple(lines), unit="seconds", level=level)


def _latency(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _percentiles("latency", "latency", snapshot, settings.slo_latency_s)


def _ttft(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _percentiles("ttft", "TTFT", snapshot, settings.slo_ttft_s)


def _cache(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = snapshot.window.total if snapshot.window else None
    levels = tuple(total.hits_by_level) if total else ()
    layers = [
        Series(level, snapshot.series(lambda stats, name=level: stats.hits_by_level.get(name, 0), absent=0.0), role)  # type: ignore[misc]
        for level, role in zip(levels, ("cache-hit", "series-2", "series-3", "series-4", "series-6"), strict=False)
    ]
    if total and total.lookups:
        misses = snapshot.series(lambda stats: stats.lookups - stats.hits, absent=0.0)
        layers.append(Series("miss", misses, "axis"))
    note = f"hits {units.share(total.hit_ratio)}" if total and total.lookups else ""
    if total and total.cached_share:
        note += f"{' · ' if note else ''}provider-cached {units.share(total.cached_share)}"
    empty = "no look-ups in a response cache in this window"
    return _with(
        _frame(snapshot, "cache"),
        series=_layers(snapshot, layers) if total and total.lookups else (),
        stacked=True,
        note=note,
        empty=f"{empty}; {note}" if note else empty,
    )


def _by_group(
    snapshot: LogSnapshot, title: str, value: Callable[[Stats], float], unit: str, note: str, empty: str
) -> Plot:
    groups = snapshot.window.groups if snapshot.window else {}
    ranked = sorted(((value(stats), name) for name, stats in groups.items()), key=lambda item: (-item[0], item[1]))
    shown = [name for amount, name in ranked[:LAYERS] if amount > 0]
    layers = [
        Series(name, snapshot.group_series(name, value, absent=0.0), f"series-{index + 1}")
        for index, name in enumerate(shown)
    ]
    if len(ranked) > LAYERS and ranked[LAYERS][0] > 0:
        whole = snapshot.series(value, absent=0.0)
        rest = tuple(
            max((amount or 0.0) - sum(layer.values[index] or 0.0 for layer in layers), 0.0)
            for index, amount in enumerate(whole)
        )
        layers.append(Series(f"other ({len(ranked) - LAYERS})", rest, "series-6"))
    return _with(
        _frame(snapshot, title), series=_layers(snapshot, layers), unit=unit, stacked=True, note=note, empty=empty
    )


def _spend(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = snapshot.window.total if snapshot.window else None
    note = f"total {spent(total)}" if total else ""
    if total and total.unpriced:
        note += f" · {units.count(total.unpriced)} unpriced"
    return _by_group(snapshot, "spend", lambda stats: stats.cost_usd, "usd", note, "no priced requests in this window")


def _cumulative(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = 0.0
    sums: list[float | None] = []
    now = (snapshot.now_ms - snapshot.since_ms) / 1000 / snapshot.query.span.step_s
    for index, amount in enumerate(snapshot.series(lambda stats: stats.cost_usd, absent=0.0)):
        total += amount or 0.0
        sums.append(None if amount is None or index > now else total)
    share = settings.budget_usd_month * snapshot.query.span.seconds / MONTH_S
    return _with(
        _frame(snapshot, "spend, running total"),
        series=(Series("spent", tuple(sums), "series-1", area=True),),
        unit="usd",
        level=(share, f"this window's share of the budget, {units.usd(share)}") if share else None,
        note=f"total {spent(snapshot.window.total)}" if snapshot.window else "",
        empty="no requests in this window",
    )


def _share(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    counts = _by_group(snapshot, "model share", lambda stats: stats.n, "share", "", "no requests in this window")
    whole = snapshot.series(lambda stats: stats.n)
    note = f"of {units.count(snapshot.window.total.n)} requests" if snapshot.window else ""
    return _with(counts, series=tuple(_part_of(layer, whole) for layer in counts.series), note=note)


def _part_of(layer: Series, whole: tuple[float | None, ...]) -> Series:
    """Return a layer as shares of the whole; a moment without requests has none."""
    shares = tuple((value or 0.0) / all_ if all_ else None for value, all_ in zip(layer.values, whole, strict=True))
    return replace(layer, values=shares)


def _throughput(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    step = snapshot.query.span.step_s
    requests = snapshot.series(lambda stats: stats.n / step, absent=0.0)
    return _with(
        _frame(snapshot, "throughput"), series=(Series("requests/s", requests, "series-1", area=True),), unit="rate"
    )


def _tokens(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    step = snapshot.query.span.step_s
    parts: tuple[tuple[str, Callable[[Stats], float]], ...] = (
        ("input/s", lambda stats: stats.input_tokens / step),
        ("output/s", lambda stats: stats.output_tokens / step),
        ("cached input/s", lambda stats: stats.cache_read / step),
    )
    lines = tuple(
        Series(name, snapshot.series(value, absent=0.0), f"series-{index + 1}")
        for index, (name, value) in enumerate(parts)
    )
    return _with(_frame(snapshot, "tokens"), series=lines, unit="rate")


def _errors(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    kinds = snapshot.window.total.error_types if snapshot.window else {}
    ranked = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
    layers = [
        Series(kind, snapshot.series(lambda stats, k=kind: stats.error_types.get(k, 0), absent=0.0), f"series-{i + 1}")  # type: ignore[misc]
        for i, kind in enumerate(ranked[:LAYERS])
    ]
    if rest := ranked[LAYERS:]:
        others = snapshot.series(lambda stats: sum(stats.error_types.get(kind, 0) for kind in rest), absent=0.0)
        layers.append(Series(f"other ({len(rest)})", others, "series-6"))
    return _with(
        _frame(snapshot, "failures"),
        series=_layers(snapshot, layers),
        stacked=True,
        empty="no failed requests in this window",
    )


def _ratios(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    lines = (
        Series("response cache", snapshot.series(lambda stats: stats.hit_ratio), "cache-hit"),
        Series("provider-cached tokens", snapshot.series(lambda stats: stats.cached_share), "series-2"),
    )
    return _with(_frame(snapshot, "hit ratio"), series=lines, unit="share")


KINDS: tuple[ChartKind, ...] = (
    ChartKind("latency", "latency p50 p95 p99", _latency),
    ChartKind("spend", "spend by model", _spend),
    ChartKind("cache", "cache hits by level", _cache),
    ChartKind("ttft", "time to first token", _ttft),
    ChartKind("throughput", "requests per second", _throughput),
    ChartKind("errors", "failures by kind", _errors),
    ChartKind("share", "share of requests by model", _share),
    ChartKind("tokens", "tokens per second", _tokens),
    ChartKind("sizes", "tokens a request, histogram", histogram),
    ChartKind("cumulative", "spend, running total against the budget", _cumulative),
    ChartKind("ratios", "hit ratio and provider-cached share", _ratios),
)
