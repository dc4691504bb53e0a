"""Named prompts with their versions, in one SQLite file that plain ``sqlite3`` reads well.

A version is never changed: saving the same text again gives the version that has it, another text gives a new one.
Several processes may use the file at once (WAL, every write begins immediately). Methods block: call them on a thread.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from promptop import settings
from promptop.errors import PromptopError
from promptop.prompts.receipt import Receipt, receipt_from

SCHEMA = 2
_CREATE = """
CREATE TABLE prompts (
    name TEXT PRIMARY KEY,
    tags TEXT NOT NULL DEFAULT ''            -- with blanks between and around them
);
CREATE TABLE versions (
    name TEXT NOT NULL REFERENCES prompts (name) ON UPDATE CASCADE ON DELETE CASCADE,
    version INTEGER NOT NULL,                -- from 1
    saved_at_ms INTEGER NOT NULL,            -- Unix time
    text TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, version)
);
"""
_ADD_RECEIPT = "ALTER TABLE versions ADD COLUMN receipt TEXT"
"""JSON of the trim receipt, its proof run included; NULL where there is none."""
_FIELDS = "version, saved_at_ms, text, note, receipt"


@dataclass(frozen=True, slots=True)
class Entry:
    """A named prompt."""

    name: str
    versions: int
    """Number of the newest version."""
    saved_at_ms: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One text of a named prompt."""

    name: str
    version: int
    saved_at_ms: int
    text: str
    note: str = ""
    receipt: Receipt | None = None
    """What trimming it came to, and whether the answers held; None where it was not trimmed."""

    @property
    def label(self) -> str:
        """Name and number, for people."""
        return f"{self.name} v{self.version}"


def library_path() -> Path:
    """Return the library's file, whether it exists or not."""
    return settings.data_dir() / "library.db"


class Library:
    """The library in one file; created at the first use."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = library_path() if path is None else path

    def save(
        self,
        name: str,
        text: str,
        *,
        now_ms: int,
        note: str = "",
        tags: Iterable[str] = (),
        receipt: Receipt | None = None,
    ) -> Version:
        """Save a text under a name and return its version; tags are added to those the prompt has.

        A text that is the newest version already keeps its note, and takes the receipt if one is given: a proof may
        come after the saving.

        Raises :class:`PromptopError` for an empty name and for a file that cannot be used, as all methods do.
        """
        name = " ".join(name.split())
        if not name:
            raise PromptopError("A prompt in the library needs a name.", "Type one.")
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO prompts (name) VALUES (?)", (name,))
            if tags:
                (known,) = database.execute("SELECT tags FROM prompts WHERE name = ?", (name,)).fetchone()
                joined = " ".join(dict.fromkeys([*known.split(), *tags]))
                database.execute("UPDATE prompts SET tags = ? WHERE name = ?", (f" {joined} ", name))
            row = database.execute(
                f"SELECT {_FIELDS} FROM versions WHERE name = ? ORDER BY version DESC LIMIT 1", (name,)
            ).fetchone()
            written = json.dumps(receipt.as_dict(), ensure_ascii=False) if receipt is not None else None
            if row is not None and row[2] == text:
                if written is not None:
                    database.execute(
                        "UPDATE versions SET receipt = ? WHERE name = ? AND version = ?", (written, name, row[0])
                    )
                return _version(name, row[0], row[1], row[2], row[3], written or row[4])
            number = 1 if row is None else row[0] + 1
            database.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)", (name, number, now_ms, text, note, written)
            )
            return Version(name, number, now_ms, text, note, receipt)

    def entries(self, search: str = "") -> list[Entry]:
        """Return the prompts whose name, tags or newest text contain every word of ``search``, newest first."""
        words = search.split()
        condition = " AND ".join(
            [r"(p.name || ' ' || p.tags || ' ' || v.text) LIKE ? ESCAPE '\'"] * len(words) or ["1"]
        )
        likes = ["%" + word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%" for word in words]
        with self._open() as database:
            rows = database.execute(
                "SELECT p.name, v.version, v.saved_at_ms, p.tags FROM prompts p JOIN versions v ON v.name = p.name"
                " WHERE v.version = (SELECT max(version) FROM versions WHERE name = p.name)"
                f" AND {condition} ORDER BY v.saved_at_ms DESC, p.name",  # only fixed text is put in
                likes,
            ).fetchall()
        return [Entry(name, version, saved, tuple(tags.split())) for name, version, saved, tags in rows]

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a prompt, newest first; none if there is no such prompt."""
        with self._open() as database:
            rows = database.execute(
                f"SELECT {_FIELDS} FROM versions WHERE name = ? ORDER BY version DESC", (name,)
            ).fetchall()
        return [_version(name, *row) for row in rows]

    def rename(self, name: str, new_name: str) -> None:
        """Give a prompt another name, with all its versions; raise :class:`PromptopError` if that name is taken."""
        new_name = " ".join(new_name.split())
        if not new_name:
            raise PromptopError("A prompt in the library needs a name.", "Type one.")
        if new_name == name:
            return
        with self._open() as database:
            if database.execute("SELECT 1 FROM prompts WHERE name = ?", (new_name,)).fetchone():
                raise PromptopError(f"There is a prompt {new_name!r} already.", "Type another name.")
            database.execute("UPDATE prompts SET name = ? WHERE name = ?", (new_name, name))

    def delete(self, name: str) -> None:
        """Remove a prompt with all its versions."""
        with self._open() as database:
            database.execute("DELETE FROM prompts WHERE name = ?", (name,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction, creating or migrating it first."""
        try:
            settings.private_dir(self.path.parent)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self.path, timeout=5.0, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise PromptopError(f"The library {self.path} cannot be opened: {error}.", "Check its folder.") from None
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("BEGIN IMMEDIATE")
            self._migrate(database)
            yield database
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise PromptopError(
                f"The library {self.path} cannot be used: {error}.", "Move it away; a new one is created."
            ) from None
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
            database.close()

    def _migrate(self, database: sqlite3.Connection) -> None:
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found > SCHEMA:
            raise PromptopError(f"The library {self.path} is of a newer promptop.", "Update promptop.")
        if found < 1:
            for statement in _CREATE.split(";\n"):
                if statement.strip():
                    database.execute(statement)
        if found < 2:
            database.execute(_ADD_RECEIPT)
            database.execute(f"PRAGMA user_version = {SCHEMA}")


def _version(name: str, number: int, saved_at_ms: int, text: str, note: str, receipt: str | None) -> Version:
    """Build a version from its row; a receipt that a newer promptop wrote otherwise is left out, the text is not."""
    try:
        read = receipt_from(json.loads(receipt)) if receipt else None
    except (ValueError, TypeError, KeyError):
        read = None
    return Version(name, number, saved_at_ms, text, note, read)
