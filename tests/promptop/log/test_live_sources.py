"""Other programs' logs, followed: LiteLLM's spend logs in a real PostgreSQL, and the database of llm."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg")
import psycopg
from tests.support.postgres import Server, binaries, postgres
from tests.support.waits import until

from promptop.base.errors import PromptopError
from promptop.cli.main import main
from promptop.log import LogReader
from promptop.log.read.status import troubles
from promptop.log.transfer.litellm_postgres import LiteLLMSource
from promptop.log.transfer.live_sources import Mirror, is_live, open_live

needs_server = pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server is installed")
TABLE = """
CREATE TABLE "LiteLLM_SpendLogs" (
 request_id text PRIMARY KEY, call_type text NOT NULL, api_key text NOT NULL DEFAULT '',
 spend float8 NOT NULL DEFAULT 0,
 prompt_tokens int NOT NULL DEFAULT 0, completion_tokens int NOT NULL DEFAULT 0, "startTime" timestamp(3) NOT NULL,
 "endTime" timestamp(3) NOT NULL, request_duration_ms int, "completionStartTime" timestamp(3), model text DEFAULT '',
 model_group text DEFAULT '', custom_llm_provider text DEFAULT '', api_base text DEFAULT '', "user" text DEFAULT '',
 metadata jsonb DEFAULT '{}', cache_hit text DEFAULT '', cache_key text DEFAULT '', request_tags jsonb DEFAULT '[]',
 team_id text, messages jsonb DEFAULT '{}', response jsonb DEFAULT '{}', session_id text, status text);
CREATE INDEX ON "LiteLLM_SpendLogs" ("startTime", request_id);
CREATE ROLE reader LOGIN; GRANT SELECT ON "LiteLLM_SpendLogs" TO reader;
"""
NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def add(connection: Any, name: str, start: datetime, **more: Any) -> None:
    took = more.pop("took", 2.0)
    given = {
        "request_id": name,
        "call_type": "acompletion",
        "model": "azure/gpt-4o",
        "custom_llm_provider": "azure",
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "spend": 0.5,
        "startTime": start,
        "endTime": start + timedelta(seconds=took),
        "status": "success",
        "messages": json.dumps({"text": "private words"}),
        **more,
    }
    names = ", ".join(f'"{key}"' for key in given)
    marks = ", ".join(["%s"] * len(given))
    connection.execute(f'INSERT INTO "LiteLLM_SpendLogs" ({names}) VALUES ({marks})', list(given.values()))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed")
    with postgres() as running:
        yield running


@pytest.fixture
def database(server: Server) -> Iterator[Any]:
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute('DROP TABLE IF EXISTS "LiteLLM_SpendLogs"; DROP ROLE IF EXISTS reader')
        connection.execute(TABLE)
        yield connection


def reader_of(server: Server) -> str:
    return server.address.replace("admin@", "reader@")


def names_in(log: Path) -> list[str]:
    with LogReader(log) as reader:
        return sorted(str(row.request_id) for row in reader.latest(5000))


@needs_server
def test_rows_are_mapped_and_prompts_stay_where_they_are(server: Server, database: Any, tmp_path: Path) -> None:
    meta = {
        "user_api_key_team_alias": "search",
        "usage_object": {"prompt_tokens_details": {"cached_tokens": 40}},
    }
    add(
        database,
        "a",
        NOW - timedelta(minutes=50),
        metadata=json.dumps(meta),
        request_duration_ms=1900,
        completionStartTime=NOW - timedelta(minutes=50) + timedelta(seconds=0.5),
        api_base="https://made-up.openai.azure.com:8443/v1",
        user="alice",
        api_key="0123456789abcdef",
        request_tags=json.dumps(["env:prod", "User-Agent: x"]),
        cache_hit="False",
        cache_key="k1",
    )
    add(database, "b", NOW - timedelta(minutes=40), call_type="anthropic_messages", cache_hit="None", cache_key="k2")
    error = {"error_information": {"error_code": "429", "error_message": "slow down"}}
    add(database, "c", NOW - timedelta(minutes=30), status="failure", metadata=json.dumps(error), spend=0)
    mirror = open_live(reader_of(server), tmp_path, since_ms=int(time.time() * 1000) - 86_400_000)
    with LogReader(mirror.log) as log:
        rows = {row.request_id: row for row in log.latest(10)}
    mirror.close()
    a, b, c = rows["a"], rows["b"], rows["c"]
    assert a.started_ms == int((NOW - timedelta(minutes=50)).replace(tzinfo=UTC).timestamp() * 1000)
    assert (a.app, a.provider_name, a.response_model, a.operation_name) == (
        "search",
        "azure.ai.openai",
        "gpt-4o",
        "chat",
    )
    assert (a.total_s, a.ttft_s, a.request_stream, a.cost_usd, a.cost_status) == (1.9, 0.5, 1, 0.5, "reported")
    assert (a.server_address, a.server_port, a.cache_level) == ("made-up.openai.azure.com", 8443, "miss")
    assert json.loads(a.tags or "") == {"user": "alice", "env": "prod"}
    assert a.usage_cache_read_input_tokens == 40
    assert (b.operation_name, b.cache_level, b.ttft_s) == ("chat", None, None)
    assert (c.error_type, c.http_response_status_code, c.error_message) == ("429", 429, "slow down")
    assert b"private words" not in mirror.log.read_bytes()


@needs_server
def test_what_comes_late_is_brought_once(server: Server, database: Any, tmp_path: Path) -> None:
    source = LiteLLMSource(reader_of(server), int(time.time() * 1000) - 86_400_000)
    mirror = Mirror(source, tmp_path / "m.db")
    for number in range(1200):  # more than two batches
        add(database, f"r{number:04}", NOW - timedelta(seconds=1200 - number))
    assert mirror.sync() == 1200
    add(database, "new", NOW)
    add(database, "long", NOW - timedelta(seconds=300), took=299)
    assert mirror.sync() == 1
    source.look_back()
    assert mirror.sync() == 1
    source.look_back()
    assert mirror.sync() == 0
    assert {"new", "long"} <= set(names_in(mirror.log)) and len(names_in(mirror.log)) == 1202
    mirror.close()


@needs_server
def test_every_statement_uses_an_index(server: Server, database: Any) -> None:
    database.execute(
        'INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime")'
        " SELECT 'x' || n, 'acompletion', now() AT TIME ZONE 'UTC' - n * interval '10 second',"
        " now() AT TIME ZONE 'UTC' FROM generate_series(1, 50000) AS n"
    )
    database.execute('ANALYZE "LiteLLM_SpendLogs"')
    source = LiteLLMSource(reader_of(server), 0)
    newer, late, by_id = source.statements()
    start = NOW - timedelta(minutes=10)
    plans = [
        database.execute(f"EXPLAIN {sql}", values).fetchall()
        for sql, values in (
            (newer, (start, "")),
            (newer, (NOW - timedelta(days=30), "")),
            (late, (start, "", NOW, "x")),
            (by_id, (["x1", "x2", "x3"],)),
        )
    ]
    source.close()
    for plan in plans:
        text = "\n".join(row[0] for row in plan)
        assert re.search(r"Index (Only )?Scan|Bitmap Index Scan", text) and "Seq Scan" not in text, text


@needs_server
def test_nothing_is_written_and_other_databases_are_refused(server: Server, database: Any) -> None:
    source = LiteLLMSource(server.address, 0)  # as the administrator, who could write
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        source._connected().execute('DELETE FROM "LiteLLM_SpendLogs"')
    source.close()
    database.execute('DROP TABLE "LiteLLM_SpendLogs"')
    with pytest.raises(PromptopError, match="no table of LiteLLM"):
        list(LiteLLMSource(server.address, 0).new_rows())


@needs_server
def test_a_server_that_goes_and_comes_back_is_followed_on(server: Server, database: Any, tmp_path: Path) -> None:
    add(database, "one", NOW - timedelta(seconds=60))
    mirror = open_live(server.address, tmp_path, since_ms=int(time.time() * 1000) - 86_400_000)
    server.stop()
    with pytest.raises(PromptopError, match="cannot be read"):
        mirror.sync()
    server.start()
    with psycopg.connect(server.address, autocommit=True) as connection:
        add(connection, "two", NOW - timedelta(seconds=30))
    assert mirror.sync() == 1
    assert names_in(mirror.log) == ["one", "two"]
    mirror.close()


@needs_server
def test_report_and_tail_read_postgres(
    server: Server, database: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    add(database, "a", NOW - timedelta(hours=1))
    add(database, "b", NOW - timedelta(hours=30))
    assert main(["report", "--log", reader_of(server), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 1
    assert main(["report", "--log", reader_of(server), "--since", "3d", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2
    assert main(["log", "tail", "--log", reader_of(server), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["request_id"] == "a"
    assert main(["log", "prune", "--log", reader_of(server)]) != 0


def test_postgres_that_does_not_answer_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--log", "postgresql://me:pass-word-1@127.0.0.1:9/litellm"]) == 1
    said = capsys.readouterr().err
    assert "PostgreSQL at" in said and "pass-word-1" not in said


def llm_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, response TEXT, conversation_id TEXT,"
            " duration_ms INTEGER, datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER)"
        )


def llm_call(path: Path, name: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "INSERT INTO responses VALUES (?, 'gpt-4o-mini', 'private', 'words', 'c', 1200, ?, 12, 3)",
            (name, datetime.now(UTC).isoformat()),
        )


def test_the_database_of_llm_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logs.db"
    llm_database(path)
    llm_call(path, "a")
    assert is_live(path) and not is_live(tmp_path / "none.db")
    mirror = open_live(path, tmp_path / "state", 0)
    assert names_in(mirror.log) == ["a"]
    llm_call(path, "b")
    assert mirror.sync() == 1 and mirror.sync() == 0
    assert names_in(mirror.log) == ["a", "b"]
    mirror.close()
    assert main(["report", "--log", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2


def test_tail_and_the_monitors_line_say_that_a_source_cannot_be_read_and_tail_that_it_can_again(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    llm_database(path)
    llm_call(path, "a")
    code = "import sys; from promptop.cli.main import main; main(['log', 'tail', '-f', '--log', sys.argv[1]])"
    child = subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert child.stdout is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
    reading.start()
    mirror = open_live(path, tmp_path / "state", 0)
    mirror.follow()
    try:
        until(lambda: lines)
        good, other = path.read_bytes(), tmp_path / "other"
        other.write_bytes(b"no database " * 500)
        other.replace(path)
        until(lambda: len(lines) == 2 and "not followed" in troubles([mirror.log]))
        assert "logs.db is not an SQLite file" in lines[1] and "logs.db is not an SQLite file" in troubles([mirror.log])
        other.write_bytes(good)
        llm_call(other, "b")
        other.replace(path)
        until(lambda: len(lines) == 4 and not troubles([mirror.log]))
        assert any("rows come again" in line for line in lines[2:])
        assert "12 → 3" in "".join(lines[2:])
    finally:
        mirror.close()
        child.terminate()
        child.wait()
        reading.join()
        child.stdout.close()
