"""Chooses the columns of the table of requests, and remembers them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from promptop.base.files import write_private
from promptop.base.texts import mark, tr
from promptop_tui.monitor.views.row_cells import COLUMNS
from promptop_tui.widgets.picker_modal import PickerModal

_FIXED = ("time", "mark", "model", "status")
_TITLES = {
    "tps": mark("tokens per second"),
    "input": mark("input tokens"),
    "output": mark("output tokens"),
    "total": mark("duration"),
}


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


class ColumnsDialog(PickerModal[str, "frozenset[str]"]):
    """A list to tick; returns the keys of the columns that are hidden."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Done", id="dialog.close", tooltip="show the table with these columns"),
    ]
    HELP = "Columns that are ticked are shown where there is room for them; the narrowest screens leave some out."

    def __init__(self, hidden: Collection[str]) -> None:
        super().__init__(
            "columns",
            lambda _: [column.key for column in COLUMNS if column.key not in _FIXED],
            label=lambda key: tr(_TITLES.get(key, key)),
            is_chosen=lambda key: key not in hidden,
            classes="-small",
        )

    def action_close(self) -> None:
        """Go back with what is not ticked."""
        if not self.items:  # closed before they were listed: nothing was chosen
            self.dismiss(None)
            return
        shown = set(self.chosen)
        self.dismiss(frozenset(key for key in self.items if key not in shown))
