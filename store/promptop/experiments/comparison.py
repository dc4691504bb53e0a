"""The table under the panes: one row per call, the best of each column marked by a star and by weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.client.result import RunResult
from promptop.experiments.stats import METRICS, Metric, Summary, difference, quantile, summarise, values_of

BEST = "*"
"""Stands behind the best figure of a column; colour is not the only carrier."""


@dataclass(frozen=True, slots=True)
class ComparedColumn:
    """A column: its heading, how a result is read and shown, and which end is better (None: neither)."""

    key: str
    heading: str
    value: Callable[[RunResult], float | None]
    show: Callable[[float | None], str]
    better: Callable[[Sequence[float]], float] | None
    width: int
    """Cells, the mark of the best included."""
    wanted: int
    """The lowest are left out first where there is no room."""


COLUMNS: tuple[ComparedColumn, ...] = (
    ComparedColumn("ttft", "TTFT", lambda r: r.ttft_s, units.seconds, min, 8, 9),
    ComparedColumn("total", "total", lambda r: r.total_s, units.seconds, min, 8, 8),
    ComparedColumn("tps", "tok/s", lambda r: r.output_tps, units.rate, max, 7, 6),
    ComparedColumn("input", "in", lambda r: r.usage.input_tokens, units.count, min, 7, 2),
    ComparedColumn("output", "out", lambda r: r.usage.output_tokens, units.count, None, 7, 5),
    ComparedColumn("cost", "cost", lambda r: r.cost_usd, units.usd, min, 13, 7),
)


def side_by_side(results: Sequence[RunResult]) -> str:
    """Say what calls made at once took together, against one after the other; empty for fewer than two.

    By the log's clock and the transport's: what loading and connecting to others takes is not in it.
    """
    spans = [
        (each.row.started_ms / 1000, each.row.started_ms / 1000 + each.total_s)
        for each in results
        if each.row is not None and each.row.started_ms is not None and each.total_s is not None
    ]
    if len(spans) < 2:
        return ""
    wall = max(end for _, end in spans) - min(start for start, _ in spans)
    total = sum(end - start for start, end in spans)
    times = f" ({total / wall:.1f} times as long)" if wall > 0 and total > wall else ""
    return f"{len(spans)} calls took {units.seconds(wall)}; one after the other {units.seconds(total)}{times}"


def columns_for(width: int) -> list[ComparedColumn]:
    """Return the columns that fit into ``width`` cells beside the others, in their order."""
    chosen: set[str] = set()
    for column in sorted(COLUMNS, key=lambda column: -column.wanted):
        if column.width > width:
            break
        width -= column.width
        chosen.add(column.key)
    return [column for column in COLUMNS if column.key in chosen]


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure as shown, and whether it is the best of its column."""

    text: str
    best: bool = False


def compare(
    results: Sequence[RunResult | None], columns: Sequence[ComparedColumn] = COLUMNS
) -> list[list[ShownFigure]]:
    """Return a row of cells per call (empty cells for calls without a result)."""
    return compare_groups([[] if result is None else [result] for result in results], columns)


def compare_groups(
    groups: Sequence[Sequence[RunResult]],
    columns: Sequence[ComparedColumn] = COLUMNS,
    best: Mapping[str, int] | None = None,
) -> list[list[ShownFigure]]:
    """Return a row of cells per group of repeated calls: medians of those that went well, the best ones marked.

    ``best`` is what :func:`measurable_best` found; without it only what one call of each can tell is marked.
    Of a group where none went well, the last call's figures are shown, and are never the best; nor are those of a hit
    of the cache, which say nothing about the model.
    """
    if best is None:
        best = best_of_single(groups)
    rows: list[list[ShownFigure]] = [[] for _ in groups]
    for column in columns:
        values = [_median(group, column) for group in groups]
        for at, (row, group, value) in enumerate(zip(rows, groups, values, strict=True)):
            row.append(ShownFigure(_shown(group, column, value), best.get(column.key) == at))
    return rows


def best_of_single(groups: Sequence[Sequence[RunResult]]) -> dict[str, int]:
    """Return column → group with the best figure, where one call of each can tell: what was counted and billed.

    A time or a rate of one call says nothing about the next; nor does what a server reported as nothing, what is
    estimated, or the price of an answer that is empty.
    """
    if any(len(group) > 1 for group in groups):
        return {}
    calls = [group[-1] if group else None for group in groups]
    found: dict[str, int] = {}
    for column in COLUMNS:
        if column.key not in _COUNTED:
            continue
        values = {
            at: value
            for at, call in enumerate(calls)
            if call is not None
            and _rated([call])
            and (call.text or call.tool_calls)
            and call.usage.source == "reported"
            and (value := column.value(call))
        }
        lowest = min(values.values(), default=None)
        winners = [at for at, value in values.items() if value == lowest]
        if len(values) > 1 and len(winners) == 1:
            found[column.key] = winners[0]
    return found


_COUNTED = frozenset({"input", "cost"})


def measurable_best(groups: Sequence[Sequence[RunResult]]) -> dict[str, int]:
    """Return column → group whose median is better than every other's by more than chance explains.

    Takes 0.1 s and more for each pair: not for a screen's own thread.
    """
    if all(len(group) <= 1 for group in groups):
        return best_of_single(groups)
    rated = [at for at, group in enumerate(groups) if _rated(group)]
    found: dict[str, int] = {}
    for column in COLUMNS:
        metric = _METRICS.get(_METRIC_OF.get(column.key, ""))
        if column.better is None or metric is None or len(rated) < 2:
            continue
        medians = {at: value for at in rated if (value := _median(groups[at], column)) is not None}
        if len(medians) < 2:
            continue
        wanted = column.better(list(medians.values()))
        winner = next(at for at, value in medians.items() if value == wanted)
        confidence = 1 - 0.05 / (len(medians) - 1)
        others = [difference(groups[winner], groups[at], metric, confidence) for at in medians if at != winner]
        if all(each is not None and each.measurable for each in others):
            found[column.key] = winner
    return found


def _well(group: Sequence[RunResult]) -> list[RunResult]:
    return [result for result in group if result.state == "done"]


def _rated(group: Sequence[RunResult]) -> bool:
    return any(not result.cache_hit for result in _well(group))


def _median(group: Sequence[RunResult], column: ComparedColumn) -> float | None:
    values = [value for result in _well(group) or group[-1:] if (value := column.value(result)) is not None]
    return quantile(sorted(values), 0.5) if values else None


def _shown(group: Sequence[RunResult], column: ComparedColumn, value: float | None) -> str:
    if not group:
        return ""
    if value is None and column.key == "cost":
        return "n/a"
    counted = _well(group) or group[-1:]
    estimated = column.key in {"tps", "input", "output", "cost"} and any(
        result.usage.source == "estimated" for result in counted
    )
    hit = f"{clean_line(counted[-1].cache_hit, 8)} " if column.key == "cost" and counted[-1].cache_hit else ""
    return hit + ("≈" if estimated and value is not None else "") + column.show(value)


def repeated(results: Sequence[Sequence[RunResult]]) -> list[list[ShownFigure]]:
    """Return a row per request of repeated calls: n, then the median of each metric with its interval."""
    found = [[summarise(values_of(each, metric)) for metric in METRICS] for each in results]
    stars = {_METRIC_OF[key]: at for key, at in measurable_best(results).items() if key in _METRIC_OF}
    rows = []
    for at, (each, summaries) in enumerate(zip(results, found, strict=True)):
        well = sum(result.state == "done" for result in each)
        row = [ShownFigure(f"{well}/{len(each)}")]
        for metric, summary in zip(METRICS, summaries, strict=True):
            if summary is None:
                row.append(ShownFigure("n/a" if metric.key == "cost_usd" and well else units.UNKNOWN))
                continue
            row.append(ShownFigure(_with_interval(metric, summary), stars.get(metric.key) == at))
        rows.append(row)
    return rows


def _with_interval(metric: Metric, summary: Summary) -> str:
    text = metric.show(summary.p50)
    if summary.interval is None or summary.interval[0] == summary.interval[1]:
        return text
    low, high = summary.interval
    return f"{text} [{metric.show(low)}–{metric.show(high)}]"


def ending(result: RunResult | None) -> str:
    """Return why a call ended, in one word, and whether the cache answered it."""
    if result is None:
        return ""
    ended = clean_line(result.error.type if result.error is not None else result.finish_reason or "–", 24)
    return f"{ended} · {clean_line(result.cache_hit, 12)} hit" if result.cache_hit else ended


def verdicts(titles: Sequence[str], groups: Sequence[Sequence[RunResult]]) -> list[str]:
    """Say in words how each group of repeated calls differs from the first.

    Takes 0.1 s and more for each model: not for a screen's own thread.
    """
    lines = []
    for title, group in zip(titles[1:], groups[1:], strict=True):
        found = [each for metric in METRICS if (each := difference(groups[0], group, metric)) is not None]
        few = {each.too_few() for each in found if each.interval is None}
        if len(few) == 1 and all(each.interval is None for each in found):
            said = few.pop()  # once is enough
        else:
            said = "; ".join(each.verdict() for each in found)
        lines.append(f"{clean_line(title, 40)} against {clean_line(titles[0], 40)}: {said or 'nothing to compare'}.")
    return lines + shared_out(titles, groups)


def shared_out(titles: Sequence[str], groups: Sequence[Sequence[RunResult]]) -> list[str]:
    """Say of each group that had several endpoints or keys how many attempts each of these got, and how many failed."""
    lines = []
    for title, group in zip(titles, groups, strict=True):
        tried: dict[str, list[bool]] = {}
        for attempt in (attempt for result in group for attempt in result.attempts if attempt.place):
            tried.setdefault(attempt.place, []).append(attempt.error is not None)
        if tried:
            said = (
                f"{clean_line(place, 40)} {len(failed)}" + (f" ({sum(failed)} failed)" if any(failed) else "")
                for place, failed in sorted(tried.items(), key=lambda each: -len(each[1]))
            )
            lines.append(f"{clean_line(title, 40)} went to {', '.join(said)}.")
    return lines


_METRIC_OF = {"ttft": "ttft_s", "total": "total_s", "tps": "output_tps", "output": "output_tokens", "cost": "cost_usd"}
"""Key of a column → key of the metric that has its interval."""
_METRICS = {metric.key: metric for metric in METRICS}


def intervals(groups: Sequence[Sequence[RunResult]]) -> list[dict[str, str]]:
    """Return for each group of repeated calls the 95 % intervals of its medians, as shown, by the key of the column.

    Takes 0.1 s and more for each group: not for a screen's own thread.
    """
    by_key = {metric.key: metric for metric in METRICS}
    found: list[dict[str, str]] = []
    for group in groups:
        shown = {}
        for key, name in _METRIC_OF.items():
            metric = by_key[name]
            summary = summarise(values_of(group, metric))
            if summary is not None and summary.interval is not None and summary.interval[0] != summary.interval[1]:
                low, high = (metric.show(end) for end in summary.interval)
                unit = (
                    low.rpartition(" ")[2] if " " in low and low.rpartition(" ")[2] == high.rpartition(" ")[2] else ""
                )
                shown[key] = f"{low.removesuffix(' ' + unit) if unit else low}–{high}"
        found.append(shown)
    return found
