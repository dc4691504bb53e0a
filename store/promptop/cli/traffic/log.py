"""The request log: where it is, what is in it, and how to prune, back up, import, export and query it."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from promptop.base import units
from promptop.base.errors import PromptopError, UsageError
from promptop.base.files import open_private
from promptop.base.sanitize import clean_line
from promptop.base.sqlite import backup, connect_for_reading
from promptop.base.terminal import guarded
from promptop.base.text_table import fitted, text_table
from promptop.base.times import moment_ms
from promptop.cli.command_line.command import Command, verb
from promptop.cli.command_line.declare import ParsedArguments, argument, flag, option
from promptop.cli.shared.confirmation import confirm, refuse_existing
from promptop.cli.shared.options import (
    has_live,
    log_files,
    log_places,
    require_logs,
    settings_of,
    settings_options,
)
from promptop.fleet.engine import is_address
from promptop.log import COLUMNS, LogReader, StoredRow, files, parse_filter
from promptop.log.transfer.exports import write_jsonl
from promptop.settings import Settings

if TYPE_CHECKING:
    from promptop.fleet.otlp.export import Names
    from promptop.log.read.reader import LogPlace
    from promptop.log.transfer.imports import Imported

_POLL_S = 0.25
_READING = frozenset(("tail", "export", "query"))
"""Verbs that also take another program's log, which is only read."""
_ROWS = frozenset(("tail", "export"))
"""Verbs that also take the fleet's log."""
_ALWAYS = 1 << 62
_WIDE = 114
"""Columns of a terminal in which a row of ``tail`` has its date and its app; the rest fits 80."""


EXAMPLES = (
    "promptop log path",
    "promptop log status",
    "promptop log tail -n 50 model:gpt-4o status:error",
    "promptop log prune --older-than 30d --yes",
    "promptop log backup log-copy.db",
    "promptop log recover rescued.db",
    "promptop log import --dry-run spend.json",
    "promptop log export --since today -o today.jsonl",
    "promptop log export --otlp http://127.0.0.1:4318 --follow",
    "promptop log rebuild",
    "promptop log query 'SELECT model, count(*), sum(usd) FROM readable GROUP BY 1'",
)


def verbs() -> list[Command]:
    """Declare the sub-commands."""
    return [
        verb("path", "print where the log is", *settings_options()),
        verb(
            "status",
            "print what the log holds: rows, sizes, rollups, losses",
            flag("--json", help="for programs"),
            flag("--check", help="also have SQLite check the file (reads all of it)"),
            *settings_options(),
        ),
        verb(
            "tail",
            "print the latest rows, oldest first",
            option("-n", "--lines", type=int, default=20, metavar="N", help="rows printed at first (default 20)"),
            flag("-f", "--follow", help="print new rows as they are written"),
            argument(
                "filter", many=True, required=False, help="filter, for example: model:gpt-4o status:error 'ttft>1s'"
            ),
            flag("--json", help="one JSON object a line"),
            *settings_options(reads_only=True),
        ),
        verb(
            "prune",
            "delete rows and bodies by age and size; rollups stay",
            option("--older-than", metavar="AGE", help="30d, 12h … (default: [log] keep_days)"),
            option("--max-mb", type=float, metavar="MB", help="size of rows and bodies (default: [log] max_mb)"),
            flag("--yes", help="do not ask; needed with a limit where there is no terminal to ask on"),
            flag("--bodies", help="delete bodies only, by age"),
            flag("--json", help="for programs"),
            *settings_options(),
        ),
        verb(
            "backup",
            "copy the log and its bodies; it may be written to meanwhile",
            argument("file", type=Path, help="new file"),
            flag("--force", help="replace a file that exists"),
            *settings_options(),
        ),
        verb(
            "recover",
            "copy what can be read of a damaged log to a new file",
            argument("file", type=Path, help="new log"),
            flag("--json", help="for programs"),
            *settings_options(),
        ),
        verb(
            "import",
            "import calls that LiteLLM, Langfuse, Helicone, llm or a batch wrote (JSON, CSV, SQLite)",
            argument("files", many=True, required=False, type=Path, metavar="FILE"),
            flag("--dry-run", help="read and count, write nothing"),
            flag("--undo", help="delete the rows of the latest import"),
            flag("--json", help="for programs"),
            *settings_options(),
        ),
        verb(
            "export",
            "write rows as JSON lines, CSV or Parquet",
            argument("filter", many=True, required=False, help="filter, for example: app:web 'cost>0.01'"),
            option("-o", "--output", type=Path, metavar="FILE", help="file (default: standard output)"),
            option("--otlp", metavar="URL", help="send them as spans and metrics to a collector: http://HOST:4318"),
            option(
                "--otlp-names",
                choices=("new", "old", "both"),
                help="generation of OpenTelemetry's GenAI names (default: [metrics] names)",
            ),
            flag("-f", "--follow", help="with --otlp: go on with new rows until interrupted, also after a restart"),
            flag("--force", help="replace a file that exists"),
            option("--format", choices=("jsonl", "csv", "parquet"), help="default: by FILE's ending, else jsonl"),
            option("--since", metavar="WHEN", help="24h, today or 2026-11-21T09:30"),
            option("--until", metavar="WHEN", help="the same; not included"),
            option("--columns", metavar="A,B,…", help="columns (default: all)"),
            *settings_options(reads_only=True),
        ),
        verb(
            "rebuild",
            "recompute the rollups from the rows",
            flag("--json", help="for programs"),
            *settings_options(),
        ),
        verb(
            "query",
            "run read-only SQL; tables: requests, losses; views: readable, otel",
            argument("sql", help="for example: SELECT model, count(*), sum(usd) FROM readable GROUP BY 1"),
            option("--format", default="table", choices=("table", "json", "csv"), help="default: table"),
            *settings_options(reads_only=True),
        ),
    ]


def run(args: ParsedArguments) -> int:
    """Run one sub-command."""
    place, sends = args.log, bool(getattr(args, "otlp", None))
    if args.verb in _ROWS and isinstance(place, str) and is_address(place):
        args.log = None
        settings = settings_of(args, sends=sends)
        places = log_places([place], settings.fleet)
        return (_tail if args.verb == "tail" else _export)(args, settings, places[0])
    if args.verb in _READING and place is not None and has_live([place]):
        since_ms = None if getattr(args, "since", None) is None else moment_ms(args.since, time.time_ns() // 1_000_000)
        args.log = log_files([place], since_ms=since_ms, follow=getattr(args, "follow", False))[0]
    elif isinstance(place, str):
        raise UsageError(
            f"promptop log {args.verb} needs a file.",
            "tail, export and query take postgresql://, tail and export clickhouse://.",
        )
    settings = settings_of(args, sends=sends)
    path = settings.log_path()
    if args.verb == "path":
        print(path)
        return 0
    verbs: dict[str, Callable[[ParsedArguments, Settings, Path], int]] = {
        "status": _status,
        "tail": _tail,
        "prune": _prune,
        "backup": _backup,
        "recover": _recover,
        "import": _import,
        "export": _export,
        "rebuild": _rebuild,
        "query": _query,
    }
    return verbs[args.verb](args, settings, path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise files.explain(path, error) from None


# ── status ──


def _status(args: ParsedArguments, settings: Settings, path: Path) -> int:
    from promptop.log.read.status import status_of

    require_logs([path])
    with _explained(path):
        found = status_of(path, check=args.check)
    found["keep_days"], found["max_mb"], found["bodies_mode"] = (
        settings.log.keep_days,
        settings.log.max_mb,
        settings.log.bodies,
    )
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:<11} {text}" for name, text in _status_lines(found)))
    return 1 if found["problems"] else 0


def _status_lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "log", f"{found['path']} (version {found['version']})"
    rows = f"{found['rows']:,}" if found["rows_exact"] else f"≈ {found['rows']:,}"
    yield "rows", rows + (f", {found['first']} … {found['last']}" if found["first"] else "")
    sizes = {"rows": found["bytes"], "rollups": found["rollups_bytes"], "bodies": found["bodies_bytes"]}
    yield "size", ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items() if size)
    limits = [
        f"{found['keep_days']} days" if found["keep_days"] else "",
        f"{found['max_mb']} MB" if found["max_mb"] else "",
    ]
    yield "kept", " or ".join(filter(None, limits)) or "everything"
    yield "bodies", found["bodies_mode"] + (f", {found['bodies']:,} kept" if found["bodies"] else "")
    lag = found["rollup_lag"]
    yield "rollups", "none yet" if lag is None else f"{lag:,} rows behind" if lag else "up to date"
    if found["waiting_bytes"]:
        size = found["waiting_bytes"]
        text = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
        yield "waiting", f"{text} of rows beside the log, until a program can write it again"
    if (shipping := found["shipping"]) is not None:
        stopped = f", not now: {clean_line(shipping['error'])}" if shipping["error"] else ""
        yield "shipped", f"up to id {shipping['confirmed_id']}{stopped}"
    if not found["losses"]:
        yield "lost", "nothing"
    for loss in found["losses"]:
        yield "lost", f"{loss['rows']:,} rows, {clean_line(loss['cause'])} (last {loss['last']})"
    for problem in found["problems"]:
        yield "problem", clean_line(problem)


# ── tail, export, query ──


def _tail(args: ParsedArguments, settings: Settings, path: LogPlace) -> int:
    from promptop.log.transfer.live_sources import problem_of

    where = parse_filter(" ".join(args.filter))
    if not args.follow:
        require_logs([path])
    if args.lines < 0:
        raise UsageError("-n takes a number of rows, 0 or more.", "Write for example -n 50.")
    with LogReader(path) as reader:
        mark, generation = reader.mark(), reader.generation
        for row in reversed(reader.latest(args.lines, where=where) if args.lines else []):
            _print_row(row, args.json)
        told = ""
        while args.follow:
            sys.stdout.flush()
            if (problem := next(filter(None, map(problem_of, reader.files)), "")) != told:
                told = problem
                print(f"promptop log tail: {clean_line(problem) or 'rows come again'}", file=sys.stderr)
            if not reader.changed():
                time.sleep(_POLL_S)
                continue
            if reader.generation != generation:
                generation, mark = reader.generation, (0,)
            rows, mark = reader.follow(mark, 1_000, where)
            for row in rows:
                _print_row(row, args.json)
    return 0


def _print_row(row: StoredRow, as_json: bool) -> None:
    if as_json:
        write_jsonl([row], sys.stdout, ("id", *COLUMNS))
        return
    started = datetime.fromtimestamp((row.started_ms or 0) / 1000).astimezone()
    model = row.request_model or row.response_model or "–"
    outcome = row.error_type or (f"hit {row.cache_level}" if row.cache_level not in (None, "miss") else "ok")
    rough = "≈" if row.usage_source == "estimated" else " "
    # A row without tokens has no cost to know: a dash, and not n/a, which means tokens without a price.
    cost = "n/a" if row.cost_status == "unpriced" else units.usd(row.cost_usd)
    took = units.seconds(row.total_s if row.duration_s is None else row.duration_s)
    wide = not sys.stdout.isatty() or shutil.get_terminal_size().columns >= _WIDE
    cells = [f"{started:%m-%d %H:%M:%S}", fitted(clean_line(row.app or "–"), 16)] if wide else [f"{started:%H:%M:%S}"]
    cells += [
        fitted(clean_line(model), 26 if wide else 18),
        fitted(clean_line(outcome), 14 if wide else 10),
        f"{units.seconds(row.ttft_s):>7} {took:>7}",
        f"{rough}{units.count(row.usage_input_tokens):>5} → {units.count(row.usage_output_tokens):<5}",
        f"{cost:>9}",
    ]
    print(" ".join(cells))


def _export(args: ParsedArguments, settings: Settings, path: LogPlace) -> int:
    from promptop.log.transfer import exports

    require_logs([path])
    now_ms = time.time_ns() // 1_000_000
    names = cast("Names", args.otlp_names or settings.metrics.names)
    if args.follow:
        return _follow_export(args, path, names, moment_ms(args.since, now_ms) if args.since else None)
    until = moment_ms(args.until, now_ms) if args.until else _ALWAYS
    since = moment_ms(args.since, until if args.until else now_ms) if args.since else 0
    columns = exports.chosen_columns(args.columns)
    refuse_existing(args.output, force=args.force)
    ending = args.output.suffix.lstrip(".").lower() if args.output else ""
    form = args.format or (ending if ending in exports.FORMATS else "jsonl")
    with LogReader(path) as reader:
        rows = exports.rows_of(reader, parse_filter(" ".join(args.filter)), since, until)
        if args.otlp:
            return _send(args, path, names, rows)
        if form == "parquet":
            if args.output is None:
                raise UsageError("Parquet is not text for standard output.", "Name a file: -o rows.parquet")
            exports.require_parquet()
            with _explained(args.output), open_private(args.output):
                count = exports.write_parquet(rows, args.output, columns)
        else:
            write = exports.write_csv if form == "csv" else exports.write_jsonl
            if args.output is None:
                write(rows, sys.stdout, columns)
                return 0
            with _explained(args.output), open_private(args.output) as file:
                count = write(rows, guarded(file), columns)  # which may be /dev/stdout
    print(f"{count:,} rows → {args.output}", file=sys.stderr)
    return 0


def _collector(args: ParsedArguments) -> str:
    if not args.otlp.startswith(("http://", "https://")):
        raise UsageError(f"{args.otlp!r} is not an address of a collector.", "Write http://HOST:4318.")
    return str(args.otlp)


def _follow_export(args: ParsedArguments, path: LogPlace, names: Names, since_ms: int | None) -> int:
    """Send what the log gets until a signal; the mark beside the log says where to go on."""
    import signal
    import threading

    from promptop.fleet.otlp.follow import FollowingExporter

    if not args.otlp or args.until or not isinstance(path, Path):
        raise UsageError(
            "--follow sends new rows of a log file to a collector.",
            "Write --otlp http://HOST:4318 --follow, without --until.",
        )
    stop = threading.Event()
    where = " ".join(args.filter)
    exporter = FollowingExporter(path, _collector(args), names=names, where=where, since_ms=since_ms)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print(f"promptop log export: {clean_line(str(path))} → {clean_line(args.otlp)}    Ctrl-C ends it", file=sys.stderr)
    sys.stderr.flush()
    try:
        exporter.run(stop, lambda text: print(f"promptop log export: {clean_line(text)}", file=sys.stderr, flush=True))
    finally:
        exporter.close()
    return 0


def _send(args: ParsedArguments, path: LogPlace, names: Names, rows: Iterable[StoredRow]) -> int:
    """Send rows to a collector."""
    from promptop.fleet.otlp.export import Exporter, log_id_of

    log_id = log_id_of(path) if isinstance(path, Path) else str(path)
    exporter = Exporter(_collector(args), names=names, log_id=log_id)
    try:
        count = exporter.send(rows)
    finally:
        exporter.close()
    print(f"{count:,} rows → {clean_line(args.otlp)}", file=sys.stderr)
    return 0


def _query(args: ParsedArguments, settings: Settings, path: Path) -> int:
    require_logs([path])
    LogReader(path).close()  # says clearly what is wrong with a file that is not a log
    with contextlib.closing(connect_for_reading(path)) as connection:
        connection.execute("PRAGMA query_only = ON")
        try:
            cursor = connection.execute(args.sql)
            names = [column[0] for column in cursor.description or ()]
            _print_table(names, cursor, args.format)
        except (sqlite3.Error, sqlite3.Warning) as error:
            text = str(error)
            hint = 'promptop log query "SELECT name, sql FROM sqlite_master" shows tables and columns.'
            if "readonly" in text:
                text, hint = "the log is opened read-only here", "Rows are deleted by: promptop log prune"
            raise UsageError(f"The query failed: {text}.", hint) from None
    return 0


def _print_table(names: list[str], rows: Iterator[Any] | sqlite3.Cursor, form: str) -> None:
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    elif form == "json":
        found = [dict(zip(names, map(_plain, row), strict=True)) for row in rows]
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif names:
        cells = [["NULL" if cell is None else clean_line(str(_plain(cell)), 80) for cell in row] for row in rows]
        print("\n".join(text_table(names, cells)))


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


# ── what changes the log ──


def _prune(args: ParsedArguments, settings: Settings, path: Path) -> int:
    from promptop.base.times import seconds
    from promptop.log.write.retention import prune

    require_logs([path])
    keep_days = float(settings.log.keep_days)
    if args.older_than:
        try:
            keep_days = seconds(args.older_than) / 86_400
        except ValueError:
            raise UsageError(f"{args.older_than!r} is not an age.", "Write for example 30d or 12h.") from None
        if keep_days <= 0:
            raise UsageError("An age of 0 would delete everything.", "Delete the file instead: promptop log path")
    asked = bool(args.older_than or args.max_mb is not None)
    what = f"Delete {'bodies' if args.bodies else 'rows and bodies'} older than {keep_days:g} days from {path}?"
    if asked and not confirm(what, yes=args.yes):
        return 1
    size = args.max_mb if args.max_mb is not None else 0.0 if args.older_than else settings.log.max_mb
    with _explained(path):
        done = prune(path, keep_days=keep_days, max_bytes=round(size * 1e6), bodies_only=args.bodies)
    if args.json:
        print(json.dumps({"rows": done.rows, "bodies": done.bodies, "bytes_freed": done.bytes_freed}))
    else:
        print(f"{done.rows:,} rows and {done.bodies:,} bodies deleted, {done.bytes_freed / 1e6:.1f} MB freed")
    if not done.complete:
        raise PromptopError("Another process folds rows at this moment; nothing more was deleted.", "Try again.")
    return 0


def _backup(args: ParsedArguments, settings: Settings, path: Path) -> int:
    require_logs([path])
    LogReader(path).close()
    pairs = [(path, args.file)]
    if files.bodies_path(path).exists():
        pairs.append((files.bodies_path(path), files.bodies_path(args.file)))
    for _, target in pairs:
        refuse_existing(target, force=args.force)
    for source, target in pairs:
        try:
            backup(source, target)
        except sqlite3.DatabaseError as error:
            damaged = not isinstance(error, sqlite3.OperationalError)
            raise files.explain(source if damaged else target, error) from None
        except OSError as error:
            raise files.explain(target, error) from None
        print(target)
    return 0


def _recover(args: ParsedArguments, settings: Settings, path: Path) -> int:
    from promptop.log.transfer.recovery import recover

    require_logs([path])
    with _explained(args.file):
        done = recover(path, args.file)
    if args.json:
        print(json.dumps({"rows": done.rows, "pages": done.pages, "broken": done.broken, "file": str(args.file)}))
        return 0
    broken = f"; {done.broken:,} records could not be read" if done.broken else ""
    print(f"{done.rows:,} rows of {done.pages:,} pages → {args.file}{broken}")
    return 0


def _import(args: ParsedArguments, settings: Settings, path: Path) -> int:
    from promptop.log.transfer.imports import import_file

    if args.undo:
        if args.files or args.dry_run:
            raise UsageError("--undo takes back the latest import and nothing else.", "Leave files and --dry-run out.")
        return _undo_import(args, path)
    if not args.files:
        raise UsageError("No file is named.", "promptop log import FILE …")
    shown = []
    for source in args.files:
        done = import_file(path, source, dry_run=args.dry_run)
        shown.append(
            {
                "file": str(source),
                "kind": done.kind,
                "rows": done.rows,
                "known": done.known,
                "refused": done.causes,
                "dated_by_file": done.dated_by_file,
                "input_tokens": done.input_tokens,
                "output_tokens": done.output_tokens,
                "cost_usd": done.cost_usd,
                "unpriced": done.unpriced,
                "dry_run": args.dry_run,
            }
        )
        if not args.json:
            print(_imported_text(clean_line(str(source), 200), done, dry_run=args.dry_run))
    if args.json:
        print(json.dumps(shown, indent=2))
    return 0


def _imported_text(source: str, done: Imported, *, dry_run: bool) -> str:
    from promptop.models import usd_text

    left = "".join(f"; {count:,} left out: {cause}" for cause, count in done.causes.items())
    dated = f"; {done.dated_by_file:,} without a time of their own have the file's" if done.dated_by_file else ""
    first = f"{source}: {done.kind}, {done.rows:,} rows, {done.known:,} known already{dated}{left}"
    if not dry_run:
        return first
    unpriced = f", {done.unpriced:,} unpriced" if done.unpriced else ""
    tokens = f"{done.input_tokens:,} tokens in, {done.output_tokens:,} out"
    return f"{first}\n  {tokens}, {usd_text(done.cost_usd, 4)}{unpriced}; nothing was written (--dry-run)"


def _undo_import(args: ParsedArguments, path: Path) -> int:
    from promptop.log.transfer.imports import undo_import

    require_logs([path])
    undone = undo_import(path)
    if args.json:
        print(json.dumps({"source": undone.source, "kind": undone.kind, "at_ms": undone.at_ms, "rows": undone.rows}))
    else:
        at = datetime.fromtimestamp(undone.at_ms / 1000).strftime("%Y-%m-%d %H:%M")
        print(f"{clean_line(undone.source, 200)} ({undone.kind}, imported {at}): {undone.rows:,} rows deleted")
    return 0


def _rebuild(args: ParsedArguments, settings: Settings, path: Path) -> int:
    from promptop.log.rollups.rollups import Rollups

    require_logs([path])
    LogReader(path).close()
    alive = sys.stderr.isatty()

    def progress(done: int, of: int) -> None:
        if alive:
            print(f"\r{done / max(of, 1):4.0%}", end="", file=sys.stderr, flush=True)

    with _explained(path):
        with contextlib.closing(files.open_log(path)):
            pass  # an older log is migrated first
        with Rollups(path) as rollups:
            rows = rollups.rebuild(progress)
    if alive:
        print("\r", end="", file=sys.stderr)
    print(json.dumps({"rows": rows}) if args.json else f"rollups rebuilt from {rows:,} rows")
    return 0
