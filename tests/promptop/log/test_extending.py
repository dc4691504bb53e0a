"""A window that new rows are added to is the window that is read anew."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.log import LogReader
from promptop.log.rollups.rollups import Rollups

SINCE, STEP = NOON - 3_600_000, 60_000


@pytest.mark.parametrize("where", [None, "app:web status:ok"])
@pytest.mark.parametrize("folded", [False, True])
def test_an_extended_window_equals_one_read_anew(tmp_path: Path, where: str | None, folded: bool) -> None:
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    source = random.Random(4)
    for seed, path in enumerate(paths):
        append(path, random_rows(120, seed=seed, start_ms=NOON - 5_000_000, spread_ms=5_500_000))
        if folded:
            with Rollups(path) as rollups:
                rollups.catch_up()
    with LogReader(paths) as log:
        window = log.window(SINCE, NOON, step_ms=STEP, where=where)
        for seed in range(2, 9):
            kept = replace(window)
            before = (window.total.n, window.total.latency.n, len(window.buckets))
            append(
                source.choice(paths),  # rows of any time: before, in and after the window
                random_rows(source.randrange(1, 30), seed=seed, start_ms=NOON - 5_000_000, spread_ms=5_500_000),
            )
            longer = log.extend(window, step_ms=STEP, where=where)
            assert longer is not None
            whole = log.window(SINCE, NOON, step_ms=STEP, where=where)
            assert (longer, longer.marks) == (whole, whole.marks)
            assert window == kept
            assert (window.total.n, window.total.latency.n, len(window.buckets)) == before
            window = longer


def test_a_log_that_was_replaced_is_not_extended(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(50, start_ms=SINCE))
    with LogReader(path) as log:
        window = log.window(SINCE, NOON)
        for suffix in ("", "-wal", "-shm"):
            (tmp_path / f"log.db{suffix}").unlink(missing_ok=True)
        append(path, random_rows(5, start_ms=SINCE))
        assert log.extend(window) is None


def test_a_log_that_appears_is_counted_from_its_first_row(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with LogReader(path) as log:
        window = log.window(SINCE, NOON)
        append(path, random_rows(5, start_ms=SINCE, spread_ms=1000))
        longer = log.extend(window)
        assert longer is not None
        assert longer.total.n == 5
