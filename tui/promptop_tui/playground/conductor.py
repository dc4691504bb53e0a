"""Which call is made next, and what came of those before: the runs of the playground, without a widget's face.

Calls run in a process of their own (:class:`promptop.runs.Runner`). Their pieces go straight into the inbox of a pane,
on the runner's thread; results come back to the screen as messages, so that all of this but :func:`_hand_over` runs on
the screen's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from promptop.runs.purse import Purse
from promptop.runs.repeat import WARM_UPS, Job, Schedule
from promptop.runs.request import RunRequest
from promptop.runs.result import Delta, RunResult
from promptop.runs.runner import Runner
from promptop_tui.context import AppContext
from promptop_tui.playground.pane import AnswerPane

APP = "promptop playground"
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
    )


class Conductor:
    """Begins calls in the order of a schedule while there is money for them."""

    def __init__(self, runner: Runner, purse: Purse) -> None:
        """Take what makes the calls and what pays for them."""
        self.runner = runner
        self.purse = purse
        self.asked: list[RunRequest] = []
        """The requests of the run in progress, or of the last one."""
        self.schedule: Schedule | None = None
        self.in_flight = 0
        self._panes: Sequence[AnswerPane] = ()
        self._on_done: OnDone = lambda job, result: None

    @property
    def running(self) -> bool:
        """Whether a call is in progress."""
        return self.in_flight > 0

    @property
    def repeated(self) -> bool:
        """Whether each model of the last run was asked more than once, to be measured."""
        return self.schedule is not None and self.schedule.repeats > 1

    def begin(
        self, requests: list[RunRequest], panes: Sequence[AnswerPane], repeats: int, at_once: int, on_done: OnDone
    ) -> None:
        """Send requests, one pane each, at most ``at_once`` of them side by side."""
        self.asked, self._panes, self._on_done = requests, panes, on_done
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
        self.in_flight += 1
        pane.progress = self.runner.start(
            request, on_delta=partial(_hand_over, pane), on_done=partial(self._on_done, job)
        )
        return True

    def take(self, job: Job, result: RunResult) -> None:
        """Keep what a call gave: on its pane, in the schedule, and in the purse."""
        assert self.schedule is not None, "a call belongs to a schedule"
        self.in_flight -= 1
        self._panes[job.request].finish(result)
        # Of many calls only the last one's bytes can be looked at, on its pane: the others' would be kept for nothing.
        self.schedule.done(job, replace(result, received=None) if self.repeated else result)
        self.purse.take(result)

    def cancel(self) -> int:
        """Make no further calls and stop those in progress; return how many there were."""
        if self.schedule is not None:
            self.schedule.stop()
        return self.runner.cancel_all()


def _hand_over(pane: AnswerPane, delta: Delta) -> None:
    """Runs on the runner's thread: puts a piece into the pane's inbox."""
    pane.feed(delta.kind, delta.text)
