"""Two windows of one length side by side: what a change of a prompt, a model or a cache has done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from promptop import figures
from promptop.cli.reporting import Report, as_dict, iso, notes_of, title_of
from promptop.log import Stats
from promptop.log.tables import width

_LINES: tuple[tuple[str, Callable[[Stats], float | None], Callable[[float | None], str]], ...] = (
    ("requests", lambda s: s.n, figures.count),
    ("failed", lambda s: s.error_rate, figures.share),
    ("p50", lambda s: s.latency.quantile(0.5), figures.seconds),
    ("p95", lambda s: s.latency.quantile(0.95), figures.seconds),
    ("TTFT p95", lambda s: s.ttft.quantile(0.95), figures.seconds),
    ("cache hits", lambda s: s.hit_ratio, figures.share),
    ("provider-cached", lambda s: s.cached_share, figures.share),
    ("input tokens", lambda s: s.input_tokens, figures.count),
    ("output tokens", lambda s: s.output_tokens, figures.count),
    ("input a call", lambda s: s.input_tokens / s.n if s.n else None, figures.count),
    ("output a call", lambda s: s.output_tokens / s.n if s.n else None, figures.count),
    ("cost", lambda s: as_dict(s)["cost_usd"], figures.usd),
    ("cost a call", lambda s: s.cost_usd / (s.n - s.unpriced) if s.n > s.unpriced else None, figures.usd),
)


def json_text(before: Report, after: Report) -> str:
    """Return both windows under the names of a report, with the relative change of each plain figure."""
    sides = {
        name: {
            "window": {"from": iso(report.since_ms), "to": iso(report.until_ms)},
            **as_dict(report.total),
            "groups": [{"group": group, **as_dict(stats)} for group, stats in report.groups],
        }
        for name, report in (("before", before), ("after", after))
    }
    change: dict[str, Any] = {}
    for name, value, _ in _LINES:
        old, new = value(before.total), value(after.total)
        change[name.replace(" ", "_").lower()] = None if not old or new is None else (new - old) / old
    return json.dumps({**sides, "change": change, "by": after.by}, ensure_ascii=False, indent=1)


def table_text(before: Report, after: Report) -> str:
    """Return figure by figure, and the cost a call of each group that both windows have."""
    rows = [("", "before", "after", "change")]
    for name, value, show in _LINES:
        old, new = value(before.total), value(after.total)
        rows.append((name, show(old), show(new), figures.change(new, old)))
    earlier = dict(before.groups)
    shared = [(name, earlier[name], stats) for name, stats in after.groups if name in earlier]
    for name, old_stats, new_stats in shared:
        each = _LINES[-1][1]
        old, new = each(old_stats), each(new_stats)
        rows.append((f"a call, {name[:40]}", figures.usd(old), figures.usd(new), figures.change(new, old)))
    widths = [max(width(row[column]) for row in rows) for column in range(4)]
    lines = [f"before: {title_of(before)}", f"after:  {title_of(after)}", ""]
    for first, *rest in rows:
        cells = [" " * (room - width(cell)) + cell for cell, room in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first + " " * (widths[0] - width(first)), *cells]).rstrip())
    fewest = min(before.total.latency.n, after.total.latency.n)
    notes = [f"Percentiles of {fewest} samples only." if fewest < figures.FEW else "", *notes_of(after)]
    return "\n".join([*lines, "", *(note for note in notes if note)]).rstrip()
