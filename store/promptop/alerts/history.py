"""The trends of the last hours, and of this time on earlier days, held in memory for :mod:`promptop.alerts.triage`.

Read in slices, so that a screen can do other things in between: once a quarter of an hour all of it, and at each look
the minutes that may still grow. The cost depends on how many values are live, and not on how many rows the log has.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add as _plus
from operator import sub as _minus
from typing import TYPE_CHECKING, Any

from promptop.alerts.figures import PART
from promptop.log.rollups.trends import MINUTES, PARTS, QUARTERS, Place

if TYPE_CHECKING:
    from promptop.log import LogReader
    from promptop.log.rollups.trend_query import TrendCell, TrendSeries

NEAR = 420
"""Minutes before the present one that are held."""
NEAR_AT_FIRST = 215
"""Minutes that the first read holds: enough for all windows but those of an hour, for half of the work."""
TAIL_S = 45
"""Seconds whose rows are held as rows: what began within the running minute hides in the minute's sums."""
DAYS = 7
AROUND = (-4, -3, -2, -1, 0, 1, 2, 3)
"""Quarters of an hour around the present one that are held of each earlier day."""
FRESH_VALUES = 5
"""New values in a day from which a tag may name sessions."""
LIVE_CALLS = 12
"""Calls of the last hour below which a value is not judged, and not held."""
_SLICE = 20
_GROWING = 6
"""Newest minutes that are read again at each look: a call is counted where it began, once it has ended."""
_WIDTH = len(PARTS)
_NOTHING: tuple[int, ...] = (0,) * _WIDTH
_N = PART["n"]
_ALWAYS = ("all", "app", "model", "prompt")
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_QUARTER_MS = 900_000

Parts = Sequence[int]


@dataclass(slots=True)
class MinuteSeries:
    """One value of one dimension: sums by minute, and by quarter of an hour around this time on earlier days."""

    dimension: str
    value: str
    app: str
    first_ms: int
    last_ms: int
    base: int
    """First minute that is held, minutes since 1970."""
    cells: dict[int, Parts] = field(default_factory=dict)
    """Minute → parts, from the sums."""
    fresh: dict[int, Parts] = field(default_factory=dict)
    """Minute → parts of rows that are not in the sums yet."""
    days: list[list[Parts]] = field(default_factory=list)
    """Of each earlier day that the log knows, the quarters :data:`AROUND`."""
    partial: bool = False
    """Whether it is older than what is held of it: it had too few calls when all was read last."""
    live: bool = False
    """Whether it is summed up, and can be judged."""
    references: dict[Any, Any] = field(default_factory=dict)
    """What :mod:`promptop.alerts.triage` has worked out of this value; emptied when a minute begins."""
    _prefix: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q", bytes(8)) for _ in range(_WIDTH)))
    """Of each part, the sum of all minutes before each one: a column is summed up without a loop in Python."""
    _minutes: int = 0
    """Minutes that are in the prefix sums."""

    @property
    def place(self) -> Place:
        """Dimension and value."""
        return self.dimension, self.value

    def sum_up(self, first: int, last: int) -> None:
        """Make the prefix sums anew from minute ``first`` up to ``last``, included, if there is enough to judge."""
        if not self._minutes and self.dimension not in _ALWAYS:
            recent = sum(
                cell[_N] for cells in (self.cells, self.fresh) for minute, cell in cells.items() if minute > last - 60
            )
            if recent < LIVE_CALLS:
                return
        keep = min(max(first - self.base, 0), self._minutes)
        cells, fresh = self.cells, self.fresh
        rows: list[Parts] = [cells.get(minute, _NOTHING) for minute in range(self.base + keep, last + 1)]
        for minute, cell in fresh.items():
            at = minute - self.base - keep
            if 0 <= at < len(rows):
                rows[at] = list(map(_plus, rows[at], cell))
        if not rows:
            return
        if keep + len(rows) != self._minutes:
            self.references.clear()
        for prefix, column in zip(self._prefix, zip(*rows, strict=True), strict=True):
            del prefix[keep + 1 :]
            if any(column):
                before = prefix.pop()
                prefix.extend(accumulate(column, initial=before))
            else:  # half of all columns: 1 µs in place of 30
                prefix.extend(prefix[-1:] * len(column))
        self._minutes = keep + len(rows)
        self.live = self.sum(_N, last - 59, last + 1) >= LIVE_CALLS or self.dimension in _ALWAYS

    def sum(self, part: int, first: int, end: int) -> int:
        """Return the sum of a part over the minutes ``first`` to ``end`` − 1."""
        low, high = max(first - self.base, 0), min(max(end - self.base, 0), self._minutes)
        prefix = self._prefix[part]
        return prefix[high] - prefix[min(low, high)]

    def sums(self, first: int, end: int) -> list[int]:
        """Return the sums of all parts over the minutes ``first`` to ``end`` − 1: 2 µs."""
        high = min(max(end - self.base, 0), self._minutes)
        low = min(max(first - self.base, 0), high)
        return [prefix[high] - prefix[low] for prefix in self._prefix]

    def steps(self, part: int, end: int, first: int, step: int) -> list[int]:
        """Return the sums of a part over the whole steps of minutes between ``first`` and ``end``, the latest first."""
        base, prefix, last = self.base, self._prefix[part], self._minutes
        edges = [prefix[min(max(at - base, 0), last)] for at in range(end, first - 1, -step)]
        return list(map(_minus, edges, edges[1:]))


class TrendHistory:
    """What is known of the last hours; one thread at a time."""

    def __init__(self, *, brief: bool = False) -> None:
        """Hold nothing yet; ``brief`` says that the first read may hold half of the minutes, and the next one all."""
        self._brief = brief
        self.series: dict[Place, MinuteSeries] = {}
        self.values: Counter[str] = Counter()
        """Dimension → values that had a call in the last day."""
        self.minute = 0
        """The running minute, minutes since 1970."""
        self.now_ms = 0
        self.ready = False
        """Whether there are trends to judge: not so while they are being made."""
        self._quarter = -1
        self._generation = -1
        self._base = 0
        self._held_ms = 0
        """Start of the hour that is held of rare values too."""
        self.near = NEAR
        """Minutes that are held now."""
        self.tail: dict[Place, list[tuple[int, Parts]]] = {}
        """Value → end (Unix milliseconds) and parts of each call of the last :data:`TAIL_S`, in order of their ends."""
        self._fresh_values: Counter[str] = Counter()

    @property
    def whole(self) -> MinuteSeries | None:
        """The series of all rows."""
        return self.series.get(("all", ""))

    def names_each(self, dimension: str) -> bool:
        """Say whether a tag's values are new all the time, such as sessions: then a new one is no news."""
        new = self._fresh_values[dimension]
        return new >= FRESH_VALUES and new >= 0.3 * self.values[dimension]

    @property
    def aged(self) -> bool:
        """Whether the log knows this time of an earlier day."""
        whole = self.whole
        return whole is not None and whole.first_ms <= self.now_ms - _DAY_MS - 3_600_000

    def read(self, log: LogReader, now_ms: int) -> Iterator[None]:
        """Bring everything up to a time, pausing between slices of a few milliseconds.

        Raises what the reader raises; the history is then to be read anew.
        """
        minute, quarter = now_ms // _MINUTE_MS, now_ms // _QUARTER_MS
        whole = quarter != self._quarter or log.generation != self._generation or minute < self.minute
        newer = log.trend_newer()
        if newer is None:
            self.ready, self._quarter = False, -1
            return
        yield
        if whole:
            first = self._brief and (self._generation != log.generation or not self.ready)
            self._quarter = -1
            self.near = NEAR_AT_FIRST if first else NEAR
            yield from self._read_all(log, now_ms, newer)
            # What was read first is enough to say something; the next look reads the rest.
            self._quarter, self._generation = -1 if first else quarter, log.generation
        else:
            again = self.minute - (20 if minute != self.minute else _GROWING)
            for found in log.trend_series(self.now_ms - 10 * _MINUTE_MS):
                if (known := self.series.get(found.place)) is None:
                    self._open(found)
                else:
                    known.last_ms = max(known.last_ms, found.last_ms)
            cells = log.trend_cells(MINUTES, again * _MINUTE_MS, (minute + 1) * _MINUTE_MS)
            for series in self.series.values():
                for each in range(again, minute + 1):
                    series.cells.pop(each, None)
            for cell in cells:
                self._take(cell)
            yield
            yield from self._settle(newer, again, minute)
        self._take_tail(log, now_ms)
        self.minute, self.now_ms, self.ready = minute, now_ms, True

    def _read_all(self, log: LogReader, now_ms: int, newer: list[tuple[TrendSeries, TrendCell]]) -> Iterator[None]:
        minute = now_ms // _MINUTE_MS
        base = self._base = minute - self.near
        self._held_ms = (minute - 59) * _MINUTE_MS
        found: dict[Place, MinuteSeries] = {}
        values: Counter[str] = Counter()
        every = log.trend_series(now_ms - 9 * _DAY_MS)
        began = min((each.first_ms for each in every), default=now_ms)
        fresh = max(began + 3_600_000, now_ms - _DAY_MS)
        self._fresh_values = Counter(each.dimension for each in every if each.first_ms > fresh)
        for each in every:
            if each.last_ms >= now_ms - _DAY_MS:
                values[each.dimension] += 1
            self._merge(found, each, base)
        yield
        recent: Counter[Place] = Counter()
        hour = log.trend_cells(MINUTES, (minute - 59) * _MINUTE_MS, (minute + 1) * _MINUTE_MS)
        for cell in hour:
            recent[cell.place] += cell.parts[_N]
        for each, cell in newer:
            recent[each.place] += cell.parts[_N]
            self._merge(found, each, base)
        self.series = {place: series for place, series in found.items() if recent[place] or series.dimension in _ALWAYS}
        for place, series in self.series.items():
            rare = recent[place] < LIVE_CALLS and series.dimension not in _ALWAYS
            series.partial = rare and series.first_ms < now_ms - 3_600_000
        self.values = values
        whole_series = {place for place, series in self.series.items() if not series.partial}
        yield
        for cell in hour:
            self._take(cell)
        del hour
        yield
        for end in range(minute - 59, base, -_SLICE):
            since = max(end - _SLICE, base) * _MINUTE_MS
            for cell in log.trend_cells(MINUTES, since, end * _MINUTE_MS, whole_series):
                self._take(cell)
            yield
        whole = self.whole
        for day in range(1, DAYS + 1):
            quarter = now_ms // _QUARTER_MS - day * (_DAY_MS // _QUARTER_MS)
            if whole is None or whole.first_ms // _QUARTER_MS > quarter + AROUND[0]:
                break
            self._take_day(log, quarter)
            yield
        yield from self._settle(newer, base, minute)

    def _take_tail(self, log: LogReader, now_ms: int) -> None:
        self.tail = {}
        for end_ms, places, parts in sorted(log.trend_newest(now_ms - TAIL_S * 1000), key=lambda row: row[0]):
            if end_ms <= now_ms + 1000:
                for place in places:
                    self.tail.setdefault(place, []).append((end_ms, parts))

    def _take_day(self, log: LogReader, quarter: int) -> None:
        first, end = quarter + AROUND[0], quarter + AROUND[-1] + 1
        by_place: dict[Place, dict[int, Parts]] = {}
        for cell in log.trend_cells(QUARTERS, first * _QUARTER_MS, end * _QUARTER_MS, self.series):
            quarters = by_place.setdefault(cell.place, {})
            at = cell.start_ms // _QUARTER_MS
            quarters[at] = list(map(_plus, quarters[at], cell.parts)) if at in quarters else cell.parts
        for place, series in self.series.items():
            if series.first_ms // _QUARTER_MS < end:
                quarters = by_place.get(place, {})
                series.days.append([quarters.get(at, _NOTHING) for at in range(first, end)])

    def _merge(self, found: dict[Place, MinuteSeries], each: TrendSeries, base: int) -> None:
        known = found.get(each.place)
        if known is None:
            found[each.place] = MinuteSeries(*each.place, each.app, each.first_ms, each.last_ms, base)
            return
        known.first_ms, known.last_ms = min(known.first_ms, each.first_ms), max(known.last_ms, each.last_ms)
        if known.app != each.app:
            known.app = ""

    def _take(self, cell: TrendCell) -> None:
        series = self.series.get(cell.place)
        if series is not None and not (series.partial and cell.start_ms < self._held_ms):
            _add(series.cells, cell)

    def _settle(self, newer: list[tuple[TrendSeries, TrendCell]], first: int, last: int) -> Iterator[None]:
        """Put the rows that are not in the sums yet on top, and sum up."""
        for series in self.series.values():
            if series.fresh:
                first = min(first, *series.fresh)
                series.fresh = {}
        for found, cell in newer:
            series = self.series.get(found.place) or self._open(found)
            series.last_ms = max(series.last_ms, found.last_ms)
            _add(series.fresh, cell)
            first = min(first, cell.start_ms // _MINUTE_MS)
        for number, series in enumerate(list(self.series.values())):
            series.sum_up(first, last)
            if number % 20 == 19:
                yield
        self.minute = last

    def _open(self, found: TrendSeries) -> MinuteSeries:
        """Hold a value that had no call in the hour before all was read."""
        partial = found.first_ms < self._held_ms
        made = MinuteSeries(*found.place, found.app, found.first_ms, found.last_ms, self._base, partial=partial)
        self.series[found.place] = made
        self.values[found.dimension] += 1
        return made


def _add(cells: dict[int, Parts], cell: TrendCell) -> None:
    at = cell.start_ms // _MINUTE_MS
    cells[at] = list(map(_plus, cells[at], cell.parts)) if at in cells else cell.parts
