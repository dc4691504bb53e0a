"""Jump mode: a letter on everything that takes the focus; pressing it goes there."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

LETTERS = "asdfghjklqwertyuiopzxcvbnm1234567890"
"""Labels in the order they are given: the keys under the fingers first."""


def targets_of(pane: Widget) -> dict[str, Widget]:
    """Return label → widget for what takes the focus in a tab and is on the screen, from the upper left on."""
    found = [
        widget
        for widget in pane.query("*")
        if widget.focusable and widget.region.area and pane.region.overlaps(widget.region)
    ]
    found.sort(key=lambda widget: (widget.region.y, widget.region.x))
    return dict(zip(LETTERS, found, strict=False))


class JumpScreen(ModalScreen[Widget | None]):
    """The labels, over the tab; returns the widget that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="jump.leave", tooltip="Stay where the focus was"),
    ]

    def __init__(self, targets: dict[str, Widget]) -> None:
        super().__init__()
        self.targets = targets
        """Label → widget."""

    def compose(self) -> ComposeResult:
        """Lay a label on each target."""
        for letter, widget in self.targets.items():
            label = Static(f" {letter} ", classes="jump-label", markup=False)
            label.styles.offset = (widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Choose a target; any other key goes back."""
        if event.key == "escape":
            return
        event.stop()
        self.dismiss(self.targets.get(event.character or ""))

    def action_leave(self) -> None:
        """Choose none."""
        self.dismiss(None)
