"""Trim with proof: the baseline and the trimmed prompt asked in turns, and what may be said of their answers.

The answers count as held if no check passes less often *and* they are as alike to the baseline's answers as those are
to each other, within a margin that the whole interval must keep: that no difference was found is not yet a proof. The
run itself is a :class:`promptop.experiments.interleaved.Trial`; this module only judges, the same results always alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

from promptop.base.errors import UsageError
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.checks import Check
from promptop.experiments.interleaved import MOST_REPEATS, Arm, Trial
from promptop.experiments.similarity import likeness
from promptop.experiments.stats import FEWEST, INPUT, METRICS, Metric, difference, summarise, values_of
from promptop.prompts import proof
from promptop.prompts.proof import CHANGED, PROVEN, UNDECIDED, WORSE, CheckCount, Likeness, ModelProof, Proof, Shift

APP = "promptop prove"
"""Name of the program in the log's rows."""
REPEATS = 10
"""Answers to each prompt where nothing else is asked for."""
MARGIN = 0.1
"""ROUGE-L that answers may be less alike and still count as held."""
LEVEL = 0.05
"""A check that passes less often is *worse* below this probability of chance (Fisher's exact test, one-sided)."""
_BY_KEY = {metric.key: metric for metric in (INPUT, *METRICS)}


def trial(
    pairs: Sequence[tuple[RunRequest, RunRequest]],
    repeats: int,
    most_usd: Callable[[RunRequest], float | None],
    cap_usd: float | None,
) -> Trial:
    """Return the run that asks each model the baseline and the trimmed prompt in turns; :func:`paired` reads it.

    Raises :class:`UsageError` for a number of repeats that proves nothing.
    """
    if not FEWEST <= repeats <= MOST_REPEATS:
        raise UsageError(
            f"{repeats} answers to each prompt cannot be meant.",
            f"Write {FEWEST} to {MOST_REPEATS}; {REPEATS} is usual.",
        )
    arms = [
        Arm(f"{request.title}: {side}", request, most_usd=most_usd(request))
        for pair in pairs
        for side, request in zip(("baseline", "trimmed"), pair, strict=True)
    ]
    return Trial(arms, repeats, cap_usd=cap_usd, app=APP)


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
) -> Proof:
    """Judge the answers of each model to the text ``before`` and to ``after``; takes 0.1 to 0.5 s a model."""
    models = tuple(
        prove_model(title, baseline, trimmed, checks, margin=margin)
        for title, (baseline, trimmed) in zip(titles, groups, strict=True)
    )
    results = [result for pair in groups for side in pair for result in side]
    costs = [result.cost_usd for result in results if result.cost_usd is not None]
    return Proof(
        proof.worst([model.verdict for model in models]),
        proof.digest(before),
        proof.digest(after),
        now_ms,
        margin,
        len(results),
        sum(costs) if costs else None,
        models,
    )


def prove_model(
    title: str,
    baseline: Sequence[RunResult],
    trimmed: Sequence[RunResult],
    checks: Sequence[Check],
    *,
    margin: float = MARGIN,
) -> ModelProof:
    """Judge the answers of one model."""
    left = [result for result in baseline if result.state == "done"]
    right = [result for result in trimmed if result.state == "done"]
    counted = tuple(
        CheckCount(check.text, _passed(check, left), len(left), _passed(check, right), len(right)) for check in checks
    )
    alike = likeness([_answer(result) for result in left], [_answer(result) for result in right])
    shifts = {key: _shift(left, right, metric) for key, metric in _BY_KEY.items() if key != "output_tps"}
    return ModelProof(
        title,
        _verdict(len(left), len(right), counted, alike, margin),
        len(left),
        len(right),
        len(baseline) + len(trimmed) - len(left) - len(right),
        likeness=alike,
        checks=counted,
        **shifts,
    )


def _answer(result: RunResult) -> str:
    """Return what is compared: the text, and tool calls with their arguments; reasoning is no part of an answer."""
    return "\n".join([result.text, *(f"{name}({arguments})" for name, arguments in result.tool_calls)])


def _passed(check: Check, results: Sequence[RunResult]) -> int:
    return sum(check.judge(result).passed for result in results)


def _shift(left: Sequence[RunResult], right: Sequence[RunResult], metric: Metric) -> Shift:
    found = difference(left, right, metric)
    if found is None:
        sides = [summarise(values_of(side, metric)) for side in (left, right)]
        medians = [None if side is None else side.p50 for side in sides]
        return Shift(medians[0], medians[1], None, f"{metric.name}: n/a" if metric.key == "cost_usd" else "")
    return Shift(found.baseline.p50, found.other.p50, found.interval, found.verdict())


def chance(check: CheckCount) -> float:
    """Return the probability of at most so many passes after trimming if both prompts pass alike (Fisher's exact)."""
    total, passes = check.of_before + check.of_after, check.before + check.after
    ways = comb(total, check.of_after)
    lowest = max(0, passes - check.of_before)
    return sum(
        comb(passes, k) * comb(total - passes, check.of_after - k) / ways for k in range(lowest, check.after + 1)
    )


def _verdict(n_before: int, n_after: int, checks: Sequence[CheckCount], alike: Likeness | None, margin: float) -> str:
    if min(n_before, n_after) < FEWEST or alike is None or alike.interval is None:
        return UNDECIDED
    fewer = [check for check in checks if check.after * check.of_before < check.before * check.of_after]
    if any(chance(check) < LEVEL for check in fewer):
        return WORSE
    low, high = alike.interval
    if high < -margin:
        return CHANGED
    return PROVEN if low >= -margin and not fewer else UNDECIDED
