"""From the stats of a window to a report: one structure, and each of its forms but HTML."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from promptop.alerts.rules import MeasuredStats
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.terminal import Paint, plain
from promptop.base.text_table import width
from promptop.base.texts import mark, tr, tr_n
from promptop.log import Sketch, Stats


@dataclass(frozen=True, slots=True)
class Report:
    """A window of the log, in all and by group."""

    since_ms: int
    until_ms: int
    total: Stats
    groups: tuple[tuple[str, Stats], ...]
    """Group → stats, dearest first (days: earliest first)."""
    by: str
    filter: str = ""
    simulated: bool = False
    """Whether simulated traffic is among the newest rows of the log."""
    in_flight: int | None = 0
    """Calls that have not ended, of all programs that write the log; None where that is not known (a fleet's log)."""
    left_out: Stats = field(default_factory=Stats)
    """promptop's own measuring calls, which none of the figures count."""
    own: bool = False
    """Whether they were asked to count."""
    newest_row_age_s: float | None = None
    """Age of the log's newest row; None for an empty log."""

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return max((self.until_ms - self.since_ms) / 1000, 1e-3)

    @property
    def measured(self) -> MeasuredStats:
        """What checks are held against."""
        return MeasuredStats(self.total, self.seconds)


def spread(sketch: Sketch) -> dict[str, Any]:
    """Return a distribution in the names that reports use; seconds."""
    p50, p95, p99 = sketch.quantiles((0.5, 0.95, 0.99))
    return {"n": sketch.n, "p50": p50, "p95": p95, "p99": p99, "mean": sketch.mean, "max": sketch.max}


def as_dict(stats: Stats) -> dict[str, Any]:
    """Return stats under the names of ``promptop report --json``; unknown is None."""
    return {
        "n": stats.n,
        "errors": stats.errors,
        "error_rate": stats.error_rate,
        "rejected": stats.rate_limited,
        "rejected_rate": stats.rejected_rate,
        "timeouts": stats.timeouts,
        "cancelled": stats.cancelled,
        "truncated": stats.truncated,
        "error_types": dict(sorted(stats.error_types.items(), key=lambda item: (-item[1], item[0]))),
        "duration_s": spread(stats.latency),
        "ttft_s": spread(stats.ttft),
        "cache": {
            "hits": stats.hits,
            "misses": stats.lookups - stats.hits,
            "ratio": stats.hit_ratio,
            "by_level": stats.hits_by_level,
            "saved_usd": stats.saved_usd,
        },
        "usage": {
            "input_tokens": stats.input_tokens,
            "output_tokens": stats.output_tokens,
            "cache_read_input_tokens": stats.cache_read,
            "cache_write_input_tokens": stats.cache_write,
            "reasoning_output_tokens": stats.reasoning,
            "cached_share": stats.cached_share,
        },
        # A sum over nothing that has a price is not known to be 0.
        "cost_usd": None if stats.unpriced and not stats.cost_pico else stats.cost_usd,
        "unpriced": stats.unpriced,
        "estimated": stats.estimated,
    }


def iso(ms: int) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_text(report: Report) -> str:
    """Return the report as JSON (the names are fixed: docs/monitor.md)."""
    whole = {
        "window": {"from": iso(report.since_ms), "to": iso(report.until_ms)},
        **as_dict(report.total),
        "in_flight": report.in_flight,
        "newest_row_age_s": report.newest_row_age_s,
        "by": report.by,
        "filter": report.filter or None,
        "left_out": {"n": report.left_out.n, "cost_usd": report.left_out.cost_usd},
        "total": as_dict(report.total),
        "groups": [{"group": name, **as_dict(stats)} for name, stats in report.groups],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1)


MANY_FAILED = 0.05
"""Share of failed requests from which on a terminal shows it in red."""
HEAD = (
    mark("requests"),
    mark("failed"),
    "429",
    "p50",
    "p95",
    mark("TTFT p95"),
    mark("hits"),
    mark("saved"),
    mark("input"),
    mark("output"),
    mark("cost"),
)
"""Heads of the columns of :func:`rows_of` after the first."""


def _cells(stats: Stats) -> tuple[str, ...]:
    p50, p95 = stats.latency.quantiles((0.5, 0.95))
    few = "?" if 0 < stats.latency.n < units.FEW else ""
    rough = "≈" if stats.estimated else ""
    cost = "n/a" if stats.unpriced and not stats.cost_pico else rough + units.usd(stats.cost_usd)
    return (
        units.count(stats.n),
        units.share(stats.error_rate),
        units.share(stats.rejected_rate),
        units.seconds(p50) + few,
        units.seconds(p95) + few,
        units.seconds(stats.ttft.quantile(0.95)),
        units.share(stats.hit_ratio),
        units.usd(stats.saved_usd) if stats.hits else units.UNKNOWN,
        units.count(stats.input_tokens),
        units.count(stats.output_tokens),
        cost + ("+" if stats.unpriced and stats.cost_pico else ""),
    )


def _styles(stats: Stats) -> tuple[str, ...]:
    """Return the style of each cell of a line, empty for most: what failed, what was refused, what a cache gave."""
    failed = "bad" if (stats.error_rate or 0) >= MANY_FAILED else "warning" if stats.errors else ""
    refused = "warning" if stats.rate_limited else ""
    return ("name", "", failed, refused, "", "", "", "good" if stats.hits else "", "", "", "", "")


def rows_of(report: Report) -> list[tuple[str, ...]]:
    """Return the lines of the table, the total last."""
    shown = [(clean_line(name, 48), *_cells(stats)) for name, stats in report.groups]
    return [*shown, (tr("total"), *_cells(report.total))]


def heads(report: Report) -> tuple[str, ...]:
    """Return the heads of the table's columns."""
    return (tr(report.by), *map(tr, HEAD))


def title_of(report: Report) -> str:
    """Return what the report covers, local time."""
    since, until = (datetime.fromtimestamp(ms / 1000) for ms in (report.since_ms, report.until_ms))
    filtered = f", {clean_line(report.filter)}" if report.filter else ""
    return tr("{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} (local)", since=since, until=until) + filtered


def notes_of(report: Report) -> list[str]:
    """Return what a reader must know beside the figures."""
    total = report.total
    notes = []
    if report.simulated:
        notes.append(tr("Simulated traffic is among these rows."))
    if report.left_out.n:
        cost = f", {units.usd(report.left_out.cost_usd)}" if report.left_out.cost_pico else ""
        notes.append(
            tr(
                "Left out: {n:,} benchmark, proof and batch calls of promptop{cost} (--own).",
                n=report.left_out.n,
                cost=cost,
            )
        )
    if total.unpriced:
        notes.append(
            tr_n(
                "{n:,} request has no known price: the cost is a lower bound (+) or n/a.",
                "{n:,} requests have no known price: the cost is a lower bound (+) or n/a.",
                total.unpriced,
            )
        )
    if total.estimated:
        notes.append(
            tr_n(
                "{n:,} request is counted or priced by estimate (≈).",
                "{n:,} requests are counted or priced by estimate (≈).",
                total.estimated,
            )
        )
    if total.rate_limited or total.cancelled:
        notes.append(
            tr(
                "Not among the failed: {limited:,} rate-limited, {cancelled:,} cancelled.",
                limited=total.rate_limited,
                cancelled=total.cancelled,
            )
        )
    if total.truncated:
        notes.append(
            tr_n("{n:,} answer was cut by max_tokens.", "{n:,} answers were cut by max_tokens.", total.truncated)
        )
    if any(0 < stats.latency.n < units.FEW for _, stats in report.groups):
        notes.append(tr("?: fewer than {n} samples.", n=units.FEW))
    if (currency := units.beside()) is not None:
        notes.append(tr("{currency}: the rate of the settings.", currency=currency))
    return notes


def table_text(report: Report, paint: Paint = plain) -> str:
    """Return the report as a table for people, coloured by ``paint``."""
    lines = [paint(title_of(report), "quiet"), ""]
    table = [heads(report), *rows_of(report)]
    widths = [max(width(row[column]) for row in table) for column in range(len(table[0]))]
    styles = [("heading",) * len(table[0]), *map(_styles, [*(stats for _, stats in report.groups), report.total])]
    for (first, *rest), (style, *others) in zip(table, styles, strict=True):
        cells = [paint(first, style) + " " * (widths[0] - width(first))]
        for cell, room, each in zip(rest, widths[1:], others, strict=True):
            cells.append(" " * (room - width(cell)) + (paint(cell, each) if each else cell))
        lines.append("  ".join(cells).rstrip())
    notes = [paint(note, "quiet") for note in notes_of(report)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def markdown_line(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def markdown_text(report: Report) -> str:
    """Return the report as a Markdown table."""
    lines = [f"**promptop report**, {title_of(report)}", "", markdown_line(heads(report))]
    lines.append("| --- |" + " ---: |" * len(HEAD))
    lines += [markdown_line(row) for row in rows_of(report)]
    return "\n".join([*lines, *(f"\n{note}" for note in notes_of(report))])


def csv_text(report: Report) -> str:
    """Return the groups as CSV, one line each, nested names joined by dots; empty where unknown."""
    rows = [{"group": name, **_flat(as_dict(stats))} for name, stats in (*report.groups, ("(total)", report.total))]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[-1]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        # A leading = + - @ would be a formula in a spreadsheet.
        name = str(row["group"])
        row["group"] = "'" + name if name[:1] in ("=", "+", "-", "@") else name
        writer.writerow(row)
    return out.getvalue().rstrip("\n")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("error_types", "by_level"):
            continue
        if isinstance(value, dict):
            out.update(_flat(value, f"{prefix}{name}."))
        else:
            out[prefix + name] = value
    return out


def line_text(report: Report) -> str:
    """Return one line for a status bar."""
    total = report.total
    cells = dict(zip(HEAD, _cells(total), strict=True))
    parts = [
        "SIMULATED" if report.simulated else "",
        f"p95 {cells['p95']}",
        f"TTFT {cells['TTFT p95']}",
        f"hits {cells['hits']}",
        cells["cost"],
        f"{units.rate(total.n / report.seconds)} req/s",
        f"failed {cells['failed']}",
    ]
    return " · ".join(part for part in parts if part)
