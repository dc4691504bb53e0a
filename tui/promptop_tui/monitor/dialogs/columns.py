"""Chooses the columns of the table of requests, and remembers them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, SelectionList
from textual.widgets.selection_list import Selection

from promptop.base.files import write_private
from promptop_tui.monitor.views.row_cells import COLUMNS

_FIXED = ("time", "mark", "model", "status")
_TITLES = {"tps": "tokens per second", "input": "input tokens", "output": "output tokens", "total": "duration"}


def hidden_columns(path: Path) -> frozenset[str]:
    """Return the keys of the columns that were hidden when they were last chosen; none if that is not known."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    known = {column.key for column in COLUMNS if column.key not in _FIXED}
    return frozenset(key for key in found if key in known) if isinstance(found, list) else frozenset()


def keep_hidden(path: Path, keys: Collection[str]) -> None:
    """Remember which columns are hidden; raises :class:`OSError`."""
    write_private(path, json.dumps(sorted(keys)))


class ColumnsDialog(ModalScreen[frozenset[str]]):
    """A list to tick; returns the keys of the columns that are hidden."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Done", id="columns.close", tooltip="show the table with these columns"),
    ]
    HELP = "Columns that are ticked are shown where there is room for them; the narrowest screens leave some out."

    def __init__(self, hidden: Collection[str]) -> None:
        super().__init__()
        self._hidden = hidden

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        with Vertical(id="columns") as box:
            box.border_title = "columns"
            yield SelectionList[str](
                *(
                    Selection(_TITLES.get(column.key, column.key), column.key, column.key not in self._hidden)
                    for column in COLUMNS
                    if column.key not in _FIXED
                )
            )
        yield Footer(compact=True, show_command_palette=False)

    def action_close(self) -> None:
        """Go back with what is not ticked."""
        shown = set(self.query_one(SelectionList).selected)
        self.dismiss(frozenset(c.key for c in COLUMNS if c.key not in _FIXED and c.key not in shown))
