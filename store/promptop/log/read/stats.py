"""What is counted of rows: the same function for rows and rollups, so that both agree by construction.

Money is added in whole pico-dollars (1e-12 USD): sums do not depend on their order, and a day of 9 million dollars
still fits 64 bits. The four outcomes are disjoint: ok + errors + rate_limited + cancelled = n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from promptop.log.rollups.sketch import Sketch

PICO = 10**12
HIT_LEVELS = ("memory", "redis", "disk", "semantic", "other")
NONE_GROUP = "(none)"
"""Name of the group of rows that have no value in the dimension asked for."""

MODEL = "coalesce(request_model, response_model, '')"

HIT = "(cache_level IS NOT NULL AND cache_level <> 'miss')"
# Only rows that the provider answered in full speak about its latency: hits, failures and cancelled calls stay out.
SPEAKS = f"(error_type IS NULL AND NOT {HIT})"
FAILED = "(error_type IS NOT NULL AND error_type <> 'cancelled')"
LIMITED = "(http_response_status_code IS 429 OR error_type IS '429')"
TRUNCATED = """coalesce(response_finish_reasons GLOB '*"length"*'
  OR response_finish_reasons GLOB '*"max_*tokens"*', 0)"""


def pico(column: str) -> str:
    """Return the SQL of an amount in pico-dollars; one beyond a million dollars is not a cost of a call."""
    return f"coalesce(CASE WHEN {column} BETWEEN -1e6 AND 1e6 THEN CAST(round({column} * 1e12) AS INTEGER) END, 0)"


_COUNTED: dict[str, str] = {
    "n": "1",
    "errors": f"({FAILED} AND NOT {LIMITED})",
    "rate_limited": f"({FAILED} AND {LIMITED})",
    "cancelled": "(error_type IS 'cancelled')",
    "truncated": TRUNCATED,
    "lookups": "(cache_level IS NOT NULL)",
    **{f"hits_{level}": f"(cache_level IS '{level}')" for level in HIT_LEVELS[:-1]},
    "hits_other": f"({HIT} AND cache_level NOT IN ({', '.join(repr(level) for level in HIT_LEVELS[:-1])}))",
    "input_tokens": "coalesce(CAST(usage_input_tokens AS INTEGER), 0)",
    "output_tokens": "coalesce(CAST(usage_output_tokens AS INTEGER), 0)",
    "cache_read": "coalesce(CAST(usage_cache_read_input_tokens AS INTEGER), 0)",
    "cache_write": "coalesce(CAST(usage_cache_write_input_tokens AS INTEGER), 0)",
    "reasoning": "coalesce(CAST(usage_reasoning_output_tokens AS INTEGER), 0)",
    "unpriced": f"""((cost_usd BETWEEN -1e6 AND 1e6) IS NOT 1 AND NOT {HIT}
  AND (coalesce(usage_input_tokens, 0) <> 0 OR coalesce(usage_output_tokens, 0) <> 0))""",
    "estimated": "(usage_source IS 'estimated' OR cost_status IS 'estimated')",
    "cost_pico": pico("cost_usd"),
    "saved_pico": pico("saved_usd"),
}
"""What each integer of :class:`Stats` grows by for a row; the casts keep a hand-edited cell from breaking a sum."""

SELECTED = f"""id, CAST(started_ms AS INTEGER), {MODEL}, coalesce(app, ''), coalesce(prompt_name, ''),
 {", ".join(_COUNTED.values())},
 substr(error_type, 1, 64),
 CASE WHEN {SPEAKS} THEN CAST(coalesce(duration_s, total_s) AS REAL) END,
 CASE WHEN {SPEAKS} THEN CAST(ttft_s AS REAL) END"""
"""Columns that :meth:`Stats.add` takes, in its order: the counting itself is done by SQLite."""


def is_timeout(error_type: str) -> bool:
    """Tell whether an error type means that something took too long."""
    return error_type in ("408", "504") or ("time" in error_type.lower() and "out" in error_type.lower())


@dataclass(slots=True)
class Stats:
    """Counts, sums and distributions of a set of rows."""

    n: int = 0
    """Rows: attempts, whatever happened to them."""
    errors: int = 0
    """Failed attempts, without rate limits and cancelled ones."""
    rate_limited: int = 0
    """Attempts answered with 429."""
    cancelled: int = 0
    """Attempts that the caller gave up."""
    truncated: int = 0
    """Answers cut by the token limit."""
    lookups: int = 0
    """Calls that asked our response cache."""
    hits_memory: int = 0
    hits_redis: int = 0
    hits_disk: int = 0
    hits_semantic: int = 0
    hits_other: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    """Input tokens that the provider read from its cache."""
    cache_write: int = 0
    reasoning: int = 0
    unpriced: int = 0
    """Rows that used tokens and have no known cost."""
    estimated: int = 0
    """Rows whose tokens or cost are estimates."""
    cost_pico: int = 0
    saved_pico: int = 0
    latency: Sketch = field(default_factory=Sketch)
    """Duration of answered calls that reached the provider, seconds."""
    ttft: Sketch = field(default_factory=Sketch)
    """Time to the first generated token of the same calls, seconds."""
    error_types: dict[str, int] = field(default_factory=dict)
    """Error type → rows, rate limits and cancelled ones included."""

    @property
    def ok(self) -> int:
        """Attempts that went well."""
        return self.n - self.errors - self.rate_limited - self.cancelled

    @property
    def hits(self) -> int:
        """Calls that our response cache answered."""
        return self.hits_memory + self.hits_redis + self.hits_disk + self.hits_semantic + self.hits_other

    @property
    def hits_by_level(self) -> dict[str, int]:
        """Cache level → hits, in the order of the levels; levels without a hit are left out."""
        counts = {level: getattr(self, f"hits_{level}") for level in HIT_LEVELS}
        return {level: count for level, count in counts.items() if count}

    @property
    def hit_ratio(self) -> float | None:
        """Hits of our cache / look-ups; None if it was never asked."""
        return self.hits / self.lookups if self.lookups else None

    @property
    def cached_share(self) -> float | None:
        """Provider-cached input tokens / input tokens; None without input tokens."""
        return self.cache_read / self.input_tokens if self.input_tokens else None

    @property
    def upstream(self) -> int:
        """Attempts that our response cache did not answer."""
        return self.n - self.hits

    @property
    def answered(self) -> int:
        """Attempts that the provider answered."""
        return max(self.ok - self.hits, 0)

    @property
    def timeouts(self) -> int:
        """Attempts that took too long for the caller or a gateway; they are among the errors."""
        return sum(count for kind, count in self.error_types.items() if is_timeout(kind))

    @property
    def error_rate(self) -> float | None:
        """Errors / (answered + errors): hits of our cache, rejected and cancelled calls apart; None without either."""
        judged = self.answered + self.errors
        return self.errors / judged if judged else None

    @property
    def rejected_rate(self) -> float | None:
        """Attempts answered with 429 / all that reached the provider; None if none did."""
        return self.rate_limited / self.upstream if self.upstream else None

    @property
    def cost_usd(self) -> float:
        """Cost of the priced rows, USD; look at ``unpriced`` beside it."""
        return self.cost_pico / PICO

    @property
    def saved_usd(self) -> float:
        """What hits of our cache saved, USD."""
        return self.saved_pico / PICO

    def add(self, row: Sequence[Any]) -> None:
        """Count one row, given as the columns of :data:`SELECTED`."""
        self.add_integers(row[5:-3])
        error, took, first = row[-3:]
        if error is not None:
            self.error_types[error] = self.error_types.get(error, 0) + 1
        if took is not None:
            self.latency.add(took)
        if first is not None:
            self.ttft.add(first)

    def add_integers(self, values: Sequence[int]) -> None:
        """Add to each of :data:`INTEGERS`, in order."""
        # Written out: a loop over names takes three times as long, and windows add thousands.
        (
            n,
            errors,
            rate_limited,
            cancelled,
            truncated,
            lookups,
            hits_memory,
            hits_redis,
            hits_disk,
            hits_semantic,
            hits_other,
            input_tokens,
            output_tokens,
            cache_read,
            cache_write,
            reasoning,
            unpriced,
            estimated,
            cost_pico,
            saved_pico,
        ) = values
        self.n += n
        self.errors += errors
        self.rate_limited += rate_limited
        self.cancelled += cancelled
        self.truncated += truncated
        self.lookups += lookups
        self.hits_memory += hits_memory
        self.hits_redis += hits_redis
        self.hits_disk += hits_disk
        self.hits_semantic += hits_semantic
        self.hits_other += hits_other
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cache_read += cache_read
        self.cache_write += cache_write
        self.reasoning += reasoning
        self.unpriced += unpriced
        self.estimated += estimated
        self.cost_pico += cost_pico
        self.saved_pico += saved_pico

    def merge(self, other: Stats) -> None:
        """Add everything that ``other`` has counted."""
        # Written out: a loop over names takes three times as long, and rollups merge millions.
        self.n += other.n
        self.errors += other.errors
        self.rate_limited += other.rate_limited
        self.cancelled += other.cancelled
        self.truncated += other.truncated
        self.lookups += other.lookups
        self.hits_memory += other.hits_memory
        self.hits_redis += other.hits_redis
        self.hits_disk += other.hits_disk
        self.hits_semantic += other.hits_semantic
        self.hits_other += other.hits_other
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cache_read += other.cache_read
        self.cache_write += other.cache_write
        self.reasoning += other.reasoning
        self.unpriced += other.unpriced
        self.estimated += other.estimated
        self.cost_pico += other.cost_pico
        self.saved_pico += other.saved_pico
        self.latency.merge(other.latency)
        self.ttft.merge(other.ttft)
        for kind, count in other.error_types.items() if other.error_types else ():
            self.error_types[kind] = self.error_types.get(kind, 0) + count


INTEGERS: tuple[str, ...] = tuple(f.name for f in fields(Stats) if f.type == "int")
"""Names of the integer fields, in order."""
assert tuple(_COUNTED) == INTEGERS


@dataclass(slots=True)
class Window:
    """What a stretch of the log holds: in all, by bucket of time and by group."""

    since_ms: int
    """Start, Unix milliseconds. Earlier than asked for only where pruned rows leave nothing finer than a rollup."""
    until_ms: int
    """End, not included."""
    total: Stats
    buckets: tuple[tuple[int, Stats, dict[str, Stats]], ...]
    """(start, all, by group) of each step that has rows, in order; empty if no step was asked for."""
    groups: dict[str, Stats]
    """Value of the grouping → stats; several dimensions are joined by `` · ``."""
    marks: tuple[int, ...] = field(default=(), compare=False)
    """Highest id of each log whose rows are counted."""
    left_out: Stats = field(default_factory=Stats)
    """promptop's own measuring calls, where they are not counted."""

    def joined(self, newer: Window) -> Window:
        """Return this window with the rows of another one of the same bounds added; neither is changed."""
        buckets = {start: (stats, groups) for start, stats, groups in self.buckets}
        for start, stats, groups in newer.buckets:
            old_stats, old_groups = buckets.get(start, (Stats(), {}))
            buckets[start] = (_sum(old_stats, stats), _sums(old_groups, groups))
        return Window(
            self.since_ms,
            self.until_ms,
            _sum(self.total, newer.total),
            tuple((start, stats, groups) for start, (stats, groups) in sorted(buckets.items())),
            _sums(self.groups, newer.groups),
            newer.marks,
            _sum(self.left_out, newer.left_out),
        )


def _sum(one: Stats, other: Stats) -> Stats:
    out = Stats()
    out.merge(one)
    out.merge(other)
    return out


def _sums(groups: dict[str, Stats], newer: dict[str, Stats]) -> dict[str, Stats]:
    return {**groups, **{name: _sum(groups.get(name, Stats()), stats) for name, stats in newer.items()}}
