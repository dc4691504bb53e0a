"""Where it goes: the groups of a window in one dimension, and what changed, as rows of cells. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from promptop.alerts.changes import Change, shown, times
from promptop.alerts.figures import BY_NAME, WORDS
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.sparkline import spark
from promptop_tui.widgets.table import Cell, Column, Tone

if TYPE_CHECKING:
    from promptop.log import Stats
    from promptop.log.in_flight import InFlight
    from promptop_tui.monitor.data.snapshot import LogSnapshot

_TREND = 8
_MUCH = 1.25
"""A figure that moved by this factor is worth a second look; below, it is as usual."""
_BAR = 10

GROUP_COLUMNS: tuple[Column, ...] = (
    Column("name", "", 6, fit=True, most=32),
    Column("n", "calls", 5, rank=1, right=True, fit=True),
    Column("ttft", "TTFT", 4, rank=2, right=True, fit=True),
    Column("change", "change", 6, rank=4, right=True),
    Column("limited", "429", 3, rank=3, right=True, fit=True),
    Column("failed", "failed", 6, rank=7, right=True),
    Column("spend", "spend", 5, rank=5, right=True, fit=True),
    Column("trend", "trend", _TREND, rank=6),
    Column("tokens", "tok/call", 8, rank=9, right=True),
    Column("hits", "hits", 5, rank=10, right=True),
)
UNTIMED_COLUMNS: tuple[Column, ...] = (
    Column("name", "", 6, fit=True, most=32),
    Column("n", "calls", 5, rank=1, right=True, fit=True),
    Column("spend", "spend", 5, rank=2, right=True, fit=True),
    Column("share", "of spend", 8, rank=5),
    Column("tokens", "tokens", 6, rank=3, right=True),
    Column("cached", "cached", 6, rank=4, right=True),
    Column("trend", "trend", _TREND, rank=6),
    Column("failed", "failed", 6, rank=8, right=True),
)

CHANGE_COLUMNS: tuple[Column, ...] = (
    Column("factor", "by", 5, right=True, fit=True),
    Column("subject", "what", 9, fit=True, most=32),
    Column("words", "before → now", 12, fit=True),
    Column("since", "since", 5, rank=1),
)
FLIGHT_COLUMNS: tuple[Column, ...] = (
    Column("model", "model", 6, fit=True, most=32),
    Column("app", "app", 4, rank=3, fit=True, most=20),
    Column("calls", "calls", 5, rank=1, right=True),
    Column("oldest", "oldest", 8, right=True),
    Column("bar", "", 6, rank=4, most=20),
)


def group_columns(snapshot: LogSnapshot) -> tuple[Column, ...]:
    """Return the columns that the window's rows have figures for, with the dimension's name over the first."""
    first, *others = GROUP_COLUMNS if snapshot.is_timed else UNTIMED_COLUMNS
    total = snapshot.window.total if snapshot.window is not None else None
    unused = set()
    if total is not None:
        unused = {
            key
            for key, number in (("limited", total.rate_limited), ("failed", total.errors), ("hits", total.lookups))
            if not number
        }
    return (replace(first, title=snapshot.by), *(column for column in others if column.key not in unused))


def groups_by_spend(snapshot: LogSnapshot) -> tuple[tuple[str, Stats], ...]:
    """Return the window's groups, the dearest first, then the most called."""
    groups = snapshot.window.groups if snapshot.window is not None else {}
    return tuple(sorted(groups.items(), key=lambda item: (-item[1].cost_pico, -item[1].n, item[0])))


def group_cells(snapshot: LogSnapshot, name: str, stats: Stats) -> tuple[Cell, ...]:
    """Return the cells of :func:`group_columns` for one group."""
    keys = [column.key for column in group_columns(snapshot)]
    return tuple(_group_cells(snapshot, name, stats)[key] for key in keys)


def _group_cells(snapshot: LogSnapshot, name: str, stats: Stats) -> dict[str, Cell]:
    total = snapshot.window.total if snapshot.window is not None else stats
    shown_name = clean_line(name, 60)
    cost = units.UNKNOWN if stats.unpriced and not stats.cost_pico else units.dollars(stats.cost_usd)
    failed: Cell = (units.count(stats.errors), "bad") if stats.errors else (units.UNKNOWN, "muted")
    series = spark(snapshot.group_series(name, lambda each: float(each.n), absent=0.0), _TREND)
    tokens = stats.input_tokens + stats.output_tokens
    if not snapshot.is_timed:
        share = stats.cost_pico / total.cost_pico if total.cost_pico else 0.0
        by_cost = spark(snapshot.group_series(name, lambda each: float(each.cost_pico), absent=0.0), _TREND)
        return {
            "name": shown_name,
            "n": units.count(stats.n),
            "spend": cost,
            "share": ("▪" * round(share * 8), "muted"),
            "tokens": units.count(tokens),
            "cached": units.share(stats.cached_share),
            "trend": (by_cost, "muted"),
            "failed": failed,
        }
    first = stats.ttft if stats.ttft.n else stats.latency
    value = first.quantile(0.95)
    moved, tone = _moved(value, name, snapshot.comparable_groups)
    few = first.n < units.FEW
    limited: Cell = (units.count(stats.rate_limited), "bad") if stats.rate_limited else (units.UNKNOWN, "muted")
    value_tone: Tone = "bad" if tone == "bad" else "muted" if few else ""
    much = stats.rate_limited > 0.05 * max(stats.upstream, 1)
    return {
        "name": (shown_name, "bad") if tone == "bad" or much else shown_name,
        "n": units.count(stats.n),
        "ttft": (units.seconds(value), value_tone),
        "change": (moved, tone),
        "limited": limited,
        "failed": failed,
        "spend": cost,
        "trend": (series, "bad" if tone == "bad" else "muted"),
        "tokens": units.count(tokens / stats.n) if stats.n else units.UNKNOWN,
        "hits": units.share(stats.hit_ratio),
    }


def _moved(value: float | None, name: str, before: Mapping[str, Stats]) -> tuple[str, Tone]:
    """Return how a group's p95 moved against the window before; as usual is quiet."""
    earlier = before.get(name)
    then = None
    if earlier is not None:
        first = earlier.ttft if earlier.ttft.n else earlier.latency
        then = first.quantile(0.95) if first.n >= units.FEW else None
    if value is None or not then:
        return "", "muted"
    factor = value / then
    if factor >= 2:
        return times(factor), "bad"
    said = units.change(value, then)
    return said, "warn" if factor >= 1.5 else "" if factor >= _MUCH else "muted"


def change_cells(change: Change) -> tuple[Cell, ...]:
    """Return the cells of :data:`CHANGE_COLUMNS` for something unusual."""
    figure = BY_NAME.get(change.figure)
    words = WORDS[change.figure]
    factor = change.factor
    if figure is not None and figure.kind == "share":
        extent = f"+{units.share(change.after - change.before)}" if change.after > change.before else "less"
        said = f"{words} {units.share(change.before)} → {units.share(change.after)}"
    elif change.figure in ("silence", "in_flight"):
        extent = "0/s" if change.figure == "silence" else f"+{units.count(round(change.after))}"
        said = words
    else:
        extent = times(factor) if factor is not None else "new"
        said = f"{words} {shown(change.figure, change.before)} → {shown(change.figure, change.after)}"
    since = f"{datetime.fromtimestamp(change.since_ms / 1000):%H:%M}"
    return ((extent, "bad"), clean_line(change.subject, 60), (said, "muted"), (since, "muted"))


def usual_cells(snapshot: LogSnapshot) -> list[tuple[Cell, ...]]:
    """Return how the window's figures stand against the window before; empty where there is nothing to compare."""
    now = snapshot.window.total if snapshot.window is not None else None
    before = snapshot.comparable
    if now is None or before is None or not now.n or not before.n:
        return []
    pairs: list[tuple[str, float | None, float | None, str, str]] = []

    def pair(name: str, new: float | None, old: float | None, say: str) -> None:
        if new is not None and old is not None:
            form = {"s": units.seconds, "usd": units.usd, "n": units.count, "share": units.share}[say]
            pairs.append((name, new, old, form(old), form(new)))

    pair("TTFT p95", now.ttft.quantile(0.95), before.ttft.quantile(0.95), "s")
    pair("total p95", now.latency.quantile(0.95), before.latency.quantile(0.95), "s")
    pair("calls", float(now.n), float(before.n), "n")
    pair("spend a call", now.cost_usd / now.n, before.cost_usd / before.n, "usd")
    pair("input a call", now.input_tokens / now.n, before.input_tokens / before.n, "n")
    pair("output a call", now.output_tokens / now.n, before.output_tokens / before.n, "n")
    pair(tr("cache hits"), now.hit_ratio, before.hit_ratio, "share")
    pair(tr("cached input"), now.cached_share, before.cached_share, "share")
    out: list[tuple[Cell, ...]] = []
    for name, new, old, was, is_now in pairs:
        said = units.change(new, old) or "="
        tone: Tone = "muted" if old and abs((new or 0) / old - 1) < 1 - 1 / _MUCH else ""
        out.append(
            (
                (said, tone),
                (name, tone),
                (f"{was} → {is_now}" if said != "=" else tr("as before, {is_now}", is_now=is_now), "muted"),
            )
        )
    return out


def flight_cells(flight: InFlight, now_ms: int, slow_s: float, most: int) -> tuple[Cell, ...]:
    """Return the cells of :data:`FLIGHT_COLUMNS`; ``slow_s`` is from when a call is late, ``most`` the longest bar."""
    age = max((now_ms - flight.oldest_ms) / 1000, 0.0)
    late: Tone = "warn" if age > slow_s else ""
    return (
        (clean_line(flight.model or units.UNKNOWN, 60), late),
        (clean_line(flight.app, 20), "muted"),
        units.count(flight.calls),
        (units.seconds(float(round(age))), late),
        ("▪" * max(round(flight.calls / max(most, 1) * _BAR), 1), late or "muted"),
    )
