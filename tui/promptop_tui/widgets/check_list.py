"""A list of things to tick: the box of one that is not chosen is empty, not merely darker."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widgets import SelectionList
from textual.widgets.selection_list import Selection


class CheckList(SelectionList[str]):
    """Things to choose from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "select", "Tick", id="list.tick", tooltip="Choose this, or no longer"),
    ]

    def render_line(self, y: int) -> Strip:
        """Return one row, with the mark of a box that is not chosen blanked."""
        strip = super().render_line(y)
        number = self.scroll_offset.y + y
        options = self.options
        if number >= len(options):
            return strip
        option = options[number]
        if isinstance(option, Selection) and option.value in self.selected:
            return strip
        left, mark, *rest = strip
        return Strip([left, Segment(" " * len(mark.text), mark.style), *rest], strip.cell_length)

    @property
    def values(self) -> list[str]:
        """The value of everything in the list."""
        return [option.value for option in self.options if isinstance(option, Selection)]
