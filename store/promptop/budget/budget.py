"""What was spent and what is left of the caps: of the session, and of the day as the log has it.

The day is the local one. Its sum holds the calls that promptop itself made (rows whose program is ``promptop …``), in
whatever process and whatever became of it; other people's programs that the log watches are theirs to pay for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.budget.estimate import CostEstimate
from promptop.client.result import RunResult

OWN = "promptop"
"""Programs of this name, and of this name and a further word, are ours."""


@dataclass(frozen=True, slots=True)
class Day:
    """What promptop's own calls cost on a local day."""

    day: date
    usd: float = 0.0
    calls: int = 0
    unpriced: int = 0


def spent_on(log: Path, now_s: float) -> Day:
    """Return what the log knows of the local day that holds ``now_s``; cost depends on its minutes, not on its rows.

    Raises :class:`PromptopError` for a file that is no log; one that is not there yet is an empty log.
    """
    from promptop.log import LogReader

    now = datetime.fromtimestamp(now_s)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with LogReader(log) as reader:
        window = reader.window(int(midnight.timestamp() * 1000), int(now_s * 1000) + 1000, by=("app",))
    own = [stats for name, stats in window.groups.items() if name == OWN or name.startswith(f"{OWN} ")]
    return Day(
        now.date(),
        math.fsum(stats.cost_usd for stats in own),
        sum(stats.n for stats in own),
        sum(stats.unpriced for stats in own),
    )


class Budget:
    """Sums the cost of results; calls without a price are counted apart, never as nothing. A cap of 0 is none."""

    def __init__(self, cap_usd: float, daily_cap_usd: float = 0.0) -> None:
        """Start empty; what the day has spent already comes by :meth:`know`."""
        self.cap_usd = cap_usd
        self.daily_cap_usd = daily_cap_usd
        self.spent_usd = 0.0
        self.unpriced = 0
        self.day: Day | None = None
        """What is known of today, own calls since the log was last read included; None before it was."""

    def know(self, day: Day) -> None:
        """Take what the log says of today; within a day the sum never falls: the last rows may be on their way."""
        known = self.day
        if known is None or known.day != day.day or day.usd >= known.usd:
            self.day = day

    def take(self, result: RunResult) -> None:
        """Add what a call cost."""
        self.add(result.cost_usd, int(result.cost_usd is None and result.cost_status == "unpriced"))

    def add(self, usd: float | None, unpriced: int = 0) -> None:
        """Add what calls cost that were made elsewhere."""
        self.spent_usd += usd or 0.0
        self.unpriced += unpriced
        if self.day is not None and usd:
            self.day = Day(self.day.day, self.day.usd + usd, self.day.calls, self.day.unpriced)

    @property
    def today_usd(self) -> float:
        """What is known to be spent today: at least what this session has."""
        return max(self.spent_usd, self.day.usd if self.day is not None else 0.0)

    @property
    def left_usd(self) -> float | None:
        """What the caps leave; None where there is none."""
        left = [self.cap_usd - self.spent_usd] if self.cap_usd else []
        left += [self.daily_cap_usd - self.today_usd] if self.daily_cap_usd else []
        return max(0.0, min(left)) if left else None

    @property
    def empty(self) -> bool:
        """Whether a cap is reached."""
        return self.left_usd == 0.0

    def check(self, most: CostEstimate | None = None) -> None:
        """Raise :class:`PromptopError` if a cap is reached, or a run that is priced may go beyond it."""
        self._hold("session", self.spent_usd, self.cap_usd, "session_cap_usd", most)
        self._hold("day", self.today_usd, self.daily_cap_usd, "daily_cap_usd", most)

    def _hold(self, whose: str, spent_usd: float, cap_usd: float, setting: str, most: CostEstimate | None) -> None:
        if not cap_usd:
            return
        spent, cap = units.usd(spent_usd), units.usd(cap_usd)
        higher = f"raise {setting} in [playground] of the settings"
        if spent_usd >= cap_usd:
            raise PromptopError(f"This {whose} has spent {spent} of its cap of {cap}.", f"To go on, {higher}.")
        usd = most.usd if most is not None else None
        if usd is not None and spent_usd + usd > cap_usd:
            raise PromptopError(
                f"This may cost {units.usd(usd)}; the {whose} has spent {spent} of its cap of {cap}.",
                f"Lower max_tokens or the number of calls, or {higher}.",
            )

    def __str__(self) -> str:
        text = _of("spent", self.spent_usd, self.cap_usd)
        if self.unpriced:
            text += f"\n+ {self.unpriced} unpriced"
        if self.day is not None or self.daily_cap_usd:
            text += "\n" + _of("today", self.today_usd, self.daily_cap_usd)
        return text


def _of(word: str, usd: float, cap_usd: float) -> str:
    return f"{word} {units.usd(usd)}" + (f" of ${cap_usd:g}" if cap_usd else "")


class SpendReservation:
    """What one measurement may spend: a call is begun only if it cannot pass the cap, those under way included."""

    def __init__(self, cap_usd: float | None, each_usd: Sequence[float | None] = ()) -> None:
        """``each_usd`` is the most that a call of each request may cost; None where that is not known."""
        self.cap_usd = cap_usd
        self._each_usd = tuple(usd or 0.0 for usd in each_usd)
        self._reserved_usd = 0.0
        self.spent_usd = 0.0
        self.unpriced = 0
        self.is_capped = False
        """Whether a call was not begun because of the cap."""

    def begin(self, number: int) -> bool:
        """Reserve the most that a call of request ``number`` may cost; False if the cap does not leave that much."""
        each = self._each_usd[number] if self._each_usd else 0.0
        if self.cap_usd is not None and self.spent_usd + self._reserved_usd + each > self.cap_usd + 1e-12:
            self.is_capped = True
            return False
        self._reserved_usd += each
        return True

    def end(self, number: int, result: RunResult) -> None:
        """Count what the call cost instead of what was reserved for it."""
        self._reserved_usd = max(0.0, self._reserved_usd - (self._each_usd[number] if self._each_usd else 0.0))
        if result.cost_usd is not None:
            self.spent_usd += result.cost_usd
        elif result.cost_status == "unpriced":
            self.unpriced += 1
