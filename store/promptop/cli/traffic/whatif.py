"""What the calls of the log would have cost and taken otherwise: another model, price, cache, tier or router.

Nothing is sent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from promptop.base import units
from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.base.text_table import text_table
from promptop.base.times import moment_ms
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag, option
from promptop.cli.shared.model_names import no_such_model, note_of
from promptop.cli.shared.options import log_files, require_logs, settings_of
from promptop.log import LogReader, StoredRow, parse_filter
from promptop.log.transfer.exports import rows_of
from promptop.settings import Settings
from promptop.whatif.calls import calls_of
from promptop.whatif.projection import Interval, Projection, project
from promptop.whatif.scenarios import Scenario
from promptop.whatif.wanted import Wanted, scenarios_of

_MOST_ROWS = 500_000


EXAMPLES = (
    "promptop whatif --model gpt-4o-mini",
    "promptop whatif --since 30d --model 'gpt-4o->gpt-4o-mini' --cache-ttl 1h",
    "promptop whatif --tier batch --filter app:nightly",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
        option("--log", many=True, type=Path, metavar="FILE", help="request log or export; repeatable"),
        option("--since", default="7d", metavar="WHEN", help="24h, today, 2026-11-21T09:30 … (default: 7d)"),
        option("--until", default="now", metavar="WHEN", help="end (default: now)"),
        option("--filter", default="", metavar="TERMS", help="only these calls, for example 'app:web'"),
        option("--model", many=True, metavar="[OLD->]NEW", help="another model; repeatable"),
        option("--prices", many=True, metavar="FILE", help="another prices.toml, or now: today's table"),
        option("--cache-ttl", many=True, metavar="TIME", help="a response cache: 5m, 1h, none …"),
        option("--tier", many=True, choices=("batch", "flex"), help="calls without streaming may wait"),
        option(
            "--router",
            many=True,
            metavar="RULES",
            help="'complexity<0.3 -> MODEL; prompt=greet* -> MODEL', or MODEL,MODEL,… by tier, the simplest first",
        ),
        option("--trim", many=True, metavar="PROMPT=N", help="a prompt that is N tokens shorter"),
        flag("--json", help="for programs"),
    ]


def run(args: ParsedArguments) -> int:
    """Print what each scenario comes to, beside what was."""
    logs = log_files(args.log or ())
    args.log, args.profile = None, None
    settings = settings_of(args)
    now_ms = time.time_ns() // 1_000_000
    until = moment_ms(args.until, now_ms) + (args.until == "now")
    since = moment_ms(args.since, until)
    if since >= until:
        raise UsageError(f"The window from {args.since} to {args.until} is empty.", "--since must be before --until.")
    paths = logs or (settings.log_path(),)
    require_logs(paths)
    with LogReader(paths) as log:
        rows: list[StoredRow] = []
        for row in rows_of(log, parse_filter(args.filter), since, until):
            rows.append(row)
            if len(rows) > _MOST_ROWS:
                raise UsageError(
                    f"The window has more than {_MOST_ROWS:,} calls.", "Choose a shorter one: --since, or --filter."
                )
    wanted = list(_scenarios(args, settings, rows))
    calls, left_out = calls_of(rows)
    if rows:  # the halves of the back-test are of what the log has, and not of the days before it began
        since = max(since, rows[0].started_ms or since)
    found = [project(scenario, calls, since, until) for scenario in wanted]
    if args.json:
        print(json.dumps(_json(found, since, until, left_out), indent=2, ensure_ascii=False))
    else:
        print(_text(found, since, until, left_out))
    return 0


def _scenarios(args: ParsedArguments, settings: Settings, rows: list[StoredRow]) -> Iterator[Scenario]:
    wanted = Wanted(
        *(tuple(each or ()) for each in (args.model, args.prices, args.cache_ttl, args.tier, args.router, args.trim))
    )
    return scenarios_of(
        wanted,
        settings,
        rows,
        require_known=lambda name: _require_known(name, rows),
        tell=lambda text: print(f"promptop: {clean_line(text)}", file=sys.stderr),
    )


def _require_known(name: str, rows: list[StoredRow]) -> None:
    """Raise :class:`UsageError` for a model of which neither the catalogue nor the log knows anything."""
    if note_of(name) and not any(name in (row.request_model, row.response_model) for row in rows):
        raise no_such_model(name)


def _json(found: list[Projection], since: int, until: int, left_out: int) -> dict[str, object]:
    ends = [datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds") for at in (since, until)]
    return {
        "window": {"from": ends[0], "to": ends[1]},
        "left_out": left_out,
        "scenarios": [each.as_json() for each in found],
    }


def _text(found: list[Projection], since: int, until: int, left_out: int) -> str:
    head = ["scenario", "calls changed", "cost", "95 %", "back-test", "p95", "95 %", "back-test"]
    lines = []
    for each in found:
        cells = [clean_line(each.name, 44), f"{each.moved:,}", *_cells(each.usd, units.usd)]
        lines.append([*cells, *_cells(each.p95_s, units.seconds)])
    ends = [datetime.fromtimestamp(at / 1000).strftime("%Y-%m-%d %H:%M") for at in (since, until)]
    text = ["\n".join(text_table(head, lines)), ""]
    text.append(f"{found[0].calls:,} answered calls from {ends[0]} to {ends[1]}, {left_out:,} others left out.")
    for each in found:
        notes = [*each.assumes]
        if each.unpriced:
            notes.append(f"{each.unpriced:,} calls have no known price")
        if each.untimed and each.p95_s.value is None and each.calls:
            notes.append(f"no p95: the time of {each.untimed:,} calls is not known")
        if notes:
            text.append(clean_line(f"{each.name}: {'; '.join(notes)}.", 400))
    text.append("95 %: another stretch of this length. Back-test: the second half, predicted from the first alone.")
    return "\n".join(text)


def _cells(found: Interval, show: object) -> list[str]:
    as_text = units.usd if show is units.usd else units.seconds
    bounds = units.UNKNOWN
    if found.low is not None and found.high is not None:
        bounds = f"{as_text(found.low)} … {as_text(found.high)}"
    error = units.UNKNOWN if found.error is None else f"{found.error:+.0%}".replace("-", "−")
    return [as_text(found.value), bounds, error]
