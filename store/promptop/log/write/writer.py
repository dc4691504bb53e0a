"""The writer: callers enqueue, one thread per process commits batches; nothing here blocks or breaks a call.

- :meth:`Writer.put` appends to a queue that is bounded in items and in bytes (about 0.7 µs). Where bytes run short an
  item first lets go of its request's body; a full queue drops the item and counts it.
- A batch is committed at 500 rows or 20 ms, whichever comes first, in a transaction that is ``IMMEDIATE``: a deferred
  one that reads before it writes fails under contention whatever the busy timeout is (measured: 96 %).
- Rows are made also while the log cannot be written, so that nobody holds bodies for it. They wait in a spill file
  beside the log (:mod:`promptop.log.write.spill`), in memory where that cannot be written either. What is lost in the
  end is counted, warned of through :mod:`logging`, and written into the table ``losses`` as soon as the log can be
  written.
- The thread opens the log and loads what the first row needs before it waits for one.
- Queues are :class:`queue.SimpleQueue`, whose ``put`` may interrupt itself: a response that the garbage collector
  closes may log its row from inside another ``put``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from promptop.base.errors import PromptopError
from promptop.log import files
from promptop.log.row import COLUMNS, Row
from promptop.log.write.batch_store import Store
from promptop.log.write.outlines import Outlines, Waiting
from promptop.log.write.pending import Bodies, Finished, Pending, held_bytes
from promptop.log.write.row_pricing import price_row
from promptop.log.write.spill import Mark, Spill, orphans

_values = attrgetter(*COLUMNS)
_TURN_S = 0.001
"""Seconds of row making after which the host is let through."""
_LATE_S = 0.01
"""Seconds of row making after which it is no longer: the interpreter lets it through every five milliseconds by itself,
and on a busy machine each pause lasts as long as that, so that a row each took three of them."""
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 0.02, 2.0
_LOCKED_RETRY_S = 0.25
"""Longest time between two attempts at a log that others hold."""
_PATIENCE_S = 0.03
"""How long a transaction waits for another process's; longer ones would hold up the making of rows."""
_HURRIED_S = 0.01
"""The same, where waiting has just not helped."""
_FLUSH_PATIENCE_S = 0.5
"""The same, where somebody waits for a flush."""
_LOCKED_S = 2.0
"""How long a log may be locked until that is told: programs that write the same log lock it again and again."""
_SHORTEST_LINGER_S = 0.004
"""Shortest pause between two batches. What the latest one took comes off the pause, so that a row's age stays below the
one from which it is outlined: at 500 calls a second through the proxy nearly every call was told twice."""
_NEWEST = 0.25
"""Weight of the latest batch in the seconds that a row takes."""
_SLICE_S = 0.02
"""Seconds of row making after which what is made is committed."""
_HEAVY = 0.75
"""Share of the bytes that bodies may take; the rest is for what has let go of its body."""
_FAILURES = (sqlite3.Error, OSError, PromptopError)
_logger = logging.getLogger("promptop.log")


@dataclass(frozen=True, slots=True)
class WriterStats:
    """What became of the items that this process put."""

    written: int
    """Rows committed."""
    dropped: int
    """Items refused because the queue was full or the writer closed."""
    failed: int
    """Items that could not be made into a row, or not be written before the process ended."""
    queued: int
    """Items that wait."""
    bodies_lost: int = 0
    """Rows that were written without the bodies that should have been kept."""
    last_error: str = ""
    """The latest failure, in one line; empty once a write has worked again."""

    @property
    def lost(self) -> int:
        """Rows that are not in the log and never will be."""
        return self.dropped + self.failed


class _Marker:
    """Stands in the queue behind what must be written before ``done`` is set."""

    __slots__ = ("done", "stop", "until")

    def __init__(self, timeout: float, *, stop: bool = False) -> None:
        self.until = time.monotonic() + timeout
        self.done = threading.Event()
        self.stop = stop


class Writer:
    """Appends rows to the log at ``path`` from any thread of this process; see :func:`promptop.log.writer_for`.

    ``bodies`` is what is kept of prompts and answers where an item does not say; ``redact`` takes and returns text and
    is asked in mode ``redacted``. ``max_bytes`` bounds what waits in memory. ``rollups`` and retention (``keep_days``,
    ``max_mb``; 0 means no limit, None what the settings say by then) are tended on the same thread when it is idle.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bodies: Bodies = "off",
        redact: Callable[[str], str] | None = None,
        max_queue: int = 10_000,
        max_bytes: int = 32 << 20,
        batch: int = 500,
        linger_s: float = 0.02,
        rollups: bool = True,
        keep_days: int | None = 90,
        max_mb: int | None = 2048,
    ) -> None:
        self.path = Path(path)
        self.bodies: Bodies = bodies
        self._redact = redact
        self._max_queue, self._batch, self._linger_s = max_queue, batch, linger_s
        self.max_bytes = max_bytes
        self._rollups, self._keep_days, self._max_mb = rollups, keep_days, max_mb
        self._reset()
        from promptop.log.write import lifecycle

        lifecycle.register(self)

    def _reset(self) -> None:
        """Start with nothing: at first, and in the child of a fork, where the parent still owns what was queued."""
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._hurried = False
        self._making_s = self._row_s = 0.0
        """Seconds that the latest batch took, and that a row took in the latest ones."""
        self._counting = threading.RLock()  # in a child anew: the thread of the parent may have held it
        self._starting = threading.Lock()
        self.io = threading.Lock()  # held while this process is inside SQLite, so that no fork happens there
        self._thread: threading.Thread | None = None
        self._warm = threading.Event()
        self._store: Store | None = None
        self._held = 0
        """Bytes of the items that wait to be made into rows."""
        self._made: list[Finished] = []
        """Rows that wait to be committed."""
        self._made_bytes = 0
        self._outlines = Outlines(self.path)
        self._behind: list[Waiting] = []
        """What was put for the rows that are made, and for those that there will not be."""
        self._mark: Mark | None = None
        """Up to where the rows that are made settle the outlines."""
        self._spill: Spill | None = None
        self._orphans: list[Spill] | None = None
        """Spill files of processes that have ended; None until somebody has looked."""
        self._retry_at: float | None = None
        """When the log is tried again; None while it can be written."""
        self._retry_s = _SHORTEST_RETRY_S
        self._failing_since = 0.0
        self._unusable = False
        """The file is none that rows may go into, now or later: another program's, or a newer version's."""
        self.inherited = False
        """Whether the log was open in the parent when this process was forked: then it cannot be opened here."""
        self._tending: Any = None
        self._closed = self._stopping = False
        self._written = self._dropped = self._failed = self._bodies_lost = 0
        self._unlogged: dict[str, int] = {}
        self._last_error = ""
        self._warned_at = -1e9

    # ── for callers ──

    def put(self, item: Row | Finished | Pending) -> None:
        """Enqueue a row or a promise of one; never blocks and never raises."""
        waiting = self._queue.qsize()
        if waiting >= self._max_queue or self._closed:
            self._drop("queue full" if not self._closed else "writer closed")
            return
        if self._thread is None and not self._start():
            self._drop("no thread")
            return
        size = held_bytes(item)
        if self._held + size > self.max_bytes * _HEAVY and (lighten := getattr(item, "lighten", None)) is not None:
            lighten()
            size = held_bytes(item)
        with self._counting:
            if fits := self._held + size <= self.max_bytes or not waiting:
                self._held += size
        if not fits:
            self._drop("queue full")
            return
        self._queue.put(self._outlines.expect(item))
        if waiting + 1 >= self._batch and not self._hurried:
            self._hurried = True
            self._wake.put(None)

    def warm(self, timeout: float = 0.0) -> bool:
        """Start the thread, which opens the log and loads what the first row needs; wait for it ``timeout`` seconds."""
        if self._thread is None and not self._closed:
            self._start()
        return self._warm.wait(timeout)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put before is committed; False if that took longer than ``timeout`` seconds.

        False also while the log cannot be written: the rows then wait in the spill file.
        """
        if self._thread is None:
            return True
        marker = _Marker(timeout)
        self._queue.put(marker)
        self._wake.put(None)
        return marker.done.wait(timeout) and not self._last_error

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, stop the thread and close the files; False if something was lost on the way.

        What the log cannot take by then waits in the spill file for whoever opens it next, and so do outlines of what
        ``timeout`` seconds did not suffice to make rows of; what those files cannot take either is counted as failed.
        A closed writer drops what it is given.
        """
        self._closed = True
        thread = self._thread
        if thread is None:
            return True
        lost = self._dropped + self._failed
        self._stopping = True
        self._queue.put(_Marker(timeout, stop=True))
        self._wake.put(None)
        thread.join(timeout)
        if thread.is_alive() and (left := self._outlines.keep()):
            self._lose(left, "not written in time at the end")
        lost = self._dropped + self._failed - lost
        if lost:
            _logger.warning("promptop: %d rows were lost at the end: %s", lost, self._last_error or "no time was left")
        return not thread.is_alive() and not lost

    @property
    def behind_s(self) -> float:
        """Seconds that making the rows of what waits would take, at the pace of the latest batches, or that the oldest
        has waited without even an outline, where that is more."""
        return max(self._queue.qsize() * self._row_s, self._outlines.behind_s)

    @property
    def stats(self) -> WriterStats:
        """Counts since this process began to write."""
        return WriterStats(
            written=self._written,
            dropped=self._dropped,
            failed=self._failed,
            queued=self._queue.qsize(),
            bodies_lost=self._bodies_lost,
            last_error=self._last_error,
        )

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ── any thread ──

    def _drop(self, cause: str) -> None:
        with self._counting:
            self._dropped += 1
            self._unlogged[cause] = self._unlogged.get(cause, 0) + 1

    def _start(self) -> bool:
        if not self._starting.acquire(blocking=False):
            return True  # another thread, or the code that this call interrupts, is at it
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="promptop-log", daemon=True)
                thread.start()
                self._thread = thread
                self._outlines.start()
                from promptop.log.write import lifecycle

                lifecycle.on_start(self)
        except RuntimeError:  # the interpreter is shutting down
            return False
        finally:
            self._starting.release()
        return True

    # ── the writer's thread ──

    def _run(self) -> None:
        from promptop.log.write.maintenance import Tending

        tending = Tending(self.path, rollups=self._rollups, keep_days=self._keep_days, max_mb=self._max_mb)
        self._tending = tending
        self._prepare(tending)
        while True:
            try:
                item = self._queue.get(timeout=self._wait_s(tending))
            except Empty:
                self._write()
                self._tend(tending)
                continue
            items, marker = self._gather(item)
            del item
            begun_s = time.monotonic()
            self._make(items)
            self._making_s = time.monotonic() - begun_s
            if items:
                self._row_s += (self._making_s / len(items) - self._row_s) * _NEWEST
            tending.note(len(items))
            del items  # this thread may sleep for hours now, and would hold what it has written
            if marker is not None:
                if marker.stop:
                    self._shut(tending, marker.until)
                else:
                    self._write_all(marker.until)
                marker.done.set()
                if marker.stop:
                    return
            elif not self._stopping and self._queue.qsize() < self._batch:
                self._tend(tending)

    def _prepare(self, tending: Any) -> None:
        """Open the log and load what the first row needs, so that it does not wait for that in the queue."""
        try:
            with self.io:
                self._open(_PATIENCE_S)
                tending.open()
        except _FAILURES as error:
            self._last_error = files.explain(self.path, error).cause  # told when there is a row to write
            with self.io:
                self._let_go()
        from promptop.log.write import lifecycle

        for load in list(lifecycle.before_first):
            try:
                load()
            except Exception as error:
                _logger.debug("promptop could not be warmed", exc_info=error)
        self._warm.set()
        for start in list(lifecycle.beside):
            try:
                start(self)
            except Exception as error:  # noqa: BLE001 - the boundary: what goes on beside the log never holds it up
                self._warn(f"the log is not shipped: {type(error).__name__}: {error}")

    def _wait_s(self, tending: Any) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        due: float | None = tending.wait_s()
        if self._retry_at is not None and (self._made or self._spilled()):
            until = max(0.0, self._retry_at - time.monotonic())
            due = until if due is None else min(due, until)
        elif self._spilled():
            due = 0.0
        return due

    def _make(self, items: list[Waiting]) -> None:
        """Make rows of items and write them, in slices, so that the first does not wait for the last."""
        since = begun = paused = time.monotonic()
        for waiting in items:
            item = waiting.item
            size = held_bytes(item)
            done = self._finish(item)
            self._behind.append(waiting)
            now = time.monotonic()
            if now - paused > _TURN_S and now - begun < _LATE_S:
                # Reading a stream for its row takes up to a millisecond of the interpreter, and a host that waits for
                # it gets it only after five. Letting go between rows took a cache hit's p99 from 5.8 to 1 ms.
                time.sleep(0)
                paused = now = time.monotonic()
            with self._counting:
                self._held -= size
            if done is not None:
                waiting.item = done
                self._made.append(done)
                self._made_bytes += held_bytes(done)
            if self._made and now - since > _SLICE_S:
                self._write()
                since = time.monotonic()
        self._write()

    def _gather(self, item: Any) -> tuple[list[Waiting], _Marker | None]:
        """Return a batch that starts with ``item``, and the marker that ended it, if one did."""
        if isinstance(item, _Marker):
            return [], item
        if self._queue.qsize() < self._batch - 1:
            with contextlib.suppress(Empty):
                self._wake.get(timeout=max(_SHORTEST_LINGER_S, self._linger_s - self._making_s))
        self._hurried = False
        items = [item]
        for _ in range(self._batch - 1):
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, _Marker):
                return items, item
            items.append(item)
        return items, None

    def _finish(self, item: Row | Finished | Pending) -> Finished | None:
        try:
            if isinstance(item, Row):
                finished: Finished | None = Finished(item)
            else:
                finished = item if isinstance(item, Finished) else item.finish()
            if finished is None:
                return None
            started = finished.row.started_ms
            if started is None or not 0 <= started <= 200_000_000_000_000:
                finished.row.started_ms = time.time_ns() // 1_000_000
        except Exception as error:  # noqa: BLE001 - the boundary: a fault in a promise costs its row, never the thread
            self._lose(1, f"row not made ({type(error).__name__})")
            self._warn(f"a row could not be made: {type(error).__name__}: {error}")
            return None
        try:
            price_row(finished.row)
        except Exception as error:  # noqa: BLE001 - a fault in the price table leaves the row unpriced, which is shown
            self._warn(f"a row could not be priced: {type(error).__name__}: {error}")
        return finished

    def _write(self, *, patience_s: float | None = None) -> None:
        """Commit the rows that are made, or set them aside while the log cannot be written.

        With ``patience_s`` the log is tried now, else when it is time.
        """
        if self._behind:
            self._mark = self._outlines.claim(self._behind) or self._mark
            self._behind.clear()
        if not self._made and not self._spilled():
            return
        if patience_s is None and self._retry_at is not None and time.monotonic() < self._retry_at:
            if not self._unusable:
                self._set_aside()
            self._bound()
            return
        try:
            with self.io:
                self._open(patience_s or (_PATIENCE_S if self._retry_at is None else _HURRIED_S))
                if self._read_back() and self._made:
                    self._commit(self._made)
                    self._clear()
                self._set_aside()  # what is left goes behind those that came before
        except _FAILURES as error:
            locked = "locked" in str(error).lower()
            if not locked:
                with self.io:
                    self._let_go()
            self._last_error = files.explain(self.path, error).cause
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(self._retry_s * 2, _LOCKED_RETRY_S if locked else _LONGEST_RETRY_S)
            now_s = time.monotonic()
            self._failing_since = self._failing_since or now_s
            self._unusable = not self.inherited and (_is_unusable(error) or self.path.is_dir())
            if not self._unusable:
                self._set_aside()
            self._bound()
            if locked and now_s - self._failing_since < _LOCKED_S:
                return  # others write, too
            waiting = f"{len(self._made)} rows wait" if self._made else "new rows wait in a file beside it"
            self._warn(f"the request log cannot be written, {waiting}: {self._last_error}")
        except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours costs a batch, never the thread
            self._lose(len(self._made), f"fault of the writer ({type(error).__name__})")
            self._warn(f"{len(self._made)} rows were lost by a fault of the writer: {type(error).__name__}: {error}")
            self._clear()
        else:
            self._is_well()

    def _is_well(self) -> None:
        self._last_error = ""
        self._retry_at, self._retry_s = None, _SHORTEST_RETRY_S
        self._failing_since = 0.0

    def _write_all(self, until: float) -> None:
        """Write everything that waits, here and beside the log; try until then where the log cannot be written."""
        while self._made or self._spilled():
            left = until - time.monotonic()
            self._write(patience_s=max(_HURRIED_S, min(left, _FLUSH_PATIENCE_S)))
            if self._retry_at is not None:
                if self._unusable or self.inherited or time.monotonic() >= until:
                    return
                time.sleep(min(self._retry_s, max(0.0, until - time.monotonic())))
        if not self._unusable:
            self._is_well()  # a lock may have come between the last row and the end of its spill file

    def _clear(self) -> None:
        self._made.clear()
        self._made_bytes = 0

    def _open(self, timeout_s: float) -> Store:
        if self.inherited:
            raise PromptopError(
                "It was open in this process's parent when this process was forked.",
                "The rows wait in a file beside it, which the next process that opens it reads.",
            )
        store = self._store
        if store is None or store.replaced():
            self._let_go()
            store = self._store = Store(self.path, timeout_s=timeout_s)
        store.wait(timeout_s)
        if self._orphans is None:
            self._orphans = list(orphans(self.path))
        return store

    # ── rows that wait beside the log ──

    def _spilled(self) -> bool:
        return bool(self._orphans) or (self._spill is not None and self._spill.left)

    def _read_back(self) -> bool:
        """Move rows from the spill files into the log for a moment; return whether nothing is left there."""
        store = self._store
        assert store is not None
        until = time.monotonic() + _SLICE_S
        while self._spilled():
            spill = self._orphans[0] if self._orphans else self._spill
            assert spill is not None
            kept = store.read_back(spill, self._batch, _priced_values)
            self._written += len(kept)
            self._keep_bodies(store, [(row_id, one) for row_id, one in kept if one.request_body or one.response_body])
            if not spill.left:
                if self._orphans:
                    del self._orphans[0]
                else:
                    self._spill = None
            elif not kept:
                return False
            if time.monotonic() > until:
                return not self._spilled()
        return True

    def _set_aside(self) -> None:
        """Move the rows that are made into the spill file; they stay in memory if that cannot be written either."""
        if not self._made:
            return
        try:
            if self._spill is None:
                self._spill = Spill(self.path)
            self._bodies_lost += self._spill.add(self._made, self.bodies, self._mark)
        except OSError:
            self._bound()
        else:
            self._mark = None
            self._clear()

    def _bound(self) -> None:
        """Drop what is more than memory may hold, the latest first: the log stays a beginning without holes."""
        while self._made and self._made_bytes > self.max_bytes:
            self._made_bytes -= held_bytes(self._made.pop())
            self._drop("queue full")

    def _commit(self, batch: list[Finished]) -> None:
        store = self._store
        assert store is not None
        with self._counting:
            losses = dict(self._unlogged)
        rows = [_values(finished.row) for finished in batch]
        mark = self._mark
        last, refused = store.insert(rows, losses, mark)
        if mark is not None:
            self._mark = None
            if (outlines := self._outlines.settled(mark)) is not None:
                store.remove(outlines)
        if losses:
            with self._counting:
                for cause, count in losses.items():
                    self._unlogged[cause] -= count
                    if not self._unlogged[cause]:
                        del self._unlogged[cause]
        if refused:
            self._lose(len(refused), "row refused by SQLite")
            batch = [finished for index, finished in enumerate(batch) if index not in refused]
        self._written += len(batch)
        first = last - len(batch) + 1
        self._keep_bodies(store, [(first + n, f) for n, f in enumerate(batch) if (f.bodies or self.bodies) != "off"])

    def _keep_bodies(self, store: Store, kept: list[tuple[int, Finished]]) -> None:
        if kept:
            try:
                store.insert_bodies(kept, self.bodies, self._redact)
            except Exception as error:  # noqa: BLE001 - the rows are committed; a body is not worth writing them twice
                self._bodies_lost += len(kept)
                self._warn(f"the bodies of {len(kept)} rows were not kept: {type(error).__name__}: {error}")

    def _tend(self, tending: Any) -> None:
        try:
            tending.run(self.io, stop=lambda: self._stopping or self._queue.qsize() >= self._batch)
        except Exception as error:  # noqa: BLE001 - derived data and limits wait for the next time; rows go first
            self._warn(f"rollups or retention wait: {files.explain(self.path, error).cause}")

    def _shut(self, tending: Any, until: float) -> None:
        while True:  # what was put between the marker and now
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, _Marker):
                item.done.set()
            else:
                self._make([item])
        self._write_all(min(until, time.monotonic() + _FLUSH_PATIENCE_S))  # rows beside the log are safe there
        if self._made:
            self._lose(len(self._made), self._last_error or "not written in time at the end")
            self._clear()
        with self.io:
            tending.close()
            outlines = self._outlines.close()
            if outlines is not None:
                if self._store is None and not self._last_error:  # let go for a fork, and no row came since
                    with contextlib.suppress(*_FAILURES):
                        self._open(_PATIENCE_S)
                if self._store is not None:
                    self._store.remove(outlines)
                else:
                    outlines.close()
            self._let_go()
            for spill in (self._spill, *(self._orphans or ())):
                if spill is not None:
                    spill.close()
            self._spill, self._orphans = None, []

    def let_go(self) -> None:
        """Close the files for a fork, holding ``io``; the next row opens them again."""
        self._let_go()
        if self._tending is not None:
            self._tending.let_go()

    def _let_go(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _lose(self, count: int, cause: str) -> None:
        with self._counting:
            self._failed += count
            self._unlogged[cause] = self._unlogged.get(cause, 0) + count

    def _warn(self, message: str) -> None:
        """Warn at most every ten seconds: a broken log must not flood the host's."""
        now = time.monotonic()
        if now - self._warned_at >= 10:
            self._warned_at = now
            _logger.warning("promptop: %s", message)


def _priced_values(row: Row) -> tuple[Any, ...]:
    """Return the values of a row from beside the log, which an outline was too early to price."""
    with contextlib.suppress(Exception):  # unpriced then, which is shown
        price_row(row)
    return _values(row)


def _is_unusable(error: BaseException) -> bool:
    """Say whether waiting will not help: the file is another program's, a newer version's, or no SQLite file."""
    return isinstance(error, PromptopError) or (
        isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    )
