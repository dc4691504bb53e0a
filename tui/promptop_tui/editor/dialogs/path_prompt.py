"""Asks for a file name, with the names that fit shown while it is typed and completed with tab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop_tui.shell.key_names import with_keys

_SHOWN = 12


def matching(typed: str) -> list[str]:
    """Return the paths that begin with ``typed``, folders with a slash at the end; hidden ones only if asked for."""
    folder, _, prefix = os.path.expanduser(typed).rpartition("/")  # noqa: PTH111 (a Path drops the last slash)
    start = typed[: len(typed) - len(prefix)]
    try:
        with os.scandir(folder + "/" if folder or typed.startswith("/") else ".") as entries:
            names = [
                (not entry.is_dir(), entry.name + ("/" if entry.is_dir() else ""))
                for entry in entries
                if entry.name.startswith(prefix) and (prefix.startswith(".") or not entry.name.startswith("."))
            ]
    except OSError:
        return []
    return [start + name for _, name in sorted(names)]


def common_beginning(names: list[str]) -> str:
    """Return the characters that all names begin with (not whole path components, as os.path.commonpath has it)."""
    first, last = min(names), max(names)
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


class PathDialog(ModalScreen[Path | None]):
    """A line to type a path in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="path.back", tooltip="Back to the draft"),
        Binding("tab", "complete", "Complete", id="path.complete", tooltip="Complete the name", priority=True),
    ]

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title = title
        self._value = value
        self._found: list[str] = []
        self._found_for = ""
        self._must_complete = False

    def compose(self) -> ComposeResult:
        """Lay out the line and the names."""
        with Vertical(id="path-box") as box:
            box.border_title = self._title
            box.border_subtitle = with_keys(
                self, tr("{path.complete} completes, Enter takes it, {path.back} goes back")
            )
            yield Input(self._value, placeholder=tr("path of a file"), id="path", compact=True, select_on_focus=False)
            yield Static(id="path-names", markup=False)

    def on_mount(self) -> None:
        """List what is here."""
        self._list(self._value)

    @on(Input.Changed, "#path")
    def _typed(self, message: Input.Changed) -> None:
        self._list(message.value)

    @work(thread=True, exclusive=True, group="paths", description="list a folder")
    def _list(self, typed: str) -> None:
        found = matching(typed)
        self.app.call_from_thread(self._show, typed, found)

    def _show(self, typed: str, found: list[str]) -> None:
        if not self.is_attached or self.query_one("#path", Input).value != typed:
            return
        self._found, self._found_for = found, typed
        more = [tr("… {n} more", n=len(found) - _SHOWN)] if len(found) > _SHOWN else []
        names = [clean_line(name.rstrip("/").rpartition("/")[2]) + "/" * name.endswith("/") for name in found[:_SHOWN]]
        self.query_one("#path-names", Static).update(clean("\n".join(names + more)))
        if self._must_complete:
            self.action_complete()

    def action_complete(self) -> None:
        """Complete as far as all names agree."""
        line = self.query_one("#path", Input)
        self._must_complete = self._found_for != line.value  # the folder is still being read
        if self._found and not self._must_complete:
            common = common_beginning(self._found)
            if len(common) > len(line.value):
                line.value = common
                line.cursor_position = len(common)

    @on(Input.Submitted, "#path")
    def _submitted(self, message: Input.Submitted) -> None:
        typed = message.value.strip()
        self.dismiss(Path(typed).expanduser().absolute() if typed else None)
