"""A log is shipped exactly once, sums included, whatever fails on the way. Needs chdb (make test-fleet)."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.promptop.log.rows import append, random_rows

from promptop.capture.call import prepare
from promptop.cli.main import main
from promptop.fleet import background, schema
from promptop.fleet.engine import Engine
from promptop.fleet.log_source import FleetLog
from promptop.fleet.shipper import Shipper, ShippingStoppedError, ShipStep, standing
from promptop.log import LogReader, Row, StoredRow, parse_filter
from promptop.log.outbox import outbox_path
from promptop.log.write.writer import Writer
from promptop.settings import config_path

pytest.importorskip("chdb", reason="chdb is not installed: make test-fleet")

from tests.support.clickhouse import ClickHouse
from tests.support.waits import until


def recent(count: int, seed: int = 0) -> list[Row]:
    return random_rows(count, seed=seed, start_ms=time.time_ns() // 1_000_000 - 3_600_000)


def counts(engine: Engine) -> set[int]:
    """Return the numbers of rows that each table has counted: one number if they agree."""
    sql = ("count() FROM requests", "count() FROM requests FINAL", "sum(n) FROM rollup_minute")
    more = ("sum(n) FROM rollup_hour", "sum(rows) FROM marks")
    return {int(engine.rows(f"SELECT {each}")[0][0]) for each in (*sql, *more)}


def drain(one: Shipper, steps: int = 400) -> list[str]:
    done = []
    for _ in range(steps):
        step: ShipStep = one.step()
        done.append(step.done)
        if step.done == "idle":
            return done
        time.sleep(min(step.wait_s, 0.02))
    raise AssertionError(f"not drained: {done[-9:]}")


def release(log: Path) -> None:
    """End the lease of a process that is gone, instead of waiting 15 s for it."""
    path = outbox_path(log)
    if path.exists():
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as side:
            if side.execute("SELECT 1 FROM sqlite_master WHERE name = 'ship'").fetchone():
                side.execute("UPDATE ship SET value = 0 WHERE key = 'lease_until_ms'")


def test_rows_and_sums_are_what_the_log_holds(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    append(log, recent(700))
    with contextlib.closing(Shipper(log, engine, batch=300, tenant="acme", excluded=["tags"])) as one:
        assert drain(one) == ["sent"] * 3 + ["idle"]
        append(log, recent(50, seed=1))
        assert drain(one) == ["sent", "idle"]
    assert counts(engine) == {750}
    with contextlib.closing(sqlite3.connect(log)) as rows:
        sums = rows.execute("SELECT sum(usage_input_tokens), count(ttft_s), count(tags) FROM requests").fetchone()
    sql = "SELECT sum(usage_input_tokens), count(ttft_s), sum(tenant != 'acme'), count(tags) FROM requests"
    assert engine.rows(sql) == [[*sums[:2], 0, 0]]
    found = standing(log)
    assert (found.confirmed_id, found.waiting_rows, found.rows_sent, found.shipping) == (750, 0, 750, False)


def test_answers_that_are_lost_refused_or_dropped_count_once(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    log = tmp_path / "log.db"
    append(log, recent(600))
    told: list[str] = []
    server.outcomes.clear()
    with contextlib.closing(Shipper(log, engine, batch=100, tell=told.append)) as one:
        for fault in ("lose", "refuse", "drop"):
            server.break_inserts(fault, rate=0.6, times=3)
            for _ in range(4):
                one.step()
        server.break_inserts("lose", rate=0.3)
        drain(one)
    assert {"lose", "refuse", "drop"} <= set(server.outcomes)
    assert counts(engine) == {600}
    assert told and len(told) <= 2 * len(server.outcomes)


def test_an_engine_that_hangs_or_is_away_holds_the_rows_back_and_loses_none(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    log = tmp_path / "log.db"
    append(log, recent(200))
    engine.timeout_s = 0.3
    server.break_inserts("hang", times=2)
    with contextlib.closing(Shipper(log, engine, batch=200)) as one:
        assert [one.step().done, one.step().done] == ["down", "down"]
        server.break_inserts("")
        engine.timeout_s = 10
        engine.close()
        server.shut()
        assert one.step().done == "down"
        assert "does not answer" in standing(log).last_error
        server.open()
        drain(one)
    assert counts(engine) == {200}
    assert standing(log).last_error == ""


class KilledError(BaseException):
    """Stands for kill -9: nothing of ours catches it, and nothing is closed."""


@pytest.mark.parametrize("moment", ["_send", "_confirm"])
def test_a_batch_of_a_killed_shipper_is_sent_by_the_next_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Real processes are killed by test_kill_run.py."""
    log = tmp_path / "log.db"
    append(log, recent(100))
    with subprocess.Popen(["true"]) as gone:
        pass

    def die(*ignored: object) -> None:
        raise KilledError

    killed = Shipper(log, engine, batch=40)
    monkeypatch.setattr(killed, "_holder", f"{socket.gethostname()}:{gone.pid}:x")
    assert killed.step().done == "sent"
    monkeypatch.setattr(killed, moment, die)
    with pytest.raises(KilledError):
        killed.step()
    # Its lease is taken over at once: the process that has it is gone.
    with contextlib.closing(Shipper(log, engine, batch=70)) as one:
        assert drain(one) == ["sent", "sent", "idle"]
    assert counts(engine) == {100}


def test_one_process_ships_a_log_and_two_send_the_same_cut(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    append(log, recent(600))
    one, other = Shipper(log, engine, batch=100), Shipper(log, engine, batch=70)
    assert (one.step().done, other.step().done) == ("sent", "leased")
    first = one._cut()
    assert first is not None
    release(log)
    one._send(*first)  # it slept through its lease and sends all the same
    drain(other)
    other.close()
    one.close()
    assert counts(engine) == {600}


def test_a_copied_log_is_refused_with_and_without_its_ship_file(engine: Engine, tmp_path: Path) -> None:
    log, copy, bare = tmp_path / "log.db", tmp_path / "copy.db", tmp_path / "bare.db"
    append(log, recent(100))
    with contextlib.closing(Shipper(log, engine)) as one:
        drain(one)
    shutil.copy(log, copy)
    shutil.copy(outbox_path(log), outbox_path(copy))
    shutil.copy(log, bare)
    for path in (copy, bare):
        with contextlib.closing(Shipper(path, engine)) as one, pytest.raises(ShippingStoppedError, match="copy"):
            one.step()
    append(bare, recent(10))
    with contextlib.closing(Shipper(bare, engine, take_over=True)) as one:
        drain(one)
    assert counts(engine) == {110}


def test_an_engine_without_tables_is_said_once_and_nothing_is_skipped(engine: Engine, tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    append(log, recent(20))
    told: list[str] = []
    database = engine.address.database
    with contextlib.closing(engine.at("default")) as maker:
        maker.run(f"DROP DATABASE `{database}`")
        maker.run(f"CREATE DATABASE `{database}`")
        with contextlib.closing(Shipper(log, engine, tell=told.append)) as one:
            assert [one.step().done for _ in range(3)] == ["refused"] * 3
            assert len(told) == 1 and "promptop fleet init" in told[0]
            for statement in schema.statements(database):
                maker.run(statement)
            drain(one)
    assert counts(engine) == {20}


FILTERS = (
    *("model:gpt-4o", "model:GPT-4O*", "model:none", "app:web,batch", "status:ok", "status:error", "status:2xx"),
    *("status:429", "ttft>500ms", "-ttft>500ms", "latency:1..2", "cost>0.005", "cache:hit", "cache:none", "in>1k"),
    *("finish:length", "prompt:摘*", "tag.env:prod*", "tag.n:7", "-tag.env:Production", "tag.vip:1", "host:web-1"),
    *("tps>10", "timeout", "server:none", "tag.a?b:x", "age<30m", "usage:estimated model:gpt* -app:batch"),
)


def test_a_window_of_the_fleet_is_the_window_of_the_log(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, now = tmp_path / "log.db", time.time_ns() // 1_000_000
    tags = [None, '{"env": "production", "n": 7, "a?b": "x"}', '{"env": "Prod", "vip": true}', "no json"]
    rows = []
    for day in (0, 1, 3, 9, 20):
        rows += random_rows(120, seed=day, start_ms=now - day * 86_400_000 - 7_200_000, spread_ms=7_100_000)
    for number, row in enumerate(rows):
        row.host_name, row.tags = f"web-{number % 3}", tags[number % 4]
    append(log, rows)
    with contextlib.closing(Shipper(log, engine, batch=250)) as one:
        drain(one)
    spans = [
        *((now - 3_600_123, now - 77, None), (now - 7_200_000, now, 60_000), (now - 86_400_005, now - 5, 3_600_000)),
        *((now - 12 * 86_400_000 + 12_345, now, 86_400_000), (now - 30 * 86_400_000, now, None)),
    ]
    with LogReader(log) as local, LogReader(FleetLog(engine.address)) as fleet:
        groupings = (("host",), ("app", "prompt"), ("model",), (), ("model",))
        for by, (since, end, step) in zip(groupings, spans, strict=True):
            here = local.window(since, end, step_ms=step, by=by)
            there = fleet.window(since, end, step_ms=step, by=by)
            assert (here.total, here.groups, here.buckets) == (there.total, there.groups, there.buckets), (by, step)
        for number, text in enumerate(FILTERS):
            chosen = parse_filter(text, now_ms=now)
            start = now - 30 * 86_400_000
            assert local.count(start, now, chosen) == fleet.count(start, now, chosen), text
            if number % 8 == 0:  # planning so many sums takes the engine 50 ms
                here = local.window(start, now, by=("tag.env",), where=chosen)
                there = fleet.window(start, now, by=("tag.env",), where=chosen)
                assert (here.total, here.groups) == (there.total, there.groups), text
        assert sum(stats.n for stats in fleet.window(0, now, by=()).groups.values()) == 0


def printed(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(list(words)) == code
    return capsys.readouterr().out


def test_commands_say_the_same_of_either_log(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Report, comparison, page, alerts, tail and export, from the log and from the engine."""
    log, now = tmp_path / "log.db", time.time_ns() // 1_000_000
    rows = random_rows(200, seed=3, start_ms=now - 7_200_000, spread_ms=7_000_000)
    for number, row in enumerate(rows):
        row.host_name = f"web-{number % 3}"
    append(log, rows)
    with contextlib.closing(Shipper(log, engine)) as one:
        drain(one)
    places = (str(log), str(engine.address))
    until_now = datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    of_window = ("--until", until_now, "--json")
    here, there = (
        json.loads(printed(capsys, 0, "report", "--log", place, "--since", "3h", "--by", "host", *of_window))
        for place in places
    )
    assert there["n"] == here["n"] == 200 and there["groups"] == here["groups"]
    assert (here["in_flight"], there["in_flight"], len(there["groups"])) == (0, None, 3)
    before = datetime.fromtimestamp(now // 1000 - 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    compared = [printed(capsys, 0, "report", "--log", place, "--before", before, *of_window) for place in places]
    assert compared[0] == compared[1] and '"before"' in compared[0]
    pages = [
        printed(capsys, 0, "report", "--log", place, "--since", "3h", "--until", until_now, "--format", "html")
        for place in places
    ]
    assert pages[0].count("<svg") == pages[1].count("<svg") > 2
    alerts = [printed(capsys, 1, "alerts", "test", "n>10 over 3h", "--log", place) for place in places]
    assert alerts[0] == alerts[1] and alerts[0].startswith("fires")
    assert main(["report", "--log", places[1], "--since", "3h", "--fail-on", "n>10 over 3h"]) == 1
    capsys.readouterr()
    for words in (("log", "tail", "-n", "300", "--json", "status:ok"), ("log", "export", "model:gpt*")):
        found = [
            sorted(
                json.dumps({name: value for name, value in json.loads(line).items() if name != "id"})
                for line in printed(capsys, 0, *words, "--log", place).splitlines()
            )
            for place in places
        ]
        assert found[0] == found[1] and len(found[0]) > 20
    assert main(["report", "--log", "clickhouse+http://127.0.0.1:9/promptop"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_program_that_writes_the_settings_log_ships_it(engine: Engine, tmp_path: Path) -> None:
    log, other = tmp_path / "log.db", tmp_path / "other.db"
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(
        f'[log]\npath = "{log}"\n[fleet]\nurl = "{engine.address}"\nin_process = true\nevery_s = 0.05\n'
    )
    with Writer(log) as writer, Writer(other) as another:
        for each in (writer, another):
            prepare(each)
            each.put(Row(started_ms=time.time_ns() // 1_000_000, request_model="m"))
        until(lambda: engine.rows("SELECT count() FROM requests") == [[1]])
        assert standing(log).shipping
        writer.put(Row(started_ms=time.time_ns() // 1_000_000, request_model="m"))
        assert writer.flush()
        background.stop_all()  # as at the end of the process: what has just come is sent, too
    assert counts(engine) == {2}
    assert not standing(log).shipping
    assert not outbox_path(other).exists()


def test_rows_of_the_fleet_are_the_rows_of_the_log(engine: Engine, tmp_path: Path) -> None:
    """Pages, stretches, single rows, orders and counts: by one reader, of either source."""
    log, now = tmp_path / "log.db", time.time_ns() // 1_000_000
    append(log, random_rows(300, seed=4, start_ms=now - 7_200_000, spread_ms=7_000_000))
    with contextlib.closing(Shipper(log, engine, batch=200)) as one:
        drain(one)
    start, end = now - 6_000_000, now - 1_000_000

    def shown(rows: Sequence[StoredRow]) -> list[str]:
        return sorted(repr(replace(row, id=0, source=0)) for row in rows)

    with LogReader(log) as local, LogReader(FleetLog(engine.address)) as fleet:
        assert fleet.files == () and len(fleet.paths) == 1
        for text in ("", "model:gpt* -cost>0.01"):
            chosen = parse_filter(text, now_ms=now)
            assert shown(local.between(start, end, 2000, chosen)) == shown(fleet.between(start, end, 2000, chosen)), (
                text
            )
            assert local.count(start, end, chosen) == fleet.count(start, end, chosen)
            assert sorted(local.tokens(start, end, 2000, chosen), key=repr) == sorted(
                fleet.tokens(start, end, 2000, chosen), key=repr
            )
            figure = "coalesce(total_s, 0)"
            most = [amount for amount, _, _ in local.top(start, end, figure, 20, chosen)]
            assert most == [amount for amount, _, _ in fleet.top(start, end, figure, 20, chosen)]
            pages, place = [], None
            while True:
                rows, place = fleet.back(70, place, chosen)
                pages += rows
                if place is None:
                    break
            assert len({row.id for row in pages}) == len(pages)
            assert shown(pages) == shown(local.latest(2000, None, chosen)), text
        found = fleet.between(start, end, 5)
        assert fleet.rows_by_id([(0, row.id) for row in found]) == found
        assert fleet.get(found[2].id) == found[2]
        assert fleet.get(7) is None


def test_the_tail_brings_a_row_that_follows_more_than_it_asks_for(engine: Engine, tmp_path: Path) -> None:
    log, now = tmp_path / "log.db", time.time_ns() // 1_000_000
    append(log, random_rows(60, seed=1, start_ms=now - 1_000, spread_ms=900))
    with (
        contextlib.closing(Shipper(log, engine)) as one,
        LogReader(FleetLog(engine.address)) as fleet,
    ):
        drain(one)
        mark = fleet.mark()
        for seed in (2, 3):
            append(log, random_rows(1, seed=seed, start_ms=now, spread_ms=1))
            drain(one)
            rows, mark = fleet.follow(mark, 10)
            assert len(rows) == 1
        append(log, random_rows(25, seed=4, start_ms=now, spread_ms=1))
        drain(one)
        brought: list[StoredRow] = []
        for _ in range(4):
            rows, mark = fleet.follow(mark, 10)
            brought += rows
        assert len(brought) == len({row.id for row in brought}) == 25


def test_the_tail_of_the_fleet_brings_each_row_once_and_windows_grow_with_it(engine: Engine, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    logs = [tmp_path / f"log{number}.db" for number in range(2)]
    with LogReader(FleetLog(engine.address)) as fleet:
        assert fleet.changed()
        assert not fleet.changed()
        mark, brought = fleet.mark(), []
        window = fleet.window(now - 3_600_000, now + 3_600_000, step_ms=60_000)
        for step in range(2):
            for number, log in enumerate(logs):
                append(log, random_rows(40, seed=step * 2 + number, start_ms=now - 1_000, spread_ms=900))
                with contextlib.closing(Shipper(log, engine)) as one:
                    drain(one)
                release(log)
            assert fleet.changed()
            rows, mark = fleet.follow(mark, 2_000)
            brought += rows
            longer = fleet.extend(window, step_ms=60_000)
            assert longer is not None
            window = longer
        assert len(brought) == len({row.id for row in brought}) == 160
        assert fleet.follow(mark, 2_000)[0] == []
        anew = fleet.window(now - 3_600_000, now + 3_600_000, step_ms=60_000)
        assert (window.total, window.groups, window.buckets) == (anew.total, anew.groups, anew.buckets)
