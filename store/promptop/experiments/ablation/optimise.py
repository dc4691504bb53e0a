"""Shortening step by step: rules, ablation and a model propose, the training cases test, the held-out cases prove.

Every step is a line of a log as soon as it is decided. A run that goes on makes the same proposals in the same order
and finds its answers kept, so it comes to the same place without paying again. Each step is held against the first
baseline's cases, never against the step before: ten small losses would add up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.base.errors import PromptopError
from promptop.client.request import RunRequest
from promptop.client.result import CAP, CallProgress
from promptop.experiments.ablation.asker import Asker, PlanOf
from promptop.experiments.ablation.layout import stable_first
from promptop.experiments.ablation.run import AblationPlan, proof_plan_of
from promptop.experiments.ablation.search import OverError, Search
from promptop.experiments.ablation.units import blocks_of, units_of, without
from promptop.experiments.grid.caller import GridCaller, MeasurementStep
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell
from promptop.experiments.grid.plan import digest_of
from promptop.experiments.proof.plan import ProofPlan
from promptop.experiments.proof.run import ProofOutcome, ProofRun
from promptop.prompts import parse
from promptop.prompts.proof import digest
from promptop.prompts.receipt import REWRITE
from promptop.trim.rewrite import Hunk, answer_of, hunks

APP = "promptop optimise"
ABLATION, LAYOUT = "ablation", "layout"
MOST_HALVES = 6
"""Proposals of a model are tested together, then in halves, at most so often."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that was tested."""

    by: str
    """``rules``, ``ablation``, ``rewrite`` or ``layout``."""
    text: str
    said: str
    """What it does, in words."""
    rules: Mapping[str, int]
    """Counted in the receipt if it is accepted."""


@dataclass(frozen=True, slots=True)
class OptimiseStep:
    """One decided step, as a line of the log."""

    number: int
    by: str
    said: str
    accepted: bool
    why: str
    tokens_before: int
    tokens_after: int
    before: str
    """Digest of the text that it began with."""
    after: str
    calls: int
    usd: float

    def to_json(self, text: str | None = None) -> dict[str, Any]:
        """Return the line; ``text`` only where the user wants texts on disk."""
        names = ("by", "said", "accepted", "why", "tokens_before", "tokens_after", "before", "after", "calls", "usd")
        shape = {"step": self.number} | {name: getattr(self, name) for name in names}
        return shape if text is None else shape | {"text": text}


@dataclass(frozen=True, slots=True)
class OptimiseOutcome:
    """What came of it."""

    text: str
    """The best text that the training cases let pass."""
    steps: tuple[OptimiseStep, ...]
    rules: Mapping[str, int]
    proof: ProofOutcome | None
    proof_plan: ProofPlan | None
    ended: str
    """Why it ended early; empty if no proposal was left."""
    spent_usd: float
    unpriced: int
    calls: int
    kept: int
    errors: tuple[str, ...]
    stopped: bool
    is_capped: bool
    over_cap: str
    run: str


class OptimiseRun:
    """Proposes, tests, accepts, proves."""

    def __init__(
        self,
        plan: AblationPlan,
        plan_of: PlanOf,
        store: CellStore,
        *,
        count: Callable[[str], int],
        trims: Sequence[Callable[[str], tuple[str, Mapping[str, int]]]],
        rewrite: Callable[[str], RunRequest] | None,
        tell: Callable[[OptimiseStep, str], object],
        resumed: bool = False,
    ) -> None:
        """``trims`` are the trim rules, boldest first; ``rewrite`` makes the call that asks a model; ``tell`` is given
        each step as it is decided, with its text.
        """
        self.plan, self.store = plan, store
        self._plan_of, self._resumed, self._count = plan_of, resumed, count
        self._trims, self._rewrite, self._tell = tuple(trims), rewrite, tell
        self._caller = GridCaller(APP)
        self._asker = Asker(plan, plan.text, plan_of, store, self._caller)
        self._proof: ProofRun | None = None
        self._note = ""
        self._text, self._sound = plan.text, tuple[int, ...]()
        self._witnesses: dict[int, None] = {}
        self._steps: list[OptimiseStep] = []
        self._rules: dict[str, int] = {}

    def snapshot(self) -> MeasurementStep:
        """Return how far it is."""
        step = self._caller.step(max(self.plan.most_calls, self._caller.ended), self._note)
        if self._proof is None:
            return step
        more = self._proof.snapshot()
        return replace(more, ended=step.ended + more.ended, size=step.ended + more.size, note=f"proof: {more.note}")

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way; the best text so far stays."""
        return [*self._caller.stop(), *(self._proof.stop() if self._proof is not None else ())]

    async def work(self, options: Mapping[str, Any]) -> OptimiseOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        plan, caller = self.plan, self._caller
        setup = {"kind": "optimise", "models": list(plan.models), "set": plan.set_digest, "cases": len(plan.cases)}
        self.store.begin(setup, resumed=self._resumed)
        await caller.open(options)
        ended = ""
        try:
            await self._baseline()
            if not self._sound:
                ended = "no case passes with the prompt as it is"
            else:
                await self._improve()
        except OverError as error:
            ended = str(error)
        finally:
            await caller.close()
            self.store.close()
        proof, proof_plan = None, None
        if self._text != plan.text and plan.held and not caller.is_over:
            planned = self._plan_of(self._text)[len(plan.cases) :]
            proof_plan = proof_plan_of(plan, plan.text, plan.held, planned, margin=plan.margin)
            self._proof = ProofRun(proof_plan, self.store)
            proof = await self._proof.work(options)
            if not ended and (proof.is_capped or proof.stopped):
                ended = "cap" if proof.is_capped else "stopped"
        return OptimiseOutcome(
            self._text,
            tuple(self._steps),
            self._rules,
            proof,
            proof_plan,
            ended,
            caller.spent_usd + (proof.spent_usd if proof is not None else 0.0),
            caller.unpriced + (proof.unpriced if proof is not None else 0),
            caller.ended + (proof.calls if proof is not None else 0),
            self._asker.kept + (proof.kept if proof is not None else 0),
            (*caller.errors, *(proof.errors if proof is not None else ())),
            caller.stopped or (proof is not None and proof.stopped),
            caller.is_capped or (proof is not None and proof.is_capped),
            caller.over_cap or (proof.over_cap if proof is not None else ""),
            self.store.run,
        )

    # Steps

    async def _baseline(self) -> None:
        self._note = "baseline"
        sound = [case for case in range(len(self.plan.cases)) if await self._holds(case, self.plan.text)]
        self._sound = tuple(sound)

    async def _improve(self) -> None:
        for trim in self._trims:
            text, rules = trim(self._text)
            if await self._try(Proposal("rules", text, f"{sum(rules.values())} changes by trim rules", rules)):
                break
        await self._ablate()
        async for proposal in self._rewritten():
            await self._try(proposal)
        moved = stable_first(self._text)
        if moved is not None:
            await self._try(
                Proposal(LAYOUT, moved, "stable part first, for the prefix cache", {LAYOUT: 1}), layout=True
            )

    async def _try(self, proposal: Proposal, *, layout: bool = False) -> bool:
        """Test a proposal on the training cases, those first that broke before; note what was decided."""
        self._note = proposal.said
        before, after = self._count(self._text), self._count(proposal.text)
        if proposal.text == self._text or (after >= before and not layout):
            return False
        order = [*self._witnesses, *(case for case in self._sound if case not in self._witnesses)]
        broken = None
        for case in order:
            if not await self._holds(case, proposal.text):
                broken = case
                break
        why = "no training case broke"
        if broken is not None:
            self._witnesses[broken] = None
            why = f"breaks {self.plan.cases[broken].case.id}"
        self._decide(proposal, broken is None, why)
        return broken is None

    def _decide(self, proposal: Proposal, accepted: bool, why: str) -> None:
        counts = self._count(self._text), self._count(proposal.text)
        names = digest(self._text), digest(proposal.text)
        spent = self._caller.ended, self._caller.spent_usd
        step = OptimiseStep(len(self._steps) + 1, proposal.by, proposal.said, accepted, why, *counts, *names, *spent)
        self._steps.append(step)
        if accepted:
            self._text = proposal.text
            for name, times in proposal.rules.items():
                self._rules[name] = self._rules.get(name, 0) + times
        self._tell(step, proposal.text)

    async def _holds(self, case: int, text: str) -> bool:
        """Ask once; a case that fails is broken if two of three answers fail."""
        if await self._asker.passes(case, text):
            return True
        return await self._asker.passes(case, text) and await self._asker.passes(case, text)

    async def _ablate(self) -> None:
        base = self._text
        units = units_of(base)
        if not any(not unit.pinned for unit in units):
            return
        cases = self._sound

        async def passes(case: int, removed: frozenset[int]) -> bool:
            return await self._asker.passes(cases[case], without(base, units, removed))

        blocks = blocks_of(units, self.plan.suspected if base == self.plan.text else (), 8)
        search = Search(
            [unit.number for unit in units],
            blocks,
            len(cases),
            passes,
            seed=self.plan.seed,
            at_once=self.plan.at_once,
            most=self.plan.most_calls,
            weigh=0,
        )
        self._note = "ablation"
        found = await search.run()
        if found.removed:
            text = without(base, units, found.removed)
            said = f"{len(found.removed)} units left out"
            why = "no training case broke with fresh answers" if found.checked else f"not finished: {found.ended}"
            proposal = Proposal(ABLATION, text, said, {ABLATION: len(found.removed)})
            self._decide(proposal, found.checked and self._count(text) < self._count(base), why)
        if found.ended and found.ended != "calls":
            raise OverError(found.ended)

    async def _rewritten(self) -> AsyncIterator[Proposal]:
        """Yield what a model would say shorter: all of it, then halves of what broke a case."""
        if self._rewrite is None:
            return
        start = parse(self._text).body_start
        head, body = self._text[:start], self._text[start:]
        try:
            request = self._rewrite(body)
        except PromptopError:
            return  # there is nothing left to shorten
        self._note = "asking a model"
        key = CellKey("", "proposal", request.model, 0, digest_of(request))
        known = self.store.find(key)
        if known is not None and known.whole:
            result = known.result
        else:
            result = await self._caller.call(request, title="proposal")
            if result.error is not None and result.error.type == CAP:
                raise OverError("cap")
            if result.state == "done":
                self.store.put(key, GridCell(result, {}))
        try:
            found = [each for each in hunks(body, answer_of(result, body)) if not each.is_flagged]
        except PromptopError as error:
            self._decide(Proposal(REWRITE, self._text, "a model's rewrite", {}), False, error.cause)
            return
        groups, taken, tries = [found], list[Hunk](), 0
        while groups and tries < MOST_HALVES:
            group = groups.pop(0)
            if not group:
                continue
            tries += 1
            chosen = sorted([*taken, *group], key=lambda each: each.start)
            text = head + _with(body, chosen)
            yield Proposal(REWRITE, text, f"{len(group)} changes of a model", {REWRITE: len(group)})
            if self._text == text:
                taken = chosen
            elif len(group) > 1:
                half = len(group) // 2
                groups += [group[:half], group[half:]]


def _with(body: str, chosen: Sequence[Hunk]) -> str:
    for hunk in reversed(chosen):
        body = body[: hunk.start] + hunk.after + body[hunk.end :]
    return body
