"""The monitor's second line: in words what is wrong and since when, or that nothing is; and what is so right now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from promptop.alerts.changes import Change, sentence
from promptop.alerts.watch import Present
from promptop.base import units
from promptop.base.sanitize import clean_line

if TYPE_CHECKING:
    from textual.geometry import Size

_AGE_FROM_S = 2.0


class TriageLine(Widget, can_focus=False):
    """One line where all is as usual; else one for each of the weightiest changes, and one for the present."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="triage.up", tooltip="the change above"),
        Binding("down", "move(1)", "Down", show=False, id="triage.down", tooltip="the change below"),
        Binding("enter", "choose", "Rows", id="triage.choose", tooltip="the requests of this change"),
        Binding("escape", "leave", "Back", id="triage.leave", tooltip="back to the requests"),
    ]
    HELP = """\
What is unusual now, by model, app, prompt, version, host, provider and tag: each figure of the last minutes is held
against the hours before and against this time on earlier days, and told only where it stands out from both."""
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "triage--usual",
        "triage--change",
        "triage--chosen",
        "triage--note",
        "triage--late",
        "triage--silent",
    }

    present: reactive[Present | None] = reactive(None, layout=True)
    now_ms: reactive[int] = reactive(0)
    """The clock, by which the newest row ages."""
    most: reactive[int] = reactive(3, layout=True)
    """Changes that have a line."""
    row: reactive[int] = reactive(0)
    """The change that is chosen, while the line has the focus."""
    hidden_why: reactive[str] = reactive("")
    """Why nothing is judged; empty where it is."""

    @dataclass
    class Chosen(Message):
        """The requests of a change are wanted, or the focus may go back."""

        line: TriageLine
        change: Change | None

        @property
        def control(self) -> TriageLine:
            """The line."""
            return self.line

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes that have a line."""
        return self.present.changes[: self.most] if self.present is not None and not self.hidden_why else ()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line a change, and one for the present."""
        return len(self.changes) + 1

    def enter(self) -> None:
        """Take the focus, to choose a change."""
        if not self.changes:
            self.notify("Nothing is unusual.", markup=False)
            return
        self.can_focus = True
        self.row = 0
        self.focus()

    def on_blur(self) -> None:
        """Be no stop of the Tab key."""
        self.can_focus = False
        self.refresh()

    def action_move(self, by: int) -> None:
        """Choose another change."""
        self.row = max(0, min(self.row + by, len(self.changes) - 1))

    def action_choose(self) -> None:
        """Go to the rows of the chosen change."""
        if self.row < len(self.changes):
            self.post_message(self.Chosen(self, self.changes[self.row]))

    def action_leave(self) -> None:
        """Go back."""
        self.post_message(self.Chosen(self, None))

    def render_line(self, y: int) -> Strip:
        """Return a change, or the present."""
        width = self.size.width
        if y < len(self.changes):
            chosen = self.has_focus and y == self.row
            mark = "▶ " if chosen else "▲ "
            text = mark + sentence(self.changes[y], self.now_ms, width - 2)
            parts = [(text, "chosen" if chosen else "change")]
        else:
            parts = self._now()
        out: list[Segment] = []
        for text, name in parts:
            if width <= 0:
                break
            shown = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            width -= cell_len(shown)
            out.append(Segment(shown, self.get_component_rich_style(f"triage--{name}")))
        return Strip(out).adjust_cell_length(self.size.width, self.rich_style)

    def _now(self) -> list[tuple[str, str]]:
        present = self.present
        if self.hidden_why:
            return [(self.hidden_why, "note")]
        if present is None:
            return [("reading the last hours …", "note")]
        parts: list[tuple[str, str]] = []
        age = present.age_s(self.now_ms)
        if age is not None:
            late = present.overdue(self.now_ms)
            sign = ("●", "◐", "○")[late]
            parts.append((f"{sign} last call {_age(age)}", ("usual", "late", "silent")[late]))
        if present.in_flight:
            oldest = (self.now_ms - present.in_flight[0].oldest_ms) / 1000
            who = present.in_flight[0]
            named = clean_line(" ".join(filter(None, (who.app, who.model))), 40)
            parts.append((f" · {units.count(present.open_calls)} in flight, oldest {_length(oldest)} {named}", "note"))
        if present.calls:
            bad = ", ".join(
                f"{units.count(number)} {word}"
                for number, word in ((present.limited, "rejected"), (present.failed, "failed"))
                if number
            )
            parts.append((f" · last minute {units.count(present.calls)}{f', {bad}' if bad else ''}", "note"))
        more = len(present.changes) - len(self.changes)
        if more > 0:
            parts.append((f" · {more} more", "note"))
        elif not present.changes:
            parts.append((f" · {present.baseline}", "note"))
        return parts


def _age(seconds: float) -> str:
    return "just now" if seconds < _AGE_FROM_S else f"{_length(seconds)} ago"


def _length(seconds: float) -> str:
    """Return whole seconds, minutes, hours or days."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
