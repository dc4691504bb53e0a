"""Where the log's files lie, and how a log is told from another file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from promptop.base import sqlite
from promptop.base.errors import PromptopError
from promptop.base.sqlite import BUSY_S, connect, connect_for_reading
from promptop.log import schema


def rollups_path(log: Path) -> Path:
    """Return the sidecar of derived sums, which may be deleted and rebuilt at any time."""
    return log.with_name(f"{log.name}.rollups")


def bodies_path(log: Path) -> Path:
    """Return the sidecar of kept bodies, which exists only where bodies are kept."""
    return log.with_name(f"{log.name}.bodies")


def spill_path(log: Path, name: str) -> Path:
    """Return the file in which a process keeps rows while the log cannot be written."""
    return log.with_name(f"{log.name}.spill-{name}")


def outlines_path(log: Path, name: str) -> Path:
    """Return the file in which a process keeps outlines of calls whose rows are late."""
    return log.with_name(f"{log.name}.outlines-{name}")


def logs_in(folder: Path) -> list[Path]:
    """Return the request logs of a folder by name, and no other SQLite file of it; raises :class:`OSError`."""
    found = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.endswith(("-wal", "-shm", ".rollups", ".bodies", ".ship")):
            continue
        with path.open("rb") as file:
            if not file.read(16).startswith(b"SQLite format 3"):
                continue
        # By SQLite and not from the header's bytes: those of a new log may still be in its WAL.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_for_reading(path)) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID:
                found.append(path)
    return found


def open_log(path: Path, *, timeout_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a log for writing, created or migrated where needed.

    Raises :class:`sqlite3.Error`, :class:`OSError` or, for a file that is not ours or newer, :class:`PromptopError`.
    """
    if path.exists() and path.stat().st_size:
        # A file that is not ours is left as it is: not even its journal mode is changed.
        with contextlib.closing(connect_for_reading(path, timeout_s=timeout_s)) as look:
            schema.version_of(look)
    connection = connect(path, timeout_s=timeout_s)
    try:
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def explain(path: Path, error: BaseException) -> PromptopError:
    """Turn a failure to open or use a log into a cause and a remedy."""
    return sqlite.explain(
        path,
        error,
        "promptop log recover saves what can be read of it; or choose another log with --log or [log] path.",
        room="Free some space, or prune the log: promptop log prune",
    )
