"""Draws plots with plotext 6. Imports plotext on first use (0.14 s): call this off the UI thread.

Time is mapped to canvas columns before plotext sees it, one point a column and series, so that cost depends on the
size of the chart and not on the data, a bar never leaves blank columns between its buckets, and a column can be read
back. Colours are not drawn: each role is a palette index, and the widget turns indices into its own styles. Three
lines in 100 × 20 cells take 5 ms, in 200 × 50 9 ms, six layers in 100 × 20 15 ms (tests/benchmarks/monitor_charts.py).
"""

from __future__ import annotations

import math
import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from promptop_tui.widgets.plot import (
    FILLS,
    ROLES,
    Picture,
    Plot,
    Run,
    bars,
    column_of,
    log_ticks,
    spread,
    tick_labels,
    time_ticks,
    value_ticks,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# plotext's figures share its terminal and a kernel without locks: one drawing at a time.
_LOCK = threading.Lock()
# Role n is palette index 100 + n: nothing that plotext paints by itself uses these.
_BASE = 100
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_MARKERS = {"line": "braille", "blocks": "hd"}
_MIN_WIDTH, _MIN_HEIGHT = 14, 4


@lru_cache(maxsize=64)
def draw(plot: Plot, width: int, height: int, cursor: int | None = None) -> Picture:
    """Return ``plot`` drawn in ``width`` × ``height`` cells, with bucket ``cursor`` marked; a word if it cannot be."""
    if width < _MIN_WIDTH or height < _MIN_HEIGHT or not plot.has_data:
        return _message(plot.empty if not plot.has_data else "too small", width, height)
    with _LOCK:
        return _draw(plot, width, height, cursor)


def _message(text: str, width: int, height: int) -> Picture:
    lines: list[tuple[Run, ...]] = [((" " * width, ""),)] * max(height, 0)
    if height > 0:
        lines[height // 2] = ((text[:width].center(width), "axis"),)
    return Picture(width, height, tuple(lines))


def _tops(plot: Plot) -> list[tuple[float | None, ...]]:
    """Return the upper edge of each layer of a stack: running sums, where nothing counts as 0."""
    sums: list[float | None] = [None] * plot.buckets
    edges = []
    for series in plot.series:
        for index, value in enumerate(series.values):
            if value is not None:
                sums[index] = (sums[index] or 0.0) + value
        edges.append(tuple(sums))
    return edges


def _draw(plot: Plot, width: int, height: int, cursor: int | None) -> Picture:
    import plotext

    layers = _tops(plot) if plot.stacked else [series.values for series in plot.series]
    known = [value for layer in layers for value in layer if value is not None]
    low, high = _limits(plot, known)
    scale = math.log10 if plot.log else float
    wanted = max((height - 2) // 3, 2)
    ticks = log_ticks(low, high, wanted) if plot.log else value_ticks(low, high, wanted, whole=plot.unit == "count")
    labels = [plot.format(tick) for tick in ticks] if plot.log else tick_labels(ticks, plot.unit)
    left = max(map(len, labels), default=0) + 1
    columns = max(width - left, 1)

    # An own terminal, unlimited: the default one clips charts to the size of the real terminal at import.
    terminal = type(plotext.terminal)()
    terminal.limit(False, False)
    figure: Any = type(plotext.figure)(terminal)
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.legend(False)
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    axis = _pixel(plotext, "axis")
    for name, side in (("x", "lower"), ("y", "left")):
        figure.axes(True, pixel=axis, axis=name, side=side)
        figure.ruler(name, side).pixel(axis)
    figure.ruler("y", "left").lim(scale(low), scale(high)).ticks([scale(tick) for tick in ticks], labels=labels)
    positions, names = _time_axis(plot, columns)
    figure.ruler("x", "lower").lim(0, max(columns - 1, 1)).ticks(positions, labels=names)

    if plot.level is not None and low <= plot.level[0] <= high:
        figure.line(scale(plot.level[0]), "horizontal", pixel=_pixel(plotext, "level"))
    if cursor is not None and plot.buckets:
        figure.line(column_of(cursor, columns, plot.buckets), "vertical", pixel=_pixel(plotext, "cursor"))
    order = range(len(layers))
    for index in reversed(order) if plot.stacked else order:
        series = plot.series[index]
        symbol = FILLS[index % len(FILLS)] if plot.filled else _MARKERS.get(series.mark, series.mark)
        marker = plotext.marker(symbol, _pixel(plotext, series.role))
        layer = layers[index]
        values = bars(layer, columns, index, len(layers)) if plot.names else spread(layer, columns)
        _add(figure, values, marker, plot, scale, joined=series.mark in _MARKERS)
    drawn: str = figure.build().string()
    return Picture(width, height, tuple(_split(drawn, width, height)), left, columns)


def _add(figure: Any, values: Sequence[float | None], marker: Any, plot: Plot, scale: Any, *, joined: bool) -> None:
    shown = [(x, scale(y)) for x, y in enumerate(values) if y is not None and (y > 0 or not (plot.log or plot.filled))]
    if not shown:
        return
    signal = figure.signal([x for x, _ in shown], [y for _, y in shown], marker=marker)
    if plot.filled:
        signal.fillx()
    elif joined:
        signal.lines(True)
        for index in range(1, len(shown)):
            if shown[index][0] - shown[index - 1][0] > 1:
                signal.line(index, False)
    figure.draw(signal)


def _limits(plot: Plot, known: list[float]) -> tuple[float, float]:
    values = known + ([plot.level[0]] if plot.level is not None and _near(plot.level[0], known) else [])
    high = max(values)
    if plot.log:
        low = min((value for value in values if value > 0), default=1.0)
        high = max(high, low * 10)
        power = 10.0 ** math.floor(math.log10(low))
        return max(factor * power for factor in (1, 2, 5) if factor * power <= low), high * 1.05
    if plot.unit == "share":
        return 0.0, 1.0 if high > 0.5 else max(high * 1.1, 0.01)
    return 0.0, high * 1.05 if high > 0 else 1.0


def _near(level: float, known: list[float]) -> bool:
    """Say whether a target is close enough to the data to be drawn without flattening it."""
    return level <= max(known) * 2.5


def _time_axis(plot: Plot, columns: int) -> tuple[list[int], list[str]]:
    if plot.names:
        every = max(-(-8 * plot.buckets // columns), 1)
        first = range(0, plot.buckets, every)
        return [column_of(index, columns, plot.buckets) for index in first], [plot.names[index] for index in first]
    span = plot.buckets * plot.step_s
    ticks = [
        (round((moment - plot.since_s) / span * columns), label)
        for moment, label in time_ticks(plot.since_s, plot.since_s + span, max(columns // 12, 1))
    ]
    shown = [(column, label) for column, label in ticks if 0 <= column < columns]
    return [column for column, _ in shown], [label for _, label in shown]


def _pixel(plotext: Any, role: str) -> Any:
    return plotext.pixel(foreground=_BASE + ROLES.index(role))


def _split(drawn: str, width: int, height: int) -> list[tuple[Run, ...]]:
    """Turn plotext's SGR text into runs of (text, role); every line is ``width`` cells wide."""
    lines: list[tuple[Run, ...]] = []
    for line in drawn.split("\n")[:height]:
        runs: list[Run] = []
        role, cells, place = "", 0, 0
        for found in _SGR.finditer(line):
            text = line[place : found.start()]
            if text:
                runs.append((text, role))
                cells += len(text)
            place = found.end()
            role = _role(found[1], role)
        if rest := line[place:]:
            runs.append((rest, role))
            cells += len(rest)
        if cells < width:
            runs.append((" " * (width - cells), ""))
        lines.append(tuple(runs))
    lines += [((" " * width, ""),)] * (height - len(lines))
    return lines


def _role(codes: str, before: str) -> str:
    if codes in ("", "0"):
        return ""
    if codes.startswith("38;5;"):
        index = int(codes.split(";")[2]) - _BASE
        return ROLES[index] if 0 <= index < len(ROLES) else ""
    return before  # a background: the canvas has the widget's
