"""Arms asked in turns: the order, the links, the allowance, and the same in a process of its own."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.gates import capped

from promptop.base.errors import UsageError
from promptop.budget.estimate import bound_of
from promptop.client.http.endpoints import Endpoints
from promptop.client.http.non_streaming import run_unstreamed
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress
from promptop.experiments.interleaved import Arm, MeasurementStep, Trial, TrialOutcome
from promptop.experiments.proof.single_input import paired, trial
from promptop.log import LogReader, Writer
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint
from promptop.workers.measurement import MeasurementProcess

Ask = Any


async def test_arms_are_asked_in_turns_each_by_its_own_connection(
    endpoint: SimulatedEndpoint, log: Writer, ask: Ask
) -> None:
    endpoint.requests.clear()
    request = ask(max_tokens=3, retries=0)
    arms = [
        Arm("kept", request),
        Arm("fresh", replace(request, profile=replace(request.profile, keep_alive=0)), nonce=True),
        Arm("whole", request, streamed=False),
    ]
    tried = Trial(arms, 4, app="promptop test")
    outcome = await tried.work({"log": log.path, "simulated": True})
    assert [len(results) for results in outcome.kept] == [4, 4, 4]
    assert all(result.state == "done" for results in outcome.kept for result in results)
    kept, fresh, whole = outcome.kept
    assert [result.connection_reused for result in kept] == [True] * 4
    assert [result.connection_reused for result in fresh] == [False] * 4
    assert all(result.ttft_s is not None for result in kept)
    assert all(result.ttft_s is None and result.total_s is not None and result.text for result in whole)
    assert all(result.usage.output_tokens == 3 and result.cost_usd for result in whole)
    bodies = [record.json for record in endpoint.requests if record.body]
    assert len(bodies) == 15  # a warm-up round of three, then four rounds
    rounds = [bodies[place : place + 3] for place in range(0, 15, 3)]
    assert all(sum(not body["stream"] for body in three) == 1 for three in rounds)
    starts = [body["messages"][0]["content"] for body in bodies if body["messages"][0]["content"].startswith("[")]
    assert len(set(starts)) == 5  # no prefix cache can know them
    assert (tried.snapshot().ended, tried.snapshot().size, outcome.is_capped) == (15, 15, False)


async def test_a_call_that_could_pass_the_cap_ends_the_trial(log: Writer, ask: Ask) -> None:
    arms = [Arm(name, ask(max_tokens=100, retries=0)) for name in "ab"]
    each = bound_of(arms[0].request).usd
    assert each is not None
    outcome = await Trial(arms, 50, app="t").work({"log": log.path, "gate": capped(each * 3)})
    assert outcome.is_capped
    assert 2 < sum(map(len, outcome.kept)) + 2 < 100
    assert outcome.spent_usd <= each * 3
    nothing = await Trial(arms, 5, app="t").work({"log": log.path, "gate": capped(each / 2)})
    assert (nothing.kept, nothing.is_capped, nothing.spent_usd) == ([[], []], True, 0.0)


async def test_a_stopped_trial_keeps_what_came(log: Writer) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        profile = Profile(name="demo", base_url=endpoint.base_url)
        message = [{"role": "user", "content": "hi"}]
        requests = [
            RunRequest(profile=profile, model=model, messages=message, max_tokens=3, retries=0)
            for model in ("gpt-4o-mini", "sim-fault-hang")
        ]
        tried = Trial([Arm("quick", requests[0]), Arm("never", requests[1])], 5, app="t", warm_ups=0)
        working = asyncio.create_task(tried.work({"log": log.path}))
        while not any(b"hang" in record.body for record in endpoint.requests):
            await asyncio.sleep(0.005)
        tried.stop()
        outcome = await working
    assert outcome.stopped
    assert [result.state for result in outcome.kept[1]] == ["cancelled"]


async def test_a_refused_call_in_one_piece_says_why(endpoints: Endpoints, ask: Ask) -> None:
    progress = CallProgress()
    result = await run_unstreamed(ask("sim-fault-401"), endpoints, progress=progress)
    assert result.state == progress.state == "failed"
    assert result.error is not None and result.error.status == 401


def test_a_trial_runs_in_a_process_of_its_own(endpoint: SimulatedEndpoint, tmp_path: Path, ask: Ask) -> None:
    told: list[MeasurementStep] = []
    outcomes: list[TrialOutcome] = []
    over = threading.Event()

    def done(outcome: TrialOutcome) -> None:
        outcomes.append(outcome)
        over.set()

    request = ask(max_tokens=3, retries=0)
    tried = trial([(request, request)], 5)
    options = {"log": tmp_path / "log.db", "simulated": True}
    stopped: list[TrialOutcome] = []
    ended = threading.Event()
    early = MeasurementProcess(
        tried,
        options,
        on_told=print,
        on_done=lambda o: (stopped.append(o), ended.set()),
        on_failed=lambda _: ended.set(),
    )
    early.stop()  # before its process is there
    apart = MeasurementProcess(tried, options, on_told=told.append, on_done=done, on_failed=lambda why: over.set())
    assert ended.wait(30) and over.wait(30)
    early.close()
    apart.close()
    assert (stopped[0].stopped, stopped[0].kept) == (True, [[], []])
    ((before, after),) = paired(outcomes[0].kept)
    assert (len(before), len(after)) == (5, 5)
    assert outcomes[0].spent_usd > 0
    assert all(step.size == 12 for step in told)
    with LogReader(tmp_path / "log.db") as reader:
        assert {row.app for row in reader.latest(20)} == {"promptop prove"}


def test_a_measurement_that_cannot_work_says_why(tmp_path: Path, ask: Ask) -> None:
    told: list[str] = []
    over = threading.Event()

    def failed(why: str) -> None:
        told.append(why)
        over.set()

    tried = trial([(ask(), ask())], 5)
    apart = MeasurementProcess(
        tried, {"log": tmp_path, "x": 1}, on_told=print, on_done=lambda _: over.set(), on_failed=failed
    )
    assert over.wait(30)
    apart.close()
    assert "unexpected keyword" in told[0]


def test_too_few_answers_prove_nothing(ask: Ask) -> None:
    with pytest.raises(UsageError, match="4 answers to each prompt"):
        trial([(ask(), ask())], 4)
