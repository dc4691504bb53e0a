"""What stands in place of figures where the log has none, or cannot be read."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Middle
from textual.content import Content
from textual.widgets import Static

from promptop.base.sanitize import clean, clean_line
from promptop_tui.monitor.data.snapshot import LogSnapshot
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.panel import Panel

_WAYS = (
    ("Watch a program you have", "promptop watch -- python app.py"),
    ("Watch one client in your code", "client = promptop.observe(OpenAI())"),
    ("Watch any language", "promptop proxy --upstream https://api.openai.com/v1"),
    ("See it with invented traffic", "promptop demo"),
)
_GAP = 3


class LogNote(Panel):
    """Names the problem and its remedy, or the ways to a first request."""

    def __init__(self, path: Path) -> None:
        super().__init__(id="monitor-note", heading="Monitor")
        self._path = path

    def compose(self) -> ComposeResult:
        """Lay out the text in the middle."""
        with Middle():
            yield Static("", id="monitor-note-text", markup=False)

    def show(self, snapshot: LogSnapshot) -> bool:
        """Say what a snapshot has in place of figures, and tell whether it does."""
        text = self.query_one("#monitor-note-text", Static)
        if snapshot.state == "problem":
            self.state = "the log cannot be read"
            text.update(Content.assemble((clean(snapshot.cause), "$bad"), "\n\n→ ", clean(snapshot.remedy)))
        elif snapshot.state == "empty":
            self.state = "no log yet"
            text.update(self._lesson())
        else:
            return False
        return True

    def _lesson(self) -> Content:
        """Return what will stand here, the one next key, and the ways to fill it."""
        wide = max(len(what) for what, _ in _WAYS) + _GAP
        parts: list[tuple[str, str]] = [
            ("No request has been logged yet.", "$text bold"),
            ("\nThis screen says by itself what is wrong, and whether calls are healthy, fast and cheap.\n\n", "$dim"),
            (self._key("app.tab.playground", "F3"), "$accent bold"),
            ("  sends one from the playground: it is logged\n\n", "$text"),
        ]
        for what, command in _WAYS:
            parts += [(f"{what:<{wide}}", "$text"), (f"{command}\n", "$code")]
        parts.append((f"\nThe log is {clean_line(str(self._path))}. Nothing is sent anywhere by watching.", "$dim"))
        return Content.assemble(*parts)

    def _key(self, identifier: str, ordinary: str) -> str:
        try:
            return key_name(self, identifier)
        except KeyError:  # the pane stands in another app, as in tests
            return ordinary
