"""The line at the foot of the draft in which a text is looked for, and replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.getters import query_one
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Button, Input, Label, Static

from promptop.base.texts import tr
from promptop_tui.widgets.prompt_area.search import SearchQuery


class Flag(Static, can_focus=True):
    """A switch in one word: a full circle before it is on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "switch", "Switch", id="find.switch", tooltip="Switch it on or off", show=False),
    ]

    value: reactive[bool] = reactive(False, init=False)

    @dataclass
    class Changed(Message):
        """It was switched."""

        flag: Flag

        @property
        def control(self) -> Flag:
            """The switch."""
            return self.flag

    def __init__(self, label: str, *, id: str, tooltip: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(f"○ {label}", id=id, markup=False)
        self._label = label
        self.tooltip = tooltip

    def watch_value(self, value: bool) -> None:
        """Show the state by a sign and by weight."""
        self.update(f"{'●' if value else '○'} {self._label}")
        self.set_class(value, "-on")
        self.post_message(self.Changed(self))

    def action_switch(self) -> None:
        """Switch it on or off."""
        self.value = not self.value

    def on_click(self) -> None:
        """Switch it on or off."""
        self.action_switch()


class FindBar(Vertical):
    """Two lines: what to find, and what to put there. It shows what it is told and says what the user wants."""

    HELP = """\
Matches are marked in the draft while you type. Enter or {find.next} goes to the next one, {find.previous} to the one
before; Enter in the second field replaces the marked match and goes on. "Aa" heeds upper and lower case, ".*" reads
the first field as a regular expression (groups are \\1 or \\g<name> in the second one), "sel" stays inside the lines
that were selected. All matches are replaced in one step of undo. {find.close} goes back to the draft with the match
selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", "Next", id="find.next", tooltip="Go to the next match"),
        Binding("up", "step(-1)", "Previous", id="find.previous", tooltip="Go to the match before"),
        Binding("alt+c", "switch('case')", "Case", id="find.case", tooltip="Heed upper and lower case"),
        Binding("alt+r", "switch('regex')", "Regex", id="find.regex", tooltip="Read it as a regular expression"),
        Binding("alt+s", "switch('within')", "In selection", id="find.within", tooltip="Stay inside the selection"),
        Binding(
            "alt+a", "replace_all", "Replace all", id="find.replace_all", tooltip="Replace all matches in one step"
        ),
        Binding("escape", "close", "Back", id="find.close", tooltip="Back to the draft"),
    ]

    said = query_one("#find-said", Static)
    pattern = query_one("#find-pattern", Input)
    replacement = query_one("#find-replacement", Input)

    @dataclass
    class Changed(Message):
        """Another text is looked for, or in another way."""

        bar: FindBar

        @property
        def control(self) -> FindBar:
            """The bar that was typed in."""
            return self.bar

    @dataclass
    class Wanted(Message):
        """The user wants something done: ``next``, ``previous``, ``replace``, ``replace all`` or ``close``."""

        what: str

    def __init__(self) -> None:
        super().__init__(id="find")
        self.display = False

    def compose(self) -> ComposeResult:
        """Lay out fields, switches and count."""
        with Horizontal(classes="find-row"):
            yield Label("find")
            yield Input(id="find-pattern", compact=True)
            yield Flag("Aa", id="find-case", tooltip=tr("Heed upper and lower case"))
            yield Flag(".*", id="find-regex", tooltip=tr("Regular expression"))
            yield Flag("sel", id="find-within", tooltip=tr("Only inside the selection"))
            yield Static(id="find-said", markup=False)
        with Horizontal(classes="find-row"):
            yield Label("with")
            yield Input(id="find-replacement", compact=True)
            yield Button("replace", id="find-one", compact=True)
            yield Button("all", id="find-all", compact=True)

    @property
    def query_now(self) -> SearchQuery:
        """What is looked for."""
        return SearchQuery(
            self.pattern.value,
            is_regex=self.query_one("#find-regex", Flag).value,
            match_case=self.query_one("#find-case", Flag).value,
        )

    @property
    def is_within(self) -> bool:
        """Whether only the selection is searched."""
        return self.query_one("#find-within", Flag).value

    def open(self, text: str, *, within: bool) -> None:
        """Show the bar with ``text`` to find, or with that of last time if it is empty."""
        self.display = True
        with self.prevent(Input.Changed, Flag.Changed):
            if text:
                self.pattern.value = text
            self.query_one("#find-within", Flag).value = within
        self.pattern.action_select_all()
        self.screen.set_focus(self.pattern)  # at once: keys that follow are meant for it
        self.post_message(self.Changed(self))

    def say(self, text: str, *, is_wrong: bool = False) -> None:
        """Show how many matches there are, or what is wrong."""
        self.said.update(text)
        self.said.set_class(is_wrong, "-warning")

    @on(Input.Changed)
    @on(Flag.Changed)
    def _changed(self, message: Message) -> None:
        message.stop()
        self.post_message(self.Changed(self))

    @on(Input.Submitted)
    def _entered(self, message: Input.Submitted) -> None:
        message.stop()
        self.post_message(self.Wanted("next" if message.input is self.pattern else "replace"))

    @on(Button.Pressed)
    def _pressed(self, message: Button.Pressed) -> None:
        message.stop()
        self.post_message(self.Wanted("replace" if message.button.id == "find-one" else "replace all"))

    def action_step(self, by: int) -> None:
        """Go to the next match, or the one before."""
        self.post_message(self.Wanted("next" if by > 0 else "previous"))

    def action_switch(self, name: str) -> None:
        """Switch one of the switches."""
        self.query_one(f"#find-{name}", Flag).action_switch()

    def action_replace_all(self) -> None:
        """Replace all matches."""
        self.post_message(self.Wanted("replace all"))

    def action_close(self) -> None:
        """Go back to the draft."""
        self.post_message(self.Wanted("close"))
