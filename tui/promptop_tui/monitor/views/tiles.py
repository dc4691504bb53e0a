"""Paints the ten figures: blocks of three or four lines where there is room, a line each where there is little."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop_tui.monitor.analysis.tile_figures import Tile
from promptop_tui.widgets.sparkline import spark

if TYPE_CHECKING:
    from textual.geometry import Size

_NARROWEST_SPARK = 3


class Tiles(Widget):
    """All figures in one widget: one repaint a refresh. As high as its lines."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tiles--title",
        "tiles--value",
        "tiles--few",
        "tiles--note",
        "tiles--met",
        "tiles--missed",
        "tiles--spark",
    }

    figures: reactive[tuple[Tile, ...]] = reactive(())
    lines: reactive[int] = reactive(3, layout=True)
    """Lines of a tile: 4 with its note, 3 without, 1 for value, verdict, change, samples and what is left of a line."""
    most: reactive[int] = reactive(10, layout=True)
    """Tiles that are shown, from the first on."""

    @staticmethod
    def columns_for(width: int, lines: int) -> int:
        """Return how many tiles of so many lines stand side by side in ``width`` cells."""
        if lines > 1:
            return 10 if width >= 260 else 5 if width >= 95 else 3
        return max(2, min(width // 26, 5))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the height that the tiles take."""
        return math.ceil(self.most / self.columns_for(width, self.lines)) * self.lines

    def render_line(self, y: int) -> Strip:
        """Return line ``y`` of all tiles of its row."""
        width = self.size.width
        columns = self.columns_for(width, self.lines)
        row, line = divmod(y, self.lines)
        shown = self.figures[: self.most][row * columns : (row + 1) * columns]
        each = width // columns
        segments: list[Segment] = []
        for figure in shown:
            segments += self._line(figure, line, each - 2)
            segments.append(Segment("  ", self.rich_style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _line(self, figure: Tile, line: int, room: int) -> list[Segment]:
        value = "few" if figure.few else "value"
        verdict = figure.verdict or "note"
        if self.lines == 1:
            parts = [
                (f"{figure.short} ", "title"),
                (figure.value, value),
                (f" {figure.sign}" if figure.verdict else "", verdict),
            ]
            rest = room - sum(cell_len(text) for text, _ in parts) - 1
            for text in filter(None, (figure.change, figure.samples)):
                if cell_len(text) <= rest:  # half a number would be another one
                    parts.append((f" {text}", "note"))
                    rest -= cell_len(text) + 1
            if rest >= _NARROWEST_SPARK:
                parts.append((" " + spark(figure.spark, rest), "spark"))
        elif line == 0:
            verdict_text = f"{figure.sign} {figure.target}" if figure.verdict else figure.target
            fits = cell_len(figure.title) + cell_len(verdict_text) < room
            title = figure.title if fits else figure.short
            parts = [(title, "title"), *_apart(title, verdict_text, room), (verdict_text, verdict)]
        elif line == 1:
            left = f"{figure.value}  {figure.change}"
            parts = [
                (figure.value, value),
                (f"  {figure.change}", "note"),
                *_apart(left, figure.samples, room),
                (figure.samples, "note"),
            ]
        elif line == 2 and self.lines == 4:
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


def _apart(left: str, right: str, room: int) -> list[tuple[str, str]]:
    """Return the blanks that put ``right`` at the end of a line."""
    return [(" " * max(room - cell_len(left) - cell_len(right), 1), "note")]
