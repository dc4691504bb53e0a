"""An engine for the tests of this folder: chdb behind HTTP, a database for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from promptop.fleet import schema, shipper
from promptop.fleet.engine import Engine, parse_address

if TYPE_CHECKING:
    from tests.support.clickhouse import ClickHouse

_DATABASES = iter(f"fleet_{number}" for number in range(100))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    pytest.importorskip("chdb", reason="chdb is not installed: make test-fleet")
    from tests.support.clickhouse import ClickHouse

    made = ClickHouse(str(tmp_path_factory.mktemp("engine")))
    yield made
    made.close()


@pytest.fixture
def engine(server: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(shipper, "_FIRST_WAIT_S", 0.005)
    monkeypatch.setattr(shipper, "_LONGEST_WAIT_S", 0.05)
    found = Engine(parse_address(f"{server.url}/{next(_DATABASES)}"), timeout_s=10)
    with contextlib.closing(found.at("default")) as maker:
        for statement in schema.statements(found.address.database):
            maker.run(statement)
    yield found
    server.break_inserts("")
    found.close()
