"""When calls came, as a log has it: arrivals for an open loop that bunch and pause as real traffic does."""

from __future__ import annotations

from pathlib import Path

from promptop.base.errors import UsageError
from promptop.budget.budget import OWN
from promptop.experiments.bench.load_generator import Load

SHORTEST_S = 1.0
"""A stretch of the log that is shorter than this says nothing of a rate."""
_ASKED = "(cache_level IS NULL OR cache_level = 'miss') AND (attempt IS NULL OR attempt = 1)"
"""Calls that reached the endpoint, each once: hits of the cache did not, and further attempts are ours."""


def load_of(
    log: Path, since_ms: int, until_ms: int, calls: int, *, name: str, where: str = "", speed: float = 1.0
) -> Load:
    """Return the open loop of the last ``calls`` calls that other programs made in a stretch of the log.

    ``where`` is a filter expression (``app:web model:gpt-4o``), ``speed`` divides the pauses. Raises
    :class:`UsageError` where there are fewer than two calls, and :class:`PromptopError` for a file that is not a log.
    """
    from promptop.log import LogReader
    from promptop.log.read.filters import Filter, parse_filter

    chosen = parse_filter(where)
    own = f"(app IS NULL OR (app != '{OWN}' AND app NOT LIKE '{OWN} %'))"
    found = Filter(where, f"({chosen.sql or '1'}) AND {_ASKED} AND {own}", chosen.parameters)
    with LogReader(log) as reader:
        rows = reader.between(since_ms, until_ms, calls, found)
    moments = sorted(row.started_ms for row in rows if row.started_ms is not None)
    span_s = (moments[-1] - moments[0]) / 1000 / speed if len(moments) > 1 else 0.0
    if span_s < SHORTEST_S:
        raise UsageError(
            f"The log has {len(moments)} calls of other programs there, within {span_s:.3g} s: too few for arrivals.",
            "Name an earlier start, another filter, or a lower speed; promptop report shows what the log has.",
        )
    due = tuple((moment - moments[0]) / 1000 / speed for moment in moments)
    sped = f" ×{speed:g}" if speed != 1 else ""
    return Load(len(due), rate=(len(due) - 1) / span_s, warm_ups=2, due=due, name=f"{name}{sped}")
