"""Helpers for tests that start processes."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import psutil


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a process; kill it if the block ends before it does, so that a failed check does not hang."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has ended too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def children(module: str) -> set[int]:
    """Return the children of this process that run a module; what another test left dead is none."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if module in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
