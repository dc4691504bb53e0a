"""What a chart shows, as plain data, and what it looks like once drawn. No widget and no colour here.

A :class:`Plot` is immutable and hashable: equal plots of equal size have equal pictures, so the picture can be cached
by the plot itself. Each series has a column of values, one a bucket of time; ``None`` is a gap and is left blank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from promptop.base import units

Unit = Literal["seconds", "usd", "count", "share", "rate"]

FORMATS: dict[Unit, Callable[[float | None], str]] = {
    "seconds": units.seconds,
    "usd": units.usd,
    "count": units.count,
    "share": units.share,
    "rate": units.rate,
}
SHADES = ("█", "▓", "▒", "░")
"""Layers of a stack from the bottom up where there is no colour."""

LINE_MARKS = ("━ ", "╍ ", "┅ ", "┉ ")
"""Lines of a plot in the legend, as they are dashed."""

ROLES = (
    "axis",
    "line",
    "area",
    "area-bad",
    "level",
    "cursor",
    "title",
    "series-1",
    "series-2",
    "series-3",
    "series-4",
    "series-5",
    "series-6",
    "latency-good",
    "latency-warn",
    "latency-bad",
    "cache-hit",
    "cost",
)
"""What a cell of a picture stands for; the widget's style sheet gives each a colour."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line or layer: ``values`` has one value for each bucket of the plot, ``None`` where there is no data."""

    name: str
    values: tuple[float | None, ...]
    role: str = "series-1"
    area: bool = False
    """Filled down to the axis; the other series of its plot are lines over it."""
    drawn: bool = True
    """False: only read at the cursor."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart over time, in buckets of ``step_s`` seconds from ``since_s`` (Unix time)."""

    title: str
    since_s: float = 0.0
    step_s: float = 60.0
    series: tuple[Series, ...] = ()
    unit: Unit = "count"
    stacked: bool = False
    level: tuple[float, str] | None = None
    """A horizontal line and its name, for example a target."""
    above_is_bad: bool = True
    """Whether what an area has above the level is marked."""
    running: int | None = None
    """The bucket that is not over yet: it is faded and named ``now``."""
    gap: str = "no rows"
    """What a stretch without data is called."""
    log: bool = False
    empty: str = "no data in this window"
    note: str = ""
    """Shown at the end of the legend."""
    names: tuple[str, ...] = ()
    """Names of the buckets, where they are no stretches of time; such a plot has bars side by side, not lines."""
    readings: tuple[str, ...] = ()
    """Names of the buckets in full, for a reader of one; ``names`` where there are none."""

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return max((len(series.values) for series in self.series), default=0)

    @property
    def filled(self) -> bool:
        """Whether all series are filled: a stack, or bars side by side."""
        return self.stacked or bool(self.names)

    @property
    def drawn(self) -> tuple[Series, ...]:
        """The series that are drawn."""
        return tuple(series for series in self.series if series.drawn)

    @property
    def has_data(self) -> bool:
        """Whether any bucket holds a value."""
        return any(value is not None for series in self.series for value in series.values)

    def format(self, value: float | None) -> str:
        """Return ``value`` in the plot's unit."""
        return FORMATS[self.unit](value)


def level_fits(plot: Plot) -> bool:
    """Say whether a target is close enough to the data to be drawn without flattening it."""
    known = [value for series in plot.drawn for value in series.values if value is not None]
    return plot.level is not None and bool(known) and plot.level[0] <= max(known) * 2.5


Run = tuple[str, str]
"""Text and role; an empty role is blank canvas."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn plot: lines of runs, ``width`` cells each, and where its canvas lies."""

    width: int
    height: int
    lines: tuple[tuple[Run, ...], ...]
    left: int = 0
    """First column of the canvas."""
    columns: int = 0
    """Columns of the canvas."""

    @property
    def text(self) -> str:
        """The picture without colour."""
        return "\n".join("".join(text for text, _ in line) for line in self.lines)


def spread(values: tuple[float | None, ...], columns: int) -> list[float | None]:
    """Return one value a column: buckets are repeated where there are fewer, and the largest kept where there are more.

    The largest, because the eye looks for the worst moment; an average would hide it.
    """
    count = len(values)
    if not count or columns <= 0:
        return [None] * max(columns, 0)
    if columns >= count:
        return [values[column * count // columns] for column in range(columns)]
    out: list[float | None] = []
    for column in range(columns):
        first = column * count // columns
        last = max((column + 1) * count // columns, first + 1)
        known = [value for value in values[first:last] if value is not None]
        out.append(max(known) if known else None)
    return out


def bars(values: tuple[float | None, ...], columns: int, part: int, parts: int) -> list[float | None]:
    """Return one value a column for bars that stand side by side: ``part`` of ``parts`` in the columns of each bucket.

    A blank column parts the buckets where there is room. With less than a column a bar, each bucket is one bar.
    """
    count = len(values)
    if count and columns // count < parts:
        return spread(values, columns)
    out: list[float | None] = [None] * columns
    for bucket, value in enumerate(values):
        first, end = bucket * columns // count, (bucket + 1) * columns // count
        room = end - first - (end - first > parts)
        for column in range(first + part * room // parts, first + (part + 1) * room // parts):
            out[column] = value
    return out


def bucket_of(column: int, columns: int, buckets: int) -> int:
    """Return the bucket that canvas column ``column`` shows (the first one where it shows several)."""
    return min(max(column, 0) * buckets // max(columns, 1), max(buckets - 1, 0))


def column_of(bucket: int, columns: int, buckets: int) -> int:
    """Return the middle column of ``bucket``."""
    return min(int((bucket + 0.5) * columns / max(buckets, 1)), columns - 1)


_MOST_TICKS = 8


def value_ticks(low: float, high: float, wanted: int, *, whole: bool = False) -> list[float]:
    """Return about ``wanted`` round values from ``low`` to ``high``: steps of 1, 2 or 5 times a power of ten.

    ``whole``: what is counted has no halves, so that no step is below 1.
    """
    if high <= low:
        return [low]
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9)
    ticks = [index * step for index in range(first, int(high / step + 1e-9) + 1)]
    if len(ticks) < 2 and wanted < _MOST_TICKS:  # one label is not a scale
        return value_ticks(low, high, wanted + 1, whole=whole)
    return ticks


def tick_labels(ticks: list[float], unit: Unit) -> list[str]:
    """Return labels of one form for all ticks of a linear axis, with no more digits than tell them apart."""
    if len(ticks) < 2 or unit not in ("seconds", "usd"):
        return [FORMATS[unit](tick) for tick in ticks]
    step = ticks[1] - ticks[0]
    if unit == "usd":
        digits = max(-math.floor(math.log10(step) + 1e-9), 0)
        return [f"${tick:,.{digits}f}" for tick in ticks]
    if ticks[-1] < 1:
        digits = max(-math.floor(math.log10(step * 1000) + 1e-9), 0)
        return [f"{tick * 1000:.{digits}f} ms" for tick in ticks]
    if ticks[-1] >= 120:
        return [FORMATS[unit](tick) for tick in ticks]
    digits = max(-math.floor(math.log10(step) + 1e-9), 0)
    return [f"{tick:.{digits}f} s" for tick in ticks]


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Return round values for a logarithmic axis: powers of ten, with 2 and 5 between them where there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in decades for factor in factors]
        inside = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(inside) <= max(wanted, 2):
            return inside
    every = math.ceil(len(inside) / max(wanted, 2))
    return inside[::every]


_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86_400


def time_ticks(since_s: float, until_s: float, room: int) -> Iterator[tuple[float, str]]:
    """Yield round local times between two Unix times, at most ``room`` of them, with their labels.

    Steps of less than a day are aligned to local midnight, so that labels stay round in half-hour time zones; days are
    stepped by the calendar, so that a change of daylight saving time does not shift them.
    """
    span = max(until_s - since_s, 1.0)
    step = next((step for step in _TIME_STEPS if span / step <= room), 0)
    start = datetime.fromtimestamp(since_s)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if not step:
        days = max(1, math.ceil(span / _DAY / max(room, 1)))
        for day in range(0, math.ceil(span / _DAY) + 2, days):
            moment = datetime.fromtimestamp(midnight.timestamp() + day * _DAY + _DAY // 2).replace(hour=0)
            if since_s <= moment.timestamp() <= until_s:
                yield moment.timestamp(), f"{moment:%d %b}"
        return
    first = midnight.timestamp() + math.ceil((since_s - midnight.timestamp()) / step) * step
    for index in range(int((until_s - first) / step) + 1):
        moment = datetime.fromtimestamp(first + index * step)
        if step < 60:
            label = f"{moment:%H:%M:%S}"
        elif moment.hour == 0 and moment.minute == 0:
            label = f"{moment:%d %b}"
        else:
            label = f"{moment:%H:%M}"
        yield moment.timestamp(), label
