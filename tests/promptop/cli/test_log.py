"""promptop log, as it is typed."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from promptop import settings
from promptop.cli import main as cli
from promptop.log import COLUMNS, Finished, Row, Writer, files, schema, writer_for
from promptop.log.write.spill import Mark

NOW = time.time_ns() // 1_000_000
DAY = 86_400_000


@pytest.fixture
def log(private_folders: Path) -> Path:
    """Fill the default log: three calls now, one of ten days ago with an answer that would like to be run."""
    path = settings.load().log_path()
    with Writer(path, bodies="full") as writer:
        old = Row(started_ms=NOW - 10 * DAY, app="旧", request_model="gpt-4o", error_type="timeout")
        old.error_message = "\x1b]52;c;aGk=\x07 owned"
        writer.put(old)
        for number in range(3):
            writer.put(
                Finished(
                    Row(
                        started_ms=NOW - 3000 + number,
                        app="web",
                        request_model="gpt-4o-mini",
                        usage_input_tokens=1000,
                        usage_output_tokens=500,
                        ttft_s=0.25,
                        duration_s=2.0,
                        usage_raw='{"prompt_tokens": 1000}',
                    ),
                    b'{"messages": [{"role": "user", "content": "hello"}]}',
                    b"hi",
                )
            )
    return path


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run ``promptop log`` and return what it printed, on stderr if it failed."""
    assert cli.main(["log", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_path_and_an_absent_log(private_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys, "path").strip() == str(private_folders / "data" / "log.db")
    for verb in ("status", "tail", "export", "prune", "rebuild"):
        assert "There is no log" in output(capsys, verb, code=2)
    assert not (private_folders / "data").exists()


def test_status_tells_rows_sizes_and_losses(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("INSERT INTO losses (at_ms, pid, rows, cause) VALUES (?, 1, 12, 'queue full')", (NOW,))
        connection.commit()
    text = output(capsys, "status", "--check")
    assert "12 rows, queue full" in text
    assert "3 kept" in text
    found = json.loads(output(capsys, "status", "--json"))
    assert (found["rows"], found["version"], found["bodies"], found["problems"]) == (4, schema.VERSION, 3, [])
    assert found["losses"][0]["rows"] == 12


def test_status_tells_what_waits_beside_a_locked_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "waiting" not in output(capsys, "status")
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = Writer(log)
        for number in range(30):
            writer.put(Row(started_ms=number))
        assert writer.close()
        other.execute("ROLLBACK")
    (spilled,) = log.parent.glob("*.spill-*")
    size = spilled.stat().st_size
    assert f"{size:,} bytes of rows beside the log" in output(capsys, "status")
    assert json.loads(output(capsys, "status", "--json"))["waiting_bytes"] == size
    outlined = log.with_name(f"{log.name}.outlines-1")
    outlined.write_bytes(b"x" * 100)
    with closing(sqlite3.connect(log)) as connection, connection:
        Mark(outlined.name, 60).write(connection.cursor())
    assert json.loads(output(capsys, "status", "--json"))["waiting_bytes"] == size + 40


def test_the_settings_say_how_much_may_wait(private_folders: Path) -> None:
    config = private_folders / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[log]\nqueue_mb = 2\n", encoding="utf-8")
    writer = writer_for(private_folders / "other.db")
    assert writer.max_bytes == 2 << 20


def test_status_names_a_damaged_sidecar_and_fails(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.rollups_path(log).write_bytes(b"damaged" * 1000)
    assert cli.main(["log", "status"]) == 1
    assert "promptop log rebuild" in capsys.readouterr().out
    assert "from 4 rows" in output(capsys, "rebuild")
    assert "up to date" in output(capsys, "status")


def test_tail_prints_the_latest_rows_without_their_control_characters(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output(capsys, "tail")
    assert len(text.splitlines()) == 4
    assert "timeout" in text.splitlines()[0]
    assert "$0.00045" in text
    assert "\x1b" not in text
    assert len(output(capsys, "tail", "-n", "2").splitlines()) == 2
    assert len(output(capsys, "tail", "model:gpt-4o", "status:error").splitlines()) == 1
    row = json.loads(output(capsys, "tail", "--json", "-n", "1"))
    assert (row["app"], row["usage_raw"]) == ("web", {"prompt_tokens": 1000})
    assert "\x1b" not in output(capsys, "tail", "--json", "status:error")
    assert "Did you mean model?" in output(capsys, "tail", "modle:x", code=2)


def test_tail_follows_what_another_process_writes(log: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from promptop.cli.main import main; main(['log', 'tail', '-f', '-n', '1', 'app:new'])"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
    reading.start()
    try:
        with Writer(log) as writer:
            deadline = time.monotonic() + 20
            while not lines:  # whatever is written while it starts is either in its first page or new
                writer.put(Row(app="new", request_model="followed"))
                writer.put(Row(app="other", request_model="not asked for"))
                threading.Event().wait(0.1)
                assert time.monotonic() < deadline
    finally:
        child.terminate()
        child.wait()
        reading.join()
        child.stdout.close()
    assert "followed" in lines[0]
    assert "not asked for" not in "".join(lines)


def test_prune_by_age_keeps_what_is_younger(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "0 rows" in output(capsys, "prune")
    assert "An age of 0" in output(capsys, "prune", "--older-than", "0d", code=2)
    assert "is not an age" in output(capsys, "prune", "--older-than", "soon", code=2)
    assert json.loads(output(capsys, "prune", "--older-than", "3d", "--yes", "--json"))["rows"] == 1
    assert len(output(capsys, "tail").splitlines()) == 3


def test_backup_is_a_whole_log_with_its_bodies(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "backup.db"
    assert output(capsys, "backup", str(target)).splitlines() == [str(target), f"{target}.bodies"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert len(output(capsys, "tail", "--log", str(target)).splitlines()) == 4
    assert json.loads(output(capsys, "status", "--json", "--log", str(target)))["bodies"] == 3
    assert "exists already" in output(capsys, "backup", str(target), code=2)
    assert output(capsys, "backup", str(target), "--force")
    assert sorted(path.name for path in tmp_path.glob("backup*.part*")) == []


def test_export_and_import_go_round(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "rows.csv"
    assert cli.main(["log", "export", "-o", str(target), "--since", "1d", "app:web"]) == 0
    assert "3 rows" in capsys.readouterr().err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    other = tmp_path / "other.db"
    assert "promptop export, 3 rows, 0 known already" in output(capsys, "import", str(target), "--log", str(other))
    assert "0 rows, 3 known" in output(capsys, "import", str(target), "--log", str(other))
    lines = output(capsys, "export", "--columns", "id,app", "--log", str(other)).splitlines()
    assert [json.loads(line) for line in lines] == [{"id": n, "app": "web"} for n in (1, 2, 3)]
    assert "is not a moment" in output(capsys, "export", "--since", "soon", code=2)
    assert "Name a file" in output(capsys, "export", "--format", "parquet", code=2)
    assert "There is no file" in output(capsys, "import", str(tmp_path / "none.csv"), code=1)


def test_query_reads_in_three_forms_and_writes_nothing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT app, count(*) AS calls, sum(usd) AS usd FROM readable GROUP BY 1 ORDER BY 2"
    table = output(capsys, "query", sql).splitlines()
    assert table[0].split() == ["app", "calls", "usd"]
    assert table[2].split() == ["旧", "1", "NULL"]
    assert json.loads(output(capsys, "query", sql, "--format", "json"))[1]["calls"] == 3
    assert output(capsys, "query", sql, "--format", "csv").splitlines()[0] == "app,calls,usd"
    assert "\x1b" not in output(capsys, "query", "SELECT error_message FROM requests")
    for statement in ("DELETE FROM requests", "DROP TABLE losses", "PRAGMA user_version = 9", "VACUUM"):
        cli.main(["log", "query", statement])
        capsys.readouterr()
    assert "read-only" in output(capsys, "query", "DELETE FROM requests", code=2)
    assert "syntax error" in output(capsys, "query", "SELEC 1", code=2)
    assert json.loads(output(capsys, "status", "--json"))["rows"] == 4
    assert len(COLUMNS) + 1 == len(
        json.loads(output(capsys, "query", "SELECT * FROM otel LIMIT 1", "--format", "json"))[0]
    )


@pytest.mark.parametrize("verb", ["status", "tail", "prune", "export", "rebuild", "query", "backup"])
def test_a_file_that_is_no_log_is_refused_by_every_verb(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a log " * 500)
    more = {"query": ["SELECT 1"], "backup": [str(tmp_path / "b.db")], "prune": ["--older-than", "1d", "--yes"]}.get(
        verb, []
    )
    text = output(capsys, verb, *more, "--log", str(path), code=1)
    assert "is not an SQLite file" in text
    assert "→" in text
    assert path.read_text() == "not a log " * 500
