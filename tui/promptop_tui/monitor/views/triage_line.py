"""The monitor's first lines: in words what is wrong and since when, or that nothing is; and what is so right now."""

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
from promptop.alerts.figures import BY_NAME
from promptop.alerts.watch import Present
from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.shell.key_names import key_name

if TYPE_CHECKING:
    from textual.geometry import Size

_AGE_FROM_S = 2.0
_SILENT = 2
_KEY_FROM = 100
"""Cells from which the key that chooses a change is named beside it."""
_ALARMS = {"outcome", "retries"}
BY_FAMILY = {name: figure.family for name, figure in BY_NAME.items()} | {"silence": "outcome", "in_flight": "outcome"}


class TriageLine(Widget, can_focus=False):
    """A line for each of the weightiest changes, or one that all is as usual; and one for the present."""

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
        "triage--subject",
        "triage--said",
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
    beside: reactive[str] = reactive("")
    """The window's own rate, to be read beside the last minute."""
    slow_s: reactive[float] = reactive(10.0)
    """Seconds from which a call in flight is late: what one call in a hundred takes at most."""
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
        """Return one line a change or the baseline, and one for the present."""
        return max(len(self.changes), 1) + 1

    def enter(self) -> None:
        """Take the focus, to choose a change."""
        if not self.changes:
            self.notify(tr("Nothing is unusual."), markup=False)
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
        """Return a change, the baseline where there is none, or the present."""
        width = self.size.width
        if y < len(self.changes):
            chosen = self.has_focus and y == self.row
            mark = "▶ " if chosen else "▲ "
            key = (
                tr("{key_name} shows its calls", key_name=key_name(self, "monitor.triage"))
                if not y and width >= _KEY_FROM
                else ""
            )
            room = width - 2 - (cell_len(key) + 3 if key else 0)
            text = sentence(self.changes[y], self.now_ms, room)
            subject, colon, rest = text.partition(": ")
            parts = (
                [(mark, "change"), (subject + colon, "subject"), (rest, "said")] if colon else [(mark + text, "change")]
            )
            if chosen:
                parts = [(mark + text, "chosen")]
            if key:
                gap = width - sum(cell_len(part) for part, _ in parts) - cell_len(key)
                parts += [(" " * max(gap, 1), "note"), (key, "note")]
        elif y == 0:
            parts = self._usual()
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

    def _usual(self) -> list[tuple[str, str]]:
        """Return the line that stands where nothing is unusual, or where that is not known."""
        present = self.present
        if self.hidden_why:
            return [(self.hidden_why, "note")]
        if present is None:
            return [(tr("reading the last hours …"), "note")]
        if self.is_silent:
            newest = _length(present.age_s(self.now_ms) or 0.0)
            usual = (
                tr(", usually one every {length}", length=_length(present.usual_gap_s)) if present.usual_gap_s else ""
            )
            return [
                ("▲ ", "change"),
                (tr("Nothing has arrived for {newest}", newest=newest), "change"),
                (usual, "said"),
            ]
        if not present.ready:
            return [(present.baseline, "note")]
        words = present.baseline.removeprefix(tr("as usual, "))
        return [("✓ ", "usual"), (tr("As usual"), "subject"), (f", {words}", "note")]

    def _now(self) -> list[tuple[str, str]]:
        """Return what runs, and the last minute beside the window."""
        present = self.present
        if present is None or self.hidden_why:
            return []
        parts: list[tuple[str, str]] = [("● " if present.in_flight else "○ ", "usual" if present.in_flight else "note")]
        parts.append((tr("{open_calls} in flight", open_calls=units.count(present.open_calls)), "subject"))
        if present.in_flight:
            first = present.in_flight[0]
            age = (self.now_ms - first.oldest_ms) / 1000
            named = clean_line(" ".join(filter(None, (first.app, first.model))), 40)
            parts += [
                (", oldest ", "note"),
                (_length(age), "late" if age > self.slow_s else "said"),
                (f" {named}", "note"),
            ]
        parts += [(tr("   last minute "), "note"), (tr("{calls} calls", calls=units.count(present.calls)), "said")]
        for number, word in ((present.limited, "rejected"), (present.failed, "failed")):
            if number:
                parts += [(", ", "note"), (f"{units.count(number)} {word}", "silent")]
        if self.beside:
            parts.append((f"   {self.beside}", "note"))
        more = len(present.changes) - len(self.changes)
        if more > 0:
            parts.append((tr("   {more} more unusual", more=more), "silent"))
        return parts

    @property
    def is_silent(self) -> bool:
        """Whether the next row is long overdue by the log's own rhythm."""
        return self.present is not None and self.present.overdue(self.now_ms) == _SILENT and not self.hidden_why

    @property
    def is_alarming(self) -> bool:
        """Whether the panel around should look like an alarm: silence, or calls that fail, hang or are rejected."""
        return self.is_silent or any(BY_FAMILY.get(change.figure, "") in _ALARMS for change in self.changes)

    @property
    def age(self) -> tuple[str, str]:
        """How old the newest row is, in words, and the tone of it by the log's own rhythm."""
        present = self.present
        age = present.age_s(self.now_ms) if present is not None else None
        if present is None or age is None or self.hidden_why:
            return "", "dim"
        return tr("last row {age}", age=_age(age)), ("dim", "warn", "bad")[present.overdue(self.now_ms)]


def _age(seconds: float) -> str:
    return tr("just now") if seconds < _AGE_FROM_S else tr("{length} ago", length=_length(seconds))


def _length(seconds: float) -> str:
    """Return whole seconds, minutes, hours or days."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
