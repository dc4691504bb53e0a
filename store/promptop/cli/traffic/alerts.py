"""Alerts without the app: list the rules, try one, or judge them until stopped."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from promptop.alerts import watch
from promptop.alerts.changes import clock, sentence
from promptop.alerts.rules import UNUSUAL, load, parse_rule
from promptop.alerts.rules import judge as judge_rules
from promptop.alerts.runner import AlertNews, AlertRunner, state_file
from promptop.alerts.runner import sentence as alert_sentence
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import state_dir
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.options import has_exports, log_place, log_places, require_logs, settings_of
from promptop.log import LogReader
from promptop.log.read.reader import LogPlace
from promptop.settings import Settings

_PAUSE_S = 1.0
_LAST_S = 10.0


EXAMPLES = (
    "promptop alerts list",
    "promptop alerts test 'p95_ttft>2s over 10m'",
    "promptop alerts run --once",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb("list", "show the rules of the settings and where each stands", *_places()),
        verb(
            "test",
            "judge rules now, without telling anyone; exit 1 if one fires",
            argument(
                "rules",
                many=True,
                required=False,
                metavar="RULE",
                help="'p95_ttft{model:claude*}>2s over 10m', or unusual (default: those of the settings, and unusual)",
            ),
            flag("--deliver", help="send one test message to the command and the webhook of the settings"),
            *_places(),
        ),
        verb(
            "run",
            "judge the rules until stopped, and deliver what changes",
            flag("--once", help="judge once, deliver what has changed, and exit"),
            *_places(),
        ),
    ]


def _places() -> Parameters:
    return [
        option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
        option(
            "--log",
            many=True,
            type=log_place,
            metavar="FILE",
            help="request log; several are read as one; or clickhouse://HOST/DATABASE, the fleet's log",
        ),
    ]


def run(args: ParsedArguments) -> int:
    """List, test or judge; ``test`` exits 1 if a rule fires."""
    places = tuple(args.log or ())
    args.log, args.profile = None, None
    settings = settings_of(args)
    past = has_exports(places)
    if past and args.verb == "run":
        raise UsageError(
            "An exported file is of the past: nobody is told of it.", "promptop alerts test judges it as of its end."
        )
    logs = log_places(places, settings.fleet, follow=args.verb == "run") or (settings.log_path(),)
    if places or args.verb != "list":  # rules are there before a log is
        require_logs(logs)
    if args.verb == "test":
        return _test(args, settings, logs, past=past)
    return {"list": _list, "run": _run}[args.verb](args, settings, logs)


def _list(args: ParsedArguments, settings: Settings, logs: Sequence[LogPlace]) -> int:
    """Print each rule of the settings and where it stands."""
    now_ms = time.time_ns() // 1_000_000
    standing = load(state_file(state_dir(), logs))
    there = any(not isinstance(path, Path) or path.exists() for path in logs)
    if not settings.monitor.alerts:
        print("No rules in the settings ([monitor] alerts = [...]). promptop alerts run judges what is unusual.")
    for text in settings.monitor.alerts or (UNUSUAL,):
        try:
            parse_rule(text)
        except UsageError as error:
            print(clean_line(f"{text}: cannot be judged: {error.cause} {error.remedy}", 400))
            continue
        alert = standing.get(text)
        state = "not judged yet" if there else "not judged: the log is not there yet"
        if alert is not None:
            word = "fires" if alert.firing else "quiet"
            since = f" since {clock(alert.since_ms, now_ms)}" if alert.since_ms else ""
            state = f"{word}{since}, {alert.shown}"
        print(clean_line(f"{text}: {state}", 300))
    return 0


def _test(args: ParsedArguments, settings: Settings, logs: Sequence[LogPlace], *, past: bool) -> int:
    """Judge rules now, or a log of the past as of its end, and print where they stand."""
    now_ms = time.time_ns() // 1_000_000
    texts = args.rules or [*settings.monitor.alerts, *([UNUSUAL] if UNUSUAL not in settings.monitor.alerts else [])]
    rules = [parse_rule(text) for text in texts]
    fired = 0
    with LogReader(logs) as log:
        if past and (span := log.span()) is not None:
            now_ms = span[1]
        found, _ = judge_rules([rule for rule in rules if rule.text != UNUSUAL], log, now_ms, settings.monitor, {})
        for alert in found:
            fired += alert.firing
            word = "fires" if alert.firing else "quiet"
            shown = alert.shown if alert.value is not None else "not known in this window, not judged"
            print(clean_line(f"{word}  {alert.rule}: {shown}", 300))
        if any(rule.text == UNUSUAL for rule in rules):
            present = watch.look(log, now_ms)
            fired += bool(present.changes)
            for change in present.changes:
                print(f"fires  {sentence(change, now_ms)}")
            if not present.changes:
                print(f"quiet  {UNUSUAL}: {present.baseline}")
    if args.deliver:
        _deliver(settings, logs)
    return 1 if fired else 0


def _deliver(settings: Settings, logs: Sequence[LogPlace]) -> None:
    """Give the command and the webhook a message that says that it is a test; raises what they answer."""
    if not (settings.monitor.alert_command or settings.monitor.alert_webhook):
        raise UsageError("There is nobody to tell.", "Set [monitor] alert_command or alert_webhook in the settings.")
    from promptop.alerts.rules import Alert

    problems: list[str] = []
    runner = AlertRunner(settings.monitor, state_dir(), logs, lambda news: problems.extend(news.problems))
    runner.hand_on(Alert("test", True, time.time_ns() // 1_000_000, 0.0, "a test of promptop alerts"))
    runner.wait(_LAST_S + 30)
    if problems:
        raise PromptopError("; ".join(problems), "Check [monitor] alert_command and alert_webhook in the settings.")
    print("delivered")


def _run(args: ParsedArguments, settings: Settings, logs: Sequence[LogPlace]) -> int:
    """Judge the rules every ten seconds until the process is told to end."""
    monitor = settings.monitor
    if not monitor.alerts:
        print(f"promptop alerts: no rules in the settings: {UNUSUAL} is judged.", file=sys.stderr, flush=True)
        monitor = replace(monitor, alerts=(UNUSUAL,))

    def tell(news: AlertNews) -> None:
        for alert in news.changed:
            print(clean_line(alert_sentence(alert), 400), flush=True)
        for problem in news.problems:
            print(f"promptop alerts: {problem}", file=sys.stderr, flush=True)

    runner = AlertRunner(monitor, state_dir(), logs, tell, at_once=args.once)
    try:
        with LogReader(logs) as log:
            while True:
                try:
                    runner.look(log, time.time_ns() // 1_000_000)
                except (PromptopError, sqlite3.Error, OSError) as error:
                    if args.once:
                        raise
                    print(f"promptop alerts: not judged: {error}", file=sys.stderr, flush=True)
                if args.once:
                    break
                time.sleep(_PAUSE_S)
    except KeyboardInterrupt:
        pass
    finally:
        runner.wait(_LAST_S)
    return 0
