"""A screen that never stops drawing adds less than a millisecond to recorded times, by the server's own clock."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promptop.client.request import RunRequest
from promptop.client.result import CallProgress
from promptop.settings import Profile
from promptop.workers.call_client import Runner

SERVER = """
import json, sys
from promptop.simulator import SimulatedEndpoint
with SimulatedEndpoint.in_thread(speed=0.1) as endpoint:
    print(endpoint.base_url, flush=True)
    for _ in sys.stdin:
        print(json.dumps({r.json["seed"]: r.first("content") for r in endpoint.requests if r.body}), flush=True)
"""
CALLS, ROUNDS, ADDED_MS = 4, 4, 1.0


@contextmanager
def drawing() -> Iterator[None]:
    """Hold the interpreter's lock of this process as a screen does that is never done with drawing."""
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            sum(number * number for number in range(20_000))

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def ask(runner: Runner, url: str, first_seed: int) -> dict[str, float]:
    """Make calls one after the other; seed → when the first token was stamped, on the clock of the whole machine."""
    stamps: dict[str, float] = {}
    for seed in range(first_seed, first_seed + CALLS):
        over = threading.Event()
        request = RunRequest(
            profile=Profile(name="demo", base_url=url),
            model="sim-fast",
            messages=[{"role": "user", "content": "Hi"}],
            max_tokens=4,
            seed=seed,
        )
        progress: CallProgress = runner.start(request, on_done=lambda _, over=over: over.set())  # type: ignore[misc]
        assert over.wait(30)
        assert progress.sent_at is not None and progress.ttft_s is not None
        stamps[str(seed)] = progress.sent_at + progress.ttft_s
    return stamps


def test_a_busy_screen_adds_less_than_a_millisecond(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        url = server.stdout.readline().strip()
        runner = Runner(log=tmp_path / "log.db")

        def late_ms(first_seed: int) -> float:
            """Return the median of how long after the server's send first tokens were stamped."""
            stamps = ask(runner, url, first_seed)
            server.stdin.write("\n")  # type: ignore[union-attr]
            server.stdin.flush()  # type: ignore[union-attr]
            sent = json.loads(server.stdout.readline())  # type: ignore[union-attr]
            late = [(at - sent[seed]) * 1000 for seed, at in stamps.items()]
            assert min(late) > 0  # nothing is stamped before the server sent it
            return statistics.median(late)

        late_ms(0)  # loads the SDK, opens the connection
        quiet, busy = late_ms(100), float("inf")
        with drawing():
            # What else the machine does only ever adds: one good round says what drawing itself adds.
            for number in range(ROUNDS):
                busy = min(busy, late_ms(200 + 100 * number))
                if busy - quiet < ADDED_MS:
                    break
        runner.close()
        server.stdin.close()
    assert busy - quiet < ADDED_MS
