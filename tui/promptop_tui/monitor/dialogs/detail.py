"""One request, whole, over the monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from promptop_tui.monitor.analysis.request_report import Line
from promptop_tui.widgets.dialog import TextDialog

_TONES = {
    "muted": "$text-muted",
    "good": "$text-success",
    "warn": "$text-warning",
    "bad": "$text-error",
    "accent": "$text-accent",
}


class DetailDialog(TextDialog[str]):
    """Shows a receipt; returns ``edit`` or ``play`` if the user wants to go on with the request."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "go('edit')", "Edit", id="detail.edit", tooltip="open the prompt in the editor"),
        Binding("p", "go('play')", "Play", id="detail.play", tooltip="open the request in the playground"),
    ]
    HELP = (
        "Everything the log knows of one request. Times are counted from the moment before it left the caller's code."
    )

    def __init__(self, title: str, lines: Sequence[Line], *, goes_on: bool = True) -> None:
        """``goes_on``: whether another tab can take what is shown."""
        super().__init__(title, _content(lines))
        self._goes_on = goes_on

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the way to other tabs only for a request."""
        return self._goes_on or action != "go"

    def action_go(self, where: str) -> None:
        """Go back, and on to another tab."""
        self.dismiss(where)


def _content(lines: Sequence[Line]) -> Content:
    """Return the lines of a receipt: names left, values right of them, a title where there is no value."""
    parts: list[Content] = []
    for name, value, tone in lines:
        if name and not value:
            parts.append(Content.styled(f"\n{name}\n", "bold"))
            continue
        parts.append(Content.styled(f"{name:>17}  " if name else " " * 19, "$text-muted"))
        parts.append(Content.styled(f"{value}\n", _TONES.get(tone, "")))
    return Content("").join(parts)
