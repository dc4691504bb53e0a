"""A proof over a test set: both prompts asked case by case, judged after each, stopped as soon as it is sure.

The order is fixed by a seed, so that a proof that goes on after a kill asks only what is missing and says the same.
What the answers mean is said by :mod:`.findings`, from records alone; here is what is asked, and when to stop.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.checks import Check
from promptop.experiments.checks.judges import Judge, JudgeRecord, family_of
from promptop.experiments.grid.caller import GridCaller, MeasurementStep, is_refused
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell
from promptop.experiments.grid.checker import Checker, text_of_answer
from promptop.experiments.grid.plan import PlannedCase, checks_for, digest_of
from promptop.experiments.proof import rule
from promptop.experiments.proof.broken_answers import Caught, broken, caught
from promptop.experiments.proof.evidence import same_texts
from promptop.experiments.proof.findings import HELD, ModelFinding, judge_model
from promptop.experiments.proof.plan import WARM_UP, ProofPlan
from promptop.experiments.proof.records import BEFORE, SIDES, CaseRecord, distinct

APP = "promptop prove"
"""Name of the program in the log's rows."""
GIVE_UP = 5
"""Cases in a row without an answer after which the rest is not asked."""
_SIDE_OF_WARM_UP = "warm-up"


@dataclass(slots=True)
class ModelRun:
    """One model's part of a proof."""

    title: str
    number: int
    planned: Sequence[PlannedCase]
    checks: Sequence[Sequence[Check]]
    records: list[CaseRecord] = field(default_factory=list)
    """In the order in which their cases were begun."""
    warm: list[list[GridCell]] = field(default_factory=list)
    caught: dict[str, Caught] = field(default_factory=dict)
    answers: tuple[int, int] = (1, 1)
    """Answers of each side to a case."""
    wavers: bool = False
    ids_tell: bool = False
    """Whether response ids tell copies of an answer from further answers."""
    unjudged: int = 0
    """Answers that a model was to judge, and gave no verdict on."""
    copies: int = 0
    """Answers that an endpoint gave a second time out of a cache."""
    suspects: int = 0
    looked: int = 0
    refused: str = ""
    """Why this model cannot be asked."""
    ended: str = ""
    """Why it ended before its last case: held, worse, hopeless, cap, stopped, refused, failing, idle."""
    judge: JudgeRecord | None = None
    finding: ModelFinding | None = None

    @property
    def complete(self) -> list[CaseRecord]:
        """Cases whose answers are all there, in order."""
        return [record for record in self.records if record.is_complete]


@dataclass(frozen=True, slots=True)
class ProofOutcome:
    """What came of a proof's calls."""

    runs: tuple[ModelRun, ...]
    spent_usd: float
    unpriced: int
    calls: int
    kept: int
    """Answers that an earlier run had paid for."""
    failed: int
    errors: tuple[str, ...]
    stopped: bool
    is_capped: bool
    over_cap: str
    run: str
    alpha: float
    attempt: int
    """1 for a first try of this prompt on this test set."""
    cells: Mapping[CellKey, GridCell]
    """Every finished answer, for a run that goes on."""


class ProofRun:
    """Asks and judges. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(self, plan: ProofPlan, store: CellStore, *, resumed: bool = False) -> None:
        """Keep the plan; checks that could never be judged raise :class:`UsageError` here, before any call."""
        self.plan = plan
        self.store = store
        self._resumed = resumed
        self._caller = GridCaller(APP)
        self._kept = 0
        self._judged: Counter[str] = Counter()
        self._note = ""
        self._checker = Checker(self._caller, plan.judge, plan.embed)
        for planned in plan.cases:
            checks_for(planned, plan)

    def snapshot(self) -> MeasurementStep:
        """Return how far it is."""
        return self._caller.step(max(self.plan.size() - self._kept, self._caller.ended), self._note)

    def stop(self) -> Sequence[Any]:
        """Begin no further call and cancel those under way; what came is judged."""
        return self._caller.stop()

    async def work(self, options: Mapping[str, Any]) -> ProofOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        plan, caller = self.plan, self._caller
        setup = {"models": list(plan.models), "set": plan.set_digest, "cases": len(plan.cases), "margin": plan.margin}
        self.store.begin(setup, resumed=self._resumed)
        failed_before = self.store.failed_attempts(plan.attempt)
        alpha = rule.attempt_alpha(failed_before, plan.alpha)
        runs: list[ModelRun] = []
        try:
            await caller.open(options)
            for number, title in enumerate(plan.models):
                run = ModelRun(title, number, plan.cases, [checks_for(each, plan) for each in plan.cases])
                runs.append(run)
                await self._prove(run, alpha)
                run.finding = judge_model(run, plan, alpha)
                if caller.is_over or run.finding.word == "worse":
                    break
            words = [run.finding.word for run in runs if run.finding is not None]
            looked_at = any(run.complete for run in runs)
            proven = len(runs) == len(plan.models) and all(word == "proven" for word in words)
            self.store.end("proven" if proven else (words or ["undecided"])[-1], plan.attempt, counts=looked_at)
        finally:
            await caller.close()
            self.store.close()
        return ProofOutcome(
            tuple(runs),
            caller.spent_usd,
            caller.unpriced,
            caller.ended,
            self._kept,
            caller.failed,
            tuple(caller.errors),
            caller.stopped,
            caller.is_capped,
            caller.over_cap,
            self.store.run,
            alpha,
            failed_before + 1,
            dict(self.store.cells),
        )

    # One model

    async def _prove(self, run: ModelRun, alpha: float) -> None:
        await self._warm_up(run)
        if run.ended:
            return
        await self._ask_cases(run, alpha)
        if not run.refused and run.ended not in ("cap", "stopped", "failing"):
            await self._look_again(run)
            await self._judge(run)

    async def _warm_up(self, run: ModelRun) -> None:
        """Ask the baseline twice on ten cases: whether it wavers, and what the checks catch."""
        plan = self.plan
        self._note = f"{run.title}: warm-up"
        for at, planned in enumerate(run.planned[:WARM_UP]):
            cells: list[GridCell] = []
            for repeat in range(2):
                cell = await self._cell(run, planned, run.checks[at], BEFORE, repeat, kind=_SIDE_OF_WARM_UP)
                if cell is None:
                    run.ended = self._why_over(run)
                    if run.ended:
                        return
                    continue
                cells.append(cell)
            run.warm.append(cells)
            if not any(run.warm) and len(run.warm) >= GIVE_UP:
                run.ended = "failing"
                return
        run.ids_tell = _ids_tell(run.warm)
        pairs = [cells for cells in run.warm if len(cells) == 2]
        if run.ids_tell:
            run.copies += sum(len(distinct(cells, ids_tell=True)) < 2 for cells in pairs)
        run.wavers = any(_differ(cells, plan.has_checks) for cells in pairs)
        if plan.answers is not None:
            run.answers = (plan.answers, plan.answers)
        elif run.wavers:
            run.answers = (3, 3)
        else:
            run.answers = (1, 1) if plan.has_checks else (2, 1)
        firsts = [(cells[0].result, run.checks[at]) for at, cells in enumerate(run.warm) if cells and cells[0].whole]
        run.caught = caught(firsts) if firsts else {}
        await self._try_asked_checks(run)
        if _is_idle(run):
            run.ended = "idle"

    async def _ask_cases(self, run: ModelRun, alpha: float) -> None:
        """Ask case after case, up to ``at_once`` of them together; look after each one that is over."""
        plan, rng = self.plan, random.Random(f"{self.plan.seed} {run.title}")
        orders = [_order(rng, run.answers) for _ in run.planned]
        waiting = iter(range(len(run.planned)))
        records: dict[int, CaseRecord] = {}
        done: set[int] = set()
        missing_in_a_row = 0

        async def worker() -> None:
            nonlocal missing_in_a_row
            for at in waiting:
                if run.ended == HELD and not run.planned[at].case.critical:
                    continue  # nothing is proven before each critical case was asked
                if run.ended not in ("", HELD):
                    return
                record = records[at] = CaseRecord(run.planned[at].case, run.checks[at])
                for side, repeat in orders[at]:
                    cell = await self._cell(run, run.planned[at], run.checks[at], side, repeat)
                    if cell is not None:
                        record.side(side).append(cell)
                        continue
                    if why := self._why_over(run):
                        run.ended = why
                        records.pop(at)  # a case that was cut off is in no figure
                        return
                    record.failed[side] += 1
                record.copied = _copied(record, run)
                done.add(at)
                missing_in_a_row = 0 if record.is_complete else missing_in_a_row + 1
                self._settle(run, records, done, alpha)
                if missing_in_a_row >= GIVE_UP and not run.ended:
                    run.ended = "failing"

        await asyncio.gather(*(worker() for _ in range(max(1, plan.at_once))))
        run.records = [records[at] for at in sorted(records) if at in done]

    def _settle(self, run: ModelRun, records: Mapping[int, CaseRecord], done: set[int], alpha: float) -> None:
        """Look at the cases that are over in the order in which they were begun, without a gap."""
        if run.ended:
            return
        run.records = []
        for at in range(len(run.planned)):
            if at not in done:
                break
            run.records.append(records[at])
        finding = judge_model(run, self.plan, alpha)
        self._note = f"{run.title}: {len(run.records)} of {len(run.planned)} cases, {finding.note}"
        if finding.can_stop:
            run.ended = finding.can_stop

    async def _look_again(self, run: ModelRun) -> None:
        """Ask suspects again: only fresh answers tell a case that is lost from one that failed by chance."""
        suspects = [record for record in run.complete if record.dropped()]
        run.suspects = len(suspects)
        if not suspects or run.ended == "worse":
            return
        rng = random.Random(f"{self.plan.seed} second look")
        # Critical ones first: they decide by themselves.
        critical = [record for record in suspects if record.case.critical]
        others = [record for record in suspects if not record.case.critical]
        rng.shuffle(others)
        chosen = [*critical, *others][: rule.MOST_SUSPECTS]
        places = {planned.case.id: at for at, planned in enumerate(run.planned)}
        for record in chosen:
            self._note = f"{run.title}: second look at {record.id}"
            at = places[record.id]
            order = [(side, repeat) for side in SIDES for repeat in range(rule.FRESH)]
            rng.shuffle(order)
            for side, repeat in order:
                cell = await self._cell(run, run.planned[at], run.checks[at], side, repeat, kind="fresh")
                if cell is not None:
                    record.fresh[side].append(cell)
                elif why := self._why_over(run):
                    run.ended = why
                    return
            fresh = {side: distinct(record.fresh[side], ids_tell=run.ids_tell) for side in SIDES}
            run.copies += sum(len(record.fresh[side]) - len(fresh[side]) for side in SIDES)
            if all(len(cells) >= rule.FRESH for cells in fresh.values()):
                names = record.dropped()
                passes = [
                    sum(all(record.passed(cell, name) for name in names) for cell in fresh[side]) for side in SIDES
                ]
                record.lost_for_sure = rule.lost_for_sure(passes[0], passes[1], rule.FRESH, len(chosen))
                run.looked += 1

    async def _judge(self, run: ModelRun) -> None:
        """Have a model compare the answers of both sides, where one is named; it is tested first."""
        who = self.plan.judge
        lost = any(record.lost_for_sure for record in run.records)
        if who is None or self._caller.is_over or run.ended == "worse" or lost:
            return
        run.judge = asked = JudgeRecord(who.model)
        judge = Judge(who, partial(self._ask_judge, asked), seed=self.plan.seed, record=asked)
        asked_model = run.planned[0].requests[run.number][0].model
        judge.record.same_family = family_of(who.model) == family_of(asked_model)
        self._note = f"{run.title}: testing the judge"
        texts = [(planned.given, text_of_answer(record.before[0].result)) for planned, record in self._pairs(run)]
        planted, alike = [], []
        for at, (_, record) in enumerate(self._pairs(run)):
            if not record.before[0].whole:
                continue
            given, good = texts[at]
            other = texts[(at + 1) % len(texts)][1] if len(texts) > 1 else None
            forms = dict(broken(record.before[0].result))
            ways = [forms[kind].text for kind in ("first half", "negation put in") if kind in forms]
            ways += [other] if other is not None and other != good else []
            if ways:
                planted.append((given, good, ways[at % len(ways)]))
        for at, cells in enumerate(run.warm):
            if len(cells) == 2 and all(cell.whole for cell in cells):
                left, right = (text_of_answer(cell.result) for cell in cells)
                alike.append((run.planned[at].given, left, right))
        await judge.test(planted, alike)
        if "planted faults" in judge.record.fault() or self._caller.is_over:
            judge.record.unseen = sum(not record.is_whole for _, record in self._pairs(run))
            return
        for planned, record in self._pairs(run):
            self._note = f"{run.title}: judge, {record.id}"
            if self._why_over(run):
                return
            if not record.is_whole and not record.is_same:
                judge.record.unseen += 1
                continue
            left, right = (text_of_answer(record.side(side)[0].result) for side in SIDES)
            await judge.judge_case(record.id, planned.given, left, right)

    async def _ask_judge(self, record: JudgeRecord, request: RunRequest) -> RunResult:
        """Ask a judge, or return what it said before the run was killed."""
        digest = digest_of(request)
        repeat = self._judged[digest]
        self._judged[digest] += 1
        key = CellKey("", "judge", request.model, repeat, digest)
        known = self.store.find(key)
        if known is not None and known.whole:
            self._kept += 1
            return known.result
        result = await self._caller.call(request, title=f"judge {request.model}")
        if is_refused(result.error) and result.error is not None:
            record.refused = result.error.cause.rstrip(".")
        if result.state == "done":
            self.store.put(key, GridCell(result, {}))
        return result

    def _pairs(self, run: ModelRun) -> list[tuple[PlannedCase, CaseRecord]]:
        by_id = {planned.case.id: planned for planned in run.planned}
        return [(by_id[record.id], record) for record in run.complete]

    # One answer

    async def _cell(
        self,
        run: ModelRun,
        planned: PlannedCase,
        checks: Sequence[Check],
        side: str,
        repeat: int,
        *,
        kind: str = "",
    ) -> GridCell | None:
        """Return a finished answer, asked for or kept; None where there is none."""
        if self._caller.is_over or run.refused:
            return None
        request = planned.requests[run.number][SIDES.index(side)]
        key = CellKey(planned.case.id, f"{kind} {side}".strip(), run.title, repeat, digest_of(request))
        known = self.store.find(key)
        if known is not None:
            has_all = all(check.text in known.checked for check in checks)
            if has_all and (known.whole or self.plan.has_checks):
                self._kept += 1
                return known
            if known.whole:  # other checks: judged again without a call
                self._kept += 1
                return await self._checked(run, key, planned, checks, known.result)
        result = await self._caller.call(request, title=f"{run.title} {planned.case.id}")
        if result.state != "done":
            if is_refused(result.error):
                run.refused = result.error.cause if result.error is not None else "refused"
            return None
        return await self._checked(run, key, planned, checks, result)

    async def _checked(
        self, run: ModelRun, key: CellKey, planned: PlannedCase, checks: Sequence[Check], result: RunResult
    ) -> GridCell | None:
        if self.store.full and any(check.is_asked for check in checks):
            self.store.put(key, GridCell(result, {}))  # paid for: a judge that is asked next must not lose it
        cell = GridCell(result, await self._checker.judged(checks, planned.given, result))
        self.store.put(key, cell)
        if len(cell.checked) == len({check.text for check in checks}):
            return cell
        run.unjudged += 1
        if self._checker.refused:
            run.refused = f"the judge {self._checker.refused}"
        return None

    async def _try_asked_checks(self, run: ModelRun) -> None:
        """Hold broken answers against checks that need a model: a judge that lets them all pass tells nothing."""
        for at, cells in enumerate(run.warm[:3]):
            asked = [check for check in run.checks[at] if check.is_asked]
            if not asked or not cells or not cells[0].whole:
                continue
            result = cells[0].result
            others = [each[0].result for number, each in enumerate(run.warm) if number != at and each]
            for kind, form in broken(result, others[0] if others else None):
                if kind not in ("first half", "refusal", "another case's answer", "negation put in"):
                    continue
                for check in asked:
                    known = run.caught.get(check.name, Caught(check.name, frozenset(), frozenset()))
                    checked = await self._checker.said(check, run.planned[at].given, form)
                    if self._caller.is_over:
                        return
                    if checked is None:
                        continue
                    kinds = known.kinds | ({kind} if not checked.passed else frozenset())
                    run.caught[check.name] = Caught(check.name, kinds, known.tried | {kind})

    def _why_over(self, run: ModelRun) -> str:
        caller = self._caller
        return "refused" if run.refused else "cap" if caller.is_capped else "stopped" if caller.stopped else ""


def _order(rng: random.Random, answers: tuple[int, int]) -> list[tuple[str, int]]:
    """Return both sides and all repeats of a case in turns and at random: a slow minute meets both alike."""
    order = []
    for repeat in range(max(answers)):
        turn = [(side, repeat) for side, most in zip(SIDES, answers, strict=True) if repeat < most]
        rng.shuffle(turn)
        order += turn
    return order


def _ids_tell(warm: Sequence[Sequence[GridCell]]) -> bool:
    """Whether response ids differ from case to case: some servers give every answer the same one."""
    ids = [cells[0].result.response_id for cells in warm if cells]
    return len(ids) > 1 and None not in ids and "" not in ids and len(set(ids)) == len(ids)


def _copied(record: CaseRecord, run: ModelRun) -> int:
    """Return how many trimmed answers came under the id of an answer to the baseline: the prompt was not read."""
    if not run.ids_tell:
        return 0
    known = {cell.result.response_id for cells in (*run.warm, record.before) for cell in cells}
    return sum(cell.result.response_id in known for cell in record.after)


def _differ(cells: Sequence[GridCell], has_checks: bool) -> bool:
    if has_checks:
        said = [{text: checked.passed for text, checked in cell.checked.items()} for cell in cells]
        return said[0] != said[1]
    return not same_texts([cell.result for cell in cells])


def _is_idle(run: ModelRun) -> bool:
    """Whether a check passes in no answer of the warm-up, or fails no broken one: no further call can help that."""
    passes: dict[str, list[bool]] = {}
    for at, cells in enumerate(run.warm):
        for check in run.checks[at]:
            passes.setdefault(check.name, []).extend(cell.checked[check.text].passed for cell in cells)
    enough = min(len(run.planned), WARM_UP)
    return any(
        (len(said) >= enough and not any(said)) or (name in run.caught and not run.caught[name].tells)
        for name, said in passes.items()
    )
