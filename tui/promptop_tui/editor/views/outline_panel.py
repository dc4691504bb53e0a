"""The outline beside the draft: its parts with tokens and dollars, to jump to, fold, move and switch off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.getters import query_one
from textual.message import Message
from textual.widgets import OptionList

from promptop.base.sanitize import clean_line
from promptop_tui.editor.controllers.draft_parts import DraftPart
from promptop_tui.editor.views.model_figures import dollars
from promptop_tui.widgets.panel import Panel

_TOKENS, _SHARE, _MONEY = 7, 5, 9
_ROOM_FOR_MONEY = 40


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """A part with what is known of it."""

    part: DraftPart
    tokens: int
    share: float
    """Of all that is sent, 0 … 1; of what is off the share that it would have if it was sent as well."""
    usd_per_month: float | None


class OutlinePanel(Panel):
    """Shows the rows that it is given, and tells what the user wants of one."""

    HELP = """\
The parts of the prompt: messages, and what headings, tags and examples begin, with their tokens, their share and the
dollars of 30 days. Enter goes there. {outline.fold} folds a part in this list. {outline.toggle} switches a part off for
the next call and shows what that saves: its lines stay in the file between {{!-- off and --}} and are neither sent nor
counted; again switches it on. {outline.up} and {outline.down} swap a part with its neighbour. Each is one step of
undo."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "fold", "Fold", id="outline.fold", tooltip="Fold or unfold the part in this list"),
        Binding("o", "switch", "Off / on", id="outline.toggle", tooltip="Switch the part off for a call, or on again"),
        Binding("alt+up,K", "move(False)", "Up", id="outline.up", tooltip="Swap the part with the one before"),
        Binding("alt+down,J", "move(True)", "Down", id="outline.down", tooltip="Swap the part with the next one"),
        Binding("escape", "close", "Back", id="outline.close", tooltip="Back to the draft"),
    ]

    options = query_one(OptionList)

    @dataclass
    class Wanted(Message):
        """The user wants something of a part: ``go``, ``toggle``, ``up``, ``down`` or ``close`` (of none)."""

        what: str
        part: DraftPart | None

    HEAD: ClassVar[str] = "Outline"

    def __init__(self) -> None:
        super().__init__(id="outline")
        self._rows: tuple[OutlineRow, ...] = ()
        self._shown: list[OutlineRow] = []
        self._folded: set[tuple[str, str, int]] = set()
        self._note = ""

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        yield OptionList(id="outline-list", markup=False, compact=True)

    def on_resize(self) -> None:
        """Draw for the new width."""
        self._draw()

    @property
    def rows(self) -> tuple[OutlineRow, ...]:
        """All rows, folded ones included."""
        return self._rows

    def show(self, rows: Sequence[OutlineRow], note: str = "") -> None:
        """Show these rows; ``note`` is said in the frame."""
        self._rows, self._note = tuple(rows), note
        self._draw()

    def show_place(self, offset: int) -> None:
        """Let the highlight stand on the part that holds ``offset``, unless the user moves it."""
        if self.options.has_focus or not self._shown:
            return
        inside = [at for at, row in enumerate(self._shown) if row.part.start <= offset <= row.part.end]
        inside = inside or [at for at, row in enumerate(self._shown) if row.part.start <= offset]
        if inside and self.options.highlighted != inside[-1]:
            self.options.highlighted = inside[-1]

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.hint = self._note
        options = self.options
        at, current = options.highlighted or 0, self._current()
        self._shown = self._unfolded()
        width = max(16, options.scrollable_content_region.width - 1)
        options.clear_options()
        options.add_options([self._line(row, width) for row in self._shown])
        keys = [row.part.key for row in self._shown]
        if current is not None and current.key in keys:
            options.highlighted = keys.index(current.key)
        elif self._shown:
            options.highlighted = min(at, len(self._shown) - 1)

    def _unfolded(self) -> list[OutlineRow]:
        shown: list[OutlineRow] = []
        below: int | None = None
        for row in self._rows:
            if below is not None and row.part.depth > below:
                continue
            below = row.part.depth if row.part.key in self._folded else None
            shown.append(row)
        return shown

    def _line(self, row: OutlineRow, width: int) -> Content:
        part = row.part
        has_money = width >= _ROOM_FOR_MONEY
        right = _TOKENS + _SHARE + (_MONEY if has_money else 0)
        room = max(4, width - right)
        mark = ("▸ " if part.key in self._folded else "▾ ") if part.has_parts else "  "
        title = clean_line(("○ " if part.kind == "off" else "") + (part.title or part.kind))
        said = "  " * min(part.depth, 6) + mark + title
        said = said if cell_len(said) <= room else set_cell_size(said, room - 1) + "…"
        is_off = part.kind == "off"
        tokens = f"−{row.tokens:,}" if is_off else f"{row.tokens:,}"
        style = "$text-disabled strike" if is_off else "bold" if part.kind == "message" else ""
        return Content.assemble(
            (set_cell_size(said, room), style),
            (f"{tokens:>{_TOKENS}}", "$text-success" if is_off else ""),
            (f"{row.share:>{_SHARE}.0%}", "$foreground 60%"),
            (f"{dollars(row.usd_per_month):>{_MONEY}}" if has_money else "", "$foreground"),
        )

    def _current(self) -> DraftPart | None:
        at = self.options.highlighted
        return self._shown[at].part if at is not None and at < len(self._shown) else None

    def _want(self, what: str) -> None:
        part = self._current()
        if part is not None:
            self.post_message(self.Wanted(what, part))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self._want("go")

    def action_fold(self) -> None:
        """Fold or unfold the highlighted part."""
        part = self._current()
        if part is not None and part.has_parts:
            self._folded ^= {part.key}
            self._draw()

    def action_switch(self) -> None:
        """Switch the highlighted part off or on."""
        self._want("toggle")

    def action_move(self, down: bool) -> None:
        """Swap the highlighted part with its neighbour."""
        self._want("down" if down else "up")

    def action_close(self) -> None:
        """Go back to the draft."""
        self.post_message(self.Wanted("close", None))
