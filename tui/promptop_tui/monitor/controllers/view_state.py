"""What the user looks at: window, moment, view, chart, reading. State, and the keys that change it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.reactive import reactive, var

from promptop_tui.monitor.analysis.token_histogram import bounds_of
from promptop_tui.monitor.data.snapshot import SPANS, Query, Snapshot
from promptop_tui.monitor.views.charts import KINDS

VIEWS = {
    "slow": "latency>={p95:.6f}",
    "failing": "status:error",
    "truncated": "finish:length,max_tokens",
    "thought only": "reasoning>0 -ttfo>0 status:ok stream:yes",
}
"""Views of the rows: those above the window's p95, those that failed, were cut, or came without visible text."""


class Looking(Vertical, can_focus=True):
    """The part of the monitor that knows what is looked at; watchers of its state are in the pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                str(number),
                f"span('{name}')",
                name,
                show=False,
                id=f"monitor.window.{name}",
                tooltip=f"show the last {name}",
            )
            for number, name in enumerate(SPANS, 1)
        ),
        Binding("space", "pause", "Pause", id="monitor.pause", tooltip="hold the picture; again: live, or replay"),
        Binding("c", "chart(1)", "Chart", id="monitor.chart", tooltip="show the next chart"),
        Binding("C", "chart(-1)", "Chart back", show=False, id="monitor.chart-back", tooltip="show the chart before"),
        Binding("z", "zoom", "Zoom", id="monitor.zoom", tooltip="one chart on the whole tab; again: back"),
        Binding("l", "log_scale", "Log", show=False, id="monitor.log-scale", tooltip="logarithmic axis, of lines"),
        Binding("slash", "filter", "Filter", id="monitor.filter", tooltip="show only requests that match"),
        Binding("left", "cursor(-1)", "Read", show=False, id="monitor.cursor-left", tooltip="read values, earlier"),
        Binding("right", "cursor(1)", "Read", show=False, id="monitor.cursor-right", tooltip="read values, later"),
        Binding("d", "moment", "Drill", show=False, id="monitor.drill", tooltip="requests of the moment that is read"),
        Binding(
            "a", "alerts", "Alerts", show=False, id="monitor.alerts", tooltip="rules of the settings, and their state"
        ),
        Binding("m", "money", "Money", id="monitor.money", tooltip="where the money goes: model, app, prompt, tags"),
        Binding(
            "v", "view", "View", id="monitor.view", tooltip="requests: all, slow, failing, truncated, thought only"
        ),
        Binding("b", "bursts", "Bursts", show=False, id="monitor.bursts", tooltip="duplicates, and loops of calls"),
        Binding("f", "misses", "Cache", show=False, id="monitor.misses", tooltip="why caches did not answer"),
        Binding("w", "what_if", "What-if", show=False, id="monitor.whatif", tooltip="what a cache would have saved"),
        Binding("y", "hand_over('curl')", "curl", show=False, id="monitor.curl", tooltip="copy the request as curl"),
        Binding("x", "mark", "Mark", show=False, id="monitor.mark", tooltip="mark a request; on another: compare them"),
        Binding("o", "order", "Order", show=False, id="monitor.order", tooltip="by time, total, TTFT, cost, tokens"),
        Binding("O", "turn_round", "Reverse", show=False, id="monitor.reverse", tooltip="smallest first, or largest"),
        Binding("h", "columns", "Columns", show=False, id="monitor.columns", tooltip="choose the columns"),
        Binding("i", "inspect", "Inspect", show=False, id="monitor.inspect", tooltip="SQL and time of each look"),
        Binding("escape", "back", "Back", show=False, id="monitor.back", tooltip="close filter, reading or zoom"),
        Binding("e", "hand_over('edit')", "Edit", id="monitor.edit", tooltip="open the prompt in the editor"),
        Binding(
            "p",
            "hand_over('play')",
            "Play",
            show=False,
            id="monitor.play",
            tooltip="open the request in the playground",
        ),
    ]
    HELP = """\
The monitor reads the request log while other programs write it. Percentiles leave out failed, cancelled and cached
calls, and are greyed below 20 samples. ✓ and ✗ say whether a target of the settings is met. `S` marks simulated rows,
`↻` repeated attempts, `≈` estimates.

`1` … `5` choose the window, `←` `→` read a chart's values, `enter` opens a request, `end` follows the newest again."""

    asked: var[Query] = var(Query)
    """What the user wants to see."""
    shown: reactive[Snapshot] = reactive(Snapshot)
    """The last snapshot that arrived."""
    first_chart: reactive[int] = reactive(0)
    log_scale: reactive[bool] = reactive(False)
    cursor: reactive[int | None] = reactive(None)
    """Bucket of time that is read on the charts."""
    bar: reactive[int | None] = reactive(None)
    """Bar that is read on the histogram."""
    zoomed: reactive[bool] = reactive(False, toggle_class="-zoom")

    inspected: reactive[bool] = reactive(False, toggle_class="-inspected")
    """Whether the drawer is open that says what looks at the log cost."""

    def now_ms(self) -> int:
        """Return the wall clock, Unix milliseconds."""
        raise NotImplementedError

    def tell(self, cause: str, remedy: str) -> None:
        """Show a notice."""
        raise NotImplementedError

    def action_span(self, name: str) -> None:
        """Look at another length of time."""
        self.cursor = None
        self.asked = replace(self.asked, span=SPANS[name])

    def action_moment(self) -> None:
        """Show the requests of the moment, or of the bar, that is read on the chart."""
        if self._reads_bars and self.bar is not None:
            self._sizes_of_bar()
            self.zoomed = False  # or they would stand behind the chart
            return
        if self.cursor is None or self.shown.window is None:
            self.tell("No moment is read on a chart.", "Choose one with ← and → or a click, then press d.")
            return
        step = self.shown.query.span.step_s * 1000
        start = self.shown.since_ms + self.cursor * step
        self.asked = replace(self.asked, moment_ms=(start, start + step))
        self.zoomed = False

    def action_view(self) -> None:
        """Show the next view of the requests: all, slow, failing, truncated, thought only."""
        names = ["", *VIEWS]
        name = names[(names.index(self.asked.view) + 1) % len(names)] if self.asked.view in names else ""
        terms = VIEWS.get(name, "")
        if name == "slow":
            p95 = self.shown.window.total.latency.quantile(0.95) if self.shown.window else None
            terms = terms.format(p95=(p95 or 0.0) * 0.99)  # the percentile is known within 1 %
        self.asked = replace(self.asked, view=name, view_terms=terms, moment_ms=None)

    def action_chart(self, by: int) -> None:
        """Show the next chart, or the one before."""
        self.first_chart = (self.first_chart + by) % len(KINDS)

    def action_zoom(self) -> None:
        """Give one chart the whole tab, or take it back."""
        self.zoomed = not self.zoomed

    def action_inspect(self) -> None:
        """Open the drawer that says what looks at the log cost, or close it."""
        self.inspected = not self.inspected

    def action_log_scale(self) -> None:
        """Switch the axis of lines between linear and logarithmic; layers, bars and shares begin at 0."""
        self.log_scale = not self.log_scale

    @property
    def _reads_bars(self) -> bool:
        """Whether the first chart that is shown is the histogram: the keys then read its bars."""
        return KINDS[self.first_chart].key == "sizes"

    def action_cursor(self, by: int) -> None:
        """Read the values of a bucket earlier or later, from the newest at first; on the histogram those of a bar."""
        sizes = self.shown.sizes
        if self._reads_bars:
            last = len(sizes.input) - 1 if sizes is not None else -1
            if last >= 0:
                self.bar = (0 if by > 0 else last) if self.bar is None else max(0, min(self.bar + by, last))
            return
        last = self.asked.span.buckets - 1
        self.cursor = last if self.cursor is None else max(0, min(self.cursor + by, last))

    def _sizes_of_bar(self) -> None:
        """Show the requests of the bar that is read: by input, or by output where no request has such an input."""
        sizes, bar = self.shown.sizes, self.bar
        if sizes is None or bar is None or bar >= len(sizes.input):
            return
        low, high = bounds_of(sizes.first + bar)
        field = "in" if sizes.input[bar] else "out"
        window = (self.shown.since_ms, self.shown.until_ms)
        name = f"{field} {low:,} to {high:,} tokens" if high > low else f"{field} {low:,} tokens"
        self.asked = replace(self.asked, moment_ms=window, view=name, view_terms=f"{field}:{low}..{high}")
