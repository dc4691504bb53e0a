from __future__ import annotations

from typing import Any

import pytest

from promptop.client.result import Attempt, CallProgress, CallUsage, RunError, RunResult
from promptop.experiments.comparison import BEST, COLUMNS, columns_for, compare, compare_groups, verdicts
from promptop_tui.playground.views.answer_grid import fit_grid
from promptop_tui.playground.views.pane_footer import fit, live_figures, result_figures


def result(name: str = "m", **values: Any) -> RunResult:
    fields: dict[str, Any] = {
        "finish_reason": "stop",
        "ttft_s": 0.3,
        "total_s": 2.3,
        "duration_s": 2.3,
        "usage": CallUsage(20, 101, source="reported"),
        "cost_usd": 0.0012,
        "cost_status": "table",
        "attempts": (Attempt(1, None),),
        **values,
    }
    return RunResult(name, name, name, "text", fields.pop("state", "done"), **fields)


def test_figures_take_the_longest_form_that_fits() -> None:
    pieces = result_figures(result())
    assert fit(pieces, 100) == "TTFT 300 ms · total 2.30 s · 50.0 tok/s · 20→101 tok · $0.0012"
    assert fit(pieces, 50) == "300 ms · 2.30 s · 50.0/s · 20→101 · $0.0012"
    assert fit(pieces, 36) == "300ms·2.30s·50.0/s·20→101·$0.0012"
    assert fit(pieces, 20) == "300ms·2.30s·50.0/s"
    assert fit(pieces, 3) == ""


def test_unknown_is_not_zero_and_estimates_say_so() -> None:
    text = fit(result_figures(result(ttft_s=None, cost_usd=None, usage=CallUsage(None, 9, source="estimated"))), 200)
    assert "TTFT –" in text
    assert "≈–→9 tok" in text
    assert "$ n/a" in text
    assert "$0" not in text


def test_a_failed_call_names_its_error_and_attempts() -> None:
    error = RunError("429", "Too many requests", "Wait", 429)
    text = fit(
        result_figures(result(state="failed", finish_reason=None, error=error, attempts=(Attempt(1, error),) * 3)), 200
    )
    assert text.endswith("$0.0012 · 3 attempts")


def test_live_figures_are_marked_as_counted_from_pieces() -> None:
    progress = CallProgress()
    assert live_figures(None) == []
    progress.retry_at = 1e12
    progress.attempt, progress.retry_cause = 1, "Too many requests (429)."
    assert "attempt 2 in" in live_figures(progress)[0][0]


def test_the_best_of_a_column_is_marked_among_calls_that_went_well() -> None:
    error = RunError("cut", "x")
    results = [
        result("a", ttft_s=0.5, cost_usd=0.002),
        result("b", ttft_s=0.4, cost_usd=None),
        result("c", ttft_s=0.1, state="failed", error=error),
        None,
    ]
    rows = compare(results)
    keys = [column.key for column in COLUMNS]
    ttft, cost = keys.index("ttft"), keys.index("cost")
    assert not any(row[ttft].best for row in rows), "a time of one call says nothing about the next"
    assert [row[cost].best for row in rows] == [False, False, False, False]  # one price is not a comparison
    assert rows[1][cost].text == "n/a"
    assert {cell.text for cell in rows[3]} == {""}
    assert BEST == "*"


def test_equal_figures_have_no_best() -> None:
    assert not any(cell.best for row in compare([result("a"), result("b")]) for cell in row)


@pytest.mark.parametrize(("width", "keys"), [(0, []), (9, ["ttft"]), (36, ["ttft", "total", "tps", "cost"])])
def test_narrow_tables_keep_the_columns_most_wanted(width: int, keys: list[str]) -> None:
    assert [column.key for column in columns_for(width)] == keys


@pytest.mark.parametrize(
    ("count", "width", "height", "grid"),
    [
        (1, 54, 10, (1, 1)),
        (4, 54, 10, (1, 1)),
        (2, 90, 20, (2, 1)),
        (3, 90, 24, (2, 2)),
        (4, 170, 40, (2, 2)),
        (5, 170, 40, (3, 2)),
        (8, 190, 48, (4, 2)),
        (3, 5, 2, (1, 1)),
    ],
)
def test_as_many_panes_as_are_readable(count: int, width: int, height: int, grid: tuple[int, int]) -> None:
    assert fit_grid(count, width, height) == grid


def test_repeated_calls_are_compared_by_their_medians() -> None:
    error = RunError("500", "x")
    fast = [result("a", ttft_s=ttft) for ttft in (0.1, 0.2, 0.9)] + [result("a", state="failed", error=error)]
    slow = [result("b", ttft_s=ttft) for ttft in (0.3, 0.3)]
    down = [result("c", state="failed", ttft_s=0.01, error=error)]
    ttft = [row[0] for row in compare_groups([fast, slow, down, []])]
    assert [cell.text for cell in ttft] == ["200 ms", "300 ms", "10 ms", ""]
    assert not any(cell.best for cell in ttft), "three calls against two tell nothing apart"
    (line,) = verdicts(["a", "b"], [fast, slow])
    assert line == "b against a: too few runs to tell (n=2, 5 are needed)."
