"""Asks for a time to go to, or for the file of an exported period."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line

_ABOUT = """\
3h, 2d              so long ago
2026-11-21T09:30    a moment, local time; also today, yesterday
~/export.jsonl      an export (JSONL, CSV) or another log, to replay"""
_BACK = "\nempty               back to your own log, live"


class GoDialog(ModalScreen[int | Path | None]):
    """One field; returns a moment (Unix milliseconds), a file, ``Path()`` for the own log, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Back", id="go.close", tooltip="back to the monitor"),
    ]
    HELP = "A time to look at, or the file of an exported period (`promptop log export`): nothing is added to the log."

    field = getters.query_one("#go-field", Input)

    def __init__(self, now_ms: Callable[[], int], *, replays: bool) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._replays = replays

    def compose(self) -> ComposeResult:
        """Lay out the field and what may stand in it."""
        with Vertical(id="go") as box:
            box.border_title = "go to"
            yield Input(id="go-field", placeholder="3h · 2026-11-21T09:30 · export.jsonl", compact=True)
            yield Static("", id="go-error", markup=False)
            yield Static(_ABOUT + (_BACK if self._replays else ""), id="go-about", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to type."""
        self.field.focus()

    @on(Input.Submitted)
    def _on_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        text = message.value.strip()
        if not text:
            self.dismiss(Path() if self._replays else None)
            return
        path = Path(text).expanduser()
        if path.is_file():
            self.dismiss(path)
            return
        from promptop.base.times import moment_ms

        try:
            self.dismiss(moment_ms(text, self._now_ms()))
        except UsageError as error:
            self.query_one("#go-error", Static).update(clean_line(f"{error.cause} There is no such file either."))
            self.add_class("-wrong")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
