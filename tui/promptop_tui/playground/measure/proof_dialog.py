"""Trim with proof: both prompts asked in turns, of one input or of a test set, and the verdict with its answers.

The page returns the proof, which the editor puts into the receipt of exactly these two texts. Answers of a run that was
stopped are kept, and asked for again by nobody: how much of them is on disk is the history's setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.request import Message as ChatMessage
from promptop.client.request import RunRequest
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion, requests_of
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.grid.caller import MeasurementStep
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell, run_to_go_on
from promptop.experiments.grid.plan import Build, asked_once, attempt_of, planned_cases, require_models, standing_in
from promptop.experiments.interleaved import MOST_REPEATS, TrialOutcome
from promptop.experiments.proof import rule
from promptop.experiments.proof.exports import write_report
from promptop.experiments.proof.plan import ProofPlan, near_duplicates
from promptop.experiments.proof.price import one_case_price, whole_price
from promptop.experiments.proof.records import CaseRecord
from promptop.experiments.proof.report import ProofReport, report_of
from promptop.experiments.proof.run import ModelRun, ProofOutcome, ProofRun
from promptop.experiments.proof.single_input import REPEATS, paired, prove, trial
from promptop.experiments.test_sets import TestSet, read_test_set
from promptop.prompts import Prompt
from promptop.prompts.proof import Proof, digest
from promptop.prompts.reader import prompt_from
from promptop_tui.context import AppContext
from promptop_tui.playground.dialogs.cell_compare import CellDialog
from promptop_tui.playground.measure.case_list import CaseFilter, ask_export
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.form_modal import FormField
from promptop_tui.widgets.table import Cell, ChoiceTable, Column, Tone, VirtualTable

CAP_USD = 0.5
"""What a proof may cost where nothing else is said."""
AND = "&&"
"""Stands between checks that are typed into one field."""
AT_ONCE = 4
_TONES: Mapping[str, Tone] = {
    "lost for sure": "bad",
    "lost": "bad",
    "flipped": "warn",
    "won": "good",
    "changed": "accent",
    "incomplete": "warn",
}
_FAILING = ("lost for sure", "lost", "flipped", "incomplete")


@dataclass
class ProofMemory:
    """What outlives the page: what was typed, and the runs whose answers are kept."""

    values: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    """What was asked → id of its run: asked again, only what is missing is sent."""
    cells: dict[str, Mapping[CellKey, GridCell]] = field(default_factory=dict)
    """Id of a run → its answers, whole whatever the history keeps."""


@dataclass(frozen=True, slots=True)
class ProofSubject:
    """What is proven: two texts, and what they are asked with."""

    before: str
    after: str
    models: tuple[str, ...] = ()
    """Offered where the second text names none."""
    names: tuple[str, str] = ("baseline", "draft")
    role: str = "user"
    """Of a text without role lines."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Of variables; those of a case win."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """They win over those of the second text."""

    @property
    def texts(self) -> tuple[str, str]:
        """Both texts."""
        return self.before, self.after


class ProofView(Vertical):
    """Asks, proves, and hands the proof back."""

    HELP = """
    With a test set each case is asked with both prompts in turns, judged after each, and ended as soon as it is sure.
    *Proven*: every check is held, at most the margin fewer answers pass on cases like these. *Alike*: no checks, and
    similarity and facts held. *Changed*, *worse* and *undecided* say why. Without a test set one input can show at most
    that answers are *alike on this input*.

    `F5` sends what the state line priced; no call is begun that could pass the cap. `Esc` stops and judges what came;
    F5 then goes on, and pays for no answer twice. Enter opens a case: both answers, the checks that changed first, and
    their difference. The proof goes into the receipt of the version that you save in the library, and of exports.
    """
    title = "prove: do the answers hold?"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "failing", "Failing only", id="cases.failing", tooltip="Only cases that lost something, or all"),
        Binding("t", "tag", "Next tag", id="cases.tag", tooltip="Show the cases of the next tag"),
        Binding("x", "export", "Export", id="cases.export", tooltip="Write the report to a file"),
    ]

    @dataclass
    class Judged(Message):
        """The answers were compared, on a thread."""

        proof: Proof
        errors: Sequence[str]
        report: ProofReport | None = None

    def __init__(self, context: AppContext, subject: ProofSubject, memory: ProofMemory) -> None:
        """Take the two texts as they are, front matter included; raise :class:`PromptopError` where it is wrong."""
        super().__init__(id="measure-body")
        self.shared, self._subject, self._memory = context, subject, memory
        self._prompts: tuple[Prompt, Prompt] = (
            prompt_from(subject.before, role=subject.role),
            prompt_from(subject.after, role=subject.role),
        )
        named = self._prompts[1].model
        offered = [named] if named else list(context.settings.active_profile().models[:1]) or list(subject.models[:1])
        self._models = ", ".join(offered)
        self._sent: dict[str, str] = {}
        self._titles: list[str] = []
        self._planned: ProofPlan | None = None
        self._sent_plan: ProofPlan | None = None
        self._asked = ""
        self._note = ""
        self._filter = CaseFilter()
        self._rows: list[tuple[ModelRun, CaseRecord]] = []
        self.report: ProofReport | None = None
        self.proof: Proof | None = None
        columns = (
            Column("state", "state", 13, rank=0),
            Column("case", "case", 10, rank=0, most=30),
            Column("before", subject.names[0][:12], 9, rank=3),
            Column("after", subject.names[1][:12], 9, rank=2),
            Column("changed", tr("what changed"), 16, rank=1, grows=True),
        )
        self._table = ChoiceTable(columns, follows=False, id="proof-cases")

    @property
    def view(self) -> Widget:
        """The verdict over its cases, which are this widget."""
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of both prompts."""
        return tuple(dict.fromkeys(name for prompt in self._prompts for name in prompt.variables))

    def fields(self) -> list[FormField]:
        """Return test set, models, checks, judge, margin, number of answers, caps and parameters."""
        parameters = {**self._prompts[1].parameters, **self._subject.parameters}
        known, settings = self._memory.values, self.shared.settings.playground
        limit = str(parameters.get("max_tokens") or settings.max_tokens or "")
        return [
            FormField("file", tr("test set"), known.get("file", ""), tr("FILE; or one input")),
            FormField("models", "models", known.get("models", self._models), tr("model, model@profile; with commas")),
            FormField("checks", "checks", known.get("checks", ""), tr("json {joined} lacks:TEXT", joined=AND)),
            FormField("margin", "margin", known.get("margin", f"{rule.MARGIN:g}"), tr("0.1 is ten points")),
            FormField("judge", "judge", known.get("judge", ""), tr("no model judges")),
            FormField("rubric", tr("judged by"), known.get("rubric", ""), tr("what counts")),
            FormField(
                "answers", "answers", known.get("answers", ""), tr("1 or 3; one input {repeats}", repeats=REPEATS)
            ),
            FormField("cap", "cap $", known.get("cap", f"{CAP_USD:g}"), tr("no cap")),
            FormField("max_tokens", "max_tokens", known.get("max_tokens", limit), "default"),
            FormField(
                "temperature",
                "temperature",
                known.get("temperature", _shown(parameters.get("temperature"))),
                tr("the model's default"),
            ),
            FormField("at_once", tr("at once"), known.get("at_once", str(AT_ONCE)), tr("cases of a test set")),
        ]

    def compose(self) -> ComposeResult:
        """Lay out the verdict over the cases."""
        with VerticalScroll(id="proof-said"):
            yield Static(self._question(), id="proof-text", markup=False)
        yield self._table

    def focus(self, scroll_visible: bool = True) -> ProofView:
        """Give the keys to the cases, or to the verdict where there are none."""
        target = self._table if self._sent_plan is not None else self.query_one("#proof-said")
        target.focus(scroll_visible)
        return self

    def _question(self) -> str:
        sizes = [
            tr("{name}: {n:,} characters", name=name, n=len(text))
            for name, text in zip(self._subject.names, self._subject.texts, strict=True)
        ]
        return clean(" · ".join(sizes))

    # The measure

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Build both prompts' requests for each model, and price them."""
        names = self._subject.names
        if self._subject.before == self._subject.after:
            raise UsageError(f"The {names[1]} is the {names[0]}.", "Trim it first (F8); ctrl+t sets the baseline.")
        for prompt, name in zip(self._prompts, names, strict=True):
            if not any(message.content.strip() for message in prompt.messages):
                raise UsageError(f"The {name} is empty.", "Write a prompt; ctrl+t sets the baseline.")
        specs = [spec.strip() for spec in values["models"].split(",") if spec.strip()]
        if not specs:
            raise UsageError("No model was named.", "Write one, as in gpt-4o-mini.")
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        checks_of(values["checks"], python=self.shared.settings.playground.python_checks)
        if values["file"]:
            return self._plan_cases(values, specs, cap)
        if values["judge"]:
            raise UsageError("A judge needs a test set.", "Name the file of one, or leave the judge out.")
        if any(check.is_asked for check in checks_of(values["checks"])):
            raise UsageError("similar: and rubric: need a test set.", "Name the file of one.")
        self._planned, self._note = None, tr("One input: at most alike on this input can be shown.")
        repeats = whole(values["answers"], "answers", 1, MOST_REPEATS, REPEATS)
        # A repeated attempt would stand in for an answer that the other prompt had to give at once.
        both = self._requests(values, specs, retries=0)(self._subject.values, ())
        tried = trial(list(zip(*both, strict=True)), repeats)
        most = tried.estimate(lengths_of(self.shared))
        if cap is not None and (most.usd or 0.0) > cap:
            raise UsageError(
                f"{most.calls} calls may cost {units.usd(most.usd)}; the cap is {units.usd(cap)}.",
                "Lower max_tokens or answers, or raise the cap.",
            )
        return Planned(tried, most, cap)

    def _plan_cases(self, values: Mapping[str, str], specs: Sequence[str], cap: float | None) -> Planned:
        settings = self.shared.settings.playground
        test_set = self._read(values["file"])
        checks = [part.strip() for part in values["checks"].split(AND) if part.strip()]
        margin = number(values["margin"], "margin", 0.001, 0.999, rule.MARGIN)
        cases, folded = asked_once(planned_cases(test_set, checks, self._requests(values, specs, retries=2)))
        titles = tuple(pair[0].title for pair in cases[0].requests)
        judge = None
        if values["judge"]:
            target = parse_target(values["judge"], self.shared.settings)
            judge = JudgeModel(target.profile, target.model, values["rubric"])
        hosts = [pair[0].profile.base_url for pair in cases[0].requests]
        plan = ProofPlan(
            cases,
            titles,
            folder=test_set.folder,
            python=settings.python_checks,
            margin=margin,
            answers=whole(values["answers"], "answers", 1, 100) if values["answers"] else None,
            at_once=whole(values["at_once"], tr("at once"), 1, 64, AT_ONCE),
            judge=judge,
            set_digest=test_set.digest,
            tags=test_set.tags,
            folded=folded,
            near=near_duplicates(cases),
            attempt=attempt_of(digest(self._subject.before), test_set.digest, titles, hosts),
        )
        require_models(plan)
        asked = f"{digest(self._subject.before)} {digest(self._subject.after)} {test_set.digest} {values['models']}"
        known = self._memory.runs.get(asked) or run_to_go_on(asked)
        full = self.shared.keeps_texts
        store = CellStore(known, full=full, earlier=self._memory.cells.get(known), asked=asked)
        self._memory.runs[asked] = store.run
        proof = ProofRun(plan, store)
        lengths = lengths_of(self.shared)
        self._planned = plan
        self._filter = CaseFilter(tags=test_set.tags)
        self._note = _could_see(plan) + ("" if full else tr(" · texts of answers are kept while the app runs"))
        return Planned(proof, whole_price(plan, lengths), cap, least=one_case_price(plan, lengths))

    def _read(self, name: str) -> TestSet:
        unfilled = list(dict.fromkeys(each for prompt in self._prompts for each in prompt.unfilled({})))
        return read_test_set(Path(name).expanduser(), only_variable=unfilled[0] if len(unfilled) == 1 else None)

    def _requests(self, values: Mapping[str, str], specs: Sequence[str], *, retries: int) -> Build:
        parameters = {**self._prompts[1].parameters, **self._subject.parameters, "retries": retries, "cache": False}
        parameters.pop("max_tokens", None)
        parameters.pop("temperature", None)
        if values["max_tokens"]:
            parameters["max_tokens"] = whole(values["max_tokens"], "max_tokens", 1, 10**6)
        if values["temperature"]:
            parameters["temperature"] = number(values["temperature"], "temperature", 0, 2)
        return partial(self._build, specs, parameters)

    def _build(
        self,
        specs: Sequence[str],
        parameters: Mapping[str, Any],
        values: Mapping[str, str],
        messages: Sequence[ChatMessage],
    ) -> list[list[RunRequest]]:
        """Return the requests of both prompts, by model; raise :class:`UsageError` for a variable without a value."""
        targets = [parse_target(spec, self.shared.settings) for spec in specs]
        given = {**self._subject.values, **values}
        made = []
        for prompt in self._prompts:
            if not messages and (missing := prompt.missing(given)):
                raise UsageError(
                    f"The variable {{{{{clean_line(missing[0], 40)}}}}} has no value: nothing was sent.",
                    "Add it to the cases' vars, or name a test set.",
                )
            version = PromptVersion(AS_TYPED, prompt.openai(given), prompt.name or None)
            made.append([standing_in(each, messages) for each in requests_of(targets, [version], parameters)])
        return made

    def priced(self) -> None:
        """Say what can be shown, before it is paid for."""
        if self.proof is None:
            self.query_one("#proof-text", Static).update(clean(f"{self._question()}\n{self._note}"))

    def began(self, values: Mapping[str, str]) -> None:
        """Remember what was asked: fields may change while it runs."""
        self._memory.values.update(values)
        self._sent = dict(values)
        self._titles = [spec.strip() for spec in self._sent["models"].split(",") if spec.strip()]
        self.proof, self.report, self._sent_plan, self._rows = None, None, self._planned, []
        self.set_class(self._sent_plan is not None, "-cases")
        self._table.empty = tr("Answers come with the verdict.")
        self._table.set_rows(0, self._row)
        self.query_one("#proof-text", Static).update(clean(f"{self._question()}\n{self._note}"))

    def advanced(self, step: MeasurementStep) -> str:
        """Say how far it is."""
        last = clean_line(step.note or step.last, 70)
        return progress(step.ended, step.size, step.spent_usd, step.failed, last)

    def ended(self, outcome: TrialOutcome | ProofOutcome) -> str:
        """Have the answers judged."""
        if isinstance(outcome, ProofOutcome):
            self._memory.cells[outcome.run] = outcome.cells
            assert self._sent_plan is not None, "its plan was sent"
            self._table.empty = tr("Judging the answers …")
            self._table.refresh()
            self._report(self._sent_plan, outcome)
        else:
            self._judge(outcome, self._sent["checks"])
        how = (
            tr("stopped; what came is judged")
            if outcome.stopped
            else tr("the cap ended it")
            if outcome.is_capped
            else "done"
        )
        if isinstance(outcome, ProofOutcome):
            kept = tr(" · {kept} answers were kept", kept=outcome.kept) if outcome.kept else ""
            more = (
                tr(" · {key_name} goes on", key_name=key_name(self.screen, "measure.run"))
                if outcome.stopped or outcome.is_capped
                else ""
            )
            return tr("{how} · run {run}{kept}{more}", how=how, run=outcome.run, kept=kept, more=more)
        return how

    @work(thread=True, exclusive=True, group="judge", description="judge answers")
    def _judge(self, outcome: TrialOutcome, checks: str) -> None:
        now_ms = int(self.shared.now() * 1000)
        held = checks_of(checks, python=self.shared.settings.playground.python_checks)
        proof = prove(
            *self._subject.texts, self._titles, paired(outcome.kept), held, now_ms=now_ms, first=outcome.first
        )
        errors = dict.fromkeys(str(each.error) for arm in outcome.kept for each in arm if each.error is not None)
        self.post_message(self.Judged(proof, list(errors)))

    @work(thread=True, exclusive=True, group="judge", description="put a proof together")
    def _report(self, plan: ProofPlan, outcome: ProofOutcome) -> None:
        report = report_of(plan, outcome, self._subject.texts, int(self.shared.now() * 1000))
        self.post_message(self.Judged(report.proof, report.errors, report))

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        self.proof, self.report = event.proof, event.report
        said = rendered(event.proof, event.errors) if event.report is None else told(event.report)
        self.query_one("#proof-text", Static).update(said)
        if event.report is not None:
            self._show()

    def result(self) -> Proof | None:
        """Return the proof, if one was run."""
        return self.proof

    # The cases

    def _show(self) -> None:
        if self.report is None:
            return
        records = self.report.records()
        self._rows = [
            each for each in records if self._filter.shows(each[1].case.tags, failing=each[1].state in _FAILING)
        ]
        self._table.empty = tr("No case was asked.") if not records else tr("No case is {filter}.", filter=self._filter)
        self._table.border_title = Content(
            tr("{n} of {n_2} cases {filter}", n=len(self._rows), n_2=len(records), filter=self._filter).strip()
        )
        self._table.set_rows(len(self._rows), self._row)

    def _row(self, at: int) -> Sequence[Cell]:
        if at >= len(self._rows):
            return ()
        run, record = self._rows[at]
        several = f" · {run.title}" if self.report is not None and len(self.report.runs) > 1 else ""
        sides = [_passes(record.side(side)) for side in ("before", "after")]
        state: Cell = (record.state, _TONES.get(record.state, ""))
        return (state, clean_line(f"{record.id}{several}", 60), *sides, clean_line(_what_changed(record), 200))

    @on(VirtualTable.Chosen)
    def _opened(self, event: VirtualTable.Chosen) -> None:
        event.stop()
        if event.row >= len(self._rows):
            return
        run, record = self._rows[event.row]
        planned = next(each for each in run.planned if each.case.id == record.id)
        cells: list[tuple[str, GridCell | None]] = []
        rounds = max(len(record.before), len(record.after), 1)
        for at in range(rounds):
            for name, side in zip(self._subject.names, (record.before, record.after), strict=True):
                number_ = f" {at + 1}" if rounds > 1 else ""
                cells.append((f"{name}{number_}", side[at] if at < len(side) else None))
        self.app.push_screen(CellDialog(planned, cells, beside=2, title=f"{record.id}: {record.state}"))

    def action_failing(self) -> None:
        """Only cases that lost something, or all."""
        self._filter.failing = not self._filter.failing
        self._show()

    def action_tag(self) -> None:
        """Show the cases of the next tag, then all."""
        if not self._filter.next_tag():
            self.notify(tr("The cases have no tags."), severity="warning")
        self._show()

    def action_export(self) -> None:
        """Write the report of a test set's proof."""
        report = self.report
        if report is None:
            self.notify(tr("There is no proof over a test set to write yet."), severity="warning")
            return
        ask_export(self, "proof.html", lambda path: write_report(path, report, self._subject.texts))


def proof_dialog(context: AppContext, subject: ProofSubject, memory: ProofMemory | None = None) -> MeasureDialog[Proof]:
    """Return the dialog that proves the second text against the first."""
    return MeasureDialog(context, ProofView(context, subject, memory if memory is not None else ProofMemory()))


def checks_of(text: str, *, python: bool = False) -> list[Any]:
    """Read checks from one field; raise :class:`PromptopError` for one that could never be judged."""
    from promptop.experiments.checks import parse_check

    return [parse_check(part.strip(), python=python) for part in text.split(AND) if part.strip()]


def _could_see(plan: ProofPlan) -> str:
    """Return what so many cases can show."""
    n, needed = len(plan.cases), rule.cases_needed(plan.margin)
    seen = tr("{n} cases can show a drop of {could_see} at best", n=n, could_see=units.share(rule.could_see(n)))
    more = (
        tr("; {needed} are needed for {margin}", needed=needed, margin=units.share(plan.margin)) if needed > n else ""
    )
    unchecked = "" if plan.has_checks else tr(" · no check is given: at most alike can be shown")
    return " · ".join([f"{seen}{more}{unchecked}", *plan.notes()])


def _passes(cells: Sequence[GridCell]) -> Cell:
    """Return how many answers of a side pass every check."""
    if not cells:
        return (tr("no answer"), "bad")
    good = sum(all(checked.passed for checked in cell.checked.values()) for cell in cells)
    if good == len(cells):
        return (f"✓ {good}/{len(cells)}", "good")
    return (f"✗ {good}/{len(cells)}", "bad")


def _what_changed(record: CaseRecord) -> str:
    """Return the checks whose passes differ, facts that flipped, or that the texts differ."""
    if not record.is_complete:
        missing = [
            tr("{side}: {count} unanswered", side=side, count=count) for side, count in record.failed.items() if count
        ]
        return ", ".join(missing) or tr("not all answers are there")
    parts = [
        f"{name} {units.share(record.share('before', name))} → {units.share(record.share('after', name))}"
        for name in record.names
        if record.score(name)
    ]
    parts += record.flips
    return ", ".join(parts) or ("" if record.is_same else "wording")


_GOOD, _OPEN = "$text-success bold", "$text-warning bold"


def _style(verdict: str) -> str:
    return {"proven": _GOOD, "alike": _GOOD, "undecided": _OPEN}.get(verdict, "$text-error bold")


def told(report: ProofReport) -> Content:
    """Return the verdict of a test set as it is read, with what was shown and nothing more."""
    parts: list[Content | str | tuple[str, str]] = [
        (clean_line(f"{report.verdict}: {report.why}", 600), _style(report.verdict))
    ]
    parts += [f"\n  {clean_line(line, 400)}" for line in report.lines]
    if report.advice:
        parts.append((f"\n→ {clean_line(report.advice, 300)}", "bold"))
    if len(report.plan.tags) > 1 and report.records():
        for tag, n, before, after in report.by_tag():
            parts.append(
                tr(
                    "\n  {tag}: {n} cases, {before} → {after} pass",
                    tag=clean_line(tag, 40),
                    n=n,
                    before=before,
                    after=after,
                )
            )
    if report.over_cap:
        parts.append(f"\n✗ {clean_line(report.over_cap, 300)}")
    parts += [f"\n✗ {clean(error)}" for error in report.errors[:3]]
    return Content.assemble(*parts)


def rendered(proof: Proof, errors: Sequence[str]) -> Content:
    """Return a proof of one input as it is read: the verdict, then each model's units."""
    parts: list[Content | str | tuple[str, str]] = [(proof.said(), _style(proof.verdict)), "\n"]
    for model in proof.models:
        parts += ["\n", (f"{clean_line(model.model)}: {model.verdict} (n={model.n_before}+{model.n_after})", "bold")]
        parts += [f"\n  {clean_line(line, 300)}" for line in model.sentences()]
        parts.append("\n")
    parts += [f"\n✗ {clean(error)}" for error in errors[:3]]
    return Content.assemble(*parts)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
