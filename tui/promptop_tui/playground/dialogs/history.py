"""The dialog of the history: runs found again, opened, asked once more; how models were rated."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.message import Message

from promptop.base import units
from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.history.run_history import KeptRun, Mode
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.prompt_versions import SavedVersion
from promptop_tui.playground.dialogs.versions import from_library
from promptop_tui.shell.key_names import key_name
from promptop_tui.widgets.picker_modal import PickerModal

_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Taken:
    """What is to be done with a run."""

    run: KeptRun
    again: bool
    """Ask it again, beside showing what was answered then."""
    versions: Sequence[SavedVersion] = ()
    """Versions of the library that it asked: these are there, whatever was kept of the run."""


class HistoryDialog(PickerModal[KeptRun, Taken]):
    """Lists the runs; its result is the one to be opened."""

    HELP = """
    Type to find a run by words of its prompt, answers, models or source. Enter opens it: prompt, models, parameters and
    the answers of then. Asked again, it is sent at today's price and under today's caps.

    Models, parameters, figures and ratings of each run are kept in `playground.db` of the data folder (mode 0600);
    prompts and answers only if you say so, here or by `history = "full"` in `[playground]` of the settings. Runs of
    this session can be opened whole in any case.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5", "again", "Ask again", id="history.again", tooltip="Open the run and ask it again"),
        Binding("f7", "ratings", "Ratings", id="history.ratings", tooltip="How models were rated"),
        Binding("f9", "turn", "Keep texts", id="history.keep", tooltip="Keep prompts and answers on disk, or not"),
    ]

    @dataclass
    class Opened(Message):
        """A run was read whole, or why it was not, on a thread."""

        taken: Taken | None
        problem: str = ""

    @dataclass
    class Rated(Message):
        """Ratings were summed up, on a thread."""

        text: str

    def __init__(self, store: HistoryStore) -> None:
        super().__init__(
            "history",
            self._read_runs,
            label=line_of,
            preview=preview_of,
            placeholder=tr("words of prompt, answer, model or source"),
            empty=lambda search: tr("Nothing of that kind.") if search else tr("Nothing has run yet."),
            remove=lambda run: store.delete(run.id),
            remove_warning=lambda run: tr("forgets this run"),
        )
        self._store = store
        self._mode: Mode = store.setting

    def _read_runs(self, search: str) -> list[KeptRun]:
        """Runs on a thread."""
        self._mode = self._store.mode()
        return self._store.find(search)

    @on(PickerModal.Loaded)
    def _show_mode(self) -> None:
        self.box.border_title = tr("history · {kept}", kept=self._kept())

    def _kept(self) -> str:
        key = key_name(self, "history.keep")
        if self._mode == "off":
            return tr('nothing is kept on disk: history = "off" in the settings')
        if self._mode == "metadata":
            return tr("prompts and answers live as long as the app ({key}: keep them on disk)", key=key)
        by_setting = self._store.setting == "full"
        why = tr('history = "full" in the settings') if by_setting else tr("{key}: no longer", key=key)
        return tr("prompts and answers are kept on disk ({why})", why=why)

    def take(self, item: KeptRun) -> None:
        """Read the run whole, and close with it."""
        self._open(item, again=False)

    def action_again(self) -> None:
        """Open the highlighted run and ask it again."""
        if self.highlighted is not None:
            self._open(self.highlighted, again=True)

    @work(thread=True, exclusive=True, group="history-load", description="read a run")
    def _open(self, listed: KeptRun, *, again: bool) -> None:
        try:
            run = self._store.load(listed.id)
            versions = from_library([version.label for version in run.versions if version.label])
        except PromptopError as error:
            self.post_message(self.Opened(None, str(error)))
        else:
            self.post_message(self.Opened(Taken(run, again, versions)))

    @on(Opened)
    def _opened(self, event: Opened) -> None:
        if event.taken is None:
            self.tell(f"✗ {event.problem}")
        else:
            self.dismiss(event.taken)

    def action_turn(self) -> None:
        """Keep prompts and answers on disk from now on, or no longer."""
        self.change(self._store.turn)

    @work(thread=True, exclusive=True, group="ratings", description="sum up ratings")
    def action_ratings(self) -> None:
        """Show how models were rated."""
        try:
            self.post_message(self.Rated(self._store.ratings() or tr("Nothing was rated yet.")))
        except PromptopError as error:
            self.post_message(self.Rated(f"✗ {error}"))

    @on(Rated)
    def _rated(self, event: Rated) -> None:
        self.tell(event.text)


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
        lines.append(tr("○ Prompt and answers were not kept; models, parameters and figures are."))
    for answer in run.answers:
        last = answer.results[-1] if answer.results else None
        figure = (
            ""
            if last is None
            else tr(
                "TTFT {ttft_s}, total {total_s}", ttft_s=units.seconds(last.ttft_s), total_s=units.seconds(last.total_s)
            )
        )
        checks = (
            tr(", checks {checks}/{checks_2}", checks=answer.checks[0], checks_2=answer.checks[1])
            if answer.checks
            else ""
        )
        stars = f", ★{answer.rating}" if answer.rating else ""
        lines.append(f"{answer.label}: {last.state if last else 'no answer'}, {figure}{checks}{stars}")
        if last is not None and last.text:
            lines.append("  " + " ".join(last.text.split())[:_EXCERPT])
    return "\n".join(lines)
