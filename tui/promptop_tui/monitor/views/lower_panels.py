"""Where it goes, what changed, what runs, and the requests: beside each other, or as tabs of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content

from promptop.base.texts import mark, tr
from promptop.log.read.filters import terms_for
from promptop_tui.monitor.analysis.group_rows import (
    CHANGE_COLUMNS,
    FLIGHT_COLUMNS,
    change_cells,
    flight_cells,
    group_cells,
    group_columns,
    groups_by_spend,
    usual_cells,
)
from promptop_tui.monitor.views.request_table import RequestTable
from promptop_tui.widgets.panel import Panel
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable

if TYPE_CHECKING:
    from promptop.alerts.changes import Change
    from promptop.alerts.watch import Present
    from promptop.log.in_flight import InFlight
    from promptop_tui.monitor.data.snapshot import LogSnapshot

TITLES = {
    "monitor-requests": mark("Requests"),
    "monitor-groups": mark("By model"),
    "monitor-changed": mark("What changed?"),
    "monitor-flight": mark("In flight"),
}
"""Panels in the order of their tabs."""
Stack = tuple[str, ...]
NARROW: tuple[Stack, ...] = (tuple(TITLES),)
LOW: tuple[Stack, ...] = (("monitor-requests",), ("monitor-groups", "monitor-changed", "monitor-flight"))
MEDIUM: tuple[Stack, ...] = (("monitor-requests",), ("monitor-groups",), ("monitor-changed", "monitor-flight"))
WIDE: tuple[Stack, ...] = tuple((name,) for name in TITLES)


class SideTable(ChoiceTable):
    """A short table of a panel: it does not follow, and redraws where its rows are others."""

    shows_cursor = False

    def __init__(self, columns: Sequence[Column], name: str) -> None:
        super().__init__(columns, follows=False, id=name)
        self._rows: list[tuple[Cell, ...]] = []

    def show(self, rows: list[tuple[Cell, ...]]) -> None:
        """Show other rows."""
        if rows != self._rows:
            self._rows = rows
            self.set_rows(len(rows), lambda at: self._rows[at] if at < len(self._rows) else ())


class LowerPanels(Horizontal):
    """The lower part of the monitor."""

    def __init__(self) -> None:
        super().__init__(id="monitor-lower")
        self._stacks: tuple[Stack, ...] = NARROW
        self._front: dict[Stack, str] = {}
        """Stack → its panel that is shown."""
        self._groups: tuple[str, ...] = ()
        self._changes: tuple[Change, ...] = ()
        self._flying: tuple[InFlight, ...] = ()
        self._by = "model"

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        with Vertical(id="monitor-side"):
            with Panel(id="monitor-groups", heading=tr("By model")):
                yield SideTable((), "monitor-group-rows")
            with Panel(id="monitor-changed", heading=tr("What changed?")):
                yield SideTable(CHANGE_COLUMNS, "monitor-change-rows")
            with Panel(id="monitor-flight", heading=tr("In flight")):
                yield SideTable(FLIGHT_COLUMNS, "monitor-flight-rows")
        with Panel(id="monitor-requests", heading=tr("Requests")):
            yield RequestTable()

    # Which panels are shown

    def fit(self, width: int, height: int) -> None:
        """Choose what stands side by side in so many cells of the tab."""
        if width < 116:
            self._stacks = NARROW
        elif height < 34:
            self._stacks = LOW
        elif height < 46:
            self._stacks = MEDIUM
        else:
            self._stacks = WIDE
        self.show_fronts()

    def show_fronts(self) -> None:
        """Show of each stack the panel in front, with the others as tabs of its frame."""
        shown = 0
        for stack in self._stacks:
            front = self._front_of(stack)
            for name in stack:
                panel = self.query_one(f"#{name}", Panel)
                panel.set_class(name != front, "-behind")  # a class: zooming and hiding must win over it
                panel.heading = self._heading(name, stack)
                shown += name == front and name != "monitor-requests" and not panel.has_class("-hidden-by-user")
        self.query_one("#monitor-side").set_class(not shown, "-behind")

    def _front_of(self, stack: Stack) -> str:
        wanted = self._front.get(stack, stack[0])
        hidden = [name for name in stack if self.query_one(f"#{name}").has_class("-hidden-by-user")]
        return next((name for name in (wanted, *stack) if name not in hidden), wanted)

    def _heading(self, name: str, stack: Stack) -> Content:
        title = self._title(name)
        place = stack.index(name)
        parts: list[tuple[str, str]] = []
        for number, each in enumerate(stack):
            if number:
                parts.append((" │ ", "$line"))
            parts.append((title, "") if number == place else (self._title(each), "$dim not bold"))
        return Content.assemble(*parts)

    def _title(self, name: str) -> str:
        return tr("By {by}", by=tr(self._by)) if name == "monitor-groups" else tr(TITLES[name])

    def next_panel(self) -> None:
        """Give the focus to the next panel, bringing it to the front of its stack."""
        names = [name for name in TITLES if not self.query_one(f"#{name}").has_class("-hidden-by-user")]
        held = next((name for name in names if self.query_one(f"#{name}").has_pseudo_class("focus-within")), None)
        self.bring(names[(names.index(held) + 1) % len(names)] if held is not None else names[0])

    def bring(self, name: str) -> None:
        """Bring a panel to the front, and give it the focus."""
        for stack in self._stacks:
            if name in stack:
                self._front[stack] = name
        self.show_fronts()
        self.query_one(f"#{name}").query(VirtualTable).first().focus()

    # What they show

    def show(self, snapshot: LogSnapshot) -> None:
        """Show a snapshot's groups, and how its figures stand against the window before."""
        groups = groups_by_spend(snapshot)
        self._groups = tuple(name for name, _ in groups)
        table = self.query_one("#monitor-group-rows", SideTable)
        columns = group_columns(snapshot)
        if table.columns != columns:
            table.set_columns(columns)
        table.show([group_cells(snapshot, name, stats) for name, stats in groups])
        table.empty = tr("no calls in this window") if snapshot.window is not None else ""
        panel = self.query_one("#monitor-groups", Panel)
        panel.state = (
            tr("p95, last {name}", name=snapshot.query.span.name)
            if snapshot.is_timed
            else tr("last {name}", name=snapshot.query.span.name)
        )
        if snapshot.by != self._by:
            self._by = snapshot.by
            self.show_fronts()
        self._show_changed(snapshot)

    def take(self, present: Present | None, snapshot: LogSnapshot, now_ms: int, slow_s: float) -> None:
        """Show what is unusual and what is in flight."""
        changes = present.changes if present is not None else ()
        if changes != self._changes:
            self._changes = changes
            self._show_changed(snapshot)
        self._flying = flying = present.in_flight if present is not None else ()
        most = max((each.calls for each in flying), default=1)
        table = self.query_one("#monitor-flight-rows", SideTable)
        table.show([flight_cells(each, now_ms, slow_s, most) for each in flying])
        table.empty = tr("nothing is in flight") if present is not None else ""
        panel = self.query_one("#monitor-flight", Panel)
        panel.state = tr("{sum} open", sum=sum(each.calls for each in flying)) if flying else ""

    def _show_changed(self, snapshot: LogSnapshot) -> None:
        table = self.query_one("#monitor-change-rows", SideTable)
        table.show([*(change_cells(change) for change in self._changes), *usual_cells(snapshot)])
        table.empty = tr("no {name} before this one to compare with", name=snapshot.query.span.name)
        panel = self.query_one("#monitor-changed", Panel)
        panel.state = (
            tr("against what is usual")
            if self._changes
            else tr("against the {name} before", name=snapshot.query.span.name)
        )

    def terms_at(self, table: str | None, row: int) -> str:
        """Return the filter that shows the requests of a group, or those like what is in flight; empty for none."""
        if table == "monitor-group-rows":
            return (terms_for(self._by, self._groups[row]) or "") if row < len(self._groups) else ""
        if row >= len(self._flying):
            return ""
        pairs = (("app", self._flying[row].app), ("model", self._flying[row].model))
        return " ".join(terms_for(name, value) or "" for name, value in pairs if value)

    def change_at(self, row: int) -> Change | None:
        """Return what is unusual in a row; None for a figure of the whole window."""
        return self._changes[row] if row < len(self._changes) else None

    @property
    def requests(self) -> Panel:
        """The panel of the requests."""
        return self.query_one("#monitor-requests", Panel)
