"""Watches a log: what is unusual now, what is in flight, how long ago the newest row came.

One object a log and thread. It reads and judges in slices of a few milliseconds, so that whoever else uses the thread
is not held up: ``for present in watch.steps(log, now_ms): ...`` yields None between slices, and what it found at the
end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptop.alerts import triage
from promptop.alerts.changes import Change
from promptop.alerts.figures import PART
from promptop.alerts.history import TrendHistory
from promptop.log import in_flight
from promptop.log.in_flight import InFlight
from promptop.log.rollups.rollups import Rollups

if TYPE_CHECKING:
    from promptop.log import LogReader

_N, _UPSTREAM, _FAILED, _LIMITED = (PART[name] for name in ("n", "upstream", "failed", "limited"))

_BATCHED_MS = 30_000


@dataclass(frozen=True, slots=True)
class Present:
    """What is so at one moment."""

    now_ms: int
    ready: bool = False
    """Whether there are trends to judge: not so while they are being made, and for an empty log."""
    changes: tuple[Change, ...] = ()
    """What is unusual, the weightiest first."""
    in_flight: tuple[InFlight, ...] = ()
    """The oldest first."""
    newest_ms: int | None = None
    usual_gap_s: float | None = None
    """Seconds between two rows, as the last hour before the newest had them."""
    calls: int = 0
    """Of the last whole minute and the running one."""
    failed: int = 0
    limited: int = 0
    hours: float = 0.0
    """Hours before the present that it is held against."""
    days: int = 0
    """Earlier days that it is held against."""
    values: int = 0
    """Values that were judged."""

    @property
    def open_calls(self) -> int:
        """Calls in flight."""
        return sum(each.calls for each in self.in_flight)

    def age_s(self, now_ms: int) -> float | None:
        """Return the age of the newest row, seconds; one from the future is 0."""
        return None if self.newest_ms is None else max(0.0, (now_ms - self.newest_ms) / 1000)

    def overdue(self, now_ms: int) -> int:
        """Say how late the next row is by the log's own rhythm: 0 not, 1 somewhat, 2 much."""
        age, gap = self.age_s(now_ms), self.usual_gap_s
        if age is None or gap is None:
            return 0
        return 2 if age > max(30 * gap, 60.0) else 1 if age > max(10 * gap, 15.0) else 0

    @property
    def baseline(self) -> str:
        """What the present is held against, in words."""
        if not self.ready:
            return "nothing to compare with yet"
        if self.hours < 0.5:
            return "as usual, as far as a log of minutes can tell"
        hours = "hour" if self.hours < 1.5 else f"{self.hours:.0f} hours"
        days = f" and this time of {self.days} day{'s' if self.days > 1 else ''} before" if self.days else ""
        return f"as usual, against the {hours} before{days}"


class Watch:
    """Keeps the trends of a log in memory between looks."""

    def __init__(self, *, brief: bool = False) -> None:
        """Watch a log; ``brief`` says that the first look may leave out the windows of an hour, in half the time."""
        self._brief = brief
        self._history = TrendHistory(brief=brief)

    def steps(self, log: LogReader, now_ms: int) -> Iterator[Present | None]:
        """Look at the log as it is now. Raises what the reader raises; the next look reads all anew."""
        try:
            for _ in self._history.read(log, now_ms):
                yield None
        except BaseException:
            self._history = TrendHistory(brief=self._brief)
            raise
        open_calls = in_flight.read(log.files, now_ms)
        found: list[Change] = []
        for changes in triage.steps(self._history, log.trend_quarters, open_calls, batched=self._batched(log)):
            if changes is None:
                yield None
            else:
                found = changes
        yield self._present(log, now_ms, tuple(found), tuple(open_calls))

    def _batched(self, log: LogReader) -> bool:
        """Say whether the files were written well after the newest row began: an import, or a shipper's delivery."""
        whole = self._history.whole
        written = [
            file.stat().st_mtime_ns // 1_000_000
            for path in log.paths
            for file in (path, path.with_name(f"{path.name}-wal"))
            if file.exists() and file.stat().st_size
        ]
        return whole is not None and bool(written) and max(written) - whole.last_ms > _BATCHED_MS

    def _present(
        self, log: LogReader, now_ms: int, changes: tuple[Change, ...], open_calls: tuple[InFlight, ...]
    ) -> Present:
        history = self._history
        whole = history.whole
        if not history.ready or whole is None:
            span = log.span()
            return Present(now_ms, in_flight=open_calls, newest_ms=span[1] if span else None)
        end = whole.last_ms // 60_000 + 1
        minutes = min(60, max(end - max(whole.first_ms // 60_000, whole.base), 1))
        before = whole.sum(_N, end - minutes, end)
        gap_s = minutes * 60 / before if before else None
        minute = whole.sums(history.minute - 1, history.minute + 1)
        held = (now_ms - max(whole.first_ms, whole.base * 60_000)) / 3_600_000
        return Present(
            now_ms,
            True,
            changes,
            open_calls,
            whole.last_ms,
            gap_s,
            minute[_N],
            minute[_FAILED],
            minute[_LIMITED],
            min(held, 3.0),
            len(whole.days),
            sum(series.live for series in history.series.values()),
        )


def look(log: LogReader, now_ms: int) -> Present:
    """Return what is so in a log now; sums that are not made yet are made first.

    Raises :class:`PromptopError` where they are not there and cannot be made.
    """
    if log.trend_newer() is None:
        for path in log.paths:
            if path.exists():
                with Rollups(path) as rollups:
                    rollups.catch_up(float("inf"), limit=20_000)
    *_, present = Watch().steps(log, now_ms)
    assert present is not None
    return present
