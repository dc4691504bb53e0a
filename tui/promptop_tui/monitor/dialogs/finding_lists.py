"""Screens that list what was found in a window: bursts of calls, and why caches did not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from promptop.base import units
from promptop.base.sanitize import clean
from promptop_tui.monitor.analysis import bursts, cache_misses
from promptop_tui.monitor.data import bookmarks
from promptop_tui.monitor.data.queries import Findings
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable


class ListDialog(ModalScreen[Any]):
    """A title and a table; returns the item that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Back", id="list.close", tooltip="back to the monitor"),
    ]
    NAME = ""
    EMPTY = ""
    TABLE: ClassVar[tuple[Column, ...]] = ()

    found: reactive[Findings | None] = reactive(None)
    table = getters.query_one(VirtualTable)

    def __init__(self, period: str, ask: Callable[[], None]) -> None:
        super().__init__()
        self._period = period
        self._ask = ask

    def cells(self, item: Any) -> Sequence[Cell]:
        """Return the cells of an item."""
        raise NotImplementedError

    def summary(self, items: Sequence[Any]) -> str:
        """Return what the items come to."""
        raise NotImplementedError

    def about(self, item: Any) -> str:
        """Return a sentence about the item under the cursor; empty for none."""
        return ""

    def title_of(self, found: Findings) -> str:
        """Return the title over what was found."""
        looked = f"{units.count(found.rows)} requests" + (", the newest of the window" if found.cut else "")
        return f" {self.NAME}, {self._period}: {self.summary(found.items)} in {looked}"

    def compose(self) -> ComposeResult:
        """Lay out title and table."""
        yield Static(f" {self.NAME}, {self._period}", id="money-title", markup=False)
        yield Static("", id="money-by", markup=False)
        yield ChoiceTable(self.TABLE, follows=False, id="money-table")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Ask for the items."""
        self.table.empty = "reading …"
        self.table.focus()
        self.call_after_refresh(self._ask)

    def watch_found(self, found: Findings | None) -> None:
        """Show what was found."""
        if found is None or not self.is_mounted:
            return
        self.query_one("#money-title", Static).update(self.title_of(found))
        self.table.empty = self.EMPTY
        self.table.set_rows(len(found.items), self._cells)
        self._tell()

    @on(VirtualTable.Moved)
    def _tell(self) -> None:
        items = self.found.items if self.found is not None else ()
        row = self.table.cursor_row
        text = self.about(items[row]) if row < len(items) else ""
        self.query_one("#money-by", Static).update(clean(f" {text}"))

    def _cells(self, index: int) -> Sequence[Cell]:
        return self.cells(self.found.items[index]) if self.found and index < len(self.found.items) else ()

    @on(VirtualTable.Chosen)
    def _on_chosen(self, message: VirtualTable.Chosen) -> None:
        if self.found is not None and message.row < len(self.found.items):
            self.dismiss(self.found.items[message.row])

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)


class BurstDialog(ListDialog):
    """Bursts of the window, the dearest first."""

    NAME = "bursts"
    EMPTY = "no bursts: no prompt three times within minutes, no loop of ten calls"
    TABLE = bursts.COLUMNS
    HELP = """\
Calls that came in bursts. *Duplicates*: one prompt, three times or more, each within a minute of the one before, none
answered by a cache; "avoidable" is the cost of all but the first. *N+1*: ten or more calls of one app, prompt and model
with different texts, each within a second of the one before: one batched call could ask them all. There "avoidable" is
what the provider's batch API would have saved (≈, by its prices), and for embeddings the requests that one would spare.
The line above says it of the burst under the cursor."""

    def cells(self, item: bursts.Burst) -> Sequence[Cell]:
        """Return the cells of a burst."""
        return bursts.cells_of(item)

    def about(self, item: bursts.Burst) -> str:
        """Return what would make a burst unnecessary, and what that saves."""
        return bursts.advice_of(item)

    def summary(self, items: Sequence[bursts.Burst]) -> str:
        """Return their number and what could be saved."""
        return f"{len(items)}, avoidable {units.usd(sum(each.avoidable_usd or 0.0 for each in items))},"


class CacheDialog(ListDialog):
    """Why caches did not answer, the dearest cause first."""

    NAME = "cache misses"
    EMPTY = "no request that should have hit: hashes of prefixes and usage of caches may be unknown here"
    TABLE = cache_misses.COLUMNS
    HELP = """\
Requests that a cache should have answered and did not, by cause. *provider*: the prompt's prefix was sent before, or
would have been if the prompt began like the one before it; tokens and money are estimates at today's rates. *ours*: the
same prompt was asked before; "lost" is what the repeats cost. `enter` shows the requests of that prompt."""

    def cells(self, item: cache_misses.Finding) -> Sequence[Cell]:
        """Return the cells of a cause."""
        return cache_misses.cells_of(item)

    def summary(self, items: Sequence[cache_misses.Finding]) -> str:
        """Return their number and what was lost."""
        lost = sum(each.lost_usd or 0.0 for each in items)
        return f"{units.count(sum(each.n for each in items))}, ≈ {units.usd(lost)} lost,"


class BookmarkDialog(ListDialog):
    """Bookmarks, newest first; returns the one to go to."""

    NAME = "bookmarks"
    EMPTY = "no bookmarks: k keeps the moment that is looked at"
    TABLE = bookmarks.COLUMNS
    HELP = "Moments that were kept with `k`. `enter` shows the window that ends there; `end` is live again."

    def cells(self, item: bookmarks.Bookmark) -> Sequence[Cell]:
        """Return the cells of a bookmark."""
        return bookmarks.cells_of(item)

    def about(self, item: Any) -> str:
        """Return a sentence about the item under the cursor; empty for none."""
        return ""

    def title_of(self, found: Findings) -> str:
        """Return how many there are."""
        return f" {self.NAME}: {len(found.items)}"

    def summary(self, items: Sequence[Any]) -> str:
        """Return nothing: the title counts them."""
        return ""
