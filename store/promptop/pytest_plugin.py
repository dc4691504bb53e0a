"""Fixtures for pytest: a simulated endpoint, and calls that are watched while a test runs.

pytest loads this module by its entry point wherever promptop is installed. Nothing else of promptop is loaded until a
test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop.simulator.server.server import SimulatedEndpoint

_Client = TypeVar("_Client")


@dataclass(frozen=True)
class ObservedCalls:
    """The calls that a test makes through clients given to :meth:`observe`."""

    log: Path
    """The log that they leave rows in; it goes with the test."""

    def observe(self, client: _Client, *, app: str = "tests") -> _Client:
        """Return a client like ``client`` whose calls are seen here; see :func:`promptop.observe`."""
        from promptop.capture.observe import observe

        return observe(client, log=self.log, app=app)

    @property
    def rows(self) -> list[StoredRow]:
        """A row per attempt that has ended, in the order of their starts; see the log's columns."""
        from promptop.log import LogReader, writer_for

        assert writer_for(self.log).flush(10.0), "the log of this test cannot be written"
        if not self.log.exists():
            return []
        with LogReader(self.log) as log:
            return sorted(log.after(0, 1_000_000), key=lambda row: (row.started_ms or 0, row.id))

    @property
    def cost_usd(self) -> float:
        """What the calls cost. Fails the test where a call used tokens and has no known price."""
        rows = self.rows
        if unpriced := sorted(
            {str(row.request_model) for row in rows if row.cost_usd is None and row.usage_input_tokens}
        ):
            pytest.fail(f"{', '.join(unpriced)}: no price is known, so what the calls cost is not known", pytrace=False)
        return sum(row.cost_usd or 0.0 for row in rows)

    def assert_calls(self, count: int, **fields: object) -> None:
        """Fail unless exactly ``count`` attempts were made, of those with these columns: ``request_model="gpt-4o"``."""
        __tracebackhide__ = True
        rows = [row for row in self.rows if all(getattr(row, name) == value for name, value in fields.items())]
        if len(rows) != count:
            made = "".join(f"\n  {row.request_model} {row.error_type or 'ok'}" for row in rows[:20])
            pytest.fail(f"expected {count} calls, {len(rows)} were made{made}", pytrace=False)

    def assert_cost_below(self, usd: float) -> None:
        """Fail unless the calls cost less than ``usd`` together, or where a price is unknown."""
        __tracebackhide__ = True
        if (cost := self.cost_usd) >= usd:
            from promptop.models import usd_text

            pytest.fail(f"the calls cost {usd_text(cost, 3)}, not below {usd_text(usd, 3)}", pytrace=False)


@pytest.fixture
def observed_calls(tmp_path: Path) -> Iterator[ObservedCalls]:
    """Give an :class:`ObservedCalls` whose log lies in the test's own folder."""
    calls = ObservedCalls(tmp_path / "promptop-calls.db")
    yield calls
    from promptop.log import writer_for

    writer_for(calls.log).close()


@pytest.fixture
def simulated_endpoint() -> Iterator[SimulatedEndpoint]:
    """Give a running :class:`promptop.SimulatedEndpoint` without pauses; its ``base_url`` takes any key."""
    from promptop.simulator.server.server import SimulatedEndpoint

    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint


@pytest.fixture
def simulated_endpoints() -> Iterator[Callable[..., SimulatedEndpoint]]:
    """Give a function that starts a :class:`promptop.SimulatedEndpoint` with its options; all end with the test."""
    from contextlib import ExitStack

    from promptop.simulator.server.server import SimulatedEndpoint

    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SimulatedEndpoint.in_thread(**options))
