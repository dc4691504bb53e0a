"""Puts a run of the history back: prompt, models, parameters, and the answers of then."""

from __future__ import annotations

from collections.abc import Mapping

from promptop.base.sanitize import clean_line
from promptop.client.variants import AS_TYPED
from promptop.history.run_history import KeptRun
from promptop.settings import Settings
from promptop_tui.playground.controllers.answer_checks import AnswerChecks
from promptop_tui.playground.controllers.draft import PromptDraft
from promptop_tui.playground.controllers.history import History, is_typed, request_of, saved_version
from promptop_tui.playground.controllers.prompt_versions import PromptVersions
from promptop_tui.playground.controllers.request_builder import RequestBuilder
from promptop_tui.playground.views.parameters import ParameterColumn
from promptop_tui.playground.views.results import Results


class RunReopener:
    """Shows kept runs."""

    def __init__(
        self,
        settings: Settings,
        column: ParameterColumn,
        versions: PromptVersions,
        builder: RequestBuilder,
        draft: PromptDraft,
        history: History,
        checks: AnswerChecks,
        results: Results,
    ) -> None:
        """Take everything that a run is put back into."""
        self._settings, self._column, self._versions, self._builder = settings, column, versions, builder
        self._draft, self._history, self._checks, self._results = draft, history, checks, results

    async def reopen(self, run: KeptRun) -> bool:
        """Put a run back; return whether all of its prompts are there."""
        self._history.forget()
        self._column.restore(run.setup)
        values = run.setup.get("variables")
        self._versions.values = dict(values) if isinstance(values, Mapping) else {}
        same = run.digest == self._builder.digest()
        if run.whole:
            typed = next((each.messages for each in run.versions if is_typed(each)), None)
            if typed is not None and not same:
                self._versions.take(typed, run.source)
            self._draft.put(run.text)
            self._versions.put(*(saved_version(each) for each in run.versions if not is_typed(each)))
        labels = [AS_TYPED if is_typed(each) else each.label for each in run.versions] or [AS_TYPED]
        complete = run.whole or all(label in self._versions.shelf if label else same for label in labels)
        self._versions.choose(labels)
        panes = await self._results.show_past([clean_line(answer.label) for answer in run.answers])
        for pane, answer in zip(panes, run.answers, strict=True):
            version = next((each for each in run.versions if each.label == answer.version), None)
            pane.show_past(request_of(answer, version, self._settings), answer, whole=run.whole)
        groups = [answer.results for answer in run.answers]
        self._checks.take(groups)
        self._history.shows(run)
        self._results.show_table(groups if run.repeats > 1 else None)
        self._results.look_at(0, focus=True)
        return complete
