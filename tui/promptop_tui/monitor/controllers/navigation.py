"""What opens from the monitor: a request whole, two of them, another tab, the money, the alerts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from textual import getters, on
from textual.widgets import Input, Static

from promptop.alerts.rules import Alert
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.settings import state_dir
from promptop_tui.monitor.controllers.open_in import message_for
from promptop_tui.monitor.controllers.time_controls import Travelling
from promptop_tui.monitor.data.queries import RankedRows, RowFound
from promptop_tui.monitor.data.reader import MonitorReader
from promptop_tui.monitor.views.request_table import RequestTable
from promptop_tui.monitor.views.row_cells import name_of
from promptop_tui.monitor.views.status_line import StatusLine

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop_tui.monitor.analysis.bursts import Burst
    from promptop_tui.monitor.analysis.cache_misses import Finding
    from promptop_tui.monitor.data.snapshot import Query, Snapshot
    from promptop_tui.monitor.dialogs.cost_dialog import Choice


_EMPTY = """\
No requests in {path} yet.

F3     send one from the playground: it is logged
F1     what this tab shows

promptop watch -- CMD …            log the calls of a program
promptop proxy --upstream URL      log the calls of any program, in any language
promptop demo                      look at simulated traffic"""


class Opening(Travelling):
    """The part of the monitor that leads on from what is shown."""

    status = getters.query_one(StatusLine)
    table = getters.query_one(RequestTable)
    filter_input = getters.query_one("#monitor-filter", Input)

    _reader: MonitorReader
    _paths: tuple[Path, ...]
    """The logs that are read."""

    def __init__(self) -> None:
        super().__init__()
        self._alerts: tuple[Alert, ...] = ()
        self._marked: StoredRow | None = None

    def _fetch(self, purpose: str) -> None:
        row = self.table.current
        if row is not None:
            self._reader.fetch(row.id, purpose, row.source)

    def _take_row(self, found: RowFound) -> None:
        from promptop_tui.monitor.dialogs.detail import DetailDialog
        from promptop_tui.monitor.dialogs.request_compare import curl, pair_lines

        if found.row is not None and found.purpose == "compare" and found.other is not None:
            title = f"requests {name_of(found.row)} and {name_of(found.other)}"
            self.app.push_screen(DetailDialog(title, pair_lines(found.row, found.other), goes_on=False))
            return
        if found.row is not None and found.purpose == "curl":
            text, whole = curl(found.row, found.body)
            self.app.copy_to_clipboard(text)
            what = "Copied as curl." if whole else "Copied as curl, without the prompt: the log does not keep it."
            self.notify(what, markup=False)
            return
        try:
            if found.row is None or found.purpose != "show":
                self.post_message(message_for(found))
                return
        except PromptopError as error:
            self.tell(error.cause, error.remedy)
            return
        self.app.push_screen(DetailDialog(self._title(found.row), found.lines), self._after_detail)

    def _title(self, row: StoredRow) -> str:
        if len(self._paths) == 1:
            return f"request {row.id}"
        return f"request {row.id} of {clean_line(str(self._paths[row.source]), 60)}"

    def _after_detail(self, where: str | None) -> None:
        if where:
            self._fetch(where)

    def _watch_alerts(self) -> None:
        from promptop_tui.services.alert_watch import AlarmWatch

        for watch in self.app.query(AlarmWatch):
            self.watch(watch, "alerts", self._alerts_changed)

    def _alerts_changed(self, alerts: tuple[Alert, ...]) -> None:
        self._alerts = alerts
        self.status.firing = sum(alert.firing for alert in alerts)

    def action_alerts(self) -> None:
        """Show the rules and where they stand."""
        from promptop_tui.monitor.analysis.request_report import alert_lines
        from promptop_tui.monitor.dialogs.detail import DetailDialog

        self.app.push_screen(DetailDialog("alerts", alert_lines(self._alerts), goes_on=False))

    def action_mark(self) -> None:
        """Mark the request under the cursor; with one marked before, compare the two."""
        row = self.table.current
        if row is None:
            return
        marked, self._marked = self._marked, None
        if marked is None:
            self._marked = row
            self.notify(f"Request {name_of(row)} is marked: x on another one compares them.", markup=False)
        elif (marked.source, marked.id) != (row.source, row.id):
            self.app.clear_notifications()  # the one that says how would cover the comparison
            self._reader.fetch_pair(marked.id, row.id, (marked.source, row.source))
        else:
            self.notify(f"Request {name_of(row)} is no longer marked.", markup=False)

    def action_money(self) -> None:
        """Show where the money goes."""
        from promptop_tui.monitor.dialogs.cost_dialog import MoneyDialog

        query = self.asked
        screen = MoneyDialog(
            self._period(query),
            lambda dimension: self._reader.break_down(query, dimension),
            simulated=self.status.simulated,
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

    def _period(self, query: Query) -> str:
        title = f"last {query.span.name}" if query.until_ms is None else f"{query.span.name} window that is held"
        return f"{title}, {clean_line(query.filter, 40)}" if query.filter else title

    def action_bursts(self) -> None:
        """Show duplicates and loops of calls."""
        from promptop_tui.monitor.dialogs.finding_lists import BurstDialog

        query = self.asked
        screen = BurstDialog(self._period(query), lambda: self._reader.find(query, "bursts"))
        self.app.push_screen(screen, self._after_bursts)

    def _after_bursts(self, burst: Burst | None) -> None:
        if burst is not None:
            moment = (burst.first_ms, burst.last_ms + 1)
            self.asked = replace(self.asked, moment_ms=moment, view="burst", view_terms=burst.filter)

    def action_misses(self) -> None:
        """Show why caches did not answer."""
        from promptop_tui.monitor.dialogs.finding_lists import CacheDialog

        query = self.asked
        ttl_s = self._shared.settings.cache.ttl_s
        screen = CacheDialog(self._period(query), lambda: self._reader.find(query, "misses", ttl_s))
        self.app.push_screen(screen, self._after_misses)

    def _after_misses(self, finding: Finding | None) -> None:
        if finding is not None:
            moment = (finding.first_ms, finding.last_ms + 1)
            self.asked = replace(self.asked, moment_ms=moment, view="misses", view_terms=finding.filter)

    def action_what_if(self) -> None:
        """Show what caches of other TTLs, sizes and thresholds would have done."""
        from promptop.cache import policy_of
        from promptop_tui.monitor.dialogs.cache_what_if import WhatIfDialog

        query, cache = self.asked, self._shared.settings.cache
        since, until = query.bounds_ms(self.now_ms())
        self.app.push_screen(
            WhatIfDialog(self._period(query), self._paths, since, until, query.filter, policy_of(cache), cache.ttl_s)
        )

    # The filter line

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

    # Columns, and another order than that of time

    def _use_columns(self) -> None:
        from promptop_tui.monitor.dialogs.columns import hidden_columns

        if hidden := hidden_columns(state_dir() / "columns.json"):
            self.table.hide(hidden)

    def action_columns(self) -> None:
        """Choose the columns; they are remembered."""
        from promptop_tui.monitor.dialogs.columns import ColumnsDialog, keep_hidden

        def chosen(hidden: frozenset[str] | None) -> None:
            if hidden is None or hidden == self.table.hidden:
                return
            self.table.hide(hidden)
            path = state_dir() / "columns.json"
            try:
                keep_hidden(path, hidden)
            except OSError as error:
                self.tell(f"{path} cannot be written ({error.strerror}).", "The columns hold until you leave.")

        self.app.push_screen(ColumnsDialog(self.table.hidden), chosen)

    def action_order(self) -> None:
        """Order the window's requests by the next figure."""
        self.table.turn_order()
        self.ask_for_order()

    def action_turn_round(self) -> None:
        """Put the smallest first, or the largest again."""
        if self.table.order != "time":
            self.table.turn_round()
            self.ask_for_order()

    def ask_for_order(self) -> None:
        """Have the window looked through for the rows that come first."""
        table = self.table
        self.status.order = "" if table.order == "time" else f"{self._first_are} first …"
        table.await_ranked()
        self._reader.order(self.asked, table.order, smallest=table.smallest)

    @property
    def _first_are(self) -> str:
        return f"{'smallest' if self.table.smallest else 'largest'} {self.table.order}"

    def _take_ranked(self, found: RankedRows) -> None:
        table = self.table
        if (found.query, found.figure, found.smallest) != (self.asked, table.order, table.smallest):
            return
        table.take_ranked(found.rows, found.since_ms)
        back = datetime.fromtimestamp(found.reached_ms / 1000)
        window = "the moment" if found.query.moment_ms else found.query.span.name
        reach = f" of {window} first" if found.done else f" first, looked back to {back:%d %b %H:%M} …"
        self.status.order = self._first_are + reach

    # What stands in place of figures

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

    def _keep_focus(self) -> None:
        raise NotImplementedError
