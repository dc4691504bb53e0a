"""The largest rows of a window: the same as sorting all of them, in bounded slices."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.base.errors import UsageError
from promptop.log import LogReader, parse_filter
from promptop.log.read.top_rows import FIGURES, Ranking

SINCE = NOON - 3_600_000


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("smallest", [False, True])
def test_the_best_are_those_that_sorting_finds(tmp_path: Path, figure: str, smallest: bool) -> None:
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for seed, path in enumerate(paths):
        append(path, random_rows(200, seed=seed, start_ms=NOON - 7_000_000, spread_ms=7_000_000))
    with LogReader(paths) as log:
        known = [
            (amount, row.source, row.id)
            for row in log.between(SINCE, NOON, 1000)
            if (
                amount := {
                    "total": row.duration_s if row.duration_s is not None else row.total_s,
                    "TTFT": row.ttft_s,
                    "cost": row.cost_usd,
                    "tokens": (row.usage_input_tokens or 0) + (row.usage_output_tokens or 0) or None,
                }[figure]
            )
            is not None
        ]
        wanted = sorted(known, key=lambda each: (each[0] if smallest else -each[0], each[1], -each[2]))[:40]
        ranking = Ranking(SINCE, NOON, figure, 40, None, smallest=smallest)
        slices = 0
        while not ranking.done:
            ranking.go_on(log, budget_s=0.0)
            slices += 1
        found = ranking.result(log)
        assert found.done
        assert [(row.source, row.id) for row in found.rows] == [(source, row_id) for _, source, row_id in wanted]
        assert 1 < slices <= 64


def test_what_was_found_so_far_is_told_and_a_filter_holds(tmp_path: Path) -> None:
    log_path = tmp_path / "log.db"
    append(log_path, random_rows(300, seed=5, start_ms=NOON - 3_600_000, spread_ms=3_600_000))
    with LogReader(log_path) as log:
        where = parse_filter("status:ok")
        ranking = Ranking(SINCE, NOON, "total", 500, where)
        ranking.go_on(log, budget_s=0.0)
        part = ranking.result(log)
        assert not part.done
        assert part.since_ms > SINCE
        assert all((row.started_ms or 0) >= part.since_ms for row in part.rows)
        ranking.go_on(log, budget_s=60.0)
        assert ranking.result(log).done
        assert all(row.error_type is None for row in ranking.result(log).rows)
    with pytest.raises(UsageError):
        Ranking(SINCE, NOON, "beauty", 5, None)
