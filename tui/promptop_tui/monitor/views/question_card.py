"""Paints one of the three questions: a large figure, smaller ones beside it, and how it ran over the window."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.reactive import reactive
from textual.renderables.digits import DIGITS, DIGITS3X3
from textual.strip import Strip
from textual.widget import Widget

from promptop_tui.monitor.analysis.question_cards import Card, CardRow
from promptop_tui.widgets.drawing import EIGHTHS
from promptop_tui.widgets.panel import Frame
from promptop_tui.widgets.plot import spread

_DIGIT_LINES = 3
_ROW_WIDTH = 24
"""Cells of a label and its figure, with the blanks before the next column."""
_WIDEST_COLUMN = 36
_TONES = ("text", "hero", "dim", "faint", "good", "warn", "bad", "money", "line", "area", "area-bad", "series-6")

Part = tuple[str, str]
"""Text and tone; ``/tone`` is a ground."""


def big(text: str) -> tuple[str, str, str]:
    """Return a figure in three lines; what has no large form stands on the lowest one."""
    rows = ["", "", ""]
    for char in text:
        place = DIGITS.find(char)
        glyph = DIGITS3X3[place * 3 : place * 3 + 3] if char.isdigit() or char == "$" else ["", "", char]
        width = max(map(cell_len, glyph))
        for number, line in enumerate(glyph):
            rows[number] += line + " " * (width - cell_len(line))
    return rows[0], rows[1], rows[2]


class QuestionCard(Widget, can_focus=True):
    """One card in a frame of its own."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"card--{tone}" for tone in _TONES}

    card: reactive[Card | None] = reactive(None)

    def __init__(self, key: str, title: str) -> None:
        """``key`` names the card in the sheet and in what is kept of the layout."""
        super().__init__(id=f"monitor-{key}", classes="panel")
        self._title = title
        self._frame = Frame(self)

    def on_mount(self) -> None:
        """Draw the frame."""
        self.draw_frame()

    def on_resize(self) -> None:
        """Draw the frame for the new width."""
        self.draw_frame()

    def notify_style_update(self) -> None:
        """Draw the frame in the new style."""
        super().notify_style_update()
        if self.is_attached:
            self.draw_frame()

    def watch_card(self) -> None:
        """Show the verdict in the frame."""
        if self.is_attached:
            self.draw_frame()

    def draw_frame(self) -> None:
        """Write title and verdict into the frame; where there is little room, the verdict's sign alone."""
        card = self.card
        if card is None:
            self._frame.show(self._title, "", "")
            return
        tone = "$bad" if card.state_tone == "bad" else "$dim"
        room = self.outer_size.width - len(card.title) - 12
        text = card.state if cell_len(card.state) <= room else card.state[:1]
        self._frame.show(card.title, Content.styled(text, tone) if text else "", "")

    def render_line(self, y: int) -> Strip:
        """Return one line of the card."""
        width, height = self.size
        card = self.card
        if card is None:
            return Strip.blank(width, self.rich_style)
        parts = (
            self._compact(card, y, width, height) if height <= _DIGIT_LINES + 1 else self._full(card, y, width, height)
        )
        return self._strip(parts, width)

    def _compact(self, card: Card, y: int, width: int, height: int) -> list[Part]:
        """Return a line of a card without large digits: the figure, then further ones, then the bars."""
        if y == 0:
            left = f"{card.hero}{card.unit}"
            parts: list[Part] = [(left, "dim" if card.hero_tone else "hero")]
            rest = width - cell_len(left)
            change = card.change if cell_len(card.change) < rest else ""
            for label in (card.label, card.short):
                if cell_len(label) + 2 + cell_len(change) <= rest - 1 * bool(change):
                    parts.append((f" {label}", "dim"))
                    rest -= cell_len(label) + 1
                    break
            if change:
                parts += [(" " * (rest - cell_len(change)), "text"), (change, card.change_tone)]
            return parts
        if y < height - 1 and card.rows:
            return _joined(card.rows, width)
        return self._bars(card, 0, 1, width)

    def _full(self, card: Card, y: int, width: int, height: int) -> list[Part]:
        """Return a line of a card with large digits."""
        digits = big(card.hero)
        left = cell_len(digits[0]) + cell_len(card.unit) + 2
        if left > width * 2 // 3:  # too long a figure for large digits: they would leave no room
            digits, left = ("", card.hero, ""), cell_len(card.hero) + cell_len(card.unit) + 2
        columns = max((width - left + 2) // _ROW_WIDTH, 1)
        beside = card.rows[: columns * _DIGIT_LINES]
        more = card.rows[len(beside) :]
        below_columns = max((width + 2) // _ROW_WIDTH, 1)
        below = min(-(-len(more) // below_columns), max(height - _DIGIT_LINES - 2, 0))
        if y < _DIGIT_LINES:
            tone = "dim" if card.hero_tone else "hero"
            unit = card.unit if y == (_DIGIT_LINES - 1 if digits[0] else 1) else ""
            parts: list[Part] = [(digits[y], tone), (unit, "dim")]
            used = cell_len(digits[y]) + cell_len(unit)
            parts.append((" " * (left - used), "text"))
            return parts + _in_columns(beside, y, _DIGIT_LINES, columns, width - left)
        if y == _DIGIT_LINES:
            label = card.label if cell_len(card.label) + cell_len(card.change) < width else card.short
            gap = max(width - cell_len(label) - cell_len(card.change), 1)
            return [(label, "dim"), (" " * gap, "text"), (card.change, card.change_tone)]
        if y < _DIGIT_LINES + 1 + below:
            return _in_columns(more, y - _DIGIT_LINES - 1, below, below_columns, width)
        lines = height - _DIGIT_LINES - 1 - below
        return self._bars(card, y - (height - lines), lines, width)

    def _bars(self, card: Card, line: int, lines: int, width: int) -> list[Part]:
        """Return a line of the bars, in eighths; a bucket without data is blank."""
        values = spread(card.spark, width)
        high = max((value for value in values if value is not None), default=0.0) or 1.0
        late = spread(tuple(float(each) for each in card.late), width)
        parts: list[Part] = []
        base = (lines - 1 - line) * 8
        for x, value in enumerate(values):
            role = "area-bad" if late and late[x] else card.spark_role
            eighths = 0 if value is None else max(round(value / high * lines * 8), 1)
            filled = min(max(eighths - base, 0), 8)
            parts.append((" ", f"/{role}") if filled == 8 else (EIGHTHS[filled], role))
        return parts

    def _strip(self, parts: list[Part], width: int) -> Strip:
        out: list[Segment] = []
        room = width
        for text, tone in parts:
            if room <= 0:
                break
            cells = cell_len(text)
            shown = text if cells <= room else set_cell_size(text, room - 1) + "…"
            out.append(Segment(shown, self._style(tone)))
            room -= min(cells, room)
        return Strip(out).adjust_cell_length(width, self.rich_style).simplify()

    def _style(self, tone: str) -> Style:
        if tone.startswith("/"):
            color = self.get_component_styles(f"card--{tone[1:]}").color
            return self.rich_style + Style(bgcolor=color.rich_color)
        return self.get_component_rich_style(f"card--{tone or 'text'}")


def _in_columns(rows: tuple[CardRow, ...], y: int, lines: int, columns: int, width: int) -> list[Part]:
    """Return line ``y`` of rows that run down ``lines`` lines, then into the next of ``columns`` columns."""
    parts: list[Part] = []
    if lines == _DIGIT_LINES:
        columns = min(columns, max(-(-len(rows) // lines), 1))
    each = (width - 2 * (columns - 1)) // columns
    each = min(each, _WIDEST_COLUMN) if columns > 1 or width > 2 * _WIDEST_COLUMN else each
    for column in range(columns):
        place = column * lines + y
        if place >= len(rows):
            break
        row = rows[place]
        if column:
            parts.append(("  ", "text"))
        room = each - cell_len(row.value)
        extra = f"{row.extra}  " if row.extra else ""
        if cell_len(row.label) + 1 + cell_len(extra) > room:
            extra = ""
        label = row.label if cell_len(row.label) < room else row.short or row.label
        gap = max(room - cell_len(label) - cell_len(extra), 1)
        parts += [(label, "dim"), (" " * gap, "text"), (extra, "faint"), (row.value, row.tone or "text")]
    return parts


def _joined(rows: tuple[CardRow, ...], width: int) -> list[Part]:
    """Return as many rows as fit into one line."""
    parts: list[Part] = []
    for row in rows:
        needed = cell_len(row.label) + cell_len(row.value) + 1 + 3 * bool(parts)
        if needed > width:
            break
        parts += [("   ", "text")] if parts else []
        parts += [(f"{row.label} ", "dim"), (row.value, row.tone or "text")]
        width -= needed
    return parts
