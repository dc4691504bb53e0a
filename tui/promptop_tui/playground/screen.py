"""The Playground tab: one prompt, several models at once, measured in the transport and compared.

The :class:`Conductor` makes the calls, the :class:`Stage` shows the answers; this is what stands between them and the
keys. One timer, running only while something runs, shows the inboxes of all panes in one frame. Results come as
messages, so that every widget is touched by its own handlers alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.budget.budget import Day, spent_on
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.comparison import intervals, verdicts
from promptop.experiments.schedule import Job
from promptop.history.run_history import KeptRun
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.cost_estimate import Plan, PriceLine
from promptop_tui.playground.controllers.history import Remembering, kept_answers
from promptop_tui.playground.controllers.request_builder import RunPlan
from promptop_tui.playground.controllers.run_controller import RunController, calls_of, runner_for
from promptop_tui.playground.views.answer_pane import AnswerPane
from promptop_tui.playground.views.parameters import ParameterColumn
from promptop_tui.playground.views.results import Stage, Welcome
from promptop_tui.widgets.prompt_area.area import PromptArea

FRAMES_PER_SECOND = 10
"""Panes are drawn this often while something streams; a reader sees no difference above it, a CPU does."""
LAST_WORDS_S = 0.5
"""Longest wait for the ends of calls that the end of the app cancels; they come in a few milliseconds."""
LAST_RUN_S = 1.5
"""Longest wait for the history then: the first write loads a library for a quarter of a second."""
TINY_WIDTH = 60
"""Cells below which parameters, prompt and answers are shown one at a time."""
FLAT_HEIGHT = 16
"""Rows below which the answers get those of the comparison."""


class PlaygroundPane(Remembering):
    """The tab."""

    HELP = """
    Sends every chosen version of the prompt to every chosen model at once and shows the answers side by side as they
    stream. Time to first token and total are stamped where bytes leave the socket, so that drawing delays no figure.
    Each attempt is a row of the log: F4 shows it.

    `Esc` cancels what runs and keeps what came; with nothing running it leaves the field that is typed in, so that
    letters are keys again: `h` history, `p` presets, `v` versions, `o` options, `k` checks, `b` blind rating, `l` claim
    lab. `F11` measures the prompt under load, `F12` sends many.

    The table below marks the best figure of each column with `*`. With `repeats` above 1 the models are asked in
    interleaved order after a warm-up that is dropped; the table shows medians, and below it stands how each model
    differs from the first, with 95 % intervals.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Run", id="playground.run", tooltip="Send the prompt to the models", priority=True),
        Binding("escape", "cancel", "Cancel", id="playground.cancel", tooltip="Stop what runs; keep what came"),
        Binding("f6", "next_pane", "Next", id="playground.next", tooltip="Look at the next answer", priority=True),
        Binding(
            "f7", "zoom", "Zoom", id="playground.zoom", tooltip="One answer alone, or all", priority=True, show=False
        ),
        Binding(
            "f8",
            "parameters",
            "Params",
            id="playground.parameters",
            tooltip="Show or hide the parameters",
            priority=True,
            show=False,
        ),
        Binding(
            "f9",
            "prompt",
            "Prompt",
            id="playground.prompt",
            tooltip="Edit the prompt in a large field, or go on",
            priority=True,
        ),
        Binding("h", "history", "History", id="playground.history", tooltip="Runs before: open, ask again", show=False),
        Binding(
            "v", "versions", "Versions", id="playground.versions", tooltip="Prompts asked side by side", show=False
        ),
        Binding("p", "presets", "Presets", id="playground.presets", tooltip="Save or take a setup", show=False),
        Binding("o", "options", "Options", id="playground.options", tooltip="Tools, format, one model", show=False),
        Binding("k", "checks", "Checks", id="playground.checks", tooltip="What every answer must be", show=False),
        Binding("b", "blind", "Blind", id="playground.blind", tooltip="Rate answers without names", show=False),
        Binding("f11", "bench", "Bench", id="playground.bench", tooltip="Measure the prompt under load", show=False),
        Binding("l", "lab", "Claim lab", id="playground.lab", tooltip="What changes latency here?", show=False),
        Binding("f12", "batch", "Batch", id="playground.batch", tooltip="Send many prompts from a file", show=False),
    ]

    @dataclass
    class CallDone(Message):
        """A call is over; sent from the runner's thread."""

        job: Job
        result: RunResult

    @dataclass
    class Judged(Message):
        """Repeated calls were compared, on a worker's thread."""

        lines: list[str]
        intervals: list[dict[str, str]]

    @dataclass
    class DayRead(Message):
        """The log was asked what today has cost, on a worker's thread."""

        day: Day

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls if given, and is then closed by who gave it."""
        super().__init__(context)
        self._owned = runner is None
        self._conductor = RunController(runner or runner_for(context), context.purse)
        self._frames: Timer | None = None
        self._asking: RunPlan | None = None
        self._order: list[int] = []
        self._started_ms = 0

    def compose(self) -> ComposeResult:
        """Lay out the parameters beside everything else."""
        self._price = PriceLine(self._shared.counting, self._plan)
        yield ParameterColumn(self._shared.settings, self._price)
        yield Stage()

    def on_mount(self) -> None:
        """Prepare the frame timer; it rests until something runs."""
        self._frames = self.set_interval(1 / FRAMES_PER_SECOND, self._frame, pause=True)
        self.begin_draft()
        self._show_spent()
        self._read_day()
        self.area.focus()
        self.call_after_refresh(self._conductor.runner.warm)

    def on_resize(self, event: events.Resize) -> None:
        """Tell the sheet how much room there is."""
        self.set_class(event.size.width < TINY_WIDTH, "-tiny")
        self.set_class(event.size.height < FLAT_HEIGHT, "-flat")
        self.call_after_refresh(self.stage.hold_focus)

    def on_show(self) -> None:
        """Other tabs may have spent something meanwhile."""
        self._show_spent()

    def on_unmount(self) -> None:
        """Cancel what runs and keep what came of it; end the process that makes the calls."""
        cut = self._conductor.end(LAST_WORDS_S)
        keeping = self.keep_at_exit(run) if cut and (run := self._run_to_keep()) is not None else None
        self.end_draft()
        if self._owned:
            self._conductor.runner.close()
        if keeping is not None:
            keeping.join(LAST_RUN_S)

    # The price

    @on(ParameterColumn.Changed)
    @on(PromptArea.Edited)
    def _run_changed(self) -> None:
        self._price.settle()

    def _plan(self) -> Plan | None:
        """Return what would be sent now; None if it cannot be meant, which is said when it is tried."""
        self.column.show_rounds(self.rounds_typed())
        self.column.show_unfilled(self.unfilled_typed())
        try:
            asking = self.asking()
            whole = asking.whole(0) if asking.context is not None else ()
            return Plan(asking.requests, calls_of(self.column.repeats()), asking.context, whole)
        except PromptopError:
            return None

    # Running

    def running(self) -> bool:
        """Say whether calls are in progress."""
        return self._conductor.running

    async def action_run(self) -> None:
        """Send the chosen versions of the prompt to every chosen model."""
        conductor = self._conductor
        if conductor.running:
            self.notify("Still running: Esc cancels.", severity="warning")
            return
        try:
            asking = self.asking()
            repeats = self.column.repeats()
            at_once = self.column.at_once(len(asking.requests))
            conductor.purse.check(self._price.most(asking.requests, calls_of(repeats)))
        except PromptopError as error:
            self.notify(clean(str(error)), title="Not sent", severity="error", markup=False)
            return
        self.tell_unfilled()
        self.run_begins()
        self._asking, self._started_ms = asking, int(self._shared.now() * 1000)
        self._order = list(range(len(asking.requests)))
        if self.stage.blind:
            random.shuffle(self._order)
        requests = [asking.requests[number] for number in self._order]
        names = [clean_line(request.title) for request in requests]
        panes = await self.stage.grid.show(names, letters=self.stage.blind)
        self.stage.name_panes(panes, names)
        if isinstance(self.screen.focused, Welcome):  # which is hidden now: the keys go on to work
            self.screen.set_focus(panes[0])
        self.stage.show_verdict([])
        self.remove_class("-judged")
        conductor.begin(requests, panes, repeats, at_once, self._done_elsewhere)
        for pane, number in zip(panes, self._order, strict=True):
            pane.conversation = asking.whole(number)
        self._table()
        if self._frames is not None:
            self._frames.resume()

    def _done_elsewhere(self, job: Job, result: RunResult) -> None:
        """Runs on the runner's thread."""
        self.post_message(self.CallDone(job, result))

    @on(CallDone)
    def _call_done(self, event: CallDone) -> None:
        conductor = self._conductor
        conductor.take(event.job, event.result)
        self._show_spent()
        if not conductor.next():
            self.notify("The cap is reached; the remaining calls are not made.", severity="warning")
        self._table()
        if conductor.running:
            return
        conductor.tell_first()
        self._read_day()
        if self._frames is not None:
            self._frames.pause()
        if conductor.repeated and conductor.schedule is not None:
            titles = [request.title for request in conductor.asked]
            self._judge(titles, [list(results) for results in conductor.schedule.kept])
        if (run := self._run_to_keep()) is not None:
            self.run_is_over(run)

    def _run_to_keep(self) -> KeptRun | None:
        """Return what came of the last run, for the history and the checks."""
        asking, conductor = self._asking, self._conductor
        if asking is None or conductor.schedule is None:
            return None
        specs = [target.spec for target in asking.targets for _ in asking.versions]
        return KeptRun(
            started_ms=self._started_ms,
            setup=asking.setup,
            answers=kept_answers(
                conductor.asked,
                [specs[number] for number in self._order],
                [asking.version_of(number) for number in self._order],
                [list(results) for results in conductor.schedule.kept],
            ),
            versions=tuple(asking.versions),
            text=asking.text,
            source=self.desk.source,
            digest=asking.digest,
            repeats=conductor.schedule.repeats,
            simulated=self._shared.simulated,
        )

    @work(thread=True, exclusive=True, group="judge", description="compare repeated calls")
    def _judge(self, titles: list[str], kept: list[list[RunResult]]) -> None:
        self.post_message(self.Judged(verdicts(titles, kept), intervals(kept)))

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        self.stage.show_intervals(event.intervals)
        if event.lines:
            self.stage.show_verdict(event.lines)
            self.add_class("-judged")

    def _frame(self) -> None:
        """Show what came, in all panes at once."""
        with self.app.batch_update():
            for pane in self.query(AnswerPane):
                if pane.progress is not None and pane.result is None:
                    pane.tick()

    def action_cancel(self) -> None:
        """Stop what runs; with nothing running, leave the field that is typed in."""
        if self._conductor.cancel():
            return
        if self.has_class("-prompt-large"):
            self.action_prompt()
        if not isinstance(self.screen.focused, AnswerPane):
            self.stage.leave_fields()

    def _show_spent(self) -> None:
        """Keep the sums in view: below the parameters, or in the prompt's border where these are hidden."""
        said = str(self._conductor.purse)
        self.column.show_spent(said)
        self.area.border_subtitle = said.replace("\n", " · ") if self.has_class("-parameters-toggled") else ""

    @work(thread=True, exclusive=True, group="day", description="ask the log what today has cost")
    def _read_day(self) -> None:
        try:
            day = spent_on(self._shared.log_path, self._shared.now())
        except PromptopError as error:
            # Without the log the day's cap cannot be held: that must be seen, not only be so.
            self.app.call_from_thread(
                self.notify, clean(str(error)), title="What today has cost", severity="warning", markup=False
            )
            return
        self.post_message(self.DayRead(day))

    @on(DayRead)
    def _day_read(self, event: DayRead) -> None:
        self._conductor.purse.know(event.day)
        self._show_spent()

    def _table(self) -> None:
        conductor = self._conductor
        self.set_class(bool(self.stage.grid.panes), "-answered")
        kept = conductor.schedule.kept if conductor.schedule is not None and conductor.repeated else None
        self.stage.show_table(kept)

    # Arrangement

    def action_next_pane(self) -> None:
        """Look at the next answer."""
        self.stage.look_at_next()

    def action_zoom(self) -> None:
        """Show one answer alone, or as many as there is room for."""
        grid = self.stage.grid
        grid.zoomed = not grid.zoomed
        grid.lay_out()

    def action_parameters(self) -> None:
        """Show or hide the column of parameters."""
        self.toggle_class("-parameters-toggled")
        self._show_spent()
        self.call_after_refresh(self.stage.hold_focus)

    def action_bench(self) -> None:
        """Measure the prompt under load."""
        from promptop_tui.playground.measure.bench_dialog import BenchDialog  # its imports are not needed to start

        if requests := self._to_measure():
            self.app.push_screen(BenchDialog(self._shared, requests), self._measured)

    def action_lab(self) -> None:
        """Test what is said to change latency, with the first model."""
        from promptop_tui.playground.measure.claims_dialog import ClaimsDialog

        if requests := self._to_measure():
            self.app.push_screen(ClaimsDialog(self._shared, requests[0]), self._measured)

    def _to_measure(self) -> list[RunRequest]:
        """Return what would be sent, past the cache and tried once; say what is wrong and return none."""
        try:
            return [replace(request, cache=False, retries=0) for request in self.asking().requests]
        except PromptopError as error:
            self.notify(clean(str(error)), title="Not measured", severity="error", markup=False)
            return []

    def _measured(self, _: object) -> None:
        """Show what a page that measured has spent: it paid from the same purse."""
        self._show_spent()
        self._read_day()

    def action_batch(self) -> None:
        """Send many prompts from a file."""
        from promptop_tui.playground.measure.batch_dialog import BatchDialog  # its imports are not needed to start

        targets = self.column.targets()
        purse = self._conductor.purse
        page = BatchDialog(self._shared, self.area.text, targets[0].spec if targets else "", purse.left_usd)
        self.app.push_screen(page, self._batch_closed)

    def _batch_closed(self, spent_usd: float | None) -> None:
        """Count what batches cost with the session."""
        self._conductor.purse.add(spent_usd)
        self._show_spent()
        self._read_day()

    def action_prompt(self) -> None:
        """Give the prompt the stage, or give it back to the answers."""
        self.toggle_class("-prompt-large")
        if self.has_class("-prompt-large"):
            if self.area.is_on_screen:
                self.screen.set_focus(self.area)  # at once: keys typed behind this one are meant for it
            else:
                self.area.focus()
        else:
            self.call_after_refresh(self.stage.hold_focus)
