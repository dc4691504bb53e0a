"""What was spent and what is left of the caps: of the session, and of the day as the log has it.

The day is the local one. Its sum holds the calls that promptop itself made (rows whose program is ``promptop …``), in
whatever process and whatever became of it; other people's programs that the log watches are theirs to pay for.
"""

from __future__ import annotations

import math
import time
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.texts import mark, tr
from promptop.budget.estimate import CostEstimate
from promptop.budget.gate import DAY, Cap, Gate, day_scope, fitting_limit, new_scope
from promptop.budget.ledger import Ledger
from promptop.client.result import RunResult
from promptop.settings import Settings

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

    Raises :class:`PromptopError` for a file that is not a log; one that is not there yet is an empty log.
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
    """What a session may spend and has spent; a cap of 0 is none.

    The caps themselves are held by :attr:`gate`, which every call passes; here is what a screen shows of them, and the
    look ahead before a run.
    """

    def __init__(
        self, cap_usd: float, daily_cap_usd: float = 0.0, *, ledger: Ledger | None = None, is_strict: bool = False
    ) -> None:
        """Start empty; what the day has spent already comes by :meth:`know`.

        ``ledger`` is what processes share, this one alone if None. ``is_strict`` says that the day's cap was chosen and
        is not a default: then a call whose cost has no bound is refused.
        """
        self.cap_usd = cap_usd
        self.daily_cap_usd = daily_cap_usd
        self.spent_usd = 0.0
        self.unpriced = 0
        self.day: Day | None = None
        """What is known of today, own calls since the log was last read included; None before it was."""
        self._is_strict = is_strict
        self._ledger = ledger or Ledger(None)
        self._session = new_scope("session")

    @property
    def gate(self) -> Gate:
        """The gate of this session's calls: it can be sent to the process that makes them."""
        caps = []
        if self.cap_usd:
            remedy = "raise session_cap_usd in [playground] of the settings"
            caps.append(Cap(self._session, self.cap_usd, "the cap of the session", remedy, strict=False))
        if self.daily_cap_usd:
            caps.append(day_cap(self.daily_cap_usd, strict=self._is_strict))
        return Gate(tuple(caps), self._ledger)

    def gate_for(self, cap_usd: float | None, *, is_strict: bool = True) -> Gate:
        """Return the gate of a measurement that has a further cap of its own.

        ``is_strict`` says that the cap was chosen for it: then a call whose cost has no bound is refused.
        """
        gate = self.gate
        if cap_usd is None:
            return gate
        own = Cap(new_scope("command"), cap_usd, "the cap of this run", "raise it", strict=is_strict)
        return Gate((own, *gate.caps), self._ledger)

    def know(self, day: Day) -> None:
        """Take what the log says of today; within a day the sum never falls: the last rows may be on their way."""
        known = self.day
        if known is None or known.day != day.day or day.usd >= known.usd:
            self.day = day
        if self.daily_cap_usd:
            self._ledger.know(day_scope(time.time()), day.usd)

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
        if self._ledger.path is not None and (gate := self.gate.left_usd()) is not None:
            left.append(gate)
        return max(0.0, min(left)) if left else None

    @property
    def empty(self) -> bool:
        """Whether a cap is reached."""
        return self.left_usd == 0.0

    def check(self, most: CostEstimate | None = None) -> None:
        """Raise :class:`PromptopError` if a cap is reached, or a run that is priced may go beyond it."""
        self._hold("session", self.spent_usd, self.cap_usd, "session_cap_usd", most)
        used = self._ledger.sum_of(day_scope(time.time())).used_usd if self.daily_cap_usd else 0.0
        self._hold("day", max(self.today_usd, used), self.daily_cap_usd, "daily_cap_usd", most)
        if self._is_strict and self.daily_cap_usd and most is not None and most.open:
            self.gate.check(None, most.why)

    def _hold(self, whose: str, spent_usd: float, cap_usd: float, setting: str, most: CostEstimate | None) -> None:
        if not cap_usd:
            return
        spent, cap = units.usd(spent_usd), units.usd(cap_usd)
        higher = f"raise {setting} in [playground] of the settings"
        if spent_usd >= cap_usd:
            raise PromptopError(f"This {whose} has spent {spent} of its cap of {cap}.", f"To go on, {higher}.")
        usd = most.usd if most is not None else None
        if most is not None and usd is not None and spent_usd + usd > cap_usd:
            likely = f", likely {units.usd(most.likely_usd)}" if most.likely_usd is not None else ""
            raise PromptopError(
                f"This may cost {units.usd(usd)}{likely}; the {whose} has spent {spent} of its cap of {cap}.",
                f"{lower_limit(most, cap_usd - spent_usd) or 'Lower max_tokens or the number of calls'}, or {higher}.",
            )

    def __str__(self) -> str:
        text = _of(mark("spent"), self.spent_usd, self.cap_usd)
        if self.unpriced:
            text += f"\n+ {self.unpriced} unpriced"
        if self.day is not None or self.daily_cap_usd:
            text += "\n" + _of(mark("today"), self.today_usd, self.daily_cap_usd)
        return text


def is_chosen(settings: Settings) -> bool:
    """Whether the settings file itself sets the cap of the day: a default refuses nothing for want of a price."""
    if settings.path is None:
        return False
    try:
        table = tomllib.loads(settings.path.read_text(encoding="utf-8")).get("playground")
    except (OSError, ValueError):
        return False  # what is wrong with it is said where it is read
    return isinstance(table, dict) and "daily_cap_usd" in table


def lower_limit(most: CostEstimate, left_usd: float) -> str:
    """Say which limit of output tokens fits into what is left; empty where none does."""
    limit = fitting_limit(most.dearest, left_usd, most.calls) if most.dearest is not None else None
    return f"Set max_tokens to {limit}" if limit else ""


def day_cap(usd: float, *, strict: bool) -> Cap:
    """Return the cap of the local day that it is now."""
    remedy = "raise daily_cap_usd in [playground] of the settings"
    return Cap(DAY, usd, "the cap of the day", remedy, strict)


def _of(word: str, usd: float, cap_usd: float) -> str:
    if not cap_usd:
        return f"{tr(word)} {units.usd(usd)}"
    return tr("{word} {amount} of {cap}", word=tr(word), amount=units.usd(usd), cap=f"${cap_usd:g}")
