"""The pages over the monitor: where the money goes, bursts, cache misses, what a cache would do, alerts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.widget import Widget

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.settings import Settings
from promptop_tui.monitor.analysis.cost_breakdown import Breakdown
from promptop_tui.monitor.controllers.log_reading import LogReading
from promptop_tui.monitor.controllers.view_state import ViewState
from promptop_tui.monitor.data.queries import Findings
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.views.status_line import StatusLine

if TYPE_CHECKING:
    from promptop.alerts.changes import Change
    from promptop.alerts.rules import Alert
    from promptop.cache.misses import MissCause
    from promptop_tui.monitor.analysis.bursts import Burst
    from promptop_tui.monitor.dialogs.cost_dialog import Choice


class Analyses:
    """Opens the pages that look into the window, hands them what was read, and goes where they point."""

    def __init__(
        self,
        host: Widget,
        view: ViewState,
        reading: LogReading,
        settings: Settings,
        *,
        now_ms: Callable[[], int],
        status: Callable[[], StatusLine],
        simulated: bool,
    ) -> None:
        """``simulated`` tells that all of the log is; the header says so, and these pages cover it."""
        self._host = host
        self._view = view
        self._reading = reading
        self._settings = settings
        self._now_ms = now_ms
        self._status = status
        self._simulated = simulated
        self.alerts: tuple[Alert, ...] = ()
        """Where the rules stand."""
        self.commands: dict[str, Callable[..., object]] = {
            "money": self.show_money,
            "bursts": self.show_bursts,
            "misses": self.show_misses,
            "changes": self.show_changes,
            "what-if": self.show_what_if,
            "alerts": self.show_alerts,
        }

    def take_alerts(self, alerts: tuple[Alert, ...]) -> None:
        """Take over where the rules stand, and say how many fire."""
        self.alerts = alerts
        self._status().firing = sum(alert.firing for alert in alerts)

    def show_alerts(self) -> None:
        """Show the rules and where they stand."""
        from promptop_tui.monitor.analysis.request_report import alert_lines
        from promptop_tui.monitor.dialogs.detail import DetailDialog

        self._host.app.push_screen(DetailDialog("alerts", alert_lines(self.alerts), goes_on=False))

    def show_money(self) -> None:
        """Show where the money goes."""
        from promptop_tui.monitor.dialogs.cost_dialog import MoneyDialog

        query = self._view.asked
        dialog = MoneyDialog(
            period_of(query),
            lambda dimension: self._reading.reader.break_down(query, dimension),
            simulated=self._simulated or self._status().simulated,
        )
        self._host.app.push_screen(dialog, self._after_money)

    def _after_money(self, choice: Choice | None) -> None:
        if choice is None:
            return
        if choice.purpose == "show":
            self._view.narrow(choice.filter)
        else:
            terms = f"{self._view.asked.filter} {choice.filter}".strip()
            self._reading.reader.fetch_kept(terms, choice.purpose, choice.calls_per_day)

    def show_bursts(self) -> None:
        """Show duplicates and loops of calls."""
        from promptop_tui.monitor.dialogs.finding_lists import BURSTS, ListDialog

        query = self._view.asked
        dialog = ListDialog(BURSTS, period_of(query), lambda: self._reading.reader.find(query, "bursts"))
        self._host.app.push_screen(dialog, self._after_bursts)

    def _after_bursts(self, burst: Burst | None) -> None:
        if burst is not None:
            self._view.show_found(burst.first_ms, burst.last_ms, "burst", burst.filter)

    def show_misses(self) -> None:
        """Show why caches did not answer."""
        from promptop_tui.monitor.dialogs.finding_lists import MISSES, ListDialog

        query, ttl_s = self._view.asked, self._settings.cache.ttl_s
        dialog = ListDialog(MISSES, period_of(query), lambda: self._reading.reader.find(query, "misses", ttl_s))
        self._host.app.push_screen(dialog, self._after_misses)

    def _after_misses(self, finding: MissCause | None) -> None:
        if finding is not None:
            self._view.show_found(finding.first_ms, finding.last_ms, "misses", finding.filter)

    def show_changes(self) -> None:
        """Show what changed against the window before."""
        from promptop_tui.monitor.dialogs.finding_lists import CHANGES, ListDialog

        query = self._view.asked
        dialog = ListDialog(CHANGES, period_of(query), lambda: self._reading.reader.find(query, "changes"))
        self._host.app.push_screen(dialog, self._after_changes)

    def _after_changes(self, change: Change | None) -> None:
        if change is not None:
            self._view.narrow(change.filter)

    def show_what_if(self) -> None:
        """Show what the last days would have come to otherwise; from there what caches would have done."""
        from promptop.cache import policy_of
        from promptop_tui.monitor.dialogs.cache_what_if import WhatIfDialog
        from promptop_tui.monitor.dialogs.time_machine import DAYS, TimeMachineDialog

        if not self._reading.is_local:
            self._host.notify(tr("What a cache would do is simulated from a local log."), severity="warning")
            return
        query, cache, paths = self._view.asked, self._settings.cache, self._reading.files
        since, until = query.bounds_ms(self._now_ms())

        def show_cache() -> None:
            self._host.app.push_screen(
                WhatIfDialog(period_of(query), paths, since, until, query.filter, policy_of(cache), cache.ttl_s)
            )

        period = f"last {DAYS} days" + (f", {clean_line(query.filter, 40)}" if query.filter else "")
        stretch = (min(since, until - DAYS * 86_400_000), until)
        self._host.app.push_screen(TimeMachineDialog(period, paths, stretch, query.filter, self._settings, show_cache))

    def take(self, found: Breakdown | Findings) -> None:
        """Hand what was read to the page that asked for it, if it is still open."""
        from promptop_tui.monitor.dialogs.cost_dialog import MoneyDialog
        from promptop_tui.monitor.dialogs.finding_lists import BURSTS, CHANGES, MISSES, ListDialog

        page = self._host.app.screen
        lists = {"bursts": BURSTS, "misses": MISSES, "changes": CHANGES}
        if isinstance(found, Breakdown):
            if isinstance(page, MoneyDialog):
                page.found = found
        elif isinstance(page, ListDialog) and page.kind is lists.get(found.kind):
            page.found = found


def period_of(query: SnapshotQuery) -> str:
    """Return what stretch of the log a page speaks of, in words."""
    title = (
        tr("last {name}", name=query.span.name)
        if query.until_ms is None
        else tr("{name} window that is held", name=query.span.name)
    )
    return f"{title}, {clean_line(query.filter, 40)}" if query.filter else title
