"""Asks for the note of a bookmark."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from promptop.base.sanitize import clean_line
from promptop_tui.widgets.form_modal import FormField, FormModal


class NoteDialog(FormModal[str]):
    """One line that may stay empty; returns it."""

    HELP = "A note is kept with the time, and travels with it in an incident file. It may stay empty."

    def __init__(self) -> None:
        super().__init__("keep this time", [FormField("note", "note", "", "what happened")], classes="-small -single")

    def on_mount(self) -> None:
        """Say what enter does."""
        self.say("Enter keeps it, with or without a note.")

    @on(Input.Submitted)
    def _on_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.dismiss(clean_line(message.value.strip(), 200))
