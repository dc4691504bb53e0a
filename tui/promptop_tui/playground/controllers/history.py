"""Keeps the runs of the tab with what was thought of them, and puts one of them back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from promptop.base.errors import PromptopError
from promptop.base.texts import tr
from promptop.client.conversation import shown
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.client.targets import parse_target
from promptop.client.variants import AS_TYPED, PromptVersion
from promptop.history.run_history import KeptAnswer, KeptRun
from promptop.settings import Settings
from promptop_tui.playground.controllers.history_store import HistoryStore
from promptop_tui.playground.controllers.prompt_versions import TYPED, SavedVersion
from promptop_tui.playground.views.results import Results
from promptop_tui.services.background import Background


class History:
    """The shown run's place in the history."""

    def __init__(
        self, store: HistoryStore, results: Results, background: Background, failed: Callable[[PromptopError], None]
    ) -> None:
        """``failed`` is told why something was not kept."""
        self.store = store
        self._results, self._background, self._failed = results, background, failed
        self._run: object = None
        """Names the shown run, so that what comes late from a thread is not taken for another one's."""
        self._number = 0
        """The shown run's number in the history; 0 while it has none."""
        self._notes = 0
        """Counts what was noted of runs: threads may write it in another order."""

    def forget(self) -> None:
        """Forget the shown run: another begins."""
        self._run, self._number = None, 0

    def shows(self, run: KeptRun) -> None:
        """A run of the history is shown."""
        self._run, self._number = run, run.id

    def keep(self, run: KeptRun) -> None:
        """Keep a run that is over."""
        self._run = run
        self._background.run(
            partial(self.store.keep, run),
            partial(self._kept, run),
            self._failed,
            group="history",
            description="keep a run",
            exclusive=False,
        )

    def keep_at_exit(self, run: KeptRun, log_error: Callable[[str], object]) -> threading.Thread:
        """Keep a run that the app's end cut short; return the thread that does so, as no worker is waited for then."""

        def keep() -> None:
            try:
                self.store.keep(run)
            except PromptopError as error:
                log_error(tr("the last run was not kept: {cause}", cause=error.cause))  # there is no screen any more

        thread = threading.Thread(target=keep, name="promptop-last-run", daemon=True)
        thread.start()
        return thread

    def _kept(self, run: KeptRun, number: int) -> None:
        if run is self._run:
            self._number = number
            if any(pane.rating or pane.check_counts for pane in self._results.grid.panes):
                self.note()  # they came before it was kept

    def note(self) -> None:
        """Keep ratings and checks of the panes with the shown run."""
        panes = self._results.grid.panes
        if not self._number or not panes:
            return
        self._notes += 1
        ratings = [(pane.rating, pane.rated_blind) for pane in panes]
        counts = [pane.check_counts for pane in panes if pane.check_counts is not None]
        self._background.run(
            partial(self.store.note, self._number, self._notes, ratings, counts if len(counts) == len(panes) else []),
            lambda _: None,
            self._failed,
            group="history",
            description="keep ratings and checks",
            exclusive=False,
        )


def saved_version(version: PromptVersion) -> SavedVersion:
    """Return a version of a kept run as one that can be asked."""
    from promptop.prompts import compose

    text = compose([{"role": each.get("role", "user"), "content": shown(each)} for each in version.messages])
    return SavedVersion(version.label, text, version.name, version.version)


def is_typed(version: PromptVersion) -> bool:
    """Return whether a version of a kept run stood in the prompt's field."""
    return version.label in {AS_TYPED, TYPED}


def request_of(answer: KeptAnswer, version: PromptVersion | None, settings: Settings) -> RunRequest:
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
