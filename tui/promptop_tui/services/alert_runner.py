"""Judges the alert rules of the settings on the watching thread, keeps where they stand, runs the user's command."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from promptop.alerts import rules as alert_rules
from promptop.alerts.rules import Alert, Rule
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line

if TYPE_CHECKING:
    from promptop.log import LogReader
    from promptop.settings import MonitorSettings

EVERY_S = 10.0
_SHARE = 20
_COMMAND_S = 30


@dataclass(frozen=True, slots=True)
class AlarmNews:
    """Where all rules stand, and those that have just begun to fire or ceased."""

    alerts: tuple[Alert, ...]
    changed: tuple[Alert, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with rules, state file or command, for people."""


def sentence(alert: Alert) -> str:
    """Return a change in words."""
    return f"{alert.rule}: it is {alert.shown}" if alert.firing else f"{alert.rule}: over, it is {alert.shown}"


class Alarms:
    """The rules and their states; used on the watching thread alone."""

    def __init__(self, settings: MonitorSettings, state: Path, tell: Callable[[AlarmNews], object]) -> None:
        self._settings = settings
        self._state = state
        self._tell = tell
        self._standing: dict[str, Alert] = {}
        self._looked = False
        self._due = 0.0
        self.rules: list[Rule] = []
        self._problems: list[str] = []
        for text in settings.alerts:
            try:
                self.rules.append(alert_rules.parse_rule(text))
            except UsageError as error:
                self._problems.append(f"[monitor] alerts: {error.cause} {error.remedy}")

    def look(self, log: LogReader, now_ms: int) -> None:
        """Judge the rules if it is time: every ten seconds, and at most 5 % of the time."""
        if monotonic() < self._due or not (self.rules or self._problems):
            return
        began = perf_counter()
        first, self._looked = not self._looked, True
        # Each time anew: what another open app has told is not told twice.
        self._standing = alert_rules.load(self._state) or self._standing
        found, changed = alert_rules.judge(self.rules, log, now_ms, self._settings, self._standing)
        before, self._standing = self._standing, {alert.rule: alert for alert in found}
        if changed or (first and set(before) != set(self._standing)):
            try:
                alert_rules.save(self._state, found)
            except OSError as error:
                self._problems.append(f"{self._state} cannot be written ({error.strerror}): alerts will repeat.")
        for alert in changed:
            self._run(alert)
        problems, self._problems = tuple(self._problems), []
        if first or changed or problems or any(before.get(alert.rule) != alert for alert in found):
            self._tell(AlarmNews(found, changed, problems))
        self._due = monotonic() + max(EVERY_S, (perf_counter() - began) * _SHARE)

    def _run(self, alert: Alert) -> None:
        command = self._settings.alert_command
        if not command:
            return
        try:
            words = shlex.split(command)
        except ValueError as error:
            self._problems.append(f"alert_command cannot be read: {error}")
            return
        # A thread of its own: a command that hangs holds neither the log nor the screen.
        threading.Thread(target=self._call, args=(words, alert), name="alert command", daemon=True).start()

    def _call(self, words: list[str], alert: Alert) -> None:
        environment = {
            **os.environ,
            "PROMPTOP_ALERT": alert.rule,
            "PROMPTOP_ALERT_STATE": "firing" if alert.firing else "over",
            "PROMPTOP_ALERT_VALUE": "" if alert.value is None else f"{alert.value:.6g}",
        }
        try:
            done = subprocess.run(
                [*words, sentence(alert)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            problem = f"alert_command failed: {clean_line(str(error), 200)}"
        else:
            if done.returncode == 0:
                return
            said = clean_line(done.stderr.decode("utf-8", "replace").strip(), 200)
            problem = f"alert_command ended with {done.returncode}: {said}"
        self._tell(AlarmNews(tuple(self._standing.values()), (), (problem,)))
