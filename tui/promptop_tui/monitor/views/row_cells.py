"""The table of requests: which rows are loaded, and how one row reads as cells."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.widgets.table import Cell, Column, Tone

if TYPE_CHECKING:
    from promptop.log import StoredRow

CAP = 20_000
"""Rows kept in memory; a row of the log takes about 1 KB as an object."""

LATE_MS = 600_000
"""A row that comes so long after it began belongs among the older ones: calls take less."""

COLUMNS: tuple[Column, ...] = (
    Column("time", "time", 8, right=True, fit=True),
    Column("mark", "", 1),
    Column("model", "model", 12, fit=True, most=32),
    Column("status", "status", 6, fit=True, most=12),
    Column("input", "in", 5, rank=4, right=True),
    Column("output", "out", 5, rank=3, right=True),
    Column("ttft", "TTFT", 7, rank=2, right=True),
    Column("total", "total", 7, right=True),
    Column("cost", "cost", 10, rank=1, right=True, fit=True),
    Column("cache", "cache", 8, rank=5),
    Column("tps", "tok/s", 6, rank=7, right=True),
    Column("app", "app", 8, rank=6, fit=True, most=20),
    Column("prompt", "prompt", 10, rank=8, fit=True, most=28),
    Column("tags", "tags", 14, rank=9, grows=True),
    Column("server", "server", 12, rank=11, fit=True, most=30),
    Column("id", "id", 8, rank=10, right=True),
)


READ = (
    "started_ms",
    "simulated",
    "attempt",
    "request_model",
    "response_model",
    "error_type",
    "http_response_status_code",
    "response_finish_reasons",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_source",
    "ttft_s",
    "duration_s",
    "total_s",
    "cost_usd",
    "cost_status",
    "cache_level",
    "app",
    "prompt_name",
    "tags",
    "server_address",
)
"""Columns of the log that the table shows or orders by; a request that is opened is read whole."""


class Feed:
    """The rows that are loaded, oldest first: a stretch of the log without holes."""

    def __init__(self) -> None:
        self.rows: list[StoredRow] = []
        self.older_from: tuple[int, ...] | None = None
        """Id in each log before which older rows are looked for; None if there are none."""
        self.waiting = 0
        """Newer rows that are not loaded because the feed is full and the user looks at old ones."""

    def restart(self, rows: Sequence[StoredRow], *, older_from: tuple[int, ...] | None) -> None:
        """Show these rows instead."""
        self.rows = list(rows)
        self.older_from = older_from
        self.waiting = 0

    def append(self, rows: Sequence[StoredRow], *, following: bool) -> int:
        """Add newer rows; return by how many positions the others moved (negative: old ones were dropped)."""
        if not following and len(self.rows) + len(rows) > CAP:
            self.waiting += len(rows)
            return 0
        if self.waiting:  # a hole would follow: what waits is read again at the end
            self.waiting += len(rows)
            return 0
        newest = (self.rows[-1].started_ms or 0) if self.rows else 0
        timely: list[StoredRow] = []
        late: list[StoredRow] = []
        for row in rows:
            (late if newest - (row.started_ms or newest) > LATE_MS else timely).append(row)
        self.rows.extend(timely)
        for row in late:  # an import, or a log that is being filled: they belong where their time is
            self.rows.insert(bisect_right(self.rows, row.started_ms or 0, key=lambda each: each.started_ms or 0), row)
        spare = len(self.rows) - CAP
        if spare <= 0:
            return len(late)
        count = len(self.older_from or ()) or max(row.source for row in self.rows) + 1
        place = list(self.older_from or [0] * count)
        for row in self.rows[:spare]:
            place[row.source] = max(place[row.source], row.id + 1)
        del self.rows[:spare]
        self.older_from = tuple(place)
        return len(late) - spare

    def prepend(self, rows: Sequence[StoredRow], *, older_from: tuple[int, ...] | None) -> int:
        """Add older rows; return how many positions the others moved."""
        self.rows[:0] = rows
        self.older_from = older_from
        if (spare := len(self.rows) - CAP) > 0:
            del self.rows[-spare:]
            self.waiting += spare
        return len(rows)


def cells_of(row: StoredRow) -> tuple[Cell, ...]:
    """Return the cells of :data:`COLUMNS`; everything foreign is cleaned here."""
    status, tone = status_of(row)
    quiet: Tone = "muted"
    level = row.cache_level or ""
    generated = output_rate(row)
    return (
        clock(row.started_ms),
        ("S", "accent") if row.simulated else "↻" if (row.attempt or 1) > 1 else "",
        clean_line(row.request_model or row.response_model or units.UNKNOWN, 40),
        (status, tone),
        _tokens(row.usage_input_tokens, row),
        _tokens(row.usage_output_tokens, row),
        units.seconds(row.ttft_s),
        units.seconds(row.duration_s if row.duration_s is not None else row.total_s),
        units.dollars(row.cost_usd) if row.cost_status != "estimated" else f"≈{units.dollars(row.cost_usd)}",
        (clean_line(level, 8), "good" if level and level != "miss" else quiet),
        units.rate(generated),
        clean_line(row.app or "", 20),
        clean_line(row.prompt_name or "", 24),
        (tags_of(row.tags), quiet),
        clean_line(row.server_address or "", 30),
        (name_of(row), quiet),
    )


def name_of(row: StoredRow) -> str:
    """Return a row's id; of logs after the first with the number of the log before it."""
    return f"{row.source + 1}:{row.id}" if row.source else str(row.id)


def status_of(row: StoredRow) -> tuple[str, Tone]:
    """Return how an attempt ended, in a word, and what that means."""
    if row.error_type:
        if row.error_type in ("cancelled", "429") or row.http_response_status_code == 429:
            return clean_line(row.error_type, 20), "warn"
        return clean_line(row.error_type, 20), "bad"
    if not {"length", "max_tokens", "max_output_tokens"}.isdisjoint(finish_reasons(row)):
        return "length", "warn"
    return "ok", "good"


def finish_reasons(row: StoredRow) -> tuple[str, ...]:
    """Return the finish reasons of a row, cleaned."""
    try:
        reasons = json.loads(row.response_finish_reasons or "[]")
    except ValueError:
        return (clean_line(str(row.response_finish_reasons), 40),)
    if not isinstance(reasons, list):
        reasons = [reasons]
    return tuple(clean_line(str(reason), 40) for reason in reasons)


def output_rate(row: StoredRow) -> float | None:
    """Return tokens per second after the first one (metrics: decode_tps); None where that cannot be known."""
    if row.usage_output_tokens is None or row.duration_s is None or row.ttft_s is None or row.usage_output_tokens < 2:
        return None
    spent = row.duration_s - row.ttft_s
    return (row.usage_output_tokens - 1) / spent if spent > 0 else None


def clock(started_ms: int | None, now: datetime | None = None) -> str:
    """Return a local time to the second, of other days with the date."""
    if started_ms is None:
        return units.UNKNOWN
    try:
        moment = datetime.fromtimestamp(started_ms / 1000)
    except (OverflowError, OSError, ValueError):
        return tr("bad time")
    today = (now or datetime.now()).date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%m-%d %H:%M:%S}"


def tags_of(text: str | None) -> str:
    """Return tags as ``key=value`` with blanks between them."""
    if not text:
        return ""
    try:
        tags = json.loads(text)
    except ValueError:
        return clean_line(text, 36)
    if not isinstance(tags, dict):
        return clean_line(text, 36)
    return clean_line(" ".join(f"{key}={value}" for key, value in tags.items()), 60)


def _tokens(value: int | None, row: StoredRow) -> str:
    shown = units.count(value)
    return f"≈{shown}" if row.usage_source == "estimated" and value is not None else shown


@lru_cache(maxsize=2)
def column_keys() -> tuple[str, ...]:
    """Return the keys of all columns."""
    return tuple(column.key for column in COLUMNS)
