"""What becomes of the answers of the reading thread: snapshots go on the screen, the rest to who asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from promptop.alerts.watch import Present
from promptop.base.texts import tr
from promptop_tui.monitor.analysis.cost_breakdown import Breakdown
from promptop_tui.monitor.controllers.analyses import Analyses
from promptop_tui.monitor.controllers.log_reading import LogReading
from promptop_tui.monitor.controllers.request_actions import RequestActions
from promptop_tui.monitor.controllers.time_controls import TimeControls
from promptop_tui.monitor.data.queries import Findings, OlderRows, QueryFailed, RankedRows, RowFound
from promptop_tui.monitor.data.query_stats import Inspection, InspectionDrawer
from promptop_tui.monitor.data.snapshot import LogSnapshot

if TYPE_CHECKING:
    from promptop_tui.monitor.screen import MonitorPane

_REPLAYED = "a replay: What changed compares this window with the one before"


class Answers:
    """Takes the answers, on the UI thread."""

    def __init__(
        self,
        pane: MonitorPane,
        reading: LogReading,
        requests: RequestActions,
        analyses: Analyses,
        time: TimeControls,
        *,
        simulated: bool,
        tell: Callable[[str, str], object],
    ) -> None:
        self._pane = pane
        self._reading = reading
        self._requests = requests
        self._analyses = analyses
        self._time = time
        self._simulated = simulated
        self._tell = tell

    def take(self, message: LogReading.Answered) -> None:
        """Do with an answer what it was asked for."""
        if message.paths is not self._reading.paths:
            return  # of the logs that were read before
        match message.answer:
            case LogSnapshot() as snapshot:
                self._take_snapshot(snapshot)
            case Present() as present:
                self._pane.panels.take_present(present)
            case Inspection() as inspection:
                self._pane.query_one(InspectionDrawer).inspection = inspection
            case OlderRows() as older:
                self._requests.take_older(older)
            case RankedRows() as ranked:
                self._requests.take_ranked(ranked)
            case RowFound() as row:
                self._requests.take_row(row)
            case Breakdown() | Findings() as found:
                self._analyses.take(found)
            case QueryFailed() as failed:
                self._tell(failed.cause, failed.remedy)

    def _take_snapshot(self, snapshot: LogSnapshot) -> None:
        pane, reading = self._pane, self._reading
        table, status = pane.table, pane.status
        with pane.app.batch_update():
            if snapshot.restart:
                reading.loading_older = False
            table.take(snapshot)
            limited = snapshot.query.rows_filter or snapshot.query.moment_ms
            table.empty = tr("no request like this; esc: show all") if limited else ""
            marked = any(row.simulated for row in snapshot.fresh)
            kept = status.simulated and not snapshot.restart
            status.simulated = not self._simulated and (marked or kept)  # the header says so of a demo
            pane.shown = snapshot
            pane.triage.hidden_why = "" if reading.reader.watches else _REPLAYED
        reading.reader.taken()
        if not reading.placed and snapshot.reach is not None:
            reading.placed = True
            self._time.cover(*snapshot.reach)
            status.show_logs(reading.paths, replayed=True)
        if snapshot.restart and table.order != "time":
            self._requests.ask_for_order()
        elif snapshot.restart and table.hungry:
            self._requests.load_older()
