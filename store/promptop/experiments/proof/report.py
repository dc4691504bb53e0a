"""The report of a proof over a test set: one verdict over all models, every case with its answers, what it cost."""

from __future__ import annotations

import random
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.diff import marked, word_diff
from promptop.base.sanitize import clean
from promptop.client.result import RunResult
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.checker import text_of_answer
from promptop.experiments.proof.findings import ModelFinding
from promptop.experiments.proof.plan import ProofPlan
from promptop.experiments.proof.records import AFTER, BEFORE, SIDES, STATES, CaseRecord
from promptop.experiments.proof.run import ModelRun, ProofOutcome
from promptop.experiments.stats import INPUT, METRICS, Metric, quantile
from promptop.prompts.proof import RULE, UNDECIDED, CheckCount, ModelProof, Proof, Shift, digest, worst

RESAMPLES = 2000
"""Of cases, for the interval of a median difference."""
_BY_KEY = {metric.key: metric for metric in (INPUT, *METRICS)}


@dataclass(frozen=True, slots=True)
class ProofReport:
    """What a proof came to."""

    verdict: str
    why: str
    lines: tuple[str, ...]
    advice: str
    runs: tuple[ModelRun, ...]
    proof: Proof
    plan: ProofPlan
    outcome: ProofOutcome
    errors: tuple[str, ...]
    is_capped: bool
    over_cap: str
    shifts: dict[str, Shift]
    """Figures of the first model: input and output tokens, times, cost."""

    @property
    def deciding(self) -> tuple[ModelRun, ModelFinding]:
        """The model that decided, with its finding."""
        for run in self.runs:
            if run.finding is not None and run.finding.word == self.verdict:
                return run, run.finding
        first = self.runs[0]
        assert first.finding is not None, "every model that was begun was judged"
        return first, first.finding

    def records(self) -> list[tuple[ModelRun, CaseRecord]]:
        """Return every case that was begun, failing ones first."""
        every = [(run, record) for run in self.runs for record in run.records]
        return sorted(every, key=lambda each: STATES.index(each[1].state) if each[1].state in STATES else len(STATES))

    def answers(self) -> list[tuple[ModelRun, str, str, GridCell]]:
        """Return every answer with its model, case and side: those of the cases, or of a warm-up that ended it."""
        found = [
            (run, record.id, side, cell)
            for run, record in self.records()
            for side in SIDES
            for cell in record.side(side)
        ]
        for run in self.runs:
            if not run.records:
                found += [(each, case, BEFORE, cell) for each, case, cell in self.warm_up() if each is run]
        return found

    def warm_up(self) -> list[tuple[ModelRun, str, GridCell]]:
        """Return the baseline's answers of the warm-up, which are in no figure, with model and case."""
        return [
            (run, each.case.id, cell)
            for run in self.runs
            for each, cells in zip(run.planned, run.warm, strict=False)
            for cell in cells
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``prove --json``."""
        run, finding = self.deciding
        judge = run.judge
        shifts = self.shifts
        return {
            "verdict": self.verdict,
            "why": self.why,
            "margin": self.plan.margin,
            "confidence": 1 - self.outcome.alpha,
            "cases": [
                record.to_json(judge_score=judge.scores.get(record.id) if judge is not None else None)
                | {"model": each.title}
                for each, record in self.records()
            ],
            "checks": [check.to_json() for check in finding.checks],
            "tokens": {
                key: {"before": shift.before, "after": shift.after, "low": _end(shift, 0), "high": _end(shift, 1)}
                for key, shift in shifts.items()
                if key in ("input_tokens", "output_tokens")
            },
            "cost_usd": self.outcome.spent_usd,
            "answers": [_answer_json(each, case, side, cell) for each, case, side, cell in self.answers()],
            "warm_up": [_answer_json(each, case, BEFORE, cell) for each, case, cell in self.warm_up()],
            "n_cases": len(run.complete),
            "planned_cases": len(self.plan.cases),
            "folded_cases": self.plan.folded,
            "bound": finding.bound,
            "could_see": finding.could_see,
            "wealth": finding.wealth,
            "wanted_wealth": 1 / self.outcome.alpha,
            "lost": list(finding.lost),
            "won": list(finding.won),
            "tells": {check.check: check.tells for check in finding.checks},
            "caught": {name: sorted(found.kinds) for name, found in run.caught.items()},
            "advice": self.advice or None,
            "lines": list(self.lines),
            "counts": finding.counts,
            "wavers": run.wavers,
            "answers_each": list(run.answers),
            "judge": judge.to_json() if judge is not None else None,
            "models": [
                {
                    "model": each.title,
                    "verdict": each.finding.word,
                    "why": each.finding.why,
                    "ended": each.ended or None,
                }
                for each in self.runs
                if each.finding is not None
            ],
            "test_set": self.plan.set_digest,
            "run": self.outcome.run,
            "attempt": self.outcome.attempt,
            "calls": self.outcome.calls,
            "kept": self.outcome.kept,
            "unpriced": self.outcome.unpriced,
            "capped": self.is_capped,
            "errors": list(self.errors),
        }

    def side_by_side(self, which: str) -> list[str]:
        """Return the answers of cases as text: ``lost``, ``changed`` or ``all`` of them, failing ones first."""
        lines: list[str] = []
        for run, record in self.records():
            if not record.is_complete or not _is_shown(record, which):
                continue
            left, right = record.before[0], record.after[0]
            lines += ["", f"== {record.id} · {run.title} · {record.state} =="]
            lines += [f"  {checked.text}: {checked.why}" for checked in right.checked.values() if not checked.passed]
            if not left.whole or not right.whole:
                lines.append("  (the history keeps no texts)")
                continue
            lines.append(clean(marked(word_diff(text_of_answer(left.result), text_of_answer(right.result)))))
        return lines

    def by_tag(self) -> list[tuple[str, int, int, int]]:
        """Return for each tag: cases, cases whose first baseline answer passes all, and the same after."""
        found = []
        for tag in self.plan.tags:
            mine = [record for _, record in self.records() if tag in record.case.tags and record.is_complete]
            passed = [
                sum(all(checked.passed for checked in record.side(side)[0].checked.values()) for record in mine)
                for side in SIDES
            ]
            found.append((tag, len(mine), passed[0], passed[1]))
        return found


def _answer_json(run: ModelRun, case: str, side: str, cell: GridCell) -> dict[str, Any]:
    return {
        "case": case,
        "model": run.title,
        "version": side,
        "text": cell.result.text if cell.whole else None,
        "passed": all(checked.passed for checked in cell.checked.values()),
    }


def _end(shift: Shift, at: int) -> float | None:
    return shift.interval[at] if shift.interval is not None else None


def _is_shown(record: CaseRecord, which: str) -> bool:
    if which == "all":
        return True
    return record.state in ("lost for sure", "lost", "flipped") if which == "lost" else record.state != "same"


def report_of(plan: ProofPlan, outcome: ProofOutcome, texts: tuple[str, str], now_ms: int) -> ProofReport:
    """Put the models of a proof together: the worst decides."""
    words = [run.finding.word for run in outcome.runs if run.finding is not None]
    verdict = worst(words)
    if len(words) < len(plan.models) and verdict in ("proven", "alike"):
        verdict = UNDECIDED
    run = next(
        (each for each in outcome.runs if each.finding is not None and each.finding.word == verdict), outcome.runs[0]
    )
    finding = run.finding
    assert finding is not None, "every model that was begun was judged"
    several = f"{run.title}: " if len(plan.models) > 1 else ""
    why = several + finding.why
    if len(words) < len(plan.models) and verdict == UNDECIDED:
        why = f"only {len(words)} of {len(plan.models)} models were asked; {why}"
    if outcome.is_capped and verdict != "worse":
        why += f" (a cap ended it after {len(run.complete)} of {len(plan.cases)} cases)"
    elif outcome.stopped:
        why += f" (stopped after {len(run.complete)} of {len(plan.cases)} cases)"
    shifts = {key: paired_shift(run.complete, metric) for key, metric in _BY_KEY.items() if key != "output_tps"}
    lines = [line for each in outcome.runs if each.finding is not None for line in each.finding.lines]
    lines += plan.notes()
    lines += [shift.said for shift in shifts.values() if shift.said]
    if outcome.attempt > 1:
        lines.append(
            f"attempt {outcome.attempt} at this prompt and test set: {1 - outcome.alpha:.4g} sure is asked for"
        )
    if outcome.kept:
        lines.append(f"{outcome.kept} answers were kept from before, {outcome.calls} calls were made")
    proof = Proof(
        verdict,
        digest(texts[0]),
        digest(texts[1]),
        now_ms,
        plan.margin,
        outcome.calls + outcome.kept,
        outcome.spent_usd,
        tuple(_model_proof(each) for each in outcome.runs if each.finding is not None),
        why=why,
        rule=RULE,
        cases=len(run.complete),
        test_set=plan.set_digest,
        tags=plan.tags,
        claim=finding.bound,
        confidence=1 - outcome.alpha,
        attempt=outcome.attempt,
        lost=finding.lost,
        won=finding.won,
        judge=run.judge.to_json() if run.judge is not None else None,
        host=urllib.parse.urlsplit(plan.cases[0].requests[0][0].profile.base_url).netloc,
        seed=plan.seed,
    )
    return ProofReport(
        verdict,
        why,
        tuple(lines),
        finding.advice,
        outcome.runs,
        proof,
        plan,
        outcome,
        outcome.errors,
        outcome.is_capped,
        outcome.over_cap,
        shifts,
    )


def _model_proof(run: ModelRun) -> ModelProof:
    finding = run.finding
    assert finding is not None, "asked for of judged models only"
    records = run.complete
    shifts = {key: paired_shift(records, metric) for key, metric in _BY_KEY.items() if key != "output_tps"}
    checks = tuple(
        CheckCount(c.check, c.passed_before, c.of_before, c.passed_after, c.of_after) for c in finding.checks
    )
    return ModelProof(
        run.title,
        finding.word,
        sum(len(record.before) for record in records),
        sum(len(record.after) for record in records),
        sum(sum(record.failed.values()) for record in run.records),
        likeness=None,
        checks=checks,
        **shifts,
    )


def paired_shift(records: Sequence[CaseRecord], metric: Metric) -> Shift:
    """Return a figure before and after, with the 95 % interval of its median difference over cases.

    Paired by case: the mean of a case's answers, after minus before; cases are resampled, so repeats make n no larger.
    """
    pairs = []
    for record in records:
        sides = [_mean(record.results(side), metric.value) for side in (BEFORE, AFTER)]
        if sides[0] is not None and sides[1] is not None:
            pairs.append((sides[0], sides[1]))
    if not pairs:
        return Shift(None, None, None, "")
    befores, afters = (sorted(pair[at] for pair in pairs) for at in (0, 1))
    medians = quantile(befores, 0.5), quantile(afters, 0.5)
    changes = sorted(after - before for before, after in pairs)
    middle = quantile(changes, 0.5)
    interval = None
    if len(pairs) >= 5:
        rng = random.Random(len(pairs))
        drawn = sorted(quantile(sorted(rng.choices(changes, k=len(changes))), 0.5) for _ in range(RESAMPLES))
        interval = (quantile(drawn, 0.025), quantile(drawn, 0.975))
    return Shift(medians[0], medians[1], interval, _said(metric, medians, middle, interval))


def _mean(results: Sequence[RunResult], read: Callable[[RunResult], float | None]) -> float | None:
    values = [value for result in results if (value := read(result)) is not None]
    return sum(values) / len(values) if values else None


def _said(metric: Metric, medians: tuple[float, float], middle: float, interval: tuple[float, float] | None) -> str:
    text = f"{metric.name}: {metric.show(medians[0])} → {metric.show(medians[1])} a case"
    if interval is None:
        return text
    if interval[0] <= 0 <= interval[1]:
        return f"{text}, no measurable difference"
    word = metric.more if middle > 0 else metric.less
    return (
        f"{text}, {metric.show(abs(middle))} {word} [{_signed(metric, interval[0])} … {_signed(metric, interval[1])}]"
    )


def _signed(metric: Metric, value: float) -> str:
    return ("−" if value < 0 else "+") + metric.show(abs(value))
