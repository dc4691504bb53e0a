"""Asks for one further answer of a case to a changed prompt: kept at once, never paid for twice, never used twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

from promptop.client.request import RunRequest
from promptop.experiments.ablation.search import OverError
from promptop.experiments.checks import ANSWERED, Check
from promptop.experiments.grid.caller import GridCaller, is_refused
from promptop.experiments.grid.cells import CellKey, CellStore, GridCell
from promptop.experiments.grid.checker import Checker
from promptop.experiments.grid.plan import GridPlan, PlannedCase, checks_for, digest_of
from promptop.experiments.proof.broken_answers import caught

ATTEMPTS = 3
"""Calls that may fail for one answer, beside the retries of each, before the run ends."""
PlanOf = Callable[[str], Sequence[PlannedCase]]
"""Takes a text of the prompt; returns all cases in their order, each with one request to one model."""
SIDE = "ablation"


class Asker:
    """Answers of one run's cases to any text of the prompt; raises :class:`OverError` where there can be none."""

    def __init__(self, plan: GridPlan, text: str, plan_of: PlanOf, store: CellStore, caller: GridCaller) -> None:
        """``text`` is the baseline: with its first answers the checks are tested.

        Raises :class:`promptop.base.errors.UsageError` for a check that could never be judged.
        """
        self._plan, self._text, self._plan_of, self._store, self._caller = plan, text, plan_of, store, caller
        self._checker = Checker(caller, plan.judge, plan.embed)
        for planned in plan.cases:
            checks_for(planned, plan)
        self._planned: dict[str, Sequence[PlannedCase]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._firsts: dict[int, GridCell] = {}
        self.kept = 0
        """Answers that an earlier run had paid for."""
        self.idle: tuple[str, ...] = ()
        """Checks that fail no broken answer."""

    @cached_property
    def _checks(self) -> list[list[Check]]:
        # Made at the first call: they cannot be pickled.
        return [checks_for(planned, self._plan) for planned in self._plan.cases]

    async def passes(self, case: int, text: str) -> bool:
        """Return whether a further answer of a case passes every check."""
        planned = self._planned.get(text)
        if planned is None:
            planned = self._planned[text] = self._plan_of(text)[: len(self._plan.cases)]
        request = planned[case].requests[0][0]
        known_as = digest_of(request)
        number = self._numbers.get((planned[case].case.id, known_as), 0)
        self._numbers[planned[case].case.id, known_as] = number + 1
        key = CellKey(planned[case].case.id, SIDE, self._plan.models[0], number, known_as)
        cell = await self._cell(key, planned[case], request, self._checks[case])
        if text == self._text:
            self._firsts.setdefault(case, cell)
            if len(self._firsts) == len(self._checks) and not self.idle:
                self._try_checks()
        return all(each.passed for each in cell.checked.values())

    def _try_checks(self) -> None:
        """End the run where no check tells anything: answers that are broken on purpose would pass, too."""
        answers = [(cell.result, self._checks[case]) for case, cell in self._firsts.items() if cell.whole]
        said = {name: each for name, each in caught(answers).items() if name != ANSWERED} if answers else {}
        asked = any(check.is_asked for checks in self._checks for check in checks)
        if said and not asked and not any(each.tells for each in said.values()):
            self.idle = tuple(said)
            raise OverError("idle")

    async def _cell(self, key: CellKey, planned: PlannedCase, request: RunRequest, checks: Sequence[Check]) -> GridCell:
        known = self._store.find(key)
        has_all = known is not None and all(check.text in known.checked for check in checks)
        if known is not None and (has_all or known.whole):
            self.kept += 1
            return known if has_all else await self._judged(key, planned, GridCell(known.result, {}), checks)
        for _ in range(ATTEMPTS):
            if self._caller.is_over:
                break
            result = await self._caller.call(request, title=f"{self._plan.models[0]} {planned.case.id}")
            if result.state == "done":
                return await self._judged(key, planned, GridCell(replace(result, received=None), {}), checks)
            if is_refused(result.error):
                raise OverError("refused")
        raise OverError("stopped" if self._caller.stopped else "cap" if self._caller.is_capped else "failing")

    async def _judged(self, key: CellKey, planned: PlannedCase, answer: GridCell, checks: Sequence[Check]) -> GridCell:
        cell = GridCell(answer.result, await self._checker.judged(checks, planned.given, answer.result))
        self._store.put(key, cell)
        return cell
