from __future__ import annotations

import threading
from collections.abc import Callable

from promptop.log import Writer
from promptop.runs import Delta, Runner, RunRequest, RunResult

Ask = Callable[..., RunRequest]


def test_calls_run_on_a_thread_of_their_own_and_end_with_it(log: Writer, ask: Ask) -> None:
    runner = Runner(log=log, app="tests")
    done: list[RunResult] = []
    threads: set[str] = set()
    over = threading.Event()

    def on_done(result: RunResult) -> None:
        done.append(result)
        if len(done) == 3:
            over.set()

    def on_delta(_: Delta) -> None:
        threads.add(threading.current_thread().name)

    for model in ("gpt-4o-mini", "gpt-4o", "sim-fault-401"):
        runner.start(ask(model, max_tokens=5), on_done=on_done, on_delta=on_delta)
    assert over.wait(20)
    assert sorted(result.state for result in done) == ["done", "done", "failed"]
    assert threads == {"promptop-runs"}
    runner.close()
    assert "promptop-runs" not in {thread.name for thread in threading.enumerate()}


def test_cancelling_all_stops_what_runs(log: Writer, ask: Ask) -> None:
    runner = Runner(log=log)
    done: list[RunResult] = []
    begun, over = threading.Event(), threading.Event()

    def on_done(result: RunResult) -> None:
        done.append(result)
        over.set()

    assert runner.cancel_all() == 0
    runner.start(ask("sim-fault-endless"), on_done=on_done, on_delta=lambda _: begun.set())
    assert begun.wait(20)
    assert runner.cancel_all() == 1
    assert over.wait(20)
    assert done[0].state == "cancelled"
    assert done[0].text
    runner.close()


def test_closing_while_a_call_runs_does_not_hang(log: Writer, ask: Ask) -> None:
    runner = Runner(log=log)
    begun = threading.Event()
    runner.start(ask("sim-fault-endless"), on_done=lambda _: None, on_delta=lambda _: begun.set())
    assert begun.wait(20)
    runner.close()
    assert "promptop-runs" not in {thread.name for thread in threading.enumerate()}


def test_a_defect_of_ours_becomes_a_failed_result(log: Writer, ask: Ask) -> None:
    runner = Runner(log=log)
    done: list[RunResult] = []
    over = threading.Event()

    def on_done(result: RunResult) -> None:
        done.append(result)
        over.set()

    runner.start(ask(extra={"stop": object()}), on_done=on_done)
    assert over.wait(20)
    assert done[0].state == "failed"
    runner.close()
