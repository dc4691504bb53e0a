"""An incident as one file: export it, open it as a replay (``promptop FILE.promptop``), write its HTML page."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptop.alerts.changes import Change
from promptop.alerts.comparison import window_changes
from promptop.alerts.rules import load as load_alerts
from promptop.alerts.runner import state_file
from promptop.base.errors import UsageError
from promptop.base.files import state_dir, write_private
from promptop.base.sanitize import clean_line
from promptop.base.times import moment_ms
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import ParsedArguments, argument, flag, option
from promptop.cli.report_formats import html
from promptop.cli.report_formats.changes import COLUMNS, cells
from promptop.cli.report_formats.report_text import heads, notes_of, rows_of, title_of
from promptop.cli.shared.confirmation import refuse_existing
from promptop.cli.shared.options import require_logs, settings_of, settings_options
from promptop.cli.traffic.report import read as read_report
from promptop.log import LogReader, files, parse_filter
from promptop.log.transfer import exports, incidents, replays
from promptop.settings import Settings

_BEFORE = 2
"""Rows of so many times the window go before it, so that a replay has something to compare with."""
_TITLES = {"change": "What changed", "calls": "Calls", "alerts": "Alerts", "notes": "Notes"}
EXAMPLES = (
    "promptop incident export --since 2h --note 'provider down' -o outage.promptop",
    "promptop incident show outage.promptop",
    "promptop outage.promptop",
    "promptop incident html outage.promptop -o outage.html",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb(
            "export",
            "write the rows of a period, with sums, changes, alerts and notes, to one file",
            option("--since", default="1h", metavar="WHEN", help="start of the incident (default: 1h)"),
            option("--until", default="now", metavar="WHEN", help="its end (default: now)"),
            option("--filter", default="", metavar="TERMS", help="only these calls"),
            option("--note", many=True, default=[], metavar="TEXT", help="note to include; repeatable"),
            flag("--bodies", help="prompts and answers too, as far as the log kept them"),
            option("-o", "--output", type=Path, required=True, metavar="FILE", help="x.promptop"),
            flag("--force", help="replace a file that exists"),
            *settings_options(),
        ),
        verb(
            "html",
            "write the HTML page of an incident file",
            argument("file", type=Path, metavar="FILE", help="an incident file"),
            option("-o", "--output", type=Path, required=True, metavar="FILE", help="the page"),
            flag("--force", help="replace a file that exists"),
        ),
        verb(
            "show",
            "print what an incident file holds",
            argument("file", type=Path, metavar="FILE", help="an incident file"),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command."""
    if args.verb == "html":
        refuse_existing(args.output, force=args.force)
        write_private(args.output, incidents.read_page(args.file))
        print(args.output)
        return 0
    if args.verb == "show":
        print(json.dumps(incidents.read_about(args.file), ensure_ascii=False, indent=2))
        return 0
    return _export(args)


def _export(args: ParsedArguments) -> int:
    settings = settings_of(args)
    path = settings.log_path()
    require_logs([path])
    if args.output.suffix != replays.INCIDENT:
        raise UsageError(f"{args.output} does not end in {replays.INCIDENT}.", "It is opened by that ending.")
    refuse_existing(args.output, force=args.force)
    now_ms = time.time_ns() // 1_000_000
    until = moment_ms(args.until, now_ms) + (args.until == "now")
    since = moment_ms(args.since, until)
    if since >= until:
        raise UsageError(f"The window from {args.since} to {args.until} is empty.", "--since must be before --until.")
    with LogReader(path) as log:
        changes, unknown = _changes(log, since, until)
        about = _about(settings, path, since, until, changes, args.note)
        page = _page(log, since, until, args.filter, changes, unknown, about)
        rows = exports.rows_of(log, parse_filter(args.filter), since - _BEFORE * (until - since), until)
        try:
            count = incidents.write_incident(args.output, rows, about, page, path if args.bodies else None)
        except (sqlite3.Error, OSError) as error:
            raise files.explain(args.output, error) from None
    print(f"{count:,} rows → {args.output}")
    return 0


def _about(
    settings: Settings, path: Path, since: int, until: int, changes: list[Change], notes: list[str]
) -> dict[str, Any]:
    """Return what is said of an incident. Of the settings only the monitor's targets and rules: no key, no address."""
    monitor = {
        key: value
        for key, value in asdict(settings.monitor).items()
        if not key.startswith(("alert_command", "alert_w"))
    }
    kept = state_dir() / "bookmarks.json"
    try:
        bookmarks = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        bookmarks = []
    within = [
        each
        for each in (bookmarks if isinstance(bookmarks, list) else [])
        if isinstance(each, dict) and since <= int(each.get("until_ms") or 0) <= until + 60_000
    ]
    return {
        "host": socket.gethostname(),
        "log": path.name,
        "since_ms": since,
        "until_ms": until,
        "changes": [change.as_json() for change in changes],
        "alerts": [asdict(alert) for alert in load_alerts(state_file(state_dir(), (path,))).values()],
        "notes": [clean_line(note, 2_000) for note in notes],
        "bookmarks": within,
        "settings": {"monitor": monitor},
    }


def _changes(log: LogReader, since: int, until: int) -> tuple[list[Change], str]:
    """Return what changed against the window before, and what is said where there is nothing."""
    try:
        return window_changes(log, since, until), "as in the window before"
    except UsageError as error:  # too long ago
        return [], error.cause


def _page(
    log: LogReader, since: int, until: int, where: str, changes: list[Change], nothing: str, about: dict[str, Any]
) -> str:
    """Return the incident as one self-contained page."""
    report = read_report(log, since, until, by="model", where=where)
    notes = [*about["notes"], *(str(each["note"]) for each in about["bookmarks"] if each.get("note"))]
    alerts = [(each["rule"], "fires" if each["firing"] else "quiet", str(each["shown"])) for each in about["alerts"]]
    body = []
    if notes:
        body += [f"<h2>{_TITLES['notes']}</h2>", html.table(("note",), [(note,) for note in notes], notes=())]
    body += [
        f"<h2>{_TITLES['change']}</h2>",
        html.table(COLUMNS, [cells(change, until) for change in changes], notes=() if changes else (nothing,)),
    ]
    if alerts:
        body += [f"<h2>{_TITLES['alerts']}</h2>", html.table(("rule", "state", "value"), alerts, notes=())]
    body += [
        f"<h2>{_TITLES['calls']}</h2>",
        html.table(heads(report), rows_of(report), notes=notes_of(report), total=True),
        *html.charts(log, report),
    ]
    return html.document(f"Incident, {title_of(report)}", body)
