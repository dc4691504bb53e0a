"""What the session has spent, and what of its cap is left."""

from __future__ import annotations

from promptop import figures
from promptop.errors import PromptopError
from promptop.runs.ceiling import Ceiling
from promptop.runs.result import RunResult

_RAISE = "raise session_cap_usd in [playground] of the settings"


class Purse:
    """Sums the cost of results; calls without a price are counted apart, never as nothing."""

    def __init__(self, cap_usd: float) -> None:
        """Start empty; a cap of 0 is none."""
        self.cap_usd = cap_usd
        self.spent_usd = 0.0
        self.unpriced = 0

    def take(self, result: RunResult) -> None:
        """Add what a call cost."""
        if result.cost_usd is not None:
            self.spent_usd += result.cost_usd
        elif result.cost_status == "unpriced":
            self.unpriced += 1

    @property
    def empty(self) -> bool:
        """Whether the cap is reached."""
        return 0 < self.cap_usd <= self.spent_usd

    def check(self, most: Ceiling | None = None) -> None:
        """Raise :class:`PromptopError` if the cap is reached, or a run that is priced may go beyond it."""
        spent, cap = figures.usd(self.spent_usd), figures.usd(self.cap_usd)
        if self.empty:
            raise PromptopError(f"This session has spent {spent} of its cap of {cap}.", f"To go on, {_RAISE}.")
        usd = most.usd if most is not None else None
        if self.cap_usd and usd is not None and self.spent_usd + usd > self.cap_usd:
            raise PromptopError(
                f"This may cost {figures.usd(usd)}; the session has spent {spent} of its cap of {cap}.",
                f"Lower max_tokens or repeats, or {_RAISE}.",
            )

    def __str__(self) -> str:
        text = f"spent {figures.usd(self.spent_usd)}"
        if self.cap_usd:
            text += f" of {figures.usd(self.cap_usd)}"
        return f"{text}\n+ {self.unpriced} unpriced" if self.unpriced else text
