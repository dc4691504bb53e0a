"""The column of parameters: which models are asked, and with what; mistakes are shown where they are typed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Label, SelectionList, Static
from textual.widgets.selection_list import Selection

from promptop import models
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import mark, tr, tr_n
from promptop.client.apis import MODEL_REFUSES, refusal
from promptop.client.conversation import OLDER, Older
from promptop.client.request import show_stops
from promptop.client.targets import Target, offered, parse_target
from promptop.client.tools.mocks import Answer, read_mocks
from promptop.client.variants import read_format, read_overrides, read_tools, write_override
from promptop.settings import Settings
from promptop.workers.check_worker import check_lines
from promptop_tui.playground.views.fields import (
    AT_ONCE,
    FIELDS,
    REPEATS,
    ROUNDS,
    CacheSwitch,
    Choice,
    Opener,
    ParameterInput,
)
from promptop_tui.playground.views.model_list import ModelField
from promptop_tui.widgets.check_list import CheckList
from promptop_tui.widgets.panel import Panel

MOST_MODELS = 400
"""Models of an endpoint that are listed; routers have more, and a name can be typed."""
TEXTS = ("tools", "format", "overrides", "checks", "mocks")
"""Parts of a setup that are written on a page of their own."""
MOST_NAMED = 6
"""Variables without a value that are named; the others are counted."""
GROUPS = (
    (mark("sampling"), ("temperature", "top_p", "seed", "reasoning_effort")),
    (mark("limits"), ("max_tokens", "stop")),
)
"""Heading → the parameters of a request below it."""
_RUN_FIELDS = (REPEATS, AT_ONCE, ROUNDS)
"""Fields of the run, not of a request."""


class ParameterColumn(VerticalScroll, can_focus=False):
    """Models and parameters, and what the session has spent."""

    HELP = r"""
    Choose models with space, or type one (`model` or `model@profile`) and press enter. An empty field is not sent.
    Stop sequences are separated by `|` and may hold escapes: `\n`, `\t`, `\xHH`, `\uHHHH`, `\|`, `\\`.
    `max_tokens` is sent in the field that the model takes; what a model refuses is left out, and the pane says so.

    `prompts`, `options` and `checks` open pages: versions to be asked side by side; tools, response format and
    parameters of one model alone; what every answer must be.
    """

    class Changed(Message):
        """Models or parameters are not what they were."""

    def __init__(self, settings: Settings, price: Static) -> None:
        """Build the column; ``price`` is shown above what the session has spent."""
        super().__init__(id="parameters")
        self._settings = settings
        self._price = price
        self._spent = ""
        self._guessed = ""
        """The model that was chosen because something had to be; empty once anything else is."""
        self.texts: dict[str, str] = dict.fromkeys(TEXTS, "")
        """What is written on the pages of options and checks."""

    def compose(self) -> ComposeResult:
        """Lay out the list of models, the fields and the spend."""
        playground = self._settings.playground
        start = {"max_tokens": str(playground.max_tokens or ""), "temperature": f"{playground.temperature:g}"}
        named = offered(self._settings)
        targets = named or [parse_target(name, self._settings) for name in models.watch_list()]
        self._guessed = "" if named else targets[0].spec
        with Panel(id="models", heading=tr("Models")):
            yield CheckList(
                *(
                    Selection(clean_line(target.spec), target.spec, number == 0)
                    for number, target in enumerate(targets)
                ),
                compact=True,
                id="model-list",
            )
            yield ModelField(placeholder=tr("+ model, enter"), compact=True, id="model-new")
        fields = {field.name: ParameterInput(field, start.get(field.name, "")) for field in FIELDS}
        with Panel(id="fields", heading=tr("Parameters")):
            yield from self._group(tr("prompt"))
            yield from self._widget(
                "prompts", Opener("versions", tr("as typed"), tr("Versions that are asked side by side"))
            )
            yield from self._widget(
                "variables", Opener("variables", tr("none"), tr("What stands in place of each {{name}}"))
            )
            yield from self._widget(
                "system", Choice("system", ("on", "off"), tr("Send messages of role system, or not"))
            )
            yield from self._widget("rounds", ParameterInput(ROUNDS, ""))
            older = tr("What becomes of rounds before those that are kept")
            yield from self._widget("older", Choice("older", OLDER, older))
            for group, names in GROUPS:
                yield from self._group(tr(group))
                for name in names:
                    yield from self._row(name, fields[name].field.label, fields[name])
            yield from self._group(tr("output"))
            options = tr("Tools, response format, one model's parameters")
            yield from self._widget("options", Opener("options", tr("none"), options))
            yield from self._widget("checks", Opener("checks", tr("none"), tr("What every answer must be")))
            yield from self._group(tr("run"))
            yield from self._row(REPEATS.name, REPEATS.label, ParameterInput(REPEATS, "1"))
            yield from self._row(AT_ONCE.name, AT_ONCE.label, ParameterInput(AT_ONCE, ""))
            yield from self._widget("cache", CacheSwitch())
        yield Static(id="hint", markup=False)
        with Panel(id="money", heading=tr("Cost")):
            yield self._price
            yield Static(id="unfilled", markup=False)
            yield Static(self._spent, id="spent", markup=False)

    def _group(self, title: str) -> ComposeResult:
        yield Label(title, classes="group")

    def _widget(self, name: str, widget: Static | Input) -> ComposeResult:
        yield from self._row(name, name, widget)

    def _row(self, name: str, label: str, widget: Static | Input) -> ComposeResult:
        with Horizontal(classes="parameter", id=f"row-{name}"):
            yield Label(label)
            yield widget

    def on_mount(self) -> None:
        """Name the box and judge what the settings gave."""
        self._tell_models(tr("settings") if offered(self._settings) else tr("catalogue"))
        self._judge()

    # Reading

    def targets(self) -> list[Target]:
        """Return the models that are chosen, in the order of the list."""
        choices = self.query_one(CheckList)
        chosen = set(choices.selected)
        specs = [spec for spec in self.query_one(CheckList).values if spec in chosen]
        return [parse_target(spec, self._settings) for spec in specs]

    def values(self) -> dict[str, Any]:
        """Return the parameters that are set; raise :class:`UsageError` naming the first that is not valid."""
        read = {field.field.name: field.read() for field in self.query(ParameterInput) if field.field in FIELDS}
        found = {name: value for name, value in read.items() if value is not None}
        tools, answer_format = read_tools(self.texts["tools"]), read_format(self.texts["format"])
        extra = {"tools": tools or None, "response_format": answer_format}
        found["extra"] = {name: value for name, value in extra.items() if value is not None}
        return found

    def overrides(self) -> dict[str, dict[str, Any]]:
        """Return the parameters of one model alone; raise :class:`UsageError` where they are not valid."""
        return read_overrides(self.texts["overrides"])

    def mocks(self) -> dict[str, Answer]:
        """Return what answers tools, by their names; raise :class:`UsageError` where that cannot be read."""
        return read_mocks(self.texts["mocks"], commands=self._settings.playground.tool_commands)

    def checks(self) -> list[str]:
        """Return what every answer must be."""
        return check_lines(self.texts["checks"])

    def cached(self) -> bool:
        """Return whether answers may come from the cache: never where calls are repeated to be measured."""
        return self.query_one(CacheSwitch).active and self.repeats() == 1

    def system(self) -> bool:
        """Return whether messages of role system are sent."""
        return self.query_one("#parameter-system", Choice).value == "on"

    def repeats(self) -> int:
        """Return how often each model is asked; raise :class:`UsageError` if that is not valid."""
        return self._number(REPEATS.name) or 1

    def at_once(self, calls: int) -> int:
        """Return how many of ``calls`` may be in flight: all, but repeated ones one after the other, unless typed."""
        return self._number(AT_ONCE.name) or (calls if self.repeats() == 1 else 1)

    def rounds(self) -> tuple[int | None, Older]:
        """Return how many rounds of a conversation are sent (None: all), and what becomes of the older ones."""
        older = self.query_one("#parameter-older", Choice).value
        return self._number(ROUNDS.name), next(each for each in OLDER if each == older)

    def _number(self, name: str) -> int | None:
        found: int | None = self.query_one(f"#parameter-{name}", ParameterInput).read()
        return found

    # Writing

    def offer(self, names: Sequence[str]) -> None:
        """List the models that the endpoint has, those of the settings first; without any, the list stays as it is."""
        if not names:
            return
        choices = self.query_one(CheckList)
        chosen, values = list(choices.selected), choices.values
        marked = values[choices.highlighted] if choices.highlighted is not None else None
        first = [target.spec for target in offered(self._settings)]
        if self._guessed and chosen == [self._guessed] and self._guessed not in names:
            known = [name for name in models.watch_list() if name in names]
            chosen = [known[0] if known else names[0]]
        listed = list(dict.fromkeys([*first, *chosen, *names[:MOST_MODELS]]))
        with self.prevent(SelectionList.SelectedChanged):
            choices.clear_options()
            choices.add_options([Selection(clean_line(spec), spec, spec in chosen) for spec in listed])
        if marked in listed:  # whoever is choosing stays where they are
            choices.highlighted = listed.index(marked)
        more = f" of {len(names):,}" if len(names) > MOST_MODELS else ""
        self._tell_models(f"{min(len(names), MOST_MODELS):,}{more} · {tr('endpoint')}")
        self._judge()
        self.post_message(self.Changed())

    def _tell_models(self, source: str) -> None:
        """Say where the list comes from."""
        self.query_one("#models", Panel).state = source

    @on(Input.Changed, "#model-new")
    def _look_for_model(self, event: Input.Changed) -> None:
        """Show the first model of the list that has what is typed in its name."""
        event.stop()
        choices = self.query_one(CheckList)
        wanted = event.value.strip().casefold()
        found = next((at for at, spec in enumerate(choices.values) if wanted and wanted in spec.casefold()), None)
        if found is not None:
            choices.highlighted = found

    def choose(self, specs: list[str]) -> None:
        """Choose exactly these models, adding those that the list does not have."""
        if specs:
            self.query_one(CheckList).deselect_all()
        for spec in specs:
            self._add(spec)

    def fill(self, parameters: Mapping[str, Any], models_asked: Sequence[str] = ()) -> None:
        """Write parameters into their fields; fields that are not named become empty.

        What has no field is written as parameters of ``models_asked`` alone.
        """
        for field in self.query(ParameterInput):
            if field.field not in FIELDS:
                continue
            value = parameters.get(field.field.name)
            if field.field.name == "stop":
                stops = [value] if isinstance(value, str) else list(value or ())
                field.value = show_stops([str(stop) for stop in stops])
            else:
                field.value = "" if value is None else str(value)
        for name, key in (("tools", "tools"), ("format", "response_format")):
            value = parameters.get(key)
            self.texts[name] = json.dumps(value, ensure_ascii=False, indent=1) if value else ""
        own = {field.name for field in FIELDS} | {"tools", "response_format"}
        rest = {name: value for name, value in parameters.items() if name not in own}
        self.texts["overrides"] = "\n".join(filter(None, (write_override(model, rest) for model in models_asked)))
        self.texts_changed()

    def setup(self) -> dict[str, Any]:
        """Return models and parameters as they were typed."""
        found: dict[str, Any] = {"models": [target.spec for target in self.targets()]}
        found |= {field.field.name: field.value for field in self.query(ParameterInput)}
        found |= {name: self.query_one(f"#parameter-{name}", Choice).value for name in ("system", "cache", "older")}
        return found | {name: text for name, text in self.texts.items() if text.strip()}

    def restore(self, setup: Mapping[str, Any]) -> None:
        """Write a setup into the fields; what it does not name becomes empty, models stay if it has none."""
        self.choose([str(spec) for spec in setup.get("models") or ()])
        for field in self.query(ParameterInput):
            field.value = str(setup.get(field.field.name, "1" if field.field is REPEATS else ""))
        for choice in (self.query_one(f"#parameter-{name}", Choice) for name in ("system", "cache", "older")):
            wanted = setup.get(str(choice.id).removeprefix("parameter-"))
            choice.value = wanted if wanted in choice.words else choice.words[0]
        self.texts = {name: str(setup.get(name, "")) for name in TEXTS}
        self.texts_changed()

    def texts_changed(self) -> None:
        """Say in a word each what is written on the pages."""
        parts = []
        try:
            tools = len(read_tools(self.texts["tools"]))
            answer_format = read_format(self.texts["format"])
            parts += [tr_n("{n} tool", "{n} tools", tools)] if tools else []
            parts += [str(answer_format["type"]).removeprefix("json_")] if answer_format else []
            mocked = len(self.mocks())
            parts += [tr("{mocked} mocked", mocked=mocked)] if mocked else []
            models_named = len(self.overrides())
            parts += [tr_n("{n} model", "{n} models", models_named)] if models_named else []
        except PromptopError:
            parts = [tr("✗ see there")]
        self.query_one("#open-options", Opener).update(" · ".join(parts) or tr("none"))
        checks = len(self.checks())
        self.query_one("#open-checks", Opener).update(str(checks) if checks else tr("none"))
        self._judge()
        self.post_message(self.Changed())

    def show_versions(self, text: str) -> None:
        """Say which versions are asked."""
        self.query_one("#open-versions", Opener).update(clean_line(text))

    def show_rounds(self, rounds: int) -> None:
        """Show the fields of a conversation's rounds where there is one."""
        self.set_class(rounds > 0, "-conversation")

    @property
    def is_whole(self) -> bool:
        """Whether its fields are there: when the app ends they go before a timer that asks for them."""
        return bool(self.query("#row-variables"))

    def show_variables(self, values: Mapping[str, str]) -> None:
        """Say how many variables have a value; the row is there where there are any."""
        self.query_one("#row-variables").display = bool(values)
        filled = sum(bool(value) for value in values.values())
        self.query_one("#open-variables", Opener).update(tr("{filled} of {n} filled", filled=filled, n=len(values)))

    def show_unfilled(self, names: Sequence[str]) -> None:
        """Name the variables that are sent as written, where there are any."""
        more = f" +{len(names) - MOST_NAMED}" if len(names) > MOST_NAMED else ""
        self.set_class(bool(names), "-unfilled")
        self.query_one("#unfilled", Static).update(
            tr("! unfilled: {join}{more}", join=", ".join(names[:MOST_NAMED]), more=more)
        )

    def show_spent(self, text: str) -> None:
        """Show what the session has spent."""
        self._spent = text
        self.query_one("#spent", Static).update(text)

    @on(Input.Submitted, "#model-new")
    def _add_typed(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self._add(event.value.strip())
            choices = self.query_one(CheckList)
            choices.highlighted = choices.values.index(event.value.strip())  # and shown, however long the list is

    def _add(self, spec: str) -> None:
        choices = self.query_one(CheckList)
        if spec not in choices.values:
            choices.add_option(Selection(clean_line(spec), spec))
        choices.select(spec)

    @on(SelectionList.SelectedChanged, "#model-list")
    def _models_changed(self) -> None:
        self._judge()
        self.post_message(self.Changed())

    @on(Input.Changed)
    def _field_changed(self, event: Input.Changed) -> None:
        if isinstance(event.input, ParameterInput):
            self._judge()
            self.post_message(self.Changed())

    @on(Choice.Turned)
    def _turned(self, event: Choice.Turned) -> None:
        event.stop()
        self._judge()
        self.post_message(self.Changed())

    def _judge(self) -> None:
        """Mark fields that cannot be read, and those that a chosen model does not take."""
        said: list[str] = []
        targets = self.targets()
        run_fields = {field.name for field in _RUN_FIELDS}
        for field in self.query(ParameterInput):
            name = field.field.name
            try:
                value = field.read()
                field.remove_class("-bad")
            except PromptopError as error:
                field.add_class("-bad")
                said.append(str(error).replace("\n ", ""))
                continue
            refusing = {} if name in run_fields else _refusing(targets, name)
            refused = bool(refusing) and sum(map(len, refusing.values())) == len(targets)
            self.query_one(f"#row-{name}").set_class(refused, "-refused")
            field.placeholder = tr("not taken") if refused else field.field.empty
            reasons = [f"{', '.join(specs)}: {why}" for why, specs in refusing.items()]
            field.tooltip = "\n".join([field.field.tooltip, *reasons])
            for why, specs in refusing.items() if value is not None else ():
                because = "" if why == MODEL_REFUSES else f" ({why})"
                said.append(tr("{name}: not for {specs}{because}", name=name, specs=", ".join(specs), because=because))
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
            return [tr("cache: not with repeats, which are measured")]
        sampled = read["temperature"].strip("0.") != "" or not read["temperature"]
        return [tr("cache: only at temperature 0")] if sampled and not self._settings.cache.any_temperature else []


def _refusing(targets: list[Target], name: str) -> dict[str, list[str]]:
    """Return why a parameter is not taken → the models that do not take it, as they are written in the list."""
    found: dict[str, list[str]] = {}
    for target in targets:
        if why := refusal(target.profile, target.model, name):
            found.setdefault(why, []).append(clean_line(target.spec))
    return found
