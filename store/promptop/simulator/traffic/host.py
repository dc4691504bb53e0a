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
from collections.abc import Sequence
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.processes import until_parent_is_gone
from promptop.simulator.server.server import SimulatedEndpoint
from promptop.simulator.traffic.live_traffic import RATE, LiveTraffic


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
    args = parser.parse_args(argv)
    try:
        asyncio.run(_serve(args))
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)
    return 0


async def _serve(args: argparse.Namespace) -> None:
    endpoint = SimulatedEndpoint(port=args.port, seed=args.seed, speed=args.speed, record=False)
    try:
        await endpoint.start()
    except PromptopError as error:
        _tell({"error": error.cause, "remedy": error.remedy})
        return
    traffic = LiveTraffic(
        endpoint.base_url,
        args.log,
        rate=args.rate,
        seed=args.seed,
        fill_hours=args.hours,
        cache_path=args.folder / "cache.db",
    )
    try:
        traffic.start()
        _tell({"base_url": endpoint.base_url})
        await until_parent_is_gone()
    finally:
        await asyncio.to_thread(traffic.stop)
        await endpoint.stop()


def _tell(said: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
