"""Calls that come in bursts: the same prompt again and again, or one call for each of many things in a loop.

*Duplicates* are calls of one model with one prompt hash, each within a minute of the one before, that reached the
provider: what a cache or single-flight would have answered once. An *N+1* is ten or more calls of one app, prompt and
model with different texts, each begun within a second after the one before had ended: what one batched call could have
asked, if it may wait. Streamed calls are left out (somebody reads along), and calls of several users, sessions or hosts
are no loop: each has its own. Nor are calls that overlap: they came from several places, or are parallel already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.batch.provider_runner import batch_share
from promptop.client.embedding import MAX_INPUTS
from promptop.log.read.filters import quoted
from promptop.log.rollups.trends import tags_of
from promptop_tui.widgets.table import Cell, Column

if TYPE_CHECKING:
    from promptop.log import StoredRow

DUPLICATES, LOOP = 3, 10
"""Calls from which a run counts."""
_DUPLICATE_GAP_MS, _LOOP_GAP_MS = 60_000, 1_000

_OVERLAP_MS = 5
"""Times are rounded to milliseconds, and rows of one loop may seem to touch."""
_WHOSE = (
    *("user", "user_id", "customer", "customer_id", "tenant", "account", "member"),
    *("session", "session_id", "conversation", "thread", "host", "node", "pod", "instance", "worker"),
)
"""Tags by which calls are told apart that have come from several places."""

_Key = TypeVar("_Key", bound=tuple[str, ...])

COLUMNS: tuple[Column, ...] = (
    Column("when", "from", 12),
    Column("kind", "what", 10),
    Column("n", "calls", 6, right=True),
    Column("within", "within", 8, right=True),
    Column("model", "model", 14, rank=1, grows=True),
    Column("app", "app", 12, rank=3),
    Column("prompt", "prompt", 16, rank=2),
    Column("cost", "cost", 10, right=True, fit=True),
    Column("avoidable", "avoidable", 10, rank=1, right=True, fit=True),
)


@dataclass(frozen=True, slots=True)
class Burst:
    """Calls that belong together."""

    kind: Literal["duplicates", "N+1"]
    first_ms: int
    last_ms: int
    n: int
    model: str
    app: str
    prompt: str
    hash: str
    """Prompt hash of duplicates; empty for an N+1."""
    cost_usd: float
    avoidable_usd: float | None
    """Cost of all duplicates but the first; of a loop, what the provider's batch API would save of it (an estimate).

    None where that is not known: without prices, and for embeddings, which one request takes at the same price.
    """
    spare: int = 0
    """Requests that one call for all would spare: embeddings go in one."""

    @property
    def filter(self) -> str:
        """Expression for its rows, within its time."""
        terms = [f"model:{quoted(self.model)}"] if self.model else []
        if self.kind == "duplicates":
            terms.append(f"hash:{quoted(self.hash)}")
        else:
            terms += [f"app:{quoted(self.app) if self.app else 'none'}"]
            terms += [f"prompt:{quoted(self.prompt) if self.prompt else 'none'}"]
        return " ".join(terms)


def bursts_of(rows: Iterable[StoredRow]) -> tuple[Burst, ...]:
    """Return the bursts among rows, given oldest first; the dearest first. Hits of a cache are left out."""
    repeated: dict[tuple[str, str], list[StoredRow]] = {}
    looped: dict[tuple[str, ...], list[StoredRow]] = {}
    found: list[Burst] = []
    for row in rows:
        if row.started_ms is None or (row.cache_level and row.cache_level != "miss"):
            continue
        model = row.request_model or ""
        if row.prompt_hash:
            _gather(repeated, (model, row.prompt_hash), row, _DUPLICATE_GAP_MS, found)
        if (row.app or row.prompt_name) and not row.request_stream:
            key = (row.app or "", row.prompt_name or "", model, row.conversation_id or "", *_whose(row))
            _gather(looped, key, row, _LOOP_GAP_MS, found, in_turn=True)
    for run in (*repeated.values(), *looped.values()):
        _close(run, found)
    return tuple(sorted(found, key=lambda burst: (-(burst.avoidable_usd or 0.0), -burst.n, burst.first_ms)))


def _whose(row: StoredRow) -> tuple[str, ...]:
    """Return the tags that tell apart whose call it is."""
    return tuple(f"{place}={value}" for place, value in sorted(tags_of(row.tags)) if place[4:].lower() in _WHOSE)


def _gather(
    runs: dict[_Key, list[StoredRow]],
    key: _Key,
    row: StoredRow,
    gap_ms: int,
    found: list[Burst],
    *,
    in_turn: bool = False,
) -> None:
    """Add a row to the run of its key; ``in_turn`` says that it must begin after the one before has ended."""
    run = runs.setdefault(key, [])
    if run:
        since_ms = (row.started_ms or 0) - (_end_ms(run[-1]) if in_turn else run[-1].started_ms or 0)
        if since_ms > gap_ms or (in_turn and since_ms < -_OVERLAP_MS):
            _close(run, found)
            run.clear()
    run.append(row)


def _end_ms(row: StoredRow) -> int:
    return (row.started_ms or 0) + round(1000 * (row.total_s or row.duration_s or 0.0))


def _close(run: list[StoredRow], found: list[Burst]) -> None:
    hashes = {row.prompt_hash for row in run}
    same = len(hashes) == 1 and None not in hashes
    if same and len(run) >= DUPLICATES:
        avoidable: float | None = sum(row.cost_usd or 0.0 for row in run[1:])
    elif not same and len(run) >= LOOP and len(hashes) > len(run) // 2:
        avoidable = _batched_usd(run)
    else:
        return
    first = run[0]
    burst = Burst(
        "duplicates" if same else "N+1",
        first.started_ms or 0,
        run[-1].started_ms or 0,
        len(run),
        first.request_model or "",
        first.app or "",
        first.prompt_name or "",
        (first.prompt_hash or "") if same else "",
        sum(row.cost_usd or 0.0 for row in run),
        avoidable,
        0 if same or first.operation_name != "embeddings" else len(run) - -(-len(run) // MAX_INPUTS),
    )
    if burst not in found:  # a run of one prompt is gathered by hash and by app
        found.append(burst)


def _batched_usd(run: list[StoredRow]) -> float | None:
    """Return what the provider's batch API would have saved of a loop of chats, USD; None if it is not known."""
    if run[0].operation_name == "embeddings" or any(row.cost_usd is None for row in run):
        return None
    saved = 0.0
    for row in run:
        share = batch_share(
            [row.response_model or "", row.request_model or ""],
            given=row.usage_input_tokens or 0,
            made=row.usage_output_tokens or 0,
        )
        saved += (row.cost_usd or 0.0) * (1 - share)
    return saved


def advice_of(burst: Burst) -> str:
    """Say what would make a burst unnecessary, and what that saves."""
    if burst.kind == "duplicates":
        return tr(
            "a cache: {avoidable_usd} of {cost_usd} saved",
            avoidable_usd=units.usd(burst.avoidable_usd),
            cost_usd=units.usd(burst.cost_usd),
        )
    if burst.spare:
        return tr("one request for all: {spare:,} requests fewer, at the same price", spare=burst.spare)
    if burst.avoidable_usd is None:
        return tr("if it may wait: one batch instead of a loop; saving unknown, no price")
    return tr(
        "if it may wait: one batch (promptop batch --provider-batch), ≈ {avoidable_usd} saved",
        avoidable_usd=units.usd(burst.avoidable_usd),
    )


def _avoidable(burst: Burst) -> str:
    if burst.spare:
        return tr("−{spare:,} calls", spare=burst.spare)
    return ("≈ " if burst.kind == "N+1" and burst.avoidable_usd is not None else "") + units.usd(burst.avoidable_usd)


def cells_of(burst: Burst) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`."""
    return (
        f"{datetime.fromtimestamp(burst.first_ms / 1000):%d %b %H:%M}",
        (burst.kind, "warn"),
        units.count(burst.n),
        units.seconds((burst.last_ms - burst.first_ms) / 1000),
        clean_line(burst.model, 40),
        clean_line(burst.app, 20),
        clean_line(burst.prompt, 24),
        units.usd(burst.cost_usd),
        (_avoidable(burst), "accent"),
    )
