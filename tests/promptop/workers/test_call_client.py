from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from tests.support.processes import children as children_that_run
from tests.support.waits import until

from promptop import annotate
from promptop.base import processes
from promptop.capture.call import Call, Labels, Sink
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta, RunResult
from promptop.log import LogReader
from promptop.workers.call_client import Runner
from promptop.workers.call_worker import Outbox

Ask = Callable[..., RunRequest]


class Results(list[RunResult]):
    """Collects results from the runner's thread."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self.wanted = wanted
        self.over = threading.Event()

    def take(self, result: RunResult) -> None:
        self.append(result)
        if len(self) == self.wanted:
            self.over.set()


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runner") / "log.db"


@pytest.fixture(scope="module")
def runner(log_path: Path) -> Iterator[Runner]:
    """One process for the tests that do not end it."""
    started = Runner(log=log_path, app="tests", simulated=True)
    started.warm()
    yield started
    started.close()


def children() -> set[int]:
    return children_that_run("promptop.workers.call_worker")


def test_calls_run_elsewhere_and_bring_pieces_figures_and_rows(runner: Runner, log_path: Path, ask: Ask) -> None:
    results = Results(3)
    pieces: dict[str, list[Delta]] = {"gpt-4o-mini": [], "gpt-4o": [], "sim-fault-401": []}
    progress = [
        runner.start(ask(model, max_tokens=5), on_done=results.take, on_delta=taken.append)
        for model, taken in pieces.items()
    ]
    assert results.over.wait(20)
    assert sorted(result.state for result in results) == ["done", "done", "failed"]
    assert all(each.over for each in progress)
    for result in results:
        assert "".join(piece.text for piece in pieces[result.request_model]) == result.text
        assert result.row is not None
    with LogReader(log_path) as reader:
        until(lambda: len(reader.latest(10)) == 3)  # a result may be here before its row is committed there
        logged = {row.request_model: row for row in reader.latest(10)}
    done = next(result for result in results if result.request_model == "gpt-4o")
    assert logged["gpt-4o"].ttft_s == done.ttft_s


def test_cancelling_all_stops_what_runs(runner: Runner, ask: Ask) -> None:
    results = Results(1)
    begun = threading.Event()
    assert runner.cancel_all() == 0
    progress = runner.start(ask("sim-fault-endless"), on_done=results.take, on_delta=lambda _: begun.set())
    assert begun.wait(20)
    until(lambda: progress.ttft_s is not None)
    assert progress.state == "running"
    assert progress.elapsed_s is not None
    assert runner.cancel_all() == 1
    assert results.over.wait(20)
    assert results[0].state == "cancelled"
    assert results[0].text


def test_waiting_for_a_retry_is_seen_from_here(runner: Runner, ask: Ask) -> None:
    results = Results(1)
    progress = runner.start(ask("sim-fault-429;retry_after=30"), on_done=results.take)
    until(lambda: progress.retry_at is not None)
    assert progress.state == "waiting"
    assert "429" in progress.retry_cause
    progress.cancel()
    assert results.over.wait(20)
    assert results[0].state == "cancelled"


def test_closing_while_a_call_runs_ends_the_process_and_leaves_the_row(tmp_path: Path, ask: Ask) -> None:
    before = children()
    runner = Runner(log=tmp_path / "log.db")
    begun = threading.Event()
    runner.start(ask("sim-fault-endless"), on_done=lambda _: None, on_delta=lambda _: begun.set())
    assert begun.wait(20)
    assert len(children() - before) == 1
    runner.close()
    assert children() == before
    with LogReader(tmp_path / "log.db") as reader:
        assert [row.error_type for row in reader.latest(10)] == ["cancelled"]


def test_a_process_that_dies_fails_its_calls_and_is_started_anew(tmp_path: Path, ask: Ask) -> None:
    before = children()
    runner = Runner(log=tmp_path / "log.db")
    results = Results(1)
    begun = threading.Event()
    runner.start(ask("sim-fault-endless"), on_done=results.take, on_delta=lambda _: begun.set())
    assert begun.wait(20)
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    assert results.over.wait(20)
    assert results[0].error is not None
    assert results[0].error.type == "worker"
    assert "again" in results[0].error.remedy
    again = Results(1)
    runner.start(ask(max_tokens=2), on_done=again.take)
    assert again.over.wait(20)
    assert again[0].state == "done"
    runner.close()


def test_a_defect_of_ours_becomes_a_failed_result(runner: Runner, ask: Ask) -> None:
    results = Results(1)
    runner.start(ask(extra={"odd": {1, 2}}), on_done=results.take)  # a set is not JSON
    assert results.over.wait(20)
    assert results[0].state == "failed"


def test_a_sender_that_fails_says_so_where_the_process_ends_by_it() -> None:
    """Else the screen would wait for the answers of its calls without end."""

    class Broken(CallProgress):
        def snapshot(self) -> dict[str, object]:
            raise AttributeError("a defect")

    told = threading.Event()
    outbox = Outbox(io.BytesIO())
    outbox.when_broken(told.set)
    outbox.follow(1, Broken())
    assert told.wait(20)
    late = threading.Event()
    outbox.when_broken(late.set)
    assert late.is_set()
    outbox.close()


def test_the_end_of_a_call_comes_after_all_of_its_progress() -> None:
    stream, progress = io.BytesIO(), CallProgress()
    outbox = Outbox(stream)
    outbox.follow(1, progress)
    progress.chunks = 7
    outbox.leave(1)
    outbox.put(("done", 1, None))
    outbox.close()
    stream.seek(0)
    frames = []
    with contextlib.suppress(EOFError):
        while True:
            frames += processes.receive(stream)
    assert frames[-1] == ("done", 1, None)
    assert frames[-2][0] == "progress" and frames[-2][2]["chunks"] == 7


def test_a_call_can_be_looked_at_from_when_its_note_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen's clock reads it from another thread."""
    seen: list[float | None] = []
    progress = CallProgress()

    class Looking(list[Call]):
        def append(self, call: Call) -> None:
            super().append(call)
            seen.append(progress.snapshot()["_sent_at"])

    with annotate() as note:
        progress.watch(note)
        monkeypatch.setattr(note, "calls", Looking())
        call = Call(Labels(cast(Sink, [])), method="POST", host="h", port=443, path="/v1/chat/completions")
        monkeypatch.setattr(call, "_ended", True)  # it leaves no row when the process ends
    assert len(seen) == 1 and seen[0] is not None


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "from promptop.workers.call_client import Runner; import psutil, time, os\n"
        f"r = Runner(log={str(tmp_path / 'log.db')!r}); r.warm()\n"
        "while not psutil.Process().children(): time.sleep(.01)\n"
        "print(psutil.Process().children()[0].pid, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    import psutil

    until(lambda: not psutil.pid_exists(int(done.stdout)) or psutil.Process(int(done.stdout)).status() == "zombie")
