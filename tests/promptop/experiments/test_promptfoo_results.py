"""What is written for promptfoo has every member that its own types ask for, and none with a value that they forbid.

The members are those of ``OutputFile``, ``EvaluateSummaryV3``, ``EvaluateResult``, ``CompletedPrompt`` and
``GradingResult`` in promptfoo's ``src/types`` (2026); optional numbers may be absent there and not null.
"""

from __future__ import annotations

import json
from typing import Any

from promptop.client.result import CallUsage, RunResult
from promptop.experiments.checks import Checked
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.grid.promptfoo_results import ResultPrompt, ResultRow, results_file
from promptop.experiments.test_sets.case import Case

RESULT: dict[str, type | tuple[type, ...]] = {
    "promptIdx": int,
    "testIdx": int,
    "testCase": dict,
    "promptId": str,
    "provider": dict,
    "prompt": dict,
    "vars": dict,
    "failureReason": int,
    "success": bool,
    "score": (int, float),
    "latencyMs": int,
    "namedScores": dict,
}
USAGE = {"prompt", "completion", "cached", "total", "numRequests", "completionDetails"}


def made(*, cost: float | None) -> dict[str, Any]:
    result = RunResult("m", "m", "m", "猫", "done", "stop", total_s=0.5, usage=CallUsage(7, 3), cost_usd=cost)
    good, bad = Checked("contains:猫", True, ""), Checked("lacks:猫", False, "it is there")
    prompts = [ResultPrompt("Say {{a}}.", "baseline", "m"), ResultPrompt("{{a}}.", "trimmed", "m")]
    case = Case("c1", {"a": "猫"}, tags=("zoo",))
    cells = [GridCell(result, {good.text: good}), GridCell(result, {good.text: good, bad.text: bad})]
    rows = [ResultRow(0, at, case, cell) for at, cell in enumerate(cells)]
    rows.append(ResultRow(1, 1, Case("c2", {"a": "x"}), None, "The server failed (500)."))
    found: dict[str, Any] = json.loads(results_file("p-1", 1_700_000_000_000, "promptop prove: worse", prompts, rows))
    return found


def test_every_member_that_promptfoo_needs_is_there() -> None:
    found = made(cost=None)
    assert isinstance(found["evalId"], str) and found["shareableUrl"] is None and isinstance(found["config"], dict)
    summary = found["results"]
    assert summary["version"] == 3 and summary["timestamp"] == "2023-11-14T22:13:20.000Z"
    for prompt in summary["prompts"]:
        assert {"raw", "label", "id", "provider"} <= set(prompt)
    assert set(summary["stats"]["tokenUsage"]) >= USAGE and "assertions" in summary["stats"]["tokenUsage"]
    for row in summary["results"]:
        assert all(isinstance(row[name], kind) for name, kind in RESULT.items())
        assert row["promptId"] == summary["prompts"][row["promptIdx"]]["id"] == row["prompt"]["id"]
        assert {"raw", "label"} <= set(row["prompt"]) and row["provider"]["id"] == "m"
        assert "cost" not in row, "an unknown price is absent, and neither null nor 0"
        for part in (row["gradingResult"] or {}).get("componentResults", []):
            assert isinstance(part["pass"], bool) and isinstance(part["score"], float) and part["reason"]


def test_passed_failed_and_unanswered_are_told_apart() -> None:
    found = made(cost=0.25)["results"]
    assert [row["failureReason"] for row in found["results"]] == [0, 1, 2]
    assert [row["success"] for row in found["results"]] == [True, False, False]
    assert {name: found["stats"][name] for name in ("successes", "failures", "errors")} == {
        "successes": 1,
        "failures": 1,
        "errors": 1,
    }
    assert found["stats"]["tokenUsage"]["total"] == 20
    passed, failed, unanswered = found["results"]
    assert (passed["cost"], passed["latencyMs"], passed["error"]) == (0.25, 500, None)
    assert failed["score"] == 0.5 and failed["error"] == "lacks:猫: it is there"
    assert unanswered["error"] == "The server failed (500)." and "response" not in unanswered
