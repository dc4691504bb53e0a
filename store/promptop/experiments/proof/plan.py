"""What a proof is going to ask, beside what every run over a test set has."""

from __future__ import annotations

from dataclasses import dataclass

from promptop.experiments.grid.plan import GridPlan
from promptop.experiments.proof import rule

WARM_UP = 10
"""Cases that the baseline answers twice before anything counts."""


@dataclass(frozen=True, slots=True)
class ProofPlan(GridPlan):
    """Everything that a proof needs; it can be pickled."""

    margin: float = rule.MARGIN
    alpha: float = rule.ALPHA
    answers: int | None = None
    """Answers of each side to a case; None: one where the baseline is steady, else three."""
    most_lost: int = 0
    attempt: str = ""
    """What counts as a further attempt: the same prompt, test set and models."""

    def size(self) -> int:
        """Return about how many calls it makes of each model's prompts, without judges and the second look."""
        n = len(self.cases)
        usual = self.answers or (1 if self.has_checks else 2)
        return len(self.models) * (2 * min(WARM_UP, n) + 2 * usual * n)
