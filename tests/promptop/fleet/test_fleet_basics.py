"""What of the fleet can be tried without an engine: addresses, passwords, the schema's text, retention's floor."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop.log.rows import append, random_rows
from tests.support.waits import until

from promptop.base.errors import PromptopError, UsageError
from promptop.cli.main import main
from promptop.fleet import background, schema
from promptop.fleet.engine import Engine, EngineDownError, parse_address, password_of
from promptop.fleet.shipper import LogReplacedError, Shipper, standing
from promptop.log import Row
from promptop.log.outbox import confirmed_id, outbox_path
from promptop.log.read.status import troubles
from promptop.log.write.retention import prune
from promptop.settings import FleetSettings

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clickhouse://user:secret@host/promptop", "password"),
        ("clickhouse+http://logs.example/promptop", "another machine"),
        ("clickhouse://host:0/promptop", "not an address"),
        ("clickhouse://host/a;drop", "not an address"),
        ("http://host/promptop", "not an address"),
    ],
)
def test_addresses_that_would_leak_or_mean_nothing_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


def test_an_address_speaks_tls_unless_it_is_loopback() -> None:
    far, near = parse_address("clickhouse://reader@logs.example"), parse_address("clickhouse+http://[::1]:1/x")
    assert (far.secure, far.port, far.database, far.user) == (True, 8443, "promptop", "reader")
    assert (near.secure, near.port, str(near)) == (False, 1, "clickhouse+http://[::1]:1/x")
    assert "hunter2" not in repr(parse_address("clickhouse://h", password="hunter2"))


def test_a_password_comes_from_a_private_file_or_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="Others may read"):
        password_of(str(file), {})
    file.chmod(0o600)
    assert password_of(str(file), {}) == "hunter2"
    assert password_of("", {"PROMPTOP_FLEET_PASSWORD": "x"}) == "x"
    with pytest.raises(PromptopError, match="cannot be read"):
        password_of(str(tmp_path / "none"), {})


def test_the_schema_has_every_column_of_a_row() -> None:
    text = schema.script("calls")
    assert all(f"    {name} " in text for name in schema.column_types())
    assert "promptop`" not in text and text.count("CREATE MATERIALIZED VIEW") == 3


def test_print_sql_needs_no_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "init", "--print-sql", "--database", "calls"]) == 0
    assert "CREATE TABLE IF NOT EXISTS `calls`.requests" in capsys.readouterr().out
    assert main(["fleet", "init", "--print-sql", "--database", "a b"]) == 2


def test_an_engine_that_is_not_there_is_said_with_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fleet", "check", "--url", "clickhouse+http://127.0.0.1:9/promptop"]) == 1
    assert "does not answer" in capsys.readouterr().err
    with pytest.raises(EngineDownError):
        Engine(parse_address("clickhouse+http://127.0.0.1:9/promptop"), timeout_s=1).rows("SELECT 1")


def test_why_rows_are_not_shipped_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.db"
    append(log, random_rows(3))
    settings = FleetSettings(url="clickhouse+http://127.0.0.1:9/promptop", in_process=True)
    background.start(log, replace(settings, in_process=False))
    assert not outbox_path(log).exists()
    background.start(log, settings)
    until(lambda: outbox_path(log).exists() and "does not answer" in troubles([log]))
    background.stop_all()
    assert main(["log", "status", "--log", str(log)]) == 0
    assert "shipped     up to id 0, not now: ClickHouse at" in capsys.readouterr().out


def test_a_log_in_place_of_one_that_was_shipped_begins_anew(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    engine = Engine(parse_address("clickhouse+http://127.0.0.1:9/promptop"))
    append(log, random_rows(3))
    with contextlib.closing(Shipper(log, engine)) as one:
        assert one.step().done == "down"
        one._note(acked=3)
        for path in tmp_path.glob("log.db*"):
            if not path.name.startswith("log.db.ship"):
                path.unlink()
        append(log, random_rows(2))
        one._leased_until_ms = 0
        with pytest.raises(LogReplacedError):
            one.step()
    with contextlib.closing(Shipper(log, engine)) as one:
        assert one.step().done == "down"
    assert (standing(log).confirmed_id, standing(log).waiting_rows) == (0, 2)


def shipped(log: Path, acked: int) -> None:
    with contextlib.closing(sqlite3.connect(outbox_path(log), isolation_level=None)) as side:
        side.execute("CREATE TABLE ship (key TEXT PRIMARY KEY, value)")
        side.execute("INSERT INTO ship VALUES ('acked', ?)", (acked,))


def test_retention_by_age_waits_for_the_shipper(tmp_path: Path) -> None:
    log, now = tmp_path / "log.db", time.time_ns() // 1_000_000
    append(log, [Row(started_ms=now - (10 - n) * DAY_MS) for n in range(10)])
    shipped(log, 4)
    assert confirmed_id(log) == 4
    assert prune(log, keep_days=2, now_ms=now).rows == 4
    with contextlib.closing(sqlite3.connect(outbox_path(log), isolation_level=None)) as side:
        side.execute("UPDATE ship SET value = 10")
    assert prune(log, keep_days=2, now_ms=now).rows >= 3


def test_retention_by_size_counts_what_goes_unshipped(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    append(log, random_rows(2000))
    shipped(log, 100)
    gone = prune(log, max_bytes=200_000).rows
    with contextlib.closing(sqlite3.connect(log)) as rows:
        unshipped = rows.execute("SELECT sum(rows) FROM losses WHERE cause = 'unshipped'").fetchone()[0]
        left = rows.execute("SELECT count(*) FROM requests WHERE id <= 100").fetchone()[0]
    assert unshipped == gone - (100 - left) > 0
