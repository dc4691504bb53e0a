"""The Playground tab: one prompt, several models at once, measured in the transport and compared.

The tab lays out its views, gives the controllers what they need, and turns keys and messages into their calls. One
timer, running only while something runs, shows the inboxes of all panes in one frame.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.notifications import SeverityLevel

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean
from promptop.base.texts import tr
from promptop.client.variants import AS_TYPED
from promptop.history.run_history import KeptRun, RunHistory
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.messages import OpenInPlayground
from promptop_tui.playground.controllers.answer_checks import AnswerChecks
from promptop_tui.playground.controllers.conversation import Conversation
from promptop_tui.playground.controllers.cost.estimate import PriceLine
from promptop_tui.playground.controllers.cost.log_volume import LogVolume
from promptop_tui.playground.controllers.cost.spend import Spend
from promptop_tui.playground.controllers.dialogs import Dialogs
from promptop_tui.playground.controllers.draft import PromptDraft
from promptop_tui.playground.controllers.endpoint_models import EndpointModels
from promptop_tui.playground.controllers.history import History
from promptop_tui.playground.controllers.history_store import MODES, HistoryStore
from promptop_tui.playground.controllers.prompt_versions import PromptVersions, SavedVersion
from promptop_tui.playground.controllers.request_builder import RequestBuilder, spec_at
from promptop_tui.playground.controllers.run_controller import RunController, calls_of, runner_for
from promptop_tui.playground.controllers.run_reopener import RunReopener
from promptop_tui.playground.controllers.run_session import RunSession
from promptop_tui.playground.controllers.send_preview import SendPreview
from promptop_tui.playground.views.answer_pane import AnswerPane
from promptop_tui.playground.views.fields import Opener
from promptop_tui.playground.views.parameters import ParameterColumn
from promptop_tui.playground.views.prompt_panel import PromptPanel
from promptop_tui.playground.views.results import Results
from promptop_tui.services.background import Background
from promptop_tui.shell.key_names import key_name, with_keys
from promptop_tui.widgets.prompt_area.area import PromptArea

if TYPE_CHECKING:
    from promptop_tui.playground.dialogs.history import Taken

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


def _dialog(key: str, name: str, title: str, tooltip: str) -> Binding:
    """Return the binding that opens a dialog."""
    return Binding(key, f"open('{name}')", title, id=f"playground.{name}", tooltip=tooltip, show=False)


def _parameter(key: str, name: str, title: str) -> Binding:
    """Return the binding that goes to the field of a parameter."""
    return Binding(key, f"parameter('{name}')", title, id=f"playground.{name}", tooltip=f"Go to {name}", show=False)


class PlaygroundPane(Horizontal):
    """The tab."""

    HELP = """
    Sends every chosen version of the prompt to every chosen model at once and shows the answers side by side as they
    stream. Time to first token and total are stamped where bytes leave the socket, so that drawing delays no figure.
    Each attempt is a row of the log: `{app.tab.monitor}` shows it.

    `{playground.cancel}` cancels what runs and keeps what came; with nothing running it leaves the field that is typed
    in, so that letters are keys again.

    The table below marks the best figure of each column with `*`. With `repeats` above 1 the models are asked in
    interleaved order after a warm-up that is dropped; the table shows medians, and below it stands how each model
    differs from the first, with 95 % intervals.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "run", "Run", id="playground.run", tooltip="Send the prompt to the models", priority=True),
        Binding("escape", "cancel", "Cancel", id="playground.cancel", tooltip="Stop what runs; keep what came"),
        Binding("f6", "look('next')", "Next", id="playground.next", tooltip="Look at the next answer", priority=True),
        Binding(
            "f7",
            "look('zoom')",
            "Zoom",
            id="playground.zoom",
            tooltip="One answer alone, or all",
            priority=True,
            show=False,
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
        _dialog("h", "history", "History", "Runs before: open, ask again"),
        _dialog("v", "versions", "Versions", "Prompts asked side by side"),
        _dialog("p", "presets", "Presets", "Save or take a setup"),
        _dialog("f", "variables", "Variables", "What stands in place of each {{name}}"),
        _dialog("o", "options", "Options", "Tools, format, one model"),
        _dialog("k", "checks", "Checks", "What every answer must be"),
        Binding("b", "blind", "Blind", id="playground.blind", tooltip="Rate answers without names", show=False),
        _dialog("g", "grid", "Test set", "Ask every case of a test set"),
        _dialog("shift+f8,f20", "prove", "Prove", "Hold two versions against each other: do answers hold?"),
        _dialog("f11", "bench", "Bench", "Measure the prompt under load"),
        _dialog("l", "lab", "Claim lab", "What changes latency here?"),
        _dialog("s", "guide", "Guide", "Lead the prompt step by step: fewer tokens, less waiting, all measured"),
        _parameter("m", "max_tokens", "Limit"),
        _parameter("t", "temperature", "Temperature"),
        _parameter("r", "rounds", "Rounds"),
        _parameter("c", "cache", "Cache"),
        _parameter("n", "repeats", "Repeats"),
        _dialog("f12", "batch", "Batch", "Send many prompts from a file"),
    ]

    def __init__(self, context: AppContext, runner: Runner | None = None) -> None:
        """Build the tab; ``runner`` makes the calls if given, and is then closed by who gave it."""
        super().__init__()
        self._shared = context
        self._owned = runner is None
        background = Background(self)
        self.versions = PromptVersions()

        self.prompt = PromptPanel()
        self.results = Results()
        self.price = PriceLine(context.counting, lambda: self.preview.update() if self.column.is_whole else None)
        self.column = ParameterColumn(context.settings, self.price)

        self.builder = RequestBuilder(self.column, self.versions, lambda: self.prompt.text, context.settings)
        self.preview = SendPreview(self.builder, self.column, self.prompt, self.results)
        self.draft = PromptDraft(
            context.draft_path,
            self.prompt,
            self.versions,
            background,
            now=context.now,
            later=self.set_timer,
            notify=self.notify,
            taken=self.show_versions,
        )
        self.conversation = Conversation(self.versions, self.draft, self.notify)
        # What a demo keeps goes with it.
        book = RunHistory(context.log_path.with_name("playground.db") if context.simulated else None)
        store = HistoryStore(MODES[context.settings.playground.history], book)
        warn = partial(self.tell, severity="warning")
        self.history = History(store, self.results, background, partial(warn, title=tr("Not kept in the history")))
        self.checks = AnswerChecks(
            self.results,
            background,
            checks=self.column.checks,
            python=context.settings.playground.python_checks,
            judged=self.history.note,
            failed=partial(self.tell, title="Checks"),
        )
        self.reopener = RunReopener(
            context.settings,
            self.column,
            self.versions,
            self.builder,
            self.draft,
            self.history,
            self.checks,
            self.results,
        )
        self.spend = Spend(context, background, self._show_spent, partial(warn, title=tr("What today has cost")))
        self.volume = LogVolume(context, background, self.results.show_volume, self.log.warning)
        calls = RunController(runner or runner_for(context), context.purse)
        self.models = EndpointModels(context.settings, calls.runner, background, self.column)
        self.session = RunSession(
            calls,
            self.results,
            background,
            context,
            changed=self.spend.show,
            over=self._run_over,
            capped=partial(
                self.notify, tr("The cap is reached; the remaining calls are not made."), severity="warning"
            ),
        )
        self.dialogs = Dialogs(
            self,
            context,
            self.column,
            self.versions,
            self.builder,
            store,
            self.checks,
            self.spend,
            versions_changed=self.show_versions,
            reopen=self.reopen,
            tell=self.tell,
        )

    def compose(self) -> ComposeResult:
        """Lay out the parameters beside everything else."""
        yield self.column
        with Vertical(id="stage"):
            yield self.prompt
            yield self.results

    def on_mount(self) -> None:
        """Prepare the frame timer; it rests until something runs."""
        self.session.draw_with(self.set_interval(1 / FRAMES_PER_SECOND, self.session.draw_frame, pause=True))
        if self._shared.settings.playground.history != "off":
            self.draft.begin()
        self.spend.show()
        self.spend.read_day()
        self.prompt.area.focus()
        # A terminal too small to show the prompt takes the focus from it, after the size was told.
        self.watch(self.screen, "focused", self._hold_focus, init=False)
        self.call_after_refresh(self.models.ask)  # it starts the process that makes the calls
        self.call_after_refresh(self.session.calls.runner.warm)

    def _hold_focus(self) -> None:
        self.call_after_refresh(self.results.hold_focus)

    def on_resize(self, event: events.Resize) -> None:
        """Tell the sheet how much room there is."""
        self.set_class(event.size.width < TINY_WIDTH, "-tiny")
        self.set_class(event.size.height < FLAT_HEIGHT, "-flat")
        self.call_after_refresh(self.results.hold_focus)

    def on_show(self) -> None:
        """Other tabs may have spent something meanwhile, and the editor may hold another draft."""
        self.spend.show()
        self.draft.follow_editor()

    def on_unmount(self) -> None:
        """Cancel what runs and keep what came of it; end the process that makes the calls."""
        cut = self.session.calls.end(LAST_WORDS_S)
        run = self.session.kept_run() if cut else None
        keeping = self.history.keep_at_exit(run, self.log.error) if run is not None else None
        self.draft.end()
        if self._owned:
            self.session.calls.runner.close()
        if keeping is not None:
            keeping.join(LAST_RUN_S)

    # From another tab

    def open_prompt(self, message: OpenInPlayground) -> None:
        """Take messages, models and parameters from another tab; nothing is sent yet."""
        name, version = message.prompt_name or None, message.prompt_version or None
        self.draft.put(self.versions.take(message.messages, message.source, name, version))
        self.versions.put(*(SavedVersion(label, text, name) for label, text in message.versions))
        self.versions.choose([AS_TYPED])
        self.volume.calls_per_day = message.calls_per_day
        models = [spec_at(model, message.server, self._shared.settings) for model in message.models]
        self.column.choose(models)
        if message.parameters:
            self.column.fill(message.parameters, models)
        self.show_versions()

    # What is typed and chosen

    @on(ParameterColumn.Changed)
    @on(PromptArea.Edited)
    def _plan_changed(self, event: ParameterColumn.Changed | PromptArea.Edited) -> None:
        if isinstance(event, PromptArea.Edited):
            self.draft.edited()
        self.price.settle()

    def show_versions(self) -> None:
        """Say where the prompt came from, and which versions are asked; other ones have another price."""
        self.prompt.show_source(self.versions.source, "blind" if self.results.blind else "")
        self.column.show_versions(str(self.versions))
        self.price.settle()

    def _show_spent(self, sums: str) -> None:
        """Keep the sums in view: below the parameters, or in the prompt's frame where these are hidden."""
        self.column.show_spent(sums)
        self.prompt.show_spent(sums.replace("\n", " · ") if self.has_class("-parameters-toggled") else "")

    def tell(self, error: PromptopError, *, title: str, severity: SeverityLevel = "error") -> None:
        """Show an error."""
        self.notify(clean(str(error)), title=title, severity=severity, markup=False)

    # The run

    async def action_run(self) -> None:
        """Send the chosen versions of the prompt to every chosen model."""
        if self.session.running:
            self.notify(
                tr("Still running: {key_name} cancels.", key_name=key_name(self, "playground.cancel")),
                severity="warning",
            )
            return
        try:
            self._shared.settings.require_valid()
            plan = self.builder.plan()
            repeats = self.column.repeats()
            at_once = self.column.at_once(len(plan.requests))
            tools = self.column.mocks()
            self._shared.purse.check(self.price.most(plan.requests, calls_of(repeats)))
        except PromptopError as error:
            self.tell(error, title=tr("Not sent"))
            return
        if news := self.preview.news_of_unfilled():
            self.notify(with_keys(self, news), title=tr("Variables without a value"), severity="warning", markup=False)
        self.history.forget()
        self.checks.take([])
        await self.session.begin(plan, repeats, at_once, self.versions.source, tools)

    def _run_over(self, run: KeptRun) -> None:
        """Keep a run, and hold its answers against the checks."""
        self.spend.read_day()
        self.history.keep(run)
        self.checks.take([answer.results for answer in run.answers])
        self.checks.hold_again()
        self.volume.read()

    async def reopen(self, taken: Taken) -> None:
        """Put a run of the history back, and ask it again if that is wanted."""
        if self.session.running:
            self.notify(
                tr("Still running: {key_name} cancels.", key_name=key_name(self, "playground.cancel")),
                severity="warning",
            )
            return
        self.versions.put(*taken.versions)
        complete = await self.reopener.reopen(taken.run)
        self.show_versions()
        self.volume.read()
        if not complete:
            what = tr("It is not asked again.") if taken.again else tr("What is in the field stays.")
            self.notify(tr("The prompt of this run was not kept. {what}", what=what), severity="warning")
        elif taken.again:
            await self.run_action("run")

    def action_cancel(self) -> None:
        """Stop what runs; with nothing running, leave the field that is typed in."""
        if self.session.calls.cancel():
            return
        if self.has_class("-prompt-large"):
            self.action_prompt()
        if not isinstance(self.screen.focused, AnswerPane):
            self.results.leave_fields()

    @on(AnswerPane.Asked)
    def _go_on(self, event: AnswerPane.Asked) -> None:
        """Continue a conversation with an answer: the next turn is typed into the prompt's field."""
        event.stop()
        if self.conversation.go_on(event.pane):
            self.show_versions()
            self.set_class(self.has_class("-tiny"), "-prompt-large")
            self.prompt.area.focus()
            self.call_after_refresh(self.prompt.area.scroll_cursor_visible)

    @on(Results.Rated)
    def _rated(self) -> None:
        self.history.note()

    # Dialogs and arrangement

    @on(Opener.Opened)
    def _opener_used(self, event: Opener.Opened) -> None:
        event.stop()
        self.dialogs.open(event.page)

    def action_open(self, name: str) -> None:
        """Open one of the tab's dialogs."""
        self.dialogs.open(name)

    def action_blind(self) -> None:
        """Show the next answers without names until they are rated; or show the names now."""
        if self.results.turn_blind():
            self.notify(tr("Blind: the next answers come in any order and without names, until all are rated."))
        else:
            self.notify(tr("Names are shown."))
        self.show_versions()

    def action_look(self, how: str) -> None:
        """Look at the next answer, or give one answer all the room."""
        if how == "next":
            self.results.look_at_next()
        else:
            self.results.grid.zoom()

    def action_parameters(self) -> None:
        """Show or hide the column of parameters."""
        self.toggle_class("-parameters-toggled")
        self.spend.show()
        self.call_after_refresh(self.results.hold_focus)

    def action_parameter(self, name: str) -> None:
        """Go to the field of a parameter, whose column is shown if it was not."""
        field = self.column.query_one(f"#parameter-{name}")
        if not self.column.display:
            self.action_parameters()
        if field.parent is not None and not getattr(field.parent, "display", True):
            self.notify(tr("{name}: nothing to choose for this prompt.", name=name), markup=False)
            return
        self.call_after_refresh(field.focus)

    def action_prompt(self) -> None:
        """Give the prompt the stage, or give it back to the answers."""
        self.toggle_class("-prompt-large")
        area = self.prompt.area
        if not self.has_class("-prompt-large"):
            self.call_after_refresh(self.results.hold_focus)
        elif area.is_on_screen:
            self.screen.set_focus(area)  # at once: keys typed behind this one are meant for it
        else:
            area.focus()
