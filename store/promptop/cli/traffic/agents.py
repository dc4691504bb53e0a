"""What coding agents on this machine use, from their session files: cost, tokens by kind, blocks and limits.

Actions: report (the default) brings the log up to date and shows the last seven days by project; import only brings it
up to date, with --follow until interrupted; blocks shows five-hour blocks, burn rate and forecast; statusline prints
one line for an agent's status line (it reads the agent's JSON from standard input); doctor lists the folders and files
found, and what was skipped.

Only usage is read. The sessions' texts stay where they are.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promptop.agents.agent_call import CLAUDE_CODE, CODEX
from promptop.agents.blocks import BLOCK_MS, AgentSums, UsageBlock, blocks_of, calls_of, grouped
from promptop.agents.limits import limits_in
from promptop.agents.session_index import Follower, SessionIndex, SessionUpdate, Sources, keep_limits, limits_of
from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.text_table import text_table
from promptop.base.times import moment_ms
from promptop.cli.command_line.declare import Parameters, ParsedArguments, argument, flag, option
from promptop.cli.shared.options import settings_of, settings_options
from promptop.log import files

_ACTIONS = ("report", "import", "blocks", "statusline", "doctor")
_BY = ("project", "model", "session", "branch", "day", "app")
_POLL_S = 0.5
_WEEK_MS = 7 * 24 * 3_600_000


EXAMPLES = (
    "promptop agents --since today",
    "promptop agents report --by model --json",
    "promptop agents import --follow",
    "promptop agents blocks",
    "promptop agents statusline",
    "promptop agents doctor",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        argument(
            "words",
            many=True,
            required=False,
            metavar="ACTION FOLDER",
            help=f"{', '.join(_ACTIONS)} (default: report); folders instead of ~/.claude and ~/.codex",
        ),
        option("--by", default="project", choices=_BY, help="lines of the report (default: project)"),
        option("--since", metavar="WHEN", help="7d (default of the report), today, 2026-11-21 …"),
        flag("--follow", help="import: go on until interrupted"),
        flag("--line", help="one line: the active block, today, limits"),
        flag("--no-import", help="show what the log has"),
        flag("--json", help="print JSON"),
        *settings_options(),
    ]


def run(args: ParsedArguments) -> int:
    """Do it; the exit code is 1 where a named folder holds no session files."""
    words = list(args.words)
    args.action = words.pop(0) if words and words[0] in _ACTIONS else "report"
    args.folders = [Path(word) for word in words]
    log = settings_of(args).log_path()
    sources = _sources(args.folders)
    if args.action == "import":
        return _import(args, log, sources)
    if args.action == "doctor":
        return _doctor(args, log, sources)
    now_ms = time.time_ns() // 1_000_000
    if args.action == "statusline":
        return _statusline(log, sources, now_ms)
    if not args.no_import:
        _bring_in(log, sources)
    if args.line:
        print(line_of(log, now_ms))
        return 0
    return _blocks(args, log, now_ms) if args.action == "blocks" else _report(args, log, now_ms)


def _sources(folders: list[Path]) -> Sources:
    if not folders:
        return Sources.default()
    found = Sources([], [])
    for folder in folders:
        if not folder.is_dir():
            near = difflib.get_close_matches(str(folder), _ACTIONS, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "Name ~/.claude, ~/.codex, or a folder like them."
            raise UsageError(f"{clean_line(str(folder))} is not a folder.", remedy)
        one = Sources.of(folder)
        found.claude += one.claude
        found.codex += one.codex
    return found


def _bring_in(log: Path, sources: Sources) -> SessionUpdate:
    with contextlib.closing(SessionIndex(log, sources)) as index:
        return index.read()


def _import(args: ParsedArguments, log: Path, sources: Sources) -> int:
    since_ms = moment_ms(args.since, time.time_ns() // 1_000_000) if args.since else None
    with contextlib.closing(SessionIndex(log, sources)) as index:
        found = index.read(since_ms=since_ms)
        _say(args, log, found)
        if not args.follow:
            if args.folders and not found.calls and not found.known and not found.files and not calls_of_log(log):
                raise PromptopError("No session file was found there.", "promptop agents doctor shows where it looks.")
            return 0
        follower = Follower(sources)
        while True:
            if follower.changed(time.time()):
                found = index.read(since_ms=since_ms, only=follower.grown)
                if found.calls:
                    _say(args, log, found)
            time.sleep(_POLL_S)


def calls_of_log(log: Path) -> int:
    """Return how many rows of agents a log has."""
    try:
        return len(calls_of(log)) if log.exists() else 0
    except sqlite3.Error as error:
        raise files.explain(log, error) from None


def _say(args: ParsedArguments, log: Path, found: SessionUpdate) -> None:
    if args.json:
        print(
            json.dumps({"log": str(log), "calls": found.calls, "known": found.known, "files": found.files}), flush=True
        )
        return
    print(f"{found.calls:,} calls from {found.files:,} files → {clean_line(str(log))}", file=sys.stderr, flush=True)


def _report(args: ParsedArguments, log: Path, now_ms: int) -> int:
    since_ms = moment_ms(args.since or "7d", now_ms)
    groups = grouped(_calls(log, since_ms), args.by)
    total = AgentSums()
    for sums in groups.values():
        total.merge(sums)
    if args.json:
        shown = [{"name": name, **sums.to_json()} for name, sums in groups.items()]
        print(json.dumps({"since_ms": since_ms, "by": args.by, "total": total.to_json(), "groups": shown}, indent=1))
        return 0
    if not groups:
        print("No calls of coding agents in this window. promptop agents doctor shows where they are looked for.")
        return 0
    names = [args.by, "calls", "sub", "input", "output", "cached", "written", "cost"]
    rows = [_cells(clean_line(name, 40), sums) for name, sums in (*groups.items(), ("total", total))]
    print("\n".join(text_table(names, rows)))
    return 0


def _cells(name: str, sums: AgentSums) -> list[str]:
    share = "–" if sums.cache_share is None else f"{sums.cache_share:.0%}"
    cost = "unpriced" if sums.unpriced == sums.calls else units.usd(sums.cost_usd) + ("+" if sums.unpriced else "")
    return [
        name, f"{sums.calls:,}", f"{sums.sub_calls:,}", units.count(sums.input_tokens), units.count(sums.output_tokens),
        share, units.count(sums.cache_write), cost,
    ]  # fmt: skip


def _calls(log: Path, since_ms: int) -> list[Any]:
    if not log.exists():
        return []
    try:
        return calls_of(log, since_ms)
    except sqlite3.Error as error:
        raise files.explain(log, error) from None


def _blocks(args: ParsedArguments, log: Path, now_ms: int) -> int:
    blocks = blocks_of(_calls(log, moment_ms(args.since or "7d", now_ms)))
    if args.json:
        print(json.dumps([_block_json(block, now_ms) for block in blocks], indent=1))
        return 0
    if not blocks:
        print("No calls of coding agents in this window.")
        return 0
    rows = []
    for block in blocks:
        forecast = block.forecast_usd(now_ms)
        rows.append(
            [
                block.app, _clock(block.start_ms), _clock(block.end_ms), "active" if block.is_active(now_ms) else "",
                f"{block.sums.calls:,}", units.count(block.sums.tokens), units.usd(block.sums.cost_usd),
                f"≈ {units.usd(forecast)}" if forecast is not None else "",
            ]
        )  # fmt: skip
    print("\n".join(text_table(["agent", "from", "to (estimated)", "", "calls", "tokens", "cost", "at its end"], rows)))
    return 0


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%m-%d %H:%M}"


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _block_json(block: UsageBlock, now_ms: int) -> dict[str, object]:
    burn = block.burn_per_hour(now_ms) if block.is_active(now_ms) else None
    return {
        "app": block.app,
        "start": _iso(block.start_ms),
        "end": _iso(block.end_ms),
        "end_kind": "estimated",
        "active": block.is_active(now_ms),
        **block.sums.to_json(),
        "burn_tokens_per_hour": burn[0] if burn else None,
        "burn_usd_per_hour": burn[1] if burn else None,
        "forecast_usd": block.forecast_usd(now_ms),
    }


def _statusline(log: Path, sources: Sources, now_ms: int) -> int:
    """Read the agent's status from standard input, keep the limits it tells, and print one line."""
    if not sys.stdin.isatty():
        text = sys.stdin.read()
        try:
            told = json.loads(text) if text.strip() else {}
        except ValueError:
            raise UsageError("Standard input is not JSON.", "Set the command as the agent's status line.") from None
        limits = told.get("rate_limits") if isinstance(told, dict) else None
        if isinstance(limits, dict):
            keep_limits(log, CLAUDE_CODE, limits, now_ms)
    _bring_in(log, sources)
    print(line_of(log, now_ms))
    return 0


def line_of(log: Path, now_ms: int) -> str:
    """Return the active block, today's cost and the limits in one line."""
    calls = _calls(log, now_ms - 2 * BLOCK_MS)
    parts = []
    for block in blocks_of(calls):
        if block.is_active(now_ms):
            left = (block.end_ms - now_ms) // 60_000
            parts.append(
                f"{block.app} block {units.usd(block.sums.cost_usd)}, {units.count(block.sums.tokens)} tokens,"
                f" ≈ {left // 60} h {left % 60:02d} min left"
            )
    midnight = datetime.fromtimestamp(now_ms / 1000).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    today = sum(call.cost_usd or 0.0 for call in _calls(log, round(midnight.timestamp() * 1000)))
    parts.append(f"today {units.usd(today)}")
    for agent, (_, limits) in limits_of(log).items():
        parts += [f"{agent} {limit.span} {limit.used:.0f} %" for limit in limits_in(agent, limits, now_ms)]
    return " · ".join(parts)


def _doctor(args: ParsedArguments, log: Path, sources: Sources) -> int:
    from promptop.agents import claude_code, codex

    places = [
        *((CLAUDE_CODE, place, list(claude_code.files([place]))) for place in sources.claude),
        *((CODEX, place, list(codex.files([place]))) for place in sources.codex),
    ]
    found = _bring_in(log, sources)
    shown = [
        {
            "agent": agent,
            "folder": str(place),
            "there": place.is_dir(),
            "files": len(paths),
            "bytes": sum(path.stat().st_size for path in paths),
        }
        for agent, place, paths in places
    ]
    if args.json:
        print(json.dumps({"places": shown, "new_calls": found.calls, "passed_over": found.passed_over}, indent=1))
        return 0
    for each in shown:
        state = f"{each['files']:,} files, {units.count(int(str(each['bytes'])))}B" if each["there"] else "not there"
        print(f"{each['agent']:<12} {clean_line(str(each['folder']))}: {state}")
    for cause, count in found.passed_over.items():
        print(f"passed over: {count:,} lines ({cause})")
    print(f"log: {clean_line(str(log))}, {found.calls:,} new calls")
    return 0
