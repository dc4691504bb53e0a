"""What a proof knows of each case: the answers of both sides, their checks, and the scores that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptop.client.result import RunResult
from promptop.experiments.checks import ANSWERED, Check, Checked
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.proof import evidence
from promptop.experiments.test_sets.case import Case

BEFORE, AFTER = "before", "after"
SIDES = (BEFORE, AFTER)
LOST_AT = -0.6
"""Score at which a case is a suspect: with three answers two of three must have been lost."""


@dataclass(slots=True)
class CaseRecord:
    """One case under one model."""

    case: Case
    checks: Sequence[Check]
    before: list[GridCell] = field(default_factory=list)
    after: list[GridCell] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """Calls of each side that were not answered, after all attempts."""
    fresh: dict[str, list[GridCell]] = field(default_factory=lambda: {side: [] for side in SIDES})
    """Answers of the second look."""
    copied: int = 0
    """Answers to the trimmed prompt that are copies of answers to the baseline, out of an endpoint's cache."""
    lost_for_sure: bool | None = None
    """What the second look found; None where there was none, or it could not tell."""
    _scores: dict[str, float] = field(default_factory=dict)
    _flips: list[str] | None = None
    _likeness: float | None = None

    @property
    def id(self) -> str:
        """The case's name."""
        return self.case.id

    @property
    def is_complete(self) -> bool:
        """Whether both sides have all their answers, and none of them is the other side's."""
        return not self.copied and not any(self.failed.values()) and bool(self.before) and bool(self.after)

    def side(self, name: str) -> list[GridCell]:
        """Return the cells of a side."""
        return self.before if name == BEFORE else self.after

    def results(self, name: str) -> list[RunResult]:
        """Return the answers of a side."""
        return [cell.result for cell in self.side(name)]

    @property
    def names(self) -> list[str]:
        """The checks that its answers are held against, by the names under which they are counted."""
        return list(dict.fromkeys(check.name for check in self.checks))

    def passed(self, cell: GridCell, name: str) -> bool:
        """Whether an answer passes every check of a name."""
        return all(cell.checked[check.text].passed for check in self.checks if check.name == name)

    def share(self, side: str, name: str) -> float:
        """Return the share of a side's answers that pass a check."""
        cells = self.side(side)
        return sum(self.passed(cell, name) for cell in cells) / len(cells)

    def score(self, name: str) -> float:
        """Return the share that passes after trimming minus the share before."""
        # A complete case does not change any more, and is looked at after each one that follows.
        if name not in self._scores:
            self._scores[name] = self.share(AFTER, name) - self.share(BEFORE, name)
        return self._scores[name]

    def dropped(self) -> list[str]:
        """Return the checks in which the case is a suspect."""
        return [name for name in self.names if self.score(name) <= LOST_AT]

    @property
    def is_whole(self) -> bool:
        """Whether all texts of its answers are there: after a restart only where the history keeps them."""
        return all(cell.whole for cell in (*self.before, *self.after))

    @property
    def flips(self) -> list[str]:
        """Facts that all of the baseline's answers share and no trimmed one has."""
        if self._flips is None and not self.is_whole:
            self._flips = []
        if self._flips is None:
            self._flips = evidence.flipped(self.results(BEFORE), self.results(AFTER))
        return self._flips

    @property
    def likeness(self) -> float | None:
        """How much less alike the sides are than the baseline is to itself; None below two baseline answers."""
        if self._likeness is None and self.is_whole:
            self._likeness = evidence.likeness_score(self.results(BEFORE), self.results(AFTER))
        return self._likeness

    @property
    def is_same(self) -> bool:
        """Whether all answers of both sides are the same to the letter."""
        return len({cell.digest for cell in (*self.before, *self.after)}) <= 1

    @property
    def repeats_agree(self) -> bool:
        """Whether the baseline answers the same to the letter each time."""
        return len({cell.digest for cell in self.before}) <= 1

    @property
    def state(self) -> str:
        """Say in a word what became of it."""
        if not self.is_complete:
            return "incomplete"
        scores = [self.score(name) for name in self.names]
        if self.lost_for_sure:
            return "lost for sure"
        if any(score <= LOST_AT for score in scores):
            return "lost"
        if any(score < 0 for score in scores):
            return "flipped"
        if any(score > 0 for score in scores):
            return "won"
        return "same" if self.is_same else "changed"

    def to_json(self, *, judge_score: float | None = None) -> dict[str, Any]:
        """Return the case as ``prove --json`` has it."""
        shape: dict[str, Any] = {
            "id": self.id,
            "tags": list(self.case.tags),
            "state": self.state,
            "score": {name: self.score(name) for name in self.names} if self.is_complete else None,
            "flips": self.flips if self.is_complete else [],
            "before": [answer_json(cell) for cell in self.before],
            "after": [answer_json(cell) for cell in self.after],
        }
        if any(self.fresh.values()):
            shape["fresh"] = {side: [answer_json(cell) for cell in self.fresh[side]] for side in SIDES}
        return shape | ({"judge": judge_score} if judge_score is not None else {})


STATES = ("lost for sure", "lost", "flipped", "won", "changed", "incomplete", "same")
"""States of a case, those that a reader wants to see first."""


def answer_json(cell: GridCell) -> dict[str, Any]:
    """Return one answer with its checks."""
    result = cell.result
    return {
        "text": result.text if cell.whole else None,
        "tool_calls": [{"name": name, "arguments": said} for name, said in result.tool_calls],
        "finish": result.finish_reason,
        "passed": all(checked.passed for checked in cell.checked.values()),
        "checks": [checked.to_json() for checked in cell.checked.values()],
        "cost_usd": result.cost_usd,
        "output_tokens": result.usage.output_tokens,
    }


def judged_by(checked: Mapping[str, Checked]) -> bool:
    """Whether an answer passes all its checks but that it is one."""
    return all(each.passed for text, each in checked.items() if text != ANSWERED)


def distinct(cells: Sequence[GridCell], *, ids_tell: bool) -> list[GridCell]:
    """Return answers without copies: an endpoint that answers from a cache gives one answer under one id twice."""
    if not ids_tell:
        return list(cells)
    seen: dict[str, GridCell] = {}
    for number, cell in enumerate(cells):
        seen.setdefault(cell.result.response_id or f"#{number}", cell)
    return list(seen.values())
