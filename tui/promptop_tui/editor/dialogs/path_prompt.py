"""Asks for a file name, with the names that fit shown while it is typed and completed with tab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.widgets import Input

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.form_modal import FormField, FormModal

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


class PathDialog(FormModal[Path]):
    """A line to type a path in."""

    HELP = """\
The names that fit what is typed stand below. {path.complete} completes it as far as they agree, Enter takes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete", "Complete", id="path.complete", tooltip="Complete the name", priority=True),
    ]

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__(title, [FormField("path", tr("file"), value, tr("path of a file"))], classes="-small -single")
        self._found: list[str] = []
        self._found_for = ""
        self._must_complete = False

    def on_mount(self) -> None:
        """List what is here."""
        line = self.line
        line.select_on_focus = False
        line.cursor_position = len(line.value)
        self._list(line.value)

    @property
    def line(self) -> Input:
        """The line that is typed in."""
        return self.query_one("#field-path", Input)

    @on(Input.Changed, "#field-path")
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        self._list(message.value)

    @work(thread=True, exclusive=True, group="paths", description="list a folder")
    def _list(self, typed: str) -> None:
        found = matching(typed)
        self.app.call_from_thread(self._show, typed, found)

    def _show(self, typed: str, found: list[str]) -> None:
        if not self.is_attached or self.line.value != typed:
            return
        self._found, self._found_for = found, typed
        more = [tr("… {n} more", n=len(found) - _SHOWN)] if len(found) > _SHOWN else []
        names = [clean_line(name.rstrip("/").rpartition("/")[2]) + "/" * name.endswith("/") for name in found[:_SHOWN]]
        self.say("\n".join(names + more))
        if self._must_complete:
            self.action_complete()

    def action_complete(self) -> None:
        """Complete as far as all names agree."""
        line = self.line
        self._must_complete = self._found_for != line.value  # the folder is still being read
        if self._found and not self._must_complete:
            common = common_beginning(self._found)
            if len(common) > len(line.value):
                line.value = common
                line.cursor_position = len(common)

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        typed = message.value.strip()
        self.dismiss(Path(typed).expanduser().absolute() if typed else None)
