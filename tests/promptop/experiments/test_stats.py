from __future__ import annotations

import random

import pytest

from promptop.client.result import CallUsage, RunError, RunResult
from promptop.experiments import stats
from promptop.experiments.schedule import Schedule, work_through
from promptop.experiments.stats import FEWEST, METRICS, difference, quantile, summarise, values_of

TTFT = METRICS[0]


def calls(*ttfts: float | None, state: str = "done") -> list[RunResult]:
    error = None if state == "done" else RunError("500", "x")
    return [
        RunResult("m", "m", "m", "", state, ttft_s=ttft, usage=CallUsage(), error=error)  # type: ignore[arg-type]
        for ttft in ttfts
    ]


def test_percentiles_are_inclusive() -> None:
    assert quantile(range(1, 101), 0.95) == pytest.approx(95.05)
    assert quantile([7.0], 0.95) == 7.0
    assert quantile([1.0, 2.0], 0.5) == 1.5


def test_calls_that_failed_or_have_no_figure_stay_out() -> None:
    results = [*calls(0.1, None, 0.3), *calls(9.0, state="failed"), *calls(9.0, state="cancelled")]
    assert values_of(results, TTFT) == [0.1, 0.3]
    summary = summarise(values_of(results, TTFT))
    assert summary is not None
    assert (summary.n, summary.p50, summary.interval) == (2, 0.2, None)
    assert summarise([]) is None


def test_the_interval_of_the_median_holds_it_in_about_95_of_100_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 200)
    rng = random.Random(1)
    held = 0
    for _ in range(200):
        summary = summarise([rng.lognormvariate(0, 0.4) for _ in range(20)])
        assert summary is not None and summary.interval is not None
        held += summary.interval[0] <= 1.0 <= summary.interval[1]  # the median of this distribution is 1
    assert 0.90 <= held / 200 <= 0.99


def test_a_difference_is_said_when_it_is_there_and_only_then() -> None:
    rng = random.Random(2)
    same = [rng.gauss(0.5, 0.05) for _ in range(30)]
    also = [rng.gauss(0.5, 0.05) for _ in range(30)]
    slow = [value + 0.2 for value in also]
    nothing = difference(calls(*same), calls(*also), TTFT)
    assert nothing is not None
    assert not nothing.measurable
    assert "no measurable difference" in nothing.verdict()
    slower = difference(calls(*same), calls(*slow), TTFT)
    assert slower is not None and slower.interval is not None
    assert slower.measurable
    assert slower.interval[0] <= 0.2 <= slower.interval[1]
    assert "slower" in slower.verdict()
    faster = difference(calls(*slow), calls(*same), TTFT)
    assert faster is not None
    assert "faster" in faster.verdict()
    assert "n=30+30" in faster.verdict()


def test_false_alarms_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "RESAMPLES", 200)
    rng = random.Random(3)
    alarms = 0
    for _ in range(60):
        left, right = ([rng.lognormvariate(0, 0.5) for _ in range(10)] for _ in range(2))
        found = difference(calls(*left), calls(*right), TTFT)
        assert found is not None
        alarms += found.measurable
    assert alarms <= 6


def test_too_few_runs_give_no_verdict() -> None:
    found = difference(calls(*[0.1] * (FEWEST - 1)), calls(*[9.0] * 50), TTFT)
    assert found is not None
    assert "too few" in found.verdict()
    assert not found.measurable
    assert difference(calls(None), calls(0.1), TTFT) is None


async def test_rounds_are_interleaved_and_the_warm_up_is_dropped() -> None:
    schedule = Schedule(3, 4, warm_ups=1, seed=5)
    made: list[tuple[int, int]] = []
    at_once = most = 0

    async def call(job: object) -> RunResult:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        made.append((job.round, job.request))  # type: ignore[attr-defined]
        at_once -= 1
        return calls(float(job.request))[0]  # type: ignore[attr-defined]

    await work_through(schedule, call)
    assert most == 1
    assert len(made) == schedule.size == schedule.ended == 15
    rounds = [[request for number, request in made if number == wanted] for wanted in range(-1, 4)]
    assert [sorted(each) for each in rounds] == [[0, 1, 2]] * 5
    assert [number for number, _ in made] == sorted(number for number, _ in made)
    assert len({tuple(each) for each in rounds}) > 1
    assert [[result.ttft_s for result in kept] for kept in schedule.kept] == [[0.0] * 4, [1.0] * 4, [2.0] * 4]


async def test_stopping_keeps_what_came() -> None:
    schedule = Schedule(2, 50)

    async def call(_: object) -> RunResult:
        if schedule.ended == 9:
            schedule.stop()
        return calls(1.0)[0]

    await work_through(schedule, call)
    assert schedule.left == 0
    assert sum(map(len, schedule.kept)) == 8  # two of the ten were warm-ups
