"""The process of :class:`promptop.simulator.traffic.live_traffic.LiveTraffic`: fills the log, then sends requests
through the real shim.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2

import promptop
from promptop.base.processes import ParentWatch, until_parent_is_gone
from promptop.cache import Cache, DiskLevel, MemoryLevel, Policy
from promptop.capture.annotations import annotate
from promptop.log import Finished, Pending, Writer
from promptop.log.write.pending import Bodies
from promptop.simulator.answers import profiles, text
from promptop.simulator.traffic.backfill import HOUR_MS, ROWS_PER_HOUR, draw_question, fill, rows_of_last_hour
from promptop.simulator.traffic.scenarios import SCENES, Scene, pick

_MOST_IN_FLIGHT = 16
_TTL_S, _HOT = 120.0, 6
"""How long answers are kept, seconds, and how many of them in memory: so that hits come from both levels."""
_FAULTS = {"429;retry_after=2": 0.008, "500": 0.004, "stall;s=2;after=5": 0.004, "cut;after=20": 0.003}
"""What goes wrong, by share of the requests."""


class _Labelled:
    """A call's row to be, completed with what its program would know of a real endpoint: its provider."""

    def __init__(self, item: Pending) -> None:
        self._item = item

    def finish(self) -> Finished | None:
        """Return the row."""
        finished = self._item.finish()
        if finished is not None and (found := profiles.find(finished.row.request_model or "")):
            finished.row.provider_name = found.provider
        return finished


class _Sink:
    """Takes the shim's calls and hands them to the writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def bodies(self) -> Bodies:
        """What is kept of bodies: what the writer keeps."""
        return self._writer.bodies

    def put(self, item: Pending) -> None:
        """Enqueue."""
        self._writer.put(_Labelled(item))


class Traffic:
    """The requests of all scenes, at random moments."""

    def __init__(self, base_url: str, writer: Writer, *, rate: float, seed: int, cache_path: Path | None) -> None:
        self._base_url = base_url
        self._sink = _Sink(writer)
        self._rate = rate
        self._rng = text.seeded("live", seed)
        self._shares = {scene: scene.weight * (0.3 if scene.nightly else 1.0) for scene in SCENES}
        levels: list[MemoryLevel | DiskLevel] = [MemoryLevel(max_entries=_HOT)]
        if cache_path is not None:
            levels.append(DiskLevel(cache_path))
        self._cache = Cache(levels, ttl_s=_TTL_S)

    def _client(self, cache: Cache | None) -> httpx2.AsyncClient:
        transport = promptop.transport(
            asynchronous=True,
            family="httpx2",
            log=self._sink,
            simulated=True,
            cache=cache,
            cache_policy=Policy(any_temperature=True),
        )
        return httpx2.AsyncClient(base_url=self._base_url, transport=transport, timeout=30)

    async def run(self) -> None:
        """Send requests until cancelled; those in flight are then cancelled too and leave their rows."""
        try:
            async with self._client(None) as plain, self._client(self._cache) as cached, asyncio.TaskGroup() as tasks:
                running: set[asyncio.Task[None]] = set()
                wait_s = 0.0  # the first one at once: whoever looks sees that it lives
                while True:
                    await asyncio.sleep(wait_s)
                    wait_s = self._rng.expovariate(self._rate)
                    if len(running) < _MOST_IN_FLIGHT:
                        scene: Scene = pick(self._rng, self._shares)
                        task = tasks.create_task(self._one(cached if scene.hits else plain, scene))
                        running.add(task)
                        task.add_done_callback(running.discard)
        finally:
            self._cache.close()

    async def _one(self, client: httpx2.AsyncClient, scene: Scene) -> None:
        rng = self._rng
        model: str = pick(rng, scene.models)
        body = scene.body(model, draw_question(rng), scene.versions[1])
        fault = pick(rng, {**_FAULTS, "": 1.0 - sum(_FAULTS.values())})
        leaves_after = rng.randint(3, 30) if rng.random() < scene.cancel_rate else None
        labels = annotate(
            app=scene.app,
            tags={"env": "prod", "team": scene.team},
            prompt_name=scene.prompt,
            prompt_version=scene.versions[1],
            conversation_id=f"conv_{rng.getrandbits(32):08x}" if scene.conversation else None,
            attempt=1,
        )
        path = "/embeddings" if scene.embeddings else "/chat/completions"
        headers = {"x-simulate": fault} if fault else {}
        with labels, contextlib.suppress(httpx2.HTTPError):  # a fault that was asked for: the row tells of it
            async with client.stream("POST", path, json=body, headers=headers) as answer:
                count = 0
                async for _ in answer.aiter_raw():
                    count += 1
                    if count == leaves_after:
                        break


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the log, then keep traffic flowing, until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m promptop.simulator.traffic.traffic", description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill-hours", type=float, default=0.0)
    parser.add_argument(
        "--earlier", type=Path, help="log of all of these hours but the last, which is in --log already"
    )
    parser.add_argument("--filled-at", type=int, default=0, help="end of the hours, Unix milliseconds")
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args(argv)
    os.nice(5)  # the app's screen comes first
    # While it fills, the process has nothing to finish: it ends at once, and the log holds what was committed.
    watch = ParentWatch(lambda: os._exit(0))
    if args.earlier is not None:
        end, length = args.filled_at, round(args.fill_hours * HOUR_MS)
        rows = round(args.fill_hours * ROWS_PER_HOUR) - rows_of_last_hour(args.fill_hours, end)
        fill(
            args.earlier,
            hours=args.fill_hours - 1,
            rows=max(rows, 1),
            seed=args.seed + 1,
            now_ms=end - HOUR_MS,
            bodies=True,
            stretch_ms=(end - length, end),
        )
    elif args.fill_hours > 0:
        fill(args.log, hours=args.fill_hours, seed=args.seed, bodies=True)
    if args.rate > 0:
        asyncio.run(_flow(args, watch))
    return 0


async def _flow(args: argparse.Namespace, watch: ParentWatch) -> None:
    gone = asyncio.create_task(until_parent_is_gone(watch))
    with Writer(args.log, bodies="full") as writer:  # the demo's folder is private and thrown away
        flow = Traffic(args.base_url, writer, rate=args.rate, seed=args.seed, cache_path=args.cache)
        traffic = asyncio.create_task(flow.run())
        await asyncio.wait({gone, traffic}, return_when=asyncio.FIRST_COMPLETED)
        traffic.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await traffic


if __name__ == "__main__":
    sys.exit(main())
