"""The fleet's log in ClickHouse: create its tables, check them, list the logs that ship there (docs/fleet.md)."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.base.text_table import text_table
from promptop.base.times import moment_ms
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import ParsedArguments, flag, one_of, option
from promptop.cli.fleet.connection import chosen, connection_options, engine_of
from promptop.cli.shared.options import settings_options, tell_problems
from promptop.fleet import schema
from promptop.fleet.audit import audit, repair
from promptop.fleet.background import address_of, shipper_of
from promptop.fleet.engine import Engine
from promptop.settings import FleetSettings, Settings, load

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_CLOCK_S = 300.0
_MOST_HOURS = 20


EXAMPLES = (
    "promptop fleet init --print-sql",
    "promptop fleet check --url clickhouse://db.example:8443/promptop",
    "promptop fleet status --url clickhouse://db.example:8443/promptop",
    "promptop fleet servers --json",
    "promptop fleet audit --url clickhouse://db.example:8443/promptop --since 30d",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb(
            "init",
            "the tables, as SQL or made at once",
            *one_of(
                flag("--print-sql", help="print the statements, run nothing"),
                flag("--apply", help="run them as the user of the settings"),
                required=True,
            ),
            option("--database", metavar="NAME", help="database (default: that of the address, else promptop)"),
            option(
                "--cluster", metavar="NAME", help="replicated tables on each shard of a cluster, spread by log over it"
            ),
            option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
            *connection_options(),
        ),
        verb(
            "check",
            "whether tables, version, clock and rights are right",
            option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
            *connection_options(),
        ),
        verb(
            "status",
            "the logs that ship there: rows, and when each was heard of last",
            flag("--json", help="print JSON"),
            option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
            *connection_options(),
        ),
        verb(
            "servers",
            "how the self-hosted servers of the profiles stand: running, waiting, KV cache, prefix hits",
            flag("--json", help="print JSON"),
            option("--config", type=Path, metavar="FILE", help="settings file (default: promptop config path)"),
        ),
        verb(
            "audit",
            "compare the engine with this log, by day, and its sums with its rows, by hour",
            flag("--repair", help="send missing rows, and recompute sums that differ"),
            option("--since", default="7d", metavar="WHEN", help="whole days since then (default: 7d)"),
            flag("--json", help="print JSON"),
            *settings_options(),
            *connection_options(),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Do it; the exit code of ``check`` is 1 where something is wrong."""
    settings = load(args.config)
    tell_problems(settings)
    if args.verb == "servers":
        return _servers(settings, as_json=args.json)
    fleet = chosen(args, settings.fleet)
    if args.verb == "init":
        return _init(args, fleet)
    if args.verb == "audit":
        return _audit(args, settings, fleet)
    engine = engine_of(fleet, timeout_s=15.0)
    try:
        return _check(engine) if args.verb == "check" else _status(engine, as_json=args.json)
    finally:
        engine.close()


def _init(args: ParsedArguments, fleet: FleetSettings) -> int:
    if args.database and not _NAME.fullmatch(args.database):
        raise UsageError(f"{args.database!r} is not a name of a database.", "Use letters, digits and underscores.")
    if args.cluster and not _NAME.fullmatch(args.cluster):
        raise UsageError(f"{args.cluster!r} is not a name of a cluster.", "Use letters, digits and underscores.")
    if args.print_sql:
        database = args.database or (address_of(fleet).database if fleet.url else "promptop")
        print(schema.script(database, args.cluster or ""), end="")
        return 0
    address = address_of(fleet)
    engine = Engine(address).at("default")  # the database may not be there yet
    try:
        for statement in schema.statements(args.database or address.database, args.cluster or ""):
            engine.run(statement)
    finally:
        engine.close()
    print(f"{address} has the tables of version {schema.VERSION}.")
    return 0


def _check(engine: Engine) -> int:
    lines: list[tuple[bool, str]] = []
    version, now = engine.at("default").rows("SELECT version(), toUnixTimestamp64Milli(now64(3))")[0]
    number = tuple(int(part) for part in str(version).split(".")[:2])
    oldest = ".".join(map(str, schema.OLDEST_ENGINE))
    lines.append((number >= schema.OLDEST_ENGINE, f"ClickHouse {version} ({oldest} or newer is needed)"))
    apart = abs(int(now) / 1000 - time.time())
    lines.append((apart < _CLOCK_S, f"its clock and this one differ by {apart:.1f} s"))
    found: dict[str, set[str]] = {}
    for table, name in engine.rows(
        "SELECT table, name FROM system.columns WHERE database = {db:String}", {"db": engine.address.database}
    ):
        found.setdefault(str(table), set()).add(str(name))
    missing = [
        table for table in (*schema.TABLES, "rollup_minute_mv", "rollup_hour_mv", "marks_mv") if table not in found
    ]
    said = f"missing: {', '.join(missing)}; create them: promptop fleet init --apply" if missing else "all there"
    lines.append((not missing, f"tables and views of {engine.address.database}: {said}"))
    if not missing:
        lacking = sorted(set(schema.column_types()) - found["requests"])
        said = f"lacks {', '.join(lacking)}, which are not shipped" if lacking else "has every column of a row"
        lines.append((not lacking, f"requests {said}"))
    for holds, text in lines:
        print(f"{'ok   ' if holds else 'WRONG'} {clean_line(text)}")
    return 0 if all(holds for holds, _ in lines) else 1


def _servers(settings: Settings, *, as_json: bool) -> int:
    """Print how each server stands; exit 1 if one does not answer."""
    from promptop.client.http.server_status import read_status, self_hosted

    found: list[dict[str, Any]] = []
    for name, profile in self_hosted(settings.profiles).items():
        entry: dict[str, Any] = {"name": name, "server": profile.server, "base_url": profile.base_url, "error": None}
        try:
            status = read_status(profile)
        except PromptopError as error:
            found.append({**entry, "error": str(error)})
            continue
        found.append({**entry, **{key: value for key, value in asdict(status).items() if "tokens" not in key}})
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif not found:
        raise UsageError(
            "No profile names its server.", 'Set server = "vllm", "sglang", "llama.cpp" or "ollama" in one.'
        )
    else:
        cells = [
            [
                clean_line(each["name"]),
                each["server"],
                *("–" if each.get(key) is None else str(each[key]) for key in ("running", "waiting")),
                *("–" if each.get(key) is None else f"{each[key]:.0%}" for key in ("kv_cache", "prefix_hits")),
                clean_line(each["error"] or ", ".join(each["models"])),
            ]
            for each in found
        ]
        print("\n".join(text_table(["profile", "server", "running", "waiting", "KV cache", "prefix hits", ""], cells)))
    return 1 if any(each["error"] for each in found) else 0


def _audit(args: ParsedArguments, settings: Settings, fleet: FleetSettings) -> int:
    """Compare, and mend with ``--repair``; exit 1 where something differs at the end."""
    log = Path(args.log) if args.log is not None else settings.log_path()
    since_ms = moment_ms(args.since, time.time_ns() // 1_000_000)
    engine = engine_of(fleet, timeout_s=300.0)
    shipper = shipper_of(log, fleet, tell=lambda text: print(f"promptop fleet: {clean_line(text)}", file=sys.stderr))
    try:
        found = (repair if args.repair else audit)(shipper, engine, log, since_ms=since_ms)
    finally:
        shipper.close()
        engine.close()
    if args.json:
        print(json.dumps({**asdict(found), "holds": found.holds}, ensure_ascii=False))
        return 0 if found.holds else 1
    cells = [
        [day.day, f"{day.rows_here:,}", f"{day.rows_there:,}", f"{day.missing:,}" if day.missing else ""]
        for day in found.days
    ]
    print("\n".join(text_table(["day (UTC)", "log", "engine", "missing"], cells)) if cells else "No day is confirmed.")
    for hour in found.hours[:_MOST_HOURS]:
        start = datetime.fromtimestamp(hour.start_ms / 1000, UTC)
        minutes = "" if hour.in_minutes is None else f", minutes {hour.in_minutes:,}"
        told = f"{start:%Y-%m-%d %H:00} {hour.tenant}: {hour.rows:,} rows, hours count {hour.in_hours:,}{minutes}"
        print(clean_line(told))
    if args.repair:
        print(f"{found.rows_sent:,} rows sent, sums of {found.hours_made:,} hours made anew")
    elif not found.holds:
        print("Mend it with: promptop fleet audit --repair")
    return 0 if found.holds else 1


def _status(engine: Engine, *, as_json: bool) -> int:
    names = ("tenant", "log_id", "host", "rows", "last_id", "last_seen_s")
    # The names of the sums are not those of the columns: ClickHouse would take one for the other.
    found = engine.rows(
        "SELECT tenant, log_id, anyLast(host) AS newest_host, sum(rows) AS all_rows, max(last) AS last_id,"
        " (toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(seen))) / 1000 AS age"
        " FROM marks GROUP BY tenant, log_id ORDER BY age DESC"
    )
    if as_json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in found], ensure_ascii=False))
        return 0
    cells = [
        [clean_line(str(t)), clean_line(str(host)), str(log)[:12], f"{rows:,}", f"{age:.0f} s"]
        for t, log, host, rows, _, age in found
    ]
    table = text_table(["tenant", "host", "log", "rows", "last heard"], cells)
    print("\n".join(table) if cells else "No log ships there yet.")
    return 0
