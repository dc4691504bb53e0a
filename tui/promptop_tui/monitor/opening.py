"""What opens from the monitor: a request whole, two of them, another tab, the money, the alerts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import getters

from promptop.alerts import Alert
from promptop.errors import PromptopError
from promptop.safe import clean_line
from promptop.settings import state_dir
from promptop_tui.monitor import bookmarks
from promptop_tui.monitor.errands import RowFound
from promptop_tui.monitor.handover import message_for
from promptop_tui.monitor.looking import Looking
from promptop_tui.monitor.reader import MonitorReader
from promptop_tui.monitor.requests import RequestTable
from promptop_tui.monitor.rows import name_of
from promptop_tui.monitor.status import StatusLine

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop_tui.context import AppContext
    from promptop_tui.monitor.bursts import Burst
    from promptop_tui.monitor.forensics import Finding
    from promptop_tui.monitor.money import Choice
    from promptop_tui.monitor.snapshot import Query


class Opening(Looking):
    """The part of the monitor that leads on from what is shown."""

    status = getters.query_one(StatusLine)
    table = getters.query_one(RequestTable)

    _reader: MonitorReader
    _shared: AppContext

    def __init__(self) -> None:
        super().__init__()
        self._alerts: tuple[Alert, ...] = ()
        self._marked: StoredRow | None = None

    def _fetch(self, purpose: str) -> None:
        row = self.table.current
        if row is not None:
            self._reader.fetch(row.id, purpose, row.source)

    def _take_row(self, found: RowFound) -> None:
        from promptop_tui.monitor.detail import DetailScreen
        from promptop_tui.monitor.pairs import curl, pair_lines

        if found.row is not None and found.purpose == "compare" and found.other is not None:
            title = f"requests {name_of(found.row)} and {name_of(found.other)}"
            self.app.push_screen(DetailScreen(title, pair_lines(found.row, found.other), goes_on=False))
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
        self.app.push_screen(DetailScreen(self._title(found.row), found.lines), self._after_detail)

    def _title(self, row: StoredRow) -> str:
        more = self._shared.more_logs
        if not more:
            return f"request {row.id}"
        return f"request {row.id} of {clean_line(str((self._shared.log_path, *more)[row.source]), 60)}"

    def _after_detail(self, where: str | None) -> None:
        if where:
            self._fetch(where)

    def _watch_alerts(self) -> None:
        from promptop_tui.watching import AlarmWatch

        for watch in self.app.query(AlarmWatch):
            self.watch(watch, "alerts", self._alerts_changed)

    def _alerts_changed(self, alerts: tuple[Alert, ...]) -> None:
        self._alerts = alerts
        self.status.firing = sum(alert.firing for alert in alerts)

    def action_alerts(self) -> None:
        """Show the rules and where they stand."""
        from promptop_tui.monitor.detail import DetailScreen
        from promptop_tui.monitor.receipt import alert_lines

        self.app.push_screen(DetailScreen("alerts", alert_lines(self._alerts), goes_on=False))

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
            self._reader.fetch_pair(marked.id, row.id, (marked.source, row.source))
        else:
            self.notify(f"Request {name_of(row)} is no longer marked.", markup=False)

    def action_money(self) -> None:
        """Show where the money goes."""
        from promptop_tui.monitor.money import MoneyScreen

        query = self.asked
        screen = MoneyScreen(
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
        from promptop_tui.monitor.lists import BurstScreen

        query = self.asked
        screen = BurstScreen(self._period(query), lambda: self._reader.find(query, "bursts"))
        self.app.push_screen(screen, self._after_bursts)

    def _after_bursts(self, burst: Burst | None) -> None:
        if burst is not None:
            moment = (burst.first_ms, burst.last_ms + 1)
            self.asked = replace(self.asked, moment_ms=moment, view="burst", view_terms=burst.filter)

    def action_misses(self) -> None:
        """Show why caches did not answer."""
        from promptop_tui.monitor.lists import CacheScreen

        query = self.asked
        screen = CacheScreen(self._period(query), lambda: self._reader.find(query, "misses"))
        self.app.push_screen(screen, self._after_misses)

    def _after_misses(self, finding: Finding | None) -> None:
        if finding is not None:
            moment = (finding.first_ms, finding.last_ms + 1)
            self.asked = replace(self.asked, moment_ms=moment, view="misses", view_terms=finding.filter)

    def action_keep(self) -> None:
        """Keep the moment that is looked at."""
        path = state_dir() / "bookmarks.json"
        until = self.asked.until_ms or self.now_ms()
        made = bookmarks.Bookmark(until, self.asked.span.name, self.asked.filter)
        try:
            bookmarks.save(path, (made, *(each for each in bookmarks.load(path) if each != made)))
        except OSError as error:
            self.tell(f"{path} cannot be written ({error.strerror}).", "Check the permissions of its folder.")
            return
        self.notify("This moment is kept: j lists them.", markup=False)

    def action_jump(self) -> None:
        """Go to a bookmark."""
        from promptop_tui.monitor.errands import Findings
        from promptop_tui.monitor.lists import BookmarkScreen

        kept = bookmarks.load(state_dir() / "bookmarks.json")

        def show() -> None:
            screen.found = Findings("bookmarks", kept, len(kept), False)

        screen = BookmarkScreen("", show)
        self.app.push_screen(screen, self._after_jump)

    def _after_jump(self, chosen: bookmarks.Bookmark | None) -> None:
        if chosen is not None:
            self.speed = 0
            self.asked = chosen.query
