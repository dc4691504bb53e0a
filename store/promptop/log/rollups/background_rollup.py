"""Bringing rollups up to date in a process of its own, for readers of a log that no program is writing.

A writer folds its rows when it is idle; a log that was imported, copied or written without rollups has nobody who does.
Folding ten million rows takes minutes of Python: in a thread it would take the interpreter lock from a screen.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from promptop.base import processes
from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect_for_reading
from promptop.log.rollups.rollups import Rollups

WORTH_IT = 2_000
"""Rows above the mark from which a process is started; fewer are read as rows in a tenth of a second."""
_PORTION = 5_000


class Folding:
    """Folds what a log has above its mark, in a child process that ends by itself, or with :meth:`close`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start the child if there is enough to do and nobody at it; tell whether it runs. Never raises."""
        if self._child is not None and self._child.poll() is None:
            return True
        try:
            if not self._large():
                return False  # and no sidecar is made for the sake of looking
            with Rollups(self._log, timeout_s=0.1) as rollups:
                if rollups.lag() < WORTH_IT or rollups.busy():
                    return False
            self._child = processes.launch(
                "promptop.log.rollups.background_rollup", [str(self._log)], stdout=subprocess.DEVNULL
            )
        except (sqlite3.Error, OSError, PromptopError):
            return False  # a medium that cannot be written: windows are read from rows
        return True

    def _large(self) -> bool:
        with contextlib.closing(connect_for_reading(self._log)) as rows:
            return bool((rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0) >= WORTH_IT)

    def close(self) -> None:
        """End the child; the portion it is at is not lost, for it is not yet counted."""
        if self._child is not None:
            self._child.terminate()
            processes.stop(self._child)
            self._child = None

    def wait(self, timeout: float) -> None:
        """Wait for the child to end."""
        if self._child is not None:
            self._child.wait(timeout)


def main(log: Path) -> None:
    """Fold everything, with the least claim on the processor, and stop when the starting process is gone."""
    with contextlib.suppress(OSError):
        os.nice(10)
    alone = threading.Event()
    processes.ParentWatch(alone.set)
    with Rollups(log) as rollups:
        while rollups.fold(_PORTION) == _PORTION and not alone.is_set():
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
