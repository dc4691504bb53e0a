"""What the looks at the log cost: SQL statements and time by step, shown in a drawer on a key.

The meter belongs to the reading thread. While the drawer is closed it costs two calls a step and counts no statement.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from promptop.base import units
from promptop.base.texts import tr

if TYPE_CHECKING:
    from promptop.log import LogReader

KEPT = 200
"""Looks that medians are taken of."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """One look."""

    at_s: float
    """Wall clock, Unix seconds."""
    took_s: float
    steps: tuple[tuple[str, int, float], ...]
    """(step, SQL statements, seconds with what is computed from them)."""
    news: bool
    """Whether a snapshot came of it."""
    rows: int = 0
    """New rows in it."""

    @property
    def statements(self) -> int:
        """SQL statements in all."""
        return sum(count for _, count, _ in self.steps)


class StepTimer:
    """Counts and times the steps of a look."""

    def __init__(self) -> None:
        self.on = False
        self._statements = 0
        self._steps: list[tuple[str, int, float]] = []
        self._traced: LogReader | None = None

    def attend(self, log: LogReader | None) -> None:
        """Have a log's statements counted, or no longer."""
        wanted = log if self.on else None
        if wanted is not self._traced:
            if log is not None:
                log.trace(self._count if self.on else None)
            self._traced = wanted
        self._steps = []

    def _count(self, statement: str) -> None:
        if not statement.startswith(("BEGIN", "COMMIT")):
            self._statements += 1

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note what happens meanwhile as one step."""
        before, began = self._statements, perf_counter()
        try:
            yield
        finally:
            self._steps.append((name, self._statements - before, perf_counter() - began))

    def taken(self, at_s: float, took_s: float, *, news: bool, rows: int) -> Inspection:
        """Return the look that has just ended."""
        return Inspection(at_s, took_s, tuple(self._steps), news, rows)


class InspectionDrawer(Static):
    """The last look step by step, and medians of those before it."""

    inspection: reactive[Inspection | None] = reactive(None)

    def __init__(self) -> None:
        super().__init__("", id="monitor-inspection", markup=False)
        self._looks: deque[Inspection] = deque(maxlen=KEPT)

    def watch_inspection(self, inspection: Inspection | None) -> None:
        """Show a look."""
        if inspection is not None:
            self._looks.append(inspection)
            self.update(drawer_text(self._looks))


def drawer_text(looks: Sequence[Inspection]) -> Content:
    """Return the drawer's text; the last look with news stands in it, for most looks bring none."""
    shown = next((look for look in reversed(looks) if look.news), looks[-1])
    at = datetime.fromtimestamp(shown.at_s)
    lines = [
        tr(
            "last look with news, {at:%H:%M:%S}: {took_s}, {statements} SQL statements, {rows:,} new rows",
            at=at,
            took_s=units.seconds(shown.took_s),
            statements=shown.statements,
            rows=shown.rows,
        )
    ]
    lines += [
        tr("  {name:<12} {count:>4} statements  {took:>8}", name=name, count=count, took=units.seconds(took))
        for name, count, took in shown.steps
    ]
    for name, chosen in ((tr("with news"), True), ("without", False)):
        took = [look.took_s for look in looks if look.news is chosen]
        counts = [look.statements for look in looks if look.news is chosen]
        if took:
            lines.append(
                tr(
                    "{n} looks {name}: median {short}, longest {short_2}, median {median:.0f} statements",
                    n=len(took),
                    name=name,
                    short=_short(statistics.median(took)),
                    short_2=_short(max(took)),
                    median=statistics.median(counts),
                )
            )
    return Content("\n".join(lines))


def _short(value: float) -> str:
    """Return a time that may be far below a millisecond."""
    return f"{value * 1e6:.0f} µs" if value < 0.001 else units.seconds(value)
