"""Five-hour blocks, weeks and groups of agents' calls, read from the log.

A block begins at the full hour (UTC) of the first call after the end of the one before and lasts five hours. That is a
model of what the vendor does: the real start is known to the vendor alone, so its end is ``estimated`` unless the agent
told the reset time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promptop.agents.agent_call import APPS
from promptop.base.sqlite import connect_for_reading

HOUR_MS = 3_600_000
BLOCK_MS = 5 * HOUR_MS
BURN_MS = 30 * 60_000
"""The burn rate is that of so long."""
FEWEST_MS = 10 * 60_000
"""No forecast is made from less."""


@dataclass(slots=True)  # frozen, a call would take three times as long to make, and there are 50,000
class BlockCall:
    """A row of an agent, as far as blocks need it. Counts are 0 where the row has none."""

    at_ms: int
    app: str
    model: str
    session: str
    project: str
    branch: str
    is_sub: bool
    context_window: int | None
    """Tokens that fit into the model's window, where the session file tells it."""
    input_tokens: int
    output_tokens: int
    cache_read: int
    cache_write: int
    reasoning: int
    cost_usd: float | None

    @property
    def tokens(self) -> int:
        """All tokens, cached ones included."""
        return self.input_tokens + self.output_tokens


@dataclass(slots=True)
class AgentSums:
    """Calls added up."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    sessions: set[str] = field(default_factory=set)
    sub_calls: int = 0
    last_ms: int = 0

    def add(self, call: BlockCall) -> None:
        """Add one call."""
        self.calls += 1
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.cache_read += call.cache_read
        self.cache_write += call.cache_write
        self.reasoning += call.reasoning
        self.cost_usd += call.cost_usd or 0.0
        self.unpriced += call.cost_usd is None
        self.sessions.add(call.session)
        self.sub_calls += call.is_sub
        self.last_ms = max(self.last_ms, call.at_ms)

    def merge(self, other: AgentSums) -> None:
        """Add what others added up."""
        self.calls += other.calls
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cache_read += other.cache_read
        self.cache_write += other.cache_write
        self.reasoning += other.reasoning
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced
        self.sessions |= other.sessions
        self.sub_calls += other.sub_calls
        self.last_ms = max(self.last_ms, other.last_ms)

    @property
    def fresh_tokens(self) -> int:
        """Input that was neither read from the cache nor written to it."""
        return max(self.input_tokens - self.cache_read - self.cache_write, 0)

    @property
    def tokens(self) -> int:
        """All tokens, cached ones included."""
        return self.input_tokens + self.output_tokens

    @property
    def cache_share(self) -> float | None:
        """Share of the input that was read from the provider's cache."""
        return self.cache_read / self.input_tokens if self.input_tokens else None

    def to_json(self) -> dict[str, object]:
        """Return the figures under fixed names."""
        return {
            "calls": self.calls,
            "sub_calls": self.sub_calls,
            "sessions": len(self.sessions),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "reasoning_tokens": self.reasoning,
            "cache_share": self.cache_share,
            "cost_usd": self.cost_usd if self.unpriced < self.calls else None,
            "unpriced": self.unpriced,
        }


@dataclass(slots=True)
class UsageBlock:
    """Five hours of one agent."""

    app: str
    start_ms: int
    sums: AgentSums = field(default_factory=AgentSums)
    calls: list[BlockCall] = field(default_factory=list)

    @property
    def end_ms(self) -> int:
        """When it ends, by the model."""
        return self.start_ms + BLOCK_MS

    def is_active(self, now_ms: int) -> bool:
        """Whether it has not ended."""
        return self.start_ms <= now_ms < self.end_ms

    def burn_per_hour(self, now_ms: int) -> tuple[float, float] | None:
        """Return tokens and USD an hour, from the last 30 minutes; None below 10 minutes of data."""
        since = max(self.start_ms, now_ms - BURN_MS, self.calls[0].at_ms if self.calls else now_ms)
        if now_ms - since < FEWEST_MS:
            return None
        recent = [call for call in self.calls if since <= call.at_ms <= now_ms]
        hours = (now_ms - since) / HOUR_MS
        return sum(call.tokens for call in recent) / hours, sum(call.cost_usd or 0.0 for call in recent) / hours

    def forecast_usd(self, now_ms: int) -> float | None:
        """Return what the block will have cost at its end at the present burn rate; None below 10 minutes of data."""
        burn = self.burn_per_hour(now_ms)
        if burn is None or not self.is_active(now_ms):
            return None
        return self.sums.cost_usd + burn[1] * (self.end_ms - now_ms) / HOUR_MS


def calls_of(log: Path, since_ms: int = 0, until_ms: int = 1 << 62) -> list[BlockCall]:
    """Return agents' calls of a window, oldest first; raises :class:`sqlite3.Error`."""
    with contextlib.closing(connect_for_reading(log)) as connection:
        return _calls(connection, "started_ms >= ? AND started_ms < ?", (since_ms, until_ms))


def calls_after(log: Path, row_id: int, since_ms: int) -> tuple[list[BlockCall], int]:
    """Return agents' calls above an id that started since a time, oldest first, and the log's highest id.

    From 0 on they are found by time, else by id, which costs what came. Raises :class:`sqlite3.Error`.
    """
    with contextlib.closing(connect_for_reading(log)) as connection:
        connection.execute("BEGIN")  # calls and highest id of one moment
        highest = int(connection.execute("SELECT max(id) FROM requests").fetchone()[0] or 0)
        # A unary plus keeps SQLite from using a column's index.
        where = "id > ? AND +started_ms >= ?" if row_id else "+id > ? AND started_ms >= ?"
        return (_calls(connection, where, (row_id, since_ms)) if highest > row_id else []), highest


def _calls(connection: sqlite3.Connection, where: str, values: tuple[int, ...]) -> list[BlockCall]:
    rows = connection.execute(
        "SELECT started_ms, app, coalesce(response_model, request_model, 'unknown'), coalesce(conversation_id, ''),"
        " tags, coalesce(usage_input_tokens, 0), coalesce(usage_output_tokens, 0),"
        " coalesce(usage_cache_read_input_tokens, 0), coalesce(usage_cache_write_input_tokens, 0),"
        " coalesce(usage_reasoning_output_tokens, 0), cost_usd"
        f" FROM requests WHERE {where} AND +app IN ({', '.join('?' * len(APPS))}) ORDER BY started_ms",
        (*values, *APPS),
    )
    return [_call(row) for row in rows]


def _call(row: Sequence[object]) -> BlockCall:
    at_ms, app, model, session, tags, *figures = row
    kept = json.loads(str(tags)) if tags else {}
    window = str(kept.get("context_window", ""))
    fits = int(window) if window.isdecimal() else None
    return BlockCall(
        int(str(at_ms)), str(app), str(model), str(session), kept.get("project", ""), kept.get("branch", ""),
        kept.get("sub") == "1", fits, *figures,  # type: ignore[arg-type]
    )  # fmt: skip


def blocks_of(calls: Iterable[BlockCall]) -> list[UsageBlock]:
    """Return the blocks of calls, by agent, oldest first."""
    found: dict[str, list[UsageBlock]] = {}
    for call in calls:
        add_to_blocks(found.setdefault(call.app, []), call)
    return sorted((block for mine in found.values() for block in mine), key=lambda block: block.start_ms)


def add_to_blocks(blocks: list[UsageBlock], call: BlockCall) -> None:
    """Add a call of one agent that is no older than those in its blocks."""
    if not blocks or call.at_ms >= blocks[-1].end_ms:
        blocks.append(UsageBlock(call.app, call.at_ms // HOUR_MS * HOUR_MS))
    blocks[-1].calls.append(call)
    blocks[-1].sums.add(call)


def grouped(calls: Iterable[BlockCall], by: str) -> dict[str, AgentSums]:
    """Add calls up by ``model``, ``project``, ``branch``, ``session``, ``app`` or ``day`` (UTC), the dearest first."""
    from datetime import UTC, datetime

    found: dict[str, AgentSums] = {}
    for call in calls:
        name = f"{datetime.fromtimestamp(call.at_ms / 1000, UTC):%Y-%m-%d}" if by == "day" else str(getattr(call, by))
        found.setdefault(name or "–", AgentSums()).add(call)
    return dict(sorted(found.items(), key=lambda item: (-item[1].cost_usd, -item[1].tokens)))
