"""What the engine lost or counted twice is found and mended; older tables are brought to today's. Needs chdb."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from tests.promptop.log.rows import append, random_rows

from promptop.cli.main import main
from promptop.fleet import schema
from promptop.fleet.engine import Engine
from promptop.fleet.shipper import Shipper

DAY_MS = 86_400_000


def shipped(log: Path, engine: Engine, count: int) -> None:
    now = time.time_ns() // 1_000_000
    append(log, random_rows(count, start_ms=now - 2 * DAY_MS, spread_ms=2 * DAY_MS - 60_000))
    with contextlib.closing(Shipper(log, engine)) as one:
        while one.step().done != "idle":
            pass


def counts(engine: Engine) -> list[list[int]]:
    sql = "SELECT (SELECT count() FROM requests FINAL), (SELECT sum(n) FROM rollup_minute)"
    return engine.rows(f"{sql}, (SELECT sum(n) FROM rollup_hour), (SELECT sum(input_tokens) FROM rollup_hour)")


def test_what_is_missing_or_counted_twice_is_found_and_mended(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.db"
    shipped(log, engine, 300)
    right = counts(engine)
    words = ["fleet", "audit", "--log", str(log), "--since", "4d", "--url", str(engine.address)]
    assert main(words) == 0
    assert "missing" in capsys.readouterr().out
    sync = {"mutations_sync": 2}
    engine.run("ALTER TABLE requests DELETE WHERE id BETWEEN 20 AND 40 OR id = 200", settings=sync)
    engine.run("INSERT INTO rollup_minute SELECT * FROM rollup_minute LIMIT 5", settings={"insert_deduplicate": 0})
    broken = counts(engine)
    assert broken != right
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "audit --repair" in out and "hours count" in out
    assert counts(engine) == broken  # nothing was mended before it was asked for
    assert main([*words, "--repair"]) == 0
    assert "22 rows sent" in capsys.readouterr().out
    assert counts(engine) == right
    assert main([*words, "--json"]) == 0


def test_tables_of_an_older_version_get_todays_columns_and_views(engine: Engine, tmp_path: Path) -> None:
    log, late = tmp_path / "log.db", ("routed_from", "task_complexity")
    for name in late:
        engine.run(f"ALTER TABLE requests DROP COLUMN {name}")
    engine.run("DROP TABLE marks_mv")
    engine.run("CREATE MATERIALIZED VIEW marks_mv TO marks AS SELECT tenant, log_id, shipper FROM requests")
    with contextlib.closing(engine.at("default")) as maker:
        for statement in schema.statements(engine.address.database):
            maker.run(statement)
    shipped(log, engine, 20)
    where = {"db": engine.address.database}
    sql = "SELECT name FROM system.columns WHERE database = {db:String} AND table = 'requests'"
    assert set(schema.column_types()) <= {str(row[0]) for row in engine.rows(sql, where)}
    assert engine.rows("SELECT sum(rows) FROM marks") == [[20]]


def test_the_statements_of_a_cluster_are_read_by_the_engines_parser(engine: Engine) -> None:
    found = schema.statements("calls", "main")
    for statement in found:
        engine.run(f"EXPLAIN AST {statement}")
    created = [statement for statement in found if statement.startswith("CREATE TABLE")]
    assert sum("ENGINE = Replicated" in statement for statement in created) == len(schema.TABLES)
    assert sum("ENGINE = Distributed" in statement for statement in created) == len(schema.TABLES)
    assert all(" ON CLUSTER `main`" in statement for statement in found if not statement.startswith("INSERT"))
