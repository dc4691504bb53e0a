"""What a proof is going to ask, beside what every run over a test set has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptop.experiments.grid.plan import GridPlan, PlannedCase, digest_of
from promptop.experiments.proof import rule
from promptop.experiments.test_sets.from_log import Fold, folded

WARM_UP = 10
"""Cases that the baseline answers twice before anything counts."""
NEAR_SHARE = 0.2
"""Share of near-duplicates from which on they are named."""
MOST_COMPARED = 500
"""Cases up to which near-duplicates are looked for: each is compared with each."""


def near_duplicates(cases: Sequence[PlannedCase]) -> int:
    """Return how many cases are near-duplicates of an earlier one, as ``cases from-log`` folds them."""
    if len(cases) > MOST_COMPARED:
        return 0
    return len(cases) - len(folded([(each.given, Fold({}, (), "")) for each in cases]))


@dataclass(frozen=True, slots=True)
class ProofPlan(GridPlan):
    """Everything that a proof needs; it can be pickled."""

    margin: float = rule.MARGIN
    alpha: float = rule.ALPHA
    answers: int | None = None
    """Answers of each side to a case; None: one where the baseline is steady, else three."""
    most_lost: int = 0
    folded: int = 0
    """Cases that ask what another asks, and are no cases of their own."""
    near: int = 0
    """Cases that are near-duplicates of another."""
    attempt: str = ""
    """What counts as a further attempt: the same prompt, test set and models."""

    @property
    def is_same(self) -> bool:
        """Whether both prompts send the same in every case."""
        pairs = [pair for planned in self.cases for pair in planned.requests]
        return all(digest_of(before) == digest_of(after) for before, after in pairs)

    def notes(self) -> list[str]:
        """Return what a reader must know of the cases, before and after they are asked; a line each."""
        n = len(self.cases)
        found = []
        if self.folded:
            found.append(f"{self.folded} of {n + self.folded} cases ask what another asks: each input counts once")
        if self.near > NEAR_SHARE * n:
            found.append(f"{self.near} of {n} cases are near-duplicates of another: they show less than {n} would")
        if self.is_same:
            found.append("both prompts send the same: this tells how steady the answers are, and nothing of a trim")
        return found

    def size(self) -> int:
        """Return about how many calls it makes of each model's prompts, without judges and the second look."""
        n = len(self.cases)
        usual = self.answers or (1 if self.has_checks else 2)
        return len(self.models) * (2 * min(WARM_UP, n) + 2 * usual * n)
