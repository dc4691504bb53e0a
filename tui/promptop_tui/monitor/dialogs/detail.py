"""One request, whole, over the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from promptop_tui.monitor.analysis.request_report import Line

_TONES = {
    "muted": "$text-muted",
    "good": "$text-success",
    "warn": "$text-warning",
    "bad": "$text-error",
    "accent": "$text-accent",
}


class DetailDialog(ModalScreen[str | None]):
    """Shows a receipt; returns ``edit`` or ``play`` if the user wants to go on with the request."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "Close", id="detail.close", tooltip="back to the monitor"),
        Binding("e", "go('edit')", "Edit", id="detail.edit", tooltip="open the prompt in the editor"),
        Binding("p", "go('play')", "Play", id="detail.play", tooltip="open the request in the playground"),
    ]
    HELP = (
        "Everything the log knows of one request. Times are counted from the moment before it left the caller's code."
    )

    def __init__(self, title: str, lines: Sequence[Line], *, goes_on: bool = True) -> None:
        super().__init__()
        self._goes_on = goes_on
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Lay out the receipt."""
        with VerticalScroll(id="detail") as box:
            box.border_title = self._title
            yield Static(self._content(), id="detail-text", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def _content(self) -> Content:
        parts: list[Content] = []
        for name, value, tone in self._lines:
            if name and not value:
                parts.append(Content.styled(f"\n{name}\n", "bold"))
                continue
            parts.append(Content.styled(f"{name:>17}  " if name else " " * 19, "$text-muted"))
            parts.append(Content.styled(f"{value}\n", _TONES.get(tone, "")))
        return Content("").join(parts)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the way to other tabs only for a request."""
        return self._goes_on or action != "go"

    def action_go(self, where: str) -> None:
        """Go back, and on to another tab."""
        self.dismiss(where)
