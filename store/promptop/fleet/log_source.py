"""The fleet's log as a source of :class:`~promptop.log.read.reader.LogReader`: the answers that a local log gives.

Windows: whole hours and minutes come from the engine's sums, ragged ends from rows; a filter, or a dimension that the
sums are not kept by, is answered from rows. Rows: the statements of a local log, translated.

An id of the fleet is a row's *place*: when the engine took it in (ms), then low bits of its log and of its id there.
It grows as rows come, so that readers page and follow by it as by a local id. Inserts overtake each other: following
looks back ten seconds and leaves out what it brought.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.fleet import dialect, schema
from promptop.fleet.engine import Address, Engine
from promptop.log.own_calls import OWN_APPS
from promptop.log.read.filters import Filter
from promptop.log.read.log_file import END, Page, StoredRow
from promptop.log.read.stats import INTEGERS, Stats
from promptop.log.read.windows import Sums
from promptop.log.rollups.sketch import Sketch
from promptop.log.rollups.trend_query import TrendCell, TrendSeries
from promptop.log.rollups.trends import Place
from promptop.log.row import COLUMNS

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
_MINUTES_KEPT_MS = (schema.MINUTES_DAYS - 1) * 86_400_000
"""A day less than the table keeps, so that no stretch loses its beginning."""
_ROLLED = frozenset(("model", "app", "prompt"))
_LOW_BITS = 22
_OVERLAP_MS = 10_000
_FIRST_LOOK_MS = 60_000
"""A page is looked for among what came in so late, then in ever longer stretches before it."""
_PLACE = (
    f"toInt64(bitOr(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(requests.received)), {_LOW_BITS}),"
    f" (cityHash64(requests.log_id) + requests.id) % {1 << _LOW_BITS}))"
)
"""Rows of one insert have ids in a row, and so places of their own."""

Stretch = tuple[str, int, int]
"""(rows, minute or hour; start; end), Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class FleetLog:
    """A fleet's log, where a reader takes the path of a local one."""

    address: Address

    def __str__(self) -> str:
        return str(self.address)

    def source(self, number: int) -> FleetSource:
        """Return it open for reading."""
        return FleetSource(Engine(self.address), number)


class FleetSource:
    """Reads the fleet's log; for one thread at a time. Raises :class:`PromptopError` where the engine does."""

    generation = 0

    def __init__(self, engine: Engine, number: int = 0) -> None:
        self._engine = engine
        self.number = number
        self.path = Path(str(engine.address))
        """A name for people: there is no such file, and so no bodies and no calls in flight."""
        self._seen: object = None
        self._first_ms: int | None = None
        self._brought: set[int] | None = None
        """Places of the overlap that were brought; None until there is one."""
        self._tell: Callable[[str], object] | None = None

    def open(self) -> None:
        """Nothing is opened before it is asked."""

    def close(self) -> None:
        """Close the connection."""
        self._engine.close()

    def trace(self, tell: Callable[[str], object] | None) -> None:
        """Tell each statement that is run, or no longer."""
        self._tell = tell

    def _ask(self, sql: str, values: dict[str, object] | None = None) -> list[list[Any]]:
        if self._tell is not None:
            self._tell(sql)
        return self._engine.rows(sql, values)

    def changed(self) -> bool:
        """Tell whether rows came since this was asked last: a row of ``marks`` for each log is looked at."""
        found = self._ask("SELECT max(seen), sum(marks.rows) FROM marks")[0]
        if found == self._seen:
            return False
        self._seen = found
        return True

    def last_id(self) -> int:
        """Return the highest place."""
        newest = self._ask("SELECT toUnixTimestamp64Milli(max(seen)), sum(marks.rows) FROM marks")[0]
        if not int(newest[1]):
            return 0
        since: dict[str, object] = {"since": int(newest[0]) - _OVERLAP_MS}
        found = self._ask(f"SELECT max({_PLACE}) FROM requests WHERE {_RECEIVED}", since)
        return int(found[0][0] or 0)

    def span(self) -> tuple[int, int] | None:
        """Return (hour of the earliest, start of the latest) row, Unix milliseconds; None for an empty log."""
        earliest, latest, rows = self._ask(
            "SELECT (SELECT min(toUnixTimestamp(rollup_hour.start)) * 1000 FROM rollup_hour), max(started_ms),"
            " sum(marks.rows) FROM marks"
        )[0]
        return (int(earliest), int(latest)) if int(rows) else None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement of a local log on ``requests``."""
        sql = re.sub(r" (?:NOT INDEXED|INDEXED BY \w+)", "", sql)
        sql = re.sub(r"(?<=[\s(])\+(?=[a-z_]+ )", "", sql)
        hour = f"intDiv(started_ms, {HOUR_MS})"
        sql, named = dialect.condition(Filter("", sql, tuple(values)))
        for sign in (">=", "<"):  # the hour is the prefix of the table's key
            sign_of_hour = ">=" if sign == ">=" else "<="
            sql = re.sub(
                rf"started_ms {sign} (\{{f\d+:Int64\}})",
                rf"started_ms {sign} \1 AND {hour} {sign_of_hour} intDiv(\1, {HOUR_MS})",
                sql,
                count=1,
            )
        source = f"FROM (SELECT * EXCEPT (id), {_PLACE} AS id FROM requests FINAL) AS requests"
        return self._ask(sql.replace("FROM requests", source, 1), named)

    def rows(
        self, condition: str, values: Sequence[Any], tail: str = "", *, columns: Sequence[str] | None = None
    ) -> list[StoredRow]:
        """Return the rows of a condition; of ``columns`` alone where they are named: the others stay unknown."""
        names = ("id", *(COLUMNS if columns is None else columns))
        bounds = ""
        if condition == "id = ?" or condition.startswith("id IN"):
            moments = [int(value) >> _LOW_BITS for value in values]
            bounds = f"received >= fromUnixTimestamp64Milli({min(moments)}, 'UTC') AND"
            bounds += f" received <= fromUnixTimestamp64Milli({max(moments)}, 'UTC') AND "
        found = self.execute(f"SELECT {', '.join(names)} FROM requests WHERE {bounds}{condition} {tail}", values)
        return [StoredRow(source=self.number, **dict(zip(names, row, strict=True))) for row in found]

    def after(self, row_id: int, limit: int, where: Filter, columns: Sequence[str] | None = None) -> list[StoredRow]:
        """Return rows above a place, and late ones of the overlap below it, each once over all calls."""
        here = row_id >> _LOW_BITS
        oldest = here - _OVERLAP_MS
        # The overlap may hold far more than ``limit`` rows: of those only the places are looked at.
        since: dict[str, object] = {"since": oldest, "here": row_id}
        sql = f"SELECT {_PLACE} AS place FROM requests WHERE {_RECEIVED} AND place <= {{here:Int64}}"
        below = {int(found[0]) for found in self._ask(sql, since)}
        if self._brought is None:  # what lies below the place was there before
            self._brought = set(below)
        late = sorted(below - self._brought)[: max(limit // 2, 1)]
        rows: list[StoredRow] = []
        if late:
            chosen = f"id IN ({', '.join(map(str, late))})"
            rows = self._between(late[0] >> _LOW_BITS, here + 1, limit, where, columns, newest=False, chosen=chosen)
        above = f"id > {int(row_id)}"
        fresh = self._between(here, END >> _LOW_BITS, limit, where, columns, newest=False, chosen=above)
        rows = (rows + [row for row in fresh if row.id not in self._brought])[:limit]
        self._brought = {place for place in self._brought if place >> _LOW_BITS >= oldest}
        self._brought |= {*late, *(row.id for row in rows)}
        return rows

    def _between(
        self,
        since_ms: int,
        until_ms: int,
        limit: int,
        where: Filter,
        columns: Sequence[str] | None,
        *,
        newest: bool,
        chosen: str = "",
    ) -> list[StoredRow]:
        """Return rows that came in [since, until), by place."""
        condition = f"received >= fromUnixTimestamp64Milli({max(since_ms, 0)}, 'UTC')"
        if until_ms < END >> _LOW_BITS:
            condition += f" AND received < fromUnixTimestamp64Milli({until_ms}, 'UTC')"
        condition += f" AND {chosen}" if chosen else ""
        condition += f" AND ({where.sql})" if where else ""
        order = f"ORDER BY id {'DESC' if newest else 'ASC'} LIMIT {int(limit)}"
        return self.rows(condition, where.parameters, order, columns=columns)

    def page(
        self,
        limit: int,
        before_id: int | None,
        where: Filter,
        budget_s: float | None,
        columns: Sequence[str] | None = None,
    ) -> Page:
        """Return rows below a place, newest first, and where the next page begins."""
        top = min(END if before_id is None else before_id, self.last_id() + 1)
        if self._first_ms is None:
            self._first_ms = int(self._ask("SELECT toUnixTimestamp64Milli(min(received)) FROM requests")[0][0] or 0)
        deadline = None if budget_s is None else time.monotonic() + budget_s
        found: list[StoredRow] = []
        span, until = _FIRST_LOOK_MS, (top >> _LOW_BITS) + 1
        while until > self._first_ms and len(found) < limit:
            since = until - span
            # Of the place's own moment some rows lie above it.
            page = self._between(since, until, limit + (1 << 13 if before_id else 0), where, columns, newest=True)
            found += [row for row in page if row.id < top][: limit - len(found)]
            until, span = since, span * 10
            if deadline is not None and time.monotonic() > deadline and len(found) < limit:
                return Page(found, (until << _LOW_BITS) if until > self._first_ms else None)
        return Page(found, found[-1].id if found and len(found) >= limit else None)

    def trend_series(self, since_ms: int) -> list[TrendSeries]:
        """Return none: what is usual is learned from a local log's trends."""
        return []

    def trend_cells(
        self, level: int, since_ms: int, until_ms: int, wanted: Collection[Place] | None = None
    ) -> list[TrendCell]:
        """Return none."""
        return []

    def trend_newer(self) -> list[tuple[TrendSeries, TrendCell]] | None:
        """Return that there are no trends."""
        return None

    def trend_quarters(self, place: Place, since_ms: int, until_ms: int) -> list[tuple[int, ...]]:
        """Return none."""
        return []

    def trend_newest(self, since_ms: int) -> list[tuple[int, list[Place], tuple[int, ...]]]:
        """Return none."""
        return []

    def add_newer(self, sums: Sums, by: tuple[str, ...], where: Filter, mark: int) -> None:
        """Add the rows of a window that came above a place.

        Rows that an overtaken insert brings below it are counted when the window is read anew.
        """
        newest = self.last_id()
        if newest > mark:
            came = "toUnixTimestamp64Milli(received)"
            above = f"{_PLACE} > {mark} AND {came} >= {mark >> _LOW_BITS} AND {_PLACE} <= {newest}"
            self._add(sums, by, where, [("rows", sums.since_ms, sums.until_ms)], above)
        sums.marks.append(max(newest, mark))

    def add_to(self, sums: Sums, by: tuple[str, ...], where: Filter) -> None:
        """Add a window, from the engine's sums where they know it, else from its rows."""
        sums.marks.append(self.last_id())
        step_ms = sums.step_ms
        rolled = not where and set(by) <= _ROLLED and (not step_ms or step_ms % MINUTE_MS == 0)
        stretches: list[Stretch] = [("rows", sums.since_ms, sums.until_ms)]
        if rolled:
            minutes_from = time.time_ns() // 1_000_000 - _MINUTES_KEPT_MS
            hours = not step_ms or step_ms % HOUR_MS == 0
            stretches = stretches_of(sums.since_ms, sums.until_ms, minutes_from, hours=hours)
        self._add(sums, by, where, stretches)

    def _add(
        self, total: Sums, by: tuple[str, ...], where: Filter, stretches: Sequence[Stretch], above: str = "1"
    ) -> None:
        step_ms, own = total.step_ms, total.own
        condition, values = dialect.condition(where)
        selects = []
        # One SELECT for each kind: preparing so many sums takes the engine as long as adding up an hour's rows.
        for level in dict.fromkeys(level for level, _, _ in stretches):
            ranges = []
            for number, (kind, start, end) in enumerate(stretches):
                if kind == level:
                    values |= {f"since{number}": start, f"until{number}": end}
                    ranges.append((f"{{since{number}:Int64}}", f"{{until{number}:Int64}}"))
            if level == "rows":
                hours = f"intDiv(started_ms, {HOUR_MS})"
                within = " OR ".join(
                    f"(started_ms >= {since} AND started_ms < {until} AND {hours} >= intDiv({since}, {HOUR_MS})"
                    f" AND {hours} <= intDiv({until}, {HOUR_MS}))"
                    for since, until in ranges
                )
                moment, group, sums = "started_ms", dialect.group(by), schema.counted()
                app = "ifNull(toString(requests.app), '')"
                source = schema.described("requests FINAL", f"({within}) AND ({condition}) AND {above}")
            else:
                table = f"rollup_{level}"
                moment, sums = f"toUnixTimestamp({table}.start) * 1000", schema.folded()
                group = dialect.rolled_group(by)
                app = f"toString({table}.app)"
                within = " OR ".join(
                    f"({table}.start >= toDateTime(intDiv({since}, 1000), 'UTC')"
                    f" AND {table}.start < toDateTime(intDiv({until}, 1000), 'UTC'))"
                    for since, until in ranges
                )
                source = f"{table} WHERE {within}"
            step = f"toInt64(intDiv({moment}, {step_ms}) * {step_ms})" if step_ms else "toInt64(0)"
            apart = "0" if own else f"{app} IN ({', '.join(repr(name) for name in OWN_APPS)})"
            selected = f"SELECT {group} AS group_name, {step} AS step_start, toUInt8({apart}) AS is_apart,\n{sums}"
            selects.append(f"{selected}\nFROM {source}\nGROUP BY group_name, step_start, is_apart")
        for group_name, step_start, is_apart, *counted in self._ask("\nUNION ALL\n".join(selects), values):
            stats = _stats(counted)
            if int(is_apart):
                total.left_out.merge(stats)
                continue
            total.total.merge(stats)
            if by:
                total.group(str(group_name)).merge(stats)
            if step_ms:
                whole, groups = total.bucket(int(step_start))
                whole.merge(stats)
                if by:
                    groups.setdefault(str(group_name), Stats()).merge(stats)


_RECEIVED = "received >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"


def stretches_of(since_ms: int, until_ms: int, minutes_from_ms: int, *, hours: bool) -> list[Stretch]:
    """Cut [since, until) into rows at the ends, minutes where they are kept, and ``hours`` where they fit."""

    def up(moment: int, span: int) -> int:
        return -(-moment // span) * span

    parts: list[Stretch] = []

    def add(level: str, start: int, end: int) -> None:
        if start < end:
            parts.append((level, start, end))

    def fine(start: int, end: int) -> None:
        """Add a stretch without hours: minutes where they are kept, else rows."""
        first, last = up(max(start, minutes_from_ms), MINUTE_MS), end // MINUTE_MS * MINUTE_MS
        if first >= last:
            add("rows", start, end)
            return
        add("rows", start, first)
        add("minute", first, last)
        add("rows", last, end)

    first, last = up(since_ms, HOUR_MS), until_ms // HOUR_MS * HOUR_MS
    if not hours or first >= last:
        fine(since_ms, until_ms)
        return parts
    fine(since_ms, first)
    add("hour", first, last)
    fine(last, until_ms)
    return parts


def _stats(row: Sequence[Any]) -> Stats:
    stats = Stats()
    stats.add_integers([int(value) for value in row[: len(INTEGERS)]])
    sketches = row[len(INTEGERS) :]
    for name, (n, total, largest, buckets) in zip(schema.SKETCHED, (sketches[0:4], sketches[4:8]), strict=True):
        counts = {int(bucket): int(count) for bucket, count in buckets.items()}
        setattr(stats, name, Sketch.counted(int(n), int(total), int(largest), counts))
    stats.error_types = {str(kind): int(count) for kind, count in sketches[8].items()}
    return stats
