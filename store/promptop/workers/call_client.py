"""Calls for a screen, made in another process (:mod:`.worker`) and brought here by two threads.

``on_delta`` and ``on_done`` are called on the reader's thread; a screen hands what they bring to its own. Nothing here
blocks its caller: starting the process and writing to it happen on the writer's thread.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base import framing, subprocesses
from promptop.client.request import RunRequest
from promptop.client.result import Delta, Progress, RunError, RunResult, failed
from promptop.settings import CacheSettings

OnDelta = Callable[[Delta], None]
OnDone = Callable[[RunResult], None]
CLOSE_S = 3.0
"""Seconds that closing waits for the process: it closes connections and flushes the log."""
GONE = RunError("worker", "The process that makes the calls has ended.", "Run again: it is started anew.")


@dataclass(slots=True)
class _Running:
    request: RunRequest
    progress: Progress
    on_done: OnDone
    on_delta: OnDelta | None


class Runner:
    """Starts calls from any thread; its process starts with :meth:`warm` or the first call."""

    def __init__(
        self,
        *,
        log: Path | None = None,
        app: str = "promptop",
        bodies: str | None = None,
        simulated: bool = False,
        cache: CacheSettings | None = None,
    ) -> None:
        """Keep the options of the logging transport and of the cache; nothing is started yet."""
        self._options: dict[str, Any] = {
            "log": log,
            "app": app,
            "bodies": bodies,
            "simulated": simulated,
            "cache": cache,
        }
        self._ids = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._lock = threading.Lock()
        self._outbox: queue.SimpleQueue[tuple[Any, ...] | None] | None = None
        self._threads: list[threading.Thread] = []
        self._closed = False

    def warm(self) -> None:
        """Start the process and let it load the SDK (about a second), before the first call needs it."""
        with self._lock:
            self._link()

    def start(self, request: RunRequest, *, on_done: OnDone, on_delta: OnDelta | None = None) -> Progress:
        """Begin a call and return its progress at once; ``on_done`` gets the result."""
        identity, progress = next(self._ids), Progress()
        with self._lock:
            self._running[identity] = _Running(request, progress, on_done, on_delta)
            outbox = self._link()
            outbox.put(("start", identity, request))
        progress.attach(lambda: outbox.put(("cancel", identity)))
        return progress

    def cancel_all(self) -> int:
        """Stop every call in progress and return how many there were."""
        with self._lock:
            running = [each.progress for each in self._running.values()]
        for progress in running:
            progress.cancel()
        return len(running)

    def close(self) -> None:
        """Cancel what runs, close the connections, end the process."""
        with self._lock:
            self._closed = True
            self._running.clear()
            outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.put(None)
        for thread in self._threads:
            thread.join(CLOSE_S + 1)

    # The process and its two threads

    def _link(self) -> queue.SimpleQueue[tuple[Any, ...] | None]:
        """Return the way to the process, starting it if there is none; the lock is held."""
        if self._outbox is None:
            self._outbox = queue.SimpleQueue()
            self._outbox.put(("open", self._options))
            writer = threading.Thread(target=self._write, args=(self._outbox,), name="runs-writer", daemon=True)
            self._threads = [thread for thread in self._threads if thread.is_alive()] + [writer]
            writer.start()
        return self._outbox

    def _write(self, outbox: queue.SimpleQueue[tuple[Any, ...] | None]) -> None:
        with subprocesses.start("promptop.workers.call_worker") as process:
            assert process.stdin is not None
            reader = threading.Thread(target=self._read, args=(process, outbox), name="runs-reader", daemon=True)
            reader.start()
            with contextlib.suppress(OSError, ValueError):  # the process is gone: the reader sees to it
                while (frame := outbox.get()) is not None:
                    framing.send(process.stdin, frame)
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(CLOSE_S)

    def _read(self, process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[tuple[Any, ...] | None]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(EOFError, OSError):
            while True:
                for event in framing.receive(process.stdout):
                    self._take(*event)
        with self._lock:
            lost = [] if self._closed else list(self._running.values())
            if self._outbox is outbox:
                self._running.clear()
                self._outbox = None
        outbox.put(None)
        for each in lost:
            each.progress.state = "failed"
            each.on_done(failed(each.request, GONE))

    def _take(self, kind: str, identity: int, *rest: Any) -> None:
        with self._lock:
            running = self._running.pop(identity, None) if kind == "done" else self._running.get(identity)
        if running is None:
            return
        if kind == "done":
            running.progress.state = rest[0].state
            running.on_done(rest[0])
        elif kind == "progress":
            running.progress.take(rest[0])
        elif running.on_delta is not None:
            running.on_delta(Delta(*rest))
