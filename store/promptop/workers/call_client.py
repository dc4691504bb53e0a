"""Calls for a screen, made in another process (:mod:`promptop.workers.call_worker`).

``on_delta`` and ``on_done`` are called on the reader's thread; a screen hands what they bring to its own. Nothing here
blocks its caller: starting the process and writing to it happen on a thread of the link.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.processes import Link
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunError, RunResult, failed
from promptop.client.spending import Gate
from promptop.settings import CacheSettings, Profile

OnDelta = Callable[[Delta], None]
OnDone = Callable[[RunResult], None]
OnModels = Callable[[tuple[str, ...]], object]
GONE = RunError("worker", "The process that makes the calls has ended.", "Run again: it is started anew.")


@dataclass(slots=True)
class _Running:
    request: RunRequest
    progress: CallProgress
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
        gate: Gate | None = None,
    ) -> None:
        """Keep the options of the logging transport and of the cache, and the gate; nothing is started yet."""
        self._options: dict[str, Any] = {
            "log": log,
            "app": app,
            "bodies": bodies,
            "simulated": simulated,
            "cache": cache,
            "gate": gate,
        }
        self._ids = itertools.count(1)
        self._running: dict[int, _Running] = {}
        self._asked: dict[int, OnModels] = {}
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._closed = False

    def warm(self) -> None:
        """Start the process and let it load the SDK (about a second), before the first call needs it."""
        with self._lock:
            self._open()

    def start(self, request: RunRequest, *, on_done: OnDone, on_delta: OnDelta | None = None) -> CallProgress:
        """Begin a call and return its progress at once; ``on_done`` gets the result."""
        identity, progress = next(self._ids), CallProgress()
        with self._lock:
            self._running[identity] = _Running(request, progress, on_done, on_delta)
            link = self._open()
            link.send(("start", identity, request))
        progress.attach(lambda: link.send(("cancel", identity)))
        return progress

    def list_models(self, profile: Profile, on_done: OnModels) -> None:
        """Ask an endpoint which models it has; ``on_done`` gets their names, none if it lists none or fails."""
        identity = next(self._ids)
        with self._lock:
            self._asked[identity] = on_done
            self._open().send(("models", identity, profile))

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
            self._asked.clear()
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _open(self) -> Link:
        """Return the way to the process, starting it if there is none; the lock is held."""
        if self._link is None:
            link = Link("promptop.workers.call_worker", on_frame=self._receive, on_end=lambda _: self._lost(link))
            link.send(("open", self._options))
            link.start()
            self._link = link
        return self._link

    def _receive(self, events: list[tuple[Any, ...]]) -> None:
        for event in events:
            self._take(*event)

    def _lost(self, link: Link) -> None:
        """Fail the calls of a process that has ended; the next call starts another one."""
        with self._lock:
            lost = [] if self._closed else list(self._running.values())
            asked = [] if self._closed else list(self._asked.values())
            self._asked.clear()
            if self._link is link:
                self._running.clear()
                self._link = None
        for on_models in asked:
            on_models(())
        for each in lost:
            each.progress.state = "failed"
            each.on_done(failed(each.request, GONE))

    def _take(self, kind: str, identity: int, *rest: Any) -> None:
        if kind == "models":
            with self._lock:
                asked = self._asked.pop(identity, None)
            if asked is not None:
                asked(*rest)
            return
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
