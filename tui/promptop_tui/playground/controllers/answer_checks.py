"""Holds the answers of the shown run against the checks, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from promptop.base.errors import PromptopError
from promptop.client.result import RunResult
from promptop.experiments.checks import Checked
from promptop.workers.check_worker import judge_apart
from promptop_tui.playground.views.results import Results
from promptop_tui.services.background import Background

Verdicts = Sequence[Sequence[Sequence[Checked]]]
"""Of each pane, of each call that counts."""


class AnswerChecks:
    """Judges answers, and shows on their panes what came of it."""

    def __init__(
        self,
        results: Results,
        background: Background,
        *,
        checks: Callable[[], list[str]],
        python: bool,
        judged: Callable[[], None],
        failed: Callable[[PromptopError], None],
    ) -> None:
        """``checks`` returns what every answer must be now; ``judged`` is called when the panes show it."""
        self._results, self._background = results, background
        self._checks, self._python = checks, python
        self._on_judged, self._on_failed = judged, failed
        self._groups: list[list[RunResult]] = []

    def take(self, groups: Sequence[Sequence[RunResult]]) -> None:
        """Take the answers that are shown, each pane's calls that count; none when a run begins."""
        self._groups = [list(group) for group in groups]

    def hold_again(self) -> None:
        """Hold the answers that are there against the checks as they are now."""
        if not self._groups:
            return
        checks = self._checks()
        if checks:
            self._background.run(
                partial(self._judge, checks, self._groups),
                self._judged,
                self._on_failed,
                group="checks",
                description="hold answers against checks",
            )
        else:
            for pane in self._results.grid.panes:
                pane.judge([])
            self._results.refresh_table()

    def _judge(self, checks: list[str], groups: list[list[RunResult]]) -> tuple[object, Verdicts]:
        """Runs on a thread."""
        found = iter(judge_apart(checks, [result for group in groups for result in group], python=self._python))
        return groups, [[next(found) for _ in group] for group in groups]

    def _judged(self, judged: tuple[object, Verdicts]) -> None:
        groups, verdicts = judged
        if groups is not self._groups:
            return  # another run's answers are shown by now
        for pane, each in zip(self._results.grid.panes, verdicts, strict=True):
            pane.judge(each)
        self._results.refresh_table()
        self._on_judged()
