"""Outlines of calls whose rows are late, so that they outlive ``kill -9``.

A row is made on the writer's thread, which on a busy machine may be late: the interpreter is with the host, modules and
prices are still being loaded. What has waited for :data:`_LATE_S` is written to a file beside the log as it can be told
without reading prompt or answer: when, where, how long, which model, the usage if the server said it at the end. The
transaction that writes the rows notes up to where the file is settled; from there on whoever opens the log next takes
the outlines for rows. Where rows are in time nothing is written. No prompt and no answer is in the file.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from promptop.log import files
from promptop.log.row import Row
from promptop.log.write.pending import Finished
from promptop.log.write.spill import Mark, Spill, line_of

_EVERY_S = 0.012
_LATE_S = 0.025
"""Seconds that an item waits for its row; the writer's own pause is 20 ms."""
_LARGE = 1 << 20
"""Bytes from which a settled file is begun anew."""


class Waiting:
    """An item on its way to the log."""

    __slots__ = ("begin", "claimed", "item", "since_s")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.since_s = time.monotonic()
        self.begin = 0
        """Where its outline begins in the file."""
        self.claimed = False
        """Its row is being written, or there will be none."""


class Outlines:
    """The outlines of one writer, written on a thread of their own that never waits for the log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._fresh: deque[Waiting] = deque()
        self._written: deque[Waiting] = deque()
        self._file: Spill | None = None
        self._pulse: SimpleQueue[None] = SimpleQueue()
        self._awake = self._stopped = False

    def start(self) -> None:
        """Start the thread; raises :class:`RuntimeError` while the interpreter shuts down."""
        threading.Thread(target=self._run, name="promptop-outlines", daemon=True).start()

    def expect(self, item: Any) -> Waiting:
        """Look after an item that was put; on the caller's thread, about 1 µs."""
        one = Waiting(item)
        self._fresh.append(one)
        if not self._awake:
            self._awake = True
            self._pulse.put(None)
        return one

    def claim(self, waiting: Sequence[Waiting]) -> Mark | None:
        """Write no outlines of what is written now; return up to where the file is settled with that, if it is."""
        with self._lock:
            for one in waiting:
                one.claimed = True
            while self._written and self._written[0].claimed:
                self._written.popleft()
            if self._file is None:
                return None
            return Mark(self._file.path.name, self._written[0].begin if self._written else self._file.size)

    def settled(self, mark: Mark) -> Spill | None:
        """Learn that a mark is committed; return the file if it is done with and large, to be removed."""
        with self._lock:
            file = self._file
            if file is None or file.path.name != mark.file or mark.place < file.size or file.size < _LARGE:
                return None
            self._file = None
            return file

    @property
    def behind_s(self) -> float:
        """Seconds that the oldest item has waited of which there is neither row nor outline; any thread."""
        try:
            return time.monotonic() - self._fresh[0].since_s
        except IndexError:
            return 0.0

    def keep(self) -> int:
        """Outline now all that waits, since its rows will not be made; return of how many there is no outline."""
        return self._write_late(0.0)

    def close(self) -> Spill | None:
        """End the thread; return the file if everything in it is settled, to be removed."""
        self._stopped = True
        self._pulse.put(None)
        with self._lock:
            file, self._file = self._file, None
            if file is not None and (self._written or any(not one.claimed for one in self._fresh)):
                file.close()
                return None
            return file

    def forget(self) -> None:
        """Let go of the file in the child of a fork: it is the parent's."""
        if self._file is not None:
            self._file.close()

    def _run(self) -> None:
        while True:
            self._pulse.get()
            while self._fresh and not self._stopped:
                time.sleep(_EVERY_S)
                self._write_late()
            if self._stopped:
                return
            self._awake = False
            if self._fresh:  # put between the last look and now
                self._pulse.put(None)

    def _write_late(self, late_s: float | None = None) -> int:
        """Outline what has waited for ``late_s`` seconds; return of how many of those there is no outline."""
        due_s = time.monotonic() - (_LATE_S if late_s is None else late_s)
        with self._lock:
            untold = 0
            late: list[Waiting] = []
            lines: list[bytes] = []
            while self._fresh and (self._fresh[0].claimed or self._fresh[0].since_s <= due_s):
                one = self._fresh.popleft()
                if one.claimed:
                    continue
                if (row := _outline(one.item)) is None:
                    untold += 1
                    continue
                late.append(one)
                lines.append(line_of(row))
            if not lines or self._stopped:
                return untold + len(lines)
            try:
                if self._file is None:
                    path = files.outlines_path(self._log, f"{os.getpid()}-{time.time_ns():x}")
                    self._file = Spill(self._log, path, create=True)
                begin = self._file.size
                self._file.append(lines)
            except OSError:  # the rows still come; without room nothing can be done for a kill
                return untold + len(lines)
            for one, line in zip(late, lines, strict=True):
                one.begin = begin
                begin += len(line)
            self._written.extend(late)
            return untold


def _outline(item: Any) -> Row | None:
    """Return what can be told of an item now; None where that is nothing."""
    if isinstance(item, Row):
        return item
    if isinstance(item, Finished):
        return item.row
    outline = getattr(item, "outline", None)
    try:
        found: Row | None = outline() if outline is not None else None
    except Exception:  # noqa: BLE001 - the writer may be at the same item: then its row is nearly there
        return None
    return found
