"""Ablation over a test set: the search on one part of the cases, the proof of the trim that follows on the other part.

Every answer is a cell that is kept at once (:mod:`promptop.experiments.grid.cells`), so a run that goes on asks only
what is missing. Cases of the proof are never asked during the search.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.client.result import CallProgress
from promptop.experiments.ablation.asker import Asker, PlanOf
from promptop.experiments.ablation.search import FREE, Search, Searched, likely_calls
from promptop.experiments.ablation.units import Unit, blocks_of, units_of, without
from promptop.experiments.grid.caller import GridCaller, MeasurementStep
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.plan import GridPlan, PlannedCase, asked_once, attempt_of
from promptop.experiments.proof.plan import ProofPlan
from promptop.experiments.proof.report import report_of
from promptop.experiments.proof.run import ProofRun
from promptop.prompts.proof import Proof, digest

APP = "promptop ablate"
"""Name of the program in the log's rows."""


@dataclass(frozen=True, slots=True)
class AblationPlan(GridPlan):
    """What is searched: ``cases`` are those of the search."""

    text: str = ""
    held: tuple[PlannedCase, ...] = ()
    """Cases of the proof, which the search never asks."""
    units: tuple[Unit, ...] = ()
    suspected: frozenset[int] = frozenset()
    """Units that trim rules call filler: left out first."""
    most_calls: int = 0
    """Answers that the search may ask for."""
    weigh: int = 8
    """Cases on which each unit that carries is weighed."""
    margin: float = 0.1


@dataclass(frozen=True, slots=True)
class AblationStep:
    """How far an ablation is."""

    step: MeasurementStep
    states: Mapping[int, str]
    """State of each unit so far."""

    @property
    def ended(self) -> int:
        """Calls that were answered."""
        return self.step.ended

    @property
    def size(self) -> int:
        """About how many calls there will be."""
        return self.step.size

    @property
    def failed(self) -> int:
        """Calls that failed."""
        return self.step.failed

    @property
    def spent_usd(self) -> float:
        """Dollars so far."""
        return self.step.spent_usd


@dataclass(frozen=True, slots=True)
class TrimProof:
    """What the proof of the trim came to, as plain data: it comes from another process."""

    verdict: str
    why: str
    proof: Proof
    shape: Mapping[str, Any]
    """As ``prove --json`` has it."""


@dataclass(frozen=True, slots=True)
class AblationOutcome:
    """What came of an ablation."""

    plan: AblationPlan
    found: Searched
    trimmed: str
    """The text without everything that can go; the prompt as it was if nothing can."""
    proof: TrimProof | None
    spent_usd: float
    unpriced: int
    calls: int
    kept: int
    """Answers that an earlier run had paid for."""
    errors: tuple[str, ...]
    stopped: bool
    is_capped: bool
    over_cap: str
    run: str
    idle: tuple[str, ...] = ()
    """Checks that fail no broken answer: what they say carries nothing."""


def plan_ablation(
    text: str,
    planned: Sequence[PlannedCase],
    grid: GridPlan,
    *,
    hold_out: float | None = None,
    suspected: frozenset[int] = frozenset(),
    most_calls: int | None = None,
    weigh: int = 8,
    margin: float = 0.1,
) -> AblationPlan:
    """Split the cases and cut the prompt; ``grid`` has checks, folder, models. The first cases are the search's."""
    from dataclasses import fields

    units = units_of(text)
    held = held_of(len(planned), hold_out)
    search = tuple(planned[: len(planned) - held])
    shared = {each.name: getattr(grid, each.name) for each in fields(grid) if each.name != "cases"}
    return AblationPlan(
        cases=search,
        **shared,
        text=text,
        held=tuple(planned[len(planned) - held :]),
        units=units,
        suspected=suspected,
        most_calls=most_calls or default_calls(len(units), len(search)),
        weigh=weigh,
        margin=margin,
    )


@dataclass(frozen=True, slots=True)
class ChosenCases:
    """Plans some of the cases that another plans, in an order of its own."""

    plan_of: PlanOf
    ids: tuple[str, ...]

    def __call__(self, text: str) -> Sequence[PlannedCase]:
        """Return the cases with a text of the prompt."""
        by_id = {planned.case.id: planned for planned in self.plan_of(text)}
        return [by_id[name] for name in self.ids]


def without_copies(plan_of: PlanOf, text: str) -> tuple[tuple[PlannedCase, ...], PlanOf, int]:
    """Return the cases of a prompt that ask different things, what plans those alone, and how many went.

    A copy would stand in the search and in the proof alike, which is held against cases that were never used.
    """
    cases, folded = asked_once(plan_of(text))
    return cases, ChosenCases(plan_of, tuple(planned.case.id for planned in cases)), folded


def held_of(cases: int, share: float | None = None) -> int:
    """Return how many cases are set aside for the proof: half of 60 or more, a third of fewer, unless said."""
    if share is None:
        share = 0.5 if cases >= 60 else 1 / 3
    return min(max(0, cases - 1), round(share * cases))


def default_calls(units: int, cases: int) -> int:
    """Return the cap of calls of a search: a third of what each unit alone with three answers a case takes."""
    return max(200, (units + 1) * cases)


class AblationRun:
    """Searches, then proves. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(self, plan: AblationPlan, plan_of: PlanOf, store: CellStore, *, resumed: bool = False) -> None:
        """``plan_of`` makes the requests of a changed text; checks that could never be judged raise here."""
        self.plan, self.store = plan, store
        self._plan_of, self._resumed = plan_of, resumed
        self._caller = GridCaller(APP)
        self._asker = Asker(plan, plan.text, plan_of, store, self._caller)
        self._search: Search | None = None
        self._proof: ProofRun | None = None

    def snapshot(self) -> AblationStep:
        """Return how far it is."""
        found = self._search.found if self._search is not None else None
        note = found.phase if found is not None else ""
        likely = likely_calls(len(self.plan.units), len(self.plan.cases)) - self._asker.kept
        step = self._caller.step(max(likely, self._caller.ended), note)
        if self._proof is not None:
            more = self._proof.snapshot()
            step = MeasurementStep(
                step.ended + more.ended,
                step.ended + more.size,
                step.spent_usd + more.spent_usd,
                step.failed + more.failed,
                more.last,
                more.error or step.error,
                f"proof: {more.note}",
            )
        return AblationStep(step, {unit: each.state for unit, each in found.units.items()} if found is not None else {})

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way; what is known stays."""
        running = list(self._caller.stop())
        return [*running, *(self._proof.stop() if self._proof is not None else ())]

    async def work(self, options: Mapping[str, Any]) -> AblationOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        plan, caller = self.plan, self._caller
        setup = {"kind": "ablation", "models": list(plan.models), "set": plan.set_digest, "cases": len(plan.cases)}
        self.store.begin(setup, resumed=self._resumed)
        blocks = blocks_of(plan.units, plan.suspected, 8)
        self._search = search = Search(
            [unit.number for unit in plan.units],
            blocks,
            len(plan.cases),
            self._passes,
            seed=plan.seed,
            at_once=plan.at_once,
            most=plan.most_calls,
            weigh=plan.weigh,
        )
        await caller.open(options)
        try:
            found = await search.run()
        finally:
            await caller.close()
            self.store.close()
        if self._asker.idle:
            found.ended = found.ended or "idle"
        trimmed = without(plan.text, plan.units, found.removed)
        proof, said = None, None
        if found.checked and found.removed and plan.held and not found.ended and not caller.is_over:
            proof_plan = self._proof_plan(trimmed)
            self._proof = ProofRun(proof_plan, self.store)
            proof = await self._proof.work(options)
            if proof.runs:
                report = report_of(proof_plan, proof, (plan.text, trimmed), int(time.time() * 1000))
                said = TrimProof(report.verdict, report.why, report.proof, report.to_json())
        return AblationOutcome(
            plan,
            found,
            trimmed,
            said,
            caller.spent_usd + (proof.spent_usd if proof is not None else 0.0),
            caller.unpriced + (proof.unpriced if proof is not None else 0),
            caller.ended + (proof.calls if proof is not None else 0),
            self._asker.kept + (proof.kept if proof is not None else 0),
            (*caller.errors, *(proof.errors if proof is not None else ())),
            caller.stopped or (proof is not None and proof.stopped),
            caller.is_capped or (proof is not None and proof.is_capped),
            caller.over_cap or (proof.over_cap if proof is not None else ""),
            self.store.run,
            self._asker.idle,
        )

    def _proof_plan(self, trimmed: str) -> ProofPlan:
        plan = self.plan
        planned = self._plan_of(trimmed)[len(plan.cases) :]
        return proof_plan_of(plan, plan.text, plan.held, planned, margin=plan.margin)

    async def _passes(self, case: int, removed: frozenset[int]) -> bool:
        return await self._asker.passes(case, without(self.plan.text, self.plan.units, removed))


def proof_plan_of(
    plan: GridPlan, text: str, before: Sequence[PlannedCase], after: Sequence[PlannedCase], *, margin: float
) -> ProofPlan:
    """Return the proof of a changed text against ``text``, over cases planned with either of them."""
    cases = tuple(
        replace(
            one, requests=tuple((left[0], right[0]) for left, right in zip(one.requests, two.requests, strict=True))
        )
        for one, two in zip(before, after, strict=True)
    )
    hosts = [pair[0].profile.base_url for pair in cases[0].requests]
    return ProofPlan(
        cases,
        plan.models,
        folder=plan.folder,
        python=plan.python,
        at_once=plan.at_once,
        seed=plan.seed,
        judge=plan.judge,
        embed=plan.embed,
        set_digest=plan.set_digest,
        tags=plan.tags,
        margin=margin,
        attempt=attempt_of(digest(text), f"{plan.set_digest} held", plan.models, hosts),
    )


def free_units(found: Searched) -> list[int]:
    """Return the units of which it may be said that they have no measurable effect."""
    return [unit for unit, each in found.units.items() if each.state == FREE]
