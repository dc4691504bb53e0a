"""Files of tables: private, migrated on open, and failures with a remedy."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptop.base import sqlite
from promptop.base.errors import PromptopError
from promptop.experiments.bench.baselines import Baselines

if TYPE_CHECKING:
    from sqlite_utils import Database


def first(database: Database) -> None:
    database.table("things").create({"name": str}, pk="name")


def second(database: Database) -> None:
    database.table("things").add_column("size", int)


def test_a_file_is_private_and_migrated_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "new" / "things.db"
    with sqlite.tables(path, (first,)) as database:
        database.table("things").insert({"name": "old"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with sqlite.tables(path, (first, second)) as database:
        assert list(database.table("things").rows) == [{"name": "old", "size": None}]
    with pytest.raises(PromptopError, match="newer promptop"), sqlite.tables(path, (first,)):
        pass


def test_a_failure_inside_takes_the_whole_transaction_back(tmp_path: Path) -> None:
    path = tmp_path / "things.db"
    with pytest.raises(PromptopError, match="cannot be opened"), sqlite.tables(path, (first,)) as database:
        database.table("things").insert({"name": "lost"})
        database.execute("SELECT * FROM nowhere")
    with sqlite.tables(path, (first,)) as database:
        assert database.table("things").count == 0


@pytest.mark.parametrize("kind", ["folder", "text", "other"])
def test_what_cannot_be_used_is_said_with_a_remedy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bench.db"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no database at all, but long enough to be read as a header of one" * 20)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
            connection.commit()
    with pytest.raises(PromptopError) as caught:
        Baselines(path).load("x")
    assert caught.value.remedy


def test_a_baseline_of_before_the_versions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bench.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE baselines (name TEXT PRIMARY KEY, saved_ms INTEGER, asked TEXT, phases TEXT)")
        connection.execute("INSERT INTO baselines VALUES ('old', 1, 'a', '[]')")
        connection.commit()
    assert Baselines(path).load("old").saved_ms == 1
