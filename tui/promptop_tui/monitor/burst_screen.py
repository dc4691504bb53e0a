"""The screen that lists bursts of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from promptop import figures
from promptop_tui.monitor.bursts import COLUMNS, Burst, cells_of
from promptop_tui.monitor.errands import BurstsFound
from promptop_tui.widgets.table import Cell, VirtualTable


class BurstScreen(ModalScreen[Burst | None]):
    """Bursts of the window, the dearest first; returns the one whose requests are to be shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,b", "close", "Back", id="bursts.close", tooltip="back to the monitor"),
    ]
    HELP = """\
Calls that came in bursts. *Duplicates*: one prompt, three times or more, each within a minute of the one before, none
answered by a cache; "avoidable" is the cost of all but the first. *N+1*: ten or more calls of one app, prompt and model
with different texts, each within a second of the one before: one batched call could ask them all."""

    found: reactive[BurstsFound | None] = reactive(None)
    table = getters.query_one(VirtualTable)

    def __init__(self, title: str, ask: Callable[[], None]) -> None:
        super().__init__()
        self._period = title
        self._ask = ask

    def compose(self) -> ComposeResult:
        """Lay out title and table."""
        yield Static(f" bursts, {self._period}", id="money-title", markup=False)
        yield VirtualTable(COLUMNS, follows=False, id="money-table")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Ask for the bursts."""
        self.table.empty = "reading …"
        self.table.focus()
        self._ask()

    def watch_found(self, found: BurstsFound | None) -> None:
        """Show what was found."""
        if found is None or not self.is_mounted:
            return
        avoidable = sum(burst.avoidable_usd or 0.0 for burst in found.bursts)
        looked = f"{figures.count(found.rows)} requests" + (", the newest of the window" if found.cut else "")
        self.query_one("#money-title", Static).update(
            f" bursts, {self._period}: {len(found.bursts)} in {looked} · avoidable {figures.usd(avoidable)}"
        )
        self.table.empty = "no bursts: no prompt three times within minutes, no loop of ten calls"
        self.table.set_rows(len(found.bursts), self._cells)

    def _cells(self, index: int) -> Sequence[Cell]:
        return cells_of(self.found.bursts[index]) if self.found and index < len(self.found.bursts) else ()

    @on(VirtualTable.Chosen)
    def _on_chosen(self, message: VirtualTable.Chosen) -> None:
        if self.found is not None and message.row < len(self.found.bursts):
            self.dismiss(self.found.bursts[message.row])

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
