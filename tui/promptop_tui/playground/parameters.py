"""The column of parameters: which models are asked, and with what; mistakes are shown where they are typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.widgets import Input, Label, SelectionList, Static
from textual.widgets.selection_list import Selection

from promptop import models
from promptop.errors import PromptopError, UsageError
from promptop.runs.request import parse_stops, show_stops
from promptop.runs.targets import Target, offered, parse_target
from promptop.safe import clean_line
from promptop.settings import Settings


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return read


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: how it is read, and what is said when it cannot be."""

    name: str
    label: str
    read: Callable[[str], Any]
    wanted: str
    tooltip: str


FIELDS: tuple[Field, ...] = (
    Field("max_tokens", "max_tokens", _whole, "a whole number ≥ 1", "Limit of output tokens; empty: the model's own"),
    Field("temperature", "temperature", _between(0, 2), "a number from 0 to 2", "Empty: the model's default"),
    Field("top_p", "top_p", _between(0, 1), "a number from 0 to 1", "Nucleus share; empty: the model's default"),
    Field("stop", "stop", parse_stops, "", r"Up to 4, separated by | and with escapes: \n\n|END"),
    Field("seed", "seed", int, "a whole number", "Asks for the same answer again, where the endpoint can"),
)
REPEATS = Field("repeats", "repeats", _whole, "a whole number ≥ 1", "Calls per model, interleaved after a warm-up")


class ParameterInput(Input):
    """The field of one parameter."""

    def __init__(self, field: Field, value: str) -> None:
        super().__init__(value, placeholder="default", compact=True, id=f"parameter-{field.name}")
        self.field = field
        self.tooltip = field.tooltip

    def read(self) -> Any:
        """Return the value, None if empty; raise :class:`UsageError` if it cannot be meant."""
        text = self.value if self.field.name == "stop" else self.value.strip()
        if not text:
            return None
        try:
            return self.field.read(text)
        except ValueError:
            raise UsageError(
                f"{self.field.name} cannot be {clean_line(text, 24)!r}.", f"Write {self.field.wanted}."
            ) from None


class CacheSwitch(Static, can_focus=True):
    """Whether answers may come from the response cache, in words."""

    HELP = """
    On: an answer that the cache has comes from there, costs $0 and says so; what is sent is kept for the next time.
    Only calls at temperature 0 are, unless the settings say otherwise (`any_temperature` in `[cache]`).
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,enter", "turn", "On/off", id="playground.cache", tooltip="Ask the response cache first, or not"),
    ]

    active: var[bool] = var(False)

    class Turned(Message):
        """It was switched."""

    def __init__(self) -> None:
        super().__init__("off", id="parameter-cache", markup=False)
        self.tooltip = "Space: answer from the response cache where it can, and fill it"

    def watch_active(self, active: bool) -> None:
        """Show the state, and tell of it."""
        self.update("on" if active else "off")
        self.post_message(self.Turned())

    def action_turn(self) -> None:
        """Switch it."""
        self.active = not self.active

    def on_click(self) -> None:
        """Switch it."""
        self.action_turn()


class ModelList(SelectionList[str]):
    """Models to choose from; the box of one that is not chosen is empty, not merely darker."""

    def render_line(self, y: int) -> Strip:
        """Return one row, with the mark of a box that is not chosen blanked."""
        strip = super().render_line(y)
        number = self.scroll_offset.y + y
        options = self.options
        if number >= len(options):
            return strip
        option = options[number]
        if isinstance(option, Selection) and option.value in self.selected:
            return strip
        left, mark, *rest = strip
        return Strip([left, Segment(" " * len(mark.text), mark.style), *rest], strip.cell_length)

    @property
    def specs(self) -> list[str]:
        """Every model of the list, as it is written."""
        return [option.value for option in self.options if isinstance(option, Selection)]


class ParameterColumn(VerticalScroll, can_focus=False):
    """Models and parameters, and what the session has spent."""

    HELP = r"""
    Choose models with space, or type one (`model` or `model@profile`) and press enter. An empty field is not sent.
    Stop sequences are separated by `|` and may hold escapes: `\n`, `\t`, `\xHH`, `\uHHHH`, `\|`, `\\`.
    `max_tokens` is sent in the field that the model takes; what a model refuses is left out, and the pane says so.
    """

    class Changed(Message):
        """Models or parameters are not what they were."""

    def __init__(self, settings: Settings, price: Static) -> None:
        """Build the column; ``price`` is shown above what the session has spent."""
        super().__init__(id="parameters")
        self._settings = settings
        self._price = price
        self._spent = ""

    def compose(self) -> ComposeResult:
        """Lay out the list of models, the fields and the spend."""
        playground = self._settings.playground
        start = {"max_tokens": str(playground.max_tokens or ""), "temperature": f"{playground.temperature:g}"}
        targets = offered(self._settings) or [parse_target(name, self._settings) for name in models.watch_list()]
        with Vertical(id="models"):
            yield ModelList(
                *(
                    Selection(clean_line(target.spec), target.spec, number == 0)
                    for number, target in enumerate(targets)
                ),
                compact=True,
                id="model-list",
            )
            yield Input(placeholder="+ model, enter", compact=True, id="model-new")
        for field in FIELDS:
            yield from self._row(field, start.get(field.name, ""))
        yield from self._row(REPEATS, "1")
        with Horizontal(classes="parameter", id="row-cache"):
            yield Label("cache")
            yield CacheSwitch()
        yield Static(id="hint", markup=False)
        yield self._price
        yield Static(self._spent, id="spent", markup=False)

    def _row(self, field: Field, value: str) -> ComposeResult:
        with Horizontal(classes="parameter", id=f"row-{field.name}"):
            yield Label(field.label)
            yield ParameterInput(field, value)

    def on_mount(self) -> None:
        """Name the box and judge what the settings gave."""
        self.query_one("#models").border_title = "models"
        self._judge()

    # Reading

    def targets(self) -> list[Target]:
        """Return the models that are chosen, in the order of the list."""
        choices = self.query_one(ModelList)
        chosen = set(choices.selected)
        specs = [spec for spec in self.query_one(ModelList).specs if spec in chosen]
        return [parse_target(spec, self._settings) for spec in specs]

    def values(self) -> dict[str, Any]:
        """Return the parameters that are set; raise :class:`UsageError` naming the first that cannot be meant."""
        read = {field.field.name: field.read() for field in self.query(ParameterInput) if field.field in FIELDS}
        return {name: value for name, value in read.items() if value is not None}

    def cached(self) -> bool:
        """Return whether answers may come from the cache: never where calls are repeated to be measured."""
        return self.query_one(CacheSwitch).active and self.repeats() == 1

    def repeats(self) -> int:
        """Return how often each model is asked; raise :class:`UsageError` if that cannot be meant."""
        return self.query_one("#parameter-repeats", ParameterInput).read() or 1

    # Writing

    def choose(self, specs: list[str]) -> None:
        """Choose exactly these models, adding those that the list does not have."""
        if specs:
            self.query_one(ModelList).deselect_all()
        for spec in specs:
            self._add(spec)

    def fill(self, parameters: Mapping[str, Any]) -> None:
        """Write parameters into their fields; fields that are not named become empty."""
        for field in self.query(ParameterInput):
            if field.field not in FIELDS:
                continue
            value = parameters.get(field.field.name)
            if field.field.name == "stop":
                stops = [value] if isinstance(value, str) else list(value or ())
                field.value = show_stops([str(stop) for stop in stops])
            else:
                field.value = "" if value is None else str(value)

    def show_spent(self, text: str) -> None:
        """Show what the session has spent."""
        self._spent = text
        self.query_one("#spent", Static).update(text)

    @on(Input.Submitted, "#model-new")
    def _add_typed(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self._add(event.value.strip())
            event.input.value = ""

    def _add(self, spec: str) -> None:
        choices = self.query_one(ModelList)
        if spec not in self.query_one(ModelList).specs:
            choices.add_option(Selection(clean_line(spec), spec))
        choices.select(spec)

    @on(Input.Submitted)
    def _next_field(self, event: Input.Submitted) -> None:
        if isinstance(event.input, ParameterInput):
            event.stop()
            self.screen.focus_next()

    @on(SelectionList.SelectedChanged, "#model-list")
    def _models_changed(self) -> None:
        self._judge()
        self.post_message(self.Changed())

    @on(Input.Changed)
    def _field_changed(self, event: Input.Changed) -> None:
        if isinstance(event.input, ParameterInput):
            self._judge()
            self.post_message(self.Changed())

    @on(CacheSwitch.Turned)
    def _cache_turned(self, event: CacheSwitch.Turned) -> None:
        event.stop()
        self._judge()
        self.post_message(self.Changed())

    def _judge(self) -> None:
        """Mark fields that cannot be read, and those that a chosen model does not take."""
        said: list[str] = []
        targets = self.targets()
        known = [(target, models.find(target.model, target.profile.provider or None)) for target in targets]
        for field in self.query(ParameterInput):
            name = field.field.name
            try:
                value = field.read()
                field.remove_class("-bad")
            except PromptopError as error:
                field.add_class("-bad")
                said.append(str(error).replace("\n ", ""))
                continue
            refusing = [
                target.model
                for target, model in known
                if name not in {"max_tokens", "repeats"} and model is not None and model.takes(name) is False
            ]
            self.query_one(f"#row-{name}").set_class(bool(refusing) and len(refusing) == len(targets), "-refused")
            if refusing and value is not None:
                said.append(f"{name}: not for {', '.join(map(clean_line, refusing))}")
        said += self._judged_cache()
        if not targets:
            said.append("Choose a model.")
        hint = self.query_one("#hint", Static)
        hint.update("\n".join(said))
        hint.display = bool(said)

    def _judged_cache(self) -> list[str]:
        """Say why the cache that is switched on will not be asked."""
        if not self.query_one(CacheSwitch).active:
            return []
        read = {field.field.name: field.value.strip() for field in self.query(ParameterInput)}
        if read["repeats"] not in {"", "1"}:
            return ["cache: not with repeats, which are measured"]
        sampled = read["temperature"].strip("0.") != "" or not read["temperature"]
        return ["cache: only at temperature 0"] if sampled and not self._settings.cache.any_temperature else []
