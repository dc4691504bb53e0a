"""The demo's back room: endpoint, filled log and live traffic, in a process that ends and tidies up with the app.

The first line on standard output is a JSON object with the endpoint's ``base_url``. When the parent is gone, however it
went, the traffic is ended and the folder of the demo removed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.processes import until_parent_is_gone
from promptop.log import files as log_files
from promptop.simulator.server.server import SimulatedEndpoint
from promptop.simulator.traffic.backfill import HOUR_MS, fill, rows_of_last_hour
from promptop.simulator.traffic.live_traffic import RATE, LiveTraffic

EARLIER = "earlier.db"
"""Log of all filled hours but the last, in the demo's folder: it is written while the app shows the last one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m promptop.simulator.traffic.host", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="removed at the end")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--http2", action="store_true")
    args = parser.parse_args(argv)
    try:
        asyncio.run(_serve(args))
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)
    return 0


async def _serve(args: argparse.Namespace) -> None:
    endpoint = SimulatedEndpoint(port=args.port, seed=args.seed, speed=args.speed, record=False, http2=args.http2)
    try:
        await endpoint.start()
    except PromptopError as error:
        _tell({"error": error.cause, "remedy": error.remedy})
        return
    filled_at = time.time_ns() // 1_000_000
    long = args.hours > 1
    traffic = LiveTraffic(
        endpoint.plain_url,
        args.log,
        rate=args.rate,
        seed=args.seed,
        fill_hours=args.hours,
        earlier=(args.folder / EARLIER, filled_at) if long else None,
        cache_path=args.folder / "cache.db",
    )
    try:
        if long:  # the last hour first: the app's first picture is of it
            await asyncio.to_thread(_fill_last_hour, args, filled_at)
        traffic.start()
        _tell({"base_url": endpoint.base_url, "ca_file": str(endpoint.ca_file or "")})
        await until_parent_is_gone()
    finally:
        await asyncio.to_thread(traffic.stop)
        await endpoint.stop()


def _fill_last_hour(args: argparse.Namespace, now_ms: int) -> None:
    log_files.open_log(args.folder / EARLIER).close()  # it is read together with the other one
    fill(
        args.log,
        hours=1.0,
        rows=rows_of_last_hour(args.hours, now_ms),
        seed=args.seed,
        now_ms=now_ms,
        bodies=True,
        stretch_ms=(now_ms - round(args.hours * HOUR_MS), now_ms),
        ends_badly=True,
    )


def _tell(said: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
