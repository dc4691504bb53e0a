"""What a chart costs: drawing off the UI thread, turning it into strips, painting it from the cache.

``python tests/benchmarks/monitor_charts.py`` prints medians of one run; read the ratios.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from promptop_tui.widgets.drawing import draw
from promptop_tui.widgets.plot import Plot, Series


def median(action: Callable[[], object], repeats: int = 15) -> float:
    """Return the median of some runs, milliseconds of this thread's CPU: others may be busy."""
    took = []
    for _ in range(repeats):
        began = time.thread_time()
        action()
        took.append((time.thread_time() - began) * 1e3)
    return sorted(took)[len(took) // 2]


def plot(buckets: int, *, stacked: bool) -> Plot:
    """Return a plot of an area with a line over it and a target, or of six layers."""
    count = 6 if stacked else 2
    series = tuple(
        Series(
            str(k),
            tuple(2 + math.sin(i / 9 + k) for i in range(buckets)),
            f"series-{k + 1}",
            area=not stacked and not k,
        )
        for k in range(count)
    )
    level = None if stacked else (2.5, "target 2.5 s")
    return Plot("latency", 1.795e9, 60.0, series, "seconds", stacked, level, running=buckets - 1)


def main() -> None:
    """Print one line a chart."""
    print(f"{'chart':<28} {'draw ms':>8} {'strips ms':>10} {'cached µs':>10}")
    styles = {role: Style.parse("red") for role in ("", "axis", "level", "cursor")}
    for width, height, stacked in (
        (75, 7, False),
        (75, 7, True),
        (100, 20, False),
        (100, 20, True),
        (200, 50, False),
        (200, 50, True),
    ):
        wanted = plot(120, stacked=stacked)
        moved = iter(range(10_000))

        def fresh(width: int = width, height: int = height, wanted: Plot = wanted) -> object:
            return draw(replace(wanted, since_s=wanted.since_s + next(moved)), width, height, None)  # noqa: B023

        picture = draw(wanted, width, height, None)

        def strips() -> object:
            return [Strip([Segment(t, styles.get(r, styles[""])) for t, r in line]) for line in picture.lines]  # noqa: B023

        def cached(width: int = width, height: int = height, wanted: Plot = wanted) -> object:
            return draw(wanted, width, height, None)

        name = f"{width} × {height}, {'6 layers' if stacked else 'area and line'}"
        print(f"{name:<28} {median(fresh):>8.1f} {median(strips):>10.2f} {median(cached, 201) * 1e3:>10.1f}")


if __name__ == "__main__":
    main()
