"""The page that asks which sentences carry weight: priced, then unit by unit, then the trim that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units as figures
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.budget.estimate import estimate, times
from promptop.client.request import Message as ChatMessage
from promptop.client.request import RunRequest
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion, requests_of
from promptop.experiments.ablation.report import AblationReport, UnitRow, could_show, report_on
from promptop.experiments.ablation.run import (
    AblationOutcome,
    AblationRun,
    AblationStep,
    plan_ablation,
    without_copies,
)
from promptop.experiments.ablation.search import CARRIES, FREE, likely_calls
from promptop.experiments.ablation.units import units_of
from promptop.experiments.checks import Spec
from promptop.experiments.grid.cells import CellStore, run_to_go_on
from promptop.experiments.grid.plan import GridPlan, PlannedCase, planned_cases, standing_in
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.prompts.proof import digest
from promptop.prompts.reader import prompt_from
from promptop.settings import Settings
from promptop.trim import find
from promptop_tui.context import AppContext
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.form_modal import FormField
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable

AND = "&&"
"""Stands between checks that are typed into one field."""
CAP_USD = 0.5
AT_ONCE = 4
_MARKS: Mapping[str, Cell] = {CARRIES: ("█ carries", "good"), FREE: ("· free", "muted")}
_STATE, _UNIT = Column("state", "weight", 12, rank=0), Column("text", "unit", 20, grows=True)
_BEFORE = (_STATE, _UNIT)
"""Columns until the answers are counted: the units have the room of figures that are not there yet."""
_AFTER = (
    _STATE,
    Column("drop", "drop without it", 24, rank=2),
    Column("tokens", "tokens", 8, rank=1),
    Column("usd", "$ a call", 12, rank=3, fit=True),
    _UNIT,
)


@dataclass(frozen=True, slots=True)
class DraftPlans:
    """Plans every case with a text of the draft; it can be pickled."""

    test_set: TestSet
    checks: tuple[Spec, ...]
    settings: Settings
    spec: str
    role: str

    def __call__(self, text: str) -> Sequence[PlannedCase]:
        """Return the cases with a request each; raise :class:`UsageError` for a variable without a value."""
        prompt = prompt_from(text, role=self.role)
        target = parse_target(self.spec, self.settings)
        chosen = self.settings.playground
        parameters = {"max_tokens": chosen.max_tokens, **prompt.parameters, "retries": 2, "cache": False}

        def build(values: Mapping[str, str], messages: Sequence[ChatMessage]) -> list[list[RunRequest]]:
            missing = () if messages else prompt.missing(values)
            if missing:
                raise UsageError(f"The variable {{{{{missing[0]}}}}} has no value.", "Add it to the cases' vars.")
            version = PromptVersion(AS_TYPED, prompt.openai(values), prompt.name or None)
            return [[standing_in(each, messages) for each in requests_of([target], [version], parameters)]]

        return planned_cases(self.test_set, self.checks, build)


@dataclass
class AblationMemory:
    """What outlives the page: what was typed, and the run whose answers are kept."""

    values: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    """What was asked → id of its run: asked again, only what is missing is sent."""


@dataclass(frozen=True, slots=True)
class AblationResult:
    """What the page hands back."""

    report: AblationReport
    unit: int | None = None
    """The unit to go to."""
    takes: bool = False
    """Whether the trim is wanted."""


class AblationView(Vertical):
    """Asks, and shows the units with what they cost and carry."""

    HELP = """
    Groups of sentences are left out and the cases asked; the first case that breaks names the sentence it needs.
    *carries* and *free* are said only where the answers show it (95 % sure); `=` is a unit that says the same. Free
    means free on these cases. A part of the cases is kept for the proof of the trim that follows.

    `F5` sends what was priced, `Esc` stops it; what is known stays, and F5 goes on with it. Enter goes to a unit in the
    draft, `T` takes the trim as one change that undo brings back.
    """
    title = "ablation: which sentences carry weight?"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "take", "Take trim", id="ablation.take", tooltip="Leave out everything that can go"),
    ]

    @dataclass
    class Reported(Message):
        """The units have their figures, which were counted on a thread."""

        report: AblationReport

    def __init__(
        self, context: AppContext, text: str, role: str, models: Sequence[str], memory: AblationMemory
    ) -> None:
        """``text`` is the draft; ``models`` are offered where neither draft nor profile names one."""
        super().__init__(id="measure-body")
        self.shared, self._text, self._role, self._memory = context, text, role, memory
        named = prompt_from(text, role=role).model
        offered = [named] if named else list(context.settings.active_profile().models[:1]) or list(models[:1])
        self._model = "".join(offered[:1])
        self._units = units_of(text)
        self._states: Mapping[int, str] = {}
        self._rows: list[UnitRow] = []
        self._asked = ""
        self.report: AblationReport | None = None
        self.chosen: AblationResult | None = None
        self._note = ""
        self._table = ChoiceTable(_BEFORE, follows=False, id="grid-table")
        self._summary = Static(id="grid-summary", markup=False)

    @property
    def view(self) -> Widget:
        """The units, which are this widget."""
        return self

    def compose(self) -> ComposeResult:
        """Lay out the units over what was found."""
        yield self._table
        yield self._summary

    def on_mount(self) -> None:
        """List the units of the draft."""
        self._table.set_rows(len(self._units), self._row)

    def focus(self, scroll_visible: bool = True) -> AblationView:
        """Give the keys to the units."""
        self._table.focus(scroll_visible)
        return self

    def fields(self) -> list[FormField]:
        """Return test set, model, checks, cap and calls at once."""
        known = self._memory.values
        return [
            FormField("file", tr("test set"), known.get("file", ""), tr("cases.csv, .jsonl or .yaml")),
            FormField("model", "model", known.get("model", self._model), tr("model, or model@profile")),
            FormField("checks", "checks", known.get("checks", ""), tr("json {joined} contains:TEXT", joined=AND)),
            FormField("cap", "cap $", known.get("cap", f"{CAP_USD:g}"), tr("it stops there")),
            FormField("at_once", tr("at once"), known.get("at_once", str(AT_ONCE)), "calls"),
        ]

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Read the test set, cut the draft, and price what it is likely to take."""
        if not values["file"]:
            raise UsageError("No test set was named.", "promptop cases new cases.csv begins one.")
        if not values["model"]:
            raise UsageError("No model was named.", "Write one, as in gpt-4o-mini.")
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        at_once = whole(values["at_once"], tr("at once"), 1, 64, AT_ONCE)
        test_set = read_test_set(Path(values["file"]).expanduser())
        checks = tuple(part.strip() for part in values["checks"].split(AND) if part.strip())
        drafts = DraftPlans(test_set, checks, self.shared.settings, values["model"], self._role)
        cases, plans, _ = without_copies(drafts, self._text)
        settings = self.shared.settings.playground
        grid = GridPlan(
            cases,
            (cases[0].requests[0][0].title,),
            folder=test_set.folder,
            python=settings.python_checks,
            at_once=at_once,
            set_digest=test_set.digest,
            tags=test_set.tags,
        )
        if not grid.has_checks:
            raise UsageError("Nothing says what a right answer is.", "Type a check, or give the cases expected.")
        if not any(not unit.pinned for unit in self._units):
            raise UsageError("There is no sentence that could be left out.", "Write a longer prompt.")
        edits = find(self._text)
        suspected = frozenset(
            unit.number for unit in self._units if any(e.start < unit.end and unit.start < e.end for e in edits)
        )
        plan = plan_ablation(self._text, cases, grid, suspected=suspected)
        self._asked = f"ablation {digest(self._text)} {test_set.digest} {values['model']} {values['checks']}"
        known = self._memory.runs.get(self._asked) or run_to_go_on(self._asked)
        store = CellStore(known, full=self.shared.keeps_texts, asked=self._asked)
        self._memory.runs[self._asked] = store.run
        one = estimate([planned.requests[0][0] for planned in plan.cases], 1, lengths_of(self.shared))
        likely = likely_calls(len(plan.units), len(plan.cases)) + 2 * len(plan.held)
        self._note = could_show(len(plan.held), plan.margin)
        return Planned(AblationRun(plan, plans, store), times(one, math.ceil(likely / len(plan.cases))), cap)

    def priced(self) -> None:
        """Say what the cases can show."""
        if self.report is None:
            self._summary.update(clean(self._note))

    def began(self, values: Mapping[str, str]) -> None:
        """Begin with units of which nothing is known."""
        self._memory.values.update(values)
        self.report, self._rows, self._states = None, [], {}
        self._table.set_columns(_BEFORE)
        self._table.set_rows(len(self._units), self._row)

    def advanced(self, step: AblationStep) -> str:
        """Show what is known of each unit so far."""
        if step.states != self._states:
            self._states = step.states
            self._table.set_rows(len(self._units), self._row)
        note = clean_line(step.step.note, 60)
        return progress(step.ended, step.size, step.spent_usd, step.failed, note)

    def ended(self, outcome: AblationOutcome) -> str:
        """Have the figures counted."""
        self._report(outcome)
        how = tr("the cap ended it") if outcome.is_capped else "stopped" if outcome.stopped else "done"
        kept = tr(" · {kept} answers were kept", kept=outcome.kept) if outcome.kept else ""
        return f"{how}{kept}" + "".join(f"\n✗ {clean_line(error, 200)}" for error in outcome.errors[:2])

    @work(thread=True, exclusive=True, group="report", description="count units")
    def _report(self, outcome: AblationOutcome) -> None:
        model = outcome.plan.cases[0].requests[0][0].model
        self.post_message(self.Reported(report_on(outcome, model)))

    @on(Reported)
    def _reported(self, event: Reported) -> None:
        event.stop()
        report = self.report = event.report
        # What costs and does nothing first, then what carries, the cheapest first.
        free, carries = report.expensive_free, [row for row in report.rows if row.finding.state == CARRIES]
        others = [row for row in report.rows if row.finding.state not in (CARRIES, FREE)]
        self._rows = [*free, *others, *sorted(carries, key=lambda row: row.tokens)]
        self._table.set_columns(_AFTER)
        self._table.set_rows(len(self._rows), self._row)
        lines = report.lines()
        if report.outcome.found.removed:
            lines.append(
                tr(
                    "{key_name} takes the trim ({verdict})",
                    key_name=key_name(self, "ablation.take"),
                    verdict=report.verdict,
                )
            )
        self._summary.update(clean("\n".join(lines)))

    def _row(self, at: int) -> Sequence[Cell]:
        if not self._rows:
            if at >= len(self._units):
                return ()
            unit = self._units[at]
            state: Cell = ("pinned", "muted") if unit.pinned else _MARKS.get(self._states.get(at, ""), "?")
            return (state, clean_line(" ".join(self._text[unit.start : unit.end].split()), 200))
        if at >= len(self._rows):
            return ()
        row = self._rows[at]
        found, interval = row.finding, row.finding.interval
        mark: Cell = ("pinned", "muted") if row.unit.pinned else _MARKS.get(found.state, "? undecided")
        drop = ""
        if interval is not None and found.effect is not None:
            ends = f"[{figures.share(interval[0])} to {figures.share(interval[1])}]"
            drop = f"{figures.share(max(0.0, found.effect))} {ends}"
        usd = figures.UNKNOWN if row.usd is None else figures.usd(row.usd)
        said = " ".join(row.text.split())
        if found.twin is not None:
            said = f"= {' '.join(self._piece(found.twin).split())[:30]} | {said}"
        return (mark, drop, str(row.tokens), usd, clean_line(said, 200))

    def _piece(self, number: int) -> str:
        return self._text[self._units[number].start : self._units[number].end]

    @on(VirtualTable.Chosen)
    def _opened(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        if self.report is None or event.row >= len(self._rows):
            return
        self.chosen = AblationResult(self.report, self._rows[event.row].unit.number)
        self.screen.dismiss(self.chosen)

    def action_take(self) -> None:
        """Hand the trim to the draft."""
        if self.report is None or not self.report.outcome.found.removed:
            self.notify(tr("There is no trim to take."), severity="warning")
            return
        self.chosen = AblationResult(self.report, takes=True)
        self.screen.dismiss(self.chosen)

    def result(self) -> AblationResult | None:
        """Return what was found, for the draft to paint."""
        return self.chosen or (AblationResult(self.report) if self.report is not None else None)


def ablation_dialog(
    context: AppContext, text: str, role: str, models: Sequence[str], memory: AblationMemory
) -> MeasureDialog[AblationResult]:
    """Return the dialog that weighs a draft; raise :class:`PromptopError` for front matter that cannot be read."""
    return MeasureDialog(context, AblationView(context, text, role, models, memory))
