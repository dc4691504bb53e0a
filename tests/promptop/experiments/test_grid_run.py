"""A grid against the simulated endpoint: every cell asked once, judged, kept, and never paid twice."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path

import pytest

from promptop.base.errors import UsageError
from promptop.client.request import RunRequest
from promptop.experiments.grid.cells import CellStore
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
