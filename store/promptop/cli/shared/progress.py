"""What commands that measure share: the price before, progress while it runs, Ctrl-C that keeps what came."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from promptop.base import units
from promptop.budget.gate import Gate
from promptop.cli.command_line.declare import ParsedArguments
from promptop.cli.shared.call_options import cancelling
from promptop.client.result import CallProgress
from promptop.settings import Settings

Outcome_co = TypeVar("Outcome_co", covariant=True)
LOOKS_PER_SECOND = 5
BAR = 20


class Measurement(Protocol[Outcome_co]):
    """What commands measure in their own process (:class:`promptop.workers.measurement.Measurement` is the same
    elsewhere).
    """

    async def work(self, options: Mapping[str, Any]) -> Outcome_co:
        """Make the calls and return what came of them."""

    def snapshot(self) -> Any:
        """Return how far it is."""

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way."""


def make(measurement: Measurement[Outcome_co], args: ParsedArguments, settings: Settings, gate: Gate) -> Outcome_co:
    """Make the calls in this process, showing how far it is; Ctrl-C keeps what came."""
    options = {"log": settings.log_path(), "bodies": settings.log.bodies, "gate": gate}
    return asyncio.run(_make(measurement, options, shown=not args.json and not args.quiet and sys.stderr.isatty()))


async def _make(measurement: Measurement[Outcome_co], options: dict[str, Any], *, shown: bool) -> Outcome_co:
    with cancelling(measurement.stop):
        async with _showing(lambda: line_of(measurement.snapshot()), shown=shown):
            return await measurement.work(options)


def line_of(step: Any) -> str:
    """Return how far a measurement is: bar, calls, failures, what it has spent."""
    filled = step.ended * BAR // step.size if step.size else BAR
    failed = f" · {step.failed} failed" if step.failed else ""
    bar = "█" * filled + "░" * (BAR - filled)
    return f"{bar} {step.ended}/{step.size} calls{failed} · spent {units.usd(step.spent_usd)}"


@contextlib.asynccontextmanager
async def _showing(line: Callable[[], str], *, shown: bool) -> Any:
    """Redraw a line on stderr five times a second, where a person looks at it."""

    async def draw() -> None:
        while True:
            print(f"\r\x1b[K{line()}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(1 / LOOKS_PER_SECOND)

    drawing = asyncio.create_task(draw()) if shown else None
    try:
        yield
    finally:
        if drawing is not None:
            drawing.cancel()
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
