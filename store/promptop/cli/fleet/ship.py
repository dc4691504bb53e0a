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
from promptop.cli.fleet.connection import chosen, connection_options
from promptop.cli.shared.options import require_logs, settings_of, settings_options
from promptop.fleet.background import ship, shipper_of
from promptop.fleet.shipper import LogReplacedError, standing

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
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()  # after the batch on its way

    signal.signal(signal.SIGTERM, end)
    while True:
        shipper = shipper_of(log, fleet, take_over=args.take_over, tell=_tell)
        try:
            ship(shipper, stop, fleet, once=args.once)
        except LogReplacedError as error:
            _tell(str(error))
            continue
        finally:
            shipper.close()
        return 0


def _tell(text: str) -> None:
    print(f"promptop ship: {clean_line(text)}", file=sys.stderr, flush=True)
