"""What changed, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from promptop.alerts.changes import Change, clock, shown, times
from promptop.alerts.figures import WORDS
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.terminal import Paint, plain
from promptop.base.text_table import text_table

COLUMNS = ("what", "figure", "before", "after", "change", "since", "share", "calls")


def json_text(changes: Sequence[Change]) -> str:
    """Return ``[{"dimension", "value", "figure", "before", "after", "factor", "since", "share", "score", …}]``."""
    return json.dumps([change.as_json() for change in changes], ensure_ascii=False, indent=2)


def table_text(changes: Sequence[Change], now_ms: int, nothing: str, paint: Paint = plain) -> str:
    """Return one line a change, the weightiest first; ``nothing`` where there is none."""
    if not changes:
        return nothing
    heads, rule, *lines = text_table(COLUMNS, [cells(change, now_ms) for change in changes])
    return "\n".join([paint(heads, "heading"), paint(rule, "quiet"), *lines])


def cells(change: Change, now_ms: int) -> list[str]:
    """Return the cells of :data:`COLUMNS`."""
    name = change.dimension if change.dimension == "all" else f"{change.dimension} {change.value}"
    return [
        clean_line(name, 60),
        WORDS[change.figure],
        shown(change.figure, change.before),
        shown(change.figure, change.after),
        "new" if change.new else times(change.factor) if change.factor is not None else "from 0",
        clock(change.since_ms, now_ms),
        units.share(change.share),
        units.count(change.n),
    ]
