"""The screen that shows where the money goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import reactive

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
from promptop_tui.widgets.picker_modal import PickerModal
from promptop_tui.widgets.table import VirtualTable


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user wants of a group: its requests, or its prompt in the editor."""

    purpose: str
    filter: str
    calls_per_day: float


class MoneyDialog(PickerModal[Group, Choice]):
    """Groups of a window by spend; returns a :class:`Choice`. Modal, so that the reader below it goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,m", "close", "Back", id="money.close", tooltip="back to the monitor", show=False),
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

    def __init__(self, title: str, ask: Callable[[str], None], *, simulated: bool) -> None:
        super().__init__(
            title,
            lambda _: (),
            columns=COLUMNS,
            cells=lambda group: cells_of(group, self.found.total) if self.found is not None else (),
            classes="-page",
        )
        self._period = title
        self._ask = ask
        self._simulated = simulated
        self._dimensions: tuple[str, ...] = DIMENSIONS

    def read_again(self) -> None:
        """Ask for the dimension: the monitor's thread reads it."""
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
        table = self.query_one("#picker-list", VirtualTable)
        table.set_columns((replace(COLUMNS[0], title=self.dimension), *COLUMNS[1:]))
        table.empty = tr("no requests in this window") if found else tr("reading …")
        self.show_items(found.sorted_by(self.order) if found else ())
        table.go(0)
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
        self.retitle(
            tr(
                "{label} {period}{total}{unpriced} · {first} first",
                label=label,
                period=self._period,
                total=total,
                unpriced=unpriced,
                first=first,
            ).strip()
        )
        self.tell(tr(" spend by {names}", names=names).strip())

    def action_turn(self, by: int) -> None:
        """Group by another dimension."""
        names = self._dimensions
        self.dimension = names[(names.index(self.dimension) + by) % len(names)]

    def action_sort(self) -> None:
        """Order by another figure."""
        names = list(SORTS)
        self.order = names[(names.index(self.order) + 1) % len(names)]

    def take(self, item: Group) -> None:
        """Go back with a group, to see its requests."""
        self.action_go("show")

    def action_go(self, purpose: str) -> None:
        """Go back with the group under the cursor."""
        group = self.highlighted
        if self.found is None or group is None:
            return
        terms = terms_for(self.dimension, group.name)
        if terms is None:
            self.notify(tr("These tags cannot be filtered by."), severity="warning")
            return
        self.dismiss(Choice(purpose, terms, group.stats.n / max(self.found.days, 1e-6)))
