"""The Monitor tab.

Threads: a worker owns the log (:mod:`promptop_tui.monitor.reader`); a timer only asks it to look, and not before the
last answer was shown; each chart has its picture drawn by a worker of its own. All state of the screen is changed here,
on the UI thread. While the tab is hidden there is no timer and no reader.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive, var
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from promptop.errors import PromptopError
from promptop.safe import clean, clean_line
from promptop_tui.messages import ShowInMonitor
from promptop_tui.monitor.breakdown import Breakdown
from promptop_tui.monitor.charts import KINDS
from promptop_tui.monitor.figures import figures_of
from promptop_tui.monitor.handover import message_for
from promptop_tui.monitor.reader import Answer, MonitorReader, OlderRows, RowFound, Trouble
from promptop_tui.monitor.requests import RequestTable
from promptop_tui.monitor.snapshot import SPANS, Query, Snapshot
from promptop_tui.monitor.status import StatusLine
from promptop_tui.monitor.tiles import Tiles
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from textual import events

    from promptop_tui.context import AppContext
    from promptop_tui.monitor.money import Choice

SHEET = Path(__file__).with_name("monitor.tcss")
VIEWS = {
    "slow": "latency>={p95:.6f}",
    "failing": "status:error",
    "truncated": "finish:length,max_tokens",
    "thought only": "reasoning>0 -ttfo>0 status:ok stream:yes",
}
"""Views of the rows: those above the window's p95, those that failed, were cut, or came without visible text."""
LOOK_S = 0.4
"""Seconds between two looks at the log."""
CHARTS = 3


class MonitorPane(Vertical, can_focus=True):
    """Tiles, charts and the tail of the request log."""

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
        Binding("space", "pause", "Pause", id="monitor.pause", tooltip="hold the picture; again: live"),
        Binding("c", "chart(1)", "Chart", id="monitor.chart", tooltip="show the next chart"),
        Binding("C", "chart(-1)", "Chart back", show=False, id="monitor.chart-back", tooltip="show the chart before"),
        Binding("z", "zoom", "Zoom", id="monitor.zoom", tooltip="one chart on the whole tab; again: back"),
        Binding("l", "log_scale", "Log", show=False, id="monitor.log-scale", tooltip="logarithmic latency axis"),
        Binding("slash", "filter", "Filter", id="monitor.filter", tooltip="show only requests that match"),
        Binding("left", "cursor(-1)", "Read", show=False, id="monitor.cursor-left", tooltip="read values, earlier"),
        Binding("right", "cursor(1)", "Read", show=False, id="monitor.cursor-right", tooltip="read values, later"),
        Binding(
            "left_square_bracket", "scrub(-1)", "Earlier", show=False, id="monitor.earlier", tooltip="back in time"
        ),
        Binding("right_square_bracket", "scrub(1)", "Later", show=False, id="monitor.later", tooltip="on in time"),
        Binding("d", "moment", "Drill", show=False, id="monitor.drill", tooltip="requests of the moment that is read"),
        Binding("m", "money", "Money", id="monitor.money", tooltip="where the money goes: model, app, prompt, tags"),
        Binding(
            "v", "view", "View", id="monitor.view", tooltip="requests: all, slow, failing, truncated, thought only"
        ),
        Binding("escape", "back", "Back", show=False, id="monitor.back", tooltip="close filter, reading or zoom"),
        Binding("e", "hand_over('edit')", "Edit", id="monitor.edit", tooltip="open the prompt in the editor"),
        Binding("p", "hand_over('play')", "Play", id="monitor.play", tooltip="open the request in the playground"),
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
    zoomed: reactive[bool] = reactive(False, toggle_class="-zoom")

    status = getters.query_one(StatusLine)
    tiles = getters.query_one(Tiles)
    table = getters.query_one(RequestTable)
    filter_input = getters.query_one("#monitor-filter", Input)

    @dataclass
    class Answered(Message):
        """The reader's thread has an answer."""

        pane: MonitorPane
        answer: Answer

        @property
        def control(self) -> MonitorPane:
            """The pane that asked."""
            return self.pane

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        self._settings = context.settings.monitor
        self.set_reactive(MonitorPane.asked, Query(SPANS.get(self._settings.window, SPANS["1h"])))
        self._reader = MonitorReader(context.log_path, self._deliver, context.now)
        self._timer: Timer | None = None
        self._chart_count = 1
        self._loading_older = False

    # Life

    def compose(self) -> ComposeResult:
        """Lay out the tab."""
        status = StatusLine()
        status.simulated = self._shared.simulated
        yield status
        yield Input(
            id="monitor-filter", placeholder="model:gpt-4o status:error ttft>1s app:web", compact=True, disabled=True
        )
        yield Static("", id="monitor-filter-error", markup=False)
        yield Static("", id="monitor-note", markup=False)
        with Vertical(id="monitor-body"):
            yield Tiles()
            with Horizontal(id="monitor-charts"):
                for number in range(CHARTS):
                    yield Chart(id=f"chart-{number}")
            yield RequestTable()

    def on_mount(self) -> None:
        """Show empty tiles until the first snapshot comes."""
        self.tiles.figures = figures_of(self.shown, self._settings)
        self.status.query_shown = self.asked

    def on_show(self) -> None:
        """Start to read."""
        if self._timer is None:
            self.run_worker(
                self._read, thread=True, exclusive=True, group="monitor-reader", description="read the request log"
            )
            self._timer = self.set_interval(LOOK_S, self._look)
            self._reader.ask(self.asked)

    def on_hide(self) -> None:
        """Stop reading: a hidden monitor costs nothing."""
        self._rest()

    def on_unmount(self) -> None:
        """Stop reading."""
        self._rest()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._reader.stop()

    def _read(self) -> None:
        worker = get_current_worker()
        self._reader.run(lambda: worker.is_cancelled)

    def _deliver(self, answer: Answer) -> None:
        self.post_message(self.Answered(self, answer))

    def _look(self) -> None:
        if self._reader.idle and self.asked.until_ms is None:
            self._reader.ask(self.asked)

    def watch_asked(self, asked: Query) -> None:
        """Ask at once for what the user wants."""
        self.status.query_shown = asked
        self._reader.ask(asked)

    def on_resize(self, event: events.Resize) -> None:
        """Choose what fits: everything, one chart and short tiles, or no chart at all."""
        width, height = event.size.width, event.size.height
        compact = height < 30 or width < 100
        self.set_class(compact, "-compact")
        self.set_class(height < 16, "-tiny")
        self.set_class(Tiles.columns_for(width - 2) == 2, "-two-columns")
        self._chart_count = 1 if width < 100 else 2 if width < 150 else 3
        self._show_charts()

    # Answers

    @on(Answered)
    def _on_answered(self, message: Answered) -> None:
        message.stop()
        answer = message.answer
        if isinstance(answer, Snapshot):
            with self.app.batch_update():
                if answer.restart:
                    self._loading_older = False
                self.table.take(answer)
                limited = answer.query.rows_filter or answer.query.moment_ms
                self.table.empty = "no request like this; esc: show all" if limited else ""
                self.status.waiting = self.table.unseen
                self.shown = answer
            self._reader.taken()
            if answer.restart and self.table.hungry:
                self._load_older()
        elif isinstance(answer, OlderRows):
            self._loading_older = False
            if answer.query.rows_filter == self.asked.rows_filter:
                self.table.take_older(answer.rows, older_from=answer.older_from)
                if self.table.hungry:  # a filter that matches little: the search goes on while there is room
                    self._load_older()
        elif isinstance(answer, Breakdown):
            from promptop_tui.monitor.money import MoneyScreen

            if isinstance(self.app.screen, MoneyScreen):
                self.app.screen.found = answer
        elif isinstance(answer, RowFound):
            self._take_row(answer)
        elif isinstance(answer, Trouble):
            self._tell(answer.cause, answer.remedy)

    def watch_shown(self, snapshot: Snapshot) -> None:
        """Fan a snapshot out."""
        if not self.is_mounted:
            return
        self.status.snapshot = snapshot
        self._show_note(snapshot)
        self.tiles.figures = figures_of(snapshot, self._settings)
        self._show_charts()

    def _show_note(self, snapshot: Snapshot) -> None:
        problem, empty = snapshot.state == "problem", snapshot.state == "empty"
        self.set_class(problem or empty, "-note")
        self.set_class(problem, "-problem")
        self.call_after_refresh(self._keep_focus)
        note = self.query_one("#monitor-note", Static)
        if problem:
            note.update(clean(f"{snapshot.cause}\n\n→ {snapshot.remedy}"))
        elif empty:
            note.update(clean(_EMPTY.format(path=self._shared.log_path)))

    def _show_charts(self) -> None:
        if not self.is_mounted:
            return
        count = 1 if self.zoomed else self._chart_count
        for number, chart in enumerate(self.query(Chart)):
            chart.display = number < count
            if number >= count or self.shown.window is None:
                continue
            kind = KINDS[(self.first_chart + number) % len(KINDS)]
            plot = kind.plot(self.shown, self._settings)
            if self.log_scale and plot.unit == "seconds":
                plot = replace(plot, log=True)
            chart.plot = plot
            chart.cursor = self.cursor if self.cursor is not None and self.cursor < plot.buckets else None

    def watch_first_chart(self) -> None:
        """Show other charts."""
        self._show_charts()

    def watch_log_scale(self) -> None:
        """Show the other scale."""
        self._show_charts()

    def watch_zoomed(self) -> None:
        """Show one chart, or several."""
        self._show_charts()
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        """Hold the focus while the table is hidden: without it the tab would have no keys."""
        if self.app.screen is not self.screen or not self.is_on_screen:
            return
        hidden = self.zoomed or self.has_class("-note")
        focused = self.screen.focused
        if hidden and focused is None:
            self.focus()
        elif not hidden and focused is self:
            self.table.focus()

    def watch_cursor(self) -> None:
        """Read another moment."""
        self._show_charts()

    # Rows

    @on(VirtualTable.NearTop)
    def _load_older(self) -> None:
        oldest = self.table.feed.older_from
        if oldest is not None and not self._loading_older and self.asked.moment_ms is None:
            self._loading_older = True
            self._reader.older(self.asked, oldest)

    @on(VirtualTable.Moved)
    def _on_moved(self, message: VirtualTable.Moved) -> None:
        if message.following:
            self.table.unseen = 0
            self.status.waiting = 0

    @on(VirtualTable.AtEnd)
    def _on_end(self) -> None:
        if not self.asked.tails:
            self.asked = replace(self.asked, until_ms=None, moment_ms=None)
        elif self.table.feed.waiting:
            self._reader.restart(self.asked)

    @on(VirtualTable.Chosen)
    def _on_chosen(self) -> None:
        self._fetch("show")

    def _fetch(self, purpose: str) -> None:
        row = self.table.current
        if row is not None:
            self._reader.fetch(row.id, purpose)

    def _take_row(self, found: RowFound) -> None:
        try:
            if found.row is None or found.purpose != "show":
                self.post_message(message_for(found))
                return
        except PromptopError as error:
            self._tell(error.cause, error.remedy)
            return
        from promptop_tui.monitor.detail import DetailScreen

        self.app.push_screen(DetailScreen(f"request {found.row.id}", found.lines), self._after_detail)

    def _after_detail(self, where: str | None) -> None:
        if where:
            self._fetch(where)

    def _tell(self, cause: str, remedy: str) -> None:
        self.notify(clean(f"{cause}\n→ {remedy}"), severity="warning", timeout=8, markup=False)

    # Keys

    def action_span(self, name: str) -> None:
        """Look at another length of time."""
        self.cursor = None
        self.asked = replace(self.asked, span=SPANS[name])

    def action_pause(self) -> None:
        """Hold the window where it is, or let it move again."""
        live = self.asked.until_ms is None
        self.asked = replace(self.asked, until_ms=int(self._shared.now() * 1000) if live else None)

    def action_scrub(self, by: int) -> None:
        """Move the end of the window by a quarter of its length; past the present is live again."""
        now = int(self._shared.now() * 1000)
        until = (self.asked.until_ms or now) + by * self.asked.span.seconds * 250
        self.asked = replace(self.asked, until_ms=None if until >= now else until, moment_ms=None)

    def action_moment(self) -> None:
        """Show the requests of the moment that is read on the chart."""
        if self.cursor is None or self.shown.window is None:
            self._tell("No moment is read on a chart.", "Choose one with ← and → or a click, then press d.")
            return
        step = self.shown.query.span.step_s * 1000
        start = self.shown.since_ms + self.cursor * step
        self.asked = replace(self.asked, moment_ms=(start, start + step))

    def action_view(self) -> None:
        """Show the next view of the requests: all, slow, failing, truncated, thought only."""
        names = ["", *VIEWS]
        name = names[(names.index(self.asked.view) + 1) % len(names)]
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

    def action_log_scale(self) -> None:
        """Switch the latency axis between linear and logarithmic."""
        self.log_scale = not self.log_scale

    def action_cursor(self, by: int) -> None:
        """Read the values of a bucket earlier or later; from the newest at first."""
        last = self.asked.span.buckets - 1
        self.cursor = last if self.cursor is None else max(0, min(self.cursor + by, last))

    @on(Chart.Picked)
    def _on_picked(self, message: Chart.Picked) -> None:
        self.cursor = message.bucket

    def action_back(self) -> None:
        """Close what was opened last: filter line, reading, zoom, then the filter itself."""
        if self.has_class("-filtering"):
            self._close_filter()
        elif self.cursor is not None:
            self.cursor = None
        elif self.zoomed:
            self.zoomed = False
        elif self.asked.moment_ms is not None:
            self.asked = replace(self.asked, moment_ms=None)
        elif self.asked.view:
            self.asked = replace(self.asked, view="", view_terms="")
        elif self.asked.filter:
            self.asked = replace(self.asked, filter="")

    def action_filter(self) -> None:
        """Type a filter."""
        self.add_class("-filtering")
        self.filter_input.disabled = False
        self.filter_input.value = self.asked.filter
        self.filter_input.focus()

    @on(Input.Submitted, "#monitor-filter")
    def _on_filter(self, message: Input.Submitted) -> None:
        message.stop()
        from promptop.log import parse_filter

        text = message.value.strip()
        try:
            parse_filter(text)
        except PromptopError as error:
            self.query_one("#monitor-filter-error", Static).update(clean_line(f"{error.cause} → {error.remedy}"))
            self.add_class("-filter-wrong")
            return
        self._close_filter()
        self.asked = replace(self.asked, filter=text)

    def _close_filter(self) -> None:
        self.remove_class("-filtering", "-filter-wrong")
        self.filter_input.disabled = True  # or it would take the focus, and with it every key, while it is hidden
        self.table.focus()

    def show_filter(self, message: ShowInMonitor) -> None:
        """Show the requests that a filter of another tab names."""
        self.asked = replace(self.asked, filter=message.filter, until_ms=None)

    def action_money(self) -> None:
        """Show where the money goes."""
        from promptop_tui.monitor.money import MoneyScreen

        query = self.asked
        title = f"last {query.span.name}" if query.until_ms is None else f"{query.span.name} window that is held"
        screen = MoneyScreen(
            f"{title}{', ' + query.filter if query.filter else ''}",
            lambda dimension: self._reader.break_down(query, dimension),
            simulated=self._shared.simulated,
        )
        self.app.push_screen(screen, self._after_money)

    def _after_money(self, choice: Choice | None) -> None:
        if choice is None:
            return
        if choice.purpose == "show":
            combined = f"{self.asked.filter} {choice.filter}".strip()
            self.asked = replace(self.asked, filter=combined, view="", view_terms="", moment_ms=None)
        else:
            self._reader.fetch_kept(
                f"{self.asked.filter} {choice.filter}".strip(), choice.purpose, choice.calls_per_day
            )

    def action_hand_over(self, where: str) -> None:
        """Take the request under the cursor to the editor or the playground."""
        self._fetch(where)


_EMPTY = """\
No requests in {path} yet.

F3     send one from the playground: it is logged
F1     what this tab shows

promptop watch -- CMD …            log the calls of a program
promptop proxy --upstream URL      log the calls of any program, in any language
promptop demo                      look at simulated traffic"""

__all__ = ["SHEET", "MonitorPane"]
