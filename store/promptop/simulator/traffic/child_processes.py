"""Processes of the demo that end with the one that started them.

A child's standard input is a pipe from its parent. The kernel closes it when the parent is gone, kill -9 included, and
the end of that pipe is the child's sign to end: nothing is polled, and it works wherever there are pipes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO

_PATIENCE_S = 5.0


def start_child(
    module: str, arguments: Sequence[str], *, stdout: int = subprocess.DEVNULL, stderr: BinaryIO | None = None
) -> subprocess.Popen[bytes]:
    """Run a module of this package in a process that ends with this one; its errors go to ``stderr`` or to ours.

    It has a session of its own, so that a Ctrl-C meant for the app does not reach it.
    """
    return subprocess.Popen(
        # -P: a file of the current folder that is named like a module of ours must not be run in its place.
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def stop_child(process: subprocess.Popen[bytes]) -> None:
    """Close the child's pipe and wait; make it end if it does not."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    for end in (process.terminate, process.kill):
        try:
            process.wait(_PATIENCE_S)
            break
        except subprocess.TimeoutExpired:
            end()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


class ParentWatch:
    """Notices on a thread that standard input is at its end: the parent closed it, or is no more."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Watch from now on; ``call`` is called once, on the thread, when the parent is gone."""
        self._call = call
        self._lock = threading.Lock()
        self._gone = False
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def then(self, call: Callable[[], None]) -> None:
        """Call this instead from now on; at once if the parent is gone already."""
        with self._lock:
            self._call = call
            if self._gone:
                call()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        with self._lock:
            self._gone = True
            self._call()


async def until_parent_is_gone(watch: ParentWatch | None = None) -> None:
    """Return when the parent is gone or the process is asked to end; ``watch`` is the watch of this process."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # the loop ended for another reason
            loop.call_soon_threadsafe(over.set)

    if watch is None:
        ParentWatch(end)
    else:
        watch.then(end)
    await over.wait()
