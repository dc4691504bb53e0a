"""What a busy screen adds to recorded times: the transport's stamps against the server's own clock.

    python tests/benchmarks/playground_busy.py [--rounds 5] [--panes 8]

A simulated endpoint runs in a process of its own and notes when each event leaves its socket (``perf_counter`` is one
clock for all processes of a Linux machine). The same calls are made three times: by the runner alone, under a
playground that draws all panes, and, to show what is avoided, on an event loop that draws, too. Printed: how long after
the server's send the first token was stamped, frames a second, CPU, how long a typed key waits until its letter stands
in the prompt, and whether every token was shown, the last one too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, cast

from textual import events
from textual.app import App, ComposeResult

from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, RunResult
from promptop.client.targets import Target
from promptop.client.variants import PromptVersion
from promptop.settings import Profile, Settings
from promptop.workers.call_client import Runner
from promptop_tui.context import AppContext
from promptop_tui.playground import screen
from promptop_tui.playground.controllers.request_builder import RunPlan
from promptop_tui.playground.screen import PlaygroundPane
from promptop_tui.playground.views.answer_grid import AnswerGrid
from promptop_tui.shell import theme
from promptop_tui.widgets.prompt_area.area import PromptArea

SERVER = """
import json, sys
from promptop.simulator import SimulatedEndpoint
with SimulatedEndpoint.in_thread(speed=0.9) as endpoint:  # its fast model then streams 200 tokens a second
    print(endpoint.base_url, flush=True)
    for _ in sys.stdin:
        firsts = {r.json["seed"]: r.first("content", "reasoning") for r in endpoint.requests if r.body}
        endpoint.requests.clear()
        print(json.dumps(firsts), flush=True)
"""
HERE = Path(screen.__file__).parent


class Alone(App[None]):
    CSS_PATH = [HERE.parent / "app.tcss", HERE / "playground.tcss"]  # noqa: RUF012

    def __init__(self, context: AppContext) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.context = context
        self.frames = 0

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def compose(self) -> ComposeResult:
        yield PlaygroundPane(self.context)


class Server:
    """The endpoint in its own process."""

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)

    def firsts(self) -> dict[int, float]:
        """Seed → when the first token left, and forget them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return {int(seed): at for seed, at in json.loads(self.process.stdout.readline()).items()}


def requests(url: str, panes: int, first_seed: int) -> list[RunRequest]:
    profile = Profile(name="demo", base_url=url)
    messages = [{"role": "user", "content": "Explain caching in 600 words."}]
    return [
        RunRequest(
            profile=profile, model="sim-fast", label=f"pane {n}", messages=messages, max_tokens=600, seed=first_seed + n
        )
        for n in range(panes)
    ]


def stamp(progress: CallProgress) -> float:
    """Return when the first token was stamped, on the clock of the whole machine."""
    return cast(float, progress.sent_at) + cast(float, progress.ttft_s)


def late(stamps: dict[int, float], firsts: dict[int, float]) -> list[float]:
    return [(stamps[seed] - firsts[seed]) * 1000 for seed in stamps if seed in firsts]


def warm(runner: Runner, url: str) -> None:
    """Make one call, so that the SDK is loaded and the connection open."""
    over = threading.Event()
    runner.start(requests(url, 1, 0)[0], on_done=lambda _: over.set())
    over.wait()


def alone(url: str, panes: int, seed: int, log: Path) -> dict[int, float]:
    runner = Runner(log=log)
    warm(runner, url)
    left = threading.Semaphore(0)
    calls = {
        request.seed: runner.start(request, on_done=lambda _: left.release()) for request in requests(url, panes, seed)
    }
    for _ in calls:
        left.acquire()
    runner.close()
    return {cast(int, seed): stamp(progress) for seed, progress in calls.items()}


async def under_a_screen(url: str, panes: int, seed: int, log: Path) -> tuple[dict[int, float], dict[str, float]]:
    context = AppContext(
        settings=Settings(), log_path=log, draft_path=log.with_suffix(".md"), counting=cast(Any, None), simulated=True
    )
    app = Alone(context)
    async with app.run_test(size=(200, 60)) as pilot:
        pane = app.query_one(PlaygroundPane)
        await asyncio.to_thread(warm, pane._conductor.runner, url)
        asked = requests(url, panes, seed)
        version = PromptVersion("", asked[0].messages)
        targets = [Target(request.profile, request.model, request.title) for request in asked]
        asking = RunPlan(asked, [version], targets, None, "", "", {})
        pane.asking = lambda: asking  # type: ignore[method-assign]
        frames = 0
        drawn = pane._frame

        def frame() -> None:
            nonlocal frames
            frames += 1
            drawn()

        pane._frames.stop()  # type: ignore[union-attr]
        pane._frames = pane.set_interval(1 / screen.FRAMES_PER_SECOND, frame, pause=True)
        area = app.query_one("#prompt", PromptArea)
        area.focus()
        wall, cpu = time.perf_counter(), time.process_time()
        await pilot.press("f5")
        answers = app.query_one(AnswerGrid)
        typing = asyncio.create_task(typed(app, area))
        while not answers.panes or any(answer.result is None for answer in answers.panes):
            await asyncio.sleep(0.05)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        typing.cancel()
        keys = sorted(KEYS)
        KEYS.clear()
        stamps = {cast(Any, answer.request).seed: stamp(cast(Any, answer.progress)) for answer in answers.panes}
        tokens = sum(cast(RunResult, answer.result).usage.output_tokens or 0 for answer in answers.panes)
        shown = all(
            "".join("".join(answer.rows).split()) == "".join(cast(RunResult, answer.result).text.split())
            for answer in answers.panes
        )
        last = all(
            answer.rows[-1].split()[-1] == cast(RunResult, answer.result).text.split()[-1] for answer in answers.panes
        )
    return stamps, {
        "frames/s": frames / wall,
        "cpu": cpu / wall,
        "tokens/s": tokens / wall,
        "key p50 ms": keys[len(keys) // 2],
        "key p95 ms": keys[int(len(keys) * 0.95)],
        "all shown": shown,
        "last shown": last,
    }


KEYS: list[float] = []
"""Milliseconds from a key's arrival until its letter stands in the text."""


async def typed(app: App[None], area: PromptArea) -> None:
    """Type a letter every 50 ms, as a fast hand does, and note how long each takes."""
    while True:
        before, start = len(area.text), time.perf_counter()
        app.post_message(events.Key("x", "x"))
        while len(area.text) == before:
            await asyncio.sleep(0.0005)
        KEYS.append((time.perf_counter() - start) * 1000)
        await asyncio.sleep(0.05)


async def on_the_screens_loop(url: str, panes: int, seed: int, log: Path) -> dict[int, float]:
    """The calls on a loop that also redraws: each frame of 30 ms holds up whatever the socket brought."""
    endpoints = Endpoints(log=log)
    calls = {request.seed: (CallProgress(), request) for request in requests(url, panes, seed)}
    over = asyncio.Event()

    async def draw() -> None:
        while not over.is_set():
            until = time.perf_counter() + 0.03
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0.07)

    drawing = asyncio.create_task(draw())
    await asyncio.gather(*(run(request, endpoints, progress=progress) for progress, request in calls.values()))
    over.set()
    await drawing
    await endpoints.aclose()
    return {cast(int, seed): stamp(progress) for seed, (progress, _) in calls.items()}


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--panes", type=int, default=8)
    args = parser.parse_args()
    found: dict[str, list[float]] = {"runner alone": [], "under a screen": [], "on a drawing loop": []}
    details: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        log = Path(folder) / "log.db"
        server.firsts()
        for number in range(args.rounds):
            seed = 1000 * (number + 1)
            found["runner alone"] += late(alone(server.url, args.panes, seed, log), server.firsts())
            stamps, detail = asyncio.run(under_a_screen(server.url, args.panes, seed + 100, log))
            found["under a screen"] += late(stamps, server.firsts())
            details.append(detail)
            stamps = asyncio.run(on_the_screens_loop(server.url, args.panes, seed + 200, log))
            found["on a drawing loop"] += late(stamps, server.firsts())
    print(f"{args.panes} panes; first token stamped after the server sent it, ms:")
    for name, values in found.items():
        values.sort()
        middle, high = values[len(values) // 2], values[int(len(values) * 0.95)]
        print(f"  {name:24} p50 {middle:7.2f}   p95 {high:7.2f}   max {values[-1]:7.2f}   n={len(values)}")
    for detail in details:
        print("  screen: " + "  ".join(f"{name} {value:.2f}" for name, value in detail.items()))


if __name__ == "__main__":
    main()
