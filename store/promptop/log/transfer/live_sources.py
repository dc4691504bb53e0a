"""Logs of other programs, read while they grow: LiteLLM's spend logs in PostgreSQL, and the database of ``llm``.

Rows are copied into a private log that goes when the process goes, so that every screen and report reads them as rows
of ours. The source is only ever read.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    from promptop.log.row import Row
# The rest is imported where a source is opened: every start of the app asks whether its log is one, and few are.

_POLL_S = 1.0
_LONGEST_WAIT_S = 30.0
_BATCH = 500
POSTGRES = ("postgres", "postgresql")


class LiveSource(Protocol):
    """Where rows come from."""

    title: str
    """What it is, for people; without a password."""

    def new_rows(self) -> Iterator[list[Row]]:
        """Yield what came since the last time, in batches; raises :class:`PromptopError` if it cannot be read."""

    def close(self) -> None:
        """Let go of the source."""


def is_live(place: Path | str) -> bool:
    """Tell whether ``--log`` names a live source: an address of PostgreSQL, or a database of ``llm``."""
    return is_postgres(place) if isinstance(place, str) else bool(_llm_tables(place))


def is_postgres(text: str) -> bool:
    """Tell whether a text is an address of PostgreSQL."""
    return text.partition("://")[0] in POSTGRES and "://" in text


def open_live(place: Path | str, folder: Path, since_ms: int) -> Mirror:
    """Return a mirror of a live source that holds what started since a time; raises :class:`PromptopError`."""
    from promptop.log.transfer.replays import private_folder

    source: LiveSource
    if isinstance(place, str):
        from promptop.log.transfer.litellm_postgres import LiteLLMSource

        source = LiteLLMSource(place, since_ms)
    else:
        source = LlmSource(place)
    mirror = Mirror(source, private_folder(folder) / f"{'litellm' if isinstance(place, str) else place.stem}.db")
    try:
        mirror.sync()
    except BaseException:
        mirror.close()
        raise
    return mirror


_followed: dict[Path, Mirror] = {}


def problem_of(log: Path) -> str:
    """Return why the source of a followed log cannot be read now; empty while it can, and for every other log."""
    mirror = _followed.get(log)
    return mirror.problem if mirror is not None else ""


class Mirror:
    """A private log that follows a live source."""

    def __init__(self, source: LiveSource, log: Path) -> None:
        self.source, self.log = source, log
        self.problem = ""
        """Why the source cannot be read now; empty while it can."""
        from promptop.log import files
        from promptop.log.transfer.imports import RowsInserter

        self._lock = threading.Lock()
        self._inserter = RowsInserter(log)
        self._stop = threading.Event()
        with contextlib.closing(files.open_log(log)):
            pass  # a source without rows is an empty log, and not a missing one

    def sync(self) -> int:
        """Bring in what is new; return the number of rows. Raises :class:`PromptopError`."""
        from promptop.log.write.pending import Finished

        with self._lock:
            return sum(
                self._inserter.insert(Finished(row) for row in batch)[0] for batch in self.source.new_rows() if batch
            )

    def follow(self) -> None:
        """Go on bringing in what is new on a thread, until :meth:`close` or the end of the process."""
        _followed[self.log] = self
        threading.Thread(target=self._follow, name="promptop-live", daemon=True).start()

    def close(self) -> None:
        """End following and let go of source and log."""
        self._stop.set()
        _followed.pop(self.log, None)
        with self._lock:
            self.source.close()
            self._inserter.close()

    def _follow(self) -> None:
        wait_s = _POLL_S
        while not self._stop.wait(wait_s):
            try:
                self.sync()
            except (PromptopError, sqlite3.Error, OSError) as error:
                self.problem = error.cause if isinstance(error, PromptopError) else str(error)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                self.problem, wait_s = "", _POLL_S


class LlmSource:
    """The database of ``llm`` (``llm logs path``), read by rowid."""

    def __init__(self, path: Path) -> None:
        self.title = str(path)
        self._path = path
        self._after: dict[str, int] = {}

    def new_rows(self) -> Iterator[list[Row]]:
        """Yield the calls that were added."""
        from promptop.base.sqlite import connect_for_reading
        from promptop.log import files
        from promptop.log.transfer import external_formats
        from promptop.log.write.row_pricing import price_row

        batch: list[Row] = []
        try:
            with contextlib.closing(connect_for_reading(self._path, timeout_s=5)) as connection:
                connection.row_factory = sqlite3.Row
                tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                for call in external_formats.llm_calls(connection, tables, self._after):
                    if call.row.started_ms is None:
                        continue
                    price_row(call.row, call.usage)
                    batch.append(call.row)
                    if len(batch) >= _BATCH:
                        yield batch
                        batch = []
        except sqlite3.Error as error:
            raise files.explain(self._path, error) from None
        yield batch

    def close(self) -> None:
        """Nothing stays open between reads."""


def _llm_tables(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    from promptop.base.sqlite import connect_for_reading

    with contextlib.suppress(OSError, sqlite3.Error):
        with path.open("rb") as file:
            if file.read(16) != b"SQLite format 3\0":
                return set()
        with contextlib.closing(connect_for_reading(path)) as connection:
            tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return set() if "requests" in tables else tables & {"responses", "turns"}
    return set()
