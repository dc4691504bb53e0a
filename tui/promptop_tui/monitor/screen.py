"""The Monitor tab: lays out the views, and hands keys, messages and answers to the controllers.

Threads: a worker owns the log (:mod:`promptop_tui.monitor.data.reader`); a timer only asks it to look, and not before
the last answer was shown; each chart has its picture drawn by a worker of its own. All state of the screen is changed
here, on the UI thread. While the tab is hidden there is no reader, and one timer that looks whether it still is:
Textual sends no Show where something asked for the new layout before it was made.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.reactive import reactive

from promptop.alerts.figures import WORDS
from promptop.base.sanitize import clean, clean_line
from promptop_tui.messages import ShowInMonitor
from promptop_tui.monitor.controllers.agents import Agents
from promptop_tui.monitor.controllers.analyses import Analyses
from promptop_tui.monitor.controllers.answers import Answers
from promptop_tui.monitor.controllers.keys import BINDINGS
from promptop_tui.monitor.controllers.log_reading import LOOK_S, LogReading
from promptop_tui.monitor.controllers.panels import Panels
from promptop_tui.monitor.controllers.places import Places
from promptop_tui.monitor.controllers.request_actions import RequestActions
from promptop_tui.monitor.controllers.time_controls import TimeControls
from promptop_tui.monitor.controllers.view_state import View, ViewState
from promptop_tui.monitor.data.query_stats import InspectionDrawer
from promptop_tui.monitor.data.snapshot import SPANS, LogSnapshot, SnapshotQuery
from promptop_tui.monitor.views.chart_row import ChartRow
from promptop_tui.monitor.views.filter_line import FilterLine
from promptop_tui.monitor.views.log_note import LogNote
from promptop_tui.monitor.views.lower_panels import LowerPanels
from promptop_tui.monitor.views.question_card import QuestionCard
from promptop_tui.monitor.views.request_table import RequestTable
from promptop_tui.monitor.views.server_strip import ServerStrip
from promptop_tui.monitor.views.status_line import StatusLine
from promptop_tui.monitor.views.triage_line import TriageLine
from promptop_tui.services.alert_watch import AlertWatch
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from textual import events

    from promptop.alerts.changes import Change
    from promptop_tui.context import AppContext

SHEET = Path(__file__).with_name("monitor.tcss")


class MonitorPane(Vertical, can_focus=True):
    """Is something wrong, what happens now, where does it go: and the tail of the request log."""

    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]
    HELP = """\
The monitor reads the request log while other programs write it. Percentiles leave out failed, cancelled and cached
calls, and are greyed below 20 samples. ✓ and ✗ say whether a target of the settings is met. `S` marks simulated rows,
`↻` repeated attempts, `≈` estimates.

`1` … `5` choose the window, `←` `→` read a chart's values, `enter` opens a request, `end` follows the newest again."""

    status = getters.query_one(StatusLine)
    triage = getters.query_one(TriageLine)
    lower = getters.query_one(LowerPanels)
    charts = getters.query_one(ChartRow)
    table = getters.query_one(RequestTable)
    filter_line = getters.query_one(FilterLine)

    shown: reactive[LogSnapshot] = reactive(LogSnapshot)
    """The last snapshot that arrived."""

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        self.settings = context.settings.monitor
        query = SnapshotQuery(SPANS.get(self.settings.window, SPANS["1h"]))
        self.view = ViewState(query, shown=lambda: self.shown, changed=self._view_changed, tell=self.tell)
        self.time = TimeControls(
            self.view,
            now_ms=lambda: int(context.now() * 1000),
            shown=lambda: self.shown,
            speed_changed=self._speed_changed,
        )
        self.reading = LogReading(self, context, self._look)
        self.requests = RequestActions(
            self, self.view, self.reading, table=lambda: self.table, status=lambda: self.status, tell=self.tell
        )
        self.places = Places(self, self.view, self.time, lambda: self.reading.files, tell=self.tell)
        self.analyses = Analyses(
            self,
            self.view,
            self.reading,
            context.settings,
            now_ms=self.time.now_ms,
            status=lambda: self.status,
            simulated=context.simulated,
        )
        self.panels = Panels(self)
        self.answers = Answers(
            self,
            self.reading,
            self.requests,
            self.analyses,
            self.time,
            simulated=context.simulated,
            tell=self.tell,
        )
        self._commands = {
            **self.view.commands,
            **self.time.commands,
            **self.requests.commands,
            **self.places.commands,
            **self.analyses.commands,
            **Agents(self, self.view, context).commands,
            "triage": lambda: self.triage.enter(),  # noqa: PLW0108 - the view is not there yet
            "panel": lambda: self.lower.next_panel(),  # noqa: PLW0108 - as above
            "filter": lambda: self.filter_line.edit(self.view.asked.filter),
            "back": lambda: self.filter_line.close() if self.filter_line.open else self.view.back(),
        }

    # Life

    def compose(self) -> ComposeResult:
        """Lay out the tab."""
        with Panel(id="monitor-now", heading="Now"):
            yield TriageLine()
            yield StatusLine()
        yield FilterLine()
        yield LogNote(self._shared.log_path)
        with Vertical(id="monitor-body"):
            with Horizontal(id="monitor-cards"):
                for key, title in (("healthy", "Healthy?"), ("fast", "Fast?"), ("cheap", "Cheap?")):
                    yield QuestionCard(key, title)
            yield ServerStrip(self._shared.settings.profiles)
            yield ChartRow()
            yield LowerPanels()
            yield InspectionDrawer()

    def on_mount(self) -> None:
        """Show empty cards until the first snapshot comes."""
        self.panels.show_cards()
        self.status.app_simulates = self._shared.simulated
        self.status.query_shown = self.view.asked
        self.panels.show_now()
        self._show_logs()
        for watch in self.app.query(AlertWatch):
            self.watch(watch, "alerts", self.analyses.take_alerts)
        self.requests.use_columns()
        self.set_interval(LOOK_S, lambda: self.reading.run_if(self.display, self.view.asked))

    def on_show(self) -> None:
        """Start to read."""
        self.reading.start(self.view.asked)

    def on_hide(self) -> None:
        """Stop reading."""
        self.reading.stop()

    def on_unmount(self) -> None:
        """Stop reading."""
        self.reading.stop()

    def on_resize(self, event: events.Resize) -> None:
        """Choose what fits: panels side by side, or as tabs of one; one chart, or none at all."""
        width, height = event.size.width, event.size.height
        self.set_class(width < 116, "-narrow")
        self.set_class(width >= 160, "-wide")
        self.set_class(height < 34, "-low")
        self.set_class(height >= 46, "-high")
        self.set_class(height < 20 or width < 60, "-tiny")
        self.set_class(height < 13, "-least")
        self.triage.most = 1 if height < 20 else 2 if height < 34 else 3
        self.charts.room = 1 if width < 116 else 2 if width < 160 else 3
        self.lower.fit(width, height)
        self._show_charts()
        self.panels.show_now()

    # What is looked at

    def action_do(self, command: str, *arguments: object) -> None:
        """Run a command of a controller."""
        self._commands[command](*arguments)

    def show_filter(self, message: ShowInMonitor) -> None:
        """Show the requests that a filter of another tab names."""
        self.view.ask(filter=message.filter)
        self.time.show_until(self.time.latest_ms)

    def read_from(self, paths: tuple[Path, ...]) -> None:
        """Show other logs, as a period to replay; none: the app's own log again, live."""
        self.reading.read_from(paths)
        self.time.follow_log()
        self.reading.reader.inspect(self.view.state.inspected)
        self.shown = LogSnapshot()
        self.view.update(asked=replace(SnapshotQuery(self.view.asked.span), sizes=self.view.asked.sizes))
        self._show_logs()
        self.on_show()

    def _show_logs(self) -> None:
        """Say what is read, and what cannot be had of it."""
        self.status.show_logs(self.reading.paths, replayed=not self.reading.placed)
        where = "" if self.reading.is_local else clean_line(str(self.reading.paths[0]))
        self.triage.hidden_why = f"{where}: bodies, replay and what is unusual need a local log" if where else ""

    def _view_changed(self, before: View, now: View) -> None:
        """Show another state of what is looked at, and ask at once for what it lacks."""
        if now.asked != before.asked:
            self.status.query_shown = now.asked
            self.panels.show_now()
            self.reading.reader.ask(now.asked)
            if self.table.order != "time":
                self.requests.ask_for_order()
        if now.inspected != before.inspected:
            self.set_class(now.inspected, "-inspected")
            self.reading.reader.inspect(now.inspected)
        if replace(now, asked=before.asked, inspected=before.inspected) != before:
            self.set_class(now.zoomed, "-zoom")
            self._show_charts()
        if now.zoomed != before.zoomed:
            self.call_after_refresh(self._keep_focus)

    def _speed_changed(self, speed: int) -> None:
        """Say how fast a replay runs."""
        self.reading.restart_clock()
        self.status.speed = speed

    def _look(self, seconds: float) -> None:
        """Ask for what is new, or move a replay on by so many seconds, which asks by itself."""
        self.triage.now_ms = self.time.now_ms()
        self.panels.show_now()
        if self.time.speed:
            self.time.advance(seconds)
        elif self.view.asked.until_ms is None:
            self.reading.reader.ask(self.view.asked)

    # Answers

    @on(LogReading.Answered)
    def _on_answered(self, message: LogReading.Answered) -> None:
        message.stop()
        self.answers.take(message)

    def watch_shown(self, snapshot: LogSnapshot) -> None:
        """Fan a snapshot out."""
        if not self.is_mounted:
            return
        self.status.snapshot = snapshot
        self.panels.show_following()
        self.set_class(self.query_one(LogNote).show(snapshot), "-note")
        self.set_class(snapshot.state == "problem", "-problem")
        self.call_after_refresh(self._keep_focus)
        self.panels.show_cards()
        self.lower.show(snapshot)
        self.panels.show_present()
        self._show_charts()

    def _show_charts(self) -> None:
        if not self.is_mounted:
            return
        view = self.view.state
        self.view.ask(sizes=any(kind.key == "sizes" for kind in self.charts.kinds(view, self.shown)))
        self.charts.show(self.shown, view, self.settings)

    def _keep_focus(self) -> None:
        """Hold the focus while the table is hidden: without it the tab would have no keys."""
        if self.app.screen is not self.screen or not self.is_on_screen:
            return
        hidden = self.view.state.zoomed or self.has_class("-note")
        focused = self.screen.focused
        if hidden and focused is None:
            self.focus()
        elif not hidden and focused is self:
            self.table.focus()

    def tell(self, cause: str, remedy: str) -> None:
        """Show a notice; its text may come from anywhere."""
        self.notify(clean(f"{cause}\n→ {remedy}"), severity="warning", timeout=8, markup=False)

    # Messages of the views

    @on(VirtualTable.NearTop, "#monitor-rows")
    def _on_near_top(self) -> None:
        self.requests.load_older()

    @on(VirtualTable.Moved, "#monitor-rows")
    def _on_moved(self, message: VirtualTable.Moved) -> None:
        if message.following:
            self.table.unseen = 0
        self.panels.show_following()

    @on(VirtualTable.AtEnd, "#monitor-rows")
    def _on_end(self) -> None:
        self.time.speed = 0
        if not self.view.asked.tails:
            self.time.show_until(self.time.latest_ms)
        elif self.table.feed.waiting:
            self.reading.reader.restart(self.view.asked)

    @on(VirtualTable.Chosen, "#monitor-rows")
    def _on_chosen(self) -> None:
        self.requests.fetch("show")

    @on(VirtualTable.Chosen, "#monitor-group-rows")
    @on(VirtualTable.Chosen, "#monitor-flight-rows")
    def _on_part(self, message: VirtualTable.Chosen) -> None:
        self.view.narrow(self.lower.terms_at(message.table.id, message.row))

    @on(VirtualTable.Chosen, "#monitor-change-rows")
    def _on_changed(self, message: VirtualTable.Chosen) -> None:
        change = self.lower.change_at(message.row)
        if change is not None:
            self._show_rows_of(change)

    @on(Chart.Picked)
    def _on_picked(self, message: Chart.Picked) -> None:
        plot = message.chart.plot
        self.view.pick(message.bucket, bar=plot is not None and bool(plot.names))  # a bar of sizes is not a time

    @on(TriageLine.Chosen)
    def _on_change(self, message: TriageLine.Chosen) -> None:
        message.stop()
        self.table.focus()
        if message.change is not None:
            self._show_rows_of(message.change)

    def _show_rows_of(self, change: Change) -> None:
        self.lower.bring("monitor-requests")
        self.view.show_found(change.since_ms, self.time.now_ms(), WORDS[change.figure], change.filter)

    @on(FilterLine.Closed)
    def _on_filter(self, message: FilterLine.Closed) -> None:
        message.stop()
        self.table.focus()
        if message.text is not None:
            self.view.ask(filter=message.text)

    @on(Places.Opened)
    def _on_opened(self, message: Places.Opened) -> None:
        message.stop()
        if message.error is not None:
            self.tell(message.error.cause, message.error.remedy)
        else:
            self.read_from(message.paths)


__all__ = ["SHEET", "MonitorPane"]
