"""A whole benchmark: requests × loads one after the other, its money, how far it is; for command and screen alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from promptop.budget.budget import SpendReservation
from promptop.budget.estimate import CostEstimate
from promptop.client.request import RunRequest
from promptop.client.result import Progress, RunResult
from promptop.experiments.bench.gates import Rule, met
from promptop.experiments.bench.load_generator import Bench, Load, Measured

APP = "promptop bench"
"""Name of the program in the log's rows."""


@dataclass(frozen=True, slots=True)
class BenchOutcome:
    """What came of a benchmark."""

    phases: list[Measured]
    errors: list[str]
    """Distinct errors, in the order in which they came."""
    spent_usd: float
    unpriced: int
    stopped: bool
    is_capped: bool
    shares: list[str]
    """How calls were shared out, where a profile has several endpoints or keys."""


@dataclass(frozen=True, slots=True)
class BenchStep:
    """How far a benchmark is."""

    ended: int
    size: int
    spent_usd: float
    failed: int
    phase: str
    """Title of what is measured now."""
    in_flight: int
    latest: list[dict[str, float | None]]
    """Figures of the last calls of this phase that went well."""
    over: list[dict[str, Any]]
    """Phases that are over, as ``promptop bench --json`` has them."""
    error: str = ""


class BenchRun:
    """Measures every request under every load. It can be pickled until it works, and then belongs to one loop."""

    def __init__(
        self,
        requests: Sequence[RunRequest],
        loads: Sequence[Load],
        objectives: Sequence[Rule],
        each_usd: Sequence[float | None],
        *,
        cap_usd: float | None = None,
    ) -> None:
        """``each_usd`` is the most that a call of each request may cost; None where that is not known."""
        self.requests, self.loads, self.objectives = list(requests), list(loads), list(objectives)
        self.cap_usd = cap_usd
        self._each_usd = list(each_usd)
        self._bench: Bench | None = None
        self._allowance: SpendReservation | None = None
        self._stopped = False
        self._failed = 0
        self._phase = ""
        self._errors: dict[str, None] = {}
        self._over: list[dict[str, Any]] = []

    @property
    def calls_each(self) -> int:
        """Calls of each request, warm-ups included."""
        return sum(load.calls + load.warm_ups for load in self.loads)

    @property
    def size(self) -> int:
        """Number of calls, warm-ups included."""
        return len(self.requests) * self.calls_each

    def ceiling(self) -> CostEstimate:
        """Return the most that it may cost."""
        priced = list(zip(self.requests, self._each_usd, strict=True))
        known = [usd for _, usd in priced if usd is not None]
        unknown = tuple(dict.fromkeys(request.model for request, usd in priced if usd is None))
        return CostEstimate(self.size, 0, self.calls_each * sum(known) if known else None, unknown)

    def snapshot(self) -> BenchStep:
        """Return how far it is."""
        bench, allowance = self._bench, self._allowance
        if bench is None or allowance is None:
            return BenchStep(0, self.size, 0.0, 0, "", 0, [], [])
        error = next(reversed(self._errors), "")
        return BenchStep(
            bench.ended,
            self.size,
            allowance.spent_usd,
            self._failed,
            self._phase,
            bench.in_flight,
            bench.latest(),
            list(self._over),
            error,
        )

    def stop(self) -> Sequence[Progress]:
        """Begin no further call and cancel those under way; return them."""
        self._stopped = True  # also before it has begun
        running = self._bench.stop() if self._bench is not None else ()
        for progress in running:
            progress.cancel()
        return running

    async def work(self, options: Mapping[str, Any]) -> BenchOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        from promptop.client.http.endpoints import Endpoints, load_sdk

        await load_sdk()  # loading holds the interpreter for most of a second: not under the first call's clock
        endpoints = Endpoints(**{"app": APP, **options})
        allowance = self._allowance = SpendReservation(self.cap_usd, self._each_usd)
        bench = self._bench = Bench(partial(self._call, endpoints), allowance=allowance)
        if self._stopped:
            bench.stop()
        phases: list[Measured] = []
        try:
            for load in self.loads:
                for number, request in enumerate(self.requests):
                    if bench.stopped:
                        break
                    self._phase = f"{request.title}, {load.title}"
                    measured = await bench.measure(number, request.title, load, partial(met, self.objectives))
                    if measured.calls:
                        phases.append(measured)
                        self._over.append(measured.to_json())
        finally:
            await endpoints.aclose()
        capped = allowance.is_capped
        return BenchOutcome(
            phases,
            list(self._errors),
            allowance.spent_usd,
            allowance.unpriced,
            bench.stopped and not capped,
            capped,
            endpoints.shares(),
        )

    async def _call(self, endpoints: Any, number: int, progress: Progress) -> RunResult:
        from promptop.client.call import run

        result = await run(self.requests[number], endpoints, progress=progress)
        if result.error is not None and result.state == "failed":
            self._failed += 1
            self._errors[str(result.error)] = None
        return result
