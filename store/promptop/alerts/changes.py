"""A change of a figure: what it is, in words and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from promptop.alerts.figures import BY_NAME, WORDS
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.text_table import width as cells
from promptop.log.read.filters import terms_for
from promptop.log.read.stats import NONE_GROUP

_ROWS = {
    "limited_share": "code:429",
    "error_share": "status:error",
    "timeout_share": "status:error",
    "truncated_share": "finish:length,max_tokens",
    "retry_share": "attempt>1",
}
"""Figure → the terms that leave the rows that it counts."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of one value of one dimension that is not what it was."""

    dimension: str
    value: str
    figure: str
    before: float
    after: float
    """Shares of one, seconds, USD or counts; calls and cost a minute."""
    since_ms: int
    share: float
    """How much of the whole change this value explains; of an amount, its part of the whole."""
    score: float
    family: str = ""
    z: float = 0.0
    """How far beyond the ordinary it is."""
    excess: float = 0.0
    """What is too much, a minute."""
    n: int = 0
    """Calls that it stands on."""
    breadth: float = 0.0
    """Part of all calls that this value has."""
    new: bool = False
    """Whether the value itself was not there before."""
    of_seconds: bool = False
    """Whether it is seen in the last seconds' calls, and not in whole minutes yet."""

    @property
    def factor(self) -> float | None:
        """After / before; None where it was nothing before."""
        return self.after / self.before if self.before > 0 else None

    @property
    def subject(self) -> str:
        """What has changed, for people."""
        return "all calls" if self.dimension == "all" else self.value or "(none)"

    @property
    def filter(self) -> str:
        """The filter that shows its rows; empty for all of them."""
        if self.dimension == "all":
            return ""
        if self.dimension == "version":
            prompt, _, version = self.value.rpartition(" ")
            pairs = [("prompt", prompt), ("version", version)]
        elif "." in self.dimension and not self.dimension.startswith("tag."):
            pairs = list(zip(self.dimension.split("."), self.value.split(" · "), strict=False))
        else:
            pairs = [(self.dimension, self.value or NONE_GROUP)]
        terms = [terms_for(name, value) for name, value in pairs if value]
        return " ".join(filter(None, (*terms, _ROWS.get(self.figure, ""))))

    def as_json(self) -> dict[str, Any]:
        """Return the shape of ``promptop report --changes --json``."""
        return {
            "dimension": self.dimension,
            "value": self.value,
            "figure": self.figure,
            "before": self.before,
            "after": self.after,
            "factor": self.factor,
            "since": datetime.fromtimestamp(self.since_ms / 1000, UTC).isoformat(timespec="seconds"),
            "share": self.share,
            "score": self.score,
            "new": self.new,
            "n": self.n,
        }


_BREADTH = {"all": 0.8, "provider": 0.9, "server": 0.92, "app.model.prompt": 0.93, "version": 0.93}
"""Of two values that explain the same: what is asked first. The narrower of two also scores higher by its part."""


def score_of(change: Change, explains: float) -> float:
    """Return the weight of a change: how surprising, how sure, and how much of the whole it explains."""
    figure = BY_NAME[change.figure]
    factor = change.factor if change.factor is not None else 33.0
    surprise = min(abs(math.log(max(factor, 0.02))), 3.5)
    score = figure.weight * _BREADTH.get(change.dimension, 1.0) * surprise
    score *= max(0.0, min(1.0, explains)) * min(1.0, change.z / 12) * (1 - 0.15 * change.breadth)
    if figure.kind == "share":
        score *= 1 + 0.2 * abs(change.after - change.before)
    return score


def shown(figure: str, value: float) -> str:
    """Return a figure for people."""
    unit = BY_NAME[figure].unit if figure in BY_NAME else "count"
    if unit == "share":
        return units.share(value)
    if unit == "s":
        return units.seconds(value)
    if unit == "usd":
        return units.usd(value)
    return units.rate(value) if value < 100 else units.count(round(value))


def times(factor: float) -> str:
    """Return a factor for people."""
    return f"×{factor:.1f}" if factor < 10 else f"×{factor:,.0f}"


def clock(moment_ms: int, now_ms: int) -> str:
    """Return a local time for people, with its day where it is not today's."""
    moment = datetime.fromtimestamp(moment_ms / 1000)
    today = moment.date() == datetime.fromtimestamp(now_ms / 1000).date()
    return f"{moment:%H:%M}" if today else f"{moment:%d %b %H:%M}"


def sentence(change: Change, now_ms: int, width: int = 200) -> str:
    """Return a change in one line: subject, figure, extent, since when, share; what matters less is left out first."""
    since = f"since {clock(change.since_ms, now_ms)}"
    words = WORDS[change.figure]
    who = f"{change.subject}: "
    part = f" · {units.share(change.share)} of it" if 0 < change.share < 0.95 else ""
    if change.figure == "silence":
        who = "" if change.dimension == "all" else who
        parts = [f"{who}no calls {since}", f", {units.rate(change.before)} a minute before"]
    elif change.figure == "in_flight":
        oldest = units.seconds((now_ms - change.since_ms) / 1000)
        parts = [f"{who}{units.count(round(change.after))} calls in flight unanswered {since}", f", oldest {oldest}"]
    elif change.new and BY_NAME[change.figure].kind == "amount":
        parts = [f"{who}{words} new, {units.share(change.share)} of all {since}"]
    elif BY_NAME[change.figure].kind == "share":
        extent = f"{units.share(change.before)} → {units.share(change.after)}"
        parts = [f"{who}{words} {extent} {since}", part]
    else:
        span = f"{shown(change.figure, change.before)} → {shown(change.figure, change.after)}"
        factor = change.factor
        extent = f"{words} {times(factor)}" if factor is not None else words
        parts = [f"{who}{extent} ({span}) {since}", part]
        if factor is not None and cells(parts[0]) > width:
            parts = [f"{who}{extent} {since}", part]
    whole = "".join(parts)
    return clean_line(whole if cells(whole) <= width else parts[0], 200)


def digest(changes: Sequence[Change], now_ms: int) -> str:
    """Return several changes in one line."""
    return " · ".join(sentence(change, now_ms) for change in changes)
