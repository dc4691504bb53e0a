"""Several ways of asking, held against each other: each is an arm, all arms are asked in turns, one call at a time.

Rounds are interleaved (:mod:`promptop.experiments.schedule`), so that a slow minute meets every arm alike; the first
round is a warm-up and is dropped. A call that a cap refuses ends the trial. What the results mean is not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.budget.estimate import CostEstimate, Lengths, estimate, times
from promptop.client.request import RunRequest
from promptop.client.result import CAP, CallProgress, RunResult
from promptop.experiments.grid.caller import GridCaller, MeasurementStep, is_refused
from promptop.experiments.schedule import WARM_UPS, Job, Schedule, work_through

MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of asking; arms of a trial differ in one thing."""

    title: str
    request: RunRequest
    streamed: bool = True
    nonce: bool = False
    """Whether each call begins with a line of its own, so that no prefix cache of the provider helps."""

    def request_of(self, job: Job) -> RunRequest:
        """Return what is sent in a round."""
        if not self.nonce:
            return self.request
        first, *others = self.request.messages
        content = first.get("content")
        line = f"[{job.round + WARM_UPS:04d}-{job.request:02d}]\n"
        if isinstance(content, str):
            content = line + content
        return replace(self.request, messages=[{**first, "content": content}, *others])


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What came of a trial."""

    kept: list[list[RunResult]]
    """Results of each arm, warm-ups left out."""
    first: list[RunResult | None]
    """Each arm's very first call, which met a cold connection and perhaps a cold model."""
    spent_usd: float
    unpriced: int
    stopped: bool
    is_capped: bool
    """Whether a cap ended it before its last round."""
    shares: tuple[str, ...] = ()
    """How calls were shared out, where a profile has several endpoints or keys."""


class Trial:
    """Asks the arms in turns. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(
        self,
        arms: Sequence[Arm],
        repeats: int,
        *,
        app: str,
        warm_ups: int = WARM_UPS,
        concurrency: int = 1,
        ends_refused: bool = False,
    ) -> None:
        """Plan ``repeats`` rounds; ``app`` is the program's name in the log's rows.

        ``ends_refused`` ends it with the first call that is refused for its key, its model or want of money.
        """
        self._ends_refused = ends_refused
        self.arms = tuple(arms)
        self.rounds = repeats + warm_ups
        self._concurrency = concurrency
        self._schedule = Schedule(len(self.arms), repeats, warm_ups=warm_ups)
        self._caller = GridCaller(app)

    @property
    def size(self) -> int:
        """Number of calls, warm-ups included."""
        return self._schedule.size

    def estimate(self, lengths: Lengths | None = None) -> CostEstimate:
        """Return what it may cost, warm-ups included; ``lengths`` are those of the log's answers."""
        return times(estimate([arm.request for arm in self.arms], 1, lengths), self.rounds)

    def snapshot(self) -> MeasurementStep:
        """Return how far it is."""
        return self._caller.step(self.size)

    def stop(self) -> Sequence[CallProgress]:
        """Begin no further call and cancel those under way; return them."""
        self._schedule.stop()
        return self._caller.stop()

    async def work(self, options: Mapping[str, Any]) -> TrialOutcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        caller, schedule = self._caller, self._schedule
        await caller.open(options)
        try:
            await work_through(schedule, self._call, concurrency=self._concurrency)
        finally:
            await caller.close()
        shares = tuple(caller.shares())
        return TrialOutcome(
            schedule.kept, schedule.first, caller.spent_usd, caller.unpriced, caller.stopped, caller.is_capped, shares
        )

    async def _call(self, job: Job) -> RunResult | None:
        arm = self.arms[job.request]
        result = await self._caller.call(arm.request_of(job), streamed=arm.streamed, title=arm.title)
        if self._caller.is_capped or (self._ends_refused and is_refused(result.error)):
            self._schedule.stop()
        return result if result.error is None or result.error.type != CAP else None
