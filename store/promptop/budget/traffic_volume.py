"""The real volume of the log: calls a day, which models they ask, and what an answer's cost comes to in a month.

Promptop's own trials (rows whose program is ``promptop …``) are no volume and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptop.budget.budget import OWN

DAYS = 7
"""Days that are looked back."""
MONTH_DAYS = 30
_DAY_MS = 86_400_000
_LEAST_MS = 60_000


@dataclass(frozen=True, slots=True)
class Volume:
    """Calls that the log saw, failed ones and hits of the cache included."""

    calls: int
    days: float
    """How long was looked at: from the first row on, at most :data:`DAYS`."""
    by_model: Mapping[str, int]
    """Model asked for → calls."""

    @property
    def calls_per_day(self) -> float:
        """Calls a day, over the time that was looked at."""
        return self.calls / self.days

    def share(self, *models: str) -> float | None:
        """Return the share of the calls that went to a model, known under any of these names; None without calls."""
        if not self.calls:
            return None
        return sum(self.by_model.get(name, 0) for name in dict.fromkeys(models)) / self.calls

    def month_usd(self, usd: float | None, calls_per_day: float | None = None) -> float | None:
        """Return what a month costs if every call of the log (or so many a day) costs so much; None if unknown."""
        if usd is None or not self.calls:
            return None
        return usd * (self.calls_per_day if calls_per_day is None else calls_per_day) * MONTH_DAYS


def read_volume(logs: Sequence[Path], now_s: float) -> Volume:
    """Return the volume of the last days; of an empty log it is 0. Blocks: reads rollups, and the rows of own trials.

    Raises :class:`promptop.base.errors.PromptopError` for a file that is not a log.
    """
    from promptop.log import LogReader, parse_filter

    until = int(now_s * 1000) + 1000
    since = until - DAYS * _DAY_MS
    with LogReader(list(logs)) as reader:
        counts = {name: stats.n for name, stats in reader.window(since, until).groups.items()}
        for app, stats in reader.window(since, until, by=("app",)).groups.items():
            if stats.n and (app == OWN or app.startswith(f"{OWN} ")):
                own = reader.window(since, until, where=parse_filter(f'app:"{app}"'))
                for name, mine in own.groups.items():
                    counts[name] = counts.get(name, 0) - mine.n
        span = reader.span()
    counts = {name: n for name, n in counts.items() if n > 0}
    covered = max(until - max(since, span[0] if span else until), _LEAST_MS)
    return Volume(sum(counts.values()), covered / _DAY_MS, counts)
