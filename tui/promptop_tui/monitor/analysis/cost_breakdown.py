"""Where the money goes: the groups of a window by spend, as pure functions of their stats."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.log.read.prefixes import characters_of, prefixes_of
from promptop_tui.widgets.sparkline import spark
from promptop_tui.widgets.table import Cell, Column, Tone

if TYPE_CHECKING:
    from promptop.log import Sketch, Stats, StoredRow

DIMENSIONS = ("model", "app", "prompt", "tags", "provider", "server", "host", "service", "hash", "day")
"""What spend is shown by: dimensions of the log's windows, and the local day."""
NONE = "(none)"

COLUMNS: tuple[Column, ...] = (
    Column("group", "", 16, most=44),
    Column("share", "of spend", 11, rank=1),
    Column("cost", "spend", 11, right=True, fit=True),
    Column("n", "calls", 6, right=True),
    Column("each", "a call", 11, rank=3, right=True, fit=True),
    Column("input", "in", 6, rank=4, right=True),
    Column("output", "out", 6, rank=5, right=True),
    Column("size", "tok/call", 8, rank=10, right=True),
    Column("p50", "p50", 8, rank=11, right=True),
    Column("p95", "p95", 8, rank=2, right=True),
    Column("spread", "0.1…100 s", 9, rank=12),
    Column("failed", "failed", 7, rank=6, right=True),
    Column("hits", "hits", 6, rank=7, right=True),
    Column("rejected", "429", 6, rank=7, right=True),
    Column("ttft", "TTFT p95", 8, rank=9, right=True),
    Column("repeats", "repeats", 7, rank=8, right=True),
    Column("stable", "prefix", 6, rank=9, right=True),
)

DAYS_FIRST = "spend"
"""Order in which days come by date: the one at first."""
SORTS: dict[str, Callable[[Group], float]] = {
    "spend": lambda group: group.stats.cost_usd,
    "calls": lambda group: group.stats.n,
    "tokens": lambda group: group.stats.input_tokens + group.stats.output_tokens,
    "p95": lambda group: group.stats.latency.quantile(0.95) or 0.0,
    "failed": lambda group: group.stats.errors + group.stats.rate_limited,
}


@dataclass(frozen=True, slots=True)
class Group:
    """One line: what was called, how often, for how much."""

    name: str
    stats: Stats
    repeats: float | None = None
    """Share of its calls whose prompt was sent before in the window; None where hashes are not known."""
    stable: float | None = None
    """Share of its input that nine calls in ten begin with: what a provider can cache; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The groups of a window in one dimension."""

    dimension: str
    total: Stats
    groups: tuple[Group, ...]
    days: float
    """Length of the window that the log covers, days."""

    def sorted_by(self, key: str) -> tuple[Group, ...]:
        """Return the groups, largest first; days from the newest on, unless another order is chosen."""
        if self.dimension == "day" and key == DAYS_FIRST:
            return tuple(sorted(self.groups, key=lambda group: group.name, reverse=True))
        return tuple(sorted(self.groups, key=lambda group: (-SORTS[key](group), group.name)))


def repeats_of(by_hash: Mapping[str, Stats], separator: str) -> dict[str, float]:
    """Return, for each group, the share of calls that repeat an earlier prompt; from stats by group and prompt hash.

    Names are ``group · hash``; calls without a hash are left out of both sides.
    """
    calls: dict[str, int] = {}
    distinct: dict[str, int] = {}
    for name, stats in by_hash.items():
        group, _, digest = name.rpartition(separator)
        if digest == NONE:
            continue
        calls[group] = calls.get(group, 0) + stats.n
        distinct[group] = distinct.get(group, 0) + 1
    return {group: 1 - distinct[group] / count for group, count in calls.items()}


_VALUES: dict[str, Callable[[StoredRow], str | None]] = {
    "model": lambda row: row.request_model or row.response_model,
    "app": lambda row: row.app,
    "prompt": lambda row: row.prompt_name,
    "tags": lambda row: row.tags,
    "provider": lambda row: row.provider_name,
    "server": lambda row: row.server_address,
    "host": lambda row: row.host_name,
    "service": lambda row: row.service_name,
    "hash": lambda row: row.prompt_hash,
    "day": lambda row: f"{datetime.fromtimestamp((row.started_ms or 0) / 1000):%Y-%m-%d}",
}
_MOST = 0.9
TAG = "tag."
_TAG_KEYS = 6


def value_of(row: StoredRow, dimension: str) -> str | None:
    """Return a row's value in a dimension, ``tag.KEY`` included."""
    if not dimension.startswith(TAG):
        return _VALUES[dimension](row)
    value = _tags(row.tags or "").get(dimension.removeprefix(TAG))
    return None if value is None else str(value)


def _tags(text: str) -> dict[str, object]:
    try:
        tags = json.loads(text)
    except ValueError:
        return {}
    return tags if isinstance(tags, dict) else {}


def tag_dimensions(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return a dimension for each key of the tags that groups by tags have, the most called first, at most six."""
    calls: Counter[str] = Counter()
    for group in groups:
        for key in _tags(group.name):
            calls[key] += group.stats.n
    return tuple(f"{TAG}{key}" for key, _ in calls.most_common(_TAG_KEYS))


def stable_of(rows: Iterable[StoredRow], dimension: str) -> dict[str, float]:
    """Return, for each group, the share of its input that nine calls in ten begin with, from prefix hashes of rows.

    A lower bound: hashes stand only where the system messages end and at 1,024 · 2ᵏ characters.
    """
    calls: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    shared: dict[str, Counter[tuple[int, str]]] = {}
    for row in rows:
        prefixes = prefixes_of(row)
        if not prefixes:
            continue
        group = value_of(row, dimension) or NONE
        calls[group] += 1
        characters[group] += characters_of(row, prefixes)
        shared.setdefault(group, Counter()).update(prefixes)
    out = {}
    for group, count in calls.items():
        if count < 2:
            continue
        longest = max((size for (size, _), times in shared[group].items() if times >= _MOST * count), default=0)
        out[group] = min(longest * count / max(characters[group], 1), 1.0)
    return out


_CELLS = 9


def shape_of(latency: Sketch) -> str:
    """Return how latencies are distributed: nine cells, a third of a decade each, from 0.1 to 100 seconds."""
    counts = [0.0] * _CELLS
    for value, count in latency.buckets():
        place = math.floor((math.log10(max(value, 1e-6)) + 1) * 3)
        counts[max(0, min(place, _CELLS - 1))] += count
    return spark([count or None for count in counts], _CELLS) if latency.n else ""


def cells_of(group: Group, total: Stats) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`."""
    stats = group.stats
    share = stats.cost_pico / total.cost_pico if total.cost_pico else None
    bar = "█" * round((share or 0) * 4)
    latency = stats.latency
    cost = "n/a" if stats.unpriced and not stats.cost_pico else units.usd(stats.cost_usd)
    priced = stats.n - stats.unpriced
    few: Tone = "muted" if latency.n < units.FEW else ""
    return (
        clean_line(group.name, 60),
        (f"{units.share(share):>6} {bar}", "accent"),
        f"≈{cost}" if stats.estimated and stats.cost_pico else cost,
        units.count(stats.n),
        units.usd(stats.cost_usd / priced) if priced else units.UNKNOWN,
        units.count(stats.input_tokens),
        units.count(stats.output_tokens),
        units.count((stats.input_tokens + stats.output_tokens) / stats.n) if stats.n else units.UNKNOWN,
        (units.seconds(latency.quantile(0.5)), few),
        (units.seconds(latency.quantile(0.95)), few),
        (shape_of(latency), few),
        (units.share(stats.error_rate), "bad" if stats.errors else ""),
        units.share(stats.hit_ratio),
        (units.share(stats.rejected_rate), "bad" if stats.rate_limited else ""),
        (units.seconds(stats.ttft.quantile(0.95)), "muted" if stats.ttft.n < units.FEW else ""),
        units.share(group.repeats),
        units.share(group.stable),
    )
