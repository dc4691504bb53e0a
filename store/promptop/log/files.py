"""Where the log's files lie and how they are opened: 0600, in WAL mode, each failure with its cause and remedy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.log import schema

BUSY_S = 5.0
"""How long a write waits for another process's transaction, seconds."""


def rollups_path(log: Path) -> Path:
    """Return the sidecar of derived sums, which may be deleted and rebuilt at any time."""
    return log.with_name(f"{log.name}.rollups")


def bodies_path(log: Path) -> Path:
    """Return the sidecar of kept bodies, which exists only where bodies are kept."""
    return log.with_name(f"{log.name}.bodies")


def logs_in(folder: Path) -> list[Path]:
    """Return the request logs of a folder by name, and no other SQLite file of it; raises :class:`OSError`."""
    found = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.endswith(("-wal", "-shm", ".rollups", ".bodies")):
            continue
        with path.open("rb") as file:
            if not file.read(16).startswith(b"SQLite format 3"):
                continue
        # By SQLite and not from the header's bytes: those of a new log may still be in its WAL.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_for_reading(path)) as connection:
            if connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID:
                found.append(path)
    return found


def identity(path: Path) -> tuple[int, int] | None:
    """Return (device, inode) of a file, or None if there is none: it changes when a file is deleted or replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create_private(path: Path) -> bool:
    """Create an empty file with mode 0600 in a folder with mode 0700; return whether it was not there before."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        return False
    return True


def connect(path: Path, *, timeout_s: float = BUSY_S, page_size: int = 4096) -> sqlite3.Connection:
    """Open a file for writing without implicit transactions; raises :class:`sqlite3.Error` or :class:`OSError`.

    ``page_size`` in bytes holds for a file that is created.
    """
    create_private(path)
    # rw, not rwc: a file deleted in between is an error here and not a new file with the umask's mode.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=300,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {int(timeout_s * 1000)}")
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            # Both must come before the first table; the second lets retention give pages back to the disk.
            connection.execute(f"PRAGMA page_size = {page_size}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL and FULL differ only at power loss; neither loses a committed row when the process is killed.
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_for_reading(path: Path, *, timeout_s: float = 1.0) -> sqlite3.Connection:
    """Open a file that exists, read-only, also on a medium where nothing can be written beside it."""
    uri = f"{path.absolute().as_uri()}?mode=ro"

    def opened(uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    try:
        return opened(uri)
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or not path.is_file():
            raise
    # WAL needs a file beside this one, which cannot be made here; so nobody writes, and none is needed.
    return opened(f"{uri}&immutable=1")


def open_log(path: Path, *, timeout_s: float = BUSY_S) -> sqlite3.Connection:
    """Open a log for writing, created or migrated where needed.

    Raises :class:`sqlite3.Error`, :class:`OSError` or, for a file that is not ours or newer, :class:`PromptopError`.
    """
    if path.exists() and path.stat().st_size:
        # A file that is not ours is left as it is: not even its journal mode is changed.
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=timeout_s)
        ) as look:
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
    if isinstance(error, PromptopError):
        return error
    text = str(error).lower()
    if "not a database" in text or "malformed" in text:
        what = "is not an SQLite file" if "not a database" in text else "is damaged"
        return PromptopError(
            f"{path} {what}.", "Choose another log with --log or [log] path, or move this file away to start a new one."
        )
    if "locked" in text or "busy" in text:
        return PromptopError(
            f"{path} is locked by another program.", "Close the program that holds it open (lsof names it), then retry."
        )
    if "full" in text:
        return PromptopError(f"The disk of {path} is full.", "Free some space, or prune the log: promptop log prune")
    closed = path.exists() and not os.access(path.parent, os.W_OK)  # a WAL file cannot be made there
    if closed or any(word in text for word in ("readonly", "read-only", "permission")):
        return PromptopError(f"{path} cannot be written.", "Check the permissions of the file and of its folder.")
    if path.is_dir():
        return PromptopError(f"{path} is a folder.", "Name a file in it, for example log.db.")
    return PromptopError(
        f"{path} cannot be opened ({error}).", "Check that its folder exists and that you may read and write there."
    )
