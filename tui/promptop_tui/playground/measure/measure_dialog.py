"""The dialog that measures: priced before anything is sent, then how far it is, and what came of it.

What is measured is given to it (:class:`Measure`): its fields, its plan, and a view of its results. The measurement
runs in a process of its own (:mod:`promptop.workers.measurement`): nothing that is drawn here delays a stamp. Its
callbacks come on a thread and are posted as messages, so that widgets are touched by handlers alone. What is sent is
exactly what was priced last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input
from textual.worker import get_current_worker

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.texts import tr
from promptop.budget.budget import spent_on
from promptop.budget.estimate import CostEstimate, Lengths, output_lengths
from promptop.workers.measurement import Measurement, MeasurementProcess
from promptop_tui.context import AppContext
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.form_modal import FormField, FormModal

SETTLED_S = 0.3
BAR = 24
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Planned:
    """A measurement that was priced: it can be sent."""

    measurement: Measurement
    most: CostEstimate
    cap_usd: float | None = None
    """What it may cost, beside the caps of session and day."""
    least: CostEstimate | None = None
    """What must fit below the caps for it to begin, where it may end before it has asked everything."""


class Measure(Protocol[Result_co]):
    """What is measured, and how that is shown."""

    title: str

    @property
    def view(self) -> Widget:
        """Return what stands below the state; it has the focus while something runs and when it is over."""
        ...

    def fields(self) -> Sequence[FormField]:
        """Return the form."""
        ...

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Return what the fields mean, on a thread; raise :class:`PromptopError` with what is wrong."""
        ...

    def priced(self) -> None:
        """Show what :meth:`plan` found beside the price."""
        ...

    def began(self, values: Mapping[str, str]) -> None:
        """Forget what an earlier run left on the view; these values are sent."""
        ...

    def advanced(self, step: Any) -> str:
        """Show how far it is, and return the line that says so."""
        ...

    def ended(self, outcome: Any) -> str:
        """Show what came, and return the line that says how it ended."""
        ...

    def result(self) -> Result_co | None:
        """Return what the dialog hands back when it is closed."""
        ...


def lengths_of(context: AppContext) -> Lengths:
    """Return how long answers were in the log, by model; blocks."""
    return output_lengths(context.log_path, context.now())


class MeasureDialog(FormModal[Result], Generic[Result]):
    """A form, its price, and what the measure makes of the results."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Run", id="measure.run", tooltip="Send what was priced", priority=True),
        Binding("f9", "cases", "Cases", id="measure.cases", tooltip="Edit the test set as a table", priority=True),
        Binding("escape", "close", "Stop, close", id="dialog.close", tooltip="Stop what runs, else close"),
    ]

    @dataclass
    class Priced(Message):
        """The form was read, on a thread."""

        planned: Planned | None
        problem: str = ""

    @dataclass
    class Progress(Message):
        """How far the measurement is."""

        step: Any

        def can_replace(self, message: Message) -> bool:
            """Let only the latest wait in the queue."""
            return isinstance(message, MeasureDialog.Progress)

    @dataclass
    class Finished(Message):
        """The measurement is over: its outcome, or why there is none."""

        outcome: Any
        problem: str = ""

    def __init__(self, context: AppContext, measure: Measure[Result]) -> None:
        super().__init__(measure.title, measure.fields(), body=[measure.view])
        self.context = context
        self.measure = measure
        self.HELP = getattr(measure, "HELP", None)  # type: ignore[misc]  # each measure has its own
        self.planned: Planned | None = None
        self._process: MeasurementProcess | None = None
        self._problem = ""
        """Why what the form says cannot be sent; empty while it is being priced."""
        self._settling: Timer | None = None
        self._priced_values: dict[str, str] = {}
        self._stopping = False

    def on_mount(self) -> None:
        """Price what the form begins with."""
        self.price_again()

    def on_unmount(self) -> None:
        """End the process that measures."""
        if self._process is not None:
            self._process.stop()
            self._process.close()

    @property
    def running(self) -> bool:
        """Whether a measurement is under way."""
        return self._process is not None

    # The price

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.running or self.values() == self._priced_values:
            return  # fields tell their first value, too
        self.planned, self._problem = None, ""
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(SETTLED_S, self.price_again)

    def price_again(self) -> None:
        """Read the form and price it."""
        self._priced_values, self._problem = self.values(), ""
        self._price(self._priced_values)

    @work(thread=True, exclusive=True, group="price", description="price a measurement")
    def _price(self, values: dict[str, str]) -> None:
        worker = get_current_worker()
        try:
            planned = self.measure.plan(values)
            # What other processes have spent today is in the log alone.
            day = spent_on(self.context.log_path, self.context.now())
        except PromptopError as error:
            message = self.Priced(None, str(error))
        else:
            self.context.purse.know(day)
            message = self.Priced(planned)
        if not worker.is_cancelled:
            self.post_message(message)

    @on(Priced)
    def _priced(self, event: Priced) -> None:
        event.stop()
        if self.running:
            return
        self.planned, self._problem = event.planned, event.problem
        if event.planned is None:
            self.say(f"✗ {event.problem}", bad=True)
            return
        self.measure.priced()
        self.say(
            tr(
                "{most} · {key_name} sends them\n{spent}",
                most=event.planned.most,
                key_name=key_name(self, "measure.run"),
                spent=self._spent(),
            )
        )

    def _spent(self) -> str:
        return str(self.context.purse).replace("\n", " · ")

    # The run

    def action_run(self) -> None:
        """Send what was priced."""
        if self.running:
            self.notify(
                tr("Still running: {key_name} stops it.", key_name=key_name(self, "dialog.close")), severity="warning"
            )
            return
        if self.planned is None:
            if not self._problem:
                key = key_name(self, "measure.run")
                said = tr("It is being priced: nothing was sent. {key} sends it then.", key=key)
                self.notify(said, severity="warning")
            else:
                self.notify(self._problem, title=tr("Not sent"), severity="warning", markup=False)
            return
        try:
            self.context.settings.require_valid()
            self.context.purse.check(self.planned.least or self.planned.most)
        except PromptopError as error:
            self.say(f"✗ {error}", bad=True)
            return
        self._stopping = False
        self.measure.began(self.values())
        self.add_class("-measuring")
        self.measure.view.focus()  # letters are keys from now on
        self.say("starting …")
        settings = self.context.settings
        options = {
            "log": self.context.log_path,
            "bodies": settings.log.bodies,
            "simulated": self.context.simulated,
            "gate": self.context.purse.gate_for(self.planned.cap_usd),
        }
        self._process = MeasurementProcess(
            self.planned.measurement,
            options,
            on_told=lambda step: self.post_message(self.Progress(step)),
            on_done=lambda outcome: self.post_message(self.Finished(outcome)),
            on_failed=lambda why: self.post_message(self.Finished(None, why)),
        )

    @on(Progress)
    def _progress(self, event: Progress) -> None:
        event.stop()
        if self.running:
            self.say(("stopping · " if self._stopping else "") + self.measure.advanced(event.step))

    @on(Finished)
    def _finished(self, event: Finished) -> None:
        event.stop()
        if self._process is None:
            return
        self._process.close()
        self._process, self.planned = None, None
        self.remove_class("-measuring")
        if event.outcome is None:
            self.say(f"✗ {event.problem}", bad=True)
            return
        self.context.purse.add(event.outcome.spent_usd, event.outcome.unpriced)
        self.say(f"{self.measure.ended(event.outcome)}\n{self._spent()}")
        self.measure.view.focus()  # its arrows scroll what came
        self._plan_anew(self.values())

    @work(thread=True, exclusive=True, group="price", description="price a measurement again")
    def _plan_anew(self, values: dict[str, str]) -> None:
        """Prepare another run without a word: what is shown is how the last one ended."""
        try:
            self.planned = self.measure.plan(values)
        except PromptopError:
            self.planned = None  # it was fine a moment ago, and is said when it is priced again

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the table of cases only where a test set is asked."""
        return any(field.id == "file" for field in self.fields) if action == "cases" else True

    def action_cases(self) -> None:
        """Edit the test set that is named as a table; one that is saved is priced anew."""
        from promptop_tui.playground.dialogs.test_set import TestSetDialog

        name = self.values()["file"]
        if self.running or not name:
            why = (
                tr("Still running.")
                if self.running
                else tr("Name the file of a test set first: one that is new is begun.")
            )
            self.notify(why, severity="warning", markup=False)
            return
        try:
            page = TestSetDialog(Path(name).expanduser(), getattr(self.measure, "variables", ()))
        except PromptopError as error:
            self.say(f"✗ {error}", bad=True)
            return
        self.app.push_screen(page, self._cases_edited)

    def _cases_edited(self, path: Path | None) -> None:
        if path is not None:
            self.planned = None
            self.price_again()

    def action_close(self) -> None:
        """Stop what runs; with nothing running, close with the measure's result."""
        if self._process is None:
            self.dismiss(self.measure.result())
        else:
            self._stopping = True
            self._process.stop()


def progress(ended: int, size: int, spent_usd: float, failed: int, *more: str) -> str:
    """Return how far a measurement is: bar, calls, failures, what it has spent."""
    filled = ended * BAR // size if size else BAR
    pieces = [
        tr(
            "{value}{value_2} {ended:,}/{size:,} calls",
            value="█" * filled,
            value_2="░" * (BAR - filled),
            ended=ended,
            size=size,
        )
    ]
    if failed:
        pieces.append(tr("✗ {failed:,} failed", failed=failed))
    pieces.append(tr("spent {spent_usd}", spent_usd=units.usd(spent_usd)))
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
