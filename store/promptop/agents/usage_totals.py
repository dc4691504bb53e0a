"""What agents used, added up while it grows: by day and dimension, in blocks, and how full each session's window is.

A call is added once and costs the same however many there are; a look at the totals costs days × names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from promptop.agents.blocks import AgentSums, BlockCall, UsageBlock, add_to_blocks, calls_after
from promptop.agents.limits import Limit, limits_in
from promptop.agents.session_index import index_path, limits_of
from promptop.log import files

DIMENSIONS = ("project", "model", "session", "branch", "app", "day", "week")
DAYS_KEPT = 35
"""Days that are looked at: five weeks, so that four whole ones are always there."""
_QUARTER_MS = 15 * 60_000
"""Local midnights lie on quarters of an hour (UTC), in every zone."""


@dataclass(frozen=True, slots=True)
class ContextFill:
    """How full the context of a session was at its newest call."""

    app: str
    project: str
    session: str
    model: str
    tokens: int
    window: int | None
    """None where neither the session nor the catalogue knows it."""
    at_ms: int

    @property
    def share(self) -> float | None:
        """Share of the window; None where the window is unknown."""
        return self.tokens / self.window if self.window else None


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at what agents used."""

    now_ms: int
    periods: dict[int, AgentSums]
    """By length in local days, the present one included."""
    groups: dict[str, AgentSums]
    """Names of one dimension in the chosen period; the dearest first, days and weeks from the newest on."""
    labels: dict[str, str]
    """Session → its project and the beginning of its id."""
    blocks: tuple[UsageBlock, ...]
    """The block of each agent that is active."""
    contexts: tuple[ContextFill, ...]
    """The newest session of each agent within the day."""
    limits: tuple[Limit, ...]


class UsageTotals:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, dict[str, AgentSums]]] = {}
        """Local day → dimension → name → sums."""
        self._totals: dict[str, AgentSums] = {}
        self._blocks: dict[str, list[UsageBlock]] = {}
        self._newest: dict[str, BlockCall] = {}
        self._projects: dict[str, str] = {}
        self._names_of_days: dict[int, str] = {}

    def add(self, calls: Iterable[BlockCall]) -> None:
        """Add calls that were not added before."""
        late: set[str] = set()
        for call in sorted(calls, key=lambda each: each.at_ms):
            day = self._day(call.at_ms)
            self._totals.setdefault(day, AgentSums()).add(call)
            groups = self._days.setdefault(day, {name: {} for name in DIMENSIONS[:5]})
            for dimension, found in groups.items():
                found.setdefault(getattr(call, dimension) or "–", AgentSums()).add(call)
            self._projects[call.session] = call.project
            blocks = self._blocks.setdefault(call.app, [])
            if blocks and blocks[-1].calls and call.at_ms < blocks[-1].calls[-1].at_ms:
                late.add(call.app)
                blocks[-1].calls.append(call)
            else:
                add_to_blocks(blocks, call)
            newest = self._newest.get(call.app)
            if not call.is_sub and (newest is None or call.at_ms >= newest.at_ms):
                self._newest[call.app] = call
        for app in late:
            calls_of_app = sorted((c for block in self._blocks[app] for c in block.calls), key=lambda c: c.at_ms)
            self._blocks[app] = []
            for call in calls_of_app:
                add_to_blocks(self._blocks[app], call)

    def overview(self, now_ms: int, *, by: str, days: int, told: Mapping[str, tuple[int, dict[str, Any]]]) -> Overview:
        """Return the totals of 1, 7 and 30 days and the groups of the last ``days``; ``told`` as ``limits_of`` gives.

        Blocks and limits that are over are left out.
        """
        today = datetime.fromtimestamp(now_ms / 1000).astimezone().date()
        periods = {}
        for length in (1, 7, 30):
            total = periods[length] = AgentSums()
            for day in self._since(today - timedelta(days=length - 1)):
                total.merge(self._totals[day])
        groups: dict[str, AgentSums] = {}
        first = today - timedelta(days=days - 1)
        if by == "week":  # whole weeks, or the first one would seem cheap
            first = today - timedelta(days=today.weekday() + 28)
        for day in self._since(first):
            if by in ("day", "week"):
                monday = datetime.fromisoformat(day).date()
                name = day if by == "day" else f"{monday - timedelta(days=monday.weekday())}"
                groups.setdefault(name, AgentSums()).merge(self._totals[day])
                continue
            for name, sums in self._days[day][by].items():
                groups.setdefault(name, AgentSums()).merge(sums)
        if by in ("day", "week"):
            ordered = sorted(groups.items(), reverse=True)
        else:
            ordered = sorted(groups.items(), key=lambda item: (-item[1].cost_usd, -item[1].tokens, item[0]))
        active = [blocks[-1] for blocks in self._blocks.values() if blocks and blocks[-1].is_active(now_ms)]
        limits = [limit for app, (_, windows) in told.items() for limit in limits_in(app, windows, now_ms)]
        recent = (call for call in self._newest.values() if now_ms - call.at_ms < 86_400_000)
        return Overview(
            now_ms,
            periods,
            dict(ordered),
            {name: f"{self._projects.get(name) or '–'} · {name[:8]}" for name in groups} if by == "session" else {},
            tuple(active),
            tuple(_fill(call) for call in recent),
            tuple(limits),
        )

    def _since(self, first: object) -> list[str]:
        return [day for day in self._totals if day >= str(first)]

    def _day(self, at_ms: int) -> str:
        quarter = at_ms // _QUARTER_MS
        found = self._names_of_days.get(quarter)
        if found is None:
            moment = datetime.fromtimestamp(quarter * _QUARTER_MS / 1000).astimezone()
            found = self._names_of_days[quarter] = f"{moment:%Y-%m-%d}"
        return found


class UsageFollower:
    """Keeps :class:`UsageTotals` of one log up to date; owned by one thread."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._totals = UsageTotals()
        self._read_to = 0
        self._watched = [log, log.with_name(f"{log.name}-wal"), index_path(log)]
        self._seen: list[tuple[int, int, int]] | None = None
        """The files as they were last read: a look without news opens none."""
        self._told: dict[str, tuple[int, dict[str, Any]]] = {}

    def read(self, now_ms: int) -> int:
        """Take in what the log has got; return the number of calls. Raises :class:`PromptopError`."""
        seen = [_mark(path) for path in self._watched]
        if seen == self._seen:
            return 0
        if not self._log.exists():
            self._seen = seen
            self._totals, self._read_to = UsageTotals(), 0
            return 0
        since_ms = now_ms - DAYS_KEPT * 86_400_000
        try:
            calls, highest = calls_after(self._log, self._read_to, since_ms)
            if highest < self._read_to:  # another file, or one that lost its end
                self._totals = UsageTotals()
                calls, highest = calls_after(self._log, 0, since_ms)
            self._told = limits_of(self._log)
        except (sqlite3.Error, OSError) as error:
            raise files.explain(self._log, error) from None
        self._read_to, self._seen = highest, seen
        self._totals.add(calls)
        return len(calls)

    def overview(self, now_ms: int, *, by: str = "project", days: int = 7) -> Overview:
        """Return the totals as of a time."""
        return self._totals.overview(now_ms, by=by, days=days, told=self._told)


def _mark(path: Path) -> tuple[int, int, int]:
    """Return (inode, size, time of the last change in ns) of a file; zeros if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _fill(call: BlockCall) -> ContextFill:
    from promptop.models import find

    window = call.context_window
    if window is None and (model := find(call.model)) is not None:
        window = model.context_window
    return ContextFill(call.app, call.project, call.session, call.model, call.input_tokens, window, call.at_ms)
