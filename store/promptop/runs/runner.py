"""Calls on a thread of their own: a screen that is busy drawing delays neither a stamp nor a token.

The thread owns an event loop and the HTTP clients in it. Callbacks are called on that thread; a screen hands what they
bring to its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.runs.call import OnDelta, failed, run
from promptop.runs.endpoints import Endpoints
from promptop.runs.request import RunRequest
from promptop.runs.result import Progress, RunError, RunResult

if TYPE_CHECKING:
    from promptop.log import Writer

OnDone = Callable[[RunResult], None]
CLOSE_S = 2.0
"""Seconds that closing waits for the connections; the thread is a daemon and cannot hold up the exit."""


class Runner:
    """Starts calls from any thread and closes their connections at the end."""

    def __init__(
        self,
        *,
        log: Path | Writer | None = None,
        app: str = "promptop",
        bodies: str | None = None,
        simulated: bool = False,
    ) -> None:
        """Keep the options of the logging transport; the thread starts with the first call."""
        self._options: dict[str, Any] = {"log": log, "app": app, "bodies": bodies, "simulated": simulated}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._endpoints: Endpoints | None = None
        self._running: set[Progress] = set()
        self._ready = threading.Event()

    def start(self, request: RunRequest, *, on_done: OnDone, on_delta: OnDelta | None = None) -> Progress:
        """Begin a call and return its progress at once; ``on_done`` gets the result."""
        progress = Progress()
        self._running.add(progress)
        self.submit(self._call(request, progress, on_delta, on_done))
        return progress

    def submit(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine on the thread's loop."""
        asyncio.run_coroutine_threadsafe(work, self._started())

    @property
    def endpoints(self) -> Endpoints:
        """The clients of the thread's loop; to be used on it only."""
        self._started()
        assert self._endpoints is not None
        return self._endpoints

    async def _call(self, request: RunRequest, progress: Progress, on_delta: OnDelta | None, on_done: OnDone) -> None:
        try:
            result = await run(request, self.endpoints, on_delta=on_delta, progress=progress)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: a defect of ours must show in the pane
            progress.state = "failed"
            result = failed(request, RunError("internal", f"promptop failed: {error!r}", "Please report it."))
        finally:
            self._running.discard(progress)
        on_done(result)

    def cancel_all(self) -> int:
        """Stop every call in progress and return how many there were."""
        running = [progress for progress in tuple(self._running) if not progress.over]
        for progress in running:
            progress.cancel()
        return len(running)

    def close(self) -> None:
        """Cancel what runs, close the connections, end the thread."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._ready.clear()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._main, args=(self._loop,), name="promptop-runs", daemon=True)
            self._thread.start()
            self._ready.wait()
        return self._loop

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        self._endpoints = Endpoints(**self._options)
        self._ready.set()
        try:
            loop.run_forever()
        finally:
            with contextlib.closing(loop):
                loop.run_until_complete(self._wind_up())

    async def _wind_up(self) -> None:
        here = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not here]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._endpoints is not None:
            await self._endpoints.aclose()
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.get_running_loop().shutdown_default_executor()
