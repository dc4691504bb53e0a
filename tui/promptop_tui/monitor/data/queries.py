"""What the reading thread does on request, beside its looks: pages, single rows, breakdowns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.cache.misses import CHANGES, MissCause, common_prefix, findings_of
from promptop.log.own_calls import OWN_APPS
from promptop_tui.monitor.analysis.bursts import Burst, bursts_of
from promptop_tui.monitor.analysis.cost_breakdown import Breakdown, Group, repeats_of, stable_of
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.views.row_cells import READ

if TYPE_CHECKING:
    from promptop.log import Filter, LogReader, Stats, StoredRow
    from promptop.log.write.bodies import StoredBody
    from promptop_tui.monitor.analysis.request_report import Line

PAGE = 200
"""Rows of a page of the table."""
BUDGET_S = 0.3
"""Seconds that one search for rows of a filter may take; it goes on where it stopped."""
LOOKED_AT = 20_000
"""Rows that bursts are looked for in: half a second."""
SHOWN = 20
"""Causes of which the kept prompts are compared, two reads each."""
SAMPLED = 4_000
"""Newest rows of a window that shares of stable prefixes are taken from: a tenth of a second."""
HASHED = 100_000
"""Rows of a window up to which repeats are counted: prompt hashes are in no rollup."""


@dataclass(frozen=True, slots=True)
class OlderRows:
    """A page of rows before those that are shown, oldest first."""

    query: SnapshotQuery
    rows: tuple[StoredRow, ...]
    older_from: tuple[int, ...] | None
    """Id in each log before which the search goes on (of a held stretch, not used); None at the beginning."""


@dataclass(frozen=True, slots=True)
class RowFound:
    """One row with what is kept of its bodies; None if it is gone."""

    row: StoredRow | None
    purpose: str = "show"
    lines: tuple[Line, ...] = ()
    """The receipt."""
    body: StoredBody | None = None
    calls_per_day: float | None = None
    other: StoredRow | None = None
    """The request that this one is compared with."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found among the newest rows of a window."""

    kind: Literal["bursts", "misses", "bookmarks", "changes"]
    items: tuple[Any, ...]
    rows: int
    cut: bool
    """Whether the window has more rows than were looked at."""


@dataclass(frozen=True, slots=True)
class RankedRows:
    """The window's rows in the order of a figure, as far as they were looked for."""

    query: SnapshotQuery
    figure: str
    smallest: bool
    rows: tuple[StoredRow, ...]
    since_ms: int
    """Start of the window."""
    reached_ms: int
    """Rows that started from here on were looked at."""
    done: bool


@dataclass(frozen=True, slots=True)
class QueryFailed:
    """An errand that failed."""

    cause: str
    remedy: str


def compiled(text: str) -> Filter | None:
    """Return the filter of an expression; None for an empty one."""
    if not text:
        return None
    from promptop.log import parse_filter

    return parse_filter(text)


def stretch_of(query: SnapshotQuery) -> tuple[int, int]:
    """Return the stretch of time whose rows a query shows that does not follow the newest, Unix milliseconds."""
    return query.moment_ms or (0, (query.until_ms or 0) + 1)


def older(
    log: LogReader, query: SnapshotQuery, place: tuple[int, ...], oldest: tuple[int, int, int] | None = None
) -> OlderRows:
    """Return the page of rows before a place; of a held stretch of time, before (start, id, source) of its oldest."""
    where = compiled(query.rows_filter)
    if query.tails or oldest is None:
        rows, before = log.back(PAGE, place, where, budget_s=BUDGET_S, columns=READ)
        return OlderRows(query, tuple(reversed(rows)), before)
    rows = log.between(*stretch_of(query), PAGE, where, before=oldest, columns=READ)
    return OlderRows(query, tuple(reversed(rows)), place if len(rows) == PAGE else None)


def break_down(log: LogReader, query: SnapshotQuery, dimension: str, now_ms: int) -> Breakdown:
    """Return the groups of a window in one dimension."""
    from promptop.log.read.windows import JOIN

    since, until = query.bounds_ms(now_ms)
    where = compiled(query.filter)
    own = query.counts_own
    window = log.window(since, until, by=() if dimension == "day" else (dimension,), where=where, own=own)
    groups_found = window.groups if dimension != "day" else _by_day(log, since, until, where, own=own)
    repeats: dict[str, float] = {}
    if dimension not in ("hash", "day") and window.total.n <= HASHED:
        repeats = repeats_of(log.window(since, until, by=(dimension, "hash"), where=where, own=own).groups, JOIN)
    span = log.span()
    covered = min(until, now_ms) - max(since, span[0] if span else since)
    stable = stable_of(log.between(since, until, SAMPLED, where), dimension)
    groups = tuple(Group(name, stats, repeats.get(name), stable.get(name)) for name, stats in groups_found.items())
    return Breakdown(dimension, window.total, groups, max(covered, 60_000) / 86_400_000)


def _by_day(log: LogReader, since_ms: int, until_ms: int, where: Filter | None, *, own: bool) -> dict[str, Stats]:
    from promptop.base.times import local_days

    days = local_days(since_ms, until_ms)
    found = {name: log.window(start, end, by=(), where=where, own=own).total for name, start, end in days}
    return {name: stats for name, stats in found.items() if stats.n}


FindingKind = Literal["bursts", "misses", "changes"]


def find(log: LogReader, query: SnapshotQuery, kind: FindingKind, now_ms: int, ttl_s: float = 0.0) -> Findings:
    """Return bursts, why caches did not answer, or what changed against the window before."""
    since, until = query.bounds_ms(now_ms)
    if kind == "changes":
        from promptop.alerts.comparison import window_changes

        changes = tuple(window_changes(log, since, min(until, now_ms)))
        return Findings(kind, changes, log.window(since, until, by=()).total.n, False)
    rows = log.between(since, until, LOOKED_AT, compiled(query.filter))
    cut = len(rows) == LOOKED_AT
    if not query.counts_own:
        rows = [row for row in rows if row.app not in OWN_APPS]
    items: tuple[Burst | MissCause, ...]
    if kind == "bursts":
        items = bursts_of(reversed(rows))
    else:
        items = findings = findings_of(reversed(rows), lru_cache(_rates), ttl_s)
        for finding in [each for each in findings if CHANGES in each.cause][:SHOWN]:
            _point_out(log, finding)
    return Findings(kind, items, len(rows), cut)


def _point_out(log: LogReader, finding: MissCause) -> None:
    """Say exactly where a prompt began to differ from the one before it, where both are kept."""
    from promptop.client.conversation import shown
    from promptop.client.replay import messages_of
    from promptop.log.write.bodies import read_body

    texts = []
    for row in finding.pair or ():
        body = read_body(log.paths[row.source], row.id)
        if body is None or not body.request:
            return
        texts.append("\n".join(shown(message) for message in messages_of(body.request)))
    place = common_prefix(*texts)
    word = clean_line(texts[0][place : place + 24].strip() or tr("the end"), 24)
    finding.cause = tr("{changes} from character {place:,} on: “{word}”", changes=CHANGES, place=place, word=word)


def _rates(name: str) -> tuple[float, float] | None:
    from promptop import models

    model = models.find(name)
    prices = model.prices if model is not None else None
    if prices is None or prices.input is None or prices.cache_read is None:
        return None
    return prices.input, prices.cache_read


def fetch_kept(log: LogReader, terms: str, purpose: str, calls_per_day: float) -> RowFound:
    """Return the latest row of a filter whose prompt was kept; the latest one without it if none was."""
    from promptop.log.write.bodies import read_body

    rows, _ = log.back(PAGE, None, compiled(terms), budget_s=BUDGET_S)
    for row in rows:
        body = read_body(log.paths[row.source], row.id)
        if body is not None and body.request:
            return RowFound(row, purpose, (), body, calls_per_day)
    return RowFound(rows[0] if rows else None, purpose, (), None, calls_per_day)


def fetch_pair(log: LogReader, row_id: int, other_id: int, sources: tuple[int, int]) -> RowFound:
    """Return two rows, to be compared; the first is None if either is gone."""
    row, other = log.get(row_id, sources[0]), log.get(other_id, sources[1])
    return RowFound(row if other is not None else None, "compare", other=other)


def fetch(log: LogReader, row_id: int, purpose: str, source: int) -> RowFound:
    """Return one row, its receipt and its bodies."""
    row = log.get(row_id, source)
    if row is None:
        return RowFound(None, purpose)
    from promptop.log.write.bodies import read_body
    from promptop.models import find
    from promptop_tui.monitor.analysis.request_report import receipt

    body = read_body(log.paths[source], row_id)
    names = (row.response_model, row.request_model)
    model = next((found for name in names if name and (found := find(name))), None)
    return RowFound(row, purpose, receipt(row, model, body), body)
