"""A measurement in a process of its own, so that no screen delays a stamp of it.

The same measurement runs in a command's own process, where nothing is drawn. A measurement goes over as a pickle, its
snapshots come back five times a second and its outcome at the end; both ends are this program and the pipe is private
to them. When the screen is gone the pipe ends, and the process cancels what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any, BinaryIO, Protocol

from promptop.base import framing, subprocesses
from promptop.base.errors import PromptopError

LOOKS_PER_SECOND = 5
CLOSE_S = 3.0
"""Seconds that a process is given to close connections and flush the log, once it was told to stop."""


class Measurement(Protocol):
    """Something that makes many calls; everything of it can be pickled before it begins."""

    async def work(self, options: Mapping[str, Any]) -> object:
        """Make the calls and return what came of them; ``options`` are those of :class:`Endpoints`."""

    def snapshot(self) -> object:
        """Return how far it is, as plain values; called on the loop's thread, so it must be quick."""

    def stop(self) -> object:
        """Begin no further call and cancel those under way; what came is kept."""


class MeasurementProcess:
    """Runs one measurement elsewhere; callbacks come on a thread of its own."""

    def __init__(
        self,
        measurement: Measurement,
        options: Mapping[str, Any],
        *,
        on_told: Callable[[Any], object],
        on_done: Callable[[Any], object],
        on_failed: Callable[[str], object],
    ) -> None:
        """Start; exactly one of ``on_done`` (the outcome) and ``on_failed`` (why there is none) ends it."""
        self._told, self._done, self._failed = on_told, on_done, on_failed
        self._stdin: IO[bytes] | None = None
        """The way to the process, once it is there."""
        self._lock = threading.Lock()
        self._closed = False
        self._stopping = False
        self._thread = threading.Thread(
            target=self._main, args=((measurement, dict(options)),), name="apart", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Let it end now; the outcome holds what came."""
        self._stopping = True  # before the process is there, it is told once it is
        with self._lock, contextlib.suppress(OSError, ValueError):  # it has ended: there is nothing to stop
            if self._stdin is not None:
                framing.send(self._stdin, "stop")

    def close(self) -> None:
        """End it and wait for its process; no callback comes any more."""
        self._closed = self._stopping = True
        with self._lock, contextlib.suppress(OSError):
            if self._stdin is not None:
                self._stdin.close()
        self._thread.join(CLOSE_S + 1)

    def _main(self, task: tuple[Measurement, dict[str, Any]]) -> None:
        with subprocesses.start("promptop.workers.measurement") as process:
            assert process.stdin is not None and process.stdout is not None
            call: Callable[[Any], object] = self._failed
            ending: Any = "The process that measures has ended. Run again: it is started anew."
            with contextlib.suppress(EOFError, OSError, ValueError):
                with self._lock:
                    framing.send(process.stdin, task)
                    self._stdin = process.stdin
                    if self._stopping:
                        framing.send(process.stdin, "stop")
                while True:
                    kind, value = framing.receive(process.stdout)
                    if kind == "told":
                        self._report(self._told, value)
                        continue
                    call, ending = (self._done if kind == "done" else self._failed), value
                    break
            with self._lock, contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._report(call, ending)

    def _report(self, call: Callable[[Any], object], value: Any) -> None:
        if not self._closed:
            call(value)


async def serve(inbox: BinaryIO, outbox: BinaryIO) -> None:
    """Take one measurement, make it, and tell of it until it is over or the other end is gone."""
    measurement, options = await asyncio.to_thread(framing.receive, inbox)
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            framing.receive(inbox)
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(measurement.stop)

    threading.Thread(target=listen, name="inbox", daemon=True).start()
    working = asyncio.ensure_future(measurement.work(options))
    with contextlib.suppress(OSError, ValueError):  # the screen is gone: it was told to stop by the end of its input
        while not working.done():
            await asyncio.wait([working], timeout=1 / LOOKS_PER_SECOND)
            if not working.done():
                framing.send(outbox, ("told", measurement.snapshot()))
        try:
            framing.send(outbox, ("done", working.result()))
        except PromptopError as error:
            framing.send(outbox, ("failed", str(error)))
        except Exception as error:  # noqa: BLE001 - nobody else sees a defect of ours: it must show on the screen
            framing.send(outbox, ("failed", f"promptop failed: {error!r}. Please report it."))
    await asyncio.wait([working])


def main() -> None:
    """Serve on standard input and output; whatever else writes to standard output would break the frames."""
    inbox = os.fdopen(os.dup(0), "rb")
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    with contextlib.suppress(EOFError):
        asyncio.run(serve(inbox, outbox))


if __name__ == "__main__":
    main()
