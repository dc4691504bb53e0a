"""The screen that shows where the money goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from promptop.base import units
from promptop.base.texts import tr
from promptop.log.read.filters import terms_for
from promptop_tui.monitor.analysis.cost_breakdown import (
    COLUMNS,
    DAYS_FIRST,
    DIMENSIONS,
    SORTS,
    Breakdown,
    Group,
    cells_of,
    tag_dimensions,
)
from promptop_tui.widgets.table import Cell, ChoiceTable, VirtualTable


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user wants of a group: its requests, or its prompt in the editor."""

    purpose: str
    filter: str
    calls_per_day: float


class MoneyDialog(ModalScreen[Choice | None]):
    """Groups of a window by spend; returns a :class:`Choice`. Modal, so that the reader below it goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,m", "close", "Back", id="money.close", tooltip="back to the monitor"),
        Binding("tab,right", "turn(1)", "By …", id="money.next", tooltip="group by the next dimension"),
        Binding("shift+tab,left", "turn(-1)", "By", show=False, id="money.before", tooltip="by the dimension before"),
        Binding("o", "sort", "Order", id="money.sort", tooltip="largest spend, calls, tokens, p95 or failures first"),
        Binding(
            "e", "go('edit')", "Edit", id="money.edit", tooltip="its latest kept prompt in the editor, with its volume"
        ),
    ]
    HELP = """\
Spend of the monitor's window by group. `enter` shows a group's requests, `e` opens its latest kept prompt in the editor
with its real calls a day. "repeats" is the share of calls whose prompt was sent before in the window: what a response
cache could answer (known where the log keeps hashes, up to 100,000 rows). "prefix" is the share of the input that nine
calls in ten begin with, among the newest 4,000: what a provider's cache could keep."""

    dimension: reactive[str] = reactive(DIMENSIONS[0])
    order: reactive[str] = reactive("spend")
    found: reactive[Breakdown | None] = reactive(None)

    table = getters.query_one(VirtualTable)

    def __init__(self, title: str, ask: Callable[[str], None], *, simulated: bool) -> None:
        super().__init__()
        self._period = title
        self._ask = ask
        self._simulated = simulated
        self._rows: tuple[Group, ...] = ()
        self._dimensions: tuple[str, ...] = DIMENSIONS

    def compose(self) -> ComposeResult:
        """Lay out title and table."""
        yield Static("", id="money-title", markup=False)
        yield Static("", id="money-by", markup=False)
        yield ChoiceTable(COLUMNS, follows=False, id="money-table")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Ask for the first dimension."""
        self.table.focus()
        self._ask(self.dimension)
        self._fill()

    def watch_dimension(self, dimension: str) -> None:
        """Ask for another dimension."""
        if self.is_mounted:
            self._ask(dimension)
            self._fill()

    def watch_order(self) -> None:
        """Put other groups first."""
        if self.is_mounted:
            self._fill()

    def watch_found(self, found: Breakdown | None) -> None:
        """Show what was found, unless it answers an older question."""
        if found is not None and found.dimension == self.dimension and self.is_mounted:
            if found.dimension == "tags":  # each of their keys is a way to group
                place = DIMENSIONS.index("tags") + 1
                self._dimensions = (*DIMENSIONS[:place], *tag_dimensions(found.groups), *DIMENSIONS[place:])
            self._fill()

    def _fill(self) -> None:
        found = self.found if self.found is not None and self.found.dimension == self.dimension else None
        self._rows = found.sorted_by(self.order) if found else ()
        self.table.set_columns((replace(COLUMNS[0], title=self.dimension), *COLUMNS[1:]))
        self.table.empty = tr("no requests in this window") if found else tr("reading …")
        self.table.set_rows(len(self._rows), self._cells)
        self.table.go(0)
        total = (
            tr(" · {cost_usd}, {n} calls", cost_usd=units.usd(found.total.cost_usd), n=units.count(found.total.n))
            if found
            else ""
        )
        unpriced = (
            tr(" · {unpriced} unpriced", unpriced=units.count(found.total.unpriced))
            if found and found.total.unpriced
            else ""
        )
        label = " SIMULATED ·" if self._simulated else ""
        names = " ".join(f"[{name}]" if name == self.dimension else name for name in self._dimensions)
        first = (
            "newest"
            if self.dimension == "day" and self.order == DAYS_FIRST
            else tr("largest {order}", order=self.order)
        )
        self.query_one("#money-title", Static).update(
            tr(
                "{label} {period}{total}{unpriced} · {first} first",
                label=label,
                period=self._period,
                total=total,
                unpriced=unpriced,
                first=first,
            )
        )
        self.query_one("#money-by", Static).update(tr(" spend by {names}", names=names))

    def _cells(self, index: int) -> Sequence[Cell]:
        if index >= len(self._rows) or self.found is None:
            return ()
        return cells_of(self._rows[index], self.found.total)

    def action_turn(self, by: int) -> None:
        """Group by another dimension."""
        names = self._dimensions
        self.dimension = names[(names.index(self.dimension) + by) % len(names)]

    def action_sort(self) -> None:
        """Order by another figure."""
        names = list(SORTS)
        self.order = names[(names.index(self.order) + 1) % len(names)]

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    @on(VirtualTable.Chosen)
    def _on_chosen(self) -> None:
        self.action_go("show")

    def action_go(self, purpose: str) -> None:
        """Go back with the group under the cursor."""
        if self.found is None or self.table.cursor_row >= len(self._rows):
            return
        group = self._rows[self.table.cursor_row]
        terms = terms_for(self.dimension, group.name)
        if terms is None:
            self.notify(tr("These tags cannot be filtered by."), severity="warning")
            return
        self.dismiss(Choice(purpose, terms, group.stats.n / max(self.found.days, 1e-6)))
