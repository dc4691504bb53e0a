"""The Playground tab: one prompt, several models at once, measured in the transport and compared.

The :class:`Conductor` makes the calls, the :class:`Stage` shows the answers; this is what stands between them and the
keys. One timer, running only while something runs, shows the inboxes of all panes in one frame. Results come as
messages, so that every widget is touched by its own handlers alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.timer import Timer

from promptop.errors import PromptopError
from promptop.prompts import compose as compose_prompt
from promptop.prompts import parse
from promptop.runs.comparison import verdicts
from promptop.runs.purse import Day, spent_on
from promptop.runs.repeat import Job
from promptop.runs.request import RunRequest
from promptop.runs.result import RunResult
from promptop.runs.runner import Runner
from promptop.runs.targets import Target
from promptop.safe import clean, clean_line
from promptop_tui.context import AppContext
from promptop_tui.editor.area import PromptArea
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.conductor import Conductor, calls_of, runner_for
from promptop_tui.playground.pane import AnswerPane
from promptop_tui.playground.parameters import ParameterColumn
from promptop_tui.playground.pricing import Plan, PriceLine
from promptop_tui.playground.stage import Stage

FRAMES_PER_SECOND = 10
"""Panes are drawn this often while something streams; a reader sees no difference above it, a CPU does."""
TINY_WIDTH = 60
"""Cells below which parameters, prompt and answers are shown one at a time."""
FLAT_HEIGHT = 16
"""Rows below which the answers get those of the comparison."""


class PlaygroundPane(Horizontal):
    """The tab."""

    HELP = """
    Sends the prompt to every chosen model at once and shows the answers side by side as they stream. Time to first
    token and total are stamped where bytes leave the socket, so that drawing delays no figure. Each attempt is a row
    of the log: F4 shows it.

    `Esc` cancels what runs and keeps what came. The table below marks the best figure of each column with `*`. With
    `repeats` above 1 the models are asked in interleaved order after a warm-up that is dropped; the table shows
    medians, and below it stands how each model differs from the first, with 95 % intervals.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Run", id="playground.run", tooltip="Send the prompt to the models", priority=True),
        Binding("escape", "cancel", "Cancel", id="playground.cancel", tooltip="Stop what runs; keep what came"),
        Binding("f6", "next_pane", "Next", id="playground.next", tooltip="Look at the next answer", priority=True),
        Binding("f7", "zoom", "Zoom", id="playground.zoom", tooltip="One answer alone, or all", priority=True),
        Binding("f8", "parameters", "Params", id="playground.parameters", tooltip="Show or hide the parameters"),
        Binding("f9", "prompt", "Prompt", id="playground.prompt", tooltip="Edit the prompt in a large field, or go on"),
        Binding("f11", "bench", "Bench", id="playground.bench", tooltip="Measure the prompt under load", show=False),
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

    @dataclass
    class DayRead(Message):
        """The log was asked what today has cost, on a worker's thread."""

        day: Day

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls if given, and is then closed by who gave it."""
        super().__init__()
        self._shared = context
        self._owned = runner is None
        self._conductor = Conductor(runner or runner_for(context), context.purse)
        self._frames: Timer | None = None
        self._given: tuple[str, list[dict[str, Any]]] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the parameters beside everything else."""
        self._price = PriceLine(self._shared.counting, self._plan)
        yield ParameterColumn(self._shared.settings, self._price)
        yield Stage()

    def on_mount(self) -> None:
        """Prepare the frame timer; it rests until something runs."""
        self._frames = self.set_interval(1 / FRAMES_PER_SECOND, self._frame, pause=True)
        self._show_spent()
        self._read_day()
        self.call_after_refresh(self._conductor.runner.warm)

    @property
    def _stage(self) -> Stage:
        return self.query_one(Stage)

    def on_resize(self, event: events.Resize) -> None:
        """Tell the sheet how much room there is."""
        self.set_class(event.size.width < TINY_WIDTH, "-tiny")
        self.set_class(event.size.height < FLAT_HEIGHT, "-flat")
        self.call_after_refresh(self._stage.hold_focus)

    def on_show(self) -> None:
        """Other tabs may have spent something meanwhile."""
        self._show_spent()

    def on_unmount(self) -> None:
        """Cancel what runs; end the process that makes the calls."""
        self._conductor.cancel()
        if self._owned:
            self._conductor.runner.close()

    # The prompt

    def open_prompt(self, message: OpenInPlayground) -> None:
        """Take messages, models and parameters from another tab; nothing is sent yet."""
        given = [dict(each) for each in message.messages]
        text = compose_prompt(given)
        area = self.query_one("#prompt", PromptArea)
        area.load_text(text)
        # Parts that are no text (images, tool calls) cannot be typed: while the text stands as it came, the messages
        # are sent as they came.
        self._given = (text, given)
        area.border_title = f"prompt · {clean_line(message.source, 40)}" if message.source else "prompt"
        column = self.query_one(ParameterColumn)
        column.choose(list(message.models))
        if message.parameters:
            column.fill(message.parameters)

    def _messages(self) -> list[dict[str, Any]]:
        text = self.query_one("#prompt", PromptArea).text
        if self._given is not None and self._given[0] == text:
            return self._given[1]
        return parse(text).openai()

    # The price

    @on(ParameterColumn.Changed)
    @on(PromptArea.Edited)
    def _run_changed(self) -> None:
        self._price.settle()

    def _plan(self) -> Plan | None:
        """Return what would be sent now; None if it cannot be meant, which is said when it is tried."""
        try:
            return self._requests(), calls_of(self.query_one(ParameterColumn).repeats())
        except PromptopError:
            return None

    # Running

    async def action_run(self) -> None:
        """Send the prompt to every chosen model."""
        conductor = self._conductor
        if conductor.running:
            self.notify("Still running: Esc cancels.", severity="warning")
            return
        try:
            requests = self._requests()
            repeats = self.query_one(ParameterColumn).repeats()
            conductor.purse.check(self._price.most(requests, calls_of(repeats)))
        except PromptopError as error:
            self.notify(clean(str(error)), title="Not sent", severity="error", markup=False)
            return
        panes = await self._stage.grid.show([clean_line(request.title) for request in requests])
        self._stage.show_verdict([])
        self.remove_class("-judged")
        # Once: all side by side. Repeated, to measure: one after the other, or they would compete for the same link.
        conductor.begin(requests, panes, repeats, 1 if repeats > 1 else len(requests), self._done_elsewhere)
        self._table()
        if self._frames is not None:
            self._frames.resume()

    def _requests(self) -> list[RunRequest]:
        """Build the requests; raise :class:`PromptopError` with what is missing or wrong."""
        column = self.query_one(ParameterColumn)
        targets, values = column.targets(), column.values() | {"cache": column.cached()}
        if not targets:
            raise PromptopError("No model is chosen.", "Choose one in the list with space, or type its name there.")
        messages = self._messages()
        if not any(str(message.get("content") or "").strip() for message in messages):
            raise PromptopError("The prompt is empty.", "Write one above, or open one from the editor (F2).")
        return [self._request(target, messages, values) for target in targets]

    def _request(self, target: Target, messages: list[dict[str, Any]], values: dict[str, Any]) -> RunRequest:
        return RunRequest(profile=target.profile, model=target.model, messages=messages, label=target.spec, **values)

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
        self._read_day()
        if self._frames is not None:
            self._frames.pause()
        if conductor.repeated and conductor.schedule is not None and len(conductor.asked) > 1:
            kept = [list(results) for results in conductor.schedule.kept]
            self._judge([request.title for request in conductor.asked], kept)

    @work(thread=True, exclusive=True, group="judge", description="compare repeated calls")
    def _judge(self, titles: list[str], kept: list[list[RunResult]]) -> None:
        self.post_message(self.Judged(verdicts(titles, kept)))

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        self._stage.show_verdict(event.lines)
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
        if not isinstance(self.screen.focused, AnswerPane):
            self._stage.look_at(self._stage.grid.current, focus=True)

    def _show_spent(self) -> None:
        """Keep the sums in view: below the parameters, or in the prompt's border where these are hidden."""
        said = str(self._conductor.purse)
        self.query_one(ParameterColumn).show_spent(said)
        area = self.query_one("#prompt", PromptArea)
        area.border_subtitle = said.replace("\n", " · ") if self.has_class("-parameters-toggled") else ""

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
        self.set_class(bool(self._stage.grid.panes), "-answered")
        kept = conductor.schedule.kept if conductor.schedule is not None and conductor.repeated else None
        self._stage.show_table(kept)

    # Arrangement

    def action_next_pane(self) -> None:
        """Look at the next answer."""
        self._stage.look_at_next()

    def action_zoom(self) -> None:
        """Show one answer alone, or as many as there is room for."""
        grid = self._stage.grid
        grid.zoomed = not grid.zoomed
        grid.lay_out()

    def action_parameters(self) -> None:
        """Show or hide the column of parameters."""
        self.toggle_class("-parameters-toggled")
        self._show_spent()
        self.call_after_refresh(self._stage.hold_focus)

    def action_bench(self) -> None:
        """Measure the prompt under load."""
        from promptop_tui.playground.benching import BenchPage  # its imports are not needed to start

        try:
            requests = [replace(request, cache=False, retries=0) for request in self._requests()]
        except PromptopError as error:
            self.notify(clean(str(error)), title="Not measured", severity="error", markup=False)
            return
        self.app.push_screen(BenchPage(self._shared, requests), self._measured)

    def _measured(self, _: object) -> None:
        """Show what a page that measured has spent: it paid from the same purse."""
        self._show_spent()
        self._read_day()

    def action_batch(self) -> None:
        """Send many prompts from a file."""
        from promptop_tui.playground.batching import BatchPage  # its imports are not needed to start

        targets = self.query_one(ParameterColumn).targets()
        purse = self._conductor.purse
        text = self.query_one("#prompt", PromptArea).text
        page = BatchPage(self._shared, text, targets[0].spec if targets else "", purse.left_usd)
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
            self.query_one("#prompt").focus()
        else:
            self.call_after_refresh(self._stage.hold_focus)
