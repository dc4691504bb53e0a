"""A whole benchmark: requests × loads one after the other, its money, how far it is; for command and screen alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from promptop.base.descriptors import require
from promptop.budget.estimate import CostEstimate, Lengths, estimate, times
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.experiments.bench.gates import GateRule, met
from promptop.experiments.bench.load_generator import OPEN_AT_ONCE, Bench, Load, MeasuredRequest
from promptop.experiments.checks import Check
from promptop.experiments.grid.caller import GridCaller

APP = "promptop bench"
"""Name of the program in the log's rows."""


@dataclass(frozen=True, slots=True)
class BenchOutcome:
    """What came of a benchmark."""

    phases: list[MeasuredRequest]
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
        objectives: Sequence[GateRule],
        *,
        cases: Sequence[Sequence[RunRequest]] = (),
        checks: Sequence[Sequence[Check]] = (),
    ) -> None:
        """Keep what is measured: a request to each model, or for each of ``cases`` a request to each model.

        Cases are asked in turns, in their order; ``checks`` are those of each case, and need no model.
        """
        self.loads, self.objectives = list(loads), list(objectives)
        most = max((load.concurrency or OPEN_AT_ONCE for load in loads), default=1)
        self._at_once = min(most, max((load.calls + load.warm_ups for load in loads), default=1))
        self.requests = [_with_room(request, self._at_once) for request in requests]
        self.cases = [[_with_room(each, self._at_once) for each in case] for case in cases] or [self.requests]
        self.checks = [list(each) for each in checks] or [[] for _ in self.cases]
        self._asked = 0
        self._checked: list[bool] = []
        self._caller = GridCaller(APP)
        self._bench: Bench | None = None
        self._phase = ""
        self._over: list[dict[str, Any]] = []

    @property
    def calls_each(self) -> int:
        """Calls of each request, warm-ups included."""
        return sum(load.calls + load.warm_ups for load in self.loads)

    @property
    def size(self) -> int:
        """Number of calls, warm-ups included."""
        return len(self.requests) * self.calls_each

    def estimate(self, lengths: Lengths | None = None) -> CostEstimate:
        """Return what it may cost; ``lengths`` are those of the log's answers."""
        every = [request for case in self.cases for request in case]
        return times(estimate(every, 1, lengths), -(-self.calls_each // len(self.cases)))

    def snapshot(self) -> BenchStep:
        """Return how far it is."""
        bench, caller = self._bench, self._caller
        in_flight, latest = (bench.in_flight, bench.latest()) if bench is not None else (0, [])
        error = next(reversed(caller.errors), "")
        return BenchStep(
            caller.ended,
            self.size,
            caller.spent_usd,
            caller.failed,
            self._phase,
            in_flight,
            latest,
            list(self._over),
            error,
        )

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way; return them."""
        if self._bench is not None:
            self._bench.stop()
        return self._caller.stop()

    async def work(self, options: Mapping[str, Any]) -> BenchOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        require(self._at_once)
        caller = self._caller
        await caller.open(options)
        bench = self._bench = Bench(self._call)
        if caller.stopped:
            bench.stop()
        phases: list[MeasuredRequest] = []
        try:
            for load in self.loads:
                for number, request in enumerate(self.requests):
                    if bench.stopped:
                        break
                    self._phase = f"{request.title}, {load.title}"
                    self._asked, self._checked = -load.warm_ups, []
                    measured = await bench.measure(number, request.title, load, partial(met, self.objectives))
                    measured.checked, measured.passed = len(self._checked), sum(self._checked)
                    if measured.calls:
                        phases.append(measured)
                        self._over.append(measured.to_json())
        finally:
            await caller.close()
        return BenchOutcome(
            phases,
            list(caller.errors),
            caller.spent_usd,
            caller.unpriced,
            caller.stopped,
            caller.is_capped,
            caller.shares(),
        )

    async def _call(self, number: int, progress: CallProgress) -> RunResult:
        place, counts = self._asked % len(self.cases), self._asked >= 0
        self._asked += 1
        result = await self._caller.call(self.cases[place][number], progress=progress)
        if counts and self.checks[place] and result.state == "done":
            self._checked.append(all(check.judge(result).passed for check in self.checks[place]))
        return result


def _with_room(request: RunRequest, at_once: int) -> RunRequest:
    """Return the request with a pool that has a connection for each call under way: none waits for another's."""
    profile = request.profile
    if not profile.max_connections or profile.max_connections >= at_once:
        return request
    kept = max(profile.keep_alive, at_once)
    return replace(request, profile=replace(profile, max_connections=at_once, keep_alive=kept))
