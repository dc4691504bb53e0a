"""What changed in a window against the one before it: every figure of every value, by how much it explains.

From trends alone: minutes where they still are kept, else quarters of an hour.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from operator import add as _plus
from typing import TYPE_CHECKING

from promptop.alerts.changes import Change, score_of
from promptop.alerts.figures import FIGURES, PART, AlertFigure
from promptop.base.errors import UsageError
from promptop.log.rollups.keys import LEVELS_MS
from promptop.log.rollups.trends import KEPT_MS, MINUTES, PARTS, QUARTERS, Place

if TYPE_CHECKING:
    from promptop.log import LogReader

LEAST_Z, LEAST_FACTOR, LEAST_CALLS = 4.0, 1.2, 20
MOST_OF_FIGURE = 3
"""Values of one figure that are told."""
_FLOOR = {"share": 0.004, "mean": 0.04, "log": 0.04, "amount": 0.1}
_N = PART["n"]
_PICO = 1e12
_NOTHING = (0,) * len(PARTS)


def window_changes(log: LogReader, since_ms: int, until_ms: int) -> list[Change]:
    """Return what changed in [since, until) against as long a stretch before it, the weightiest first.

    Raises :class:`UsageError` for a window that the trends do not reach back to.
    """
    length = until_ms - since_ms
    span = log.span()
    latest = span[1] if span else until_ms
    if since_ms - length < latest - KEPT_MS[QUARTERS]:
        raise UsageError(
            "What changed is kept for nine days, the window before included.",
            "Choose a shorter or a later window: promptop report --changes --since 24h",
        )
    level = MINUTES if since_ms - length >= latest - KEPT_MS[MINUTES] else QUARTERS
    step = LEVELS_MS[level]
    cut = since_ms // step * step
    before, after = _summed(log, level, cut - length, cut), _summed(log, level, cut, until_ms)
    minutes = max(length / 60_000, 1.0)
    calls = max(sum(cell[_N] for cell in after.get(("all", ""), [])), 1)
    found: list[Change] = []
    for figure in FIGURES:
        of_figure = [
            change
            for place in {*before, *after}
            if not _is_all(place, before, after)
            and (change := _change(figure, place, before.get(place, []), after.get(place, []), minutes, cut))
            is not None
        ]
        most = max((each.excess for each in of_figure), default=0.0)
        whole = sum(cell[figure.top] for cell in after.get(("all", ""), []))
        for number, each in enumerate(of_figure):
            part = each.excess / most if most > 0 else 0.0
            cells = after.get((each.dimension, each.value), [])
            share = sum(cell[figure.top] for cell in cells) / whole if figure.kind == "amount" and whole else part
            made = replace(each, share=share, breadth=sum(cell[_N] for cell in cells) / calls)
            of_figure[number] = replace(made, score=score_of(made, part))
        of_figure.sort(key=lambda each: -each.score)
        found += of_figure[:MOST_OF_FIGURE]
    found.sort(key=lambda each: -each.score)
    return [_in_usd(each) for each in found]


def _is_all(place: Place, *parts: dict[Place, list[Sequence[int]]]) -> bool:
    """Say whether a value is that of nearly all calls, before and after: then it tells nothing of its own."""
    if place[0] == "all":
        return False
    own, every = ([sum(cell[_N] for cell in each.get(which, ())) for each in parts] for which in (place, ("all", "")))
    return all(mine >= 0.98 * of for mine, of in zip(own, every, strict=True))


def _summed(log: LogReader, level: int, since_ms: int, until_ms: int) -> dict[Place, list[Sequence[int]]]:
    """Return the cells of each value in a stretch, one a step that has rows."""
    by_start: dict[tuple[Place, int], Sequence[int]] = {}
    for cell in log.trend_cells(level, since_ms, until_ms):
        key = cell.place, cell.start_ms
        by_start[key] = list(map(_plus, by_start[key], cell.parts)) if key in by_start else cell.parts
    for _, cell in log.trend_newer() or ():
        start = cell.start_ms - cell.start_ms % LEVELS_MS[level]
        if since_ms <= start < until_ms:
            key = cell.place, start
            by_start[key] = list(map(_plus, by_start.get(key, _NOTHING), cell.parts))
    out: dict[Place, list[Sequence[int]]] = {}
    for (place, _), parts in by_start.items():
        out.setdefault(place, []).append(parts)
    return out


def _change(
    figure: AlertFigure,
    place: Place,
    before: list[Sequence[int]],
    after: list[Sequence[int]],
    minutes: float,
    cut_ms: int,
) -> Change | None:
    old, new = (list(map(sum, zip(*cells, strict=True))) or list(_NOTHING) for cells in (before, after))
    calls, old_calls = new[figure.calls], old[figure.calls]
    if max(calls, old_calls) < LEAST_CALLS or (place[0] == "version" and figure.kind == "amount"):
        return None
    if figure.kind == "amount":
        was, now = old[figure.top] / minutes, new[figure.top] / minutes
        each = (old[figure.top] + new[figure.top]) / max(old[_N] + new[_N], 1)
        error = each * math.sqrt(max(old[_N] + new[_N], 1)) * 1.5 / minutes + _FLOOR["amount"] * was
        excess = abs(now - was)
        moved = now - was
        shown = was, now
    else:
        if min(calls, old_calls) < LEAST_CALLS:
            return None
        value, reference = figure.value(new[figure.top], new[figure.of]), figure.value(old[figure.top], old[figure.of])
        if value is None or reference is None:
            return None
        moved = value - reference
        error = _error(figure, before, reference, calls) + _FLOOR[figure.kind]
        excess = (
            abs(moved) * calls
            if figure.kind == "log"
            else abs(new[figure.top] - old[figure.top] / max(old[figure.of], 1) * new[figure.of])
        )
        shown = figure.natural(reference), figure.natural(value)
    z = abs(moved) / max(error, 1e-12)
    made = Change(*place, figure.name, *shown, cut_ms, 0.0, 0.0, figure.family, z, excess, calls, new=not old[_N])
    factor = made.factor
    small = factor is not None and 1 / LEAST_FACTOR < factor < LEAST_FACTOR
    return None if z < LEAST_Z or small else made


def _error(figure: AlertFigure, before: list[Sequence[int]], reference: float, calls: int) -> float:
    """Return the standard error of a figure over so many calls, by how much its steps differ."""
    residuals = [
        abs(value - reference) * math.sqrt(cell[figure.calls])
        for cell in before
        if cell[figure.calls] and (value := figure.value(cell[figure.top], cell[figure.of])) is not None
    ]
    spread = 1.4826 * statistics.median(residuals) if residuals else 1.0
    if figure.kind == "share":
        spread = max(spread, math.sqrt(max(reference * (1 - reference), 1e-4)))
    return spread / math.sqrt(max(calls, 1)) * math.sqrt(2)


def _in_usd(change: Change) -> Change:
    if change.family != "spend":
        return change
    return replace(change, before=change.before / _PICO, after=change.after / _PICO)
