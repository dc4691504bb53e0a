"""A line of eight heights: the shape of a figure in one row of cells."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop_tui.widgets.plot import spread

BARS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None], width: int) -> str:
    """Return ``values`` as bars in ``width`` cells, scaled from 0 to the largest; a blank where there is no data."""
    columns = spread(tuple(values), width)
    high = max((value for value in columns if value is not None), default=0.0)
    if high <= 0:
        return "".join(" " if value is None else BARS[0] for value in columns)
    return "".join(
        " " if value is None else BARS[min(int(max(value, 0.0) / high * len(BARS)), len(BARS) - 1)] for value in columns
    )


class Sparkline(Widget):
    """One line of bars over ``values``, as wide as there is room."""

    DEFAULT_CSS = """
    Sparkline { height: 1; width: 1fr; color: $series-1; }
    """

    values: reactive[tuple[float | None, ...]] = reactive(())

    def render_line(self, y: int) -> Strip:
        """Return the bars."""
        return Strip([Segment(spark(self.values, self.size.width), self.rich_style)], self.size.width)
