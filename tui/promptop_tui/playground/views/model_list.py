"""The list of models: what is chosen there is asked."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import Input, SelectionList
from textual.widgets.selection_list import Selection


class ModelField(Input):
    """Takes the name of one more model, and is empty for the next one before any key behind enter is handled."""

    async def action_submit(self) -> None:
        """Submit what was typed, and empty the field."""
        await super().action_submit()
        self.value = ""


class ModelList(SelectionList[str]):
    """Things to choose from; the box of one that is not chosen is empty, not merely darker."""

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
    def specs(self) -> list[str]:
        """Every model of the list, as it is written."""
        return [option.value for option in self.options if isinstance(option, Selection)]
