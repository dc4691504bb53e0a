"""A grid against the simulated endpoint: every cell asked once, judged, kept, and never paid twice."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.support.trap_endpoint import Said, playing

from promptop.base.errors import UsageError
from promptop.client.request import RunRequest
from promptop.experiments.checks.judges import JudgeModel
from promptop.experiments.grid.cells import CellStore
from promptop.experiments.grid.export import as_json, report_of, table, to_html, to_junit, to_markdown
from promptop.experiments.grid.plan import planned_cases
from promptop.experiments.grid.run import GridOutcome, GridRun
from promptop.experiments.test_sets import read_test_set
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint


def grid(path: Path, endpoint: SimulatedEndpoint, check: str, before: GridOutcome | None = None) -> GridRun:
    cases = [
        {"id": "cats", "vars": {"topic": "cats"}, "checks": ["lacks:zzz"]},
        {"id": "猫", "vars": {"topic": "猫"}, "checks": [check]},
    ]
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")
    profile = Profile(name="sim", base_url=endpoint.base_url)
    models = ("gpt-4o-mini", "sim-fault-500")

    def requests(values: object, _: object) -> list[list[RunRequest]]:
        assert isinstance(values, dict)
        made = [
            RunRequest(
                profile=profile,
                model=model,
                messages=[{"role": "user", "content": f"Tell me about {values['topic']}."}],
                max_tokens=400,
                retries=0,
            )
            for model in models
        ]
        return [made, made]

    planned = planned_cases(read_test_set(path), (), requests)
    earlier = before.finished if before is not None else None
    store = CellStore(path=path.with_name("playground.db"), earlier=earlier)
    return GridRun(planned, models, store, at_once=2)


def test_cells_are_judged_kept_and_not_paid_twice(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        options = {"log": tmp_path / "log.db"}
        run = pickle.loads(pickle.dumps(grid(tmp_path / "cases.jsonl", endpoint, "contains:绝无此字")))
        assert run.size == 4 and run.estimate().calls == 4
        first = asyncio.run(run.work(options))
        states = run.snapshot().cells
        good = sorted(states[place].is_good for place in states if place[1] == 0)
        assert good == [False, True], "one check passes, the other cannot"
        assert all(states[place].failed for place in states if place[1] == 1), "a server that fails gives no answer"
        assert len(first.finished) == 2 and first.kept == 0 and first.errors
        sent = len(endpoint.requests)
        again = asyncio.run(grid(tmp_path / "cases.jsonl", endpoint, "max-tokens:400", first).work(options))
        failing = [request for request in endpoint.requests[sent:] if request.json["model"] != "sim-fault-500"]
        assert not failing and again.kept == 2, "another check is judged without a call"
        assert all(
            check.passed for place, cell in again.cells.items() if place[1] == 0 for check in cell.checked.values()
        )


def test_a_check_that_could_never_be_judged_is_refused_before_any_call(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint, pytest.raises(UsageError):
        grid(tmp_path / "cases.jsonl", endpoint, "no-such-check:x")


def test_a_judges_price_and_its_contradictions_are_part_of_the_result(tmp_path: Path) -> None:
    graded: list[bool] = []

    def trap(body: dict[str, Any], number: int, said: Said) -> Said:
        if body["model"] != "gpt-4.1":
            return Said("The sum is 3.")
        graded.append(not graded or not graded[-1])
        return Said(json.dumps({"reason": "as it likes", "met": graded[-1]}))

    path = tmp_path / "cases.jsonl"
    path.write_text('{"id": "one", "vars": {"a": "1"}, "checks": ["rubric:is kind"]}\n')
    titles = ("gpt-4o", "gpt-4o-mini")
    with playing(trap) as traps:
        profile = Profile(name="trap", base_url=traps.url)

        def requests(*_: object) -> list[list[RunRequest]]:
            message = {"role": "user", "content": "1"}
            return [[RunRequest(profile=profile, model=title, messages=[message], max_tokens=9) for title in titles]]

        planned = planned_cases(read_test_set(path), (), requests)
        store = CellStore(path=tmp_path / "playground.db")
        run = GridRun(planned, titles, store, at_once=1, judge=JudgeModel(profile, "gpt-4.1"), asks=True)
        outcome = asyncio.run(run.work({"log": tmp_path / "log.db"}))
    grading = outcome.grading
    assert grading is not None and (grading.verdicts, grading.met, grading.calls) == (2, 1, 2)
    assert (grading.equal, grading.unlike) == (1, 1), "equal answers, verdicts for and against"
    assert 0 < grading.usd < outcome.spent_usd
    report = report_of(planned, titles, outcome, "g-1")
    said = "judge gpt-4.1: 1 of 2 rubrics met · 2 calls, "
    assert said in table(report)[-1] and said in to_markdown(report) and said in to_html(report)
    assert as_json(report)["judge"]["unlike"] == 1 and ' time="' in to_junit(report)
