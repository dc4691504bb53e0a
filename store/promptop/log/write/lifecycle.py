"""What a process owes its writers: one per log, alone in each forked child, flushed when it ends.

Handlers are added, never taken: a signal is handled here only while its action is the default one, and then repeats
with the default action, so that the parent process sees the same exit status as without promptop.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base.sqlite import open_here

if TYPE_CHECKING:
    import sqlite3

    from promptop.log.write.pending import Bodies
    from promptop.log.write.writer import Writer

EXIT_FLUSH_S = 2.0
"""How long the end of a process may be delayed to write what is queued, seconds."""
_FORK_WAIT_S = 0.5

_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_by_path: dict[Path, Writer] = {}
_creating = threading.Lock()
_held: list[Writer] = []
_leaked: list[Any] = []
_hooked = False


def writer_for(path: str | os.PathLike[str] | None = None, *, bodies: Bodies | None = None) -> Writer:
    """Return this process's writer of a log, created at the first call with ``bodies`` and the settings' limits.

    ``path`` is the settings' log if not given; bodies are then kept as the settings say, else not at all.
    """
    from promptop import settings
    from promptop.log.write.writer import Writer

    mode: Any = bodies or "off"
    loaded = settings.load() if path is None else None
    if loaded is not None:
        mode = bodies or loaded.log.bodies
        path = loaded.log_path()
    assert path is not None
    path = Path(path).absolute()
    with _creating:
        writer = _by_path.get(path)
        if writer is None or writer._closed:
            limits = (loaded or settings.load()).log
            writer = _by_path[path] = Writer(
                path, bodies=mode, max_bytes=max(1, limits.queue_mb) << 20, keep_days=None, max_mb=None
            )
        return writer


def register(writer: Writer) -> None:
    """Remember a writer, so that forks and the end of the process take care of it."""
    global _hooked  # noqa: PLW0603
    _writers.add(writer)
    if not _hooked:
        _hooked = True
        atexit.register(flush_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
    _hook_signals()


def _hook_signals() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in _ending_signals():
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _on_signal)


def on_start(writer: Writer) -> None:
    """Hook the ends that atexit does not see: default signals, and children of multiprocessing, which skip atexit."""
    _hook_signals()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None and getattr(sys.modules.get("multiprocessing.process"), "parent_process", None):
        process = sys.modules["multiprocessing.process"]
        if process.parent_process() is not None:
            multiprocessing.Finalize(writer, flush_all, exitpriority=1)


before_first: list[Callable[[], None]] = []
"""Called on a writer's thread when it starts: whoever makes rows loads what the first one needs."""

beside: list[Callable[[Writer], None]] = []
"""Called on a writer's thread when it is ready, in each process: what goes on beside it, such as shipping its log."""

before_end: list[Callable[[], None]] = []
"""Called before the last flush, at exit and on a signal: whoever has rows to put yet (calls under way) puts them."""

after_end: list[Callable[[], None]] = []
"""Called after it: whoever passes the last rows on."""


def flush_all() -> None:
    """Write what every writer of this process has queued, in :data:`EXIT_FLUSH_S` seconds at most."""
    for put in before_end:
        put()
    for writer in list(_writers):
        writer.close(EXIT_FLUSH_S) if not writer._closed else None
    for end in after_end:
        end()


def _ending_signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _on_signal(number: int, _frame: object) -> None:
    for put in before_end:
        put()
    for writer in list(_writers):
        writer.flush(EXIT_FLUSH_S)
    for end in after_end:
        end()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _before_fork() -> None:
    # A child forked while the writer's thread is inside SQLite would inherit SQLite's own mutexes locked for good. And
    # SQLite knows files by their inode and process: what is open now would be taken for open in the child, without the
    # locks that only the parent has. When the parent ended, the child and others wrote over one another.
    for writer in list(_writers):
        if writer.io.acquire(timeout=_FORK_WAIT_S):
            _held.append(writer)
            writer.let_go()


def _after_in_parent() -> None:
    while _held:
        _held.pop().io.release()


def _after_in_child() -> None:
    global _creating  # noqa: PLW0603
    _held.clear()
    _creating = threading.Lock()
    for writer in list(_writers):
        # A reader of the host, or a writer that was busy for half a second: closed here they would take the log from
        # whoever writes it, so they stay open for good.
        left = open_here(writer.path)
        for connection in left:
            _keep(connection)
        writer._outlines.forget()
        for spill in (writer._spill, *(writer._orphans or ())):
            if spill is not None:
                spill.close()  # the parent holds it still
        writer._reset()
        writer.inherited = bool(left)


def _keep(connection: sqlite3.Connection) -> None:
    """Keep an inherited connection from being closed, also when the interpreter ends."""
    _leaked.append(connection)
    with contextlib.suppress(ImportError):
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
