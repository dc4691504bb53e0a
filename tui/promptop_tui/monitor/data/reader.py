"""Reads the log for the monitor, on one thread that owns the connection.

The screen asks (:meth:`MonitorReader.ask`), the thread decides: questions that come while it reads become one, a look
at an unchanged log costs one ``PRAGMA data_version``, and a window is read again at the earliest after twenty times the
time that its last reading took, so that a slow disk costs at most 5 % of a core. Answers are immutable values.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from promptop.alerts.watch import Present, Watch
from promptop.base.errors import PromptopError
from promptop.base.files import identity
from promptop.base.texts import tr
from promptop.log.read.stats import Stats
from promptop.log.read.status import troubles
from promptop_tui.monitor.analysis.cost_breakdown import Breakdown
from promptop_tui.monitor.analysis.spending import LoggedSpend, read_spend
from promptop_tui.monitor.data import queries
from promptop_tui.monitor.data.queries import Findings, OlderRows, QueryFailed, RankedRows, RowFound
from promptop_tui.monitor.data.query_stats import Inspection, StepTimer
from promptop_tui.monitor.data.ranked_search import Ordering
from promptop_tui.monitor.data.snapshot import LogSnapshot, SnapshotQuery
from promptop_tui.monitor.data.tail import Tail
from promptop_tui.monitor.data.window_cache import HeldWindow, where_of

if TYPE_CHECKING:
    from promptop.log import LogReader, Window
    from promptop.log.read.reader import LogPlace
    from promptop.log.rollups.background_rollup import Folding
    from promptop_tui.monitor.analysis.token_histogram import TokenSizes

_ELSEWHERE = (-1, -1)
"""Stands for the identity of a log that is no file here, and so is never replaced."""
WATCH_S = 5.0
"""Seconds between two judgements of what is unusual."""
_FIRST_TURN_S = 0.25
"""How long the first judgement goes on before the rows are looked at again."""
_SHARE = 20
_SPEND_S = 15.0
_SPEND_ROWS = 500
"""Today and the month are read again after so many seconds, or so many new rows."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a look at the sums gives a snapshot."""

    window: Window | None
    previous: Stats | None
    groups_before: Mapping[str, Stats]
    by: str
    sessions: int | None
    spend: LoggedSpend | None
    unfiltered: bool


Answer = LogSnapshot | Present | Inspection | OlderRows | RankedRows | RowFound | Breakdown | Findings | QueryFailed


class MonitorReader:
    """The reading side of the monitor. All methods but :meth:`run` may be called from any thread."""

    def __init__(
        self,
        path: Path | Sequence[LogPlace],
        deliver: Callable[[Answer], object],
        now: Callable[[], float],
        *,
        watches: bool = True,
    ) -> None:
        """Read the logs at ``path``; ``watches`` says whether what is unusual now is looked for."""
        self._paths = (path,) if isinstance(path, Path) else tuple(path)
        self._deliver = deliver
        self._now = now
        self._wake = threading.Event()
        self._guard = threading.Lock()
        self._asked: SnapshotQuery | None = None
        self._errands: deque[Callable[[LogReader], Answer]] = deque()
        self._stopped = False
        self._idle = True
        self._fresh_start = False
        self.looks = 0
        """Questions answered, those without news included."""
        self._order_asked: tuple[SnapshotQuery, str, bool] | None = None
        # Below: owned by the thread.
        self._ordering: Ordering | None = None
        self._meter = StepTimer()
        self._log: LogReader | None = None
        self._foldings: list[Folding] = []
        self._identities: list[tuple[int, int] | None] = [None] * len(self._paths)
        self._version = 0
        self._last = LogSnapshot()
        self._tail = Tail()
        self._held = HeldWindow(self._meter)
        self._stale = True
        self._before_stale = False
        """Whether rows of the window before came since it was read."""
        self._next_window = 0.0
        self._next_spend = self._spend_rests = 0.0
        self._next_trouble, self._trouble = 0.0, ""
        self._spent_rows = 0
        self._owes_money = False
        self._watch = Watch(brief=True) if watches else None
        self._watching: Iterator[Present | None] | None = None
        self._next_watch = 0.0
        self._judged = False

    # From any thread

    @property
    def idle(self) -> bool:
        """Whether the last question has been answered and the answer was taken."""
        return self._idle

    @property
    def watches(self) -> bool:
        """Whether what is unusual now is looked for: not in a replay, whose present is past."""
        return self._watch is not None

    def ask(self, query: SnapshotQuery) -> None:
        """Want a snapshot for ``query``; a question that is not yet answered is replaced."""
        with self._guard:
            self._asked = query
            self._idle = False
        self._wake.set()

    def taken(self) -> None:
        """Say that the last snapshot has been shown."""
        self._idle = True

    def restart(self, query: SnapshotQuery) -> None:
        """Want the newest page in place of all rows."""
        with self._guard:
            self._fresh_start = True
        self.ask(query)

    def older(self, query: SnapshotQuery, place: tuple[int, ...], oldest: tuple[int, int, int] | None = None) -> None:
        """Want the page of rows before ``place``, an id in each log, or before the oldest of a held stretch."""
        self._errand(lambda log: queries.older(log, query, place, oldest))

    def order(self, query: SnapshotQuery, figure: str, *, smallest: bool) -> None:
        """Want the window's rows in the order of a figure, slice by slice between looks; ``time`` ends a search."""
        with self._guard:
            self._order_asked = (query, figure, smallest)
        self._wake.set()

    def fetch(self, row_id: int, purpose: str = "show", source: int = 0) -> None:
        """Want one row of one log with its bodies."""
        self._errand(lambda log: queries.fetch(log, row_id, purpose, source))

    def fetch_pair(self, row_id: int, other_id: int, sources: tuple[int, int] = (0, 0)) -> None:
        """Want two rows, to be compared."""
        self._errand(lambda log: queries.fetch_pair(log, row_id, other_id, sources))

    def find(self, query: SnapshotQuery, kind: queries.FindingKind, ttl_s: float = 0.0) -> None:
        """Want the bursts of the window, why caches did not answer, or what changed; ``ttl_s`` is our cache's."""
        self._errand(lambda log: queries.find(log, query, kind, self._now_ms(), ttl_s))

    def break_down(self, query: SnapshotQuery, dimension: str) -> None:
        """Want the groups of the window in one dimension."""
        self._errand(lambda log: queries.break_down(log, query, dimension, self._now_ms()))

    def fetch_kept(self, filter_text: str, purpose: str, calls_per_day: float) -> None:
        """Want the latest row of a filter whose prompt was kept."""
        self._errand(lambda log: queries.fetch_kept(log, filter_text, purpose, calls_per_day))

    def inspect(self, on: bool) -> None:
        """Have each look told as an :class:`Inspection`, or no longer."""
        self._meter.on = on

    def stop(self) -> None:
        """End :meth:`run` soon; it may be run again."""
        self._stopped = True
        self._wake.set()

    def _errand(self, errand: Callable[[LogReader], Answer]) -> None:
        with self._guard:
            self._errands.append(errand)
        self._wake.set()

    # The thread

    def run(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Answer until :meth:`stop`; called on the thread that owns the connection."""
        self._stopped = False
        try:
            while not (self._stopped or cancelled()):
                if not self._wake.wait(1.0):
                    continue
                self._wake.clear()
                with self._guard:
                    query, self._asked = self._asked, None
                    errands, self._errands = self._errands, deque()
                for errand in errands:
                    self._answer(errand)
                if query is not None and not self._stopped:
                    self._look(query)
                self._go_on_ordering()
                self._go_on_watching()
        finally:
            self._close()
            self._idle = True

    def _answer(self, errand: Callable[[LogReader], Answer | None]) -> None:
        try:
            log = self._open()
            if log is None:
                raise PromptopError("There is no log any more.", "It is read again as soon as it is back.")
            if (answer := errand(log)) is not None:
                self._deliver(answer)
        except PromptopError as error:
            self._deliver(QueryFailed(error.cause, error.remedy))
        except (sqlite3.Error, OSError) as error:
            self._deliver(
                QueryFailed(
                    tr("The log could not be read ({error}).", error=error),
                    tr("It is tried again at the next refresh."),
                )
            )

    def _go_on_ordering(self) -> None:
        with self._guard:
            asked, self._order_asked = self._order_asked, None
        if asked is not None:
            self._ordering = Ordering(*asked, self._now_ms()) if asked[1] != "time" else None
        ordering = self._ordering
        if ordering is None or self._stopped:
            return
        self._answer(ordering.go_on)
        if ordering.done:
            self._ordering = None
        else:
            self._wake.set()

    def _go_on_watching(self) -> None:
        """Look at what is unusual where that is due, one slice of it between looks, so that none waits longer.

        The first time it is as many slices as fit in :data:`_FIRST_TURN_S`: on a busy machine one slice a look would
        leave the first line empty for ten seconds and more.
        """
        log = self._log
        if self._watch is None or log is None or self._stopped:
            return
        if self._watching is None:
            if monotonic() < self._next_watch:
                return
            self._watching = self._watch.steps(log, self._now_ms())
        until = monotonic() + (0.0 if self._judged else _FIRST_TURN_S)
        try:
            present = next(self._watching)
            while present is None and monotonic() < until and not self._stopped:
                present = next(self._watching)
        except (PromptopError, sqlite3.Error, OSError) as error:
            # The next look at the rows says what is wrong with the log.
            self._watching, self._next_watch = None, monotonic() + WATCH_S
            self._deliver(
                QueryFailed(tr("What is unusual could not be judged ({error}).", error=error), tr("It is tried again."))
            )
            return
        if present is None:
            self._wake.set()
            return
        self._judged = self._judged or present.ready
        self._watching, self._next_watch = None, monotonic() + (WATCH_S if present.ready else WATCH_S / 5)
        self._deliver(present)

    def _look(self, query: SnapshotQuery) -> None:
        self.looks += 1
        began = perf_counter()
        try:
            self._meter.attend(self._log)
            snapshot = self._snapshot(query)
        except PromptopError as error:
            snapshot = self._problem(query, error.cause, error.remedy)
        except (sqlite3.Error, OSError) as error:
            snapshot = self._problem(
                query,
                tr("{named} could not be read ({error}).", named=self._named, error=error),
                tr("It is tried again twice a second."),
            )
        if self._meter.on:
            rows, took = len(snapshot.fresh) if snapshot else 0, perf_counter() - began
            self._deliver(self._meter.taken(self._now(), took, news=snapshot is not None, rows=rows))
        if snapshot is None:
            self._idle = True
            return
        self._version += 1
        self._last = replace(snapshot, version=self._version, fresh=(), restart=False)
        self._deliver(replace(snapshot, version=self._version))

    def _problem(self, query: SnapshotQuery, cause: str, remedy: str) -> LogSnapshot | None:
        self._close()
        self._tail.mark = None
        if self._last.state == "problem" and self._last.cause == cause:
            return None
        return LogSnapshot(
            query=query, now_ms=self._now_ms(), state="problem", cause=cause, remedy=remedy, restart=True
        )

    def _now_ms(self) -> int:
        return int(self._now() * 1000)

    def _close(self) -> None:
        for folding in self._foldings:
            folding.close()
        self._foldings = []
        if self._log is not None:
            self._log.close()
            self._log = None
        self._held.drop()
        self._watching = None

    def _open(self) -> LogReader | None:
        """Return the reader of the files that are there now; None, once said, if there is none."""
        found = [identity(path) if isinstance(path, Path) else _ELSEWHERE for path in self._paths]
        if self._log is not None and found == self._identities:
            return self._log
        gone = [path for path, old, new in zip(self._paths, self._identities, found, strict=True) if old and not new]
        self._close()
        self._identities = found
        self._tail.mark = None
        remedy = tr("It is read again as soon as it is back; a running writer makes a new one with its next request.")
        if not any(found):
            if gone:
                raise PromptopError(f"The log {gone[0]} is gone.", remedy)
            return None
        for path in gone:
            self._deliver(QueryFailed(tr("The log {path} is gone; the others are shown.", path=path), remedy))
        from promptop.log import LogReader
        from promptop.log.rollups.background_rollup import Folding

        self._log = LogReader(self._paths)
        for path in self._log.files:
            folding = Folding(path)
            folding.start()  # a log that was imported or copied has nobody who keeps its rollups
            self._foldings.append(folding)
        self._next_window = self._next_spend = self._next_watch = 0.0
        return self._log

    @property
    def _named(self) -> str:
        return ", ".join(map(str, self._paths))

    def _snapshot(self, query: SnapshotQuery) -> LogSnapshot | None:
        started = perf_counter()
        before = self._last
        log = self._open()
        now_ms = self._now_ms()
        since, until = query.bounds_ms(now_ms)
        if log is None:
            if before.state in ("empty", "problem") and before.query == query:
                return None
            return LogSnapshot(query=query, now_ms=now_ms, since_ms=since, until_ms=until, state="empty", restart=True)
        with self._meter.step("changed"):
            changed = log.changed()
        if monotonic() >= self._next_trouble:
            self._next_trouble = monotonic() + WATCH_S
            self._trouble = troubles(log.files)
        other_rows = (
            self._tail.shows_others(query, before.query, now_ms) or self._tail.mark is None or self._fresh_start
        )
        self._fresh_start = False
        moved = (since, until) != (before.since_ms, before.until_ms) or query != before.query
        owed = self._owes_money and monotonic() >= self._next_spend
        self._stale = self._stale or changed or moved or owed or before.state != "ok"
        other_trouble = self._trouble != before.trouble
        if not (changed or other_rows or moved or self._stale or other_trouble):
            return None
        with self._meter.step("rows"):
            rows, restart, older_from = self._tail.rows(log, query, restart=other_rows)
        if not any(self._tail.mark or ()) and not rows and not query.rows_filter:
            if before.state == "empty" and before.query == query:
                return None
            return LogSnapshot(query=query, now_ms=now_ms, since_ms=since, until_ms=until, state="empty", restart=True)
        if restart or any(since - (row.started_ms or since) > 0 for row in rows):
            self._before_stale = True
        measured = _Measured(
            before.window,
            before.previous,
            before.groups_before,
            before.by,
            before.sessions,
            before.spend,
            before.unfiltered,
        )
        sizes = before.sizes
        reads = 1
        user_asked = query != before.query or before.window is None
        if self._stale and (user_asked or monotonic() >= self._next_window):
            measured, reads = self._measure(log, since, until, now_ms, before, query)
            with self._meter.step("histogram"):
                sizes = self._sizes(log, since, until, query, unfiltered=measured.unfiltered)
            self._stale = False
        elif not (rows or restart or other_trouble):
            return None
        else:
            since, until = before.since_ms, before.until_ms
        return LogSnapshot(
            query=query,
            now_ms=now_ms,
            since_ms=since,
            until_ms=until,
            state="ok",
            trouble=self._trouble,
            window=measured.window,
            previous=measured.previous,
            groups_before=measured.groups_before,
            by=measured.by,
            sessions=measured.sessions,
            spend=measured.spend,
            reach=log.span(),
            sizes=sizes,
            fresh=rows,
            restart=restart,
            older_from=older_from,
            unfiltered=measured.unfiltered,
            reads=reads,
            took_s=perf_counter() - started,
        )

    def _measure(
        self, log: LogReader, since: int, until: int, now_ms: int, before: LogSnapshot, query: SnapshotQuery
    ) -> tuple[_Measured, int]:
        started = perf_counter()
        window, unfiltered, by = self._held.read(log, since, until, query)
        with self._meter.step("percentiles"):
            for stats in (window.total, *(stats for _, stats, _ in window.buckets)):
                # Sketches are decoded when they are first asked: here, and not on the UI thread (10 ms for a week),
                # which from then on only looks at them while this thread adds up the next window.
                stats.latency.quantile(0.5)
                stats.ttft.quantile(0.5)
        reads = 1
        previous, groups_before, spend = before.previous, before.groups_before, before.spend
        if (
            previous is None
            or since != before.since_ms
            or query != before.query
            or by != before.by
            or self._before_stale
        ):
            self._before_stale = False
            with self._meter.step("before"):
                where, own = where_of(query, unfiltered), query.counts_own
                earlier = log.window(since - (until - since), since, by=(by,), where=where, own=own)
                previous, groups_before = earlier.total, earlier.groups
            reads += 1
        took = perf_counter() - started
        self._next_window = monotonic() + took * _SHARE
        rows, elapsed = sum(self._tail.mark or ()), monotonic()
        grown = abs(rows - self._spent_rows) > _SPEND_ROWS and elapsed >= self._spend_rests
        if elapsed >= self._next_spend or grown:
            started = perf_counter()
            with self._meter.step("money"):
                spend = read_spend(log, now_ms)
            reads += 4
            self._spent_rows, self._spend_rests = rows, monotonic() + (perf_counter() - started) * _SHARE
            self._next_spend = max(self._spend_rests, elapsed + _SPEND_S)
        self._owes_money = rows != self._spent_rows  # read when it may be, although nothing more comes
        sessions = None
        if window.total.n and not window.total.latency.n:
            sessions = len(log.window(since, until, by=("conversation",), where=where_of(query, unfiltered)).groups)
        return _Measured(window, previous, groups_before, by, sessions, spend, unfiltered), reads

    def _sizes(
        self, log: LogReader, since: int, until: int, query: SnapshotQuery, *, unfiltered: bool
    ) -> TokenSizes | None:
        if not query.sizes:
            return None
        from promptop_tui.monitor.analysis.token_histogram import COUNTED, sizes_of

        started = perf_counter()
        where = where_of(query, unfiltered)
        found = sizes_of(log.tokens(since, until, COUNTED, where), COUNTED)
        self._next_window += (perf_counter() - started) * _SHARE
        return found
