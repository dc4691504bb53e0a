"""``LOG.ship``, beside a log that is shipped: up to which id the fleet's engine has confirmed its rows.

The shipper writes it (:mod:`promptop.fleet.shipper`). Retention asks it: no row goes uncounted before it is sent.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from promptop.base.sqlite import connect_for_reading


def outbox_path(log: Path) -> Path:
    """Return the file that keeps how far a log is shipped."""
    return log.with_name(f"{log.name}.ship")


def confirmed_id(log: Path) -> int | None:
    """Return the id up to which rows are confirmed; None for a log that nobody ships."""
    path = outbox_path(log)
    if not path.exists():
        return None
    with contextlib.closing(connect_for_reading(path)) as connection:
        try:
            found = connection.execute("SELECT value FROM ship WHERE key = 'acked'").fetchone()
        except sqlite3.OperationalError:  # begun and not yet filled: nothing is confirmed
            found = None
    return int(found[0]) if found else 0


def problem_of(log: Path) -> str:
    """Return why rows of a log cannot be shipped now; empty where they can, and for a log that nobody ships."""
    path = outbox_path(log)
    if not path.exists():
        return ""
    try:
        with contextlib.closing(connect_for_reading(path)) as connection:
            found = connection.execute("SELECT value FROM ship WHERE key = 'last_error'").fetchone()
    except sqlite3.Error as error:
        return f"{path.name} cannot be read: {error}"
    return str(found[0]) if found else ""


def floor_ms(rows: sqlite3.Connection, confirmed: int | None) -> int | None:
    """Return the start of the earliest row that waits to be shipped, Unix milliseconds; None if none does."""
    if confirmed is None:
        return None
    found = rows.execute("SELECT min(started_ms) FROM requests NOT INDEXED WHERE id > ?", (confirmed,)).fetchone()[0]
    return None if found is None else int(found)
