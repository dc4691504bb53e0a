"""Named prompts with their versions, in one SQLite file that plain ``sqlite3`` reads well.

A version is never changed: saving the same text again gives the version that has it, another text gives a new one.
Several processes may use the file at once (WAL, every write begins immediately). Methods block: call them on a thread;
the first one imports sqlite-utils (80 ms).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base import sqlite
from promptop.base.errors import PromptopError
from promptop.base.files import data_dir
from promptop.base.toml.records import nearest
from promptop.prompts.receipt import Receipt, receipt_from

if TYPE_CHECKING:
    from sqlite_utils import Database

SCHEMA = 3


@dataclass(frozen=True, slots=True)
class LibraryEntry:
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
    source: str = ""
    """File that the text came from; empty if it came from none."""

    @property
    def label(self) -> str:
        """Name and number, for people."""
        return f"{self.name} v{self.version}"


def library_path() -> Path:
    """Return the library's file, whether it exists or not."""
    return data_dir() / "library.db"


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
        source: str = "",
    ) -> Version:
        """Save a text under a name and return its version; tags are added to those the prompt has, ``-tag`` takes one.

        A text that is the newest version already keeps its note, and takes the receipt if one is given: a proof may
        come after the saving.

        Raises :class:`PromptopError` for an empty name and for a file that cannot be used, as all methods do.
        """
        name = " ".join(name.split())
        if not name:
            raise PromptopError("A prompt in the library needs a name.", "Type one.")
        written = json.dumps(receipt.as_dict(), ensure_ascii=False) if receipt is not None else None
        with self._open() as database:
            prompts, versions = database.table("prompts"), database.table("versions")
            prompts.insert({"name": name, "tags": ""}, pk="name", ignore=True)
            if changes := list(tags):
                known = next(prompts.rows_where("name = ?", [name]))["tags"].split()
                gone = {tag[1:] for tag in changes if tag.startswith("-")}
                kept = [tag for tag in dict.fromkeys([*known, *changes]) if tag not in gone and tag[:1] != "-"]
                prompts.update(name, {"tags": f" {' '.join(kept)} " if kept else ""})
            last = next(versions.rows_where("name = ?", [name], order_by="version desc", limit=1), None)
            if last is not None and last["text"] == text:
                if written is not None:
                    versions.update((name, last["version"]), {"receipt": written})
                return _version({**last, "receipt": written or last["receipt"]})
            number = 1 if last is None else last["version"] + 1
            row: dict[str, Any] = {"name": name, "version": number, "saved_at_ms": now_ms, "text": text, "note": note}
            versions.insert({**row, "receipt": written, "source": source}, pk=("name", "version"))
            return Version(**row, receipt=receipt, source=source)

    def entries(self, search: str = "") -> list[LibraryEntry]:
        """Return the prompts whose name, tags or newest text contain every word of ``search``, newest first.

        A word that begins with ``#`` is a whole tag.
        """
        conditions, values = [], []
        for word in search.split():
            like = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
            is_tag = len(word) > 1 and word[0] == "#"
            column = "p.tags" if is_tag else "p.name || ' ' || p.tags || ' ' || v.text"
            conditions.append(rf"({column}) LIKE ? ESCAPE '\'")
            values.append(f"% {like[1:]} %" if is_tag else f"%{like}%")
        with self._open() as database:
            rows = list(
                database.query(
                    "SELECT p.name, v.version, v.saved_at_ms, p.tags FROM prompts p JOIN versions v ON v.name = p.name"
                    " WHERE v.version = (SELECT max(version) FROM versions WHERE name = p.name)"
                    # Only fixed text is put in.
                    f" AND {' AND '.join(conditions) or '1'} ORDER BY v.saved_at_ms DESC, p.name",
                    values,
                )
            )
        return [
            LibraryEntry(row["name"], row["version"], row["saved_at_ms"], tuple(row["tags"].split())) for row in rows
        ]

    def versions(self, name: str) -> list[Version]:
        """Return the versions of a prompt, newest first; none if there is no such prompt."""
        with self._open() as database:
            rows = database.table("versions").rows_where("name = ?", [name], order_by="version desc")
            return [_version(row) for row in rows]

    def version(self, name: str, number: int | None = None) -> Version:
        """Return a version of a prompt, the newest for None; raise :class:`PromptopError` if there is none."""
        found = self.versions(name)
        if not found:
            names = [entry.name for entry in self.entries()]
            near = nearest(name, names)
            hint = f"Did you mean {near}?" if near else f"Prompts: {', '.join(names[:8]) or 'none yet'}."
            raise PromptopError(f"There is no prompt {name!r} in the library.", hint)
        for version in found:
            if number in (None, version.version):
                return version
        raise PromptopError(f"{name} has no version {number}.", f"Its newest is {found[0].version}.")

    def rename(self, name: str, new_name: str) -> None:
        """Give a prompt another name, with all its versions; raise :class:`PromptopError` if that name is taken."""
        new_name = " ".join(new_name.split())
        if not new_name:
            raise PromptopError("A prompt in the library needs a name.", "Type one.")
        if new_name == name:
            return
        with self._open() as database:
            if database.table("prompts").count_where("name = ?", [new_name]):
                raise PromptopError(f"There is a prompt {new_name!r} already.", "Type another name.")
            # Its versions follow by their foreign key.
            database.execute("UPDATE prompts SET name = ? WHERE name = ?", [new_name, name])

    def delete(self, name: str) -> None:
        """Remove a prompt with all its versions."""
        with self._open() as database:
            database.table("prompts").delete_where("name = ?", [name])

    def _open(self) -> AbstractContextManager[Database]:
        """Open the file for one transaction, creating or migrating it first."""
        return sqlite.tables(self.path, _MIGRATIONS)


def _first(database: Database) -> None:
    """Version 1: names with their tags (blanks between and around them), and the texts that they have had."""
    from sqlite_utils.db import ForeignKey

    database.table("prompts").create({"name": str, "tags": str}, pk="name", not_null={"tags"}, defaults={"tags": ""})
    database.table("versions").create(
        {"name": str, "version": int, "saved_at_ms": int, "text": str, "note": str},
        pk=("name", "version"),
        not_null={"name", "version", "saved_at_ms", "text", "note"},
        defaults={"note": ""},
        foreign_keys=[ForeignKey("versions", "name", "prompts", "name", on_delete="CASCADE", on_update="CASCADE")],
    )


def _second(database: Database) -> None:
    """Version 2: JSON of the trim receipt, its proof run included; NULL where there is none."""
    database.table("versions").add_column("receipt", str)


def _third(database: Database) -> None:
    """Version 3: the file that a version came from."""
    database.table("versions").add_column("source", str, not_null_default="")


_MIGRATIONS = (_first, _second, _third)


def _version(row: dict[str, Any]) -> Version:
    """Build a version from its row; a receipt that a newer promptop wrote otherwise is left out, the text is not."""
    written = row["receipt"]
    try:
        receipt = receipt_from(json.loads(written)) if written else None
    except (ValueError, TypeError, KeyError):
        receipt = None
    return Version(**{**row, "receipt": receipt})
