"""Two windows of one length side by side: what a change of a prompt, a model or a cache has done."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from typing import Any

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.text_table import width
from promptop.cli.report_formats.report_text import Report, as_dict, iso, markdown_line, notes_of, title_of
from promptop.log import LogReader, Stats

_LINES: tuple[tuple[str, Callable[[Stats], float | None], Callable[[float | None], str]], ...] = (
    ("requests", lambda s: s.n, units.count),
    ("failed", lambda s: s.error_rate, units.share),
    ("p50", lambda s: s.latency.quantile(0.5), units.seconds),
    ("p95", lambda s: s.latency.quantile(0.95), units.seconds),
    ("TTFT p95", lambda s: s.ttft.quantile(0.95), units.seconds),
    ("cache hits", lambda s: s.hit_ratio, units.share),
    ("provider-cached", lambda s: s.cached_share, units.share),
    ("input tokens", lambda s: s.input_tokens, units.count),
    ("output tokens", lambda s: s.output_tokens, units.count),
    ("input a call", lambda s: s.input_tokens / s.n if s.n else None, units.count),
    ("output a call", lambda s: s.output_tokens / s.n if s.n else None, units.count),
    ("cost", lambda s: as_dict(s)["cost_usd"], units.usd),
    ("cost a call", lambda s: s.cost_usd / (s.n - s.unpriced) if s.n > s.unpriced else None, units.usd),
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


def _names(before: Report, after: Report) -> list[tuple[str, Callable[[Stats], float | None], Any, Stats, Stats]]:
    """Return (name, figure, form, stats before, after): each figure of all, then cost a call of groups of both."""
    out = [(name, value, show, before.total, after.total) for name, value, show in _LINES]
    earlier = dict(before.groups)
    _, each, show = _LINES[-1]
    return out + [
        (f"a call, {clean_line(name, 40)}", each, show, earlier[name], stats)
        for name, stats in after.groups
        if name in earlier
    ]


def _rows(before: Report, after: Report) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, value, show, old_stats, new_stats in _names(before, after):
        old, new = value(old_stats), value(new_stats)
        rows.append((name, show(old), show(new), units.change(new, old)))
    return rows


def _notes(before: Report, after: Report) -> list[str]:
    fewest = min(before.total.latency.n, after.total.latency.n)
    return [*([f"Percentiles of {fewest} samples only."] if fewest < units.FEW else []), *notes_of(after)]


_HEAD = ("", "before", "after", "change")


def table_text(before: Report, after: Report) -> str:
    """Return figure by figure, and the cost a call of each group that both windows have."""
    rows = [_HEAD, *_rows(before, after)]
    widths = [max(width(row[column]) for row in rows) for column in range(4)]
    lines = [f"before: {title_of(before)}", f"after:  {title_of(after)}", ""]
    for first, *rest in rows:
        cells = [" " * (room - width(cell)) + cell for cell, room in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first + " " * (widths[0] - width(first)), *cells]).rstrip())
    return "\n".join([*lines, "", *_notes(before, after)]).rstrip()


def markdown_text(before: Report, after: Report) -> str:
    """Return the same as a Markdown table."""
    lines = [
        "**promptop report, before and after**",
        "",
        f"- before: {title_of(before)}",
        f"- after: {title_of(after)}",
    ]
    lines += ["", markdown_line(_HEAD), "| --- | ---: | ---: | ---: |"]
    lines += [markdown_line(row) for row in _rows(before, after)]
    return "\n".join([*lines, *(f"\n{note}" for note in _notes(before, after))])


def csv_text(before: Report, after: Report) -> str:
    """Return the figures as numbers: seconds, shares of one, USD; the change as a share of one; empty where unknown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("figure", *_HEAD[1:]))
    for name, value, _, old_stats, new_stats in _names(before, after):
        old, new = value(old_stats), value(new_stats)
        writer.writerow((name, old, new, None if not old or new is None else (new - old) / old))
    return out.getvalue().rstrip("\n")


def line_text(before: Report, after: Report) -> str:
    """Return what changed in one line, for a status bar or a commit message."""
    shown = {row[0]: row for row in _rows(before, after)}
    parts = ["SIMULATED"] if before.simulated or after.simulated else []
    for name in ("p95", "TTFT p95", "cache hits", "cost", "cost a call", "failed"):
        _, old, new, change = shown[name]
        parts.append(f"{name} {old} → {new}" + (f" ({change})" if change else ""))
    return " · ".join(parts)


def html_text(log: LogReader, before: Report, after: Report) -> str:
    """Return both windows as one page: the table of changes, then the charts of each."""
    from promptop.cli.report_formats.html import charts, document, table

    title = f"promptop report, before and after: {title_of(after)}"
    body = [table(_HEAD, _rows(before, after), notes=_notes(before, after))]
    for name, side in (("before", before), ("after", after)):
        body += [f"<h2>{html.escape(f'{name}: {title_of(side)}')}</h2>", *charts(log, side)]
    return document(title, body)
