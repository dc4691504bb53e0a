"""Paints the figures: a block of four lines each where there is room, a line each where there is little."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop_tui.monitor.figures import Figure
from promptop_tui.widgets.sparkline import spark

BLOCK = 4
"""Lines of a tile that shows everything."""


class Tiles(Widget):
    """All figures in one widget: one repaint a refresh."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tiles--title",
        "tiles--value",
        "tiles--few",
        "tiles--note",
        "tiles--met",
        "tiles--missed",
        "tiles--spark",
    }

    figures: reactive[tuple[Figure, ...]] = reactive(())

    @staticmethod
    def columns_for(width: int) -> int:
        """Return how many tiles stand side by side in ``width`` cells."""
        return 6 if width >= 108 else 3 if width >= 57 else 2

    def render_line(self, y: int) -> Strip:
        """Return line ``y`` of all tiles of its row."""
        width = self.size.width
        columns = self.columns_for(width)
        rows = math.ceil(len(self.figures) / columns) or 1
        lines = BLOCK if self.size.height >= rows * BLOCK else 1
        row, line = divmod(y, lines)
        shown = self.figures[row * columns : (row + 1) * columns]
        each = width // columns
        segments: list[Segment] = []
        for figure in shown:
            segments += self._line(figure, line, each - 1, compact=lines == 1)
            segments.append(Segment(" ", self.rich_style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _line(self, figure: Figure, line: int, room: int, *, compact: bool) -> list[Segment]:
        value = "few" if figure.few else "value"
        verdict = figure.verdict or "note"
        if compact:
            samples = figure.note.split(" · ", 1)[0]
            tail = f"{figure.change} {samples}".strip()
            parts = [
                (f"{figure.short} ", "title"),
                (figure.value, value),
                (f" {figure.sign} ", verdict),
                (tail, "note"),
            ]
        elif line == 0:
            verdict_text = f"{figure.sign} {figure.target}" if figure.verdict else figure.target
            gap = " " * max(room - cell_len(figure.title) - cell_len(verdict_text), 1)
            parts = [(figure.title, "title"), (gap, "note"), (verdict_text, verdict)]
        elif line == 1:
            parts = [(figure.value, value), (f"  {figure.change}", "note")]
        elif line == 2:
            parts = [(figure.note, "note")]
        else:
            parts = [(spark(figure.spark, room), "spark")]
        return self._fit(parts, room)

    def _fit(self, parts: list[tuple[str, str]], room: int) -> list[Segment]:
        out: list[Segment] = []
        for text, name in parts:
            if room <= 0:
                break
            shown = text if cell_len(text) <= room else set_cell_size(text, max(room - 1, 0)) + "…"
            out.append(Segment(shown, self.get_component_rich_style(f"tiles--{name}")))
            room -= cell_len(shown)
        out.append(Segment(" " * max(room, 0), self.rich_style))
        return out
