"""Which call is made next, and what came of those before: the runs of the playground, without a widget's face.

Calls run in a process of their own (:class:`promptop.workers.call_client.Runner`).
Their pieces go straight into the inbox of a pane,
on the runner's thread; results come back to the screen as messages, so that all of this but :func:`_hand_over` runs on
the screen's own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from promptop.budget.budget import Budget
from promptop.client.http.local_servers import first_call_s
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunResult
from promptop.client.tools.loop import MOST_STEPS, next_request, together, with_results
from promptop.client.tools.mocks import ToolResult
from promptop.experiments.schedule import WARM_UPS, Job, Schedule
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.request_builder import APP
from promptop_tui.playground.views.answer_pane import AnswerPane

"""Name of the program in the log's rows."""

OnDone = Callable[[Job, RunResult], None]
"""Called on the runner's thread when a call is over."""


def calls_of(repeats: int) -> int:
    """Return how often each request is sent: a warm-up comes before repeats."""
    return repeats + (WARM_UPS if repeats > 1 else 0)


def runner_for(context: AppContext) -> Runner:
    """Return what makes the calls of a playground; its process is not started yet."""
    return Runner(
        log=context.log_path,
        app=APP,
        bodies=context.settings.log.bodies,
        simulated=context.simulated,
        cache=context.settings.cache,
        gate=context.purse.gate,
    )


@dataclass(slots=True)
class _Flight:
    """A call that was begun and whose result is not on its pane yet."""

    request: RunRequest
    progress: CallProgress | None = None
    said: list[Delta] = field(default_factory=list)
    result: RunResult | None = None
    steps: list[RunResult] = field(default_factory=list)
    """Calls of a tool loop before this one."""

    def so_far(self) -> RunResult:
        """Return the result, else what came until now as that of a cancelled call; times it has none of are unknown."""
        if self.result is not None:
            return self.result
        request = self.request
        text, reasoning = (
            "".join(each.text for each in self.said if each.kind == kind) for kind in ("text", "reasoning")
        )
        ttft_s = self.progress.ttft_s if self.progress is not None else None
        return RunResult(
            request.model, request.model, request.title, text, "cancelled", reasoning=reasoning, ttft_s=ttft_s
        )


class RunController:
    """Begins calls in the order of a schedule while there is money for them."""

    def __init__(self, runner: Runner, purse: Budget) -> None:
        """Take what makes the calls and what pays for them."""
        self.runner = runner
        self.purse = purse
        self.asked: list[RunRequest] = []
        """The requests of the run in progress, or of the last one."""
        self.schedule: Schedule | None = None
        self._flights: dict[Job, _Flight] = {}
        self._ended = threading.Condition()
        """Told on the runner's thread when a flight has its result."""
        self._panes: Sequence[AnswerPane] = ()
        self._on_done: OnDone = lambda job, result: None
        self._cancelled = False

    @property
    def in_flight(self) -> int:
        """Calls that were begun and are not taken yet."""
        return len(self._flights)

    @property
    def running(self) -> bool:
        """Whether a call is in progress."""
        return bool(self._flights)

    @property
    def repeated(self) -> bool:
        """Whether each model of the last run was asked more than once, to be measured."""
        return self.schedule is not None and self.schedule.repeats > 1

    def begin(
        self, requests: list[RunRequest], panes: Sequence[AnswerPane], repeats: int, at_once: int, on_done: OnDone
    ) -> None:
        """Send requests, one pane each, at most ``at_once`` of them side by side."""
        self.asked, self._panes, self._on_done = requests, panes, on_done
        self._cancelled = False
        for pane, request in zip(panes, requests, strict=True):
            pane.begin(request)
        self.schedule = Schedule(len(requests), repeats, warm_ups=calls_of(repeats) - repeats)
        for _ in range(max(1, at_once)):
            self.next()

    def next(self) -> bool:
        """Begin the next call, if there is one and money for it; return False where the cap stopped it."""
        schedule = self.schedule
        if schedule is None:
            return True
        capped = self.in_flight == 0 and schedule.ended > 0 and schedule.left > 0 and self.purse.empty
        if capped:
            schedule.stop()
        job = schedule.next()
        if job is None:
            return not capped
        pane, request = self._panes[job.request], self.asked[job.request]
        turn = "" if schedule.repeats == 1 else "warm-up" if job.warm_up else f"{job.round + 1}/{schedule.repeats}"
        pane.begin(request, turn)
        self._start(job, _Flight(request))
        return True

    def _start(self, job: Job, flight: _Flight) -> None:
        pane = self._panes[job.request]
        self._flights[job] = flight
        flight.progress = pane.progress = self.runner.start(
            flight.request, on_delta=partial(_hand_over, pane, flight.said), on_done=partial(self._landed, job, flight)
        )

    def may_go_on(self, job: Job) -> bool:
        """Whether a tool loop may take another step: it was not cancelled, is not too long, and there is money."""
        steps = len(self._flights[job].steps) + 1
        return not self._cancelled and steps < MOST_STEPS and not self.purse.empty

    def go_on(self, job: Job, result: RunResult, results: Sequence[ToolResult]) -> None:
        """Take a step that called tools, and ask again with what these gave; the same pane shows it."""
        flight, pane = self._flights[job], self._panes[job.request]
        self.purse.take(result)
        steps = [*flight.steps, result]
        request = next_request(flight.request, result, results)
        pane.step(len(steps), result, results)
        pane.conversation = with_results(pane.conversation, result, results)
        self._start(job, _Flight(request, steps=steps))

    def _landed(self, job: Job, flight: _Flight, result: RunResult) -> None:
        """Runs on the runner's thread."""
        with self._ended:
            flight.result = result
            self._ended.notify_all()
        self._on_done(job, result)

    def take(self, job: Job, result: RunResult) -> None:
        """Keep what a call gave: on its pane, in the schedule, and in the purse."""
        assert self.schedule is not None, "a call belongs to a schedule"
        self.purse.take(result)
        result = together([*self._flights.pop(job).steps, result])
        self._panes[job.request].finish(result)
        # Of many calls only the last one's bytes can be looked at, on its pane: the others' would be kept for nothing.
        self.schedule.done(job, replace(result, received=None) if self.repeated else result)

    def tell_first(self) -> None:
        """Tell each pane of a repeated run that is over what being the first cost its first call."""
        schedule = self.schedule
        if schedule is None or not self.repeated:
            return
        for pane, first, kept in zip(self._panes, schedule.first, schedule.kept, strict=True):
            later = [result for result in kept if result is not first and result.state == "done" and result.ttft_s]
            longer_s = first_call_s(first, later)
            pane.first_call = None if longer_s is None else (longer_s, len(later))

    def cancel(self) -> int:
        """Make no further calls and stop those in progress; return how many there were."""
        self._cancelled = True
        if self.schedule is not None:
            self.schedule.stop()
        return max(self.runner.cancel_all(), len(self._flights))

    def end(self, longest_s: float) -> bool:
        """Cancel what runs and take what it gave, waiting for it no longer than this; say whether anything ran.

        No pane is touched and nobody is told: this is for the end of the app.
        """
        if not self._flights or self.schedule is None:
            return False
        self._on_done = lambda job, result: None
        self.cancel()
        with self._ended:
            self._ended.wait_for(lambda: all(each.result for each in self._flights.values()), longest_s)
        for job, flight in self._flights.items():
            self.schedule.done(job, replace(flight.so_far(), received=None))
        self._flights.clear()
        return True


def _hand_over(pane: AnswerPane, said: list[Delta], delta: Delta) -> None:
    """Runs on the runner's thread: puts a piece into the pane's inbox."""
    said.append(delta)
    pane.feed(delta.kind, delta.text)
