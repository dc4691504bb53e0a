"""A chart over time: legend on the first line, the picture below it.

The picture is drawn in a thread worker and arrives as data; ``render_line`` only joins cached strips. While a new
picture is being drawn the old one stays, and requests that come meanwhile are answered by one drawing of the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop.base.sanitize import clean_line
from promptop_tui.widgets.panel import Frame
from promptop_tui.widgets.plot import LINE_MARKS, ROLES, SHADES, Picture, Plot, bucket_of, column_of, level_fits

if TYPE_CHECKING:
    from rich.color import Color
    from textual import events

_FADE = 0.55
"""Share of the ground in a colour that is faded."""


class Chart(Widget):
    """Shows a :class:`Plot`; ``cursor`` marks one of its buckets, whose values the legend reads."""

    DEFAULT_CSS = """
    Chart {
        width: 1fr;
        height: 1fr;
        & > .chart--axis { color: $dim; }
        & > .chart--line { color: $line; }
        & > .chart--area { color: $area; }
        & > .chart--area-bad { color: $area-bad; }
        & > .chart--title { text-style: bold; }
        & > .chart--level { color: $dim; }
        & > .chart--cursor { color: $text; }
        & > .chart--series-1 { color: $series-1; }
        & > .chart--series-2 { color: $series-2; }
        & > .chart--series-3 { color: $series-3; }
        & > .chart--series-4 { color: $series-4; }
        & > .chart--series-5 { color: $series-5; }
        & > .chart--series-6 { color: $series-6; }
        & > .chart--latency-good { color: $latency-good; }
        & > .chart--latency-warn { color: $latency-warn; }
        & > .chart--latency-bad { color: $latency-bad; }
        & > .chart--cache-hit { color: $cache-hit; }
        & > .chart--cost { color: $cost; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in ROLES}

    plot: reactive[Plot | None] = reactive(None, layout=False)
    cursor: reactive[int | None] = reactive(None)

    @dataclass
    class Drawn(Message):
        """A picture is ready; sent by the worker to its chart."""

        chart: Chart
        plot: Plot
        picture: Picture
        cursor: int | None

        @property
        def control(self) -> Chart:
            """The chart that shows the picture."""
            return self.chart

        def can_replace(self, message: Message) -> bool:
            """Let only the latest picture of a chart wait in the queue."""
            return isinstance(message, Chart.Drawn) and message.chart is self.chart

    @dataclass
    class Picked(Message):
        """The user clicked on a bucket of the chart."""

        chart: Chart
        bucket: int

        @property
        def control(self) -> Chart:
            """The chart that was clicked."""
            return self.chart

    def __init__(
        self,
        *,
        panel: bool = False,
        id: str | None = None,  # noqa: A002 (Textual's name)
        classes: str | None = None,
    ) -> None:
        """``panel``: a region of its own in a tab, whose frame has the legend above and what is read below."""
        super().__init__(id=id, classes=" ".join(filter(None, (classes, "panel" if panel else ""))) or None)
        self.can_focus = panel
        self._frame = Frame(self) if panel else None
        self._picture: Picture | None = None
        self._pictured: Plot | None = None
        self._busy = False
        self._again = False
        self._strips: list[Strip] = []
        self._styles: dict[str, Style] = {}

    @property
    def picture(self) -> Picture | None:
        """The picture that is shown, or None before the first one."""
        return self._picture

    def watch_plot(self) -> None:
        """Have the new plot drawn; its legend shows at once."""
        plot = self.plot
        if plot is not None and self.cursor is not None and self.cursor >= plot.buckets:
            self.cursor = None
        self.draw_frame()
        self._request()

    def watch_cursor(self) -> None:
        """Have the mark moved."""
        self.draw_frame()
        self._request()

    def on_resize(self, event: events.Resize) -> None:
        """Have the plot drawn at the new size."""
        self.draw_frame()
        self._request()

    def notify_style_update(self) -> None:
        """Forget strips of the old theme; the picture itself has no colours and stays."""
        super().notify_style_update()
        self._styles.clear()
        self._strips = []
        self.draw_frame()

    def _request(self) -> None:
        if self.plot is None or not self.is_mounted or self.size.height < 2 or self.size.width < 1:
            return
        if self._busy:
            self._again = True
            return
        self._busy = True
        task = partial(self._draw, self.plot, self.size.width, self.size.height - self._legend_lines, self.cursor)
        self.run_worker(task, thread=True, group="chart", description="draw a chart", exit_on_error=True)

    def _draw(self, plot: Plot, width: int, height: int, cursor: int | None) -> None:
        from promptop_tui.widgets.drawing import draw

        picture = draw(plot, width, height, cursor, colour=not self.app.no_color)
        self.post_message(self.Drawn(self, plot, picture, cursor))

    @on(Drawn)
    def _show(self, message: Drawn) -> None:
        message.stop()
        self._busy = False
        self._picture, self._pictured = message.picture, message.plot
        self._strips = []
        self.refresh()
        if self._again:
            self._again = False
            self._request()

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            style = self._styles[role] = self._made(role)
        return style

    def _made(self, role: str) -> Style:
        """Return the style of ``ink``, ``ink/ground`` or ``/ground``, where ``~`` is faded into the chart's ground."""
        if not role:
            return self.rich_style
        ink, _, ground = role.partition("/")
        style = self.get_component_rich_style(f"chart--{ink.removesuffix('~')}") if ink else self.rich_style
        if ink.endswith("~"):
            style += Style(color=self._faded(ink))
        if ground:
            style += Style(bgcolor=self._faded(ground))
        return style

    def _faded(self, role: str) -> Color:
        color = self.get_component_styles(f"chart--{role.removesuffix('~')}").color
        if role.endswith("~"):
            color = color.blend(self.background_colors[1], _FADE)
        return color.rich_color

    @property
    def _legend_lines(self) -> int:
        return 0 if self._frame is not None else 1

    def draw_frame(self) -> None:
        """Write title, legend and what is read into the frame, as far as they fit."""
        plot = self.plot
        if self._frame is None or plot is None or not self.is_attached:
            return
        title = clean_line(plot.title[:1].upper() + plot.title[1:], 80)
        room = self.outer_size.width - len(title) - 12
        names = [
            (symbol, series)
            for symbol, series in zip(self._symbols(plot), plot.series, strict=True)
            if series.drawn and plot.has_data
        ]
        parts: list[tuple[str, str]] = []
        for left, (symbol, series) in zip(range(len(names), 0, -1), names, strict=True):
            name = clean_line(series.name, 24)
            more = f"  +{left}"
            if cell_len(symbol + name) + 2 * bool(parts) > room - (len(more) if left > 1 else 0):
                parts.append((more if parts else "", "$dim"))
                break
            parts += [("  " if parts else "", ""), (symbol, f"${series.role}"), (name, "$dim")]
            room -= cell_len(symbol + name) + 2 * (len(parts) > 3)
        if plot.log:
            parts.append(("  log", "$dim"))
        self._frame.show(title, Content.assemble(*parts), self._hint(plot))

    def _hint(self, plot: Plot) -> Content:
        """Return the values at the cursor; without one, the plot's note and a level that is too far away to draw."""
        reading = self.cursor
        room = self.outer_size.width - 8
        if reading is None:
            far = plot.level[1] if plot.level is not None and not level_fits(plot) and plot.has_data else ""
            text = " · ".join(filter(None, (far, clean_line(plot.note, 120))))
            return Content.styled(text, "$dim") if text and cell_len(text) <= room else Content()
        values = [
            (symbol, series, plot.format(series.values[reading] if reading < len(series.values) else None))
            for symbol, series in zip(self._symbols(plot), plot.series, strict=True)
        ]
        for named in (True, False):
            parts: list[tuple[str, str]] = [(self.moment(reading), "$text")]
            for symbol, series, value in values:
                name = f"{clean_line(series.name, 24)} " if named or not series.drawn else ""
                parts += [("  ", ""), (symbol, f"${series.role}"), (name, "$dim"), (value, "$text")]
            content = Content.assemble(*parts)
            if content.cell_length <= room:
                break
        return content

    def render_line(self, y: int) -> Strip:
        """Return line ``y``: the legend where no frame has it, then the picture."""
        width = self.size.width
        y += 1 - self._legend_lines
        if y == 0:
            return Strip(self._legend(width), None).adjust_cell_length(width, self._style(""))
        if self._picture is None:
            return Strip.blank(width, self._style(""))
        if not self._strips:
            self._strips = [
                Strip([Segment(text, self._style(role)) for text, role in line], self._picture.width)
                for line in self._picture.lines
            ]
        if y - 1 >= len(self._strips):
            return Strip.blank(width, self._style(""))
        return self._strips[y - 1].adjust_cell_length(width, self._style(""))

    def _legend(self, width: int) -> list[Segment]:
        plot = self.plot
        if plot is None:
            return [Segment(" " * width, self._style(""))]
        framed = self.styles.border_top[0] not in ("", "none")
        parts: list[tuple[str, str]] = [] if framed else [(plot.title, "title")]
        reading = self.cursor
        if reading is not None:
            parts.append((f"  {self.moment(reading)}", "cursor"))
        for series, symbol in zip(plot.series, self._symbols(plot), strict=True):
            if not series.drawn and reading is None:
                continue
            value = series.values[reading] if reading is not None and reading < len(series.values) else None
            shown = f" {plot.format(value)}" if reading is not None else ""
            parts += [
                ("  ", ""),
                (symbol, series.role),
                (f"{clean_line(series.name, 24)}{shown}", "axis" if not shown else ""),
            ]
        if plot.level is not None and not level_fits(plot):
            parts.append((f"  {plot.level[1]}", "axis"))
        if plot.log:
            parts.append(("  log", "axis"))
        if plot.note:
            parts.append((f"  {plot.note}", "axis"))
        return _fit([Segment(text, self._style(role)) for text, role in parts], width)

    def _symbols(self, plot: Plot) -> list[str]:
        """Return the mark of each series in the legend: of an area or a layer, of a line, of what is only read."""
        if plot.filled:
            return ["▌" if not self.app.no_color else SHADES[n % len(SHADES)] for n in range(len(plot.series))]
        lines = iter(LINE_MARKS)
        return ["▌" if series.area else next(lines, "━") if series.drawn else "" for series in plot.series]

    def moment(self, bucket: int) -> str:
        """Return the local time at which ``bucket`` starts, or its name."""
        from datetime import datetime

        if self.plot is None:
            return ""
        if self.plot.names:
            return (self.plot.readings or self.plot.names)[bucket]
        start = datetime.fromtimestamp(self.plot.since_s + bucket * self.plot.step_s)
        return f"{start:%d %b %H:%M}" if self.plot.step_s >= 600 else f"{start:%H:%M:%S}"

    def on_click(self, event: events.Click) -> None:
        """Report the bucket under the mouse."""
        picture, plot = self._picture, self._pictured
        place = event.get_content_offset(self)
        if place is None or picture is None or plot is None or not picture.columns or place.x < picture.left:
            return
        self.post_message(self.Picked(self, bucket_of(place.x - picture.left, picture.columns, plot.buckets)))

    def column_of_cursor(self) -> int | None:
        """Return the column of the widget in which the cursor stands."""
        if self.cursor is None or self._picture is None or self.plot is None:
            return None
        return self._picture.left + column_of(self.cursor, self._picture.columns, self.plot.buckets)


def _fit(segments: list[Segment], width: int) -> list[Segment]:
    """Cut segments to ``width`` cells, with an ellipsis where something was cut."""
    out: list[Segment] = []
    room = width
    for text, style, _ in segments:
        cells = cell_len(text)
        if cells <= room:
            out.append(Segment(text, style))
            room -= cells
            continue
        if room > 1:
            out.append(Segment(set_cell_size(text, room - 1) + "…", style))
        break
    return out
