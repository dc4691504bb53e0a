"""The figures that changes are looked for in: how each is taken from trends, and what makes a change worth telling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from promptop.log.rollups.trends import LN_SCALE, PARTS

PART: dict[str, int] = {name: place for place, name in enumerate(PARTS)}
"""Name of a part → its place in a cell of the trends."""
Kind = Literal["share", "mean", "log", "amount"]


@dataclass(frozen=True, slots=True)
class AlertFigure:
    """A figure: one part over another, or a part a minute."""

    name: str
    words: str
    """What people call it."""
    kind: Kind
    """share of calls or tokens; mean a call; log: mean of logarithms of seconds; amount a minute."""
    top: int
    of: int
    calls: int
    """Place of the calls that stand behind it."""
    sign: int
    """1 where a rise is told, −1 where a fall is."""
    least: float
    """Smallest factor that is told."""
    family: str
    """Figures of one family have one cause: one claim of each is told."""
    weight: float
    unit: Literal["share", "s", "usd", "count"]

    def value(self, top: float, of: float) -> float | None:
        """Return the figure in the scale in which it is compared: logarithms for means and times."""
        if of <= 0:
            return None
        if self.kind == "log":
            return top / of / LN_SCALE
        if self.kind == "mean":
            return math.log(top / of) if top > 0 else None
        return top / of

    def natural(self, value: float) -> float:
        """Return a compared value as people read it."""
        return math.exp(value) if self.kind in ("log", "mean") else value


def _figure(
    name: str, words: str, kind: Kind, parts: str, least: float, family: str, weight: float, *, sign: int = 1
) -> AlertFigure:
    """Make a figure of ``TOP/OF/CALLS``."""
    top, of, calls = (PART[part] for part in parts.split("/"))
    unit: Literal["share", "s", "usd", "count"] = "count"
    if kind == "share":
        unit = "share"
    elif kind == "log":
        unit = "s"
    elif name.startswith("cost"):
        unit = "usd"
    return AlertFigure(name, words, kind, top, of, calls, sign, least, family, weight, unit)


FIGURES: tuple[AlertFigure, ...] = (
    _figure("limited_share", "rejected (429)", "share", "limited/upstream/upstream", 2.0, "outcome", 1.0),
    _figure("timeout_share", "timeouts", "share", "timeouts/upstream/upstream", 2.0, "outcome", 1.0),
    _figure("error_share", "errors", "share", "failed/upstream/upstream", 2.0, "outcome", 0.95),
    _figure("retry_share", "retries", "share", "retries/n/n", 2.0, "retries", 0.8),
    _figure("truncated_share", "truncated (length)", "share", "truncated/ok/ok", 2.0, "answers", 0.9),
    _figure("late_share", "rows from a wrong clock", "share", "skewed/n/n", 2.0, "clock", 0.9),
    _figure("ttft", "TTFT", "log", "ttft_ln/ttft_n/ttft_n", 1.6, "slow", 1.0),
    _figure("latency", "latency", "log", "latency_ln/latency_n/latency_n", 1.6, "slow", 0.9),
    _figure("cached_share", "provider-cached", "share", "cache_read/input/ok", 2.0, "cache", 0.8, sign=-1),
    _figure("write_share", "cache writes", "share", "cache_write/input/ok", 2.0, "cache", 0.75),
    _figure("hit_share", "cache hits", "share", "hits/lookups/lookups", 2.0, "hits", 0.9, sign=-1),
    _figure("input_a_call", "input tokens a call", "mean", "input/ok/ok", 1.45, "tokens", 0.8),
    _figure("reasoning_a_call", "reasoning tokens a call", "mean", "reasoning/ok/ok", 1.7, "tokens", 0.85),
    _figure("output_a_call", "output tokens a call", "mean", "output/ok/ok", 1.7, "tokens", 0.7),
    _figure("cost_a_call", "cost a call", "mean", "cost_pico/ok/ok", 1.6, "spend", 0.6),
    _figure("cost", "cost", "amount", "cost_pico/n/n", 2.0, "spend", 0.7),
    _figure("n", "calls", "amount", "n/n/n", 2.5, "calls", 0.6),
)
BY_NAME: dict[str, AlertFigure] = {figure.name: figure for figure in FIGURES}
WORDS: dict[str, str] = {figure.name: figure.words for figure in FIGURES} | {
    "silence": "no calls",
    "in_flight": "in flight",
}
"""Name of a figure → what people call it."""
