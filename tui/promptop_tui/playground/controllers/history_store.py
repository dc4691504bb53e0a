"""What becomes of a run when it is over: kept whole for the session, and on disk as far as the user wants that."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from promptop.base.texts import tr
from promptop.history.run_history import KeptAnswer, KeptRun, Mode, RunHistory

MODES: dict[str, Mode] = {"full": "full", "metadata": "metadata", "off": "off"}
"""What the settings may say → what is kept."""
MOST_IN_SESSION = 100
"""Runs that are kept whole while the app is open."""


class HistoryStore:
    """The history of the playground. Methods block: call them on a thread, from any number of them."""

    def __init__(self, setting: Mode, book: RunHistory) -> None:
        """``setting`` is what the settings say; the dialog of the history may raise metadata to full, and back."""
        self.setting = setting
        self.book = book
        self._session: dict[int, KeptRun] = {}
        self._unkept = 0
        self._noted = 0
        self._lock = threading.Lock()

    def mode(self) -> Mode:
        """Return what is kept on disk from now on."""
        return self.book.mode(self.setting)

    def turn(self) -> Mode:
        """Keep prompts and answers from now on, or no longer; a setting other than metadata stands."""
        if self.setting == "metadata":
            self.book.choose_mode("metadata" if self.mode() == "full" else "full")
        return self.mode()

    def keep(self, run: KeptRun) -> int:
        """Keep a run and return its number; below zero for one that lives as long as the session."""
        with self._lock:
            mode = self.mode()
            if mode == "off":
                self._unkept -= 1
                number = self._unkept
            else:
                number = self.book.add(run, full=mode == "full")
            self._session[number] = replace(run, id=number)
            while len(self._session) > MOST_IN_SESSION:
                del self._session[next(iter(self._session))]
            return number

    def note(
        self,
        number: int,
        note: int,
        ratings: Sequence[tuple[int | None, bool]],
        checks: Sequence[tuple[int, int]],
    ) -> None:
        """Keep what was thought of the answers of a run: stars and whether blind, and checks passed of how many.

        A ``note`` with a lower number than one that was kept already comes late, and is nothing new.
        """
        with self._lock:
            if note < self._noted:
                return
            self._noted = note
            run = self._session.get(number)
            if run is not None:
                answers = [_noted(each, at, ratings, checks) for at, each in enumerate(run.answers)]
                self._session[number] = replace(run, answers=tuple(answers))
            if number > 0:
                for at, (stars, blind) in enumerate(ratings):
                    self.book.rate(number, at, stars, blind=blind)
                self.book.judge(number, checks)

    def find(self, search: str) -> list[KeptRun]:
        """Return the runs that have every word of ``search``, newest first; those of the session are whole."""
        with self._lock:
            session = dict(self._session)
        words = search.casefold().split()
        found = {run.id: run for run in self.book.find(search)}
        for number, run in session.items():
            if number in found or all(word in _said(run) for word in words):
                found[number] = run
        return sorted(found.values(), key=lambda run: (run.started_ms, run.id), reverse=True)

    def load(self, number: int) -> KeptRun:
        """Return a run with all that is kept of it."""
        with self._lock:
            run = self._session.get(number)
        return run if run is not None else self.book.load(number)

    def delete(self, number: int) -> None:
        """Forget a run."""
        with self._lock:
            self._session.pop(number, None)
            if number > 0:
                self.book.delete(number)

    def ratings(self) -> str:
        """Return how each model was rated in all runs on disk, in a line each; empty if none was."""
        lines = []
        for each in self.book.ratings():
            stars = " ".join(f"{stars}★×{each.spread[stars]}" for stars in sorted(each.spread, reverse=True))
            blind = tr(", {blind} blind", blind=each.blind) if each.blind else ""
            lines.append(f"{each.model}: {each.mean:.1f}★ (n={each.n}{blind})  {stars}")
        return "\n".join(lines)


def _noted(
    answer: KeptAnswer, at: int, ratings: Sequence[tuple[int | None, bool]], checks: Sequence[tuple[int, int]]
) -> KeptAnswer:
    stars, blind = ratings[at]
    return replace(answer, rating=stars, blind=blind, checks=checks[at] if checks else None)


def _said(run: KeptRun) -> str:
    """Return everything of a run that can be searched, in small letters."""
    answers = (result.text for answer in run.answers for result in answer.results[-1:])
    parts = (run.subject, run.text, run.source, *(answer.label for answer in run.answers), *answers)
    return "\n".join(parts).casefold()
