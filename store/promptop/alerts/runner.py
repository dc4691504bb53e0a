"""Judges the alert rules of a log again and again, remembers where they stand, and hands on what begins and ends.

State is kept by log, and one process judges a log at a time: whoever holds the lock of its state file. The others read
where the rules stand, so that two open apps and a daemon tell everything once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any

from promptop.alerts import rules as alert_rules
from promptop.alerts.changes import clock
from promptop.alerts.changes import sentence as change_sentence
from promptop.alerts.rules import UNUSUAL, Alert, AlertRule
from promptop.alerts.watch import Watch
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line

if TYPE_CHECKING:
    from promptop.log import LogReader
    from promptop.log.read.reader import LogPlace
    from promptop.settings import MonitorSettings

EVERY_S = 10.0
_SHARE = 20
_COMMAND_S = 30
_POST_S, _POST_TRIES, _POST_WAIT_S = 10.0, 3, 1.0
CALM_MS = 600_000
"""How long nothing must be unusual until the rule ``unusual`` ends."""


@dataclass(frozen=True, slots=True)
class AlertNews:
    """Where all rules stand, and those that have just begun to fire or ceased."""

    alerts: tuple[Alert, ...]
    changed: tuple[Alert, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with rules, state file, command or webhook, for people."""


def name_of(log: LogPlace) -> str:
    """Return what ``--log`` takes for a log: an absolute path, or a fleet's address."""
    return str(Path(log).absolute() if isinstance(log, str | os.PathLike) else log)


def state_file(folder: Path, logs: Sequence[LogPlace]) -> Path:
    """Return where it is kept how the rules of some logs stand."""
    name = hashlib.blake2b("\0".join(map(name_of, logs)).encode(), digest_size=8).hexdigest()
    return folder / "alerts" / f"{name}.json"


def sentence(alert: Alert) -> str:
    """Return a change in words."""
    if alert.rule == UNUSUAL:
        return alert.shown if alert.firing else f"as usual again; it was: {alert.shown}"
    return f"{alert.rule}: it is {alert.shown}" if alert.firing else f"{alert.rule}: over, it is {alert.shown}"


def message_of(alert: Alert, logs: Sequence[LogPlace]) -> dict[str, Any]:
    """Return what a command and a webhook are told of a change."""
    names = " ".join(f"--log {shlex.quote(name_of(log))}" for log in logs)
    return {
        "text": sentence(alert),
        "state": "firing" if alert.firing else "over",
        "rule": alert.rule,
        "scope": alert.scope,
        "value": alert.value,
        "shown": alert.shown,
        "since_ms": alert.since_ms,
        "since": clock(alert.since_ms, alert.since_ms),
        "host": socket.gethostname(),
        "logs": [name_of(log) for log in logs],
        "open": f"promptop --tab monitor {names}",
    }


class AlertRunner:
    """The rules of one log, or of several read as one; used on one thread."""

    def __init__(
        self,
        settings: MonitorSettings,
        folder: Path,
        logs: Sequence[LogPlace],
        tell: Callable[[AlertNews], object],
        *,
        at_once: bool = False,
    ) -> None:
        """Keep state in ``folder``; ``tell`` is called with news, from whatever thread has them.

        ``at_once`` says that one look is enough for the rule ``unusual``: there is no second one.
        """
        self._settings = settings
        self._logs = tuple(logs)
        self._state = state_file(folder, logs)
        self._tell = tell
        self._standing: dict[str, Alert] = {}
        self._looked = False
        self._due = 0.0
        self._watch = Watch()
        self._seen_before = at_once
        self.rules: list[AlertRule] = []
        self._problems: list[str] = []
        self._deliveries: list[threading.Thread] = []
        for text in settings.alerts:
            try:
                self.rules.append(alert_rules.parse_rule(text))
            except UsageError as error:
                self._problems.append(f"[monitor] alerts: {error.cause} {error.remedy}")

    def look(self, log: LogReader, now_ms: int) -> None:
        """Judge the rules if it is time: every ten seconds, and at most 5 % of the time.

        Logs that do not exist are not judged: what nobody writes is not silent.
        """
        if monotonic() < self._due or not (self.rules or self._problems):
            return
        if not any(Path(log).exists() if isinstance(log, str | os.PathLike) else True for log in self._logs):
            return
        began = perf_counter()
        try:
            with self._only_judge() as judge:
                self._judge(log, now_ms) if judge else self._take_over()
        except OSError as error:
            self._problems.append(f"{self._state} cannot be written ({error.strerror}): alerts will repeat.")
            self._judge(log, now_ms)
        self._due = monotonic() + max(EVERY_S, (perf_counter() - began) * _SHARE)

    def wait(self, seconds: float) -> None:
        """Wait for commands and webhooks that are under way."""
        end = monotonic() + seconds
        for thread in self._deliveries:
            thread.join(max(0.0, end - monotonic()))

    @contextlib.contextmanager
    def _only_judge(self) -> Iterator[bool]:
        """Hold the lock of the state, and say whether it was free."""
        self._state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._state.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)

    def _take_over(self) -> None:
        """Show where the rules stand by another process's judgement."""
        known = alert_rules.load(self._state)
        found = tuple(known.get(rule.text, Alert(rule.text, scope=rule.check.where)) for rule in self.rules)
        problems, self._problems = tuple(self._problems), []
        if problems or dict(self._standing) != {alert.rule: alert for alert in found}:
            self._standing = {alert.rule: alert for alert in found}
            self._tell(AlertNews(found, (), problems))

    def _judge(self, log: LogReader, now_ms: int) -> None:
        first, self._looked = not self._looked, True
        # Each time anew: what another process has told is not told twice.
        self._standing = alert_rules.load(self._state) or self._standing
        plain = [rule for rule in self.rules if rule.text != UNUSUAL]
        found, changed = alert_rules.judge(plain, log, now_ms, self._settings, self._standing)
        if len(plain) < len(self.rules):
            alert, began_or_ended = self._unusual(log, now_ms)
            found, changed = (*found, alert), (*changed, alert) if began_or_ended else changed
        before, self._standing = self._standing, {alert.rule: alert for alert in found}
        if before != self._standing:
            try:
                alert_rules.save(self._state, found)
            except OSError as error:
                self._problems.append(f"{self._state} cannot be written ({error.strerror}): alerts will repeat.")
        for alert in changed:
            self.hand_on(alert)
        problems, self._problems = tuple(self._problems), []
        if first or changed or problems or any(before.get(alert.rule) != alert for alert in found):
            self._tell(AlertNews(found, changed, problems))

    def _unusual(self, log: LogReader, now_ms: int) -> tuple[Alert, bool]:
        """Judge the rule ``unusual``: it begins when two looks in a row find something, and ends after ten minutes."""
        old = self._standing.get(UNUSUAL, Alert(UNUSUAL))
        *_, present = self._watch.steps(log, now_ms)
        changes = present.changes if present is not None else ()
        if present is None or not present.ready:
            return old, False
        seen_before, self._seen_before = self._seen_before, bool(changes)
        if changes:
            shown, scope, count = change_sentence(changes[0], now_ms), changes[0].filter, float(len(changes))
            if old.firing:
                return Alert(UNUSUAL, True, old.since_ms, count, shown, scope, now_ms), False
            if seen_before:
                return Alert(UNUSUAL, True, changes[0].since_ms, count, shown, scope, now_ms), True
            return old, False
        if old.firing and now_ms - old.seen_ms > CALM_MS:
            return Alert(UNUSUAL, False, now_ms, 0.0, old.shown), True
        return old, False

    # Handing on: on threads of their own, so that a command that hangs holds neither the log nor a screen.

    def hand_on(self, alert: Alert) -> None:
        """Give a change to the command and to the webhook of the settings."""
        message = message_of(alert, self._logs)
        if self._settings.alert_command:
            try:
                words = shlex.split(self._settings.alert_command)
            except ValueError as error:
                self._problems.append(f"alert_command cannot be read: {error}")
            else:
                self._start(self._call, words, message)
        if self._settings.alert_webhook:
            self._start(self._post, self._settings.alert_webhook, message)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="alert", daemon=True)
        self._deliveries = [each for each in self._deliveries if each.is_alive()] + [thread]
        thread.start()

    def _fault(self, problem: str) -> None:
        self._tell(AlertNews(tuple(self._standing.values()), (), (problem,)))

    def _call(self, words: list[str], message: dict[str, Any]) -> None:
        value = message["value"]
        environment = {
            **os.environ,
            "PROMPTOP_ALERT": message["rule"],
            "PROMPTOP_ALERT_STATE": message["state"],
            "PROMPTOP_ALERT_VALUE": "" if value is None else f"{value:.6g}",
            "PROMPTOP_ALERT_SCOPE": message["scope"],
            "PROMPTOP_ALERT_SINCE": message["since"],
            "PROMPTOP_ALERT_HOST": message["host"],
            "PROMPTOP_ALERT_LOG": os.pathsep.join(message["logs"]),
            "PROMPTOP_ALERT_OPEN": message["open"],
        }
        try:
            done = subprocess.run(
                [*words, message["text"]],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._fault(f"alert_command failed: {clean_line(str(error), 200)}")
        else:
            if done.returncode:
                said = clean_line(done.stderr.decode("utf-8", "replace").strip(), 200)
                self._fault(f"alert_command ended with {done.returncode}: {said}")

    def _post(self, url: str, message: dict[str, Any]) -> None:
        """Post a message as JSON; three tries, and what is refused (4xx) is not sent again."""
        import httpx2

        problem = ""
        for number in range(_POST_TRIES):
            if number:
                sleep(_POST_WAIT_S * 2 ** (number - 1))
            try:
                answer = httpx2.post(
                    url,
                    content=json.dumps(message, ensure_ascii=False).encode(),
                    headers={"content-type": "application/json"},
                    timeout=_POST_S,
                )
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                problem = clean_line(f"{type(error).__name__}: {error}", 120)
                continue
            if answer.is_success:
                return
            problem = f"status {answer.status_code}"
            if answer.status_code < 500 and answer.status_code != 429:
                break
        host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        self._fault(f"alert_webhook on {clean_line(host, 80)} failed: {problem}")
