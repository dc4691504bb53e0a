"""Reads what coding agents used, on one thread: the log at once, then the session files, then what they get.

The thread looks twice a second whether a session file grew; a look without news costs a few calls of ``stat``.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    from promptop.agents.session_index import SessionIndex, Sources
    from promptop.agents.usage_totals import Overview

LOOK_S = 0.5
LATER_S = 3.0
"""Seconds until it is tried again after a failure."""
_SAID_S = 0.25
"""Seconds between two words on how far a long reading is."""
_AGED_S = 10.0
"""Burn and time left are worked out anew after so many seconds without a call."""


@dataclass(frozen=True, slots=True)
class AgentLook:
    """One look at what agents used."""

    by: str
    days: int
    overview: Overview
    progress: tuple[int, int] | None = None
    """Files looked at, of how many; None once all were."""
    problem: str = ""
    has_sources: bool = True
    """Whether an agent keeps session files on this machine."""


class _StoppedError(Exception):
    pass


class AgentFeed:
    """The reading side of the agents' page; all methods but :meth:`run` may be called from any thread."""

    def __init__(
        self, log: Path, deliver: Callable[[AgentLook], object], now: Callable[[], float], *, imports: bool
    ) -> None:
        """Read ``log``; with ``imports`` the session files of this machine are brought into it first."""
        self._log, self._deliver, self._now, self._imports = log, deliver, now, imports
        self._wake = threading.Event()
        self._wanted = ("project", 7)
        self._stopped = False

    def ask(self, by: str, days: int) -> None:
        """Want other groups: a dimension, in the last ``days``."""
        self._wanted = (by, days)
        self._wake.set()

    def stop(self) -> None:
        """End :meth:`run` soon."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Deliver looks until :meth:`stop`."""
        from promptop.agents.session_index import SessionIndex, Sources

        sources = Sources.default()
        with contextlib.closing(SessionIndex(self._log, sources)) as index:
            self._run(index, sources)

    def _run(self, index: SessionIndex, sources: Sources) -> None:
        from promptop.agents.session_index import Follower
        from promptop.agents.usage_totals import UsageFollower

        has_sources = any(place.is_dir() for place in (*sources.claude, *sources.codex))
        follower = Follower(sources)
        usage = UsageFollower(self._log)
        shown: AgentLook | None = None
        told_at = said_at = 0.0

        def tell(progress: tuple[int, int] | None, problem: str = "") -> AgentLook:
            by, days = self._wanted
            overview = usage.overview(int(self._now() * 1000), by=by, days=days)
            look = AgentLook(by, days, overview, progress, problem, has_sources)
            self._deliver(look)
            return look

        def progressed(done: int, of: int) -> None:
            nonlocal said_at
            if self._stopped:
                raise _StoppedError
            if monotonic() - said_at >= _SAID_S:
                said_at = monotonic()
                tell((done, of))

        imports = self._imports and has_sources
        while not self._stopped:
            problem, wait_s = "", LOOK_S
            try:
                news = usage.read(int(self._now() * 1000))
                if imports and follower.changed(self._now()):
                    if shown is None:
                        shown, told_at = tell((0, 0)), monotonic()
                    said_at = monotonic()
                    index.read(now_s=self._now(), only=follower.grown, progress=progressed)
                    news += usage.read(int(self._now() * 1000))
            except _StoppedError:
                return
            except (PromptopError, sqlite3.Error, OSError) as error:
                news, problem = 0, str(error)
                follower, wait_s = Follower(sources), LATER_S  # all of it is read again
            other = shown is None or (shown.by, shown.days) != self._wanted or shown.progress is not None
            if news or other or (shown and problem != shown.problem) or monotonic() - told_at >= _AGED_S:
                shown, told_at = tell(None, problem), monotonic()
            self._wake.wait(wait_s)
            self._wake.clear()
