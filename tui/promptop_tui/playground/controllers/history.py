"""The part of the tab that looks back: checks and ratings of the answers, the history, presets, the log's volume."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from textual import on, work
from textual.message import Message

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.budget.traffic_volume import Volume, read_volume
from promptop.client.conversation import shown
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion
from promptop.experiments.checks import Checked
from promptop.history.run_history import KeptAnswer, KeptRun, Mode, RunHistory
from promptop.settings import Settings
from promptop.workers.check_worker import judge_apart
from promptop_tui.context import AppContext
from promptop_tui.playground.controllers.draft import Drafting
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.prompt_versions import TYPED, SavedVersion
from promptop_tui.playground.views.results import Stage

_MODES: dict[str, Mode] = {"full": "full", "metadata": "metadata", "off": "off"}


class Remembering(Drafting):
    """Keeps what came, judges it, and brings it back."""

    @dataclass
    class Held(Message):
        """Answers were held against the checks, on a thread."""

        serial: int
        verdicts: Sequence[Sequence[Sequence[Checked]]]
        """Of each pane, of each call that counts."""
        problem: str = ""

    @dataclass
    class Kept(Message):
        """A run was kept, on a thread."""

        serial: int
        number: int
        problem: str = ""

    @dataclass
    class VolumeRead(Message):
        """The log was asked for its volume, on a thread."""

        volume: Volume

    def __init__(self, context: AppContext) -> None:
        super().__init__(context)
        # What a demo keeps goes with it.
        self._book = RunHistory(context.log_path.with_name("playground.db") if context.simulated else None)
        self._keeper = HistoryStore(_MODES[context.settings.playground.history], self._book)
        self._serial = 0
        """Counts runs, so that what comes late from a thread is not taken for another run's."""
        self._number = 0
        """The shown run's number in the history; 0 while it has none."""
        self._groups: Sequence[Sequence[RunResult]] = ()
        self._notes = 0
        """Counts what was noted of runs: threads may write it in another order."""

    def running(self) -> bool:
        """Say whether calls are in progress; a subclass knows."""
        return False

    # A run begins, and is over

    def run_begins(self) -> None:
        """Forget the run before."""
        self._serial += 1
        self._number, self._groups = 0, ()

    def run_is_over(self, run: KeptRun) -> None:
        """Keep a run, and hold its answers against the checks."""
        self._groups = [answer.results for answer in run.answers]
        self._keep(self._serial, run)
        self._check()
        self.read_volume()

    def keep_at_exit(self, run: KeptRun) -> threading.Thread:
        """Keep a run that the app's end cut short; return the thread that does so, as no worker is waited for then."""

        def keep() -> None:
            try:
                self._keeper.keep(run)
            except PromptopError as error:
                self.log.error(f"the last run was not kept: {error.cause}")  # there is no screen any more

        thread = threading.Thread(target=keep, name="promptop-last-run", daemon=True)
        thread.start()
        return thread

    @work(thread=True, group="notebook", description="keep a run")
    def _keep(self, serial: int, run: KeptRun) -> None:
        try:
            self.post_message(self.Kept(serial, self._keeper.keep(run)))
        except PromptopError as error:
            self.post_message(self.Kept(serial, 0, str(error)))

    @on(Kept)
    def _was_kept(self, event: Kept) -> None:
        if event.problem:
            self.notify(clean(event.problem), title="Not kept in the history", severity="warning", markup=False)
        elif event.serial == self._serial:
            self._number = event.number
            panes = self.stage.grid.panes
            if any(pane.rating or pane.check_counts for pane in panes):  # they came before it was kept
                self._note()

    @on(Stage.Rated)
    def _note(self) -> None:
        """Keep ratings and checks with the run."""
        panes = self.stage.grid.panes
        if self._number and len(panes) == len(self._groups):
            self._notes += 1
            ratings = [(pane.rating, pane.rated_blind) for pane in panes]
            counts = [pane.check_counts for pane in panes]
            self._write_note(self._number, self._notes, ratings, [each for each in counts if each is not None])

    @work(thread=True, group="notebook", description="keep ratings and checks")
    def _write_note(
        self, number: int, note: int, ratings: list[tuple[int | None, bool]], counts: list[tuple[int, int]]
    ) -> None:
        try:
            self._keeper.note(number, note, ratings, counts if len(counts) == len(ratings) else [])
        except PromptopError as error:
            self.post_message(self.Kept(0, 0, str(error)))

    # Checks

    def checks_changed(self) -> None:
        """Hold the answers that are there against the new checks."""
        if not self.running() and self._groups:
            self._check()

    def _check(self) -> None:
        checks = self.column.checks()
        if checks:
            allowed = self._shared.settings.playground.python_checks
            self._hold(self._serial, checks, [list(group) for group in self._groups], allowed)
        else:
            for pane in self.stage.grid.panes:
                pane.judge([])
            self.stage.refresh_table()

    @work(thread=True, exclusive=True, group="checks", description="hold answers against checks")
    def _hold(self, serial: int, checks: list[str], groups: list[list[RunResult]], python: bool) -> None:
        try:
            found = iter(judge_apart(checks, [result for group in groups for result in group], python=python))
        except PromptopError as error:
            self.post_message(self.Held(serial, (), str(error)))
            return
        self.post_message(self.Held(serial, [[next(found) for _ in group] for group in groups]))

    @on(Held)
    def _was_held(self, event: Held) -> None:
        if event.serial != self._serial:
            return
        if event.problem:
            self.notify(clean(event.problem), title="Checks", severity="error", markup=False)
            return
        for pane, verdicts in zip(self.stage.grid.panes, event.verdicts, strict=True):
            pane.judge(verdicts)
        self.stage.refresh_table()
        self._note()

    # The log's volume

    @work(thread=True, exclusive=True, group="volume", description="ask the log for its volume")
    def read_volume(self) -> None:
        """Ask how many calls a day the log saw; a log that cannot be read is told of by the monitor."""
        try:
            found = read_volume([self._shared.log_path, *self._shared.more_logs], self._shared.now())
        except PromptopError as error:
            self.log.warning(f"the log's volume was not read: {error.cause}")
            return
        self.post_message(self.VolumeRead(found))

    @on(VolumeRead)
    def _volume_was_read(self, event: VolumeRead) -> None:
        self.stage.show_volume(event.volume, self.calls_per_day)

    # Ratings

    def action_blind(self) -> None:
        """Show the next answers without names until they are rated; or show the names now."""
        if self.stage.turn_blind():
            self.notify("Blind: the next answers come in any order and without names, until all are rated.")
        else:
            self.notify("Names are shown.")
        self.show_desk()

    # Presets

    def action_presets(self) -> None:
        """Save, take and remove setups."""
        from promptop_tui.playground.dialogs.presets import PresetsDialog

        page = PresetsDialog(self.column.setup(), int(self._shared.now() * 1000), self._book)
        self.app.push_screen(page, self._preset_taken)

    def _preset_taken(self, setup: dict[str, object] | None) -> None:
        if setup is not None:
            self.column.restore(setup)

    # History

    def action_history(self) -> None:
        """Find runs, open one, ask it again."""
        from promptop_tui.playground.dialogs.history import HistoryDialog

        self.app.push_screen(HistoryDialog(self._keeper), self._run_found)

    async def _run_found(self, found: object) -> None:
        from promptop_tui.playground.dialogs.history import Found

        if not isinstance(found, Found):
            return
        if self.running():
            self.notify("Still running: Esc cancels.", severity="warning")
            return
        self.desk.put(*found.versions)
        complete = await self._show_run(found.run)
        if not complete:
            what = "It is not asked again." if found.again else "What is in the field stays."
            self.notify(f"The prompt of this run was not kept. {what}", severity="warning")
        elif found.again:
            await self.run_action("run")

    async def _show_run(self, run: KeptRun) -> bool:
        """Put a run back, with what was answered; say whether all of its prompts are there."""
        self.run_begins()
        self.column.restore(run.setup)
        same = run.digest == self.digest()
        if run.whole:
            typed = next((each.messages for each in run.versions if each.label in {AS_TYPED, TYPED}), None)
            if typed is not None and not same:
                self.desk.take(typed, run.source)
            self.put_text(run.text)
            others = [each for each in run.versions if each.label not in {AS_TYPED, TYPED}]
            self.desk.put(*(_shelved(each) for each in others))
        labels = [AS_TYPED if each.label == TYPED else each.label for each in run.versions] or [AS_TYPED]
        complete = run.whole or all(label in self.desk.shelf if label else same for label in labels)
        self.desk.choose(labels)
        self.show_desk()
        panes = await self.stage.grid.show([clean_line(answer.label) for answer in run.answers])
        for pane, answer in zip(panes, run.answers, strict=True):
            version = next((each for each in run.versions if each.label == answer.version), None)
            pane.show_past(_request_of(answer, version, self._shared.settings), answer, whole=run.whole)
        self._groups, self._number = [answer.results for answer in run.answers], run.id
        self.add_class("-answered")
        self.remove_class("-judged")
        self.stage.reveal()
        self.stage.dress(panes)
        self.stage.show_table(self._groups if run.repeats > 1 else None)
        self.stage.look_at(0, focus=True)
        self.read_volume()
        return complete


def _shelved(version: PromptVersion) -> SavedVersion:
    from promptop.prompts import compose

    text = compose([{"role": each.get("role", "user"), "content": shown(each)} for each in version.messages])
    return SavedVersion(version.label, text, version.name, version.version)


def _request_of(answer: KeptAnswer, version: PromptVersion | None, settings: Settings) -> RunRequest:
    """Return the request of a kept answer, for its details and for going on: models may have left the settings."""
    target = parse_target(answer.model, settings)
    messages = version.messages if version is not None else ()
    return RunRequest(profile=target.profile, model=target.model, messages=messages, label=answer.label)


def kept_answers(
    requests: Sequence[RunRequest], specs: Sequence[str], labels: Sequence[str], groups: Sequence[Sequence[RunResult]]
) -> tuple[KeptAnswer, ...]:
    """Return the answers of a run, without the bytes of their streams."""
    return tuple(
        KeptAnswer(request.title, spec, label, tuple(replace(result, received=None) for result in group))
        for request, spec, label, group in zip(requests, specs, labels, groups, strict=True)
    )
