"""Latency, cache hits, failures and spend over a window of the request log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from promptop.alerts import watch
from promptop.alerts.changes import sentence
from promptop.alerts.rules import Alert, LimitCheck, MeasuredStats, judge, parse_check, rules_of
from promptop.base.errors import UsageError
from promptop.base.times import local_days, moment_ms
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.report_formats import report_text
from promptop.cli.report_formats.report_text import Report
from promptop.cli.shared.confirmation import paint_of, put, refuse_existing
from promptop.cli.shared.options import has_exports, log_place, log_places, require_logs, settings_of
from promptop.log import LogReader, Stats, in_flight, parse_filter
from promptop.log.own_calls import are_asked_for

_BY = (
    *("model", "app", "prompt", "provider", "server", "place", "operation", "error", "cache", "day"),
    *("host", "service", "instance", "pid"),
)
_FORMATS: dict[str, Callable[[Report], str]] = {
    "json": report_text.json_text,
    "csv": report_text.csv_text,
    "md": report_text.markdown_text,
    "line": report_text.line_text,
}
_NEWEST = 100
_DAY_MS = 86_400_000
_BASELINE_MS = 10 * _DAY_MS
"""What is unusual is held against nine days before."""


EXAMPLES = (
    "promptop report --since 7d --by app",
    "promptop report --changes",
    "promptop report --since today --json",
    "promptop report --since 1h --fail-on 'p95_ttft>5s'",
    "promptop report --since 7d --format html -o week.html",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
        option(
            "--log",
            many=True,
            type=log_place,
            metavar="FILE",
            help="request log, folder, export, logs.db of llm or postgresql:// of LiteLLM; all are added up; or"
            " clickhouse://HOST/DATABASE, the fleet's log",
        ),
        option(
            "--since",
            metavar="WHEN",
            help="24h or 7d before the end (default: 24h; an export is reported whole), today, 2026-11-21T09:30 …",
        ),
        option("--until", default="now", metavar="WHEN", help="end of the window (default: now)"),
        option(
            "--before", metavar="WHEN", help="compare: a window that ends here, as long as the one after (no --since)"
        ),
        option("--after", metavar="WHEN", help="compare: where the window after begins (default: --before)"),
        option(
            "--by",
            type=_grouping,
            default="model",
            metavar="WHAT",
            help=f"lines: {', '.join(_BY)}, tag.KEY (default: model)",
        ),
        flag(
            "--changes",
            help="what is unusual now; with --since what changed in that window against the one before "
            "(nine days back)",
        ),
        option("--top", type=int, default=0, metavar="N", help="only the N dearest groups"),
        option("--filter", default="", metavar="TERMS", help="for example 'app:web status:error ttft>1s'"),
        flag("--own", help="count promptop's own calls too: benchmarks, proofs, batches, rewrites"),
        option(
            "--format",
            default="table",
            choices=("table", *_FORMATS, "html", "prometheus"),
            help="form (default: table)",
        ),
        flag("--json", help="the same as --format json"),
        option("-o", "--output", type=Path, metavar="FILE", help="write there, not to standard output"),
        flag("--force", help="replace a file that exists"),
        option(
            "--fail-on",
            many=True,
            metavar="CHECK",
            help="exit 1 if it holds: 'p95_ttft>1s'; 'burn>14.4 over 1h,5m'; slo: any target of the "
            "settings is missed; "
            "alerts: any of its rules fires; repeatable",
        ),
    ]


def _grouping(text: str) -> str:
    if text in _BY or (text.startswith("tag.") and len(text) > len("tag.")):
        return text
    raise click.BadParameter(f"choose from {', '.join(_BY)}, or tag.KEY")


def run(args: ParsedArguments) -> int:
    """Print the report; exit code 1 if a check of ``--fail-on`` holds."""
    refuse_existing(args.output, force=args.force)
    if args.json:
        args.format = "json"
    places = tuple(args.log or ())
    exported = has_exports(places)
    args.log, args.profile = None, None
    settings = settings_of(args)
    logs = log_places(places, settings.fleet, since_ms=_reads_from(args))
    defaults = "alerts" in map(str.strip, args.fail_on) and not settings.monitor.alerts
    if defaults:  # without rules of one's own: whatever is unusual now
        args.fail_on = [text for text in args.fail_on if text.strip() != "alerts"]
    rules = [rule for text in args.fail_on for rule in rules_of(text, settings.monitor)]
    plain = [text for text in args.fail_on if not rules_of(text, settings.monitor)]
    checks = [check for text in plain for check in parse_check(text, settings.monitor)]
    now_ms = time.time_ns() // 1_000_000
    until = moment_ms(args.until, now_ms) + (args.until == "now")  # not included, and a row may be of this millisecond
    since = until - _DAY_MS if args.since is None else moment_ms(args.since, until)
    if since >= until:
        raise UsageError(f"The window from {args.since} to {args.until} is empty.", "--since must be before --until.")
    require_logs(logs)
    with LogReader(logs or settings.log_path()) as log:
        if args.changes:
            return _changes(args, log, None if args.since is None else since, until, now_ms)
        if exported and args.since is None and args.until == "now" and (span := log.span()) is not None:
            since, until = span[0], span[1] + 1  # an exported period is the window
        if args.before is not None or args.after is not None:
            report = _compare(args, log, until, now_ms)
        else:
            report = read(log, since, until, by=args.by, where=args.filter, top=args.top, own=args.own)
            if args.format == "html":
                from promptop.cli.report_formats.html import page

                text = page(log, report)
            elif args.format == "prometheus":
                from promptop.cli.report_formats.prometheus import prometheus_text

                text = prometheus_text(report)
            elif args.format == "table":
                text = report_text.table_text(report, paint_of(args.output))
            else:
                text = _FORMATS[args.format](report)
            put(text, args.output, styled=args.format == "table")
        scoped = {
            check.where: log.window(
                report.since_ms, report.until_ms, by=(), where=check.where, own=args.own or are_asked_for(check.where)
            ).total
            for check in checks
            if check.where
        }
        standing, _ = judge(rules, log, until - 1, settings.monitor, {})
        unusual = _judge_now(log, now_ms) if defaults else 0
    return max(_judge(report, checks, scoped), _judge_rules(standing), unusual)


def _reads_from(args: ParsedArguments) -> int:
    """Return how far back rows are needed, Unix milliseconds."""
    now_ms = time.time_ns() // 1_000_000
    if args.changes or args.before is not None or args.after is not None:
        return now_ms - _BASELINE_MS
    until = moment_ms(args.until, now_ms)
    return until - _DAY_MS if args.since is None else moment_ms(args.since, until)


def _changes(args: ParsedArguments, log: LogReader, since: int | None, until: int, now_ms: int) -> int:
    """Print what changed; of a window against the one before it, or what is unusual now."""
    from promptop.alerts.comparison import window_changes
    from promptop.cli.report_formats import changes as forms

    if args.format not in ("table", "json"):
        raise UsageError(f"--changes has no form {args.format}.", "Leave --format out, or use --json.")
    if since is None:
        present = watch.look(log, now_ms)
        found, baseline = list(present.changes), present.baseline
    else:
        found = window_changes(log, since, until)
        baseline = "as in the window before"
    if args.format == "json":
        put(forms.json_text(found), args.output)
    else:
        put(forms.table_text(found, now_ms, baseline, paint_of(args.output)), args.output, styled=True)
    return 0


def _judge_now(log: LogReader, now_ms: int) -> int:
    """Say on standard error what is unusual now; 1 if anything is."""
    present = watch.look(log, now_ms)
    for change in present.changes:
        print(f"promptop report: {sentence(change, now_ms)}", file=sys.stderr)
    return 1 if present.changes else 0


def _compare(args: ParsedArguments, log: LogReader, until: int, now_ms: int) -> Report:
    """Print two windows of one length side by side, and return the one after: checks are held against it."""
    from promptop.cli.report_formats import comparison

    if args.format == "prometheus":
        raise UsageError("A comparison has no form prometheus.", "Scrape one window, and compare where it is kept.")
    begins = moment_ms(args.after if args.after is not None else args.before, now_ms)
    ends = moment_ms(args.before if args.before is not None else args.after, now_ms)
    length = until - begins
    if length <= 0 or ends > begins:
        raise UsageError(
            "There is nothing to compare.", "--before must not be later than --after, nor that than --until."
        )
    before = read(log, ends - length, ends, by=args.by, where=args.filter, top=args.top, own=args.own)
    after = read(log, begins, until, by=args.by, where=args.filter, top=args.top, own=args.own)
    if args.format == "html":
        text = comparison.html_text(log, before, after)
    else:
        forms = {
            "table": comparison.table_text,
            "json": comparison.json_text,
            "csv": comparison.csv_text,
            "md": comparison.markdown_text,
            "line": comparison.line_text,
        }
        text = forms[args.format](before, after)
    put(text, args.output)
    return after


def read(
    log: LogReader, since_ms: int, until_ms: int, *, by: str, where: str = "", top: int = 0, own: bool = False
) -> Report:
    """Read a window of a log; ``top`` keeps so many groups and adds the others up as one.

    Without ``own`` promptop's own measuring calls are counted apart, unless the filter names an app.
    """
    own = own or are_asked_for(where)
    chosen = parse_filter(where) if where.strip() else None
    simulated = any(row.simulated for row in log.latest(_NEWEST))
    if by == "day":
        window = log.window(since_ms, until_ms, by=(), where=chosen, own=own)
        spans = local_days(since_ms, until_ms)
        days = [(name, log.window(start, end, by=(), where=chosen, own=own).total) for name, start, end in spans]
        groups = [(name, stats) for name, stats in days if stats.n]
    else:
        window = log.window(since_ms, until_ms, by=(by,), where=chosen, own=own)
        groups = sorted(window.groups.items(), key=lambda item: (-item[1].cost_pico, -item[1].n, item[0]))
        if top and len(groups) > top:
            rest = Stats()
            for _, stats in groups[top:]:
                rest.merge(stats)
            groups = [*groups[:top], (f"(other {len(groups) - top})", rest)]
    now_ms, span = time.time_ns() // 1_000_000, log.span()
    age_s = max(0.0, (now_ms - span[1]) / 1000) if span else None
    open_calls = sum(each.calls for each in in_flight.read(log.files, now_ms)) if log.files else None
    return Report(
        since_ms,
        until_ms,
        window.total,
        tuple(groups),
        by,
        where.strip(),
        simulated,
        open_calls,
        left_out=window.left_out,
        own=own,
        newest_row_age_s=age_s,
    )


def _judge(report: Report, checks: list[LimitCheck], scoped: dict[str, Stats]) -> int:
    failed = 0
    for check in checks:
        measured = report.measured
        if check.where:
            measured = MeasuredStats(scoped[check.where], measured.seconds)
        value = check.value(measured)
        if value is None:
            print(f"promptop report: {check.text}: not known in this window, not judged", file=sys.stderr)
        elif check.holds(value):
            failed += 1
            print(f"promptop report: {check.text}: it is {value:.6g}", file=sys.stderr)
    return 1 if failed else 0


def _judge_rules(standing: Iterable[Alert]) -> int:
    """Say of each rule that fires, or whose figure is not known; 1 if any fires."""
    failed = 0
    for alert in standing:
        if alert.value is None:
            print(f"promptop report: {alert.rule}: not known, not judged", file=sys.stderr)
        elif alert.firing:
            failed = 1
            print(f"promptop report: {alert.rule}: it is {alert.shown}", file=sys.stderr)
    return failed
