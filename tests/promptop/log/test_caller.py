"""Rows know their caller: read once per process, under OpenTelemetry's resource names, filtered and grouped by."""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append

from promptop.base.sqlite import connect
from promptop.log import LogReader, Row, caller, schema


def test_an_environment_names_service_instance_and_host() -> None:
    found = caller.read_caller(
        {
            "OTEL_SERVICE_NAME": "checkout",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,host.name=web%201, service.instance.id = a%2Cb ,=x,broken",
        }
    )
    assert found == caller.Caller("web 1", os.getpid(), "checkout", "a,b")
    assert caller.read_caller({"OTEL_RESOURCE_ATTRIBUTES": "service.name=other"}).service_name == "other"


def test_without_an_environment_the_machine_is_named_and_the_service_unknown() -> None:
    found = caller.read_caller({})
    assert (found.host_name, found.service_name) == (socket.gethostname(), None)
    assert uuid.UUID(found.service_instance_id).version == 4


def test_a_process_has_one_identity_and_a_row_keeps_its_own() -> None:
    one, two = Row(), Row(host_name="elsewhere", process_pid=7)
    caller.this_process().sign(one)
    caller.this_process().sign(two)
    assert one.process_pid == os.getpid() and one.service_instance_id == two.service_instance_id
    assert (two.host_name, two.process_pid) == ("elsewhere", 7)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = caller.this_process()
    monkeypatch.setattr(os, "getpid", lambda: before.process_pid + 1)
    after = caller.this_process()
    assert after.process_pid == before.process_pid + 1
    assert after.service_instance_id != before.service_instance_id
    monkeypatch.undo()
    assert caller.this_process().process_pid == os.getpid()


def test_filters_and_groups_of_the_caller_are_apart_from_the_server_called(tmp_path: Path) -> None:
    rows = [
        Row(started_ms=NOON + n, host_name=f"web-{n % 2}", process_pid=10 + n, server_address="api.example")
        for n in range(4)
    ]
    rows.append(Row(started_ms=NOON + 9, service_name="checkout", service_instance_id="i1", server_address="web-0"))
    append(tmp_path / "log.db", rows)
    with LogReader(tmp_path / "log.db") as reader:
        for text, count in {
            "host:web-0": 2,
            "host:WEB*": 4,
            "host:none": 1,
            "server:web-0": 1,
            "service:checkout": 1,
            "instance:i1": 1,
            "pid:11,12": 2,
            "-host:web-0": 3,
        }.items():
            assert len(reader.latest(9, where=text)) == count, text
        groups = reader.window(NOON, NOON + 10, by=("host",)).groups
        assert {name: stats.n for name, stats in groups.items()} == {"web-0": 2, "web-1": 2, "(none)": 1}
        assert set(reader.window(NOON, NOON + 10, by=("pid",)).groups) >= {"web-0 10", "web-1 13"}


def test_an_older_log_has_no_callers_and_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(connect(path)) as connection:
        schema.migrate(connection, upto=5)
        sql = "INSERT INTO requests (started_ms, app, tags) VALUES (?, 'old', ?)"
        connection.execute(sql, (NOON, '{"host_name": "a"}'))
    with LogReader(path) as reader:
        assert reader.latest(9, where="host:web-1") == []
        assert [row.host_name for row in reader.latest(9, where="host:none")] == [None]
        assert set(reader.window(NOON, NOON + 1, by=("host",)).groups) == {"(none)"}
        assert set(reader.window(NOON, NOON + 1, by=("tag.host_name",)).groups) == {"a"}
        assert len(reader.between(NOON, NOON + 1, 9, where="-service:x")) == 1
    append(path, [Row(started_ms=NOON + 1, host_name="web-1")])
    with LogReader(path) as reader:
        assert [row.host_name for row in reader.latest(9)] == ["web-1", None]
