"""Which log sums belong to: the small facts of both files, and whether they still speak of the same rows."""

from __future__ import annotations

import sqlite3
from typing import Any


def facts(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the table ``meta`` of a log or of its rollups; empty for a log that no writer has migrated yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return {}
    return dict(connection.execute("SELECT key, value FROM meta"))


def fact(connection: sqlite3.Connection, key: str, default: Any = 0) -> Any:
    """Return one fact."""
    return facts(connection).get(key, default)


def note(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Change a fact of the rollups."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def started_ms(rows: sqlite3.Connection, row_id: int) -> int | None:
    """Return the start of a row, or None if it is gone."""
    found = rows.execute("SELECT started_ms FROM requests WHERE id = ?", (row_id,)).fetchone()
    return None if found is None else int(found[0])


def same_rows(rows: sqlite3.Connection, known: dict[str, Any], log_id: str) -> bool:
    """Tell whether the sums, described by their facts, were made of this log's rows.

    Not so if the file at the path is another log, or this one as it was before, restored from a backup: then it has
    fewer ids than the mark, or another row under the mark's id.
    """
    mark = int(known.get("mark", 0))
    if known.get("log_id") != log_id:
        return not mark and not known.get("log_id")
    if not mark:
        return True
    highest = rows.execute("SELECT seq FROM sqlite_sequence WHERE name = 'requests'").fetchone()
    started = started_ms(rows, mark)
    return highest is not None and highest[0] >= mark and started in {None, int(known.get("mark_started_ms", 0))}
