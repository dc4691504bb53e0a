"""A grid: every case of a test set, asked of every variant (version of the prompt × model), judged cell by cell.

A cell is kept as soon as it is finished, and one that is kept is not asked again. Calls pass the budget's gate, and one
that a cap refuses ends the grid; what came is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from promptop.budget.estimate import CostEstimate, Lengths, estimate, times, together
from promptop.client.request import RunRequest
from promptop.client.result import CAP, RunResult
from promptop.experiments.checks import Check, Checked
from promptop.experiments.checks.judges import Grading, JudgeModel
from promptop.experiments.checks.vectors import EmbedModel
from promptop.experiments.grid.caller import GridCaller, MeasurementStep, is_refused
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell
from promptop.experiments.grid.checker import Checker, answer_digest
from promptop.experiments.grid.plan import GridPlan, PlannedCase, checks_for, digest_of

APP = "promptop grid"
"""Name of the program in the log's rows."""
NO_VERDICT = "no verdict: the judge or the vectors could not be had"
Place = tuple[int, int]
"""Number of the case and of the variant."""


@dataclass(frozen=True, slots=True)
class CellState:
    """A finished cell in figures: what a table shows while the grid runs."""

    passed: int
    checks: int
    failed: bool
    """Whether the call itself failed."""
    ttft_s: float | None
    total_s: float | None
    output_tokens: int | None
    cost_usd: float | None

    @property
    def is_good(self) -> bool:
        """Whether there is an answer and it passes every check."""
        return not self.failed and self.passed == self.checks

    @classmethod
    def of(cls, cell: GridCell) -> CellState:
        """Sum a cell up."""
        result = cell.result
        passed = sum(each.passed for each in cell.checked.values())
        tokens = result.usage.output_tokens
        failed = result.state != "done"
        return cls(passed, len(cell.checked), failed, result.ttft_s, result.total_s, tokens, result.cost_usd)


@dataclass(frozen=True, slots=True)
class GridStep:
    """How far a grid is."""

    step: MeasurementStep
    cells: Mapping[Place, CellState]


@dataclass(frozen=True, slots=True)
class GridOutcome:
    """What came of a grid."""

    cells: Mapping[Place, GridCell]
    spent_usd: float
    unpriced: int
    stopped: bool
    is_capped: bool
    errors: tuple[str, ...]
    kept: int
    """Cells that an earlier run had."""
    finished: Mapping[CellKey, GridCell]
    """Every cell with an answer, for a run that goes on."""
    grading: Grading | None = None
    """What a judge said of the answers; None where none was asked."""


class GridRun:
    """Asks and judges. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(
        self,
        cases: Sequence[PlannedCase],
        titles: Sequence[str],
        store: CellStore,
        *,
        folder: Path | None = None,
        python: bool = False,
        at_once: int = 4,
        judge: JudgeModel | None = None,
        embed: EmbedModel | None = None,
        asks: bool = False,
        repeats: int = 1,
    ) -> None:
        """``titles`` name the variants, in the order of each case's requests; cells of ``store`` are not asked again.
        Each cell is asked ``repeats`` times: answers of a further repeat stand in further columns of the outcome. With
        ``asks`` a model judges ``rubric`` and ``similar`` checks, which are left out otherwise.

        Raises :class:`UsageError` for a check that could never be judged, before any call.
        """
        self._cases, self._titles = tuple(cases), tuple(titles)
        self._plan = GridPlan(self._cases, self._titles, folder=folder, python=python, judge=judge, embed=embed)
        self._store, self._at_once = store, at_once
        self._caller = GridCaller(APP)
        self._checker = Checker(self._caller, judge, embed)
        self._asks = asks
        self._repeats = repeats
        self._states: dict[Place, CellState] = {}
        for planned in self._cases:
            checks_for(planned, self._plan)

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self._cases) * len(self._titles) * self._repeats

    def requests(self) -> list[RunRequest]:
        """Return what is asked, case by case."""
        return [pair[0] for planned in self._cases for pair in planned.requests]

    def estimate(self, lengths: Lengths | None = None) -> CostEstimate:
        """Return what it may cost, a judge's verdicts included; ``lengths`` are those of the log's answers."""
        asked = times(estimate(self.requests(), 1, lengths), self._repeats)
        judge, graded = self._plan.judge, self.graded
        if judge is None or not self._asks or not graded:
            return asked
        longest = max(self._cases, key=lambda planned: len(planned.given))
        return together([asked, estimate([judge.request("", longest.given + "x" * 2000)], graded, lengths)])

    @property
    def graded(self) -> int:
        """Number of verdicts of a judge, where each answer has one for each of its rubrics."""
        rubrics = sum(check.kind == "rubric" for planned in self._cases for check in checks_for(planned, self._plan))
        return rubrics * len(self._titles) * self._repeats

    def snapshot(self) -> GridStep:
        """Return how far it is."""
        return GridStep(self._caller.step(self.size), dict(self._states))

    def stop(self) -> object:
        """Begin no further call and cancel those under way; finished cells are kept."""
        return self._caller.stop()

    async def work(self, options: Mapping[str, Any]) -> GridOutcome:
        """Ask every cell that is not kept; ``options`` are those of the endpoints."""
        caller, found = self._caller, dict[Place, GridCell]()
        await caller.open(options)
        kept = 0
        try:
            self._store.begin({"kind": "grid", "variants": list(self._titles), "cases": len(self._cases)})
            columns = len(self._titles) * self._repeats
            places = iter([(case, at) for case in range(len(self._cases)) for at in range(columns)])
            refused: set[int] = set()

            async def worker() -> None:
                nonlocal kept
                for place in places:
                    if caller.is_over:
                        return
                    if place[1] % len(self._titles) in refused:
                        continue
                    cell, was_kept = await self._cell(place)
                    if cell is None:
                        return
                    kept += was_kept
                    found[place] = cell
                    self._states[place] = CellState.of(cell)
                    if is_refused(cell.result.error):
                        refused.add(place[1] % len(self._titles))  # so is every further call

            await asyncio.gather(*(worker() for _ in range(self._at_once)))
        finally:
            await caller.close()
            self._store.close()
        return GridOutcome(
            found,
            caller.spent_usd,
            caller.unpriced,
            caller.stopped,
            caller.is_capped,
            tuple(caller.errors),
            kept,
            dict(self._store.cells),
            self._grading(found),
        )

    def _grading(self, found: Mapping[Place, GridCell]) -> Grading | None:
        """Sum up what the judge said of the cells, those of earlier runs included; its price is this run's."""
        judge, record = self._plan.judge, self._checker.record
        if judge is None or not self._asks or not self.graded:
            return None
        verdicts: dict[tuple[int, str, str], list[bool]] = {}
        for (case, _), cell in found.items():
            if cell.result.state != "done":
                continue
            for check in checks_for(self._cases[case], self._plan):
                said = cell.checked.get(check.text) if check.kind == "rubric" else None
                if said is not None and said.why != NO_VERDICT:
                    verdicts.setdefault((case, check.text, answer_digest(cell.result)), []).append(said.passed)
        groups = [each for each in verdicts.values() if len(each) > 1]
        return Grading(
            judge.model,
            verdicts=sum(map(len, verdicts.values())),
            met=sum(map(sum, verdicts.values())),
            calls=record.calls,
            usd=record.usd,
            unpriced=record.unpriced,
            unread=record.unread,
            equal=len(groups),
            unlike=sum(len(set(each)) > 1 for each in groups),
        )

    async def _cell(self, place: Place) -> tuple[GridCell | None, bool]:
        repeat, column = divmod(place[1], len(self._titles))
        planned, title = self._cases[place[0]], self._titles[column]
        request = planned.requests[column][0]
        key = CellKey(planned.case.id, "grid", title, repeat, digest_of(request))
        checks = [check for check in checks_for(planned, self._plan) if self._asks or not check.is_asked]
        known = self._store.find(key)
        if known is not None and {check.text for check in checks} == set(known.checked):
            return known, True
        if known is not None and known.whole:  # other checks: judged again without a call
            return await self._judged(key, planned.given, known.result, checks), True
        result = await self._caller.call(request, title=f"{planned.case.id} · {title}")
        if result.error is not None and result.error.type == CAP:
            return None, False
        return await self._judged(key, planned.given, result, checks), False

    async def _judged(self, key: CellKey, given: str, result: RunResult, checks: Sequence[Check]) -> GridCell:
        """Hold an answer against its checks, and keep the cell at once if there is an answer."""
        answer = replace(result, received=None)
        if result.state != "done":
            return GridCell(answer, {check.text: check.judge(result) for check in checks})
        if self._store.full and any(check.is_asked for check in checks):
            self._store.put(key, GridCell(answer, {}))  # paid for: a judge that is asked next must not lose it
        cell = GridCell(answer, await self._checker.judged(checks, given, result))
        self._store.put(key, cell)
        unsaid = [check.text for check in checks if check.text not in cell.checked]
        return replace(cell, checked={**cell.checked, **{text: Checked(text, False, NO_VERDICT) for text in unsaid}})
