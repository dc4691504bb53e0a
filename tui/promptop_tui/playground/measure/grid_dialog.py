"""A test set as a grid: a row a case, a column a variant; failing cells first, opened beside those that passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.request import Message, RunRequest
from promptop.client.targets import parse_target
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell, run_to_go_on
from promptop.experiments.grid.export import report_of, write_grid
from promptop.experiments.grid.plan import GridPlan, PlannedCase, digest_of, planned_cases, require_models
from promptop.experiments.grid.run import CellState, GridOutcome, GridRun, GridStep
from promptop.experiments.stats import share_interval
from promptop.experiments.test_sets import read_test_set
from promptop_tui.context import AppContext
from promptop_tui.playground.dialogs.cell_compare import CellDialog
from promptop_tui.playground.measure.case_list import CaseFilter, ask_export
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.widgets.form_modal import FormField
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, VirtualTable

AT_ONCE = 4
MOST_AT_ONCE = 64
Build = Callable[[Mapping[str, str], Sequence[Message]], list[RunRequest]]
"""Takes the values and messages of a case, returns a request for each variant."""


@dataclass
class GridMemory:
    """What outlives the dialog: what was typed, and the cells that are finished."""

    values: dict[str, str] = field(default_factory=dict)
    run: str = ""
    cells: dict[CellKey, GridCell] = field(default_factory=dict)


class GridView(Vertical):
    """Asks every case of every variant, and shows the cells as they come."""

    HELP = """
    The chosen versions and models of the playground are the columns, the cases of the file are the rows. A cell passes
    if there is an answer and it passes every check of its case. Cases with a failing cell come first. Enter opens a
    case: its answers side by side, with what each check says. Finished cells are kept: asked again, only what has
    changed is sent. Files: CSV, JSON lines or YAML, promptfoo's and OpenAI's too.
    """
    title = "test set: case × variant"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "failing", "Failing only", id="cases.failing", tooltip="Only cases with a failing cell, or all"),
        Binding("t", "tag", "Next tag", id="cases.tag", tooltip="Show the cases of the next tag"),
        Binding("x", "export", "Export", id="cases.export", tooltip="Write the grid to a file"),
    ]

    def __init__(self, context: AppContext, build: Build, titles: Sequence[str], memory: GridMemory) -> None:
        """``titles`` name the variants; ``memory`` keeps cells from one opening to the next."""
        super().__init__(id="measure-body")
        self.shared = context
        self._build, self._titles, self._memory = build, tuple(titles), memory
        self._cases: tuple[PlannedCase, ...] = ()
        self._shown: tuple[PlannedCase, ...] = ()
        self._order: list[int] = []
        self._filter = CaseFilter()
        self._outcome: GridOutcome | None = None
        self._states: Mapping[tuple[int, int], CellState] = {}
        self._cells: Mapping[tuple[int, int], GridCell] = {}
        self._note = ""
        self._table = ChoiceTable(self._columns(), follows=False, id="grid-table")
        self._summary = Static(id="grid-summary", markup=False)

    @property
    def view(self) -> Widget:
        """The grid, which is this widget."""
        return self

    def compose(self) -> ComposeResult:
        """Lay out the cells over their sums."""
        self._table.empty = tr("Name the file of a test set above.")
        yield self._table
        yield self._summary

    def focus(self, scroll_visible: bool = True) -> GridView:
        """Give the keys to the cells."""
        self._table.focus(scroll_visible)
        return self

    def _columns(self) -> tuple[Column, ...]:
        names = [clean_line(title, 40) for title in self._titles]
        variants = [Column(str(at), name, 22, rank=at + 1, most=30) for at, name in enumerate(names)]
        return (Column("case", "case", 16, grows=True), *variants)

    # The measure

    def fields(self) -> list[FormField]:
        """Return file, tags, calls at once and cap."""
        return [
            FormField("file", tr("test set"), self._memory.values.get("file", ""), tr("cases.csv, .jsonl or .yaml")),
            FormField("tags", "tags", self._memory.values.get("tags", ""), tr("all cases")),
            FormField("judge", "judge", self._memory.values.get("judge", ""), tr("no model judges")),
            FormField("at_once", tr("at once"), self._memory.values.get("at_once", str(AT_ONCE)), "calls"),
            FormField("cap", "cap $", self._memory.values.get("cap", ""), tr("session and day")),
        ]

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Read the test set and price a call for each cell."""
        if not values["file"]:
            raise UsageError("No test set was named.", "promptop cases new cases.csv begins one.")
        test_set = read_test_set(Path(values["file"]).expanduser())
        if tags := [tag.strip() for tag in values["tags"].split(",") if tag.strip()]:
            test_set = test_set.tagged(tags)
        at_once = whole(values["at_once"], tr("at once"), 1, MOST_AT_ONCE, AT_ONCE)
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        self._cases = planned_cases(test_set, (), lambda given, said: [self._build(given, said)] * 2)
        self._filter = CaseFilter(tags=test_set.tags)
        settings = self.shared.settings.playground
        first = [digest_of(pair[0]) for pair in self._cases[0].requests]
        asked = f"grid {test_set.digest} {self._titles} {first}"
        run = self._memory.run or run_to_go_on(asked)
        store = CellStore(run, full=self.shared.keeps_texts, earlier=self._memory.cells, asked=asked)
        judge = None
        if values["judge"]:
            target = parse_target(values["judge"], self.shared.settings)
            judge = JudgeModel(target.profile, target.model)
        grid = GridRun(
            self._cases,
            self._titles,
            store,
            folder=test_set.folder,
            python=settings.python_checks,
            at_once=at_once,
            judge=judge,
            asks=judge is not None,
        )
        if judge is not None:
            require_models(GridPlan(self._cases, self._titles, folder=test_set.folder, judge=judge))
        self._note = ""
        if judge is None and grid.graded:
            self._note = tr("Rubrics are left out of the checks: name a judge to have them graded.")
        self._memory.run = store.run
        most = grid.estimate(lengths_of(self.shared))
        if cap is not None and (most.usd or 0.0) > cap:
            raise UsageError(
                f"{most.calls:,} calls may cost {units.usd(most.usd)}; the cap is {units.usd(cap)}.",
                "Lower max_tokens, choose fewer models or tags, or raise the cap.",
            )
        return Planned(grid, most, cap)

    def priced(self) -> None:
        """Show the cases."""
        if not self._cells:
            self._show({})

    def began(self, values: Mapping[str, str]) -> None:
        """Begin with empty cells."""
        self._memory.values.update(values)
        self._cells, self._outcome = {}, None
        self._show({})

    def advanced(self, step: GridStep) -> str:
        """Show the cells that are finished."""
        self._show(step.cells)
        done = step.step
        return progress(len(step.cells), done.size, done.spent_usd, done.failed, clean_line(done.last, 40))

    def ended(self, outcome: GridOutcome) -> str:
        """Show every cell; answers can be opened now."""
        self._cells, self._outcome = outcome.cells, outcome
        self._memory.cells.update(outcome.finished)
        self._note = outcome.grading.said() if outcome.grading is not None else self._note
        self._show({place: CellState.of(cell) for place, cell in outcome.cells.items()})
        kept = tr(" · {kept} were kept", kept=outcome.kept) if outcome.kept else ""
        errors = "".join(f"\n✗ {clean_line(error, 200)}" for error in outcome.errors[:2])
        how = tr("the cap ended it") if outcome.is_capped else "stopped" if outcome.stopped else "done"
        return f"{how}{kept}{errors}"

    def result(self) -> bool:
        """Return whether anything was asked."""
        return bool(self._cells)

    # The cells

    def _show(self, states: Mapping[tuple[int, int], CellState]) -> None:
        self._states, self._shown = states, self._cases
        bad = {case for (case, _), state in states.items() if not state.is_good}
        chosen = [at for at, each in enumerate(self._shown) if self._filter.shows(each.case.tags, failing=at in bad)]
        self._order = sorted(chosen, key=lambda case: (case not in bad, case))
        self._table.set_rows(len(self._order), self._row)
        self._summary.update(clean("\n".join([*self._sums(), *filter(None, [self._note])])))

    def _row(self, at: int) -> Sequence[Cell]:
        if at >= len(self._order):
            return ()
        case = self._order[at]
        states = [self._states.get((case, variant)) for variant in range(len(self._titles))]
        return (clean_line(self._shown[case].case.id, 60), *map(cell_of, states))

    def _sums(self) -> list[str]:
        """Return pass rate, median time and cost of each variant."""
        filtered = str(self._filter)
        lines = (
            [tr("{n} of {n_2} cases, {filtered}:", n=len(self._order), n_2=len(self._shown), filtered=filtered)]
            if filtered
            else []
        )
        rows = set(self._order)
        for at, title in enumerate(self._titles):
            mine = [state for (case, variant), state in self._states.items() if variant == at and case in rows]
            if not mine:
                continue
            good = sum(state.is_good for state in mine)
            low, high = share_interval(good, len(mine))
            times = sorted(state.ttft_s for state in mine if state.ttft_s is not None)
            ttft = units.seconds(times[len(times) // 2]) if times else units.UNKNOWN
            costs = [state.cost_usd for state in mine]
            usd = "unpriced" if any(cost is None for cost in costs) else units.usd(sum(cost or 0.0 for cost in costs))
            share = tr(
                "{good}/{n} passed [{low} to {high}]",
                good=good,
                n=len(mine),
                low=units.share(low),
                high=units.share(high),
            )
            lines.append(
                tr(
                    "{title}: {share} · TTFT p50 {ttft} · {usd}",
                    title=clean_line(title, 40),
                    share=share,
                    ttft=ttft,
                    usd=usd,
                )
            )
        return lines

    def action_failing(self) -> None:
        """Show the cases with a failing cell, or all."""
        self._filter.failing = not self._filter.failing
        self._show(self._states)

    def action_tag(self) -> None:
        """Show the cases of the next tag, then all."""
        if not self._filter.next_tag():
            self.notify(tr("The cases have no tags."), severity="warning")
        self._show(self._states)

    def action_export(self) -> None:
        """Write the grid, all of its cases."""
        outcome = self._outcome
        if outcome is None:
            self.notify(tr("There is nothing to write before the grid is over."), severity="warning")
            return
        report = report_of(self._shown, self._titles, outcome, self._memory.run)
        ask_export(self, "grid.html", lambda path: write_grid(path, report))

    @on(VirtualTable.Chosen)
    def _opened(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        if event.row >= len(self._order) or not self._cells:
            self.notify(tr("Answers can be opened when the grid is over."), severity="warning")
            return
        case = self._order[event.row]
        cells = [(title, self._cells.get((case, at))) for at, title in enumerate(self._titles)]
        # What failed stands left, beside what passed.
        cells.sort(key=lambda each: each[1] is not None and CellState.of(each[1]).is_good)
        self.app.push_screen(CellDialog(self._shown[case], cells))


def cell_of(state: CellState | None) -> Cell:
    """Return a cell of the table: a sign, the checks that passed, the time."""
    if state is None:
        return ("·", "muted")
    if state.failed:
        return (tr("✗ no answer"), "bad")
    sign = "✓" if state.is_good else "✗"
    text = f"{sign} {state.passed}/{state.checks} · {units.seconds(state.total_s)}"
    return (text, "good" if state.is_good else "bad")


def grid_dialog(context: AppContext, build: Build, titles: Sequence[str], memory: GridMemory) -> MeasureDialog[bool]:
    """Return the dialog that asks a test set of these variants."""
    return MeasureDialog(context, GridView(context, build, titles, memory))
