"""Searches the answers: a line below them, matches marked in all of them, Enter goes from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from promptop.base.texts import tr
from promptop_tui.widgets.stream_text import StreamView


class LookAt(Protocol):
    """Shows an answer by its number; with ``focus`` the keys go there too."""

    def __call__(self, number: int, *, focus: bool = False) -> None: ...


class FindLine(Horizontal):
    """Takes what is looked for; hidden until it is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="find.close", tooltip="Stop searching", priority=True),
        Binding("down", "step(1)", "Next", id="find.next", tooltip="Go to the next match", show=False),
        Binding("up", "step(-1)", "Before", id="find.before", tooltip="Go to the match before", show=False),
    ]

    def __init__(self, views: Callable[[], Sequence[StreamView]], current: Callable[[], int], look_at: LookAt) -> None:
        """``views`` returns the answers, ``current`` the number of the one that is looked at."""
        super().__init__(id="find")
        self._views, self._current, self._look_at = views, current, look_at
        self._at = -1
        """Place of the match that is looked at, among all of them."""

    def compose(self) -> ComposeResult:
        """Lay out the line."""
        yield Label("find")
        yield Input(placeholder=tr("in all answers; Enter goes on"), compact=True, id="find-text")
        yield Label("", id="find-count")

    def open(self) -> None:
        """Show the line, with what was looked for last."""
        self.display = True
        field = self.query_one(Input)
        field.focus()
        field.action_select_all()
        self._find(field.value)

    def action_close(self) -> None:
        """Hide the line and its marks, and go back to the answer that is looked at."""
        self.display = False
        for view in self._views():
            view.mark("")
        self._look_at(self._current(), focus=True)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._find(event.value)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_step(1)

    def action_step(self, by: int) -> None:
        """Go to another match, round the end."""
        total = sum(len(view.matches) for view in self._views())
        if total:
            self._at = (self._at + by) % total
            self._show()

    def _find(self, text: str) -> None:
        before = total = 0
        for number, view in enumerate(self._views()):
            view.mark(text)
            before += len(view.matches) if number < self._current() else 0
            total += len(view.matches)
        self._at = before % total if total else -1  # the first one from the answer that is looked at
        self._show()

    def _place(self) -> tuple[int, int] | None:
        """Return the number of the answer that has the match, and its number there."""
        left = self._at
        for number, view in enumerate(self._views()):
            if 0 <= left < len(view.matches):
                return number, left
            left -= len(view.matches)
        return None

    def _show(self) -> None:
        total = sum(len(view.matches) for view in self._views())
        place = self._place()
        wanted = self.query_one(Input).value
        said = f"{self._at + 1} of {total}" if place is not None else "nothing" if wanted else ""
        self.query_one("#find-count", Label).update(said)
        if place is not None and place[0] != self._current():
            self._look_at(place[0])
        for number, view in enumerate(self._views()):
            view.look_at_match(place[1] if place is not None and place[0] == number else None)
