"""A measurement in a process of its own, so that no screen delays a stamp of it.

The same measurement runs in a command's own process, where nothing is drawn. A measurement goes over as a pickle, its
snapshots come back five times a second and its outcome at the end; both ends are this program and the pipe is private
to them. When the screen is gone the pipe ends, and the process cancels what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from promptop.base import processes
from promptop.base.errors import PromptopError
from promptop.base.processes import Link

LOOKS_PER_SECOND = 5


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
        self._closed = self._ended = False
        self._link = Link("promptop.workers.measurement", on_frame=self._take, on_end=self._lost)
        self._link.send((measurement, dict(options)))
        self._link.start()

    def stop(self) -> None:
        """Let it end now; the outcome holds what came."""
        self._link.send("stop")

    def close(self) -> None:
        """End it and wait for its process; no callback comes any more."""
        self._closed = True
        self._link.close()

    def _take(self, frame: tuple[str, Any]) -> None:
        kind, value = frame
        if kind == "told":
            self._report(self._told, value)
            return
        self._ended = True
        self._report(self._done if kind == "done" else self._failed, value)

    def _lost(self, status: int | None) -> None:
        if not self._ended:
            self._report(self._failed, "The process that measures has ended. Run again: it is started anew.")

    def _report(self, call: Callable[[Any], object], value: Any) -> None:
        if not self._closed:
            call(value)


async def serve(inbox: BinaryIO, outbox: BinaryIO) -> None:
    """Take one measurement, make it, and tell of it until it is over or the other end is gone."""
    measurement, options = await asyncio.to_thread(processes.receive, inbox)
    loop = asyncio.get_running_loop()

    def listen() -> None:
        with contextlib.suppress(EOFError, OSError):
            processes.receive(inbox)
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(measurement.stop)

    threading.Thread(target=listen, name="inbox", daemon=True).start()
    working = asyncio.ensure_future(measurement.work(options))
    with contextlib.suppress(OSError, ValueError):  # the screen is gone: it was told to stop by the end of its input
        while not working.done():
            await asyncio.wait([working], timeout=1 / LOOKS_PER_SECOND)
            if not working.done():
                processes.send(outbox, ("told", measurement.snapshot()))
        try:
            processes.send(outbox, ("done", working.result()))
        except PromptopError as error:
            processes.send(outbox, ("failed", str(error)))
        except Exception as error:  # noqa: BLE001 - nobody else sees a defect of ours: it must show on the screen
            processes.send(outbox, ("failed", f"promptop failed: {error!r}. Please report it."))
    await asyncio.wait([working])


def main() -> None:
    """Serve on standard input and output."""
    inbox, outbox = processes.open_channel()
    with contextlib.suppress(EOFError):
        asyncio.run(serve(inbox, outbox))


if __name__ == "__main__":
    main()
