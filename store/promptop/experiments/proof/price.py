"""What a proof may cost: all of it, and the one case that must fit below the caps before it begins."""

from __future__ import annotations

from promptop.budget.estimate import CostEstimate, Lengths, estimate, times, together
from promptop.client.request import RunRequest
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.proof.plan import WARM_UP, ProofPlan


def whole_price(plan: ProofPlan, lengths: Lengths) -> CostEstimate:
    """Return the price of asking every case with both prompts, warm-up and judge included; at most."""
    requests: list[RunRequest] = [request for planned in plan.cases for pair in planned.requests for request in pair]
    sides = max(1, len(requests))
    parts = [times(estimate(requests, 1, lengths), plan.answers or 1)]
    warm = [pair[0] for planned in plan.cases[:WARM_UP] for pair in planned.requests]
    parts.append(estimate(warm, 2, lengths))
    if plan.judge is not None:
        parts.append(estimate([_judged(plan.judge, plan)], 40 + sides, lengths))
    return together(parts)


def one_case_price(plan: ProofPlan, lengths: Lengths) -> CostEstimate:
    """Return the price of one case with its judge.

    A proof stops by itself as soon as it is sure, and a cap ends it early: only this much must fit.
    """
    first = [request for pair in plan.cases[0].requests for request in pair]
    judge = [estimate([_judged(plan.judge, plan)], 2, lengths)] if plan.judge is not None else []
    return together([estimate(first, 1, lengths), *judge])


def _judged(judge: JudgeModel, plan: ProofPlan) -> RunRequest:
    """Return a call of the judge as it may look."""
    return judge.request("", "\n".join([plan.cases[0].given, "x" * 2000]))
