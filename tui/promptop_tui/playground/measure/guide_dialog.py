"""The optimisation sheet as a page: its steps with what they came to, and the next one priced and taken in place."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import fitted
from promptop.base.texts import tr
from promptop.client.request import RunRequest
from promptop.experiments.grid.caller import MeasurementStep as Progressed
from promptop.experiments.guide import export
from promptop.experiments.guide.run import Measured, StepRun, finished, without_calls
from promptop.experiments.guide.sheet import Effect, Sheet, edited, load, save
from promptop.experiments.guide.steps import BASELINE_CALLS, NAMES, STEPS, Options, Plan, Step, Variant, step_of
from promptop.experiments.interleaved import MOST_REPEATS
from promptop.experiments.similarity import rouge_l, words
from promptop_tui.context import AppContext
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, progress, whole
from promptop_tui.widgets.form_modal import FormField, FormModal

_TITLE = 20
"""Cells of a step's name."""
_SAME_PROMPT = 0.5
"""ROUGE-L from which an unnamed draft counts as edited: another prompt of the same kind reaches 0.33."""


class GuideView(VerticalScroll, can_focus=True):
    """Takes the steps of the sheet, one at a time."""

    HELP = """
    The guide leads the prompt step by step to fewer tokens and less waiting: baseline, shorter text, context,
    parameters, cache, lighter model, calls at once, endpoint, streaming, monitoring. F5 takes the step that is named;
    its calls before and after are asked in turns, and a difference that cannot be told from chance is called "no
    measurable effect".

    The sheet is kept for this prompt. `promptop guide FILE --format md` writes it as the table of a report, and
    `--save NAME` keeps the text as a version of the library with its receipt.
    """

    def __init__(self, context: AppContext, name: str, text: str, request: RunRequest, values: dict[str, str]) -> None:
        """Lead the prompt ``text`` of ``name``, beginning as ``request`` asks it; ``values`` fill its variables."""
        super().__init__(id="measure-body")
        self.shared = context
        self.title = tr("guide: step by step")
        self._values = values
        known = load(name)
        start = Variant(
            text,
            request.title.partition(" · ")[0],
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            stop=request.stop,
        )
        self.sheet = known if known is not None and self._is_of(known, text) else Sheet(name, start, start)
        self._shorter = edited(self.sheet, text)
        self._step: Step = STEPS[0]
        self._plan = Plan()
        self._done = False

    def _is_of(self, sheet: Sheet, text: str) -> bool:
        """Tell whether ``text`` is the sheet's prompt. An unnamed draft holds one prompt today and another tomorrow."""
        if sheet.name != str(self.shared.draft_path):
            return True
        known = (sheet.original.text, sheet.current.text)
        return text in known or any(rouge_l(words(each), words(text)) >= _SAME_PROMPT for each in known)

    def fields(self) -> list[FormField]:
        """Return the step and what it takes."""
        began = self.sheet.of("baseline") is not None
        step = "shorten" if began and self._shorter else self.sheet.next_step or NAMES[0]
        return [
            FormField("step", tr("step"), step, ", ".join(NAMES)),
            FormField("calls", tr("calls"), str(BASELINE_CALLS), tr("of each way of asking")),
            FormField("to", tr("to"), "", tr("model or profile, of the steps model and endpoint")),
            FormField("max_tokens", "max_tokens", "", tr("of the step parameters")),
        ]

    @property
    def view(self) -> Widget:
        """The sheet, which is this widget."""
        return self

    def compose(self) -> ComposeResult:
        """Lay out the sheet."""
        yield Static(rendered(self.sheet), id="guide-text", markup=False)

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Plan the step that is named, and price it; a step without calls costs nothing."""
        step = step_of(values["step"].strip())
        limit = whole(values["max_tokens"], "max_tokens", 1, 10**7) if values["max_tokens"] else None
        repeats = whole(values["calls"], "calls", 1, MOST_REPEATS)
        options = Options(self._shorter, values["to"].strip(), max_tokens=limit, repeats=repeats)
        settings = self.shared.settings
        plan = step.plan(self.sheet.current, settings, options)
        run = StepRun(step, plan, self.sheet.current, settings, options, self._values)
        self._step, self._plan = step, plan
        return Planned(run, run.estimate(lengths_of(self.shared)))

    def priced(self) -> None:
        """Say what the step would change."""
        self._show()

    def began(self, values: Mapping[str, str]) -> None:
        """Keep what stands there until the step is over."""

    def advanced(self, step: Progressed) -> str:
        """Say how far it is."""
        return progress(step.ended, step.size, step.spent_usd, step.failed, clean_line(step.last, 40))

    def ended(self, outcome: Measured) -> str:
        """Keep what the step came to, and name the next one."""
        self._done = True
        settings = self.shared.settings
        if not self._plan.changes:
            self.sheet = without_calls(self.sheet, self._step, self._plan, settings)
        elif outcome.stopped or outcome.capped or not any(effect.n[0] for effect in outcome.effects):
            why = outcome.errors[0] if outcome.errors else tr("it did not come to its end")
            return "✗ " + tr("The step is not in the sheet: {why}", why=clean_line(why, 200))
        else:
            self.sheet = finished(self.sheet, self._step, self._plan, outcome)
            if self._step.name == "shorten":
                self._shorter = ""
        save(self.sheet)
        self._plan = Plan()
        self._show()
        following = self.sheet.next_step
        if not following:
            return tr("every step is taken: promptop guide FILE --format md writes the table")
        if isinstance(self.screen, FormModal):
            self.screen.fill({"step": following})  # it is priced then, and the price stands in place of this
        return tr("done; next: {step}", step=following)

    def result(self) -> Sheet | None:
        """Return the sheet, where a step was taken."""
        return self.sheet if self._done else None

    def _show(self) -> None:
        changes = ", ".join(export.said(each.label) for each in self._plan.changes) or export.said(self._plan.note)
        self.query_one("#guide-text", Static).update(rendered(self.sheet, self._step, changes))


def guide_dialog(
    context: AppContext, name: str, text: str, request: RunRequest, values: dict[str, str]
) -> MeasureDialog[Sheet]:
    """Return the dialog that leads a prompt."""
    return MeasureDialog(context, GuideView(context, name, text, request, values))


def rendered(sheet: Sheet, at: Step | None = None, changes: str = "") -> Content:
    """Return the sheet as it is read: a step a line, under it what its changes came to."""
    parts: list[Content | str | tuple[str, str]] = [
        (f"{clean_line(sheet.name, 60)} · {clean_line(sheet.current.model, 40)}\n\n", "bold")
    ]
    for number, step in enumerate(STEPS, 1):
        taken = sheet.of(step.name)
        sign = "✓" if taken is not None else "▸" if at is not None and at.name == step.name else "·"
        style = "$text-success" if taken is not None else "bold" if sign == "▸" else "$text-muted"
        parts.append((f"{sign} {number:2} {fitted(tr(step.title), _TITLE)} ", style))
        if taken is None:
            parts.append(f"{tr(step.what)}\n")
            if sign == "▸" and changes:
                parts.append((f"       {clean(changes)}\n", "$text-muted"))
            continue
        parts.append("\n" if taken.effects else f"{clean(export.said(taken.note))}\n")
        for effect in taken.effects:
            parts += _effect(effect)
        if taken.effects and taken.note:
            parts.append((f"       {clean(export.said(taken.note))}\n", "$text-muted"))
        if at is not None and at.name == step.name and changes:
            parts.append((f"     ▸ {clean(changes)}\n", "bold"))  # taken again, it is this
    if (way := export.whole(sheet)) is not None:
        figures = " · ".join(f"{tr(each.name)} {export.figure_text(each)}" for each in way.figures)
        parts.append((f"\n{tr('from the baseline to now')}: {figures}\n", "bold"))
    return Content.assemble(*parts)


def _effect(effect: Effect) -> list[Content | str | tuple[str, str]]:
    figures = " · ".join(f"{tr(each.name)} {export.figure_text(each)}" for each in effect.figures)
    verdict = export.verdict_of(effect)
    is_better = any(each.verdict == "better" for each in effect.figures)
    lines: list[Content | str | tuple[str, str]] = [f"       {clean_line(export.said(effect.label), 60)}: {figures}\n"]
    if verdict:
        lines.append((f"       → {verdict}\n", "$text-success" if is_better else "$text-muted"))
    lines += [(f"         {line}\n", "$text-muted") for line in export.intervals_of(effect)]
    return lines
