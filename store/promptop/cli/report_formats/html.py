"""The report as one HTML file: no script, nothing fetched, charts as SVG, everything foreign escaped."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from promptop import __version__
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.cli.report_formats.report_text import Report, heads, notes_of, rows_of, title_of
from promptop.log import LogReader, Stats, parse_filter

_WIDTH, _HEIGHT = 720, 200
_LEFT, _BOTTOM, _TOP = 64, 22, 10
_LAYERS = 5
_STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 7_200, 21_600, 86_400, 604_800)
_BUCKETS = 120

_STYLE = """
:root { color-scheme: light dark; --s1:#0051a2; --s2:#b54700; --s3:#00614a; --s4:#8f2a6b; --s5:#6b6b00; --s6:#666; }
@media (prefers-color-scheme: dark) {
  :root { --s1:#56b4e9; --s2:#e69f00; --s3:#009e73; --s4:#cc79a7; --s5:#f0e442; --s6:#999; }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
.total tr:last-child td { font-weight: 600; }
figure { margin: 2rem 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; }
svg text { fill: currentColor; opacity: .75; } .axis { stroke: currentColor; opacity: .35; }
.key { display: inline-block; margin-right: 1rem; font-weight: 400; } .key svg { width: 22px; height: 10px; }
.notes { opacity: .8; }
"""

Values = Sequence[float | None]
_DASHES = ("", "9 6", "2 6", "9 6 2 6", "1 9", "18 6")
"""Lines are told apart by their dashes, layers by their order and label, not by colour alone."""


def page(log: LogReader, report: Report) -> str:
    """Return the report as a page."""
    body = [table(heads(report), rows_of(report), notes=notes_of(report), total=True), *charts(log, report)]
    return document(f"promptop report, {title_of(report)}", body)


def charts(log: LogReader, report: Report) -> list[str]:
    """Return the charts of a report; reads its window once more, in buckets."""
    step_ms, count = _step(report)
    first = report.since_ms // step_ms * step_ms
    by = (report.by,) if report.by != "day" else ()
    where = parse_filter(report.filter) if report.filter else None
    window = log.window(report.since_ms, report.until_ms, step_ms=step_ms, by=by, where=where, own=report.own)
    buckets = {(start - first) // step_ms: (stats, groups) for start, stats, groups in window.buckets}

    def series(value: Callable[[Stats], float | None], absent: float | None = None) -> list[float | None]:
        return [value(buckets[i][0]) if i in buckets else absent for i in range(count)]

    def layer(name: str, value: Callable[[Stats], float]) -> list[float | None]:
        return [value(buckets[i][1][name]) if i in buckets and name in buckets[i][1] else 0.0 for i in range(count)]

    dear = [name for name, stats in report.groups if stats.cost_pico and by][:_LAYERS]
    spend = [(clean_line(name, 40), layer(name, lambda stats: stats.cost_usd)) for name in dear]
    whole = series(lambda stats: stats.cost_usd, 0.0)
    rest = [(all_ or 0) - sum(values[i] or 0 for _, values in spend) for i, all_ in enumerate(whole)]
    if not spend or max(rest) > 1e-9:
        spend.append(("other" if spend else "all", [max(value, 0.0) for value in rest]))
    times = (first, step_ms, count)
    return [
        _chart(
            "Latency",
            [
                ("p95", series(lambda stats: stats.latency.quantile(0.95))),
                ("p50", series(lambda stats: stats.latency.quantile(0.5))),
                ("TTFT p95", series(lambda stats: stats.ttft.quantile(0.95))),
            ],
            units.seconds,
            times,
        ),
        _chart("Spend", spend, units.usd, times, stacked=True),
        _chart(
            "Requests",
            [("answered", series(lambda s: s.ok, 0.0)), ("not answered", series(lambda s: s.n - s.ok, 0.0))],
            units.count,
            times,
            stacked=True,
        ),
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, notes: Sequence[str], total: bool = False) -> str:
    """Return a table, its last line in bold if it is the total, and the notes below it."""
    lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    shown = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        f"<table class='{'total' if total else 'plain'}'>"
        f"<thead><tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr></thead>"
        f"<tbody>{lines}</tbody></table>\n" + (f'<ul class="notes">{shown}</ul>\n' if shown else "")
    )


def document(title: str, body: Sequence[str]) -> str:
    """Return a whole page of parts that are HTML; the title is text."""
    title = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        + "\n".join(body)
        + "\n<p class='notes'>Percentiles leave out failed, cancelled and cached calls and are within 1 %. "
        f"Amounts in USD. promptop {__version__}</p>\n</body></html>"
    )


def _step(report: Report) -> tuple[int, int]:
    span = report.until_ms - report.since_ms
    step = next((s * 1000 for s in _STEPS_S if span / (s * 1000) <= _BUCKETS), _STEPS_S[-1] * 1000)
    return step, (report.until_ms - 1) // step - report.since_ms // step + 1


def _chart(
    title: str,
    series: Sequence[tuple[str, Values]],
    unit: Callable[[float | None], str],
    times: tuple[int, int, int],
    *,
    stacked: bool = False,
) -> str:
    first, step_ms, count = times
    drawn = _stack([values for _, values in series]) if stacked else [list(values) for _, values in series]
    high = max((value for values in drawn for value in values if value is not None), default=0.0)
    if high <= 0:
        return f"<figure><figcaption>{html.escape(title)}: no data</figcaption></figure>"

    def x(index: float) -> float:
        return round(_LEFT + (index + 0.5) / count * (_WIDTH - _LEFT - 8), 1)

    def y(value: float) -> float:
        return round(_TOP + (1 - value / high / 1.05) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [f'<line class="axis" x1="{_LEFT}" y1="{y(0)}" x2="{_WIDTH - 8}" y2="{y(0)}"/>']
    parts += [
        f'<text x="{_LEFT - 6}" y="{y(high * share) + 4}" text-anchor="end">{unit(high * share)}</text>'
        for share in (0, 0.5, 1)
    ]
    long = step_ms * count > 129_600_000  # a day and a half: hours alone would not say of which day
    form = "%d %b" if step_ms >= 21_600_000 else "%d %b %H:%M" if long else "%H:%M" if step_ms >= 60_000 else "%H:%M:%S"
    for index in sorted({0, count // 3, 2 * count // 3, count - 1}):
        moment = datetime.fromtimestamp((first + index * step_ms) / 1000)
        shown = f"{moment:{form}}"
        anchor = "start" if index == 0 else "end" if index == count - 1 else "middle"
        parts.append(f'<text x="{x(index)}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{shown}</text>')
    order = list(enumerate(drawn))
    for index, values in reversed(order) if stacked else order:
        colour, dash = f"var(--s{index % 6 + 1})", _DASHES[index % len(_DASHES)]
        if stacked:
            wide = (_WIDTH - _LEFT - 8) / count
            path = "".join(
                f"M{x(i) - wide / 2:.1f} {y(0)}V{y(v)}h{wide:.1f}V{y(0)}z" for i, v in enumerate(values) if v
            )
            parts.append(f'<path d="{path}" style="fill:{colour}"/>')
        else:
            path, pen = "", "M"
            for i, value in enumerate(values):
                if value is None:
                    pen = "M"
                    continue
                path += f"{pen}{x(i)} {y(value)}" + ("h.1" if pen == "M" else "")
                pen = "L"
            style = f"stroke:{colour};fill:none;stroke-width:2;stroke-linecap:round"
            parts.append(f'<path d="{path}" style="{style}" stroke-dasharray="{dash}"/>')
    keys = "".join(_key(index, name, stacked) for index, (name, _) in enumerate(series))
    return (
        f"<figure><figcaption>{html.escape(title)} {keys}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _key(index: int, name: str, stacked: bool) -> str:
    colour = f"var(--s{index % 6 + 1})"
    if stacked:
        mark = f'<rect width="22" height="10" style="fill:{colour}"/>'
    else:
        dash = _DASHES[index % len(_DASHES)]
        mark = f'<path d="M0 5H22" style="stroke:{colour};stroke-width:3" stroke-dasharray="{dash}"/>'
    return f'<span class="key"><svg viewBox="0 0 22 10">{mark}</svg> {html.escape(name)}</span>'


def _stack(layers: Sequence[Values]) -> list[list[float | None]]:
    sums: list[float | None] = [0.0] * len(layers[0]) if layers else []
    out = []
    for values in layers:
        sums = [(below or 0.0) + (value or 0.0) for below, value in zip(sums, values, strict=True)]
        out.append(sums)
    return out
