"""The strip at the top: which tabs there are, which one is shown, which endpoint is in use, what is simulated."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, tr, tr_n

TABS: dict[str, tuple[str, str]] = {
    "editor": ("f2", mark("Editor")),
    "playground": ("f3", mark("Playground")),
    "monitor": ("f4", mark("Monitor")),
}
"""Tab → its key and its title."""


class TabLabel(Static):
    """One tab's key and title; a click shows the tab."""

    @dataclass
    class Chosen(Message):
        """The user clicked this tab."""

        tab: str

    def __init__(self, tab: str) -> None:
        key, title = TABS[tab]
        super().__init__(Content.assemble((f" {key.upper()} ", "bold"), (f"{tr(title)} ", "")), id=f"tab-{tab}")
        self.tab = tab

    def on_click(self) -> None:
        """Ask the app to show this tab."""
        self.post_message(self.Chosen(self.tab))


class TabStrip(Horizontal):
    """One line: name, tabs, endpoint, SIMULATED."""

    current: reactive[str] = reactive("editor")
    firing: reactive[int] = reactive(0)
    """Alerts that fire."""

    def __init__(self, endpoint: str, *, simulated: bool) -> None:
        super().__init__(id="tabs")
        self._endpoint = clean_line(endpoint, 40)
        self._simulated = simulated

    def compose(self) -> ComposeResult:
        """Lay out the line."""
        yield Static("promptop", id="brand")
        for tab in TABS:
            yield TabLabel(tab)
        yield Static(self._endpoint, id="endpoint", markup=False)
        yield Static("", id="firing")
        if self._simulated:
            yield Static(f" {tr('SIMULATED')} ", id="simulated")

    def watch_current(self, current: str) -> None:
        """Mark the tab that is shown: inverse and bold."""
        for label in self.query(TabLabel):
            label.set_class(label.tab == current, "-current")

    def watch_firing(self, firing: int) -> None:
        """Say how many alerts fire, whatever tab is shown."""
        if self.is_mounted:
            found = self.query_one("#firing", Static)
            found.update(f" ▲ {tr_n('{n} alert', '{n} alerts', firing)} ")
            found.set_class(firing > 0, "-firing")
