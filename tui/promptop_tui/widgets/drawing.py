"""Draws plots in cells: areas and columns in eighths, lines in braille, gaps dotted, the running bucket faded.

Pure functions without a widget. A cell is a character and a role; a role is ``ink``, ``ink/ground`` or ``/ground``
of :data:`~promptop_tui.widgets.plot.ROLES`, each with ``~`` behind it where it is faded. A full cell is a ground and
not ``█``: block glyphs leave seams where a font is lower than its line. Without colour, layers are shades instead.
What a chart costs: tests/benchmarks/monitor_charts.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby

from promptop.base.texts import tr
from promptop_tui.widgets.plot import (
    SHADES,
    Picture,
    Plot,
    Run,
    bars,
    column_of,
    level_fits,
    log_ticks,
    spread,
    tick_labels,
    time_ticks,
    value_ticks,
)

EIGHTHS = " ▁▂▃▄▅▆▇█"
_MIN_WIDTH, _MIN_HEIGHT = 14, 4
_FEW_ROWS = 6
"""Lines of a picture from which the axis below has a line of its own, above its labels."""
_MOST_TICKS = 4
_BAD = "area-bad"
_GAP_DOT = "·"
_LEVEL_DASH = "╌"
_BRAILLE = 0x2800
_DOTS: tuple[tuple[int, ...], ...] = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille cell by column and row of its dots."""
_DASHES = ((1, 0), (2, 2), (1, 2), (4, 2))
"""Dots drawn and left out by each further line of a plot: lines are told apart without colour."""

Scale = Callable[[float], float]
"""From a value to its share of the height, 0 to 1."""


@lru_cache(maxsize=64)
def draw(plot: Plot, width: int, height: int, cursor: int | None = None, *, colour: bool = True) -> Picture:
    """Return ``plot`` drawn in ``width`` × ``height`` cells, with bucket ``cursor`` marked; a word if it cannot be.

    Without ``colour``, layers of a stack and an area are told apart by shades.
    """
    if width < _MIN_WIDTH or height < _MIN_HEIGHT or not plot.has_data:
        return _message(plot.empty if not plot.has_data else tr("too small"), width, height)
    return _draw(plot, width, height, cursor, colour)


def _message(text: str, width: int, height: int) -> Picture:
    lines: list[tuple[Run, ...]] = [((" " * width, ""),)] * max(height, 0)
    if height > 0:
        lines[height // 2] = ((text[:width].center(width), "axis"),)
    return Picture(width, height, tuple(lines))


class Canvas:
    """Cells of a chart: rows of characters and rows of roles, from the top."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.chars = [[" "] * columns for _ in range(rows)]
        self.roles = [[""] * columns for _ in range(rows)]

    def row_of(self, share: float) -> int:
        """Return the row of the cell in which a share of the height lies."""
        return self.rows - 1 - min(max(int(share * self.rows + 1e-9), 0), self.rows - 1)

    def write(self, x: int, y: int, text: str, role: str) -> None:
        """Write over blank cells and gaps; what is drawn stays."""
        for offset, char in enumerate(text):
            column = x + offset
            if 0 <= column < self.columns and self.chars[y][column] in f" {_GAP_DOT}{_LEVEL_DASH}":
                self._put(column, y, char, role)

    def over(self, x: int, y: int, char: str, role: str) -> None:
        """Write one cell, whatever is there; its ground stays."""
        self._put(x, y, char, role)

    def _put(self, x: int, y: int, char: str, role: str) -> None:
        ground = self.roles[y][x].partition("/")[2]
        self.chars[y][x], self.roles[y][x] = char, f"{role}/{ground}" if ground else role

    def runs(self, y: int) -> list[Run]:
        """Return a row as runs of one role."""
        chars, roles = self.chars[y], self.roles[y]
        out: list[Run] = []
        start, before = 0, roles[0]
        for x, role in enumerate(roles):
            if role != before:
                out.append(("".join(chars[start:x]), before))
                start, before = x, role
        out.append(("".join(chars[start:]), before))
        return out


def _tops(plot: Plot) -> list[tuple[float | None, ...]]:
    """Return the upper edge of each layer of a stack: running sums, where nothing counts as 0."""
    sums: list[float | None] = [None] * plot.buckets
    edges = []
    for series in plot.drawn:
        for index, value in enumerate(series.values):
            if value is not None:
                sums[index] = (sums[index] or 0.0) + value
        edges.append(tuple(sums))
    return edges


def _draw(plot: Plot, width: int, height: int, cursor: int | None, colour: bool) -> Picture:
    layers = _tops(plot) if plot.stacked else [series.values for series in plot.drawn]
    known = [value for layer in layers for value in layer if value is not None]
    rows = height - (1 if height <= _FEW_ROWS else 2)
    low, high, ticks = _axis(plot, known, rows)
    labels = [plot.format(tick) for tick in ticks] if plot.log else tick_labels(ticks, plot.unit)
    left = max(map(len, labels), default=0) + 2
    columns = max(width - left, 1)
    canvas = Canvas(columns, rows)
    share = _scale(low, high, plot.log)

    if plot.names and not plot.stacked:
        for index, layer in enumerate(layers):
            shade = "" if colour else SHADES[index % len(SHADES)]
            values = bars(layer, columns, index, len(layers))
            _fill(canvas, values, share, plot.drawn[index].role, shade=shade)
    elif plot.stacked:
        edges = [[None if value is None else share(value) for value in spread(layer, columns)] for layer in layers]
        _stack(canvas, edges, [series.role for series in plot.drawn], _faded(plot, columns), colour)
    else:
        _areas_and_lines(canvas, plot, share, columns, colour)
    if plot.level is not None and level_fits(plot):
        _level(canvas, share(plot.level[0]), plot.level[1])
    if not plot.names:
        _gaps(canvas, _gap_columns(plot, columns), plot.gap)
    if cursor is not None and plot.buckets:
        x = column_of(cursor, columns, plot.buckets)
        for y in range(rows):
            canvas.over(x, y, "│", "cursor")
    return Picture(width, height, tuple(_framed(canvas, plot, ticks, labels, share, left, height)), left, columns)


def _axis(plot: Plot, known: list[float], rows: int) -> tuple[float, float, list[float]]:
    """Return both ends of the value axis, and two to five round values on it."""
    values = known + ([plot.level[0]] if plot.level is not None and level_fits(plot) else [])
    high = max(values)
    wanted = min(max(rows // 3, 2), _MOST_TICKS)
    if plot.log:
        low = min((value for value in values if value > 0), default=1.0)
        high = max(high, low * 10)
        power = 10.0 ** math.floor(math.log10(low))
        low = max(factor * power for factor in (1, 2, 5) if factor * power <= low)
        return low, high * 1.05, log_ticks(low, high * 1.05, wanted)
    if plot.unit == "share" and high > 0.5:
        return 0.0, 1.0, [0.0, 0.5, 1.0]
    high = high if high > 0 else 1.0
    ticks = value_ticks(0.0, high, wanted, whole=plot.unit == "count")
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high
    while ticks[-1] < high * 0.999 and len(ticks) <= _MOST_TICKS:
        ticks.append(ticks[-1] + step)
    return 0.0, max(ticks[-1], high * 1.02), ticks


def _scale(low: float, high: float, log: bool) -> Scale:
    if log:
        start, size = math.log10(low), math.log10(high) - math.log10(low)
        return lambda value: (math.log10(value) - start) / size if value > 0 else 0.0
    return lambda value: value / high


def _faded(plot: Plot, columns: int) -> int:
    """Return the first column of the bucket that is not complete; ``columns`` if none is."""
    if plot.running is None or plot.names:
        return columns
    return min(math.ceil(plot.running * columns / max(plot.buckets, 1)), columns - 1)


def _fill(
    canvas: Canvas,
    values: Sequence[float | None],
    share: Scale,
    role: str,
    *,
    shade: str = "",
    level: float | None = None,
    faded: int | None = None,
) -> None:
    """Fill columns from the bottom up; cells above ``level`` are in ``area-bad`` where the value is beyond it."""
    rows, chars, roles = canvas.rows, canvas.chars, canvas.roles
    level_row = canvas.row_of(share(level)) if level is not None else -1
    for x, value in enumerate(values):
        if value is None:
            continue
        eighths = max(round(share(value) * rows * 8), 1)
        full, part = divmod(min(eighths, rows * 8), 8)
        fade = "~" if faded is not None and x >= faded else ""
        beyond = level is not None and value > level
        top = rows - full
        if shade:
            good, bad = role + fade, _BAD + fade
        else:
            good, bad = f"/{role}{fade}", f"/{_BAD}{fade}"
        for y in range(top, rows):
            roles[y][x] = bad if beyond and y < level_row else good
            if shade:
                chars[y][x] = "█" if roles[y][x] == bad else shade
        if part:
            chars[top - 1][x] = EIGHTHS[part]
            roles[top - 1][x] = (_BAD if beyond and top - 1 <= level_row else role) + fade


def _stack(canvas: Canvas, edges: list[list[float | None]], roles: list[str], faded: int, colour: bool) -> None:
    """Fill columns with layers that touch; a cell holds two of them, apart by an eighth."""
    rows = canvas.rows
    size = rows * 8
    blank = ([" "] * rows, [""] * rows)
    cells: dict[tuple[int, ...], tuple[list[str], list[str]]] = {}
    columns: list[tuple[list[str], list[str]]] = []
    for x, heights in enumerate(zip(*edges, strict=True)):
        tops = tuple([round(height * size) if height else 0 for height in heights])
        if not tops or not tops[-1]:
            columns.append(blank)
            continue
        fade = "~" if x >= faded else ""
        key = (*tops, len(fade))
        column = cells.get(key)
        if column is None:
            column = cells[key] = _stacked_column(tops, roles, rows, fade, colour)
        columns.append(column)
    if columns:  # turned round at once: cell by cell it takes three times as long
        canvas.chars = [list(row) for row in zip(*(chars for chars, _ in columns), strict=True)]
        canvas.roles = [list(row) for row in zip(*(names for _, names in columns), strict=True)]


def _stacked_column(
    tops: tuple[int, ...], roles: list[str], rows: int, fade: str, colour: bool
) -> tuple[list[str], list[str]]:
    """Return characters and roles of one column, from its top down."""
    names = [role + fade for role in roles]
    chars: list[str] = []
    inks: list[str] = []
    end = min(tops[-1], rows * 8)
    layer = 0
    while (base := len(chars) * 8) < end:
        while tops[layer] <= base:
            layer += 1
        whole = min(tops[layer], end) // 8 - len(chars)
        if whole:  # cells that this layer has alone
            chars += [" " if colour else SHADES[layer % len(SHADES)]] * whole
            inks += [f"/{names[layer]}" if colour else names[layer]] * whole
        else:
            char, ink = _shared_cell(tops, names, base, end, colour)
            chars.append(char)
            inks.append(ink)
    missing = rows - len(chars)
    chars += [" "] * missing
    inks += [""] * missing
    chars.reverse()
    inks.reverse()
    return chars, inks


def _shared_cell(tops: tuple[int, ...], names: list[str], base: int, end: int, colour: bool) -> tuple[str, str]:
    """Return the cell from ``base`` eighths on, which no layer fills alone: its two largest parts."""
    above = base + 8
    parts: list[tuple[int, int]] = []
    low = base
    for index, top in enumerate(tops):
        if top > low:
            parts.append((min(top, above) - low, index))
            low = top
            if top >= above:
                break
    size, most = max(parts)
    filled = min(end, base + 8) - base
    if filled < 8:
        return EIGHTHS[filled], names[most]
    if not colour:
        return SHADES[most % len(SHADES)], names[most]
    second = max((part for part in parts if part[1] != most), default=(0, most))[1]
    low, high = sorted((most, second))
    return EIGHTHS[size if low == most else 8 - size], f"{names[low]}/{names[high]}"


def _areas_and_lines(canvas: Canvas, plot: Plot, share: Scale, columns: int, colour: bool) -> None:
    faded = _faded(plot, columns)
    level = plot.level[0] if plot.level is not None and plot.above_is_bad else None
    number = 0
    for series in plot.drawn:
        if series.area:
            role = "area" if level is not None or series.role == "series-1" else series.role
            shade = "" if colour else "▒"
            _fill(canvas, spread(series.values, columns), share, role, shade=shade, level=level, faded=faded)
    for series in plot.drawn:
        if not series.area:
            _line(canvas, between(series.values, columns * 2), share, series.role, _DASHES[number % len(_DASHES)])
            number += 1


def between(values: tuple[float | None, ...], count: int) -> list[float | None]:
    """Return ``count`` values, linear between the middles of known neighbours; a bucket without data has none."""
    buckets = len(values)
    if buckets >= count:
        return spread(values, count)
    out: list[float | None] = []
    for index in range(count):
        place = (index + 0.5) * buckets / count - 0.5
        here = min(int(place + 0.5), buckets - 1)
        value = values[here]
        if value is not None:
            other = min(max(here + (1 if place > here else -1), 0), buckets - 1)
            beside = values[other]
            if beside is not None:
                value += (beside - value) * abs(place - here)
        out.append(value)
    return out


def _line(canvas: Canvas, fine: list[float | None], share: Scale, role: str, dash: tuple[int, int]) -> None:
    """Draw one line of braille dots, two values a column, over what is there; dots of a dash are left out."""
    rows = canvas.rows
    dots: dict[tuple[int, int], int] = {}
    on, off = dash
    before: int | None = None
    for x, value in enumerate(fine):
        if value is None:
            before = None
            continue
        y = rows * 4 - 1 - min(max(int(share(value) * rows * 4), 0), rows * 4 - 1)
        if off and x % (on + off) >= on:
            before = y
            continue
        step = (1 if before < y else -1) if before is not None and before != y else 0
        first = y if before is None or not step else before + step
        bits = _DOTS[x % 2]
        for dot in range(first, y + step, step) if step else range(y, y + 1):
            place = (x // 2, dot // 4)
            dots[place] = dots.get(place, 0) | bits[dot % 4]
        before = y
    for (column, row), pattern in dots.items():
        if column < canvas.columns:
            canvas.over(column, row, chr(_BRAILLE + pattern), role)


def _level(canvas: Canvas, share: float, name: str) -> None:
    """Dash a level across the canvas, and name it above its left end where nothing is drawn."""
    y = canvas.row_of(share)
    canvas.write(0, y, _LEVEL_DASH * canvas.columns, "level")
    above = y - 1 if y > 0 else y + 1
    text = f" {name} "
    if above < canvas.rows and len(text) < canvas.columns and not "".join(canvas.chars[above][: len(text)]).strip():
        canvas.write(0, above, text, "axis")


def _gap_columns(plot: Plot, columns: int) -> list[bool]:
    """Say for each column whether nothing was measured there; what has not come yet is no gap."""
    last = plot.running if plot.running is not None else plot.buckets - 1
    buckets = plot.buckets
    blank = [
        all(value is None for value in values) for values in zip(*(each.values for each in plot.drawn), strict=True)
    ]
    out = []
    for x in range(columns):
        first = x * buckets // columns
        end = max((x + 1) * buckets // columns, first + 1)
        out.append(first <= last and all(blank[first:end]))
    return out


def _gaps(canvas: Canvas, blank: list[bool], word: str) -> None:
    """Dot the stretches in which nothing was measured, and name them where there is room."""
    start = 0
    for empty, group in groupby(blank):
        end = start + len(list(group))
        if empty:
            for y in range(canvas.rows):
                for x in range(start, end):
                    if canvas.chars[y][x] in f" {_LEVEL_DASH}":
                        canvas.chars[y][x], canvas.roles[y][x] = _GAP_DOT, "line"
            if end - start >= len(word) + 2:
                x = (start + end - len(word)) // 2 - 1
                canvas.write(x, canvas.rows // 2, f" {word} ", "axis")
        start = end


def _framed(
    canvas: Canvas, plot: Plot, ticks: list[float], labels: list[str], share: Scale, left: int, height: int
) -> list[tuple[Run, ...]]:
    """Return the canvas with its axes: values at the left, times below."""
    rows, columns = canvas.rows, canvas.columns
    beside = {canvas.row_of(min(share(tick), 1.0)): label for tick, label in zip(ticks, labels, strict=True)}
    out: list[tuple[Run, ...]] = []
    for y in range(rows):
        label = beside.get(y)
        axis = (f"{label or '':>{left - 2}} ", "axis"), ("┤" if label is not None else "│", "line")
        out.append((*axis, *canvas.runs(y)))
    marks = _marks(plot, columns)
    if height > _FEW_ROWS:
        rule = ["─"] * columns
        for column, _, _ in marks:
            rule[column] = "┬"
        out.append(((" " * (left - 1), ""), ("└" + "".join(rule), "line")))
    below = Canvas(left + columns, 1)
    for column, text, role in marks:
        start = min(max(left + column - len(text) // 2, 0), left + columns - len(text))
        below.write(start, 0, text, role)
    out.append(tuple(below.runs(0)))
    return out


def _marks(plot: Plot, columns: int) -> list[tuple[int, str, str]]:
    """Return (column, label, role) of the axis below, none over another; ``now`` goes first."""
    found: list[tuple[int, str, str]] = []
    if plot.names:
        every = max(-(-8 * plot.buckets // columns), 1)
        found = [(column_of(index, columns, plot.buckets), plot.names[index], "axis")
                 for index in range(0, plot.buckets, every)]  # fmt: skip
    else:
        if plot.running is not None:
            found.append((column_of(plot.running, columns, plot.buckets), "now", "title"))
        span = plot.buckets * plot.step_s
        for moment, label in time_ticks(plot.since_s, plot.since_s + span, min(max(columns // 12, 1), 6)):
            column = round((moment - plot.since_s) / span * columns)
            if 0 <= column < columns:
                found.append((column, label, "axis"))
    taken: list[tuple[int, int]] = []
    out = []
    for column, label, role in found:
        start = min(max(column - len(label) // 2, 0), columns - len(label))
        if all(start > end or start + len(label) < first for first, end in taken):
            taken.append((start, start + len(label)))
            out.append((column, label, role))
    return out
