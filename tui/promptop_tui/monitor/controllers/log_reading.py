"""The thread that reads the log, as the screen drives it: when it runs, what it is asked, whose answers count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import get_current_worker

from promptop.log.read.reader import LogPlace
from promptop_tui.context import AppContext
from promptop_tui.monitor.data.reader import Answer, MonitorReader
from promptop_tui.monitor.data.snapshot import SnapshotQuery

LOOK_S = 0.4
"""Seconds between two looks at the log."""


class LogReading:
    """Owns the reader and the timer that asks it to look; answers come to ``host`` as :class:`Answered`."""

    @dataclass
    class Answered(Message):
        """The reader's thread has an answer."""

        answer: Answer
        paths: tuple[LogPlace, ...]
        """The logs that were read."""

    def __init__(self, host: Widget, context: AppContext, look: Callable[[float], object]) -> None:
        """Read the log of ``context``; ``look`` is called by the timer with the seconds since the last time."""
        self._host = host
        self._context = context
        self._look = look
        self._looked = monotonic()
        self.timer: Timer | None = None
        self.paths: tuple[LogPlace, ...] = ()
        """The logs that are read."""
        self.placed = True
        """Whether the window stands where it belongs: not so after the start of a replay, until its reach is known."""
        self.loading_older = False
        self.reader = self._made(context.replay)

    def _made(self, replay: tuple[Path, ...]) -> MonitorReader:
        context = self._context
        self.paths = replay or context.watched or (context.log_path, *context.more_logs)
        self.placed = not replay
        watches = not replay and self.is_local  # what is usual is learned from trends, which lie beside a local log
        return MonitorReader(self.paths, partial(self._deliver, self.paths), context.now, watches=watches)

    @property
    def files(self) -> tuple[Path, ...]:
        """The logs that are files of this machine."""
        return tuple(each for each in self.paths if isinstance(each, Path))

    @property
    def is_local(self) -> bool:
        """Whether all logs that are read are files of this machine."""
        return len(self.files) == len(self.paths)

    def _deliver(self, paths: tuple[LogPlace, ...], answer: Answer) -> None:
        self._host.post_message(self.Answered(answer, paths))

    @property
    def running(self) -> bool:
        """Whether the log is read: only while the tab is shown."""
        return self.timer is not None

    def start(self, query: SnapshotQuery) -> None:
        """Start to read, unless that is done already."""
        if self.timer is not None:
            return
        self._host.run_worker(
            self._run, thread=True, exclusive=True, group="monitor-reader", description="read the request log"
        )
        self.timer = self._host.set_interval(LOOK_S, self.look)
        self.reader.ask(query)

    def stop(self) -> None:
        """Stop reading: a hidden monitor costs nothing."""
        if self.timer is not None:
            self.timer.stop()
            self.timer = None
        self.reader.stop()

    def run_if(self, wanted: bool, query: SnapshotQuery) -> None:
        """Start or stop, whichever is due."""
        if wanted:
            self.start(query)
        elif self.running:
            self.stop()

    def read_from(self, paths: tuple[Path, ...]) -> None:
        """Read other logs, as a period to replay; none: the app's own log again. It is not started yet."""
        self.stop()
        self.loading_older = False
        self.reader = self._made(paths)

    def look(self) -> None:
        """Have the screen ask for what is new, unless an answer is awaited."""
        if not self.reader.idle:
            return
        now = monotonic()
        gone, self._looked = now - self._looked, now
        self._look(gone)

    def restart_clock(self) -> None:
        """Count the seconds of a replay from now on."""
        self._looked = monotonic()

    def _run(self) -> None:
        worker = get_current_worker()
        self.reader.run(lambda: worker.is_cancelled)
