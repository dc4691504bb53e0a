"""Results in the form in which ``promptfoo eval --output`` writes them (version 3), for grids and proofs alike.

Held to promptfoo's own types (``OutputFile``, ``EvaluateSummaryV3``, ``EvaluateResult``, ``GradingResult``): members
that it needs are always there, and what is not known is left out where it may be.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from promptop.client.result import CallUsage
from promptop.experiments.grid.cells import GridCell
from promptop.experiments.test_sets.case import Case

_PASSED, _FAILED, _NO_ANSWER = 0, 1, 2
"""promptfoo's ``failureReason``."""


@dataclass(frozen=True, slots=True)
class ResultPrompt:
    """A prompt that was asked, of one provider."""

    raw: str
    label: str
    provider: str

    @property
    def id(self) -> str:
        """What tells it from the others."""
        return hashlib.blake2b(json.dumps([self.raw, self.label]).encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the prompt as a result has it."""
        return {"raw": self.raw, "label": self.label, "id": self.id}


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One answer, or the call that got none."""

    test: int
    prompt: int
    """Number of the prompt."""
    case: Case
    cell: GridCell | None
    error: str = ""
    """Why there is no answer."""


def results_file(
    run: str, made_ms: int, description: str, prompts: Sequence[ResultPrompt], rows: Sequence[ResultRow]
) -> str:
    """Return the file; ``made_ms`` is Unix time."""
    results = [_result(prompts[row.prompt], row) for row in rows]
    reasons = [row["failureReason"] for row in results]
    made = datetime.fromtimestamp(made_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    usages = [row.cell.result.usage for row in rows if row.cell is not None]
    shape = {
        "evalId": run,
        "results": {
            "version": 3,
            "timestamp": made,
            "prompts": [prompt.to_json() | {"provider": prompt.provider} for prompt in prompts],
            "results": results,
            "stats": {
                "successes": reasons.count(_PASSED),
                "failures": reasons.count(_FAILED),
                "errors": reasons.count(_NO_ANSWER),
                "tokenUsage": _usage(usages) | {"assertions": _usage([])},
            },
        },
        "config": {"description": description},
        "shareableUrl": None,
    }
    return json.dumps(shape, ensure_ascii=True, indent=1) + "\n"


def _result(prompt: ResultPrompt, row: ResultRow) -> dict[str, Any]:
    variables = dict(row.case.vars)
    shape: dict[str, Any] = {
        "promptIdx": row.prompt,
        "testIdx": row.test,
        "testCase": {"vars": variables, "description": row.case.id, "metadata": {"tags": list(row.case.tags)}},
        "promptId": prompt.id,
        "provider": {"id": prompt.provider, "label": prompt.provider},
        "prompt": prompt.to_json(),
        "vars": variables,
        "namedScores": {},
    }
    cell = row.cell
    if cell is None:
        return shape | {
            "error": row.error,
            "failureReason": _NO_ANSWER,
            "success": False,
            "score": 0,
            "latencyMs": 0,
            "gradingResult": None,
        }
    result, checked = cell.result, list(cell.checked.values())
    parts = [
        {
            "pass": each.passed,
            "score": float(each.passed),
            "reason": each.why or "passed",
            "metadata": {"check": each.text},
        }
        for each in checked
    ]
    passed = all(each.passed for each in checked)
    score = sum(each.passed for each in checked) / len(checked) if checked else 1.0
    faults = "; ".join(f"{each.text}: {each.why}" for each in checked if not each.passed)
    graded = {"pass": passed, "score": score, "reason": faults or "all checks pass", "componentResults": parts}
    usage = _usage([result.usage])
    answer: dict[str, Any] = {"output": result.text if cell.whole else "", "cached": False, "tokenUsage": usage}
    cost = {} if result.cost_usd is None else {"cost": result.cost_usd}
    return shape | {
        "response": answer | cost,
        "error": faults or None,
        "failureReason": _PASSED if passed else _FAILED,
        "success": passed,
        "score": score,
        "latencyMs": round((result.total_s or 0.0) * 1000),
        "gradingResult": graded,
        "namedScores": {each.text: float(each.passed) for each in checked},
        **cost,
    }


def _usage(usages: Sequence[CallUsage]) -> dict[str, Any]:
    sums = {
        "prompt": sum(each.input_tokens or 0 for each in usages),
        "completion": sum(each.output_tokens or 0 for each in usages),
        "cached": sum(each.cache_read_input_tokens or 0 for each in usages),
    }
    details = {
        "reasoning": sum(each.reasoning_output_tokens or 0 for each in usages),
        "acceptedPrediction": 0,
        "rejectedPrediction": 0,
    }
    total = sums["prompt"] + sums["completion"]
    return sums | {"total": total, "numRequests": len(usages), "completionDetails": details}
