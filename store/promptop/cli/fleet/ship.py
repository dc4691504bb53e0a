"""Send this machine's request log to the fleet's ClickHouse, each row exactly once (docs/fleet.md)."""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import asdict
from types import FrameType

from promptop.base.errors import UsageError
from promptop.base.sanitize import clean_line
from promptop.cli.command_line.declare import Parameters, ParsedArguments, flag
from promptop.cli.fleet.connection import chosen, connection_options, engine_of
from promptop.cli.shared.options import require_logs, settings_of, settings_options
from promptop.fleet.shipper import Shipper, standing
from promptop.log.row import COLUMNS

_BEHIND_S = 900.0


EXAMPLES = (
    "promptop ship --url clickhouse://db.example:8443/promptop",
    "promptop ship --status",
)


def parameters() -> Parameters:
    """Declare the command line."""
    return [
        *settings_options(),
        *connection_options(),
        flag("--once", help="end when no row waits"),
        flag("--status", help="show how far the log is shipped, send nothing"),
        flag("--json", help="the status as JSON"),
        flag("--take-over", help="go on where another shipper of this log ended"),
    ]


def run(args: ParsedArguments) -> int:
    """Ship until interrupted; the exit code of ``--status`` is 1 where the log is 15 minutes behind."""
    settings = settings_of(args, sends=not args.status)
    log = settings.log_path()
    if args.json and not args.status:
        raise UsageError("--json goes with --status.", "Write --status --json.")
    if args.status:
        require_logs([log])
        found = standing(log)
        if args.json:
            print(json.dumps(asdict(found), ensure_ascii=False))
        else:
            print(f"{clean_line(found.log)}: confirmed up to id {found.confirmed_id}, {found.waiting_rows} rows wait")
            if found.waiting_rows:
                print(f"  the oldest is {found.oldest_age_s:.0f} s old")
            if found.rows_gone:
                print(f"  {found.rows_gone} rows left the log before they were sent")
            if found.last_error:
                print(f"  {clean_line(found.last_error)}")
        return 1 if found.oldest_age_s > _BEHIND_S else 0
    fleet = chosen(args, settings.fleet)
    for name in fleet.columns_excluded:
        if name not in COLUMNS or name == "started_ms":
            raise UsageError(
                f"[fleet] columns_excluded names no column that can stay here: {name!r}.", "See docs/log.md."
            )
    shipper = Shipper(
        log,
        engine_of(fleet),
        tenant=fleet.tenant,
        batch=fleet.batch,
        excluded=fleet.columns_excluded,
        take_over=args.take_over,
        tell=lambda text: print(f"promptop ship: {clean_line(text)}", file=sys.stderr, flush=True),
    )
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()  # after the batch on its way

    signal.signal(signal.SIGTERM, end)
    try:
        while not stop.is_set():
            step = shipper.step()
            if step.done == "idle" and args.once:
                return 0
            # A batch that is not full waits for more rows; a full one is followed at once.
            full = step.done == "sent" and step.rows >= fleet.batch
            pause = fleet.every_s if step.done == "idle" or (step.done == "sent" and not full) else step.wait_s
            stop.wait(0.0 if args.once and step.done == "sent" else pause)
    finally:
        shipper.close()
    return 0
