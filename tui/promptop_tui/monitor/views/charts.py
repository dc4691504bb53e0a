"""From a snapshot to the plots of the monitor: pure functions, one for each chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.texts import tr
from promptop_tui.monitor.analysis.tile_figures import MONTH_S, spent
from promptop_tui.monitor.analysis.token_histogram import histogram
from promptop_tui.widgets.plot import Plot, Series, Unit

if TYPE_CHECKING:
    from promptop.log import Stats
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.data.snapshot import LogSnapshot

LAYERS = 4
"""Groups that have a layer of their own in a stack; the rest is ``other``."""
LINES = 4
"""Groups that have a line; more could not be told apart."""


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
    level = (target, tr("target {target:g} s", target=target)) if target else None
    return _with(_frame(snapshot, title), series=tuple(lines), unit="seconds", level=level)


def _latency(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _percentiles("latency", "latency", snapshot, settings.slo_latency_s)


def _ttft(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _percentiles("ttft", "TTFT", snapshot, settings.slo_ttft_s)


def _cache(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = snapshot.window.total if snapshot.window else None
    levels = tuple(total.hits_by_level) if total else ()
    layers = [
        Series(level, snapshot.series(lambda stats, name=level: _level_share(stats, name)), role)  # type: ignore[misc]
        for level, role in zip(levels, ("series-3", "series-1", "series-4", "series-2", "series-6"), strict=False)
    ]
    note = tr("hits {hit_ratio}", hit_ratio=units.share(total.hit_ratio)) if total and total.lookups else ""
    if total and total.cached_share:
        note += tr(
            "{more}provider-cached {cached_share}",
            more=" · " if note else "",
            cached_share=units.share(total.cached_share),
        )
    empty = tr("no look-ups in a response cache in this window")
    return _with(
        _frame(snapshot, "cache"),
        series=tuple(layers) if total and total.lookups else (),
        unit="share",
        stacked=True,
        note=note,
        empty=f"{empty}; {note}" if note else empty,
    )


def _level_share(stats: Stats, level: str) -> float | None:
    """Return the share of look-ups that a level answered; None where none was asked."""
    return stats.hits_by_level.get(level, 0) / stats.lookups if stats.lookups else None


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
        layers.append(Series(tr("other ({n})", n=len(ranked) - LAYERS), rest, "series-6"))
    return _with(
        _frame(snapshot, f"{title} by {snapshot.by}"),
        series=_layers(snapshot, layers),
        unit=unit,
        stacked=True,
        note=note,
        empty=empty,
    )


def _spend(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = snapshot.window.total if snapshot.window else None
    note = tr("total {spent}", spent=spent(total)) if total else ""
    if total and total.unpriced:
        note += tr(" · {unpriced} unpriced", unpriced=units.count(total.unpriced))
    return _by_group(
        snapshot, "spend", lambda stats: stats.cost_usd, "usd", note, tr("no priced requests in this window")
    )


def _cumulative(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    total = 0.0
    sums: list[float | None] = []
    now = (snapshot.now_ms - snapshot.since_ms) / 1000 / snapshot.query.span.step_s
    for index, amount in enumerate(snapshot.series(lambda stats: stats.cost_usd, absent=0.0)):
        total += amount or 0.0
        sums.append(None if amount is None or index > now else total)
    share = settings.budget_usd_month * snapshot.query.span.seconds / MONTH_S
    return _with(
        _frame(snapshot, tr("spend, running total")),
        series=(Series("spent", tuple(sums), "series-1", area=True),),
        unit="usd",
        level=(share, tr("this window's share of the budget, {share}", share=units.usd(share))) if share else None,
        note=tr("total {spent}", spent=spent(snapshot.window.total)) if snapshot.window else "",
        empty=tr("no requests in this window"),
    )


def _share(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    counts = _by_group(
        snapshot, tr("share of calls"), lambda stats: stats.n, "share", "", tr("no requests in this window")
    )
    whole = snapshot.series(lambda stats: stats.n)
    note = tr("of {n} requests", n=units.count(snapshot.window.total.n)) if snapshot.window else ""
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
        (tr("fresh input/s"), lambda stats: max(stats.input_tokens - stats.cache_read, 0) / step),
        (tr("cached input/s"), lambda stats: stats.cache_read / step),
        ("output/s", lambda stats: stats.output_tokens / step),
    )
    layers = [
        Series(name, snapshot.series(value, absent=0.0), f"series-{index + 1}")
        for index, (name, value) in enumerate(parts)
    ]
    return _with(_frame(snapshot, "tokens"), series=_layers(snapshot, layers), unit="rate", stacked=True)


def _errors(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    kinds = snapshot.window.total.error_types if snapshot.window else {}
    ranked = sorted(kinds, key=lambda kind: (-kinds[kind], kind))
    layers = [
        Series(kind, snapshot.series(lambda stats, k=kind: stats.error_types.get(k, 0), absent=0.0), f"series-{i + 1}")  # type: ignore[misc]
        for i, kind in enumerate(ranked[:LAYERS])
    ]
    if rest := ranked[LAYERS:]:
        others = snapshot.series(lambda stats: sum(stats.error_types.get(kind, 0) for kind in rest), absent=0.0)
        layers.append(Series(tr("other ({n})", n=len(rest)), others, "series-6"))
    return _with(
        _frame(snapshot, "failures"),
        series=_layers(snapshot, layers),
        stacked=True,
        empty=tr("no failed requests in this window"),
    )


def _lines_by(
    snapshot: LogSnapshot,
    title: str,
    value: Callable[[Stats], float | None],
    unit: Unit,
    empty: str,
) -> Plot:
    """Return a line for each of the groups with most calls that have the figure."""
    groups = snapshot.window.groups if snapshot.window else {}
    known = sorted(
        (name for name, stats in groups.items() if value(stats) is not None), key=lambda name: (-groups[name].n, name)
    )
    lines = tuple(
        Series(name, snapshot.group_series(name, value), f"series-{index + 1}")
        for index, name in enumerate(known[:LINES])
    )
    note = tr("{count} more, m lists them", count=units.count(len(known) - LINES)) if len(known) > LINES else ""
    return _with(_frame(snapshot, f"{title} by {snapshot.by}"), series=lines, unit=unit, note=note, empty=empty)


def _ttft_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _lines_by(snapshot, "TTFT p95", lambda each: each.ttft.quantile(0.95), "seconds", tr("no call with a TTFT"))


def _latency_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _lines_by(
        snapshot, "total p95", lambda each: each.latency.quantile(0.95), "seconds", tr("no call with a time")
    )


def _size_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    def size(stats: Stats) -> float | None:
        return (stats.input_tokens + stats.output_tokens) / stats.n if stats.n else None

    return _lines_by(snapshot, "tokens a call", size, "count", tr("no requests in this window"))


def _hits_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _lines_by(
        snapshot, tr("cache hits"), lambda each: each.hit_ratio, "share", tr("no look-ups in a response cache")
    )


def _failed_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    return _by_group(
        snapshot, "failed", lambda each: float(each.errors), "count", "", tr("no failed call in this window")
    )


def _limited_by(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    empty = tr("no rejected call in this window")
    return _by_group(snapshot, "rejected (429)", lambda each: float(each.rate_limited), "count", "", empty)


def _ratios(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    lines = (
        Series(tr("response cache"), snapshot.series(lambda stats: stats.hit_ratio), "cache-hit"),
        Series(tr("provider-cached tokens"), snapshot.series(lambda stats: stats.cached_share), "series-2"),
    )
    return _with(_frame(snapshot, tr("hit ratio")), series=lines, unit="share")


KINDS: tuple[ChartKind, ...] = (
    ChartKind("ttft", "time to first token", _ttft),
    ChartKind("spend", "spend by group", _spend),
    ChartKind("cache", "cache hits by level", _cache),
    ChartKind("latency", "latency p50 p95 p99", _latency),
    ChartKind("errors", "failures by kind", _errors),
    ChartKind("ttft-by", "time to first token by group", _ttft_by),
    ChartKind("latency-by", "latency by group", _latency_by),
    ChartKind("failed-by", "failed calls by group", _failed_by),
    ChartKind("limited-by", "rejected calls by group", _limited_by),
    ChartKind("size-by", "tokens a call by group", _size_by),
    ChartKind("hits-by", "cache hits by group", _hits_by),
    ChartKind("throughput", "requests per second", _throughput),
    ChartKind("share", "share of requests by group", _share),
    ChartKind("tokens", "tokens per second, by kind", _tokens),
    ChartKind("sizes", "tokens a request, histogram", histogram),
    ChartKind("cumulative", "spend, running total against the budget", _cumulative),
    ChartKind("ratios", "hit ratio and provider-cached share", _ratios),
)
_UNTIMED_LAST = {"ttft", "latency", "ttft-by", "latency-by", "cache", "hits-by", "limited-by"}
"""Charts that have nothing to draw of rows without times, as those of agents are."""


def kinds_of(snapshot: LogSnapshot, first: str = "") -> list[ChartKind]:
    """Return all charts, from ``first`` on; without it, from the one that says most of the window's rows."""
    kinds = list(KINDS)
    total = snapshot.window.total if snapshot.window is not None else None
    if total is not None and total.n:
        if not snapshot.is_timed:
            tokens = next(kind for kind in kinds if kind.key == "tokens")
            kinds.sort(key=lambda kind: (kind is not tokens, kind.key in _UNTIMED_LAST))
        elif not total.ttft.n:
            kinds.sort(key=lambda kind: (kind.key != "latency", kind.key in ("ttft", "ttft-by")))
        elif not total.lookups:
            kinds.sort(key=lambda kind: kind.key in ("cache", "hits-by"))
    place = next((number for number, kind in enumerate(kinds) if kind.key == first), 0)
    return kinds[place:] + kinds[:place]
