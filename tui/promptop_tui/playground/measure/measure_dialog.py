"""What the pages that measure share: fields, the price before anything is sent, how far it is, and the end.

The measurement runs in a process of its own (:mod:`promptop.workers.measurement`):
nothing that is drawn here delays a stamp.
Its callbacks come on a thread and are posted as messages, so that widgets are touched by handlers alone. A page is
priced when it opens and whenever a field has come to rest; what is sent is exactly what was priced last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Label, Static
from textual.worker import get_current_worker

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean
from promptop.budget.budget import spent_on
from promptop.budget.estimate import CostEstimate
from promptop.workers.measurement import Measurement, MeasurementProcess
from promptop_tui.context import AppContext

SETTLED_S = 0.3
BAR = 24
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Field:
    """A line of the page's form."""

    id: str
    label: str
    value: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A measurement that was priced: it can be sent."""

    measurement: Measurement
    most: CostEstimate


class MeasureDialog(ModalScreen[Result], Generic[Result]):
    """A form, a state, and below them what the page makes of the results."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Run", id="measure.run", tooltip="Send what was priced", priority=True),
        Binding("escape", "leave", "Stop, close", id="measure.leave", tooltip="Stop what runs, else close the page"),
    ]
    TITLE_TEXT = ""

    @dataclass
    class Priced(Message):
        """The form was read, on a thread."""

        planned: Planned | None
        problem: str = ""

    @dataclass
    class Told(Message):
        """How far the measurement is."""

        step: Any

        def can_replace(self, message: Message) -> bool:
            """Let only the latest wait in the queue."""
            return isinstance(message, MeasureDialog.Told)

    @dataclass
    class Over(Message):
        """The measurement is over: its outcome, or why there is none."""

        outcome: Any
        problem: str = ""

    def __init__(self, context: AppContext) -> None:
        super().__init__(classes="playground-page")
        self.shared = context
        self.planned: Planned | None = None
        self._apart: MeasurementProcess | None = None
        self._settling: Timer | None = None
        self._stopping = False

    # What a page brings

    def fields(self) -> list[Field]:
        """Return the form."""
        raise NotImplementedError

    def body(self) -> ComposeResult:
        """Lay out what is below the state."""
        raise NotImplementedError

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Return what the fields mean, on a thread; raise :class:`PromptopError` with what is wrong."""
        raise NotImplementedError

    def priced(self) -> None:
        """Show what :meth:`plan` found beside the price."""

    def began(self) -> None:
        """Forget what an earlier run left on the page."""

    def advanced(self, step: Any) -> str:
        """Show how far it is, and return the line that says so."""
        raise NotImplementedError

    def ended(self, outcome: Any) -> str:
        """Show what came, and return the line that says how it ended."""
        raise NotImplementedError

    def result(self) -> Result | None:
        """Return what the page hands back when it is closed."""
        return None

    # The page

    def compose(self) -> ComposeResult:
        """Lay out form, state and body."""
        with Vertical(id="page") as box:
            box.border_title = self.TITLE_TEXT
            box.border_subtitle = self.keys()
            with Container(id="measure-form"):
                for field in self.fields():
                    with Horizontal(classes="batch-field"):
                        yield Label(field.label)
                        yield Input(field.value, placeholder=field.hint, compact=True, id=f"measure-{field.id}")
            yield Static(id="measure-state", markup=False)
            yield from self.body()

    def keys(self) -> str:
        """Return the keys that the border names."""
        return "F5 runs · Esc stops, then closes"

    def on_mount(self) -> None:
        """Price what the form begins with."""
        self.price_again()

    def on_unmount(self) -> None:
        """End the process that measures."""
        if self._apart is not None:
            self._apart.stop()
            self._apart.close()

    @property
    def running(self) -> bool:
        """Whether a measurement is under way."""
        return self._apart is not None

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show the state."""
        state = self.query_one("#measure-state", Static)
        state.set_class(bad, "-bad")
        state.update(clean(text))

    def values(self) -> dict[str, str]:
        """Return what the fields hold."""
        return {(field.id or "").removeprefix("measure-"): field.value.strip() for field in self.query(Input)}

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.running:
            return
        self.planned = None
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLED_S, self.price_again)

    @on(Input.Submitted)
    def _next(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_next()

    def price_again(self) -> None:
        """Read the form and price it."""
        self._price(self.values())

    @work(thread=True, exclusive=True, group="price", description="price a measurement")
    def _price(self, values: dict[str, str]) -> None:
        worker = get_current_worker()
        try:
            planned = self.plan(values)
            # What other processes have spent today is in the log alone.
            day = spent_on(self.shared.log_path, self.shared.now())
        except PromptopError as error:
            message = self.Priced(None, str(error))
        else:
            self.shared.purse.know(day)
            message = self.Priced(planned)
        if not worker.is_cancelled:
            self.post_message(message)

    @on(Priced)
    def _priced(self, event: Priced) -> None:
        event.stop()
        if self.running:
            return
        self.planned = event.planned
        if event.planned is None:
            self.say(f"✗ {event.problem}", bad=True)
            return
        self.priced()
        self.say(f"{event.planned.most} · F5 sends them\n{self._spent()}")

    def _spent(self) -> str:
        return str(self.shared.purse).replace("\n", " · ")

    def action_run(self) -> None:
        """Send what was priced."""
        if self.running:
            self.notify("Still running: Esc stops it.", severity="warning")
            return
        if self.planned is None:
            return  # the state says what is wrong, or it is being priced
        try:
            self.shared.purse.check(self.planned.most)
        except PromptopError as error:
            self.say(f"✗ {error}", bad=True)
            return
        self._stopping = False
        self.began()
        self.add_class("-measuring")
        self.query_one("#measure-body").focus()  # letters are keys from now on
        self.say("starting …")
        settings = self.shared.settings
        options = {
            "log": self.shared.log_path,
            "bodies": settings.log.bodies,
            "simulated": self.shared.simulated,
        }
        self._apart = MeasurementProcess(
            self.planned.measurement,
            options,
            on_told=lambda step: self.post_message(self.Told(step)),
            on_done=lambda outcome: self.post_message(self.Over(outcome)),
            on_failed=lambda why: self.post_message(self.Over(None, why)),
        )

    @on(Told)
    def _told(self, event: Told) -> None:
        event.stop()
        if self.running:
            self.say(("stopping · " if self._stopping else "") + self.advanced(event.step))

    @on(Over)
    def _over(self, event: Over) -> None:
        event.stop()
        if self._apart is None:
            return
        self._apart.close()
        self._apart, self.planned = None, None
        self.remove_class("-measuring")
        if event.outcome is None:
            self.say(f"✗ {event.problem}", bad=True)
            return
        self.shared.purse.add(event.outcome.spent_usd, event.outcome.unpriced)
        self.say(f"{self.ended(event.outcome)}\n{self._spent()}")
        self.query_one("#measure-body").focus()  # its arrows scroll what came
        self._plan_anew(self.values())

    @work(thread=True, exclusive=True, group="price", description="price a measurement again")
    def _plan_anew(self, values: dict[str, str]) -> None:
        """Prepare another run without a word: what is shown is how the last one ended."""
        try:
            self.planned = self.plan(values)
        except PromptopError:
            self.planned = None  # it was meant a moment ago, and will be said when it is priced

    def action_leave(self) -> None:
        """Stop what runs; with nothing running, close the page."""
        if self._apart is None:
            self.dismiss(self.result())
        else:
            self._stopping = True
            self._apart.stop()


def progress(ended: int, size: int, spent_usd: float, failed: int, *more: str) -> str:
    """Return how far a measurement is: bar, calls, failures, what it has spent."""
    filled = ended * BAR // size if size else BAR
    pieces = [f"{'█' * filled}{'░' * (BAR - filled)} {ended:,}/{size:,} calls"]
    if failed:
        pieces.append(f"✗ {failed:,} failed")
    pieces.append(f"spent {units.usd(spent_usd)}")
    return " · ".join([*pieces, *more])


def number(text: str, name: str, least: float, most: float, default: float | None = None) -> float:
    """Read a number; raise :class:`UsageError` naming the field."""
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{name} cannot be {text!r}.", f"Write a number from {least:g} to {most:g}.")
    return value


def whole(text: str, name: str, least: int, most: int, default: int | None = None) -> int:
    """Read a whole number; raise :class:`UsageError` naming the field."""
    value = number(text, name, least, most, default)
    if value != int(value):
        raise UsageError(f"{name} cannot be {text!r}.", f"Write a whole number from {least} to {most}.")
    return int(value)
