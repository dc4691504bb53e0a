"""The fields of the column of parameters: typed values, choices that turn over, rows that open a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import var
from textual.widgets import Input, Static

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, tr
from promptop.client.request import parse_stops


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


def _word(text: str) -> str:
    if not text.isidentifier():
        raise ValueError
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: how it is read, and what is said when it cannot be."""

    name: str
    label: str
    read: Callable[[str], Any]
    wanted: str
    tooltip: str
    empty: str = mark("default")
    """What an empty field means."""


FIELDS: tuple[Field, ...] = (
    Field(
        "max_tokens",
        "max_tokens",
        _whole,
        mark("a whole number ≥ 1"),
        mark("Limit of output tokens; empty: the model's own"),
    ),
    Field(
        "temperature", "temperature", _between(0, 2), mark("a number from 0 to 2"), mark("Empty: the model's default")
    ),
    Field(
        "top_p",
        "top_p",
        _between(0, 1),
        mark("a number from 0 to 1"),
        mark("Nucleus share; empty: the model's default"),
    ),
    Field("stop", "stop", parse_stops, "", mark(r"Up to 4, separated by | and with escapes: \n\n|END")),
    Field("seed", "seed", int, mark("a whole number"), mark("Asks for the same answer again, where the endpoint can")),
    Field(
        "reasoning_effort",
        "reasoning",
        _word,
        "low, medium, high …",
        mark("Effort: none, minimal, low, medium, high, xhigh"),
    ),
)
"""Parameters of a request."""
REPEATS = Field(
    "repeats", "repeats", _whole, mark("a whole number ≥ 1"), mark("Calls per model, interleaved after a warm-up")
)
AT_ONCE = Field(
    "at_once",
    "at once",
    _whole,
    mark("a whole number ≥ 1"),
    mark("Calls in flight at most; empty: all, or one after the other where they are repeated"),
    mark("auto"),
)
ROUNDS = Field(
    "rounds",
    "rounds",
    _count,
    mark("a whole number ≥ 0"),
    mark("Rounds of the conversation that are sent before the pending turn; empty: all"),
    mark("all"),
)


class ParameterInput(Input):
    """The field of one parameter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Priority: as an ordinary key it would be handled after keys typed behind it had reached this field.
        Binding("enter", "next", "Next", id="playground.field", tooltip="Next field", priority=True, show=False),
    ]

    def __init__(self, field: Field, value: str) -> None:
        super().__init__(value, placeholder=tr(field.empty), compact=True, id=f"parameter-{field.name}")
        self.field = field
        self.tooltip = tr(field.tooltip)

    def action_next(self) -> None:
        """Go to the next field."""
        self.screen.focus_next()

    def read(self) -> Any:
        """Return the value, None if empty; raise :class:`UsageError` if it is not valid."""
        text = self.value if self.field.name == "stop" else self.value.strip()
        if not text:
            return None
        try:
            return self.field.read(text)
        except ValueError:
            raise UsageError(
                f"{self.field.name} cannot be {clean_line(text, 24)!r}.", f"Write {tr(self.field.wanted)}."
            ) from None


class Choice(Static, can_focus=True):
    """One of a few words; space takes the next."""

    HELP = """
    Space turns to the next choice. Without the system part, messages of role system and developer are not sent. Rounds
    of a conversation before those that are kept are dropped, told in a sentence each (`summary`; no model is asked),
    or kept where they share words with the pending turn (`keyword`).
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "turn", "Turn", id="playground.turn", tooltip="Take the next choice"),
    ]

    value: var[str] = var("")

    class Turned(Message):
        """It was turned."""

    def __init__(self, name: str, words: tuple[str, ...], tooltip: str) -> None:
        super().__init__(words[0], id=f"parameter-{name}", markup=False, classes="choice")
        self.words = words
        self.tooltip = tooltip
        self.set_reactive(Choice.value, words[0])

    def watch_value(self, value: str) -> None:
        """Show the choice, and tell of it."""
        self.update(value)
        self.post_message(self.Turned())

    def action_turn(self) -> None:
        """Take the next one."""
        self.value = self.words[(self.words.index(self.value) + 1) % len(self.words)]

    def on_click(self) -> None:
        """Take the next one."""
        self.action_turn()


class CacheSwitch(Choice):
    """Whether answers may come from the response cache, in words."""

    HELP = """
    On: an answer that the cache has comes from there, costs $0 and says so; what is sent is kept for the next time.
    Only calls at temperature 0 are, unless the settings say otherwise (`any_temperature` in `[cache]`).
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "turn", "On/off", id="playground.cache", tooltip="Ask the response cache first, or not"),
    ]

    def __init__(self) -> None:
        super().__init__("cache", ("off", "on"), tr("Space: answer from the response cache where it can, and fill it"))

    @property
    def active(self) -> bool:
        """Whether it is on."""
        return self.value == "on"

    @active.setter
    def active(self, active: bool) -> None:
        self.value = "on" if active else "off"


class Opener(Static, can_focus=True):
    """A row that says what is set on a page, and opens it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "open", "Open", id="playground.open", tooltip="Open the page that sets this"),
    ]

    class Opened(Message):
        """The page is asked for."""

        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    def __init__(self, page: str, text: str, tooltip: str) -> None:
        super().__init__(text, id=f"open-{page}", markup=False, classes="choice")
        self.page = page
        self.tooltip = tooltip

    def action_open(self) -> None:
        """Ask for the page."""
        self.post_message(self.Opened(self.page))

    def on_click(self) -> None:
        """Ask for the page."""
        self.action_open()
