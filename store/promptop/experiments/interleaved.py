"""Several ways of asking, held against each other: each is an arm, all arms are asked in turns, one call at a time.

Rounds are interleaved (:mod:`promptop.experiments.schedule`), so that a slow minute meets every arm alike; the first
round is a warm-up and is dropped. No call is begun that could pass the allowance. What the results mean is not judged
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from promptop.budget.budget import SpendReservation
from promptop.budget.estimate import CostEstimate
from promptop.client.request import RunRequest
from promptop.client.result import Progress, RunResult
from promptop.experiments.schedule import WARM_UPS, Job, Schedule, work_through

MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of asking; arms of a trial differ in one thing."""

    title: str
    request: RunRequest
    streamed: bool = True
    most_usd: float | None = None
    """The most that a call of it may cost; None where that is not known."""
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
class Outcome:
    """What came of a trial."""

    kept: list[list[RunResult]]
    """Results of each arm, warm-ups left out."""
    spent_usd: float
    unpriced: int
    stopped: bool
    is_capped: bool
    """Whether the allowance ended it before its last round."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a trial is."""

    ended: int
    size: int
    spent_usd: float
    failed: int
    last: str
    """Title of the arm that was answered last."""
    error: str = ""


class Trial:
    """Asks the arms in turns. It can be pickled until it works, and then belongs to one event loop."""

    def __init__(
        self, arms: Sequence[Arm], repeats: int, *, cap_usd: float | None = None, app: str, warm_ups: int = WARM_UPS
    ) -> None:
        """Plan ``repeats`` rounds; ``app`` is the program's name in the log's rows."""
        self.arms = tuple(arms)
        self.cap_usd = cap_usd
        self.app = app
        self._schedule = Schedule(len(self.arms), repeats, warm_ups=warm_ups)
        self._allowance = SpendReservation(cap_usd)
        self._running: set[Progress] = set()
        self._stopped = False
        self._failed = 0
        self._last = ""
        self._error = ""

    @property
    def size(self) -> int:
        """Number of calls, warm-ups included."""
        return self._schedule.size

    def snapshot(self) -> Step:
        """Return how far it is."""
        spent = self._allowance.spent_usd
        return Step(self._schedule.ended, self.size, spent, self._failed, self._last, self._error)

    def stop(self) -> Sequence[Progress]:
        """Begin no further call and cancel the one under way; return it."""
        self._stopped = True
        self._schedule.stop()
        for progress in self._running:
            progress.cancel()
        return tuple(self._running)

    async def work(self, options: Mapping[str, Any]) -> Outcome:
        """Make the calls; ``options`` are those of :class:`promptop.client.http.endpoints.Endpoints`."""
        from promptop.client.http.endpoints import Endpoints, load_sdk

        await load_sdk()  # loading holds the interpreter for most of a second: not under the first call's clock
        endpoints = Endpoints(**{"app": self.app, **options})
        self._allowance = SpendReservation(self.cap_usd, [arm.most_usd for arm in self.arms])
        self._reserve()
        try:
            await work_through(self._schedule, lambda job: self._call(job, endpoints))
        finally:
            await endpoints.aclose()
        allowance = self._allowance
        return Outcome(self._schedule.kept, allowance.spent_usd, allowance.unpriced, self._stopped, allowance.is_capped)

    async def _call(self, job: Job, endpoints: Any) -> RunResult:
        from promptop.client.call import run
        from promptop.client.http.non_streaming import run_unstreamed

        arm, progress = self.arms[job.request], Progress()
        make = run if arm.streamed else run_unstreamed
        self._running.add(progress)
        try:
            result = await make(arm.request_of(job), endpoints, progress=progress)
        finally:
            self._running.discard(progress)
        self._allowance.end(job.request, result)
        self._last = arm.title
        if result.state == "failed":
            self._failed += 1
            self._error = str(result.error or "")
        self._reserve()
        return result

    def _reserve(self) -> None:
        """Reserve the money for the next call, or end the trial."""
        following = self._schedule.peek()
        if following is not None and not self._allowance.begin(following.request):
            self._schedule.stop()


def ceiling_of_trial(trial: Trial) -> CostEstimate:
    """Return the most that a trial may cost, warm-ups included."""
    unknown = tuple(dict.fromkeys(arm.request.model for arm in trial.arms if arm.most_usd is None))
    rounds = trial.size / max(1, len(trial.arms))
    known = [arm.most_usd for arm in trial.arms if arm.most_usd is not None]
    return CostEstimate(trial.size, 0, rounds * sum(known) if known else None, unknown)
