"""Trends: what rows add up to by minute and by quarter of an hour, for each value of each dimension.

They stand beside the sums of windows, in the same file, and are narrower and wider than those: no distributions and
only nine days, but every dimension that a change can be traced to (model, app, prompt, version, provider, host, tags).
What :mod:`promptop.alerts.triage` looks at is read from here alone. Derived like all rollups, with a watermark of
their own, so that a file of sums that knew no trends gets them without its sums being made anew.

They are bounded: of a tag's values only the :data:`KEPT_VALUES` with the most calls, and those with the most cost,
keep a quarter's sums; a dimension with more than :data:`MOST_VALUES` new values in a day (request ids) is left out of
them for a day.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from operator import add as _plus
from typing import Any

from promptop.log.own_calls import OWN_APPS
from promptop.log.read.stats import FAILED, HIT, LIMITED, MODEL, SPEAKS, TRUNCATED, pico
from promptop.log.rollups import watermark
from promptop.log.rollups.keys import ALL, LEVELS_MS, OVERFLOW, key_of

PARTS: tuple[str, ...] = (
    "n",
    "upstream",
    "ok",
    "failed",
    "limited",
    "timeouts",
    "truncated",
    "lookups",
    "hits",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "cost_pico",
    "retries",
    "skewed",
    "skew_s",
    "ttft_n",
    "ttft_ln",
    "latency_n",
    "latency_ln",
)
"""What is summed. Tokens are those of answered calls; ``…_ln`` are sums of natural logarithms × :data:`LN_SCALE`."""
LN_SCALE = 1_000_000
MINUTES, QUARTERS = 0, 1
"""Levels of the keys."""
KEPT_MS = (9 * 3_600_000, 9 * 86_400_000)
"""How long minutes and quarters are kept."""
KEPT_VALUES = 64
MOST_VALUES = 2_000
SKEW_MS = 600_000
"""A row that ended so long before its neighbours in the log was written by a clock that is behind."""
AHEAD_MS = 60_000
_DAY_MS = 86_400_000
_NEIGHBOURS, _WITNESSES = 16, 4
_MOST_ROUTES = 20_000
_JOIN = " · "
_SERIES_MASK = OVERFLOW

DDL: tuple[str, ...] = (
    "CREATE TABLE trend_series (id INTEGER PRIMARY KEY, dimension TEXT NOT NULL, value TEXT NOT NULL,"
    " app TEXT NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, UNIQUE (dimension, value))",
    f"CREATE TABLE trends (key INTEGER PRIMARY KEY, {', '.join(f'{part} INTEGER NOT NULL' for part in PARTS)})",
    "INSERT OR REPLACE INTO meta VALUES ('trend_mark', -1), ('trend_trimmed_ms', 0), ('trend_left_out', '{}')",
)


def _of_answered(column: str) -> str:
    return f"CASE WHEN {SPEAKS} THEN coalesce(CAST({column} AS INTEGER), 0) ELSE 0 END"


_COUNTED = (
    "1",
    f"(NOT {HIT})",
    SPEAKS,
    f"({FAILED} AND NOT {LIMITED})",
    f"({FAILED} AND {LIMITED})",
    f"({FAILED} AND (lower(error_type) GLOB '*time*out*' OR error_type IN ('408', '504')))",
    f"({SPEAKS} AND {TRUNCATED})",
    "(cache_level IS NOT NULL)",
    HIT,
    *(
        _of_answered(f"usage_{column}_tokens")
        for column in ("input", "output", "cache_read_input", "cache_write_input", "reasoning_output")
    ),
    pico("cost_usd"),
    "(coalesce(attempt, 1) > 1)",
)
_DESCRIBED = f"""id, CAST(started_ms AS INTEGER), CAST(coalesce(total_s, duration_s, 0) AS REAL),
 {MODEL}, coalesce(app, ''), coalesce(prompt_name, ''), coalesce(prompt_version, ''), coalesce(provider_name, ''),
 coalesce(server_address, ''), tags, CASE WHEN {SPEAKS} THEN CAST(ttft_s AS REAL) END,
 CASE WHEN {SPEAKS} THEN CAST(coalesce(duration_s, total_s) AS REAL) END"""
SELECTED = f"{_DESCRIBED}, {', '.join(_COUNTED)}"
"""Columns of a row as :func:`parts_of` and :func:`places_of` take them."""
_FIRST_COUNT = 12

Place = tuple[str, str]
"""Dimension and value."""


class ClockCheck:
    """Finds rows whose writer's clock is off: rows come in the order in which their calls ended."""

    def __init__(self, ends: Iterable[int] = ()) -> None:
        self._ends: deque[int] = deque(ends, maxlen=_NEIGHBOURS)

    def skew_ms(self, end_ms: int, now_ms: int) -> int:
        """Return how far an end lies before its neighbours (below 0) or after the present; 0 if that is ordinary."""
        if end_ms > now_ms + AHEAD_MS:
            return end_ms - now_ms
        ends = self._ends
        if len(ends) == _NEIGHBOURS and end_ms < ends[-1] - SKEW_MS:
            behind = end_ms - sorted(ends)[-_WITNESSES]
            if -_DAY_MS < behind < -SKEW_MS:  # further back it is history that was brought in
                return behind
        ends.append(end_ms)
        return 0


def end_of(row: Sequence[Any]) -> int:
    """Return when a call ended, Unix milliseconds."""
    return int(row[1] + 1000 * row[2])


def parts_of(row: Sequence[Any], skew_ms: int) -> tuple[int, ...]:
    """Return :data:`PARTS` of one row, given as :data:`SELECTED`."""
    ttft, took = row[10], row[11]
    ttft_ln = round(math.log(ttft) * LN_SCALE) if ttft is not None and ttft > 0 else None
    took_ln = round(math.log(took) * LN_SCALE) if took is not None and took > 0 else None
    return (
        *row[_FIRST_COUNT:],
        1 if skew_ms else 0,
        skew_ms // 1000,
        0 if ttft_ln is None else 1,
        ttft_ln or 0,
        0 if took_ln is None else 1,
        took_ln or 0,
    )


def places_of(row: Sequence[Any]) -> list[Place]:
    """Return the values that one row, given as :data:`SELECTED`, is counted under."""
    model, app, prompt, version, provider, server, tags = row[3:10]
    if app in OWN_APPS:
        return []  # a benchmark is no change of a service
    places = [("all", ""), ("model", model), ("app", app)]
    if prompt:
        places.append(("prompt", prompt))
    if version:
        places.append(("version", f"{prompt} {version}".strip()))
    if provider:
        places.append(("provider", provider))
    if server:
        places.append(("server", server))
    places.append(("app.model.prompt", _JOIN.join(name or "(none)" for name in (app, model, prompt))))
    return [*places, *tags_of(tags)]


def tags_of(text: str | None) -> list[Place]:
    """Return a row's tags as places; text that is not a JSON object of plain values has none."""
    if not text:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        return []
    if not isinstance(found, dict):
        return []
    return [
        (f"tag.{key[:64]}", str(value)[:128])
        for key, value in found.items()
        if isinstance(value, str | int | float) and value != ""
    ]


class TrendFold:
    """Adds rows to the trends of one open file of sums; the caller owns the transaction."""

    def __init__(self, sums: sqlite3.Connection) -> None:
        self._sums = sums
        self._known: dict[Place, list[Any]] = {}
        """Place → id, app, first and last start; what the file has, as far as it was asked."""
        self._routes: dict[Sequence[Any], list[list[Any]]] = {}
        """What describes a row (model … tags) → what is known of the values that it is counted under."""
        self._clock: ClockCheck | None = None
        self._left_out: dict[str, int] = {}

    def reset(self) -> None:
        """Begin anew: the rows are of another log, or are to be added up again."""
        self.forget()
        self._sums.execute("DELETE FROM trends")
        self._sums.execute("DELETE FROM trend_series")
        for key, value in (("trend_mark", -1), ("trend_trimmed_ms", 0), ("trend_left_out", "{}")):
            watermark.note(self._sums, key, value)

    def behind(self, rows: sqlite3.Connection, last_id: int, now_ms: int) -> int:
        """Return how many ids are not in yet."""
        mark = int(watermark.fact(self._sums, "trend_mark", -1))
        return max(0, last_id - (mark if mark >= 0 else _begin(rows, now_ms)))

    def forget(self) -> None:
        """Drop what is remembered of the file, after a rollback."""
        self._known.clear()
        self._routes.clear()
        self._clock = None

    def fold(self, rows: sqlite3.Connection, limit: int, now_ms: int) -> int:
        """Add the next rows and return their number; 0 when the trends are as new as the log."""
        mark = int(watermark.fact(self._sums, "trend_mark", -1))
        if mark < 0:
            mark = _begin(rows, now_ms)
            watermark.note(self._sums, "trend_mark", mark)
        if self._clock is None:
            ends = rows.execute(f"SELECT {_DESCRIBED} FROM requests WHERE id <= ? ORDER BY id DESC LIMIT 16", (mark,))
            self._clock = ClockCheck(end_of(row) for row in reversed(ends.fetchall()))
            self._left_out = json.loads(watermark.fact(self._sums, "trend_left_out", "{}"))
        cells: dict[tuple[int, int, int], Sequence[int]] = {}
        first = [now_ms - kept for kept in KEPT_MS]
        count, latest = 0, 0
        for row in rows.execute(f"SELECT {SELECTED} FROM requests WHERE id > ? ORDER BY id LIMIT ?", (mark, limit)):
            mark = row[0]
            count += 1
            skew_ms = self._clock.skew_ms(end_of(row), now_ms)
            at_ms = row[1] - skew_ms  # where its neighbours are: a clock that is off must not hide a program
            if at_ms < first[QUARTERS]:
                continue
            latest = max(latest, at_ms)
            self._add(cells, row, parts_of(row, skew_ms), at_ms, minutes=at_ms >= first[MINUTES])
        if count:
            self._store(cells)
            watermark.note(self._sums, "trend_mark", mark)
            self._trim(latest, now_ms)
        return count

    def _add(
        self,
        cells: dict[tuple[int, int, int], Sequence[int]],
        row: Sequence[Any],
        parts: tuple[int, ...],
        at_ms: int,
        *,
        minutes: bool,
    ) -> None:
        """Add a row to the finest cells that are kept of its time; quarters are added up from minutes."""
        level = MINUTES if minutes else QUARTERS
        start = at_ms - at_ms % LEVELS_MS[level]
        route = self._routes.get(described := row[3:10])
        if route is None:
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._routes[described] = self._route(row, at_ms)
        for known in route:
            if at_ms > known[3]:  # noqa: PLR1730 - max() takes three times as long
                known[3] = at_ms
            key = level, start, known[0]
            cell = cells.get(key)
            cells[key] = parts if cell is None else list(map(_plus, cell, parts))

    def _route(self, row: Sequence[Any], at_ms: int) -> list[list[Any]]:
        """Return the values that rows of one description are counted under."""
        app, route = row[4], []
        for place in places_of(row):
            if self._left_out and self._left_out.get(place[0], 0) > at_ms:
                continue
            known = self._known.get(place) or self._series(place, app, at_ms)
            if known[1] != app:
                known[1] = ""
            route.append(known)
        return route

    def _series(self, place: Place, app: str, at_ms: int) -> list[Any]:
        found = self._sums.execute(
            "SELECT id, app, first_ms, last_ms FROM trend_series WHERE dimension = ? AND value = ?", place
        ).fetchone()
        if found is None:
            sql = "INSERT INTO trend_series (dimension, value, app, first_ms, last_ms) VALUES (?, ?, ?, ?, ?)"
            made = self._sums.execute(sql, (*place, app, at_ms, at_ms)).lastrowid
            found = (min(int(made or 0), _SERIES_MASK), app, at_ms, at_ms)
        known = self._known[place] = list(found)
        return known

    def _store(self, cells: dict[tuple[int, int, int], Sequence[int]]) -> None:
        span = LEVELS_MS[QUARTERS]
        for (level, start, series), parts in list(cells.items()):
            if level == MINUTES:
                key = QUARTERS, start - start % span, series
                cell = cells.get(key)
                cells[key] = parts if cell is None else list(map(_plus, cell, parts))
        changes = ", ".join(f"{part} = {part} + excluded.{part}" for part in PARTS)
        self._sums.executemany(
            f"INSERT INTO trends VALUES ({', '.join('?' * (len(PARTS) + 1))})"
            f" ON CONFLICT (key) DO UPDATE SET {changes}",
            [(key_of(level, ALL, start, series), *parts) for (level, start, series), parts in sorted(cells.items())],
        )
        touched = {series for _, _, series in cells}
        self._sums.executemany(
            "UPDATE trend_series SET app = ?, last_ms = max(last_ms, ?) WHERE id = ?",
            [(known[1], known[3], known[0]) for known in self._known.values() if known[0] in touched],
        )

    def _trim(self, latest_ms: int, now_ms: int) -> None:
        """Keep the values that matter of each quarter that is over, and drop what is too old."""
        span = LEVELS_MS[QUARTERS]
        until = latest_ms // span * span
        since = max(int(watermark.fact(self._sums, "trend_trimmed_ms")), until - _DAY_MS)
        if until <= since:
            return
        for quarter in range(since // span * span, until, span):
            self._trim_quarter(quarter, quarter + span)
        for level, kept in enumerate(KEPT_MS):
            self._sums.execute(
                "DELETE FROM trends WHERE key >= ? AND key < ?",
                (key_of(level, ALL, 0), key_of(level, ALL, now_ms - kept)),
            )
        self._sums.execute("DELETE FROM trend_series WHERE last_ms < ?", (now_ms - KEPT_MS[QUARTERS],))
        crowded = self._sums.execute(
            "SELECT dimension FROM trend_series WHERE first_ms >= ? GROUP BY dimension HAVING count(*) > ?",
            (until - _DAY_MS, MOST_VALUES),
        ).fetchall()
        for (dimension,) in crowded:
            self._left_out[dimension] = until + _DAY_MS
            sql = "SELECT id FROM trend_series WHERE dimension = ?"
            self._sums.execute(f"DELETE FROM trends WHERE key & {_SERIES_MASK} IN ({sql})", (dimension,))
            self._sums.execute("DELETE FROM trend_series WHERE dimension = ?", (dimension,))
        if crowded:
            watermark.note(self._sums, "trend_left_out", json.dumps(self._left_out))
        self._known.clear()
        self._routes.clear()
        watermark.note(self._sums, "trend_trimmed_ms", until)

    def _trim_quarter(self, since_ms: int, until_ms: int) -> None:
        quarter = (key_of(QUARTERS, ALL, since_ms), key_of(QUARTERS, ALL, until_ms))
        rare = [
            int(row[0])
            for row in self._sums.execute(
                f"SELECT id FROM (SELECT s.id, dimension, row_number() OVER (PARTITION BY dimension ORDER BY n DESC)"
                f" AS calls, row_number() OVER (PARTITION BY dimension ORDER BY cost_pico DESC) AS cost FROM trends"
                f" JOIN trend_series s ON s.id = key & {_SERIES_MASK} WHERE key >= ? AND key < ?)"
                f" WHERE dimension LIKE 'tag.%' AND calls > {KEPT_VALUES} AND cost > {KEPT_VALUES}",
                quarter,
            )
        ]
        if not rare:
            return
        minutes = (key_of(MINUTES, ALL, since_ms), key_of(MINUTES, ALL, until_ms))
        chosen = ", ".join(map(str, rare))
        for span in (quarter, minutes):
            self._sums.execute(
                f"DELETE FROM trends WHERE key >= ? AND key < ? AND key & {_SERIES_MASK} IN ({chosen})", span
            )


def _begin(rows: sqlite3.Connection, now_ms: int) -> int:
    """Return the id after which rows are recent enough to be added."""
    # Rows are in order of their end, and of several clocks: the first of some is the first of all.
    found = rows.execute(
        "SELECT min(id) FROM (SELECT id FROM requests WHERE started_ms >= ? ORDER BY started_ms LIMIT 20000)",
        (now_ms - KEPT_MS[QUARTERS],),
    ).fetchone()[0]
    if found is not None:
        return int(found) - 1
    return int(rows.execute("SELECT max(id) FROM requests").fetchone()[0] or 0)
