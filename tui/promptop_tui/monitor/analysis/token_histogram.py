"""How many tokens requests have: a histogram in steps of half a power of two, counted from rows.

The log's sums hold tokens but not their distribution, so the newest rows of the window are read: exact up to
:data:`COUNTED` of them, and the chart says of how many it is made.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.texts import tr
from promptop_tui.widgets.plot import Plot, Series

if TYPE_CHECKING:
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.data.snapshot import LogSnapshot

COUNTED = 20_000
"""Newest rows of a window that are counted: 20 ms of the reading thread."""
BOUNDS = (0, 1, *(size for power in range(1, 22) for size in (2**power, 3 * 2 ** (power - 1))))
"""Where each step begins, tokens: 0, 1, 2, 3, 4, 6, 8, 12 … 3 M."""


@dataclass(frozen=True, slots=True)
class TokenSizes:
    """Requests by their number of tokens."""

    first: int = 0
    """Index in :data:`BOUNDS` of the first step that has requests."""
    input: tuple[int, ...] = ()
    """Requests in each step from the first on to the last that has any."""
    output: tuple[int, ...] = ()
    median_input: float | None = None
    median_output: float | None = None
    rows: int = 0
    """Rows that were looked at."""
    cut: bool = False
    """Whether the window has more."""


def sizes_of(rows: Sequence[tuple[int | None, int | None]], limit: int) -> TokenSizes:
    """Count (input, output) tokens of requests; unknown ones are left out, and not counted as 0."""
    into = [size for size, _ in rows if size is not None]
    out = [size for _, size in rows if size is not None]
    steps = [_steps(into), _steps(out)]
    found = sorted(steps[0].keys() | steps[1].keys())
    span = range(found[0], found[-1] + 1) if found else range(0)
    return TokenSizes(
        span.start,
        tuple(steps[0][index] for index in span),
        tuple(steps[1][index] for index in span),
        statistics.median(into) if into else None,
        statistics.median(out) if out else None,
        len(rows),
        len(rows) >= limit,
    )


def _steps(sizes: Iterable[int]) -> Counter[int]:
    return Counter(bisect_right(BOUNDS, size) - 1 for size in sizes if size >= 0)


def _reading(index: int) -> str:
    low, high = bounds_of(index)
    return tr("{low:,} tokens", low=low) if high == low else tr("{low:,} to {high:,} tokens", low=low, high=high)


def bounds_of(index: int) -> tuple[int, int]:
    """Return the smallest and the largest number of tokens of a step; the last step has no end."""
    return BOUNDS[index], BOUNDS[index + 1] - 1 if index + 1 < len(BOUNDS) else 10**12


def histogram(snapshot: LogSnapshot, settings: MonitorSettings) -> Plot:
    """Return the chart."""
    sizes = snapshot.sizes
    if sizes is None:
        return Plot("tokens a request", empty="counting")
    which = tr("the newest") if sizes.cut else "all"
    note = tr("from {which} {rows:,} rows", which=which, rows=sizes.rows)
    for name, median in (("in", sizes.median_input), ("out", sizes.median_output)):
        note += tr(" · median {name} {median}", name=name, median=units.count(median)) if median is not None else ""
    steps = range(sizes.first, sizes.first + len(sizes.input))
    names = tuple(units.count(BOUNDS[index]) for index in steps)
    return Plot(
        "tokens a request",
        series=(
            Series("input", tuple(map(float, sizes.input)), "series-1"),
            Series("output", tuple(map(float, sizes.output)), "series-2"),
        ),
        note=note,
        names=names,
        readings=tuple(_reading(index) for index in steps),
        empty=tr("no request with known tokens in this window"),
    )
