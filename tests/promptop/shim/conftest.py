"""A log, a simulated endpoint without pauses, and ways to read what was logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptop.demo import SimulatedEndpoint
from promptop.log import LogReader, StoredRow, Writer
from promptop.shim import extra_usage

Rows = Callable[[], list[StoredRow]]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture(autouse=True)
def no_refusals() -> Iterator[None]:
    """Forget which endpoints refused ``stream_options``: the process remembers it for its life."""
    extra_usage._refused.clear()
    yield
    extra_usage._refused.clear()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path / "log.db", linger_s=0.001) as writer:
        yield writer


@pytest.fixture
def rows(log: Writer) -> Rows:
    """Return what was logged so far, the oldest first."""

    def read() -> list[StoredRow]:
        assert log.flush(10)
        assert log.stats.lost == 0
        with LogReader(log.path) as reader:
            return reader.latest(1000)[::-1]

    return read
