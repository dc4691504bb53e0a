"""The schema: each step from the one before with rows in it, views, and the documentation beside them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect
from promptop.log import COLUMNS, LogReader, Row, Writer, files, schema

DOCS = Path(__file__).parents[3] / "docs" / "log.md"


def old_log(path: Path, version: int, rows: int) -> None:
    """Create a log of an older version, with rows."""
    with closing(connect(path)) as connection:
        schema.migrate(connection, upto=version)
        for number in range(rows):
            connection.execute("INSERT INTO requests (started_ms, app) VALUES (?, 'old')", (NOON + number,))


@pytest.mark.parametrize("version", range(1, schema.VERSION))
def test_each_version_is_migrated_with_its_rows_when_a_writer_opens_it(tmp_path: Path, version: int) -> None:
    path = tmp_path / "log.db"
    old_log(path, version, 3)
    with LogReader(path) as reader:
        assert len(reader.latest(9)) == 3  # an older log is read as it is
        with Writer(path) as writer:
            writer.put(Row(started_ms=NOON + 9, app="new"))
        assert [row.app for row in reader.latest(9)] == ["new", "old", "old", "old"]
        assert [row.id for row in reader.latest(9)] == [4, 3, 2, 1]
    with closing(sqlite3.connect(path)) as connection:
        assert schema.version_of(connection) == schema.VERSION
        assert connection.execute("SELECT count(*) FROM losses").fetchone() == (0,)
        assert len(connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()[0]) == 32


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.db"
    old_log(path, 1, 2)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (done)")
        connection.execute("not SQL")

    monkeypatch.setattr(schema, "STEPS", (schema.STEPS[0], broken))
    with pytest.raises(sqlite3.OperationalError), closing(files.open_log(path)):
        pass
    with closing(sqlite3.connect(path)) as connection:
        assert schema.version_of(connection) == 1
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert tables == {"requests", "sqlite_sequence"}


def test_a_newer_file_is_refused_by_writers_and_readers(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(1))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    for opening in (files.open_log, LogReader):
        says = rf"newer promptop \(log version {schema.VERSION + 1}; this one knows up to {schema.VERSION}\)"
        with pytest.raises(PromptopError, match=says) as caught:
            opening(path)  # type: ignore[operator]
        assert "Upgrade promptop" in caught.value.remedy


def test_the_table_has_the_rows_fields_and_their_types(tmp_path: Path) -> None:
    """A field added to Row needs a step here: released logs get their columns by steps only."""
    append(tmp_path / "log.db", [])
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        found = {row[1]: row[2] for row in connection.execute("PRAGMA table_info(requests)")}
    assert found == {"id": "INTEGER"} | {f.name: f.metadata["sql"] for f in fields(Row)}


def test_the_views_have_dotted_names_and_times_that_can_be_read(tmp_path: Path) -> None:
    append(
        tmp_path / "log.db",
        [Row(started_ms=NOON + 7, request_model="gpt-4o", cost_usd=0.5, ttft_s=0.25, error_type="timeout")],
    )
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.row_factory = sqlite3.Row
        otel = connection.execute("SELECT * FROM otel").fetchone()
        assert otel["gen_ai.request.model"] == "gpt-4o"
        assert otel["promptop.cost.usd"] == 0.5
        assert otel["promptop.ttft_s"] == 0.25
        assert len(otel.keys()) == len(COLUMNS) + 1
        readable = connection.execute("SELECT * FROM readable").fetchone()
        assert readable["started"] == "2026-11-21T12:00:00.007Z"
        assert (readable["model"], readable["outcome"], readable["usd"]) == ("gpt-4o", "timeout", 0.5)


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(3))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM requests")
    append(path, random_rows(1))
    with LogReader(path) as reader:
        assert reader.last_id() == 4


def test_the_documentation_lists_every_column_as_it_is() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    expected = [
        (f.name, f.metadata["sql"], f.metadata["meaning"], f"`{schema.otel_names()[f.name]}`") for f in fields(Row)
    ]
    assert listed == expected


def test_a_log_is_looked_at_in_one_moment_though_another_process_creates_it(tmp_path: Path) -> None:
    """Between two statements of the look, a writer creates the tables: they must not be taken for another program's."""
    path = tmp_path / "log.db"
    sqlite3.connect(path).close()
    path.touch()
    with closing(connect(path)):  # an empty file in WAL mode
        pass

    class Interrupted(sqlite3.Connection):
        looks = 0

        def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:  # type: ignore[override]
            done = super().execute(sql, *rest)  # type: ignore[arg-type]
            if "application_id" in sql or "sqlite_master" in sql:
                Interrupted.looks += 1
                if Interrupted.looks == 1:
                    with closing(files.open_log(path)):
                        pass
            return done

    with closing(sqlite3.connect(path, isolation_level=None, factory=Interrupted)) as connection:
        assert schema.version_of(connection) == 0
        assert schema.version_of(connection) == schema.VERSION
