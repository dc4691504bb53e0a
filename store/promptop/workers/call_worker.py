"""The process that makes the calls of a screen, so that drawing delays neither a token nor its stamp.

In one process they would share the interpreter's lock: under eight streaming panes the first token was then stamped
40 to 350 ms late, at the median, against the server's clock (tests/benchmarks/playground_busy.py), and loading the SDK
would stop the screen for most of a second. Here only sockets, the SDK and the log share it.

Frames in: ``("open", options)``, ``("start", id, request)``, ``("cancel", id)``. Frames out: lists of
``("delta", id, kind, text)``, ``("progress", id, snapshot)`` and ``("done", id, result)``, sent together every 20 ms.
It ends when its input does, after closing connections and flushing the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from promptop.base import processes
from promptop.base.errors import PromptopError
from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints, load_client
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunError, failed
from promptop.settings import Profile

GATHER_S = 0.02
"""Seconds that pieces are gathered before they are sent on: the screen draws a frame every 100 ms."""
CLOSE_S = 2.0


class Outbox:
    """Sends gathered events on a thread of its own, so that a screen that reads late holds up no socket."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._events: list[tuple[Any, ...]] = []
        self._running: dict[int, tuple[CallProgress, dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._broken = False
        self._tell_broken: Callable[[], object] = bool
        self._thread = threading.Thread(target=self._main, name="outbox", daemon=True)
        self._thread.start()

    def when_broken(self, call: Callable[[], object]) -> None:
        """Call this, from any thread, if nothing can be sent any more: a screen would wait without end."""
        with self._lock:
            self._tell_broken = call
            broken = self._broken
        if broken:
            call()

    def put(self, event: tuple[Any, ...]) -> None:
        """Take an event; never blocks for longer than a list takes to grow."""
        with self._lock:
            self._events.append(event)
        self._wake.set()

    def follow(self, identity: int, progress: CallProgress) -> None:
        """Send snapshots of a call's progress whenever it has changed, until :meth:`leave`."""
        with self._lock:
            self._running[identity] = (progress, {})
        self._wake.set()

    def leave(self, identity: int) -> None:
        """Stop following a call; what was not sent of its progress goes before whatever is put next."""
        with self._lock:
            progress, before = self._running.pop(identity)
            if (now := progress.snapshot()) != before:
                self._events.append(("progress", identity, now))

    def close(self) -> None:
        """Send what is left and end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_S)

    def _main(self) -> None:
        try:
            self._send_all()
        except Exception:  # noqa: BLE001 - whatever it was, the process ends, and the screen is told so
            traceback.print_exc()
        if not self._closing.is_set():
            with self._lock:
                self._broken = True
                tell = self._tell_broken
            tell()

    def _send_all(self) -> None:
        while not self._closing.is_set():
            # While calls run their progress is looked at each time; otherwise this thread sleeps.
            self._wake.wait(None if not self._running else GATHER_S)
            self._wake.clear()
            self._closing.wait(GATHER_S)
            if not self._flush():
                return
        self._flush()

    def _flush(self) -> bool:
        with self._lock:
            pieces, self._events = self._events, []
            events: list[tuple[Any, ...]] = []
            for identity, (progress, before) in self._running.items():
                now = progress.snapshot()
                if now != before:
                    self._running[identity] = (progress, now)
                    events.append(("progress", identity, now))
        events += pieces
        try:
            if events:
                processes.send(self._stream, events)
        except (OSError, ValueError):  # the screen is gone, and the main loop sees it by its input
            return False
        return True


async def _warm() -> None:
    """Load what calls will need: the tokenizer first, whose ranks hold the interpreter's lock for 0.2 s.

    A call needs the SDK before its clock starts, so that it cannot run into that. The tokenizer lets rows carry our own
    count beside the server's, from which the factors of other models are learned.
    """
    from promptop.tokens import encoding

    await asyncio.to_thread(encoding, "o200k_base")
    await load_client()


class Worker:
    """Makes calls as frames ask for them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._endpoints: Endpoints | None = None
        self._calls: dict[int, CallProgress] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, frame: tuple[Any, ...]) -> None:
        """Act on one frame, on the loop's thread."""
        kind, *rest = frame
        if kind == "open":
            self._endpoints = Endpoints(**rest[0])
            self._begin(_warm())
        elif kind == "start":
            self._begin(self._call(*rest))
        elif kind == "models":
            self._begin(self._models(*rest))
        elif kind == "cancel" and rest[0] in self._calls:
            self._calls[rest[0]].cancel()

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, identity: int, request: RunRequest) -> None:
        assert self._endpoints is not None, "opened before the first call"
        progress = self._calls[identity] = CallProgress()
        self._outbox.follow(identity, progress)

        def on_delta(delta: Delta) -> None:
            self._outbox.put(("delta", identity, delta.kind, delta.text))

        try:
            result = await run(request, self._endpoints, on_delta=on_delta, progress=progress)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: a defect of ours must show in the pane
            result = failed(request, RunError("internal", f"promptop failed: {error!r}", "Please report it."))
        finally:
            self._outbox.leave(identity)
            del self._calls[identity]
        self._outbox.put(("done", identity, result))

    async def _models(self, identity: int, profile: Profile) -> None:
        assert self._endpoints is not None, "opened before anything is asked"
        try:
            names = await self._endpoints.models(profile)
        except PromptopError:
            names = ()  # without its key an endpoint is not asked; a call says so
        self._outbox.put(("models", identity, names))

    async def close(self) -> None:
        """Cancel what runs and close the connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._endpoints is not None:
            await self._endpoints.aclose()


async def serve(inbox: BinaryIO, outbox: Outbox) -> None:
    """Take frames until the input ends."""
    loop = asyncio.get_running_loop()
    worker = Worker(outbox)
    over = asyncio.Event()

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # it has ended for another reason
            loop.call_soon_threadsafe(over.set)

    def read() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(worker.take, processes.receive(inbox))
        except (EOFError, OSError):
            end()

    outbox.when_broken(end)

    threading.Thread(target=read, name="inbox", daemon=True).start()
    await over.wait()
    await worker.close()


def main() -> None:
    """Serve on standard input and output."""
    inbox, stream = processes.open_channel()
    outbox = Outbox(stream)
    asyncio.run(serve(inbox, outbox))
    outbox.close()


if __name__ == "__main__":
    main()
