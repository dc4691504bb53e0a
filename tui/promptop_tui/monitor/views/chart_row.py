"""The charts side by side: which of them are shown, on which scale, and what is read on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal

from promptop_tui.monitor.views.charts import ChartKind, kinds_of
from promptop_tui.widgets.chart import Chart

if TYPE_CHECKING:
    from promptop.settings import MonitorSettings
    from promptop_tui.monitor.controllers.view_state import View
    from promptop_tui.monitor.data.snapshot import LogSnapshot

MOST = 3


class ChartRow(Horizontal):
    """As many charts as there is room for."""

    def __init__(self) -> None:
        super().__init__(id="monitor-charts")
        self.room = 1
        """Charts that fit side by side."""

    def compose(self) -> ComposeResult:
        """Lay out the charts; those that do not fit are hidden."""
        for number in range(MOST):
            yield Chart(panel=True, id=f"chart-{number}")

    def kinds(self, view: View, snapshot: LogSnapshot) -> list[ChartKind]:
        """Return the charts that are shown."""
        count = 1 if view.zoomed else self.room
        return kinds_of(snapshot, view.chart)[:count]

    def show(self, snapshot: LogSnapshot, view: View, settings: MonitorSettings) -> None:
        """Draw a snapshot."""
        kinds = self.kinds(view, snapshot)
        for number, chart in enumerate(self.query(Chart)):
            chart.set_class(number >= len(kinds), "-behind")
            if number >= len(kinds) or snapshot.window is None:
                continue
            plot = kinds[number].plot(snapshot, settings)
            if view.log_scale and not plot.filled and plot.unit != "share":
                plot = replace(plot, log=True)
            chart.plot = plot
            place = view.bar if plot.names else view.cursor
            chart.cursor = place if place is not None and place < plot.buckets else None
