"""What a log holds, in figures: for ``promptop log status`` and for whoever wants to watch it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect_for_reading
from promptop.log import files, outbox, schema
from promptop.log.rollups.rollups import Rollups
from promptop.log.transfer import live_sources
from promptop.log.write import spill

_COUNTED = 2_000_000
"""Up to so many ids the rows are counted, in a tenth of a second; beyond, the ids tell about how many there are."""


def status_of(log: Path, *, check: bool = False) -> dict[str, Any]:
    """Return path, version, rows, sizes in bytes, what waits beside it, lag of the rollups, shipping, losses, problems.

    Raises :class:`PromptopError` for a file that is not a log of ours, :class:`sqlite3.Error` for one that cannot be
    read.
    """
    with contextlib.closing(connect_for_reading(log)) as connection:
        version = schema.version_of(connection)
        found: dict[str, Any] = {"path": str(log), "version": version, "problems": []}
        low, high = 0, 0
        if version:
            low, high = connection.execute(
                "SELECT (SELECT min(id) FROM requests), (SELECT max(id) FROM requests)"
            ).fetchone()
        span = (high or 0) - (low or 0) + 1 if high else 0
        exact = span <= _COUNTED
        found["rows"] = connection.execute("SELECT count(*) FROM requests").fetchone()[0] if version and exact else span
        found["rows_exact"] = exact
        first, last = (
            connection.execute(
                "SELECT (SELECT min(started_ms) FROM requests), (SELECT max(started_ms) FROM requests)"
            ).fetchone()
            if version
            else (None, None)
        )
        found["first"], found["last"] = _iso(first), _iso(last)
        found["losses"] = _losses(connection) if version >= 2 else []
        found["waiting_bytes"] = spill.waiting(log, connection)
        if check:
            result = connection.execute("PRAGMA quick_check(5)").fetchall()
            found["problems"] += [row[0] for row in result if row[0] != "ok"]
    found["bytes"] = _size(log)
    found["rollups_bytes"] = _size(files.rollups_path(log))
    found["bodies_bytes"] = _size(files.bodies_path(log))
    found["bodies"] = _bodies(files.bodies_path(log), found["problems"])
    found["rollup_lag"] = _lag(log, found["problems"])
    confirmed = outbox.confirmed_id(log)
    found["shipping"] = None if confirmed is None else {"confirmed_id": confirmed, "error": outbox.problem_of(log)}
    return found


def troubles(logs: Iterable[Path]) -> str:
    """Return what keeps rows from coming in or going on: a followed source, or an engine that does not answer."""
    for log in logs:
        if problem := live_sources.problem_of(log):
            return f"not followed: {problem}"
        if problem := outbox.problem_of(log):
            return f"not shipped: {problem}"
    return ""


def _losses(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT cause, sum(rows), max(at_ms) FROM losses GROUP BY cause ORDER BY 2 DESC")
    return [{"cause": cause, "rows": count, "last": _iso(at)} for cause, count, at in rows]


def _size(path: Path) -> int:
    """Return the bytes of a file with what stands in its write-ahead file."""
    return sum(p.stat().st_size for p in (path, Path(f"{path}-wal")) if p.exists())


def _bodies(path: Path, problems: list[str]) -> int:
    if not path.exists():
        return 0
    try:
        with contextlib.closing(connect_for_reading(path)) as connection:
            return int(connection.execute("SELECT count(*) FROM bodies").fetchone()[0])
    except sqlite3.Error as error:
        problems.append(f"bodies: {error}")
        return 0


def _lag(log: Path, problems: list[str]) -> int | None:
    if not files.rollups_path(log).exists():
        return None
    try:
        with Rollups(log, timeout_s=1.0) as rollups:
            return rollups.lag()
    except PromptopError as error:
        problems.append(f"rollups: {error.cause}")
    except (sqlite3.Error, OSError) as error:
        problems.append(f"rollups: {error}; promptop log rebuild makes them anew")
    return None


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
