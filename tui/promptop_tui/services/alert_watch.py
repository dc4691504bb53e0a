"""Judges the alert rules while the app runs, whatever tab is shown.

A thread worker of its own looks at the log every ten seconds; a hidden monitor reads nothing else. Mounted only where
the settings have rules. Who shows where they stand watches :attr:`AlertWatch.alerts`.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget
from textual.worker import get_current_worker

from promptop.alerts.rules import Alert
from promptop.alerts.runner import AlertNews, AlertRunner, sentence
from promptop.base.errors import PromptopError
from promptop.base.files import state_dir
from promptop.base.sanitize import clean
from promptop.base.texts import tr

if TYPE_CHECKING:
    from promptop.log import LogReader
    from promptop.log.read.reader import LogPlace
    from promptop.log.rollups.background_rollup import Folding
    from promptop_tui.context import AppContext

BEGIN_S = 2.0
"""Seconds from the start until the first look: after everything that a user waits for."""
_PAUSE_S = 1.0


class AlertWatch(Widget):
    """An invisible widget that owns the rules' states: it tells, bells and says what is wrong with them."""

    DEFAULT_CSS = "AlertWatch { display: none; }"

    alerts: var[tuple[Alert, ...]] = var[tuple[Alert, ...]](())
    """Where the rules stand."""

    @dataclass
    class News(Message):
        """The watching thread has judged."""

        news: AlertNews

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self._shared = context
        self._paths: tuple[LogPlace, ...] = context.watched or (context.log_path, *context.more_logs)
        self._stop = threading.Event()
        self._told = ""

    @property
    def firing(self) -> int:
        """Number of rules that fire."""
        return sum(alert.firing for alert in self.alerts)

    def on_mount(self) -> None:
        """Begin a little later; a replay is not a present to judge."""
        if not self._shared.replay:
            self.set_timer(BEGIN_S, self._begin)

    def on_unmount(self) -> None:
        """End the thread."""
        self._stop.set()

    def _begin(self) -> None:
        self.run_worker(self._watch, thread=True, exclusive=True, group="alarms", description="judge alerts")

    def _tell(self, news: AlertNews) -> None:
        self.post_message(self.News(news))

    def _watch(self) -> None:
        worker = get_current_worker()
        runner = AlertRunner(self._shared.settings.monitor, state_dir(), self._paths, self._tell)
        log: LogReader | None = None
        foldings: list[Folding] = []
        try:
            while not worker.is_cancelled:
                try:
                    if log is None:
                        log, foldings = self._opened()
                    # Without rollups a month would be read row by row: they are made first, by a process of its own.
                    if not any(folding.start() for folding in foldings):
                        runner.look(log, int(self._shared.now() * 1000))
                        foldings = []
                    self._told = ""
                except (PromptopError, sqlite3.Error, OSError) as error:
                    self._trouble(error.cause if isinstance(error, PromptopError) else str(error))
                    if log is not None:
                        log.close()
                        log = None
                if self._stop.wait(_PAUSE_S):
                    return
        finally:
            for folding in foldings:
                folding.close()
            if log is not None:
                log.close()

    def _opened(self) -> tuple[LogReader, list[Folding]]:
        from promptop.log import LogReader
        from promptop.log.rollups.background_rollup import Folding

        log = LogReader(self._paths)
        return log, [Folding(path) for path in log.files]

    def _trouble(self, cause: str) -> None:
        """Say once why nothing is judged."""
        if cause != self._told:
            self._told = cause
            self._tell(AlertNews((), (), (tr("Alerts are not judged: {cause}", cause=cause),)))

    @on(News)
    def _on_news(self, message: News) -> None:
        message.stop()
        news = message.news
        if news.alerts:
            self.alerts = news.alerts
        for alert in news.changed:
            self.notify(
                clean(sentence(alert)),
                title=tr("Alert") if alert.firing else tr("Alert over"),
                severity="error" if alert.firing else "information",
                timeout=10,
                markup=False,
            )
        if any(alert.firing for alert in news.changed):
            self.app.bell()
        for problem in news.problems:
            self.notify(clean(problem), title=tr("Alerts"), severity="warning", timeout=10, markup=False)
