"""A proof over one input alone: whether repeated answers to it are alike. It claims nothing about any other input.

Both prompts are asked in turns; a check that passes less often makes it *worse*, facts that flipped in every answer
*changed*, answers as alike to the baseline's as those are among themselves *alike on this input*. Never *proven*: for
that there are test sets (:mod:`.run`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from promptop.base.errors import UsageError
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.checks import ANSWERED, Check, answered
from promptop.experiments.checks.answer_text import trouble_of
from promptop.experiments.grid.checker import text_of_answer
from promptop.experiments.interleaved import MOST_REPEATS, Arm, Trial
from promptop.experiments.proof import rule
from promptop.experiments.proof.broken_answers import caught
from promptop.experiments.proof.evidence import flipped, same_texts
from promptop.experiments.similarity import likeness
from promptop.experiments.stats import FEWEST, INPUT, METRICS, Metric, difference, summarise, values_of
from promptop.prompts import proof
from promptop.prompts.proof import ALIKE, CHANGED, UNDECIDED, WORSE, CheckCount, Likeness, ModelProof, Proof, Shift

APP = "promptop prove"
"""Name of the program in the log's rows."""
REPEATS = 10
"""Answers to each prompt where nothing else is asked for."""
MARGIN = rule.MARGIN
MORE = "promptop cases from-log draws a test set from the log, and prove --cases FILE proves it on that."
_BY_KEY = {metric.key: metric for metric in (INPUT, *METRICS)}


def trial(pairs: Sequence[tuple[RunRequest, RunRequest]], repeats: int) -> Trial:
    """Return the run that asks each model the baseline and the trimmed prompt in turns; :func:`paired` reads it.

    Raises :class:`UsageError` for a number of repeats that says nothing.
    """
    if not FEWEST <= repeats <= MOST_REPEATS:
        raise UsageError(
            f"{repeats} answers to each prompt say nothing.", f"Write {FEWEST} to {MOST_REPEATS}; {REPEATS} is usual."
        )
    arms = [
        Arm(f"{request.title}: {side}", request)
        for pair in pairs
        for side, request in zip(("baseline", "trimmed"), pair, strict=True)
    ]
    return Trial(arms, repeats, app=APP, ends_refused=True)


def paired(kept: Sequence[Sequence[RunResult]]) -> list[tuple[Sequence[RunResult], Sequence[RunResult]]]:
    """Return the results of a trial by model: those of the baseline, and those of the trimmed prompt."""
    return list(zip(kept[::2], kept[1::2], strict=True))


def prove(
    before: str,
    after: str,
    titles: Sequence[str],
    groups: Sequence[tuple[Sequence[RunResult], Sequence[RunResult]]],
    checks: Sequence[Check],
    *,
    now_ms: int,
    margin: float = MARGIN,
    first: Sequence[RunResult | None] = (),
) -> Proof:
    """Judge the answers of each model to the text ``before`` and to ``after``; takes 0.1 to 0.5 s a model.

    ``first`` are the calls before anything counts: where no other was made, theirs says why.
    """
    found = [
        prove_model(title, baseline, trimmed, checks, margin=margin)
        for title, (baseline, trimmed) in zip(titles, groups, strict=True)
    ]
    results = [result for pair in groups for side in pair for result in side]
    costs = [result.cost_usd for result in results if result.cost_usd is not None]
    verdict = proof.worst([model.verdict for model, _ in found])
    why = "; ".join(dict.fromkeys(said for model, said in found if model.verdict == verdict))
    if not any(result.state == "done" for result in results):
        errors = [result.error.cause for result in (*results, *first) if result is not None and result.error]
        why = f"no call was answered: {errors[0].rstrip('.')}" if errors else "no call was made"
    return Proof(
        verdict,
        proof.digest(before),
        proof.digest(after),
        now_ms,
        margin,
        len(results),
        sum(costs) if costs else None,
        tuple(model for model, _ in found),
        why=why,
        rule=proof.RULE,
    )


def prove_model(
    title: str,
    baseline: Sequence[RunResult],
    trimmed: Sequence[RunResult],
    checks: Sequence[Check],
    *,
    margin: float = MARGIN,
) -> tuple[ModelProof, str]:
    """Judge the answers of one model; returns what was found, and in a sentence why."""
    left = [result for result in baseline if result.state == "done"]
    right = [result for result in trimmed if result.state == "done"]
    every = checks if any(check.kind == ANSWERED for check in checks) else [answered(), *checks]
    counted = tuple(
        CheckCount(check.text, _passed(check, left), len(left), _passed(check, right), len(right))
        for check in every
        if left or right
    )
    alike = likeness([text_of_answer(result) for result in left], [text_of_answer(result) for result in right])
    verdict, why = _verdict(left, right, every, counted, alike, margin)
    shifts = {key: _shift(left, right, metric) for key, metric in _BY_KEY.items() if key != "output_tps"}
    failed = len(baseline) + len(trimmed) - len(left) - len(right)
    found = ModelProof(title, verdict, len(left), len(right), failed, likeness=alike, checks=counted, **shifts)
    return found, why


def _passed(check: Check, results: Sequence[RunResult]) -> int:
    return sum(check.judge(result).passed for result in results)


def _shift(left: Sequence[RunResult], right: Sequence[RunResult], metric: Metric) -> Shift:
    found = difference(left, right, metric)
    if found is None:
        sides = [summarise(values_of(side, metric)) for side in (left, right)]
        medians = [None if side is None else side.p50 for side in sides]
        return Shift(medians[0], medians[1], None, f"{metric.name}: n/a" if metric.key == "cost_usd" else "")
    return Shift(found.baseline.p50, found.other.p50, found.interval, found.verdict())


def _verdict(
    left: Sequence[RunResult],
    right: Sequence[RunResult],
    checks: Sequence[Check],
    counted: Sequence[CheckCount],
    alike: Likeness | None,
    margin: float,
) -> tuple[str, str]:
    if min(len(left), len(right)) < FEWEST:
        return UNDECIDED, f"{len(left)} and {len(right)} answers came; {FEWEST} of each are needed"
    fell = [
        check
        for check in counted
        if rule.fisher(check.before, check.of_before, check.after, check.of_after)
        <= rule.ALPHA_FELL / max(1, len(counted))
    ]
    if fell:
        said = ", ".join(f"{c.check} {c.before}/{c.of_before} → {c.after}/{c.of_after}" for c in fell)
        return WORSE, f"passes less often on this input: {said}"
    if alike is not None and alike.interval is not None and alike.interval[1] < -margin:
        return CHANGED, "the answers to this input are others than the baseline's own repeats explain"
    idle = [check.check for check in counted if not check.before]
    if idle:
        verb = "pass" if len(idle) > 1 else "passes"
        return UNDECIDED, f"{', '.join(idle)} {verb} in none of {len(left)} answers of the baseline{_troubles(left)}"
    broken = caught([(left[0], checks)])
    deaf = [check.name for check in checks if check.name in broken and not broken[check.name].tells]
    if deaf:
        return UNDECIDED, f"{', '.join(deaf)} fails no broken answer: it tells nothing"
    has_checks = len(checks) > 1
    steady = same_texts(left)
    gone = sum(same_texts([left[0], result]) for result in right)
    flips = flipped(left, right)
    changed = len(right) - gone
    if steady and not gone:
        if flips:
            return CHANGED, f"{changed} of {len(right)} answers changed on this input, in {', '.join(flips)}"
        if has_checks:
            return ALIKE, f"the checks pass as before on this input; all {changed} answers changed to the letter"
        return UNDECIDED, f"{changed} of {len(right)} answers changed; no check says whether that matters"
    if flips:
        return CHANGED, f"every answer has other facts on this input: {', '.join(flips)}"
    if alike is None or alike.interval is None:
        return UNDECIDED, "too few answers to compare"
    if alike.interval[0] >= -margin:
        return ALIKE, f"{len(left)} + {len(right)} answers are alike on this input; other inputs were not asked"
    return UNDECIDED, "more answers are needed to tell, and they would tell of this input alone"


def _troubles(results: Sequence[RunResult]) -> str:
    found = Counter(trouble for result in results if (trouble := trouble_of(result)))
    return f" ({', '.join(f'{count} {what}' for what, count in found.items())})" if found else ""
