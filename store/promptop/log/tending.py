"""What the writer's thread does when it is idle: fold new rows into the rollups, prune what is too old or too much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path


class Tending:
    """Rollups and retention of one log, in small steps that stop as soon as rows arrive."""

    def __init__(self, path: Path, *, rollups: bool, keep_days: int, max_mb: int) -> None:
        self._path = path
        self._rollups, self._keep_days, self._max_mb = rollups, keep_days, max_mb
        self._due_s: float | None = None

    def note(self, rows: int) -> None:
        """Learn that rows were written."""

    def wait_s(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        return None

    def run(self, io: threading.Lock, stop: Callable[[], bool]) -> None:
        """Do what is due, holding ``io`` while inside SQLite, until done or until ``stop()``."""
        _ = io, stop, time

    def close(self) -> None:
        """Close what is open."""
