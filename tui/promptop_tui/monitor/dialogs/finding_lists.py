"""One dialog for lists of what was found: bursts of calls, why caches did not answer, bookmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from promptop.base import units
from promptop.base.texts import mark, tr
from promptop.cache.misses import MissCause
from promptop_tui.monitor.analysis import bursts, cache_misses, changes
from promptop_tui.monitor.data import bookmarks
from promptop_tui.monitor.data.queries import Findings
from promptop_tui.widgets.picker_modal import PickerModal
from promptop_tui.widgets.table import Cell, Column


@dataclass(frozen=True, slots=True)
class FindingList:
    """A kind of list: its columns and its words."""

    name: str
    empty: str
    """Shown where nothing was found."""
    columns: tuple[Column, ...]
    cells: Callable[[Any], Sequence[Cell]]
    help: str
    summary: Callable[[Sequence[Any]], str] | None = None
    """What the items come to, for the title; None: their number alone."""
    about: Callable[[Any], str] | None = None
    """A sentence about the item under the cursor."""


def _bursts_in_words(items: Sequence[bursts.Burst]) -> str:
    return tr("{n}, avoidable {sum},", n=len(items), sum=units.usd(sum(each.avoidable_usd or 0.0 for each in items)))


def _misses_in_words(items: Sequence[MissCause]) -> str:
    lost = sum(each.lost_usd or 0.0 for each in items)
    return tr("{sum}, ≈ {lost} lost,", sum=units.count(sum(each.n for each in items)), lost=units.usd(lost))


BURSTS = FindingList(
    mark("bursts"),
    mark("no bursts: no prompt three times within minutes, no loop of ten calls"),
    bursts.COLUMNS,
    bursts.cells_of,
    mark(
        "Calls that came in bursts. *Duplicates*: one prompt, three times or more, each within a minute "
        'of the one before, none answered by a cache; "avoidable" is the cost of all but the first. '
        "*N+1*: ten or more calls of one app, prompt and model with different texts, each begun within a "
        "second after the one before had ended, of one user, session and host, none streamed: one batched "
        'call could ask them all, if it may wait. There "avoidable" is what the provider\'s batch API '
        "would have saved (≈, by its prices), and for embeddings the requests that one would spare. The "
        "line above says it of the burst under the cursor."
    ),
    _bursts_in_words,
    bursts.advice_of,
)
"""Bursts of the window, the dearest first."""
MISSES = FindingList(
    mark("cache misses"),
    mark("no request that should have hit: hashes of prefixes and usage of caches may be unknown here"),
    cache_misses.COLUMNS,
    cache_misses.cells_of,
    mark(
        "Requests that a cache should have answered and did not, by cause. *provider*: the prompt's "
        "prefix was sent before, or would have been if the prompt began like the one before it; tokens "
        'and money are estimates at today\'s rates. *ours*: the same prompt was asked before; "lost" is '
        "what the repeats cost. `enter` shows the requests of that prompt."
    ),
    _misses_in_words,
)
"""Why caches did not answer, the dearest cause first."""
CHANGES = FindingList(
    mark("what changed"),
    mark("nothing changed against the window before"),
    changes.COLUMNS,
    changes.cells_of,
    mark(
        "The window against the one before it: every figure of every model, app, prompt, version, "
        'provider, host and tag that is not what it was, the weightiest first. "share" is how much of the '
        "whole change a value explains; of calls and cost, its part of the whole. `enter` shows its "
        "requests."
    ),
    lambda items: tr("{n} figures", n=len(items)),
)
"""What changed against the window before."""
BOOKMARKS = FindingList(
    mark("bookmarks"),
    mark("no bookmarks: k keeps the time that is looked at"),
    bookmarks.COLUMNS,
    bookmarks.cells_of,
    mark("Times that were kept with `k`. `enter` shows the window that ends there; `end` is live again."),
)
"""Bookmarks, newest first."""


class ListDialog(PickerModal[Any, Any]):
    """A table of what was found; returns the item that was chosen, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "close", "Back", id="list.close", tooltip="back to the monitor", show=False),
    ]

    found: reactive[Findings | None] = reactive(None)

    def __init__(self, kind: FindingList, period: str, ask: Callable[[], None]) -> None:
        """List what ``ask`` has found, in ``period``; it comes as :attr:`found`."""
        title = f"{tr(kind.name)}, {period}" if period else tr(kind.name)
        super().__init__(
            title, lambda _: (), columns=kind.columns, cells=kind.cells, empty=lambda _: tr(kind.empty), classes="-page"
        )
        self.kind = kind
        self.HELP = kind.help  # type: ignore[misc]  # one dialog for several kinds of list
        self._period = period
        self._ask = ask

    def read_again(self) -> None:
        """Ask for the items: the monitor's thread reads them."""
        self.call_after_refresh(self._ask)

    def watch_found(self, found: Findings | None) -> None:
        """Show what was found."""
        if found is not None and self.is_mounted:
            self.retitle(self._title(found))
            self.show_items(found.items)

    def _title(self, found: Findings) -> str:
        if self.kind.summary is None:
            return f"{tr(self.kind.name)}: {len(found.items)}"
        looked = tr("{rows} requests", rows=units.count(found.rows)) + (
            tr(", the newest of the window") if found.cut else ""
        )
        return f"{tr(self.kind.name)}, {self._period}: " + tr(
            "{summary} in {looked}", summary=self.kind.summary(found.items), looked=looked
        )

    @on(PickerModal.Highlighted)
    def _tell_about(self, message: PickerModal.Highlighted) -> None:
        message.stop()
        if self.kind.about is not None:
            self.tell(self.kind.about(message.item))
