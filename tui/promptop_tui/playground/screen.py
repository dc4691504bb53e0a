"""The Playground tab: one prompt, several models at once, measured in the transport and compared.

Calls run in a process of their own (:class:`promptop.runs.Runner`). Their pieces go straight into the inbox of a pane,
on the runner's thread; one timer, running only while something runs, shows all inboxes in one frame. Results come as
messages, so that every widget is touched by its own handlers alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DataTable, Static

from promptop.errors import PromptopError
from promptop.prompts import compose as compose_prompt
from promptop.prompts import parse
from promptop.runs.comparison import verdicts
from promptop.runs.repeat import WARM_UPS, Job, Schedule
from promptop.runs.request import RunRequest
from promptop.runs.result import Delta, RunResult
from promptop.runs.runner import Runner
from promptop.runs.targets import Target
from promptop.safe import clean, clean_line
from promptop_tui.context import AppContext
from promptop_tui.editor.area import PromptArea
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.grid import AnswerGrid
from promptop_tui.playground.overlay import DiffPage
from promptop_tui.playground.pane import AnswerPane
from promptop_tui.playground.parameters import ParameterColumn
from promptop_tui.playground.pricing import Plan, PriceLine
from promptop_tui.playground.purse import Purse
from promptop_tui.playground.table import ComparisonTable

FRAMES_PER_SECOND = 10
"""Panes are drawn this often while something streams; a reader sees no difference above it, a CPU does."""
APP = "promptop playground"
"""Name of the program in the log's rows."""


TINY_WIDTH = 60
"""Cells below which parameters, prompt and answers are shown one at a time."""
FLAT_HEIGHT = 16
"""Rows below which the answers get those of the comparison."""


class Welcome(Static, can_focus=True):
    """What is shown before anything ran; takes the focus where there is no room for fields."""


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

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls if given, and is then closed by who gave it."""
        super().__init__()
        self._shared = context
        self._owned = runner is None
        self._runner = runner or Runner(
            log=context.log_path,
            app=APP,
            bodies=context.settings.log.bodies,
            simulated=context.simulated,
            cache=context.settings.cache,
        )
        self._frames: Timer | None = None
        self._schedule: Schedule | None = None
        self._asked: list[RunRequest] = []
        self._in_flight = 0
        self._given: tuple[str, list[dict[str, Any]]] | None = None
        self._purse = Purse(context.settings.playground.session_cap_usd)

    def compose(self) -> ComposeResult:
        """Lay out parameters, prompt, answers and comparison."""
        self._price = PriceLine(self._shared.counting, self._plan)
        yield ParameterColumn(self._shared.settings, self._price)
        with Vertical(id="stage"):
            yield PromptArea(id="prompt", placeholder="Write a prompt here, or press the playground key in the editor.")
            yield Welcome(EMPTY, id="empty", markup=False)
            yield AnswerGrid()
            yield ComparisonTable(id="comparison")
            yield Static(id="verdict", markup=False)

    def on_mount(self) -> None:
        """Prepare the frame timer; it rests until something runs."""
        area = self.query_one("#prompt", PromptArea)
        area.border_title = "prompt"
        area.show_tokens = False
        area.show_line_numbers = False
        self._frames = self.set_interval(1 / FRAMES_PER_SECOND, self._frame, pause=True)
        self._show_spent()
        self.call_after_refresh(self._runner.warm)

    def on_resize(self, event: events.Resize) -> None:
        """Tell the sheet how much room there is."""
        self.set_class(event.size.width < TINY_WIDTH, "-tiny")
        self.set_class(event.size.height < FLAT_HEIGHT, "-flat")
        self.call_after_refresh(self._keep_focus)

    def _keep_focus(self) -> None:
        """Give the focus to something that is shown: the keys of this tab work from inside it."""
        if self.screen.focused is None and self.is_on_screen:
            pane = self.query_one(AnswerGrid).look_at(self.query_one(AnswerGrid).current)
            (pane or self.query_one(Welcome)).focus()

    def on_unmount(self) -> None:
        """Cancel what runs; end the process that makes the calls."""
        self._runner.cancel_all()
        if self._owned:
            self._runner.close()

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
            repeats = self.query_one(ParameterColumn).repeats()
            return self._requests(), repeats + (WARM_UPS if repeats > 1 else 0)
        except PromptopError:
            return None

    # Running

    async def action_run(self) -> None:
        """Send the prompt to every chosen model."""
        if self._in_flight:
            self.notify("Still running: Esc cancels.", severity="warning")
            return
        try:
            self._asked = self._requests()
            repeats = self.query_one(ParameterColumn).repeats()
            self._purse.check(self._price.most(self._asked, repeats + (WARM_UPS if repeats > 1 else 0)))
        except PromptopError as error:
            self.notify(clean(str(error)), title="Not sent", severity="error", markup=False)
            return
        panes = await self._panes_for(self._asked)
        for pane, request in zip(panes, self._asked, strict=True):
            pane.begin(request)
        self._schedule = Schedule(len(self._asked), repeats, warm_ups=WARM_UPS if repeats > 1 else 0)
        self.query_one("#verdict", Static).update("")
        self.remove_class("-judged")
        # Once: all side by side. Repeated, to measure: one after the other, or they would compete for the same link.
        for _ in range(1 if repeats > 1 else len(self._asked)):
            self._start_next()
        self._table()
        if self._frames is not None:
            self._frames.resume()

    def _start_next(self) -> None:
        """Begin the next call of the schedule, if there is one and money for it."""
        if self._schedule is None:
            return
        if self._in_flight == 0 and self._schedule.ended and self._purse.empty:
            self._schedule.stop()
            self.notify("The session's cap is reached; the remaining calls are not made.", severity="warning")
        job = self._schedule.next()
        if job is None:
            return
        pane, request = self.query_one(AnswerGrid).panes[job.request], self._asked[job.request]
        turn = (
            ""
            if self._schedule.repeats == 1
            else "warm-up"
            if job.warm_up
            else f"{job.round + 1}/{self._schedule.repeats}"
        )
        pane.begin(request, turn)
        self._in_flight += 1
        pane.progress = self._runner.start(
            request, on_delta=partial(_hand_over, pane), on_done=partial(self._done_elsewhere, job)
        )

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

    async def _panes_for(self, requests: list[RunRequest]) -> list[AnswerPane]:
        """Return one pane per request, the same as before if the same models are asked again."""
        return await self.query_one(AnswerGrid).show([clean_line(request.title) for request in requests])

    def _done_elsewhere(self, job: Job, result: RunResult) -> None:
        """Runs on the runner's thread."""
        self.post_message(self.CallDone(job, result))

    @on(CallDone)
    def _call_done(self, event: CallDone) -> None:
        schedule, result = self._schedule, event.result
        assert schedule is not None, "a call belongs to a schedule"
        self._in_flight -= 1
        self.query_one(AnswerGrid).panes[event.job.request].finish(result)
        schedule.done(event.job, result)
        self._purse.take(result)
        self._show_spent()
        self._start_next()
        self._table()
        if self._in_flight == 0:
            if self._frames is not None:
                self._frames.pause()
            if schedule.repeats > 1 and len(self._asked) > 1:
                self._judge([request.title for request in self._asked], [list(kept) for kept in schedule.kept])

    @work(thread=True, exclusive=True, group="judge", description="compare repeated calls")
    def _judge(self, titles: list[str], kept: list[list[RunResult]]) -> None:
        self.post_message(self.Judged(verdicts(titles, kept)))

    @on(Judged)
    def _judged(self, event: Judged) -> None:
        self.query_one("#verdict", Static).update("\n".join(event.lines))
        self.add_class("-judged")

    def _frame(self) -> None:
        """Show what came, in all panes at once."""
        with self.app.batch_update():
            for pane in self.query(AnswerPane):
                if pane.progress is not None and pane.result is None:
                    pane.tick()

    def action_cancel(self) -> None:
        """Stop what runs; with nothing running, leave the field that is typed in."""
        if self._schedule is not None:
            self._schedule.stop()
        if self._runner.cancel_all():
            return
        if not isinstance(self.screen.focused, AnswerPane):
            self._look_at(self.query_one(AnswerGrid).current, focus=True)

    def _show_spent(self) -> None:
        self.query_one(ParameterColumn).show_spent(str(self._purse))

    # Comparison

    def _table(self) -> None:
        panes = self.query_one(AnswerGrid).panes
        self.set_class(bool(panes), "-answered")
        schedule = self._schedule
        kept = schedule.kept if schedule is not None and schedule.repeats > 1 else None
        self.query_one(ComparisonTable).show(panes, kept)

    @on(DataTable.RowHighlighted, "#comparison")
    def _row_chosen(self, event: DataTable.RowHighlighted) -> None:
        if event.data_table.has_focus:
            self._look_at(event.cursor_row)

    @on(DataTable.RowSelected, "#comparison")
    def _row_entered(self, event: DataTable.RowSelected) -> None:
        self._look_at(event.cursor_row, focus=True)

    @on(AnswerPane.Chosen)
    def _pane_chosen(self, event: AnswerPane.Chosen) -> None:
        grid = self.query_one(AnswerGrid)
        if event.pane in grid.panes:
            grid.current = grid.panes.index(event.pane)
            self.query_one(ComparisonTable).mark(grid.current)

    @on(AnswerPane.DiffWanted)
    def _diff_wanted(self, event: AnswerPane.DiffWanted) -> None:
        """Compare an answer with the first one, and the first with the second."""
        panes = self.query_one(AnswerGrid).panes
        other = panes[0] if event.pane is not panes[0] else panes[1] if len(panes) > 1 else None
        if other is None or other.result is None or event.pane.result is None:
            self.notify("A difference needs two finished answers.", severity="warning")
            return
        before, after = (other, event.pane) if other is panes[0] else (event.pane, other)
        assert before.result is not None and after.result is not None
        self.app.push_screen(DiffPage(before.title_text, before.result.text, after.title_text, after.result.text))

    # Arrangement

    def action_next_pane(self) -> None:
        """Look at the next answer; from elsewhere, go back to the one last looked at."""
        grid = self.query_one(AnswerGrid)
        if grid.panes:
            inside = isinstance(self.screen.focused, AnswerPane)
            self._look_at((grid.current + 1) % len(grid.panes) if inside else grid.current, focus=True)

    def action_zoom(self) -> None:
        """Show one answer alone, or as many as there is room for."""
        grid = self.query_one(AnswerGrid)
        grid.zoomed = not grid.zoomed
        grid.lay_out()

    def action_parameters(self) -> None:
        """Show or hide the column of parameters."""
        self.toggle_class("-parameters-toggled")
        self.call_after_refresh(self._keep_focus)

    def action_batch(self) -> None:
        """Send many prompts from a file."""
        from promptop_tui.playground.batching import BatchPage  # its imports are not needed to start

        targets = self.query_one(ParameterColumn).targets()
        purse = self._purse
        left = max(0.0, purse.cap_usd - purse.spent_usd) if purse.cap_usd else None
        text = self.query_one("#prompt", PromptArea).text
        page = BatchPage(self._shared, text, targets[0].spec if targets else "", left)
        self.app.push_screen(page, self._batch_closed)

    def _batch_closed(self, spent_usd: float | None) -> None:
        """Count what batches cost with the session."""
        self._purse.spent_usd += spent_usd or 0.0
        self._show_spent()

    def action_prompt(self) -> None:
        """Give the prompt the stage, or give it back to the answers."""
        self.toggle_class("-prompt-large")
        if self.has_class("-prompt-large"):
            self.query_one("#prompt").focus()
        else:
            self.call_after_refresh(self._keep_focus)

    def _look_at(self, number: int, *, focus: bool = False) -> None:
        pane = self.query_one(AnswerGrid).look_at(number)
        if pane is None:
            return
        self.query_one(ComparisonTable).mark(number)
        if focus:
            pane.focus()


EMPTY = """\
Nothing has run yet.

F5 sends the prompt to the chosen models.
F2 opens the editor; its playground key brings a prompt here."""


def _hand_over(pane: AnswerPane, delta: Delta) -> None:
    """Runs on the runner's thread: puts a piece into the pane's inbox."""
    pane.feed(delta.kind, delta.text)
