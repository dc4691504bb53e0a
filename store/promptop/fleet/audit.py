"""Compares a log with the fleet's engine by day, and the engine's sums with its rows by hour; mends what differs.

A row is missing if the engine has confirmed it and does not hold it any more: a disk was lost, a partition dropped, a
backup restored. It is sent again; rows that are there are left alone. Then the sums of each hour that counts other rows
than it has are made anew from the rows: the hour's sums are deleted, and its minutes inserted, which the view adds up.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from promptop.base.sqlite import connect_for_reading
from promptop.fleet import schema
from promptop.fleet.engine import Engine
from promptop.fleet.shipper import Shipper

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
_BATCH = 5000
_TRIES = 3
_SETTLES_S = 2.0
"""An insert that is under way has its rows before its sums."""
_FIGURES = "count(*), sum(id), sum(coalesce(usage_input_tokens, 0)), sum(coalesce(usage_output_tokens, 0))"
_FIGURES_THERE = "count(), sum(id), sum(ifNull(usage_input_tokens, 0)), sum(ifNull(usage_output_tokens, 0))"


@dataclass(frozen=True, slots=True)
class DayAudit:
    """A day (UTC) of one log, as the log and the engine have it."""

    day: str
    rows_here: int
    """Rows of the log that the engine has confirmed."""
    rows_there: int
    """Rows of this log that the engine has, among the ids that the log still has."""
    missing: int
    """Confirmed rows that the engine lacks, or has with other figures."""


@dataclass(frozen=True, slots=True)
class HourAudit:
    """An hour (UTC) of one tenant whose sums count other rows than it has."""

    tenant: str
    start_ms: int
    rows: int
    in_hours: int
    in_minutes: int | None
    """None where minutes are no longer kept."""


@dataclass(slots=True)
class Audit:
    """What was compared, and what was mended."""

    days: list[DayAudit] = field(default_factory=list)
    hours: list[HourAudit] = field(default_factory=list)
    """Hours that differ."""
    rows_sent: int = 0
    hours_made: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return not self.hours and not any(day.missing for day in self.days)


def audit(
    shipper: Shipper, engine: Engine, log: Path, *, since_ms: int, wait: Callable[[float], object] = time.sleep
) -> Audit:
    """Compare the rows of a log and the sums of the engine since a time; raises what engine and log raise."""
    found = Audit()
    for day, here, there, missing in _compared(shipper, engine, log, since_ms):
        found.days.append(DayAudit(_day_name(day), here, there, len(missing)))
    found.hours = _unequal_hours(engine, since_ms, wait)
    return found


def repair(
    shipper: Shipper, engine: Engine, log: Path, *, since_ms: int, wait: Callable[[float], object] = time.sleep
) -> Audit:
    """Send what is missing, make the sums of hours that differ anew, and return what differs then."""
    rows_sent = hours_made = 0
    for _, _, _, missing in _compared(shipper, engine, log, since_ms):
        for first in range(0, len(missing), _BATCH):
            rows_sent += shipper.resend(missing[first : first + _BATCH])
    for _ in range(_TRIES):  # rows that other hosts ship meanwhile may count in both
        hours = _unequal_hours(engine, since_ms, wait)
        for hour in hours:
            _make_anew(engine, hour)
        hours_made += len(hours)
        if not hours:
            break
    found = audit(shipper, engine, log, since_ms=since_ms, wait=wait)
    found.rows_sent, found.hours_made = rows_sent, hours_made
    return found


def _compared(shipper: Shipper, engine: Engine, log: Path, since_ms: int) -> list[tuple[int, int, int, list[int]]]:
    """Return (day since 1970, rows here, rows there, missing ids) of each day."""
    since_ms = -(-since_ms // DAY_MS) * DAY_MS  # whole days
    confirmed = shipper.confirmed_id()
    with contextlib.closing(connect_for_reading(log, timeout_s=5.0)) as rows:
        low = int(rows.execute("SELECT coalesce(min(id), 0) FROM requests").fetchone()[0])
        here = {
            int(day): tuple(figures)
            for day, *figures in rows.execute(
                f"SELECT started_ms / {DAY_MS} AS day, {_FIGURES} FROM requests"
                " WHERE id <= ? AND started_ms >= ? GROUP BY day",
                (confirmed, since_ms),
            )
        }
        values: dict[str, object] = {"log": shipper.log_id, "low": low, "last": confirmed, "since": since_ms}
        within = (
            "log_id = {log:String} AND id BETWEEN {low:UInt64} AND {last:UInt64} AND started_ms >= {since:Int64}"
            f" AND intDiv(started_ms, {HOUR_MS}) >= intDiv({{since:Int64}}, {HOUR_MS})"
        )
        there = {
            int(day): tuple(map(int, figures))
            for day, *figures in engine.rows(
                f"SELECT intDiv(started_ms, {DAY_MS}) AS day, {_FIGURES_THERE} FROM requests FINAL WHERE {within}"
                " GROUP BY day",
                values,
            )
        }
        found = []
        for day in sorted(here):
            missing: list[int] = []
            if here[day] != there.get(day):
                ids = rows.execute(
                    "SELECT id FROM requests WHERE id <= ? AND started_ms >= ? AND started_ms < ? ORDER BY id",
                    (confirmed, max(since_ms, day * DAY_MS), (day + 1) * DAY_MS),
                )
                of_day = [int(row[0]) for row in ids]
                of_this = f"{within} AND intDiv(started_ms, {DAY_MS}) = {{day:Int64}}"
                held = engine.rows(f"SELECT id FROM requests FINAL WHERE {of_this}", {**values, "day": day})
                known = {int(row[0]) for row in held}
                missing = [row_id for row_id in of_day if row_id not in known] or of_day
            found.append((day, int(here[day][0]), there.get(day, (0,))[0], missing))
    return found


def _unequal_hours(engine: Engine, since_ms: int, wait: Callable[[float], object]) -> list[HourAudit]:
    """Return hours whose sums differ from their rows, and do so still after a moment."""
    found = _hours(engine, since_ms)
    if found:
        wait(_SETTLES_S)
        found = [hour for hour in _hours(engine, since_ms) if (hour.tenant, hour.start_ms) in _keys(found)]
    return found


def _keys(hours: Sequence[HourAudit]) -> set[tuple[str, int]]:
    return {(hour.tenant, hour.start_ms) for hour in hours}


def _hours(engine: Engine, since_ms: int) -> list[HourAudit]:
    first = -(-since_ms // HOUR_MS)  # whole hours, while minutes and rows are kept
    minutes_first = -(-(time.time_ns() // 1_000_000 - (schema.MINUTES_DAYS - 1) * DAY_MS) // HOUR_MS)
    values: dict[str, object] = {"first": first}
    counted = engine.rows(
        f"SELECT toString(tenant), intDiv(started_ms, {HOUR_MS}) AS hour, count() FROM requests FINAL"
        " WHERE hour >= {first:Int64} GROUP BY tenant, hour",
        values,
    )
    rows = {(str(tenant), int(hour)): int(n) for tenant, hour, n in counted}
    sums: list[dict[tuple[str, int], int]] = []
    for table in ("rollup_hour", "rollup_minute"):
        summed = engine.rows(
            f"SELECT toString(tenant), toInt64(intDiv(toUnixTimestamp({table}.start), 3600)) AS hour, sum(n)"
            f" FROM {table} WHERE hour >= {{first:Int64}} GROUP BY tenant, hour",
            values,
        )
        sums.append({(str(tenant), int(hour)): int(n) for tenant, hour, n in summed})
    hours, minutes = sums
    found = []
    for tenant, hour in sorted({*rows, *hours}):
        n, place = rows.get((tenant, hour), 0), (tenant, hour)
        in_minutes = minutes.get(place, 0) if hour >= minutes_first else None
        if hours.get(place, 0) != n or (in_minutes is not None and in_minutes != n):
            found.append(HourAudit(tenant, hour * HOUR_MS, n, hours.get(place, 0), in_minutes))
    return found


def _make_anew(engine: Engine, hour: HourAudit) -> None:
    """Delete the sums of an hour and insert its minutes, which the view adds up into the hour."""
    values: dict[str, object] = {"tenant": hour.tenant, "start": hour.start_ms // 1000, "ms": hour.start_ms}
    at = "tenant = {tenant:String} AND toUnixTimestamp(start) >= {start:Int64}"
    at += f" AND toUnixTimestamp(start) < {{start:Int64}} + {HOUR_MS // 1000}"
    for table in ("rollup_minute", "rollup_hour"):
        engine.run(f"ALTER TABLE {table} DELETE WHERE {at}", values=values, settings={"mutations_sync": 2})
    within = f"tenant = {{tenant:String}} AND intDiv(started_ms, {HOUR_MS}) = intDiv({{ms:Int64}}, {HOUR_MS})"
    engine.run(
        f"INSERT INTO rollup_minute ({', '.join(schema.rollup_columns())})\n{schema.minutes('requests FINAL', within)}",
        values=values,
        settings={"insert_deduplicate": 0},
    )


def _day_name(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")
