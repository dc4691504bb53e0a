"""What the answers of one model mean: the word of the verdict, its reason, and the sentences that stand below it.

Judged from records alone, so that the same answers always say the same, whatever made them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from promptop.base import units
from promptop.experiments.checks import ANSWERED
from promptop.experiments.proof import rule
from promptop.experiments.proof.records import AFTER, BEFORE, SIDES, CaseRecord

if TYPE_CHECKING:
    from promptop.experiments.proof.plan import ProofPlan
    from promptop.experiments.proof.run import ModelRun

PROVEN, ALIKE, CHANGED, WORSE, UNDECIDED = "proven", "alike", "changed", "worse", "undecided"
HELD = "held"
"""Why a model's part ended: the margin is held, and no further case needs to be asked."""
MOST_INCOMPLETE = 0.10
UNEQUAL = 0.05
DOMINANT = 0.3
"""Share of the weight from which on one case is named."""
FAR = 30
"""Cases still to come from which on a hopeless run is ended: for fewer the rest is worth its names."""
_NAMED = 8
_ANSWERERS = {BEFORE: "baseline", AFTER: "trimmed prompt"}


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """A check over all complete cases."""

    check: str
    before: float
    """Share of the baseline's answers that pass."""
    after: float
    n: int
    """Cases that are held against it."""
    passed_before: int
    of_before: int
    passed_after: int
    of_after: int
    difference: float
    low: float
    """The drop that is still possible, as a negative difference: the end of the interval that the verdict looks at."""
    high: float
    tells: bool
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``prove --json``."""
        return {
            "check": self.check,
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "cases": self.n,
            "passed_before": [self.passed_before, self.of_before],
            "passed_after": [self.passed_after, self.of_after],
            "tells": self.tells,
            "why_not": self.why_not or None,
        }


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """What may be said of one model."""

    word: str
    why: str
    lines: tuple[str, ...] = ()
    checks: tuple[CheckFinding, ...] = ()
    bound: float | None = None
    could_see: float = 1.0
    wealth: float = 0.0
    """Of the check that is furthest from being held, towards ``1 / alpha``."""
    lost: tuple[str, ...] = ()
    won: tuple[str, ...] = ()
    advice: str = ""
    note: str = ""
    """In few words, for a line of progress."""
    can_stop: str = ""
    """Why no further case needs to be asked: held, worse, hopeless."""
    counts: dict[str, int] = field(default_factory=dict)


def judge_model(run: ModelRun, plan: ProofPlan, alpha: float) -> ModelFinding:
    """Judge what a model has answered so far."""
    records = run.complete
    names = list(dict.fromkeys(name for record in records for name in record.names))
    scores = {name: [r.score(name) for r in records if name in r.names] for name in names}
    checks = [_check_finding(name, records, run, plan, alpha) for name in names]
    lost = _lost(records, plan)
    counts = _counts(records)
    could_see = rule.could_see(max(1, len(run.planned)), alpha)
    bound = max((-check.low for check in checks if check.check != ANSWERED or not plan.has_checks), default=None)
    base = ModelFinding(
        UNDECIDED,
        "",
        checks=tuple(checks),
        could_see=could_see,
        bound=bound,
        lost=tuple(lost),
        won=tuple(r.id for r in records if r.state == "won"),
        counts=counts,
        wealth=min((math.exp(min(700, rule.log_held(each, plan.margin))) for each in scores.values()), default=0.0),
    )
    trouble = _trouble(run, records)
    if trouble is not None:
        # Where the two sides cannot be compared at all, no further case helps.
        ends = "failing" if _other_model(records) or any(record.copied for record in run.records) else ""
        return _with(base, UNDECIDED, trouble[0], run, plan, records, advice=trouble[1], can_stop=ends)
    decision = rule.decide(
        scores,
        {check.check: check.before for check in checks},
        margin=plan.margin,
        alpha=alpha,
        caught={name: found.tells for name, found in run.caught.items()} if run.caught else None,
        lost=lost,
        counted=frozenset(names) - {ANSWERED} if plan.has_checks else None,
    )
    if decision.word == WORSE:
        return _with(base, WORSE, _why_worse(decision, lost, records, checks), run, plan, records, can_stop="worse")
    judge = _judged(run, plan, alpha)
    if judge == WORSE:
        return _with(base, WORSE, "the judge prefers the baseline's answers", run, plan, records)
    if not plan.has_checks and not decision.idle:
        return _without_checks(base, run, plan, records, alpha, judge)
    if decision.word == PROVEN:
        open_suspects = [r.id for r in records if r.dropped() and r.lost_for_sure is None]
        said = (
            f"on cases like these at most {units.share(decision.bound or 0.0)} fewer answers pass"
            f" ({units.share(1 - alpha)} sure; margin {units.share(plan.margin)})"
        )
        asked = {record.id for record in run.records}
        unasked = [each.case.id for each in run.planned if each.case.critical and each.case.id not in asked]
        if unasked and run.ended not in ("", HELD):
            why = f"critical cases were not asked: {_names(unasked)}"
            return _with(base, UNDECIDED, why, run, plan, records, advice="Resume it, or raise --max-usd.")
        if open_suspects and run.ended:
            why = f"{len(open_suspects)} cases with a loss were not asked again: {_names(open_suspects)}"
            return _with(base, UNDECIDED, why, run, plan, records, advice="Resume it, or raise --max-usd.")
        return _with(base, PROVEN, said, run, plan, records, can_stop=HELD)
    why, advice = _why_undecided(decision, checks, run, plan, records, alpha)
    hopeless = _is_hopeless(scores, run, plan, alpha)
    return _with(base, UNDECIDED, why, run, plan, records, advice=advice, can_stop="hopeless" if hopeless else "")


# The parts of a finding


def _with(
    base: ModelFinding,
    word: str,
    why: str,
    run: ModelRun,
    plan: ProofPlan,
    records: Sequence[CaseRecord],
    *,
    advice: str = "",
    can_stop: str = "",
) -> ModelFinding:
    from dataclasses import replace

    return replace(
        base,
        word=word,
        why=why,
        lines=tuple(_lines(base, run, plan, records)),
        advice=advice,
        can_stop=can_stop,
        note=f"{word} so far" if word != UNDECIDED else "undecided so far",
    )


def _check_finding(
    name: str, records: Sequence[CaseRecord], run: ModelRun, plan: ProofPlan, alpha: float
) -> CheckFinding:
    mine = [record for record in records if name in record.names]
    scores = [record.score(name) for record in mine]
    shares = {side: [record.share(side, name) for record in mine] for side in SIDES}
    passed = {side: sum(record.passed(cell, name) for record in mine for cell in record.side(side)) for side in SIDES}
    asked = {side: sum(len(record.side(side)) for record in mine) for side in SIDES}
    before, after = (sum(shares[side]) / len(mine) for side in SIDES)
    found = run.caught.get(name)
    why = ""
    if before < rule.FLOOR * plan.margin:
        why = (
            "passes nowhere"
            if not passed[BEFORE]
            else f"the baseline passes it in {units.share(before)} of its answers"
        )
    elif found is not None and not found.tells:
        why = f"fails none of {len(found.tried)} kinds of broken answers"
    return CheckFinding(
        name,
        before,
        after,
        len(mine),
        passed[BEFORE],
        asked[BEFORE],
        passed[AFTER],
        asked[AFTER],
        sum(scores) / len(scores),
        -rule.largest_drop(scores, alpha),
        rule.largest_drop([-score for score in scores], alpha),
        not why,
        why,
    )


def _lost(records: Sequence[CaseRecord], plan: ProofPlan) -> list[str]:
    """Return the cases that are lost for sure, beyond those that may be; critical ones always count."""
    sure = [record for record in records if record.lost_for_sure]
    if len(sure) > plan.most_lost:
        return [record.id for record in sure]
    return [record.id for record in sure if record.case.critical]


def _counts(records: Sequence[CaseRecord]) -> dict[str, int]:
    """Return how many answers of each side were cut, refused or empty."""
    found: Counter[str] = Counter()
    for record in records:
        for side in SIDES:
            for cell in record.side(side):
                if cell.trouble:
                    found[f"{cell.trouble} {side}"] += 1
    return dict(found)


def _trouble(run: ModelRun, records: Sequence[CaseRecord]) -> tuple[str, str] | None:
    """Return why nothing can be concluded whatever the scores are, and what would help."""
    if run.refused:
        return run.refused.rstrip(
            "."
        ), "Check the key, the model's name and the account; the proof goes on with --resume."
    if run.ended == "idle":
        return _idle_after_warm_up(run)
    begun = len(run.records)
    if swapped := _other_model(records):
        return swapped, "Name a model that answers by itself: a snapshot's name, or a route with one provider."
    if copied := sum(bool(record.copied) for record in run.records):
        return (
            f"{copied} of {begun} cases: the answer to the trimmed prompt is a copy of the baseline's, by its id",
            "Turn off the endpoint's cache, or let it tell system prompts apart.",
        )
    if run.ended == "failing" and not records:
        return _unanswered(run), "See the errors below."
    failed = {side: sum(bool(record.failed[side]) for record in run.records) for side in SIDES}
    incomplete = begun - len(records)
    if begun and incomplete > max(MOST_INCOMPLETE * begun, 0) and (run.ended or begun >= 10):
        if run.unjudged:
            return f"{incomplete} of {begun} cases have an answer without a verdict of the judge", "See the errors."
        sides = f"{failed[BEFORE]} times the baseline's call failed, {failed[AFTER]} times the trimmed prompt's"
        return (
            f"{incomplete} of {begun} cases have no answer on one side or both: {sides}",
            "See the errors; --resume asks them again.",
        )
    if begun and rule.fisher(begun - failed[BEFORE], begun, begun - failed[AFTER], begun) < UNEQUAL:
        return (
            f"calls fail more often on one side: {failed[BEFORE]} of the baseline's, {failed[AFTER]} of the trimmed"
            f" prompt's {begun} cases",
            "See the errors; --resume asks them again.",
        )
    if begun and rule.fisher(begun - failed[AFTER], begun, begun - failed[BEFORE], begun) < UNEQUAL:
        return f"calls fail more often for the baseline: {failed[BEFORE]} to {failed[AFTER]} cases", "See the errors."
    return None


def _other_model(records: Sequence[CaseRecord]) -> str:
    """Say that another model answers one side, by its own name; empty if both are answered alike."""
    served = {side: Counter(cell.result.model for record in records for cell in record.side(side)) for side in SIDES}
    totals = {side: sum(served[side].values()) for side in SIDES}
    for name in served[BEFORE] | served[AFTER]:
        counts = [(served[side][name], totals[side]) for side in (BEFORE, AFTER)]
        if not all(total for _, total in counts):
            continue
        chance = min(rule.fisher(*counts[0], *counts[1]), rule.fisher(*counts[1], *counts[0]))
        if chance < UNEQUAL / 10:
            shown = [f"{served[side].most_common(1)[0][0]} the {word}" for side, word in _ANSWERERS.items()]
            return f"another model answers each side: {' and '.join(shown)}"
    return ""


def _unanswered(run: ModelRun) -> str:
    """Say whose calls failed in a run without one complete case."""
    if run.unjudged:
        return f"{run.unjudged} answers came, and the model that judges them gave no verdict on them"
    answered = {side: sum(bool(record.side(side)) for record in run.records) for side in SIDES}
    for side, other, name in ((AFTER, BEFORE, "trimmed prompt"), (BEFORE, AFTER, "baseline")):
        if not answered[side] and answered[other]:
            return f"the {name} was answered in none of {len(run.records)} cases, the other prompt in {answered[other]}"
    return "no case was answered"


def _idle_after_warm_up(run: ModelRun) -> tuple[str, str]:
    said = []
    passes: dict[str, list[bool]] = {}
    troubles: Counter[str] = Counter()
    for at, cells in enumerate(run.warm):
        troubles.update(cell.trouble for cell in cells if cell.trouble)
        for check in run.checks[at]:
            passes.setdefault(check.name, []).extend(cell.checked[check.text].passed for cell in cells)
    for name, each in passes.items():
        if not any(each):
            said.append(f"{name} passes in none of {len(each)} answers of the baseline")
        elif name in run.caught and not run.caught[name].tells:
            said.append(run.caught[name].said())
    if troubles:
        said.append(", ".join(f"{count} of its answers were {trouble}" for trouble, count in troubles.items()))
    advice = (
        "Raise --max-tokens."
        if troubles.get("cut")
        else "Mend the check or the baseline first; nothing else was asked."
    )
    return f"a check tells nothing: {'; '.join(said)}", advice


def _why_worse(
    decision: rule.Decision, lost: Sequence[str], records: Sequence[CaseRecord], checks: Sequence[CheckFinding]
) -> str:
    parts = []
    falls = {check.check: check for check in checks if check.check in decision.fell}
    for name, check in falls.items():
        shares = f"{units.share(check.after)} of the answers, before in {units.share(check.before)}"
        parts.append(f"{name} passes in {shares}")
    if lost:
        by_id = {record.id: record for record in records}
        shown = [f"{name} ({', '.join(by_id[name].dropped())})" for name in lost[:_NAMED]]
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        word = "case is" if len(lost) == 1 else "cases are"
        parts.append(f"{len(lost)} {word} lost for sure: {', '.join(shown)}{more}")
    return "; ".join(parts)


def _why_undecided(
    decision: rule.Decision,
    checks: Sequence[CheckFinding],
    run: ModelRun,
    plan: ProofPlan,
    records: Sequence[CaseRecord],
    alpha: float,
) -> tuple[str, str]:
    by_name = {check.check: check for check in checks}
    if not records:
        return "no case is complete", ""
    if decision.idle:
        said = [f"{name}: {by_name[name].why_not}" for name in decision.idle]
        return f"a check tells nothing: {'; '.join(said)}", "Mend the check, or the baseline, first."
    if not decision.short:
        return decision.why, "Write --check with what must hold."
    parts = [f"{name}: at most {units.share(-by_name[name].low)} fewer pass" for name in decision.short]
    done = len(records)
    advice = ""
    further = max(
        (
            rule.further_cases([r.score(name) for r in records if name in r.names], plan.margin, alpha) or 0
            for name in decision.short
        ),
        default=0,
    )
    if further:
        advice = f"About {further} more cases like these decide it if no more are lost"
        advice += "; or 3 answers each." if run.answers == (1, 1) and run.wavers else "."
    asked = f"{units.share(plan.margin)} was asked for; {done} case{'s' * (done != 1)} could have shown"
    return f"{', '.join(parts)}, {asked} {units.share(rule.could_see(done, alpha))}", advice


def _is_hopeless(scores: dict[str, list[float]], run: ModelRun, plan: ProofPlan, alpha: float) -> bool:
    left = len(run.planned) - len(run.records)
    if left <= FAR or rule.cases_needed(plan.margin, alpha) > len(run.planned):
        return False
    return any(rule.is_hopeless(each, left, plan.margin, alpha) for each in scores.values())


def _judged(run: ModelRun, plan: ProofPlan, alpha: float) -> str:
    """Return *worse* or *alike* where the judge's verdicts show it; empty where they do not, or are no evidence."""
    record = run.judge
    if record is None or record.fault() or not record.scores:
        return ""
    scores = list(record.scores.values())
    if rule.log_fell(scores) >= math.log(1 / rule.ALPHA_FELL):
        return WORSE
    return ALIKE if rule.log_held(scores, plan.margin) >= -math.log(alpha) else ""


def _without_checks(
    base: ModelFinding, run: ModelRun, plan: ProofPlan, records: Sequence[CaseRecord], alpha: float, judge: str
) -> ModelFinding:
    """Say what similarity, facts and the judge show: *alike* at most, never *proven*."""
    n = len(records)
    if not n:
        return _with(base, UNDECIDED, "no case is complete", run, plan, records)
    flipped = [record for record in records if record.flips]
    changed = [record for record in records if not record.is_same]
    steady = all(record.repeats_agree and len(record.before) > 1 for record in records)
    all_changed = steady and len(changed) == n
    if (all_changed and flipped) or rule.log_fell([-float(bool(r.flips)) for r in records]) >= math.log(
        1 / rule.ALPHA_FELL
    ):
        said = f"{len(flipped)} of {n} cases: the baseline's answers agree on {_kinds(flipped)}, the others differ"
        if all_changed:
            said = f"{n} of {n} cases: the answer is another each time, in {len(flipped)} of them {_kinds(flipped)} too"
        return _with(base, CHANGED, said, run, plan, records, can_stop="worse" if n >= FAR else "")
    scores = [score for record in records if (score := record.likeness) is not None]
    if judge == ALIKE and not flipped:
        return _with(base, ALIKE, "the judge prefers neither side; no check was given", run, plan, records)
    if scores and rule.log_fell(scores, plan.margin) >= math.log(1 / rule.ALPHA_FELL):
        why = f"the answers are less alike than the baseline's own by more than {units.share(plan.margin)}"
        # Other words may say the same: a judge that is named is asked before anything is said.
        return _with(base, CHANGED, why, run, plan, records, can_stop="" if plan.judge is not None else "worse")
    if all_changed:
        why = f"{n} of {n} answers changed; no check says whether that matters"
        return _with(
            base, UNDECIDED, why, run, plan, records, advice="Read the differences, or write --check or --judge."
        )
    if flipped:
        why = f"facts flipped in {len(flipped)} of {n} cases ({_kinds(flipped)}); no check says whether that matters"
        return _with(base, UNDECIDED, why, run, plan, records, advice="Read them first; --check tells what must hold.")
    if scores and rule.log_held(scores, plan.margin) >= -math.log(alpha):
        drop = rule.largest_drop(scores, alpha)
        why = f"the answers are at most {units.share(drop)} less alike than the baseline's own; no check was given"
        return _with(base, ALIKE, why, run, plan, records, can_stop=HELD)
    further = rule.further_cases(scores, plan.margin, alpha) if scores else None
    why = (
        f"similarity: at most {units.share(rule.largest_drop(scores, alpha))} less alike,"
        f" {units.share(plan.margin)} was asked for"
        if scores
        else "too few answers of the baseline to compare with"
    )
    advice = f"About {further} more cases decide it if they are as alike." if further else "Write --check."
    return _with(base, UNDECIDED, why, run, plan, records, advice=advice)


def _kinds(records: Sequence[CaseRecord]) -> str:
    kinds = Counter(kind for record in records for kind in record.flips)
    return ", ".join(kind for kind, _ in kinds.most_common(3)) or "nothing else"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _weighed(base: ModelFinding, records: Sequence[CaseRecord]) -> list[str]:
    """Return what cases stand for, where their weights differ: the verdict counts cases, not inputs."""
    weights = [record.case.weight for record in records]
    if len(set(weights)) < 2:
        return []
    total = sum(weights)
    parts = []
    for name in (check.check for check in base.checks):
        mine = [record for record in records if name in record.names]
        whole = sum(record.case.weight for record in mine)
        shares = [sum(record.case.weight * record.share(side, name) for record in mine) / whole for side in SIDES]
        parts.append(f"{name} {units.share(shares[0])} → {units.share(shares[1])}")
    lines = [f"by weight: {', '.join(parts)}"]
    heaviest = max(records, key=lambda record: record.case.weight)
    if heaviest.case.weight > DOMINANT * total:
        share = units.share(heaviest.case.weight / total)
        lines.append(f"{heaviest.id} stands for {share} of the inputs, and is one case of {len(records)}")
    return lines


def _lines(base: ModelFinding, run: ModelRun, plan: ProofPlan, records: Sequence[CaseRecord]) -> list[str]:
    """Return what was shown, a line each."""
    n = len(records)
    if not n:
        return []
    answers = "1 answer" if run.answers == (1, 1) else f"{run.answers[0]} + {run.answers[1]} answers"
    same = sum(record.is_same for record in records)
    lost = sum(bool(record.dropped()) for record in records)
    counted = ", ".join(
        f"{c.check} {c.passed_before}/{c.of_before} → {c.passed_after}/{c.of_after}" for c in base.checks
    )
    lines = [
        f"{n} case{'s' * (n != 1)} × {answers}, {run.title}; {counted}; {lost} lost, {len(base.won)} won;"
        f" {same} of {n} the same to the letter"
    ]
    begun = len(run.records)
    if begun > n:
        lines.append(f"{begun - n} of {begun} cases are incomplete and in no figure")
    served = Counter(cell.result.model for record in records for side in SIDES for cell in record.side(side))
    asked = run.planned[0].requests[run.number][0].model
    if set(served) != {asked}:
        lines.append(f"asked for {asked}; answered by {', '.join(name for name, _ in served.most_common(3))}")
    if run.wavers:
        lines.append("the baseline wavers: two answers of it to the same case differ")
    if run.copies:
        lines.append(f"{run.copies} answers came a second time under the same id: copies out of a cache count once")
    lines += _weighed(base, records)
    if base.counts:
        said = ", ".join(f"{count} {what}" for what, count in sorted(base.counts.items()))
        lines.append(f"answers that are none: {said}")
    if n > 4 and len({record.before[0].digest for record in records}) == 1:
        lines.append(f"the baseline gives the same answer to all {n} cases: does the prompt use its input?")
    known = (run.caught.get(check.check) for check in base.checks if check.check != ANSWERED)
    lines += [each.said() for each in known if each is not None]
    if run.suspects:
        sure = sum(bool(record.lost_for_sure) for record in records)
        lines.append(f"second look: {run.looked} of {run.suspects} suspects asked again, {sure} lost for sure")
    if run.judge is not None:
        lines.append(run.judge.said())
    return lines
