"""What stands in place of figures where the log has none, or cannot be read."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Static

from promptop.base.sanitize import clean
from promptop_tui.monitor.data.snapshot import LogSnapshot

_EMPTY = """\
No requests in {path} yet.

F3     send one from the playground: it is logged
F1     what this tab shows

promptop watch -- CMD …            log the calls of a program
promptop proxy --upstream URL      log the calls of any program, in any language
promptop demo                      look at simulated traffic"""


class LogNote(Static):
    """Names the problem and its remedy, or the ways to a first request."""

    def __init__(self, path: Path) -> None:
        super().__init__("", id="monitor-note", markup=False)
        self._path = path

    def show(self, snapshot: LogSnapshot) -> bool:
        """Say what a snapshot has in place of figures, and tell whether it does."""
        if snapshot.state == "problem":
            self.update(clean(f"{snapshot.cause}\n\n→ {snapshot.remedy}"))
        elif snapshot.state == "empty":
            self.update(clean(_EMPTY.format(path=self._path)))
        else:
            return False
        return True
