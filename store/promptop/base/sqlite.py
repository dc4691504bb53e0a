"""SQLite files: private, in WAL mode, migrated on open, each failure with its cause and remedy."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.files import create_private

if TYPE_CHECKING:
    from sqlite_utils import Database

BUSY_S = 5.0
"""How long a write waits for another process's transaction, seconds."""


class _Remembered(sqlite3.Connection):
    """A connection that is known until it is closed."""

    def close(self) -> None:
        _open.pop(self, None)
        super().close()


_open: weakref.WeakKeyDictionary[_Remembered, Path] = weakref.WeakKeyDictionary()


def open_here(path: Path) -> list[sqlite3.Connection]:
    """Return this process's connections to a file and to those beside it whose names begin with its name."""
    return [
        connection
        for connection, opened in list(_open.items())
        if opened.parent == path.absolute().parent and opened.name.startswith(path.name)
    ]


def _connected(path: Path, uri: str, timeout_s: float, statements: int = 128) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=statements,
        factory=_Remembered,
    )
    _open[connection] = path.absolute()
    return connection


def connect(path: Path, *, timeout_s: float = BUSY_S, page_size: int = 4096) -> sqlite3.Connection:
    """Open a file for writing without implicit transactions; raises :class:`sqlite3.Error` or :class:`OSError`.

    ``page_size`` in bytes holds for a file that is created.
    """
    create_private(path)
    # rw, not rwc: a file deleted in between is an error here and not a new file with the umask's mode.
    connection = _connected(path, f"{path.absolute().as_uri()}?mode=rw", timeout_s, 300)
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


def in_memory() -> sqlite3.Connection:
    """Open tables that are gone with the process, without implicit transactions."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def connect_for_reading(path: Path, *, timeout_s: float = 1.0) -> sqlite3.Connection:
    """Open a file that exists, read-only, also on a medium where nothing can be written beside it."""
    uri = f"{path.absolute().as_uri()}?mode=ro"

    def opened(uri: str) -> sqlite3.Connection:
        connection = _connected(path, uri, timeout_s)
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


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of what is done inside, or nothing if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def backup(source: Path, target: Path) -> None:
    """Copy a file in use to ``target`` as one file; raises :class:`sqlite3.Error` or :class:`OSError`.

    It is written beside its place, checked, and then moved there: a backup that is cut short or of a damaged file
    replaces nothing.
    """
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    create_private(part)
    with closing(connect_for_reading(source)) as read, closing(sqlite3.connect(part)) as write:
        read.backup(write)
        write.execute("PRAGMA journal_mode = DELETE").fetchone()
        problem = write.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        part.unlink()
        raise sqlite3.DatabaseError(f"database disk image is malformed: {problem}")
    for suffix in ("-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
    part.replace(target)


def explain(path: Path, error: BaseException, remedy: str, *, room: str = "Free some space.") -> PromptopError:
    """Turn a failure to open or use a file into a cause and a remedy.

    ``remedy`` is for a file that is damaged or not SQLite's, ``room`` for a full disk.
    """
    if isinstance(error, PromptopError):
        return error
    text = str(error).lower()
    if "not a database" in text or "malformed" in text:
        what = "is not an SQLite file" if "not a database" in text else "is damaged"
        return PromptopError(f"{path} {what}.", remedy)
    if "locked" in text or "busy" in text:
        return PromptopError(
            f"{path} is locked by another program.", "Close the program that holds it open (lsof names it), then retry."
        )
    if "full" in text:
        return PromptopError(f"The disk of {path} is full.", room)
    closed = path.exists() and not os.access(path.parent, os.W_OK)  # a WAL file cannot be made there
    if closed or any(word in text for word in ("readonly", "read-only", "permission")):
        return PromptopError(f"{path} cannot be written.", "Check the permissions of the file and of its folder.")
    if path.is_dir():
        return PromptopError(f"{path} is a folder.", "Move it away, or name a file.")
    return PromptopError(
        f"{path} cannot be opened ({error}).", "Check that its folder exists and that you may read and write there."
    )


Migration = Callable[["Database"], None]
PlainMigration = Callable[[sqlite3.Connection], None]


class MigratedFile:
    """A file that stays open from its first transaction until it is closed, brought to the newest schema first.

    Opening takes some milliseconds and closing writes the journal back (8 to 200 ms on a busy disk): what writes often
    keeps the file open. One transaction at a time.
    """

    def __init__(self, path: Path, migrations: Sequence[PlainMigration], *, secure_delete: bool = False) -> None:
        """``migrations`` are numbered by their place: PRAGMA user_version says how many of them a file has seen.

        ``secure_delete`` overwrites with zeros what is deleted.
        """
        self._path, self._migrations, self._secure_delete = path, migrations, secure_delete
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Begin an immediate transaction, opening the file first.

        Raises :class:`PromptopError` for whatever the file cannot do, and for a file of a newer promptop.
        """
        try:
            is_new = self._connection is None
            connection = self._connection = self._connection or self._open()
            with transaction(connection):
                if is_new:
                    _migrate(self._path, connection, self._migrations)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise explain(self._path, error, "Move it away; a new one is created.") from None

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._path)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            if self._secure_delete:
                connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def _migrate(path: Path, connection: sqlite3.Connection, migrations: Sequence[PlainMigration]) -> None:
    seen = connection.execute("PRAGMA user_version").fetchone()[0]
    if seen > len(migrations):
        raise PromptopError(f"{path} is of a newer promptop.", "Update promptop.")
    for migration in migrations[seen:]:
        migration(connection)
    if seen < len(migrations):
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def tables(path: Path, migrations: Sequence[Migration], *, secure_delete: bool = False) -> Iterator[Database]:
    """Open a file of tables (sqlite-utils) for one immediate transaction, brought to the newest schema first."""
    file = TableFile(path, migrations, secure_delete=secure_delete)
    try:
        with file.transaction() as database:
            yield database
    finally:
        file.close()


class TableFile:
    """A :class:`MigratedFile` whose tables are those of sqlite-utils, which takes 0.2 s to import."""

    def __init__(self, path: Path, migrations: Sequence[Migration], *, secure_delete: bool = False) -> None:
        """As for :class:`MigratedFile`, whose migrations take a connection."""
        plain = [lambda connection, step=step: step(_tables_of(connection)) for step in migrations]
        self._file = MigratedFile(path, plain, secure_delete=secure_delete)

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Begin an immediate transaction as :class:`MigratedFile` does."""
        with self._file.transaction() as connection:
            yield _tables_of(connection)

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        self._file.close()


def _tables_of(connection: sqlite3.Connection) -> Database:
    from sqlite_utils import Database

    # Plugins of sqlite-utils that the user has for other work stay out of this process.
    return Database(connection, execute_plugins=False)
