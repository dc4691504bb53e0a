"""Finds what is unusual now, from trends alone: which figure of which value, since when, and how much it explains.

Every window that ends now (1, 2, 5, 15, 30 and 60 minutes) is held against two baselines: the hours before it, and this
time on up to seven earlier days. A change is told only if it stands against both. The reference is a median (of
shares, what the ordinary windows have together), and the spread is that of one call, so that windows of busy and quiet
hours can be mixed. Of the values that show one change the one is told that explains most of it and is filled most by
it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from promptop.alerts.changes import Change, score_of
from promptop.alerts.figures import BY_NAME, FIGURES, PART, AlertFigure
from promptop.alerts.history import NEAR, MinuteSeries, TrendHistory
from promptop.log.in_flight import InFlight
from promptop.log.rollups.trends import LN_SCALE, Place

WINDOWS = (1, 2, 5, 15, 30, 60)
"""Minutes; the running one is the last of each."""
SECONDS = (15, 30)
"""Windows of times within the running minute, by when calls ended: its sums hold ordinary calls too."""
LEAST_Z = 7.0
SURE_Z = 9.0
"""Below it a change must have stood a minute before as well."""
LEAST_CALLS, LEAST_CALLS_OF_TAG, LEAST_EVENTS, LEAST_BASE = 12, 30, 6, 40
FLOOR_LOG, FLOOR_SHARE = 0.06, 0.006
"""Errors that no number of calls makes smaller: slow drift."""
MANY_VALUES = 30
"""Values from which a tag names users and not parts of a service: what they ask is their own."""
SHORT_GAP = 4
"""Minutes: a shorter gap is told only of busy logs whose rows are written as their calls end."""
TOLD = 3
_PART_OF_ALL = 0.2
_BURST = 2.0
"""A quarter of an hour with so many times what those around it have is a burst."""
_ABOVE_BURST, _ABOVE_BURSTS, _ABOVE_ALL = 1.3, 2.5, 3.0
"""Times the largest burst of the days before, where there was one, where there were several, where all is bursts."""
_BURST_DAYS = 2
_AT_ONCE = 0.3
"""Share of calls above the ordinary that is told although it is seen within one minute."""
_QUARTER_MS = 900_000
_DAY_MS = 86_400_000
_MOST_OTHERS = 16
_N = PART["n"]
_WRITES = PART["cache_write"]
_PICO = 1e12
_MIXED = ("slow", "tokens", "cache", "hits", "answers")
"""Families whose figures each prompt has its own of."""
_PARTED = {"all", "model", "app", "prompt", "version", "app.model.prompt"}
"""Dimensions whose mixtures are known as such."""
_OF_JOBS = ("tokens", "cache", "hits", "answers")
"""Families of which a job of many like calls has its own figures, whatever it is called."""
_OF_USERS = ("outcome", "answers", "retries", "clock", "spend", "calls")


Quarters = Callable[[Place, int, int], Sequence[Sequence[int]]]
"""Dimension and value, from and to (Unix milliseconds) → parts of each quarter of an hour."""


@dataclass(frozen=True, slots=True)
class _Window:
    """A figure's parts over one window of a baseline."""

    top: int
    of: int
    calls: int
    minutes: int


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a figure was over the windows of a baseline, in the scale in which it is compared."""

    value: float
    spread: float
    """Of one call; of amounts, of a window's rate."""
    edge: float
    """Shares: a window that was nearly the most unusual; amounts: the highest rate."""
    calls: int


@dataclass(frozen=True, slots=True)
class _Verdict:
    z: float
    factor: float
    reference: float
    """In natural units."""


def steps(
    history: TrendHistory, quarters: Quarters, in_flight: Sequence[InFlight] = (), *, batched: bool = False
) -> Iterator[list[Change] | None]:
    """Look in slices of a millisecond or two; the last one yields what was found.

    ``quarters`` reads the last two days of one value, which is asked only of what would be told.
    ``batched`` says that rows reach the log well after their calls: then minutes without any are no silence.
    """
    if not history.ready or history.whole is None:
        yield []
        return
    triage = _Triage(history, history.whole, quarters)
    found = [*triage.waiting(in_flight), *triage.silences(batched)]
    if not any(each.figure == "silence" and each.dimension == "all" for each in found):
        for number, series in enumerate(list(history.series.values())):
            if series.live and not series.partial:
                found += triage.changes_of(series)
            if number % 8 == 7:
                yield None
    yield triage.ranked(found)


class _Triage:
    """Judges the series of a history at one moment."""

    def __init__(self, history: TrendHistory, whole: MinuteSeries, quarters: Quarters) -> None:
        self._history = history
        self._quarters = quarters
        self._whole = whole
        self._t = history.minute
        self._part = max((history.now_ms % 60_000) / 60_000, 1 / 60)
        """Part of the running minute that is over."""

    # Windows and baselines

    def _near(self, series: MinuteSeries, figure: AlertFigure, width: int) -> list[_Window]:
        """Return the windows of the three hours before (six, where they are of an hour)."""
        step = max(width, 5)
        end = self._t + 1 - max(width, 2)
        first = max(end - (180 if step < 60 else 360), series.base, series.first_ms // 60_000 - 5)
        parts = (series.steps(part, end, first, step) for part in (figure.top, figure.of, figure.calls))
        return [_Window(top, of, calls, step) for top, of, calls in zip(*parts, strict=True)]

    @staticmethod
    def _days(series: MinuteSeries, figure: AlertFigure, width: int) -> list[_Window]:
        """Return the quarters of an hour (or hours) around this time on earlier days."""
        size = 4 if width >= 60 else 1
        windows = []
        for quarters in series.days:
            for at in range(len(quarters) - size + 1):
                group = quarters[at : at + size]
                top, of, calls = (sum(cell[part] for cell in group) for part in (figure.top, figure.of, figure.calls))
                windows.append(_Window(top, of, calls, 15 * size))
        return windows

    def _references(self, series: MinuteSeries, figure: AlertFigure, width: int) -> list[_Reference]:
        """Return what is known of a figure before: of the hours before, and of this time on earlier days.

        Worked out once a minute: between looks of one minute hardly a call of these windows ends.
        """
        known: list[_Reference] | None = series.references.get((figure.name, width))
        if known is None:
            both = (self._near(series, figure, width), self._days(series, figure, width))
            known = [made for windows in both if (made := self._reference(figure, windows)) is not None]
            if width > 5 and known and figure.kind != "share":
                # Six windows of half an hour may be alike by chance; what their calls do in five minutes may not be.
                short = self._reference(figure, self._near(series, figure, 5))
                least = short.spread if short is not None else 0.0
                known = [replace(each, spread=max(each.spread, least)) for each in known]
            series.references[figure.name, width] = known
        return known

    @staticmethod
    def _reference(figure: AlertFigure, windows: Iterable[_Window]) -> _Reference | None:
        """Return what a share, a mean or a time was; None if too little is known of it."""
        filled = [window for window in windows if window.calls >= 3 and window.of > 0]
        known = [(value, window) for window in filled if (value := figure.value(window.top, window.of)) is not None]
        calls = sum(window.calls for _, window in known)
        if calls < LEAST_BASE or len(known) < 4 or len(known) < 0.75 * len(filled):
            return None
        if figure.kind != "share":
            middle = statistics.median(value for value, _ in known)
            spread = 1.4826 * statistics.median(
                abs(value - middle) * math.sqrt(window.calls) for value, window in known
            )
            return _Reference(middle, spread, 0.0, calls)
        known.sort(key=lambda each: -figure.sign * each[0])
        # The most unusual windows are left out: an incident that lasts is not a reference for itself.
        kept = known[len(known) // 4 :]
        if sum(window.calls for _, window in kept) < LEAST_BASE / 2:
            kept = known
        pooled = sum(window.top for _, window in kept) / max(sum(window.of for _, window in kept), 1)
        if figure.sign < 0:  # one job of many hits is not what all windows are held against
            pooled = min(pooled, statistics.median(value for value, _ in known))
        spread = 1.4826 * statistics.median(abs(value - pooled) * math.sqrt(w.calls) for value, w in known)
        solid = [value for value, window in known if window.calls >= LEAST_CALLS] or [value for value, _ in known]
        edge = solid[min(1 if len(solid) >= 9 else 2, len(solid) - 1)]
        return _Reference(pooled, spread, edge, calls)

    # One value

    def changes_of(self, series: MinuteSeries) -> list[Change]:
        """Return every change that a value shows, in whatever window."""
        end = self._t + 1
        users = series.dimension.startswith("tag.") and self._history.values[series.dimension] > MANY_VALUES
        found = []
        for width in WINDOWS:
            start = end - width
            now = series.sums(start, end)
            if now[_N] < LEAST_CALLS:
                continue
            base = self._base_of(series, start, now[_N])
            rough = (base or series).sums(start - 180, start)
            for figure in FIGURES:
                if now[figure.calls] < LEAST_CALLS or (
                    users and (figure.family not in _OF_USERS or figure.kind == "mean")
                ):
                    continue
                change = None
                if figure.kind == "amount":
                    change = self._amount(series, base, figure, width, now)
                elif _worth_it(figure, now, rough):
                    change = self._change(series, base or series, figure, width, now)
                if change is not None:
                    found.append(change)
        if not users:
            found += self._of_seconds(series)
        return found

    def _of_seconds(self, series: MinuteSeries) -> list[Change]:
        """Return times that have risen within the last seconds, which the running minute's sums do not show yet."""
        tail = self._history.tail.get(series.place, ())
        found = []
        for seconds in SECONDS:
            since = self._history.now_ms - seconds * 1000
            rows = [parts for end_ms, parts in tail if end_ms >= since]
            if len(rows) < LEAST_CALLS:
                continue
            sums = [sum(column) for column in zip(*rows, strict=True)]
            base = self._base_of(series, self._t, sums[_N]) or series
            for figure in FIGURES:
                if figure.kind != "log" or sums[figure.calls] < LEAST_CALLS:
                    continue
                change = self._change(series, base, figure, 0, sums)
                if change is None:
                    continue
                start, after, calls = self._start_in_tail(tail, figure)
                if calls < LEAST_CALLS:  # the cut is elsewhere: what is told is the window itself
                    start, after, calls = since, change.after, sums[figure.calls]
                excess = calls * math.log(max(after, 1e-9) / change.before)
                found.append(replace(change, since_ms=start, after=after, n=calls, excess=excess, of_seconds=True))
        return found

    @staticmethod
    def _start_in_tail(tail: Sequence[tuple[int, Sequence[int]]], figure: AlertFigure) -> tuple[int, float, int]:
        """Return when the last seconds' calls began to differ most, their mean since then, and how many they are."""
        rows = [(end_ms, parts[figure.top] / parts[figure.of]) for end_ms, parts in tail if parts[figure.of]]
        total, count = sum(value for _, value in rows), len(rows)
        late, best, at = 0.0, -1.0, count
        for cut in range(count - 1, -1, -1):
            late += rows[cut][1]
            of = count - cut
            difference = late / of - (total - late) / max(cut, 1)
            gain = of * cut / count * difference * difference if cut else 0.0
            if difference > 0 and gain > best:
                best, at = gain, cut
        if at == count:
            return 0, 0.0, 0
        mean = sum(value for _, value in rows[at:]) / (count - at) / LN_SCALE
        return rows[at][0] - round(figure.natural(mean) * 1000), figure.natural(mean), count - at

    def _base_of(self, series: MinuteSeries, start: int, n: int) -> MinuteSeries | None:
        """Return what a value is held against: itself, what it is a part of if it is new, None if that is unknown."""
        first, whole_first = series.first_ms // 60_000, self._whole.first_ms // 60_000
        new = first > max(self._t - 180, whole_first + 30)
        if not new and (
            series.sum(_N, start - 180, start) >= 0.1 * n
            or sum(cell[_N] for quarters in series.days for cell in quarters) >= 0.5 * n
        ):
            return series
        if series.dimension == "version":
            return self._history.series.get(("prompt", series.value.rpartition(" ")[0]))
        if series.app and series.dimension != "app":
            return self._history.series.get(("app", series.app))
        return None

    def _change(
        self, series: MinuteSeries, base: MinuteSeries, figure: AlertFigure, width: int, sums: Sequence[int]
    ) -> Change | None:
        """Judge a share, a mean or a time over one window."""
        mixed = series.dimension.startswith("tag.") and (figure.kind in ("mean", "log") or figure.family == "cache")
        top, of, calls = sums[figure.top], sums[figure.of], sums[figure.calls]
        now = figure.value(top, of)
        if now is None or (mixed and calls < LEAST_CALLS_OF_TAG):
            return None
        if figure.kind == "share" and figure.sign > 0 and top < LEAST_EVENTS and figure.top != _WRITES:
            return None
        references = self._references(base, figure, width or 5)
        verdicts = []
        for reference in references:
            verdict = _held_against(figure, reference, now, calls)
            if verdict is None:
                return None
            verdicts.append(verdict)
        # A short window, and a value that is a mixture of the little that it calls, must stand out further.
        least = LEAST_Z * (1.4 if mixed or not width else 1.3 if width <= 2 else 1.0)
        if not verdicts or min(verdict.z for verdict in verdicts) < least:
            return None
        if min(verdict.z for verdict in verdicts) < SURE_Z and not self._stood(series, references, figure, width):
            return None
        if figure.kind == "share" and figure.sign > 0 and width and self._is_clump(series, references, figure, width):
            return None
        if figure.family in _OF_JOBS and width and self._is_job(series, references, figure, width):
            return None
        if figure.sign < 0 and top > 0.7 * self._usual_amount(base, figure) * (width - 1 + self._part):
            return None  # as many as ever, among more calls
        factor = min((verdict.factor for verdict in verdicts), key=lambda each: abs(math.log(max(each, 1e-3))))
        if factor * figure.least > 1 if figure.sign < 0 else factor < figure.least:
            return None
        reference_value = max((verdict.reference for verdict in verdicts), key=lambda each: figure.sign * each)
        return Change(
            series.dimension,
            series.value,
            figure.name,
            reference_value,
            figure.natural(now),
            (self._t + 1 - width) * 60_000,
            0.0,
            0.0,
            figure.family,
            min(verdict.z for verdict in verdicts),
            n=calls,
            new=base is not series,
        )

    def _stood(self, series: MinuteSeries, references: Sequence[_Reference], figure: AlertFigure, width: int) -> bool:
        """Say whether a change was there a fifth of its window ago: one clump of calls is not told."""
        end = self._t + 1 - max(1, width // 5)
        sums = series.sums(end - width, end)
        now, calls = figure.value(sums[figure.top], sums[figure.of]), sums[figure.calls]
        if now is None or calls < LEAST_CALLS / 2:
            return False
        verdicts = [_held_against(figure, reference, now, calls) for reference in references]
        return all(verdict is not None and verdict.z >= 0.7 * LEAST_Z for verdict in verdicts)

    def _is_job(self, series: MinuteSeries, references: Sequence[_Reference], figure: AlertFigure, width: int) -> bool:
        """Say whether a change is that of minutes with far more calls than any before, and not of the others."""
        start, end = self._t + 1 - width, self._t + 1
        most = 3 * statistics.median(series.sum(_N, each, each + 1) for each in range(start - 60, start)) + 5
        kept = [each for each in range(start, end) if series.sum(_N, each, each + 1) <= most]
        if len(kept) == width:
            return False
        top, of, calls = (
            sum(series.sum(part, each, each + 1) for each in kept) for part in (figure.top, figure.of, figure.calls)
        )
        now = figure.value(top, of)
        if now is None or calls < LEAST_CALLS:
            return True
        verdicts = [_held_against(figure, reference, now, calls) for reference in references]
        return not all(verdict is not None and verdict.z >= 0.7 * LEAST_Z for verdict in verdicts)

    def _usual_amount(self, series: MinuteSeries, figure: AlertFigure) -> float:
        """Return how much of a share's upper part there is a minute, as the hours before have it."""
        return statistics.median([each.top / each.minutes for each in self._near(series, figure, 15)] or [math.inf])

    def _is_clump(
        self, series: MinuteSeries, references: Sequence[_Reference], figure: AlertFigure, width: int
    ) -> bool:
        """Say whether a share has risen in one minute of its window alone; half of the last calls are told at once."""
        end = self._t + 1
        minutes = [
            (series.sum(figure.top, each, each + 1), series.sum(figure.of, each, each + 1), each)
            for each in range(end - width, end)
        ]
        top, of = sum(each[0] for each in minutes), sum(each[1] for each in minutes)
        if width <= 2 and top - references[0].value * of >= _AT_ONCE * of:
            return False
        pooled = max(reference.value for reference in references)
        worst = max(minutes, key=lambda each: each[0] - pooled * each[1])
        top, of = top - worst[0], of - worst[1]
        # What is left need not be as sure: five events that would be one.
        return top < LEAST_EVENTS / 2 or top < 3 * pooled * of or top - pooled * of < 0.02 * of

    def _amount(
        self, series: MinuteSeries, base: MinuteSeries | None, figure: AlertFigure, width: int, sums: Sequence[int]
    ) -> Change | None:
        """Judge calls or cost a minute: a large part of the whole that was not there."""
        history, whole, part = self._history, self._whole, figure.top
        if width < 5 or (width > 15 and not history.aged) or series.dimension == "version":
            return None  # without earlier days the rise of a morning is not a jump
        start, end = self._t + 1 - width, self._t + 1
        minutes = width - 1 + self._part
        top, calls, total = sums[part], sums[_N], whole.sum(part, start, end)
        if top < _PART_OF_ALL * total:
            return None
        new = base is not series
        if new and history.names_each(series.dimension):
            return None
        held = base if base is not None else whole
        rate = held.sum(part, start, end) / minutes
        verdicts = []
        for windows in (self._near(held, figure, width), self._days(held, figure, width)):
            if len(windows) < 4:
                continue
            rates = [window.top / window.minutes for window in windows]
            middle = statistics.median(rates)
            spread = 1.4826 * statistics.median(abs(each - middle) for each in rates)
            length = sum(window.minutes for window in windows)
            known = sum(window.calls for window in windows)
            each_call, per_minute = sum(window.top for window in windows) / max(known, 1), known / length
            step = max(width, 5)
            chance = 1.5 * each_call * math.sqrt(max(per_minute * step, 1.0)) / step
            if new:
                # What it is a part of must have grown with it: else it took another one's place.
                if rate - middle < 0.6 * top / minutes:
                    return None
            elif rate < 1.3 * max(rates):
                return None
            error = max(spread, 0.15 * middle, chance, 1e-9)
            verdicts.append(_Verdict((rate - middle) / error, rate / middle if middle > 0 else math.inf, middle))
        if not verdicts or (history.aged and len(verdicts) < 2 and not new):
            return None
        z = min(verdict.z for verdict in verdicts)
        # Without earlier days a morning is told from a jump by its size alone.
        least = LEAST_Z * (1.0 if history.aged else 1.4)
        if z < least or min(verdict.factor for verdict in verdicts) < (1.5 if new else figure.least):
            return None
        before = 0.0 if new else max(verdict.reference for verdict in verdicts)
        if top - before * minutes < _PART_OF_ALL * total:
            return None
        if rate * minutes < self._ordinary_burst(held, figure, width):
            return None
        of_tag = series.dimension.startswith("tag.") and not new
        if of_tag and rate * minutes < self._bursts_of_others(series, figure, width):
            return None
        if series.dimension.startswith("tag.") and total < self._ordinary_burst(whole, figure, width):
            return None  # jobs of this size are ordinary here, whoever runs them
        return Change(
            series.dimension,
            series.value,
            figure.name,
            before,
            top / minutes,
            start * 60_000,
            top / total,
            0.0,
            figure.family,
            z,
            n=calls,
            new=new,
        )

    def _ordinary_burst(self, series: MinuteSeries, figure: AlertFigure, width: int) -> float:
        """Return the amount in a window that bursts of the days before make ordinary.

        A day's rise and fall is no burst. A value that rests for most of the time is all bursts: then only what is far
        above the largest of them is told.
        """
        known = self._amounts_before(series, figure, width)
        if sum(map(bool, known)) < 0.6 * len(known):
            return _ABOVE_ALL * max(known, default=0) * max(1.0, width / 15)
        return _beyond_bursts(_bursts(known)) * max(1.0, width / 15)

    def _bursts_of_others(self, series: MinuteSeries, figure: AlertFigure, width: int) -> float:
        """Return the amount that bursts of a tag's other values make ordinary: a job runs on any of the hosts."""
        others = [
            each
            for each in self._history.series.values()
            if each.dimension == series.dimension and each is not series and each.live
        ]
        found = [
            burst for each in others[:_MOST_OTHERS] for burst in _bursts(self._amounts_before(each, figure, width))
        ]
        return _beyond_bursts(found) * max(1.0, width / 15)

    def _amounts_before(self, series: MinuteSeries, figure: AlertFigure, width: int) -> list[int]:
        """Return the amounts of each quarter of an hour of the days before, from the first that has any."""
        end_ms = (self._t + 1 - width) // 15 * _QUARTER_MS
        cells = self._quarters(series.place, end_ms - _BURST_DAYS * _DAY_MS, end_ms)
        amounts = [cell[figure.top] for cell in cells]
        return amounts[next((at for at, amount in enumerate(amounts) if amount), len(amounts)) :]

    # What is not there

    def silences(self, batched: bool) -> list[Change]:
        """Return the values from which nothing came for longer than their own rhythm explains."""
        found = [
            change
            for series in self._history.series.values()
            if series.dimension in ("all", "app", "model") and (change := self._silence(series, batched)) is not None
        ]
        found.sort(key=lambda each: -each.excess)
        kept: list[Change] = []
        for each in found:  # of those that fell silent together the largest speaks
            if not any(abs(each.since_ms - other.since_ms) <= 180_000 for other in kept):
                kept.append(each)
        return kept

    def _silence(self, series: MinuteSeries, batched: bool) -> Change | None:
        gap = (self._history.now_ms - series.last_ms) / 60_000
        if not (SHORT_GAP if batched else 0.3) <= gap <= 240:
            return None
        end, first = series.last_ms // 60_000 + 1, max(series.first_ms // 60_000, series.base)
        lasted = min(60, end - first)
        steady = sum(series.sum(_N, minute, minute + 1) > 0 for minute in range(end - 60, end))
        if steady < 30:  # somebody who tries things and stops is not a silence
            return None
        before = series.sum(_N, end - 60, end) / lasted
        recent = series.sum(_N, end - 11, end - 1) / 10
        expected = (min(before, recent) if recent > 0 else before) * gap
        if expected < 12:
            return None
        on_days = []
        for quarters in series.days:
            middle = len(quarters) // 2
            # The least of three quarters: a job that ends at three each night may end some minutes sooner.
            then = min(cell[_N] for cell in quarters[middle - 1 : middle + 2]) / 15
            earlier = statistics.fmean(cell[_N] for cell in quarters[:middle]) / 15
            # Both what came at this time on that day, and its fall from the hour before.
            on_days.append(min(then, then / earlier * before) * gap if earlier else 0.0)
        if on_days:
            expected = min(expected, statistics.median(on_days))
        longest = self._longest_gap(series, max(first, end - 360), end, before)
        least = 75 if gap < SHORT_GAP else 12
        if expected < least or gap < 2 * longest + min(longest, 1.0):
            return None
        share = min(series.sum(_N, end - 60, end) / max(self._whole.sum(_N, end - 60, end), 1), 1.0)
        return Change(
            series.dimension,
            series.value,
            "silence",
            before,
            0.0,
            series.last_ms,
            share,
            3.0 * math.sqrt(share) + 0.01,
            "silence",
            expected,
            expected,
            int(expected),
            share,
        )

    @staticmethod
    def _longest_gap(series: MinuteSeries, first: int, end: int, rate: float) -> float:
        """Return the longest ordinary gap before ``end``, minutes, as it would be at a rate of ``rate`` calls a minute.

        A gap of the night, when calls came one in ten minutes, is none of the day.
        """
        longest, run = 0.0, 0
        for minute in range(first, end):
            if series.sum(_N, minute, minute + 1):
                run = 0
                continue
            run += 1
            began = minute + 1 - run
            around = series.sum(_N, began - 30, began) / 30
            longest = max(longest, run * min(1.0, around / rate))
        return longest

    def waiting(self, in_flight: Sequence[InFlight]) -> list[Change]:
        """Return programs whose calls are in flight for longer, or in greater number, than theirs ever are."""
        found = []
        now_ms, t = self._history.now_ms, self._t
        latency, n_of = BY_NAME["latency"], BY_NAME["n"]
        for each in in_flight:
            place = ("app.model", each.app, each.model)
            series = self._history.series.get(("app", each.app)) or self._history.series.get(("model", each.model))
            usual_s, spread, rate = 1.0, 0.6, 0.0
            if series is not None and series.live:
                reference = self._reference(latency, self._near(series, latency, 5))
                if reference is not None:
                    usual_s, spread = math.exp(reference.value), min(reference.spread, 0.6)
                rate = series.sum(n_of.top, t - 60, t - 1) / 59
            oldest_s = (now_ms - each.oldest_ms) / 1000
            ordinary = max(rate / 60 * usual_s, 1.0)  # Little's law
            # Three times what one call in a hundred takes.
            long_wait = oldest_s > max(10.0, 3 * usual_s * math.exp(2.33 * spread))
            if not long_wait or (each.calls < 3 and oldest_s < 60) or each.calls < 1.5 * ordinary:
                continue
            factor = each.calls / ordinary
            found.append(
                Change(
                    "app" if each.app else "model",
                    each.app or each.model,
                    "in_flight",
                    ordinary,
                    float(each.calls),
                    each.oldest_ms,
                    0.0,
                    2.5 + min(math.log(max(factor, 1.0)), 1.5),
                    f"in flight {place}",
                    12.0,
                    float(each.calls),
                    each.calls,
                )
            )
        total = sum(each.calls for each in in_flight)
        by_value: dict[tuple[str, str], Change] = {}
        for change in found:
            key = change.dimension, change.value
            known = by_value.get(key)
            calls = change.after + (known.after if known else 0.0)
            since = min(change.since_ms, known.since_ms) if known else change.since_ms
            by_value[key] = replace(change, after=calls, since_ms=since, share=calls / max(total, 1))
        return list(by_value.values())

    # Which value

    def ranked(self, found: Iterable[Change]) -> list[Change]:
        """Return one change of each family, the weightiest first."""
        families: dict[str, list[Change]] = {}
        for each in found:
            families.setdefault(each.family, []).append(each)
        best = families.pop("silence", [])
        for family, all_members in families.items():
            members = _without_what_dearer_calls_explain(all_members)
            if family.startswith("in flight"):
                best += members
                continue
            scored = [
                change
                for name in {each.figure for each in members}
                if (same := self._not_of_mixture([each for each in members if each.figure == name]))
                for change in self._side_by_side(same)
            ]
            if scored:
                best.append(max(scored, key=lambda each: each.score))
        best.sort(key=lambda each: -each.score)
        return [_in_usd(each) for each in best]

    def _not_of_mixture(self, same: list[Change]) -> list[Change]:
        """Return the changes of one figure without those of mixtures: of calls that are each as ever, in other parts.

        A model's mean differs in the morning because other programs call it, a shared prompt's with who sends it; and
        the mean of a release differs at any time, once a program has left it for the next one.
        """
        figure = BY_NAME[same[0].figure]
        if figure.name == "cost_a_call":  # dearer calls are news whatever made them, but not by a little
            return [each for each in same if each.z >= 2 * LEAST_Z or not self._is_mixture(each, figure)]
        if figure.family not in _MIXED:
            return same
        real = [each for each in same if not self._is_mixture(each, figure)]
        if figure.kind == "share":
            return real
        narrow = any(each.dimension in ("app.model.prompt", "version") for each in real)
        parted = any(each.dimension in _PARTED for each in real)
        aged = self._history.aged
        return [
            each
            for each in real
            if (
                narrow
                or each.dimension in ("prompt", "version")
                or self._series_of(each).app
                or (aged and not each.dimension.startswith("tag."))
            )
            and (parted or each.dimension not in ("provider", "server"))
        ]

    def _is_mixture(self, change: Change, figure: AlertFigure) -> bool:
        """Say whether less than half of a change is left where each program's calls of a prompt are held to their own.

        Known of all, models, programs and prompts: the sums by program, model and prompt are their parts. What has no
        past is new to a program and counts, and of several programs it is one that has come.
        """
        at = {"all": -1, "app": 0, "model": 1, "prompt": 2, "version": 2}.get(change.dimension)
        if change.of_seconds or at is None:
            return False
        end, start = self._t + 1, change.since_ms // 60_000
        own = self._series_of(change)
        name = (change.value.rpartition(" ")[0] if change.dimension == "version" else change.value) or "(none)"
        share = figure.kind == "share"
        usual = change.before if share else math.log(max(change.before, 1e-9))
        within = known = 0.0
        for series in self._history.series.values():
            if series.dimension != "app.model.prompt":
                continue
            if at >= 0 and series.value.split(" · ")[at : at + 1] != [name]:
                continue
            sums, before = series.sums(start, end), series.sums(start - 180, start)
            now, was = (figure.value(each[figure.top], each[figure.of]) for each in (sums, before))
            if before[figure.calls] < LEAST_CALLS:
                was = usual if own.app else None
            if now is not None and was is not None:
                within += sums[figure.of] * (now - was)
                known += sums[figure.of]
        of = own.sum(figure.of, start, end)
        if known < 0.5 * of:
            # Many rare prompts: of one program they are its own, and still its mixture may be another one by chance.
            return not own.app or change.z < 2 * LEAST_Z
        moved = (change.after if share else math.log(max(change.after, 1e-9))) - usual
        if change.dimension == "version":  # beside others of its prompt
            moved *= min(1.0, of / known)
        return figure.sign * within / known < 0.5 * figure.sign * moved

    def _side_by_side(self, same: list[Change]) -> list[Change]:
        """Return the changes of one figure, one a value, as they are since one start, with their scores."""
        figure = BY_NAME[same[0].figure]
        if any(each.of_seconds for each in same):
            # What minutes show is told by minutes; of seconds only what they do not show yet.
            same = [each for each in same if not each.of_seconds] or same
        strongest: dict[tuple[str, str], Change] = {}
        for each in same:
            place = each.dimension, each.value
            if place not in strongest or each.z > strongest[place].z:
                strongest[place] = each
        lead = max(strongest.values(), key=lambda each: each.z * math.sqrt(each.n))
        if lead.of_seconds:
            most = max(each.excess for each in strongest.values())
            return [
                replace(each, share=each.excess / most, score=score_of(each, each.excess / most))
                for each in strongest.values()
            ]
        start = self._start(lead, figure)
        made = [self._since(each, figure, start) for each in strongest.values()]
        most = max(each.excess for each in made)
        out = []
        for each in made:
            explains = each.excess / most if most > 0 else 0.0
            share = each.share if figure.kind == "amount" else max(0.0, min(explains, 1.0))
            out.append(replace(each, share=share, score=score_of(each, explains)))
        top = max(out, key=lambda each: each.score)
        own = self._start(top, figure)
        if own != start:
            out[out.index(top)] = replace(self._since(top, figure, own), share=top.share, score=top.score)
        # A mean of fewer calls is that of their mixture. Without this rule one simulated day of a third of the traffic
        # gave two false claims (of five and of eight calls); with it none. Three busier days gave none without it.
        return [each for each in out if figure.kind not in ("mean", "log") or each.n >= LEAST_CALLS]

    def _series_of(self, change: Change) -> MinuteSeries:
        return self._history.series[change.dimension, change.value]

    def _start(self, change: Change, figure: AlertFigure) -> int:
        """Return the minute at which a change began: of a new value, its first one."""
        series, t = self._series_of(change), self._t
        if change.new:
            first = max(series.base, t - 360)
            return next((minute for minute in range(first, t + 1) if series.sum(_N, minute, minute + 1)), t)
        # The cut of the last three hours into the two parts that differ most.
        first = max(series.base, t - 180, series.first_ms // 60_000)
        best, at = -1.0, t
        for cut in range(first + 5, t + 1):
            top, late_top = series.sum(figure.top, first, cut), series.sum(figure.top, cut, t + 1)
            if figure.kind == "amount":
                of, late_of = float(cut - first), t - cut + self._part
            else:
                of, late_of = float(series.sum(figure.of, first, cut)), float(series.sum(figure.of, cut, t + 1))
            if of <= 0 or late_of <= 0:
                continue
            difference = late_top / late_of - top / of
            gain = of * late_of / (of + late_of) * difference * difference
            if difference * figure.sign > 0 and gain > best:
                best, at = gain, cut
        return at

    def _since(self, change: Change, figure: AlertFigure, start: int) -> Change:
        """Return a change as it is since a minute."""
        series, end = self._series_of(change), self._t + 1
        top, of, calls = (series.sum(part, start, end) for part in (figure.top, figure.of, figure.calls))
        minutes = max(self._t - start + self._part, self._part)
        before, after, share = change.before, change.after, 0.0
        if figure.kind == "amount":
            after = top / minutes
            excess = after - before
            share = top / max(self._whole.sum(figure.top, start, end), 1)
        else:
            now = figure.value(top, of)
            if now is not None:
                after = figure.natural(now)
            if figure.kind == "log":
                excess = calls * math.log(max(after, 1e-9) / before) / minutes
            else:
                excess = figure.sign * (top - before * of) / minutes
        breadth = series.sum(_N, start, end) / max(self._whole.sum(_N, start, end), 1)
        return replace(
            change, since_ms=start * 60_000, after=after, excess=excess, share=share, breadth=breadth, n=calls
        )


def _worth_it(figure: AlertFigure, now: Sequence[int], before: Sequence[int]) -> bool:
    """Look cheaply first: at all of the three hours before as one."""
    value, rough = figure.value(now[figure.top], now[figure.of]), figure.value(before[figure.top], before[figure.of])
    if value is None or rough is None:
        return value is not None
    return figure.sign * (value - rough) >= (0.04 if figure.kind == "share" else 0.8 * math.log(figure.least))


def _held_against(figure: AlertFigure, reference: _Reference, now: float, calls: int) -> _Verdict | None:
    """Return how far ``now`` is from a reference; None where it is not a change that is told."""
    if figure.kind != "share":
        error = math.sqrt(reference.spread**2 / calls + FLOOR_LOG**2)
        moved = now - reference.value
        return _Verdict(figure.sign * moved / error, math.exp(moved), math.exp(reference.value))
    least = 1 / (reference.calls + 2)
    base = min(max(reference.value, least), 1 - least)
    error = math.sqrt(max(base * (1 - base), reference.spread**2) / calls) + FLOOR_SHARE
    z = figure.sign * (now - reference.value) / error
    if figure.sign > 0:
        if now < max(1.5 * reference.edge, reference.value + 0.05):
            return None
        return _Verdict(z, now / base, reference.value)
    if reference.value < 0.1 or now > min(0.6 * reference.edge, reference.value - 0.1):
        return None
    return _Verdict(z, now / reference.value, reference.value)


def _bursts(amounts: Sequence[int]) -> list[int]:
    """Return the amounts that stand out from those within an hour of them."""
    return [
        amount
        for at, amount in enumerate(amounts)
        if amount > _BURST * statistics.median([*amounts[max(at - 4, 0) : at], *amounts[at + 1 : at + 5], amount])
    ]


def _beyond_bursts(bursts: Sequence[int]) -> float:
    """Return the amount of a quarter of an hour that such bursts do not make ordinary."""
    return (_ABOVE_BURSTS if len(bursts) > 2 else _ABOVE_BURST) * max(bursts, default=0)


def _without_what_dearer_calls_explain(changes: list[Change]) -> list[Change]:
    """Leave out the spend of values whose calls have become dearer by as much: that is what is told."""
    dearer: dict[tuple[str, str], float] = {}
    for each in changes:
        if each.figure == "cost_a_call":
            place = each.dimension, each.value
            dearer[place] = max(dearer.get(place, 0.0), each.factor or 0.0)
    return [
        each
        for each in changes
        if each.figure != "cost"
        or each.factor is None
        or dearer.get((each.dimension, each.value), 0.0) < 0.75 * each.factor
    ]


def _in_usd(change: Change) -> Change:
    if change.family != "spend":
        return change
    return replace(change, before=change.before / _PICO, after=change.after / _PICO)


__all__ = ["NEAR", "TOLD", "steps"]
