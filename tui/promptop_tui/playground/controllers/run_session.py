"""From F5 to the last answer: begins a run, shows its pieces by the frame, takes its results, and says when it is over.

The :class:`RunController` makes the calls; results come on its thread and are handed over, so that every widget is
touched on the screen's own thread alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from textual.timer import Timer

from promptop.base.sanitize import clean_line
from promptop.client.result import RunResult
from promptop.client.tools.mocks import Answer, ToolResult, answer_all
from promptop.experiments.comparison import intervals, measurable_best, verdicts
from promptop.experiments.schedule import Job
from promptop.history.run_history import KeptRun
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.history import kept_answers
from promptop_tui.playground.controllers.request_builder import RunPlan
from promptop_tui.playground.controllers.run_controller import RunController
from promptop_tui.playground.views.results import Results
from promptop_tui.services.background import Background


class RunSession:
    """The run that is in progress, or the last one."""

    def __init__(
        self,
        calls: RunController,
        results: Results,
        background: Background,
        context: AppContext,
        *,
        changed: Callable[[], object],
        over: Callable[[KeptRun], object],
        capped: Callable[[], object],
    ) -> None:
        """``changed`` is called when a run began or a call is over, ``over`` with a run that is over, and ``capped``
        when the cap stopped the remaining calls.
        """
        self.calls = calls
        self._results, self._background, self._context = results, background, context
        self._changed, self._over, self._capped = changed, over, capped
        self._plan: RunPlan | None = None
        self._order: list[int] = []
        self._tools: dict[str, Answer] = {}
        self._started_ms = 0
        self._source = ""
        self._frames: Timer | None = None

    @property
    def running(self) -> bool:
        """Whether calls are in progress."""
        return self.calls.running

    def draw_with(self, frames: Timer) -> None:
        """Take the timer that draws; it rests until something runs."""
        self._frames = frames

    async def begin(
        self, plan: RunPlan, repeats: int, at_once: int, source: str, tools: Mapping[str, Answer] | None = None
    ) -> None:
        """Send a plan; ``source`` says where its prompt came from, ``tools`` answer what models call."""
        results = self._results
        self._tools = {} if repeats > 1 else dict(tools or {})  # repeated calls are measured: one call each
        self._plan, self._source, self._started_ms = plan, source, int(self._context.now() * 1000)
        self._order = list(range(len(plan.requests)))
        if results.blind:
            random.shuffle(self._order)
        requests = [plan.requests[number] for number in self._order]
        panes = await results.show_panes([clean_line(request.title) for request in requests])
        self.calls.begin(requests, panes, repeats, at_once, self._landed)
        for pane, number in zip(panes, self._order, strict=True):
            pane.conversation = plan.whole(number)
        self._show_table()
        self._changed()
        if self._frames is not None:
            self._frames.resume()

    def _landed(self, job: Job, result: RunResult) -> None:
        """Runs on the runner's thread."""
        self._background.hand_over(self._take, job, result)

    def _take(self, job: Job, result: RunResult) -> None:
        """Take the end of a call; where it called tools that are mocked, have them answer and ask again."""
        called = {name for name, _ in result.tool_calls}
        tools = self._tools
        if result.state == "done" and called and called <= tools.keys() and self.calls.may_go_on(job):
            self._background.run(
                partial(answer_all, result.tool_calls, tools),
                partial(self._go_on, job, result),
                lambda error: self._end_of(job, result),
                group=f"tools {job}",
                description="have tools answer",
                exclusive=False,
            )
        else:
            self._end_of(job, result)

    def _go_on(self, job: Job, result: RunResult, results: Sequence[ToolResult]) -> None:
        if self.calls.may_go_on(job):
            self.calls.go_on(job, result, results)
            self._changed()
        else:
            self._end_of(job, result)

    def _end_of(self, job: Job, result: RunResult) -> None:
        self.calls.take(job, result)
        if not self.calls.next():
            self._capped()
        self._show_table()
        self._changed()
        if not self.calls.running:
            self._end()

    def _end(self) -> None:
        calls = self.calls
        calls.tell_first()
        if self._frames is not None:
            self._frames.pause()
        if calls.repeated and calls.schedule is not None:
            titles = [request.title for request in calls.asked]
            kept = [list(results) for results in calls.schedule.kept]
            self._background.run(
                lambda: (verdicts(titles, kept), intervals(kept), measurable_best(kept)),
                lambda judged: self._results.show_judgement(*judged),
                lambda error: None,
                group="judge",
                description="compare repeated calls",
            )
        if (run := self.kept_run()) is not None:
            self._over(run)

    def kept_run(self) -> KeptRun | None:
        """Return what came of the last run, for the history and the checks; None before there was one."""
        plan, calls = self._plan, self.calls
        if plan is None or calls.schedule is None:
            return None
        return KeptRun(
            started_ms=self._started_ms,
            setup=plan.setup,
            answers=kept_answers(
                calls.asked,
                [plan.spec_of(number) for number in self._order],
                [plan.version_of(number) for number in self._order],
                [list(results) for results in calls.schedule.kept],
            ),
            versions=tuple(plan.versions),
            text=plan.text,
            source=self._source,
            digest=plan.digest,
            repeats=calls.schedule.repeats,
            simulated=self._context.simulated,
        )

    def draw_frame(self) -> None:
        """Show what came, in all panes at once."""
        for pane in self._results.grid.panes:
            if pane.progress is not None and pane.result is None:
                pane.tick()

    def _show_table(self) -> None:
        calls = self.calls
        self._results.show_table(calls.schedule.kept if calls.schedule is not None and calls.repeated else None)
