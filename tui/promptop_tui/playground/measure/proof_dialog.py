"""Trim with proof, over the editor: baseline and draft asked in turns, and the verdict with its figures.

The page returns the proof, which the editor puts into the receipt of exactly these two texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean, clean_line
from promptop.client.request import RunRequest
from promptop.client.targets import parse_target
from promptop.experiments.grid.caller import MeasurementStep
from promptop.experiments.interleaved import MOST_REPEATS, TrialOutcome
from promptop.experiments.proof.single_input import REPEATS, paired, prove, trial
from promptop.prompts import parse
from promptop.prompts.proof import Proof
from promptop_tui.context import AppContext
from promptop_tui.playground.measure.measure_dialog import MeasureDialog, Planned, lengths_of, number, progress, whole
from promptop_tui.widgets.form_modal import FormField

CAP_USD = 0.5
"""What a proof may cost where nothing else is said."""
AND = "&&"
"""Stands between checks that are typed into one field."""


class ProofView(VerticalScroll, can_focus=True):
    """Asks, proves, and hands the proof back."""

    HELP = """
    Each model answers the baseline and the draft in turns, after a warm-up that is dropped. One input can show at most
    that the answers are *alike on this input*; `promptop prove --cases FILE` proves it on a test set. `F5` sends what
    the state line priced; no call is begun that could pass the cap. `Esc` stops and judges what came, `Esc` again goes
    back to the draft.

    The proof goes into the receipt: with the version that you save in the library, and with exports.
    """
    title = "prove: do the answers hold?"

    @dataclass
    class Judged(Message):
        """The answers were compared, on a thread."""

        proof: Proof
        errors: list[str]

    def __init__(self, context: AppContext, before: str, after: str, models: Sequence[str] = ()) -> None:
        """Take the two texts as they are, front matter included; ``models`` are tried where the draft names none."""
        super().__init__(id="measure-body")
        self.shared = context
        self._texts = before, after
        self._prompts = parse(before), parse(after)
        named = self._prompts[1].model
        offered = [named] if named else list(context.settings.active_profile().models[:1]) or list(models[:1])
        self._models = ", ".join(offered)
        self._sent: dict[str, str] = {}
        self._titles: list[str] = []
        self.proof: Proof | None = None

    def fields(self) -> list[FormField]:
        """Return models, number of answers, cap, parameters and checks."""
        parameters = self._prompts[1].parameters
        settings = self.shared.settings.playground
        return [
            FormField("models", "models", self._models, "model, or model@profile; several with commas"),
            FormField("answers", "answers", str(REPEATS), "to each prompt, 5 at least"),
            FormField("cap", "cap $", f"{CAP_USD:g}", "no cap"),
            FormField(
                "max_tokens", "max_tokens", str(parameters.get("max_tokens") or settings.max_tokens or ""), "default"
            ),
            FormField("temperature", "temperature", _shown(parameters.get("temperature")), "the model's default"),
            FormField("checks", "checks", "", f"json {AND} contains:TEXT {AND} max-tokens:200"),
        ]

    @property
    def view(self) -> Widget:
        """The verdict, which is this widget."""
        return self

    def compose(self) -> ComposeResult:
        """Lay out the verdict."""
        yield Static(self._question(), id="proof-text", markup=False)

    def _question(self) -> str:
        before, after = (len(text) for text in self._texts)
        return clean(f"baseline: {before:,} characters · draft: {after:,} characters")

    def plan(self, values: Mapping[str, str]) -> Planned:
        """Build both prompts' requests for each model, and price them."""
        if self._texts[0] == self._texts[1]:
            raise UsageError("The draft is the baseline.", "Trim it first (F8); ctrl+t sets the baseline.")
        for prompt, name in zip(self._prompts, ("baseline", "draft"), strict=True):
            if not any(message.content.strip() for message in prompt.messages):
                raise UsageError(f"The {name} is empty.", "Write a prompt; ctrl+t sets the baseline.")
        repeats = whole(values["answers"], "answers", 1, MOST_REPEATS)
        cap = number(values["cap"], "cap", 0, 1e6) if values["cap"] else None
        checks_of(values["checks"])
        pairs = [self._pair(spec, values) for spec in values["models"].split(",") if spec.strip()]
        if not pairs:
            raise UsageError("No model was named.", "Write one, as in gpt-4o-mini.")
        tried = trial(pairs, repeats)
        most = tried.estimate(lengths_of(self.shared))
        if cap is not None and (most.usd or 0.0) > cap:
            raise UsageError(
                f"{most.calls} calls may cost {units.usd(most.usd)}; the cap is {units.usd(cap)}.",
                "Lower max_tokens or answers, or raise the cap.",
            )
        return Planned(tried, most, cap)

    def _pair(self, spec: str, values: Mapping[str, str]) -> tuple[RunRequest, RunRequest]:
        target = parse_target(spec, self.shared.settings)
        known = {
            name: value
            for name, value in self._prompts[1].parameters.items()
            if name in {"top_p", "seed", "reasoning_effort"}
        }
        extra = {
            name: value
            for name, value in self._prompts[1].parameters.items()
            if name not in {*known, "max_tokens", "temperature", "stop"}
        }
        stops = self._prompts[1].parameters.get("stop") or ()
        made = [
            RunRequest(
                profile=target.profile,
                model=target.model,
                label=target.spec,
                messages=prompt.openai(),
                max_tokens=whole(values["max_tokens"], "max_tokens", 1, 10**6) if values["max_tokens"] else None,
                temperature=number(values["temperature"], "temperature", 0, 2) if values["temperature"] else None,
                stop=(stops,) if isinstance(stops, str) else tuple(map(str, stops)),
                extra=extra,
                # A repeated attempt would stand in for an answer that the other prompt had to give at once.
                retries=0,
                **known,
            )
            for prompt in self._prompts
        ]
        return made[0], made[1]

    def priced(self) -> None:
        """Add nothing to the price."""

    def began(self, values: Mapping[str, str]) -> None:
        """Remember what was asked: fields may change while it runs."""
        self._sent = dict(values)
        self._titles = [spec.strip() for spec in self._sent["models"].split(",") if spec.strip()]
        self.proof = None
        self.query_one("#proof-text", Static).update(self._question())

    def advanced(self, step: MeasurementStep) -> str:
        """Say how far it is."""
        return progress(step.ended, step.size, step.spent_usd, step.failed, clean_line(step.last, 40))

    def ended(self, outcome: TrialOutcome) -> str:
        """Have the answers judged."""
        self._judge(outcome, self._sent["checks"])
        return (
            "stopped; what came is judged" if outcome.stopped else "the cap ended it" if outcome.is_capped else "done"
        )

    @work(thread=True, exclusive=True, group="judge", description="judge answers")
    def _judge(self, outcome: TrialOutcome, checks: str) -> None:
        now_ms = int(self.shared.now() * 1000)
        proof = prove(*self._texts, self._titles, paired(outcome.kept), checks_of(checks), now_ms=now_ms)
        errors = dict.fromkeys(str(each.error) for arm in outcome.kept for each in arm if each.error is not None)
        self.post_message(self.Judged(proof, list(errors)))

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        self.proof = event.proof
        self.query_one("#proof-text", Static).update(rendered(event.proof, event.errors))

    def result(self) -> Proof | None:
        """Return the proof, if one was run."""
        return self.proof


def proof_dialog(context: AppContext, before: str, after: str, models: Sequence[str] = ()) -> MeasureDialog[Proof]:
    """Return the dialog that proves the second text against the first."""
    return MeasureDialog(context, ProofView(context, before, after, models))


def checks_of(text: str) -> list[Any]:
    """Read checks from one field; raise :class:`PromptopError` for one that could never be judged."""
    from promptop.experiments.checks import parse_check

    return [parse_check(part.strip()) for part in text.split(AND) if part.strip()]


def rendered(proof: Proof, errors: Sequence[str]) -> Content:
    """Return a proof as it is read: the verdict, then each model's units."""
    good, open_ = "$text-success bold", "$text-warning bold"
    style = {"proven": good, "alike": good, "undecided": open_}.get(proof.verdict, "$text-error bold")
    parts: list[Content | str | tuple[str, str]] = [(proof.said(), style), "\n"]
    for model in proof.models:
        parts += ["\n", (f"{clean_line(model.model)}: {model.verdict} (n={model.n_before}+{model.n_after})", "bold")]
        parts += [f"\n  {clean_line(line, 300)}" for line in model.sentences()]
        parts.append("\n")
    parts += [f"\n✗ {clean(error)}" for error in errors[:3]]
    return Content.assemble(*parts)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
