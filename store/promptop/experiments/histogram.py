"""How values are distributed: counts in spans of equal width, the long tail in the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptop.experiments.stats import quantile

TAIL = 0.99
"""Share of the values that the spans of equal width hold: one answer that hung must not flatten all others."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Where values are counted: ``low`` and every ``step`` from there; above the last edge, in the last span."""

    low: float
    step: float
    count: int
    tail: bool
    """Whether the last span holds all that lies above it as well."""

    def counts(self, values: Sequence[float]) -> list[int]:
        """Return how many values each span holds; values outside are counted at the ends."""
        found = [0] * self.count
        for value in values:
            found[min(self.count - 1, max(0, int((value - self.low) / self.step)))] += 1
        return found

    def edges(self) -> list[float]:
        """Return where the spans begin."""
        return [self.low + self.step * number for number in range(self.count)]


def spans(groups: Sequence[Sequence[float]], count: int) -> Spans | None:
    """Return spans for several sorted groups of values together; None where all are equal or there are none."""
    known = [group for group in groups if group]
    if not known:
        return None
    low, high = min(group[0] for group in known), max(group[-1] for group in known)
    if high <= low:
        return None
    most = max(quantile(group, TAIL) for group in known)
    # A tail that lies close is not a tail: then the spans reach to its end.
    tail = high > most + (most - low) / 2 and most > low
    return Spans(low, ((most if tail else high) - low) / count, count, tail)
