"""A simulated endpoint without pauses, a log, and calls to make against them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promptop.capture import include_usage
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.log import LogReader, StoredRow, Writer
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint

Ask = Callable[..., RunRequest]
Rows = Callable[[], list[StoredRow]]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Writer]:
    include_usage._refused.clear()  # the process remembers for its life who refused stream_options
    with Writer(tmp_path / "log.db", linger_s=0.001) as writer:
        yield writer
    include_usage._refused.clear()


@pytest.fixture
def rows(log: Writer) -> Rows:
    """Return what was logged so far, the oldest first."""

    def read() -> list[StoredRow]:
        assert log.flush(10)
        assert log.stats.lost == 0
        with LogReader(log.path) as reader:
            return reader.latest(1000)[::-1]

    return read


@pytest.fixture
async def endpoints(log: Writer) -> AsyncIterator[Endpoints]:
    opened = Endpoints(log=log, app="tests", simulated=True)
    yield opened
    await opened.aclose()


@pytest.fixture
def ask(endpoint: SimulatedEndpoint) -> Ask:
    """Return a function that builds a request to a model of the simulated endpoint."""
    profile = Profile(name="demo", base_url=endpoint.base_url)

    def build(model: str = "gpt-4o-mini", text: str = "What is prompt engineering?", **values: Any) -> RunRequest:
        values.setdefault("profile", profile)
        return RunRequest(model=model, messages=[{"role": "user", "content": text}], **values)

    return build
