"""The Monitor tab.

Threads: a worker owns the log (:mod:`promptop_tui.monitor.data.reader`); a timer only asks it to look, and not before
the last answer was shown; each chart has its picture drawn by a worker of its own. All state of the screen is changed
here, on the UI thread. While the tab is hidden there is no reader, and one timer that looks whether it still is:
Textual sends no Show where something asked for the new layout before it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from textual import getters, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from promptop.base.sanitize import clean, clean_line
from promptop_tui.messages import ShowInMonitor
from promptop_tui.monitor.analysis.cost_breakdown import Breakdown
from promptop_tui.monitor.analysis.tile_figures import figures_of
from promptop_tui.monitor.controllers.navigation import Opening
from promptop_tui.monitor.controllers.view_state import VIEWS
from promptop_tui.monitor.data.queries import Findings, OlderRows, QueryFailed, RankedRows, RowFound
from promptop_tui.monitor.data.query_stats import Inspection, InspectionDrawer
from promptop_tui.monitor.data.reader import Answer, MonitorReader
from promptop_tui.monitor.data.snapshot import SPANS, Query, Snapshot
from promptop_tui.monitor.views.charts import KINDS
from promptop_tui.monitor.views.request_table import RequestTable
from promptop_tui.monitor.views.status_line import StatusLine
from promptop_tui.monitor.views.tiles import Tiles
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.table import VirtualTable

if TYPE_CHECKING:
    from textual import events

    from promptop_tui.context import AppContext

SHEET = Path(__file__).with_name("monitor.tcss")
LOOK_S = 0.4
"""Seconds between two looks at the log."""
CHARTS = 3


class MonitorPane(Opening):
    """Tiles, charts and the tail of the request log."""

    tiles = getters.query_one(Tiles)

    @dataclass
    class Answered(Message):
        """The reader's thread has an answer."""

        pane: MonitorPane
        answer: Answer
        paths: tuple[Path, ...]
        """The logs that were read."""

        @property
        def control(self) -> MonitorPane:
            """The pane that asked."""
            return self.pane

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        self._settings = context.settings.monitor
        self.set_reactive(MonitorPane.asked, Query(SPANS.get(self._settings.window, SPANS["1h"])))
        self._paths = context.replay or (context.log_path, *context.more_logs)
        self._placed = not context.replay
        self._reader = MonitorReader(self._paths, partial(self._deliver, self._paths), context.now)
        self._timer: Timer | None = None
        self._chart_count = 1
        self._looked = monotonic()
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
            yield InspectionDrawer()

    def on_mount(self) -> None:
        """Show empty tiles until the first snapshot comes."""
        self.tiles.figures = figures_of(self.shown, self._settings)
        self.status.query_shown = self.asked
        self._say_logs()
        self._watch_alerts()
        self._use_columns()
        self.set_interval(LOOK_S, self._tend)

    def on_show(self) -> None:
        """Start to read."""
        if self._timer is None:
            self.run_worker(
                self._read, thread=True, exclusive=True, group="monitor-reader", description="read the request log"
            )
            self._timer = self.set_interval(LOOK_S, self._look)
            self._reader.ask(self.asked)

    def _tend(self) -> None:
        """Begin or end reading where the event that says so did not come."""
        if self.display and self._timer is None:
            self.on_show()
        elif not self.display and self._timer is not None:
            self._rest()

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

    def _say_logs(self) -> None:
        self.status.logs = len(self._paths)
        self.status.replayed = clean_line(self._paths[0].stem, 30) if self.period or not self._placed else ""

    def read_from(self, paths: tuple[Path, ...]) -> None:
        """Show other logs, as a period to replay; none: the app's own log again, live."""
        self._rest()
        self._paths = paths or (self._shared.log_path, *self._shared.more_logs)
        self._placed = not paths
        self.period, self.speed = None, 0
        self._reader = MonitorReader(self._paths, partial(self._deliver, self._paths), self._shared.now)
        self._reader.inspect(self.inspected)
        self.shown = Snapshot()
        self.asked = replace(Query(self.asked.span), sizes=self.asked.sizes)
        self._say_logs()
        self.on_show()

    def _read(self) -> None:
        worker = get_current_worker()
        self._reader.run(lambda: worker.is_cancelled)

    def _deliver(self, paths: tuple[Path, ...], answer: Answer) -> None:
        self.post_message(self.Answered(self, answer, paths))

    def _look(self) -> None:
        if not self._reader.idle:
            return
        now = monotonic()
        gone, self._looked = now - self._looked, now
        if self.speed:
            self.advance(gone)  # asks by itself
        elif self.asked.until_ms is None:
            self._reader.ask(self.asked)

    def watch_asked(self, asked: Query) -> None:
        """Ask at once for what the user wants."""
        self.status.query_shown = asked
        self._reader.ask(asked)
        if self.is_mounted and self.table.order != "time":
            self.ask_for_order()

    def on_resize(self, event: events.Resize) -> None:
        """Choose what fits: everything, one chart and short tiles, or no chart at all."""
        width, height = event.size.width, event.size.height
        compact = height < 30 or width < 100
        self.set_class(compact, "-compact")
        self.set_class(height < 16, "-tiny")
        self.tiles.lines = 1 if compact else 4 if width >= 130 and height >= 45 else 3
        self.tiles.most = 6 if height < 16 else 10
        self._chart_count = 1 if width < 100 else 2 if width < 150 else 3
        self._show_charts()

    # Answers

    @on(Answered)
    def _on_answered(self, message: Answered) -> None:
        message.stop()
        if message.paths is not self._paths:
            return  # of the logs that were read before
        answer = message.answer
        if isinstance(answer, Snapshot):
            with self.app.batch_update():
                if answer.restart:
                    self._loading_older = False
                self.table.take(answer)
                limited = answer.query.rows_filter or answer.query.moment_ms
                self.table.empty = "no request like this; esc: show all" if limited else ""
                self.status.waiting = self.table.unseen
                marked = any(row.simulated for row in answer.fresh)
                kept = self.status.simulated and not answer.restart
                self.status.simulated = self._shared.simulated or marked or kept
                self.shown = answer
            self._reader.taken()
            if not self._placed and answer.reach is not None:
                self._placed = True
                self.cover(*answer.reach)
                self._say_logs()
            if answer.restart and self.table.order != "time":
                self.ask_for_order()
            elif answer.restart and self.table.hungry:
                self._load_older()
        elif isinstance(answer, Inspection):
            self.query_one(InspectionDrawer).inspection = answer
        elif isinstance(answer, OlderRows):
            self._loading_older = False
            if _rows_of(answer.query) == _rows_of(self.asked):
                self.table.take_older(answer.rows, older_from=answer.older_from)
                if self.table.hungry:  # a filter that matches little: the search goes on while there is room
                    self._load_older()
        elif isinstance(answer, RankedRows):
            self._take_ranked(answer)
        elif isinstance(answer, Breakdown):
            from promptop_tui.monitor.dialogs.cost_dialog import MoneyDialog

            if isinstance(self.app.screen, MoneyDialog):
                self.app.screen.found = answer
        elif isinstance(answer, Findings):
            from promptop_tui.monitor.dialogs.finding_lists import BurstDialog, CacheDialog

            if isinstance(self.app.screen, BurstDialog if answer.kind == "bursts" else CacheDialog):
                self.app.screen.found = answer
        elif isinstance(answer, RowFound):
            self._take_row(answer)
        elif isinstance(answer, QueryFailed):
            self.tell(answer.cause, answer.remedy)

    def watch_shown(self, snapshot: Snapshot) -> None:
        """Fan a snapshot out."""
        if not self.is_mounted:
            return
        self.status.snapshot = snapshot
        self._show_note(snapshot)
        self.tiles.figures = figures_of(snapshot, self._settings)
        self._show_charts()

    def _show_charts(self) -> None:
        if not self.is_mounted:
            return
        count = 1 if self.zoomed else self._chart_count
        kinds = [KINDS[(self.first_chart + number) % len(KINDS)] for number in range(count)]
        self.asked = replace(self.asked, sizes=any(kind.key == "sizes" for kind in kinds))
        for number, chart in enumerate(self.query(Chart)):
            chart.display = number < count
            if number >= count or self.shown.window is None:
                continue
            plot = kinds[number].plot(self.shown, self._settings)
            if self.log_scale and not plot.filled and plot.unit != "share":
                plot = replace(plot, log=True)
            chart.plot = plot
            place = self.bar if plot.names else self.cursor
            chart.cursor = place if place is not None and place < plot.buckets else None

    def watch_inspected(self, inspected: bool) -> None:
        """Have looks measured while the drawer is open."""
        self._reader.inspect(inspected)

    def watch_first_chart(self) -> None:
        """Show other charts."""
        self._show_charts()

    def watch_speed(self, speed: int) -> None:
        """Say how fast a replay runs."""
        self._looked = monotonic()
        if self.is_mounted:
            self.status.speed = speed

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

    def watch_bar(self) -> None:
        """Read another bar."""
        self._show_charts()

    # Rows

    @on(VirtualTable.NearTop)
    def _load_older(self) -> None:
        place, rows = self.table.feed.older_from, self.table.feed.rows
        if self.table.order != "time" or place is None or self._loading_older:
            return
        self._loading_older = True
        oldest = (rows[0].started_ms or 0, rows[0].id, rows[0].source) if rows else None
        self._reader.older(self.asked, place, oldest)

    @on(VirtualTable.Moved)
    def _on_moved(self, message: VirtualTable.Moved) -> None:
        if message.following:
            self.table.unseen = 0
            self.status.waiting = 0

    @on(VirtualTable.AtEnd)
    def _on_end(self) -> None:
        self.speed = 0
        if not self.asked.tails:
            self.show_until(self.latest_ms)
        elif self.table.feed.waiting:
            self._reader.restart(self.asked)

    @on(VirtualTable.Chosen)
    def _on_chosen(self) -> None:
        self._fetch("show")

    def tell(self, cause: str, remedy: str) -> None:
        """Show a notice; its text may come from anywhere."""
        self.notify(clean(f"{cause}\n→ {remedy}"), severity="warning", timeout=8, markup=False)

    # Keys

    def now_ms(self) -> int:
        """Return the wall clock, Unix milliseconds."""
        return int(self._shared.now() * 1000)

    @on(Chart.Picked)
    def _on_picked(self, message: Chart.Picked) -> None:
        if message.chart.plot is not None and message.chart.plot.names:  # a bar of sizes is no moment
            self.bar = message.bucket
        else:
            self.cursor = message.bucket

    def action_back(self) -> None:
        """Close what was opened last: filter line, reading, zoom, then the filter itself."""
        if self.has_class("-filtering"):
            self._close_filter()
        elif self.cursor is not None or self.bar is not None:
            self.cursor = self.bar = None
        elif self.zoomed:
            self.zoomed = False
        elif self.asked.moment_ms is not None:
            view, terms = ("", "") if self.asked.view not in VIEWS else (self.asked.view, self.asked.view_terms)
            self.asked = replace(self.asked, moment_ms=None, view=view, view_terms=terms)
        elif self.asked.view:
            self.asked = replace(self.asked, view="", view_terms="")
        elif self.asked.filter:
            self.asked = replace(self.asked, filter="")

    def show_filter(self, message: ShowInMonitor) -> None:
        """Show the requests that a filter of another tab names."""
        self.asked = replace(self.asked, filter=message.filter)
        self.show_until(self.latest_ms)


def _rows_of(query: Query) -> tuple[str, int | None, tuple[int, int] | None]:
    """Return what a query says of the rows."""
    return query.rows_filter, query.until_ms, query.moment_ms


__all__ = ["SHEET", "MonitorPane"]
