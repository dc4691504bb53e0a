"""Live simulated traffic: real HTTP requests through the real shim, from a process of its own.

A process, because sixteen streams in a thread of the app would make its screen stutter. It lives exactly as long as
whoever started it: its standard input is a pipe from the parent, and the end of that pipe, which the kernel brings
about even when the parent is killed, ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from promptop.demo import profiles, text
from promptop.demo.children import start_child, stop_child, until_parent_is_gone
from promptop.demo.filling import Maker, draw_question, fill
from promptop.demo.scenes import SCENES, Scene, pick
from promptop.log import Finished, Pending, Row, Writer

RATE = 0.4
"""Requests a second: about what the filled day ends with."""
_MOST_IN_FLIGHT = 16
_FAULTS = {"429;retry_after=2": 0.008, "500": 0.004, "stall;s=2;after=5": 0.004, "cut;after=20": 0.003}
"""What goes wrong, by share of the requests."""


class LiveTraffic:
    """The process that keeps requests coming; a context manager, or :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        base_url: str,
        log_path: str | os.PathLike[str],
        *,
        rate: float = RATE,
        seed: int = 0,
        fill_hours: float = 0.0,
    ) -> None:
        """Prepare traffic of ``rate`` requests a second towards ``base_url`` (with ``/v1``), logged in ``log_path``.

        The log is first filled with ``fill_hours`` of the past; a rate of 0 ends the process after that.
        """
        self._arguments = [
            *("--base-url", base_url, "--log", os.fspath(log_path), "--rate", str(rate)),
            *("--seed", str(seed), "--fill-hours", str(fill_hours)),
        ]
        self.process: subprocess.Popen[bytes] | None = None
        """The process while it runs."""

    def start(self) -> None:
        """Start the process; returns at once."""
        self.process = start_child("promptop.demo.live", self._arguments)

    def stop(self) -> None:
        """End the process, with the rows of its calls in the log."""
        process, self.process = self.process, None
        if process is not None:
            stop_child(process)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Labelled:
    """A call's row to be, completed with what only the simulation knows."""

    def __init__(self, item: Pending) -> None:
        self._item = item

    def finish(self) -> Finished | None:
        """Return the row with its provider, and with its look-up in the cache if its program has one."""
        finished = self._item.finish()
        if finished is not None:
            row = finished.row
            if found := profiles.find(row.request_model or ""):
                row.provider_name = found.provider
            if any(scene.hits and scene.prompt == row.prompt_name for scene in SCENES):
                row.cache_level = "miss"
        return finished


class _Sink:
    """Takes the shim's calls and hands them to the writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def bodies(self) -> Any:
        """What is kept of bodies: what the writer keeps."""
        return self._writer.bodies

    def put(self, item: Row | Finished | Pending) -> None:
        """Enqueue."""
        self._writer.put(_Labelled(item) if hasattr(item, "finish") else item)


class Traffic:
    """The requests of all scenes, at random moments."""

    def __init__(self, base_url: str, writer: Writer, *, rate: float, seed: int) -> None:
        self._base_url = base_url
        self._writer = writer
        self._rate = rate
        self._rng = text.seeded("live", seed)
        self._maker = Maker(text.seeded("live rows", seed), seed)
        self._seen: set[tuple[str, str, int]] = set()
        self._shares = {scene: scene.weight * (0.3 if scene.nightly else 1.0) for scene in SCENES}

    async def run(self) -> None:
        """Send requests until cancelled; those in flight are then cancelled too and leave their rows."""
        import httpx2

        import promptop

        transport = promptop.transport(asynchronous=True, family="httpx2", log=_Sink(self._writer), simulated=True)
        async with (
            httpx2.AsyncClient(base_url=self._base_url, transport=transport, timeout=30) as client,
            asyncio.TaskGroup() as tasks,
        ):
            running: set[asyncio.Task[None]] = set()
            while True:
                await asyncio.sleep(self._rng.expovariate(self._rate))
                if len(running) < _MOST_IN_FLIGHT:
                    task = tasks.create_task(self._one(client))
                    running.add(task)
                    task.add_done_callback(running.discard)

    async def _one(self, client: Any) -> None:
        import httpx2

        from promptop.shim import annotate

        rng = self._rng
        scene: Scene = pick(rng, self._shares)
        model: str = pick(rng, scene.models)
        question = draw_question(rng)
        if self._answered_from_cache(scene, model, question, rng):
            return
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
        body = scene.body(model, question, scene.versions[1])
        with labels, contextlib.suppress(httpx2.HTTPError):  # a fault that was asked for: the row tells of it
            async with client.stream("POST", path, json=body, headers=headers) as answer:
                count = 0
                async for _ in answer.aiter_raw():
                    count += 1
                    if count == leaves_after:
                        break

    def _answered_from_cache(self, scene: Scene, model: str, question: int, rng: random.Random) -> bool:
        """Answer a request that was made before from the program's own cache, as often as such programs do."""
        key = (scene.app, model, question)
        known, first = key in self._seen, sum(scene.hits.values())
        self._seen.add(key)
        if not known or rng.random() >= 1.2 * first:
            return False
        level = pick(rng, scene.hits)
        self._writer.put(self._maker.hit(scene, model, question, level, time.time_ns() // 1_000_000))
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the log, then keep traffic flowing, until the parent is gone."""
    parser = argparse.ArgumentParser(prog="python -m promptop.demo.live", description=__doc__)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fill-hours", type=float, default=0.0)
    args = parser.parse_args(argv)
    os.nice(5)  # the app's screen comes first
    asyncio.run(_serve(args))
    return 0


async def _serve(args: argparse.Namespace) -> None:
    gone = asyncio.create_task(until_parent_is_gone())
    if args.fill_hours > 0:
        await asyncio.to_thread(fill, args.log, hours=args.fill_hours, seed=args.seed)
    if args.rate <= 0 or gone.done():
        gone.cancel()
        return
    with Writer(args.log, bodies="full") as writer:  # the demo's folder is private and thrown away
        traffic = asyncio.create_task(Traffic(args.base_url, writer, rate=args.rate, seed=args.seed).run())
        await asyncio.wait({gone, traffic}, return_when=asyncio.FIRST_COMPLETED)
        traffic.cancel()
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await traffic


if __name__ == "__main__":
    sys.exit(main())
