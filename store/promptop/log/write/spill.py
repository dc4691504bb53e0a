"""A file beside the log for rows that SQLite cannot take now: locked for long, full, read-only.

One file per process, one line of JSON a row, written as soon as a row is made, so that it outlives ``kill -9``. When
the log can be written again the rows go into it in their order, each batch in one transaction with a mark of how far
the file has been read: no row is read twice, whatever ends the process. Whoever opens the log next does that for a
process that has ended. Bodies are in it only where the log keeps them as they are.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from promptop.log import files
from promptop.log.row import COLUMNS, Row
from promptop.log.write.pending import Bodies, Finished

_MARKS = "CREATE TABLE IF NOT EXISTS spill_marks (file TEXT PRIMARY KEY, bytes INTEGER NOT NULL)"
_BATCH_BYTES = 4 << 20
"""Bytes of the largest batch that is read back at once."""
_LONGEST_LINE = 256 << 20


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where the rows of a file are in the log."""

    file: str
    """Its name, without its folder."""
    place: int
    """Bytes."""

    def write(self, cursor: sqlite3.Cursor) -> None:
        """Note it in the log, inside a transaction; a file is never unread."""
        cursor.execute(_MARKS)
        cursor.execute(
            "INSERT INTO spill_marks VALUES (?, ?) ON CONFLICT (file) DO UPDATE SET bytes = max(bytes, excluded.bytes)",
            (self.file, self.place),
        )


class Spill:
    """The spill file of one process."""

    def __init__(self, log: Path, path: Path | None = None, *, create: bool = False) -> None:
        """``path`` names the file of a process that has ended, or one to ``create``; raises :class:`OSError`."""
        create = create or path is None
        self.path = path or files.spill_path(log, f"{os.getpid()}-{time.time_ns():x}")
        # Locked before it has its name: whoever looks for files of processes that have ended never finds it free.
        opened = self.path.with_name(f".{self.path.name}") if create else self.path
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | (os.O_CREAT if create else 0)
        self._file: IO[bytes] = os.fdopen(os.open(opened, flags, 0o600), "r+b")
        self._owned = _locked(self._file)
        if create:
            opened.rename(self.path)
        self.size = os.fstat(self._file.fileno()).st_size
        self.rows = 0
        """Rows added and not read back."""
        self._read = 0

    @property
    def owned(self) -> bool:
        """Whether no other process has it."""
        return self._owned

    @property
    def left(self) -> bool:
        """Whether there is something to read back."""
        return self._read < self.size

    def add(self, finished: list[Finished], mode: Bodies, mark: Mark | None = None) -> int:
        """Append rows; return how many of them lost their bodies. Raises :class:`OSError`, and then adds nothing.

        ``mark`` is of the file of outlines, which these rows settle once they are in the log.
        """
        lost = 0
        lines = []
        for one in finished:
            entry = _entry(one.row)
            kept = one.bodies or mode
            if kept == "full" or (kept == "redacted" and one.redacted):
                entry["mode"] = kept
                for name in ("request_body", "response_body"):
                    data = getattr(one, name)
                    if data is not None:
                        entry[name] = base64.b64encode(data).decode("ascii")
            elif kept != "off":
                lost += 1
            if mark is not None and one is finished[-1]:
                entry["settles"] = [mark.file, mark.place]
            lines.append(_line(entry))
        self.append(lines)
        return lost

    def append(self, lines: list[bytes]) -> None:
        """Append lines; raises :class:`OSError`, and then adds nothing."""
        data = b"".join(lines)
        left = memoryview(data)
        try:
            # Not through the buffer: a fork in between would have the child write what is in it once more.
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self.size)
            raise
        self.size += len(data)
        self.rows += len(lines)

    def next(self, cursor: sqlite3.Cursor, most: int) -> tuple[list[Finished], int]:
        """Return the next rows and the place behind them, inside a transaction that holds the log."""
        cursor.execute(_MARKS)
        found = cursor.execute("SELECT bytes FROM spill_marks WHERE file = ?", (self.path.name,)).fetchone()
        place = int(found[0]) if found is not None else 0
        rows: list[Finished] = []
        self._file.seek(place)
        begun = place
        while len(rows) < most and place - begun < _BATCH_BYTES:
            line = self._file.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                if place + len(line) >= self.size and self._owned:
                    place += len(line)  # a process was ended while it wrote this one
                break
            place += len(line)
            one, mark = _finished(line)
            if one is not None:
                rows.append(one)
            if mark is not None:
                mark.write(cursor)
        cursor.execute("INSERT OR REPLACE INTO spill_marks VALUES (?, ?)", (self.path.name, place))
        return rows, place

    def have_read(self, place: int, count: int) -> None:
        """Note that the rows up to a place are committed."""
        self._read = place
        self.rows = max(0, self.rows - count)

    def remove(self, connection: sqlite3.Connection) -> None:
        """Delete the file, then its mark: in this order, for a mark without a file harms nobody."""
        self.path.unlink(missing_ok=True)
        self.close()
        with contextlib.suppress(sqlite3.Error):
            connection.execute("DELETE FROM spill_marks WHERE file = ?", (self.path.name,))

    def close(self) -> None:
        """Let go of the file; what is left in it waits for whoever opens the log next."""
        with contextlib.suppress(OSError):
            self._file.close()


def orphans(log: Path) -> Iterator[Spill]:
    """Yield the files of processes that have ended, the oldest first; outlines last, which rows of others settle."""
    try:
        names = [
            path
            for kind in ("spill", "outlines")
            for path in sorted(log.parent.glob(f"{log.name}.{kind}-*"), key=lambda path: path.stat().st_mtime)
        ]
    except OSError:
        return
    for path in names:
        try:
            spill = Spill(log, path)
        except OSError:
            continue
        if spill.owned:
            yield spill
        else:
            spill.close()


def waiting(log: Path, connection: sqlite3.Connection) -> int:
    """Return the bytes of rows and outlines beside a log that are not in it; ``connection`` reads the log."""
    marks: dict[str, int] = {}
    with contextlib.suppress(sqlite3.OperationalError):  # nothing was ever read back
        marks = dict(connection.execute("SELECT file, bytes FROM spill_marks").fetchall())
    total = 0
    for kind in ("spill", "outlines"):
        for path in log.parent.glob(f"{log.name}.{kind}-*"):
            with contextlib.suppress(OSError):  # taken in meanwhile
                total += max(0, path.stat().st_size - marks.get(path.name, 0))
    return total


def line_of(row: Row) -> bytes:
    """Return a row as a line of such a file."""
    return _line(_entry(row))


def _entry(row: Row) -> dict[str, Any]:
    return {"row": {name: v for name in COLUMNS if (v := getattr(row, name)) is not None}}


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), default=str).encode("ascii") + b"\n"


def _finished(line: bytes) -> tuple[Finished | None, Mark | None]:
    try:
        entry = json.loads(line)
        row = Row(**{name: value for name, value in entry["row"].items() if name in _KNOWN})
        file, place = entry.get("settles") or ("", 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, None
    done = Finished(row, bodies=entry.get("mode", "off"), redacted=entry.get("mode") == "redacted")
    for name in ("request_body", "response_body"):
        if isinstance(entry.get(name), str):
            with contextlib.suppress(ValueError):
                setattr(done, name, base64.b64decode(entry[name]))
    return done, Mark(str(file), int(place)) if file else None


_KNOWN = frozenset(COLUMNS)


def _locked(file: IO[bytes]) -> bool:
    """Hold a file until it is closed or the process ends; False if another process holds it."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
