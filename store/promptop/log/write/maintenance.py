"""What the writer's thread does when it is idle: fold new rows into the rollups, prune what is too old or too much."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

FOLD_EVERY_S = 5.0
"""Rows wait this long for their fold: until then readers take them as rows, which costs 10 µs each."""
PRUNE_EVERY_S = 3600.0
_PORTION = 500
"""Rows of one fold: some 10 ms, between which rows that arrive go first."""


class Tending:
    """Rollups and retention of one log, in small steps that stop as soon as rows arrive."""

    def __init__(self, path: Path, *, rollups: bool, keep_days: int | None, max_mb: int | None) -> None:
        self._path = path
        self._rollups, self._keep_days, self._max_mb = rollups, keep_days, max_mb
        self._limited = keep_days != 0 or max_mb != 0
        self._fold_due_s: float | None = None
        # Not at once, so that short-lived programs never prune; and not all processes of a service at the same time.
        self._prune_due_s = time.monotonic() + 60 + os.getpid() % 60
        self._open: object = None

    def note(self, rows: int) -> None:
        """Learn that rows were written."""
        if rows and self._rollups and self._fold_due_s is None:
            self._fold_due_s = time.monotonic() + FOLD_EVERY_S

    def wait_s(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        due = self._fold_due_s
        if self._limited:
            due = self._prune_due_s if due is None else min(due, self._prune_due_s)
        return None if due is None else max(0.0, due - time.monotonic())

    def run(self, io: threading.Lock, stop: Callable[[], bool]) -> None:
        """Do what is due, holding ``io`` while inside SQLite, until done or until ``stop()``."""
        now = time.monotonic()
        if self._fold_due_s is not None and now >= self._fold_due_s:
            self._fold_due_s = now + FOLD_EVERY_S
            if self._fold(io, stop):
                self._fold_due_s = None
        if self._limited and now >= self._prune_due_s:
            self._prune_due_s = now + PRUNE_EVERY_S
            self._prune(io, stop)

    def open(self) -> None:
        """Open the rollups, so that the first fold finds them so."""
        if self._rollups:
            from promptop.log.rollups.rollups import Rollups

            if not isinstance(self._open, Rollups):
                self._open = Rollups(self._path, timeout_s=0.2)

    def close(self) -> None:
        """Close what is open."""
        from promptop.log.rollups.rollups import Rollups

        if isinstance(self._open, Rollups):
            self._open.close()
        self._open = None

    def let_go(self) -> None:
        """Close the files; the next fold opens them again."""
        from promptop.log.rollups.rollups import Rollups

        if isinstance(self._open, Rollups):
            self._open.close()

    def _fold(self, io: threading.Lock, stop: Callable[[], bool]) -> bool:
        """Fold; True if nothing is left."""
        from promptop.log.rollups.rollups import Rollups

        rollups = self._open
        if not isinstance(rollups, Rollups):
            rollups = self._open = Rollups(self._path, timeout_s=0.2)
        while not stop():
            with io:
                count = rollups.fold(_PORTION)
            if count is None:
                return False
            if count < _PORTION:
                return True
        return False

    def _prune(self, io: threading.Lock, stop: Callable[[], bool]) -> None:
        from promptop.log.rollups.rollups import Rollups
        from promptop.log.write.retention import prune

        def pause() -> bool:
            io.release()  # a fork may happen between two transactions, not inside one
            io.acquire()
            return stop()

        keep_days, max_mb = self._keep_days, self._max_mb
        if keep_days is None or max_mb is None:
            from promptop import settings  # not at the start: hosts need no settings to write a log

            limits = settings.load().log
            keep_days = limits.keep_days if keep_days is None else keep_days
            max_mb = limits.max_mb if max_mb is None else max_mb
        with io:
            prune(self._path, keep_days=keep_days, max_bytes=max_mb * 1_000_000, stop=pause)
            if self._rollups:
                with Rollups(self._path) as rollups:
                    rollups.prune()
