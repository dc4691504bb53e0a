"""The tour: one line below the tabs, a step for each tab; closed once, it stays away."""

from __future__ import annotations

from pathlib import Path

from textual.reactive import reactive
from textual.widgets import Static

from promptop.base.errors import PromptopError
from promptop.base.files import write_private
from promptop.base.texts import mark, tr
from promptop_tui.shell.key_names import with_keys

STEPS = {
    "monitor": mark("See what each call takes and costs. {monitor.edit} opens the prompt of a request in the editor."),
    "editor": mark(
        "{editor.trims} shows what can be said with fewer tokens. {editor.send} takes it to the playground."
    ),
    "playground": mark(
        "{playground.run} asks the models side by side. Each call is a row of the monitor: {app.tab.monitor}."
    ),
}
"""Tab → what to do there, in the order of the tour."""


class TourLine(Static):
    """Shows the step of the tab that is shown, until it is closed; ``closed`` is the file that remembers that."""

    tab: reactive[str] = reactive("")

    def __init__(self, closed: Path, *, wanted: bool) -> None:
        super().__init__("", id="tour", markup=False)
        self._marker = closed
        self.display = wanted and not closed.exists()

    def watch_tab(self, tab: str) -> None:
        """Show the tab's step."""
        if self.display and tab in STEPS:
            at = tr("Tour {at}/{all}", at=list(STEPS).index(tab) + 1, all=len(STEPS))
            close = tr("{app.tour} closes this")
            self.update(with_keys(self, f"{at} · {tr(STEPS[tab])} · {close}"))

    def close(self) -> None:
        """Go, and stay away at the next start."""
        self.display = False
        try:
            write_private(self._marker, "")
        except (OSError, PromptopError):
            return  # it is closed for this session; a folder that takes no file is told by what needs it
