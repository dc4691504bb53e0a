"""promptop's own measuring calls in a log: left out of windows, counted apart, and asked for by name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.alerts.rules import parse_check, rules_of
from promptop.log import LogReader
from promptop.log.own_calls import OWN_APPS, are_asked_for
from promptop.log.rollups.rollups import Rollups
from promptop.settings import MonitorSettings

DAY = 86_400_000


@pytest.fixture
def logs(tmp_path: Path) -> tuple[Path, Path]:
    """A log with calls of promptop's own among the others, and one with the others alone."""
    both, others = tmp_path / "both.db", tmp_path / "others.db"
    rows = random_rows(600, seed=5, start_ms=NOON - 2 * DAY, spread_ms=2 * DAY)
    source = random.Random(6)
    for row in rows:
        if source.random() < 0.3:
            row.app = source.choice(OWN_APPS)
    append(both, rows)
    append(others, [row for row in rows if row.app not in OWN_APPS])
    return both, others


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("by", [(), ("model",), ("app",), ("prompt",), ("model", "prompt"), ("provider",)])
def test_a_window_without_own_calls_is_that_of_a_log_without_them(
    logs: tuple[Path, Path], by: tuple[str, ...], folded: bool
) -> None:
    both, others = logs
    if folded:
        with Rollups(both, now_ms=lambda: NOON) as rollups:
            rollups.catch_up()
    with LogReader(both) as reader, LogReader(others) as alone:
        for since, step in ((NOON - 2 * DAY, 3_600_000), (NOON - DAY - 12_345, 900_000), (NOON - 5 * 3_600_000, None)):
            without = reader.window(since, NOON, step_ms=step, by=by, own=False)
            expected = alone.window(since, NOON, step_ms=step, by=by)
            assert (without.total, without.groups) == (expected.total, expected.groups)
            assert without.buckets == expected.buckets
            whole = reader.window(since, NOON, step_ms=step, by=by)
            assert without.left_out.n == whole.total.n - without.total.n > 0
            assert without.left_out.cost_pico == whole.total.cost_pico - without.total.cost_pico
            assert whole.left_out.n == 0


def test_new_rows_keep_apart_what_is_apart(logs: tuple[Path, Path]) -> None:
    both, _ = logs
    with LogReader(both) as reader:
        before = reader.window(NOON - DAY, NOON + DAY, own=False)
        newer = random_rows(20, seed=7, start_ms=NOON, spread_ms=1000)
        for row in newer[:5]:
            row.app = "promptop bench"
        append(both, newer)
        longer = reader.extend(before, own=False)
    assert longer is not None
    assert longer.total.n == before.total.n + 15
    assert longer.left_out.n == before.left_out.n + 5


def test_rules_judge_the_service_and_not_a_benchmark(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    rows = random_rows(60, seed=8, start_ms=NOON - 60_000, spread_ms=59_000)
    for row in rows:
        row.app, row.error_type, row.duration_s, row.http_response_status_code = "promptop bench", None, 30.0, 200
    append(log, rows)
    (rule,) = rules_of("p95>10s over 5m", MonitorSettings())
    (named,) = rules_of('p95{app:"promptop bench"}>10s over 5m', MonitorSettings())
    with LogReader(log) as reader:
        assert rule.values(reader, NOON, MonitorSettings()) == (None,)
        assert (named.values(reader, NOON, MonitorSettings())[0] or 0) > 10
    assert parse_check("p95>1s", MonitorSettings())


@pytest.mark.parametrize(("text", "asked"), [("app:web", True), ("model:x app:a", True), ("-app:web", False)])
def test_a_filter_that_names_an_app_decides_itself(text: str, asked: bool) -> None:
    assert are_asked_for(text) is asked
