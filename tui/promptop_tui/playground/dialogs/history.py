"""The page of the history: runs found again, opened, asked once more; how models were rated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean, clean_line
from promptop.history.run_history import KeptRun, Mode
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.prompt_versions import SavedVersion
from promptop_tui.playground.dialogs.versions import from_library

_EXCERPT = 300
_KEPT: dict[Mode, str] = {
    "full": "prompts and answers are kept on disk (F9: no longer)",
    "metadata": "prompts and answers live as long as the app (F9: keep them on disk)",
    "off": 'nothing is kept on disk: history = "off" in the settings',
}


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be done with a run."""

    run: KeptRun
    again: bool
    """Ask it again, beside showing what was answered then."""
    versions: Sequence[SavedVersion] = ()
    """Versions of the library that it asked: these are there, whatever was kept of the run."""


class HistoryDialog(ModalScreen["Found | None"]):
    """Lists the runs; its result is the one to be opened."""

    HELP = """
    Type to find a run by words of its prompt, answers, models or source. Enter opens it: prompt, models, parameters and
    the answers of then. `F5` opens it and asks again, at today's price and under today's caps.

    Models, parameters, figures and ratings of each run are kept in `playground.db` of the data folder (mode 0600);
    prompts and answers only if you say so, here with `F9` or by `history = "full"` in `[playground]` of the settings.
    Runs of this session can be opened whole in any case. `F8` twice forgets a run; `F7` shows how models were rated.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", id="history.back", tooltip="Back to the answers"),
        Binding("f5", "take(True)", "Ask again", id="history.again", tooltip="Open the run and ask it again"),
        Binding("f7", "ratings", "Ratings", id="history.ratings", tooltip="How models were rated"),
        Binding("f8", "delete", "Forget", id="history.delete", tooltip="Forget the highlighted run; press twice"),
        Binding("f9", "turn", "Keep texts", id="history.keep", tooltip="Keep prompts and answers on disk, or not"),
    ]

    @dataclass
    class Read(Message):
        """The history was read, on a thread."""

        search: str
        runs: Sequence[KeptRun]
        mode: Mode

    @dataclass
    class Told(Message):
        """Something else was read, or went wrong, on a thread."""

        text: str
        kind: Literal["text", "problem"] = "text"

    @dataclass
    class Loaded(Message):
        """A run was read whole."""

        found: Found

    def __init__(self, keeper: HistoryStore) -> None:
        super().__init__(classes="playground-page")
        self._keeper = keeper
        self._runs: Sequence[KeptRun] = ()
        self._deleting = 0

    def compose(self) -> ComposeResult:
        """Lay out search, list and preview."""
        with Vertical(id="page") as box:
            box.border_title = "history"
            box.border_subtitle = "enter opens · F5 asks again · F7 ratings · F8 forgets · esc"
            yield Input(placeholder="words of prompt, answer, model or source", compact=True, id="history-search")
            yield OptionList(compact=True, markup=False, id="history-list")
            with VerticalScroll(id="history-preview", can_focus=False):
                yield Static(id="history-text", markup=False)
            yield Static(id="history-mode", markup=False)

    def on_mount(self) -> None:
        """Show the newest runs."""
        self.query_one(OptionList).focus()
        self._find("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._find(event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.query_one(OptionList).focus()

    @work(thread=True, exclusive=True, group="history", description="read the history")
    def _find(self, search: str) -> None:
        try:
            self.post_message(self.Read(search, self._keeper.find(search), self._keeper.mode()))
        except PromptopError as error:
            self.post_message(self.Told(str(error), "problem"))

    @on(Read)
    def _was_read(self, event: Read) -> None:
        if event.search != self.query_one("#history-search", Input).value:
            return
        self._runs = event.runs
        self._deleting = 0
        runs = self.query_one(OptionList)
        at = runs.highlighted or 0
        runs.clear_options()
        runs.add_options([line_of(run) for run in self._runs])
        if self._runs:
            runs.highlighted = min(at, len(self._runs) - 1)
        else:
            self._say("Nothing of that kind." if event.search else "Nothing has run yet: F5 in the playground asks.")
        by_setting = event.mode == "full" == self._keeper.setting
        said = (
            'prompts and answers are kept on disk: history = "full" in the settings'
            if by_setting
            else _KEPT[event.mode]
        )
        self.query_one("#history-mode", Static).update(said)

    @on(Told)
    def _told(self, event: Told) -> None:
        self._say(event.text if event.kind == "text" else f"✗ {event.text}")

    def _say(self, text: str) -> None:
        self.query_one("#history-text", Static).update(clean(text))

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._deleting = 0
        if event.option_index < len(self._runs):
            self._say(preview_of(self._runs[event.option_index]))

    @on(OptionList.OptionSelected)
    def _selected(self) -> None:
        self.action_take(False)

    def _current(self) -> KeptRun | None:
        at = self.query_one(OptionList).highlighted
        return self._runs[at] if at is not None and at < len(self._runs) else None

    def action_take(self, again: bool) -> None:
        """Open the highlighted run."""
        if (run := self._current()) is not None:
            self._load(run.id, again)

    @work(thread=True, exclusive=True, group="history-load", description="read a run")
    def _load(self, number: int, again: bool) -> None:
        try:
            run = self._keeper.load(number)
            versions = from_library([version.label for version in run.versions if version.label])
            self.post_message(self.Loaded(Found(run, again, versions)))
        except PromptopError as error:
            self.post_message(self.Told(str(error), "problem"))

    @on(Loaded)
    def _was_loaded(self, event: Loaded) -> None:
        self.dismiss(event.found)

    def action_delete(self) -> None:
        """Forget the highlighted run, when pressed twice."""
        run = self._current()
        if run is None:
            return
        if self._deleting != run.id:
            self._deleting = run.id
            self._say("F8 again forgets this run.")
            return
        self._forget(run.id)

    @work(thread=True, group="history-change", description="forget a run")
    def _forget(self, number: int) -> None:
        self._changing(lambda: self._keeper.delete(number))

    def action_turn(self) -> None:
        """Keep prompts and answers on disk from now on, or no longer."""
        self._turn()

    @work(thread=True, group="history-change", description="choose what is kept")
    def _turn(self) -> None:
        self._changing(self._keeper.turn)

    def _changing(self, change: object) -> None:
        """Runs on a thread: change something, and read the history again."""
        assert callable(change)
        try:
            change()
        except PromptopError as error:
            self.post_message(self.Told(str(error), "problem"))
            return
        self.app.call_from_thread(lambda: self._find(self.query_one("#history-search", Input).value))

    @work(thread=True, exclusive=True, group="ratings", description="sum up ratings")
    def action_ratings(self) -> None:
        """Show how models were rated."""
        try:
            self.post_message(self.Told(self._keeper.ratings() or "Nothing was rated yet: 1 … 5 in an answer."))
        except PromptopError as error:
            self.post_message(self.Told(str(error), "problem"))


def line_of(run: KeptRun) -> str:
    """Return a run in one line."""
    when = time.strftime("%d %b %H:%M", time.localtime(run.started_ms / 1000))
    models = ", ".join(dict.fromkeys(answer.model for answer in run.answers))
    times = f" {run.repeats}×" if run.repeats > 1 else ""
    stars = [answer.rating for answer in run.answers if answer.rating]
    rated = f" ★{max(stars)}" if stars else ""
    texts = "" if run.whole else " ○"
    return clean_line(f"{when}{texts}  {run.subject[:60]}  · {models[:60]}{times} · {units.usd(run.cost_usd)}{rated}")


def preview_of(run: KeptRun) -> str:
    """Return what is to be known of a run before it is opened."""
    lines = []
    if not run.whole:
        lines.append("○ Prompt and answers were not kept; models, parameters and figures are.")
    for answer in run.answers:
        last = answer.results[-1] if answer.results else None
        figure = "" if last is None else f"TTFT {units.seconds(last.ttft_s)}, total {units.seconds(last.total_s)}"
        checks = f", checks {answer.checks[0]}/{answer.checks[1]}" if answer.checks else ""
        stars = f", ★{answer.rating}" if answer.rating else ""
        lines.append(f"{answer.label}: {last.state if last else 'no answer'}, {figure}{checks}{stars}")
        if last is not None and last.text:
            lines.append("  " + " ".join(last.text.split())[:_EXCERPT])
    return "\n".join(lines)
