"""The writer: callers enqueue, one thread per process commits batches; nothing here blocks or breaks a call.

- :meth:`Writer.put` appends to a bounded queue (about 0.5 µs); a full queue drops the item and counts it.
- A batch is committed at 500 rows or 50 ms, whichever comes first, in a transaction that is ``IMMEDIATE``: a deferred
  one that reads before it writes fails under contention whatever the busy timeout is (measured: 96 %).
- What cannot be written is kept and tried again while the queue has room; what is lost in the end is counted, warned
  of through :mod:`logging`, and written into the table ``losses`` as soon as the log can be written.
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
from promptop.log.write.pending import Bodies, Finished, Pending
from promptop.log.write.row_pricing import price_row

_values = attrgetter(*COLUMNS)
_PRESSING = 2_000
"""Queued items from which the host is no longer let through between rows: it makes them faster than they are read."""
_SHORTEST_RETRY_S, _LONGEST_RETRY_S = 0.25, 30.0
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

    __slots__ = ("done", "stop")

    def __init__(self, *, stop: bool = False) -> None:
        self.done = threading.Event()
        self.stop = stop


class Writer:
    """Appends rows to the log at ``path`` from any thread of this process; see :func:`promptop.log.writer_for`.

    ``bodies`` is what is kept of prompts and answers where an item does not say; ``redact`` takes and returns text and
    is asked in mode ``redacted``. ``rollups`` and retention (``keep_days``, ``max_mb``; 0 is no limit, None what the
    settings say by then) are tended on the same thread when it is idle.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        bodies: Bodies = "off",
        redact: Callable[[str], str] | None = None,
        max_queue: int = 10_000,
        batch: int = 500,
        linger_s: float = 0.05,
        rollups: bool = True,
        keep_days: int | None = 90,
        max_mb: int | None = 2048,
    ) -> None:
        self.path = Path(path)
        self.bodies: Bodies = bodies
        self._redact = redact
        self._max_queue, self._batch, self._linger_s = max_queue, batch, linger_s
        self._rollups, self._keep_days, self._max_mb = rollups, keep_days, max_mb
        self._counting = threading.RLock()
        self._reset()
        from promptop.log.write import lifecycle

        lifecycle.register(self)

    def _reset(self) -> None:
        """Start with nothing: at first, and in the child of a fork, where the parent still owns what was queued."""
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._hurried = False
        self._starting = threading.Lock()
        self.io = threading.Lock()  # held while this process is inside SQLite, so that no fork happens there
        self._thread: threading.Thread | None = None
        self._store: Store | None = None
        self._closed = self._stopping = False
        self._written = self._dropped = self._failed = self._bodies_lost = 0
        self._unlogged: dict[str, int] = {}
        self._last_error = ""
        self._warned_at = -1e9

    # ── for callers ──

    def put(self, item: Row | Finished | Pending) -> None:
        """Enqueue a row or a promise of one; never blocks and never raises."""
        size = self._queue.qsize()
        if size >= self._max_queue or self._closed:
            self._drop("queue full" if not self._closed else "writer closed")
            return
        if self._thread is None and not self._start():
            self._drop("no thread")
            return
        self._queue.put(item)
        if size + 1 >= self._batch and not self._hurried:
            self._hurried = True
            self._wake.put(None)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put before is committed; False if that took longer than ``timeout`` seconds."""
        if self._thread is None:
            return True
        marker = _Marker()
        self._queue.put(marker)
        self._wake.put(None)
        return marker.done.wait(timeout) and not self._last_error

    def close(self, timeout: float = 5.0) -> bool:
        """Write what is queued, stop the thread and close the files; False if something was lost on the way.

        What cannot be written in ``timeout`` seconds is counted as failed. A closed writer drops what it is given.
        """
        self._closed = True
        thread = self._thread
        if thread is None:
            return True
        lost = self._dropped + self._failed
        self._stopping = True
        self._queue.put(_Marker(stop=True))
        self._wake.put(None)
        thread.join(timeout)
        if thread.is_alive() and (left := self._queue.qsize() - 1) > 0:
            self._lose(left, "not written in time at the end")
        lost = self._dropped + self._failed - lost
        if lost:
            _logger.warning("promptop: %d rows were lost at the end: %s", lost, self._last_error or "no time was left")
        return not thread.is_alive() and not lost

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
        while True:
            try:
                item = self._queue.get(timeout=tending.wait_s())
            except Empty:
                self._tend(tending)
                continue
            items, marker = self._gather(item)
            if items:
                self._write([done for one in items if (done := self._finish(one))])
            tending.note(len(items))
            del item, items  # this thread may sleep for hours now, and would hold what it has written
            if marker is not None:
                if marker.stop:
                    self._shut(tending)
                marker.done.set()
                if marker.stop:
                    return
            elif not self._stopping and self._queue.qsize() < self._batch:
                self._tend(tending)

    def _gather(self, item: Any) -> tuple[list[Any], _Marker | None]:
        """Return a batch that starts with ``item``, and the marker that ended it, if one did."""
        if isinstance(item, _Marker):
            return [], item
        if self._queue.qsize() < self._batch - 1:
            with contextlib.suppress(Empty):
                self._wake.get(timeout=self._linger_s)
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
                if self._queue.qsize() < _PRESSING:
                    # Reading a stream for its row takes up to a millisecond of the interpreter, and a host that waits
                    # for it gets it only after five. Letting go between rows took a cache hit's p99 from 5.8 to 1 ms.
                    time.sleep(0)
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

    def _write(self, batch: list[Finished]) -> None:
        """Commit a batch, trying again until it works or the process ends."""
        wait = _SHORTEST_RETRY_S
        while batch:
            try:
                with self.io:
                    self._commit(batch)
            except _FAILURES as error:
                with self.io:
                    self._let_go()
                self._last_error = files.explain(self.path, error).cause
                if self._stopping:
                    self._lose(len(batch), self._last_error)
                    return
                self._warn(f"the request log cannot be written, {len(batch)} rows wait: {self._last_error}")
                with contextlib.suppress(Empty):
                    self._wake.get(timeout=wait)
                wait = min(wait * 2, _LONGEST_RETRY_S)
            except Exception as error:  # noqa: BLE001 - the boundary: a fault of ours costs a batch, never the thread
                self._lose(len(batch), f"fault of the writer ({type(error).__name__})")
                self._warn(f"{len(batch)} rows were lost by a fault of the writer: {type(error).__name__}: {error}")
                return
            else:
                self._last_error = ""
                return

    def _commit(self, batch: list[Finished]) -> None:
        store = self._store
        if store is None or store.replaced():
            self._let_go()
            store = self._store = Store(self.path)
        with self._counting:
            losses = dict(self._unlogged)
        rows = [_values(finished.row) for finished in batch]
        last, refused = store.insert(rows, losses)
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
        kept = [(first + n, f) for n, f in enumerate(batch) if (f.bodies or self.bodies) != "off"]
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

    def _shut(self, tending: Any) -> None:
        while True:  # what was put between the marker and now
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(item, _Marker):
                item.done.set()
            elif finished := self._finish(item):
                self._write([finished])
        with self.io:
            tending.close()
            self._let_go()

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
