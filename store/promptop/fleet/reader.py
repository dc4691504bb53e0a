"""Windows of the fleet's log: the same :class:`~promptop.log.read.stats.Window` that a local log gives for those rows.

Whole hours and minutes come from the engine's sums, ragged ends from rows; a filter, or a dimension that the sums are
not kept by, is answered from rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptop.fleet import dialect, schema
from promptop.fleet.engine import Engine
from promptop.log.own_calls import OWN_APPS
from promptop.log.read.filters import Filter, parse_filter
from promptop.log.read.log_file import StoredRow
from promptop.log.read.stats import INTEGERS, Stats, Window
from promptop.log.read.windows import Sums
from promptop.log.rollups.sketch import Sketch
from promptop.log.row import COLUMNS

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
_MINUTES_KEPT_MS = (schema.MINUTES_DAYS - 1) * 86_400_000
"""A day less than the table keeps, so that no stretch loses its beginning."""
_ROLLED = frozenset(("model", "app", "prompt"))

Stretch = tuple[str, int, int]
"""(rows, minute or hour; start; end), Unix milliseconds."""


class FleetReader:
    """Reads the fleet's log; for one thread."""

    paths: tuple[Path, ...] = ()
    """Files of logs: none, and so nothing is known of calls in flight."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> FleetReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.close()

    def latest(self, limit: int) -> list[StoredRow]:
        """Return up to ``limit`` rows of the newest hour that has any, latest start first."""
        names = ("id", *COLUMNS)
        found = self._engine.rows(
            f"SELECT {', '.join(names)} FROM requests FINAL WHERE intDiv(started_ms, {HOUR_MS}) >="
            f" (SELECT intDiv(max(marks.started_ms), {HOUR_MS}) FROM marks)"
            f" ORDER BY started_ms DESC, log_id DESC, id DESC LIMIT {int(limit)}"
        )
        return [StoredRow(**dict(zip(names, row, strict=True))) for row in found]

    def span(self) -> tuple[int, int] | None:
        """Return (hour of the earliest, start of the latest) row, Unix milliseconds; None for an empty log."""
        earliest, latest, rows = self._engine.rows(
            "SELECT (SELECT min(toUnixTimestamp(rollup_hour.start)) * 1000 FROM rollup_hour), max(started_ms),"
            " sum(marks.rows) FROM marks"
        )[0]
        return (int(earliest), int(latest)) if int(rows) else None

    def window(
        self,
        since_ms: int,
        until_ms: int,
        *,
        step_ms: int | None = None,
        by: Sequence[str] = ("model",),
        where: Filter | str | None = None,
        own: bool = True,
    ) -> Window:
        """Add up what started in [since, until): in all, by ``by`` and, with ``step_ms``, by step of UTC time.

        Without ``own`` promptop's own measuring calls are left out, and counted apart.
        """
        chosen = parse_filter(where) if isinstance(where, str) else where or Filter()
        rolled = not chosen and set(by) <= _ROLLED and (not step_ms or step_ms % MINUTE_MS == 0)
        stretches: list[Stretch] = [("rows", since_ms, until_ms)]
        if rolled:
            minutes_from = time.time_ns() // 1_000_000 - _MINUTES_KEPT_MS
            stretches = stretches_of(since_ms, until_ms, minutes_from, hours=not step_ms or step_ms % HOUR_MS == 0)
        condition, values = dialect.condition(chosen)
        selects = []
        for number, (level, start, end) in enumerate(stretches):
            values |= {f"since{number}": start, f"until{number}": end}
            since, until = f"{{since{number}:Int64}}", f"{{until{number}:Int64}}"
            if level == "rows":
                hours = f"intDiv(started_ms, {HOUR_MS})"
                within = f"started_ms >= {since} AND started_ms < {until} AND {hours} >= intDiv({since}, {HOUR_MS})"
                within += f" AND {hours} <= intDiv({until}, {HOUR_MS}) AND ({condition})"
                moment, group, sums = "started_ms", dialect.group(tuple(by)), schema.counted()
                app = "ifNull(toString(requests.app), '')"
                source = schema.described("requests FINAL", within)
            else:
                table = f"rollup_{level}"
                moment, sums = f"toUnixTimestamp({table}.start) * 1000", schema.folded()
                group = dialect.rolled_group(tuple(by))
                app = f"toString({table}.app)"
                source = f"{table} WHERE toUnixTimestamp({table}.start) >= intDiv({since}, 1000)"
                source += f" AND toUnixTimestamp({table}.start) < intDiv({until}, 1000)"
            step = f"toInt64(intDiv({moment}, {step_ms}) * {step_ms})" if step_ms else "toInt64(0)"
            apart = "0" if own else f"{app} IN ({', '.join(repr(name) for name in OWN_APPS)})"
            selected = f"SELECT {group} AS group_name, {step} AS step_start, toUInt8({apart}) AS is_apart,\n{sums}"
            selects.append(f"{selected}\nFROM {source}\nGROUP BY group_name, step_start, is_apart")
        total = Sums(since_ms, until_ms, step_ms, own=own)
        for group_name, step_start, is_apart, *counted in self._engine.rows("\nUNION ALL\n".join(selects), values):
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
        return total.window()


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
