"""Rollups equal a recomputation from the rows, whatever was folded when and wherever it crashed."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.log import LogReader, Row, Stats, Window, files
from promptop.log.read.stats import SELECTED
from promptop.log.rollups.background_rollup import Folding
from promptop.log.rollups.keys import LEVELS_MS, STORED, kinds_at
from promptop.log.rollups.rollups import Rollups

DAY = 86_400_000


def from_rows(path: Path, since: int, until: int, step: int | None, by: tuple[str, ...]) -> Window:
    """Return a window computed by an ordinary scan in Python, without anything of the reader."""
    total, groups = Stats(), {}
    buckets: dict[int, tuple[Stats, dict[str, Stats]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(f"SELECT {SELECTED} FROM requests ORDER BY id"):
            if not since <= row[1] < until:
                continue
            values = {"model": row[2], "app": row[3], "prompt": row[4]}
            name = " · ".join(values[dimension] or "(none)" for dimension in by)
            total.add(row)
            if by:
                groups.setdefault(name, Stats()).add(row)
            if step:
                whole, inner = buckets.setdefault(row[1] - row[1] % step, (Stats(), {}))
                whole.add(row)
                if by:
                    inner.setdefault(name, Stats()).add(row)
    ordered = tuple((start, *found) for start, found in sorted(buckets.items()))
    return Window(since, until, total, ordered, groups)


def sums_of(path: Path) -> dict[object, object]:
    """Return every sum under its level, kind, time and names, which do not depend on the order of discovery."""
    with closing(sqlite3.connect(files.rollups_path(path))) as connection:
        names = {row[0]: row[1:] for row in connection.execute("SELECT id, kind, model, app, prompt FROM series")}
        return {
            (row[0] >> 24, names.get(row[0] & 0xFFFFFF)): row[1:]
            for row in connection.execute(f"SELECT key, {', '.join(STORED)} FROM rollups")
        }


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.mark.parametrize("age_days", [0, 7, 99, 400])
def test_a_window_from_rollups_equals_one_from_rows(log: Path, age_days: int) -> None:
    """Whatever levels are left of that time: the newest part has minutes, then quarters, then only six hours."""
    append(log, random_rows(800, seed=1, start_ms=NOON - 3 * DAY, spread_ms=3 * DAY))
    with Rollups(log, now_ms=lambda: NOON + age_days * DAY) as rollups:
        rollups.catch_up()
        assert rollups.lag() == 0
    append(log, random_rows(40, seed=2, start_ms=NOON - 60_000, spread_ms=60_000))  # above the mark
    source = random.Random(3)
    with LogReader(log) as reader:
        for number in range(20):
            since = NOON - 3 * DAY + source.randrange(3 * DAY)
            until = since + source.randrange(1, 3 * DAY)
            if number % 4 == 0:
                since, until = since // DAY * DAY, NOON + 1
            step = source.choice([None, 60_000, 300_000, 900_000, 3_600_000, 21_600_000, DAY])
            by = source.choice([(), ("model",), ("app",), ("prompt",), ("model", "app"), ("prompt", "model", "app")])
            assert reader.window(since, until, step_ms=step, by=by) == from_rows(log, since, until, step, by)


def test_odd_steps_dimensions_and_filters_come_from_rows(log: Path) -> None:
    append(log, random_rows(300, seed=4))
    with Rollups(log) as rollups:
        rollups.catch_up()
    with LogReader(log) as reader:
        window = reader.window(NOON, NOON + 3_600_000, step_ms=5_000)
        assert window == from_rows(log, NOON, NOON + 3_600_000, 5_000, ("model",))
        assert reader.window(NOON, NOON + 3_600_000, by=("provider",)).groups["openai"] == window.total
        some = reader.window(NOON, NOON + 3_600_000, where="model:gpt-4o status:ok").total
        assert 0 < some.n < window.total.n
        assert some.ok == some.n


@given(st.lists(st.integers(1, 120), min_size=1, max_size=6), st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_folding_in_any_portions_gives_the_same_sums(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("portions")
    rows = random_rows(120, seed=seed, spread_ms=2 * DAY)
    append(folder / "whole.db", rows)
    with Rollups(folder / "whole.db") as rollups:
        assert rollups.fold(1000) == len(rows)
    with Rollups(folder / "parts.db") as rollups:
        position = 0
        for cut in [*cuts, len(rows)]:
            append(folder / "parts.db", rows[position : position + cut])
            position += cut
            rollups.fold(max(1, cut // 2))
        rollups.catch_up(60, limit=37)
    assert sums_of(folder / "parts.db") == sums_of(folder / "whole.db")


@pytest.mark.parametrize("steps", [5, 60, 400, 1500, 4000])
def test_a_crash_inside_a_fold_counts_nothing_twice(log: Path, steps: int) -> None:
    append(log, random_rows(300, seed=5))
    with Rollups(log) as rollups:
        rollups.fold(100)
        _, sums = rollups._open()
        left = iter(range(steps))
        # Interrupts SQLite after so many instructions of its machine: in the middle of a statement.
        sums.set_progress_handler(lambda: next(left, None) is None, 10)
        with pytest.raises(sqlite3.OperationalError):
            rollups.catch_up(60, limit=50)
    with closing(sqlite3.connect(files.rollups_path(log), isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'lease_until_ms'")  # a dead holder's lease runs out
    with Rollups(log) as rollups:
        rollups.catch_up(60)
        assert rollups.lag() == 0
    with LogReader(log) as reader:
        window = reader.window(NOON, NOON + 3_600_000, step_ms=60_000)
    assert window == from_rows(log, NOON, NOON + 3_600_000, 60_000, ("model",))


def test_every_level_adds_up_to_the_same(log: Path) -> None:
    append(log, random_rows(500, seed=6, spread_ms=2 * DAY))
    with Rollups(log, now_ms=lambda: NOON) as rollups:
        rollups.catch_up()
    with closing(sqlite3.connect(files.rollups_path(log))) as connection:
        found = connection.execute(
            "SELECT key >> 56, sum(n), sum(cost_pico), sum(latency_sum_us) FROM rollups GROUP BY 1"
        )
        rows = found.fetchall()
    assert len(rows) == sum(len(kinds_at(level)) for level in range(len(LEVELS_MS)))
    assert len({row[1:] for row in rows}) == 1


def test_rebuild_gives_what_folding_gave(log: Path) -> None:
    append(log, random_rows(400, seed=7, spread_ms=3 * DAY))
    with Rollups(log) as rollups:
        rollups.catch_up(60, limit=60)
        before = sums_of(log)
        done: list[int] = []
        assert rollups.rebuild(lambda at, of: done.append(at)) == 400
        assert done[-1] == 400
    assert sums_of(log) == before


@pytest.mark.parametrize("steps", [300, 3000, 9000])
def test_a_crash_inside_a_rebuild_leaves_the_old_sums(log: Path, steps: int) -> None:
    append(log, random_rows(200, seed=16))
    with Rollups(log) as rollups:
        rollups.catch_up(60)
        before = sums_of(log)
        _, sums = rollups._open()
        left = iter(range(steps))
        sums.set_progress_handler(lambda: next(left, None) is None, 1)
        with pytest.raises(sqlite3.OperationalError):
            rollups.rebuild()
    assert sums_of(log) == before
    with Rollups(log) as rollups:
        assert rollups.rebuild() == 200
    assert sums_of(log) == before


def test_a_damaged_sidecar_is_read_around_and_rebuilt(log: Path) -> None:
    append(log, random_rows(100, seed=8))
    files.rollups_path(log).write_bytes(b"no database at all" * 100)
    with LogReader(log) as reader:
        assert reader.window(NOON, NOON + 3_600_000).total.n == 100
    with Rollups(log) as rollups:
        assert rollups.rebuild() == 100
        assert rollups.lag() == 0


def test_a_replaced_log_does_not_keep_the_old_sums(log: Path) -> None:
    append(log, random_rows(100, seed=9))
    with Rollups(log) as rollups:
        rollups.catch_up()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{log}{suffix}").unlink(missing_ok=True)
        append(log, random_rows(30, seed=10))
        with LogReader(log) as reader:
            assert reader.window(NOON, NOON + 3_600_000).total.n == 30
        rollups.catch_up()
        assert rollups.lag() == 0
    with LogReader(log) as reader:
        assert reader.window(NOON, NOON + 3_600_000, step_ms=60_000) == from_rows(
            log, NOON, NOON + 3_600_000, 60_000, ("model",)
        )


def test_a_log_restored_from_a_backup_does_not_keep_the_sums_of_its_future(log: Path, tmp_path: Path) -> None:
    append(log, random_rows(50, seed=11))
    with closing(sqlite3.connect(log)) as source, closing(sqlite3.connect(tmp_path / "backup.db")) as target:
        source.backup(target)
    append(log, random_rows(50, seed=12))
    with Rollups(log) as rollups:
        rollups.catch_up()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{log}{suffix}").unlink(missing_ok=True)
    (tmp_path / "backup.db").rename(log)
    for more in (0, 70):  # fewer ids than the mark; then others under the same ids
        append(log, random_rows(more, seed=13))
        with LogReader(log) as reader:
            assert reader.window(NOON, NOON + 3_600_000).total.n == 50 + more
    with Rollups(log) as rollups:
        rollups.catch_up()
    with LogReader(log) as reader:
        assert reader.window(NOON, NOON + 3_600_000).total.n == 120


def test_only_the_holder_of_the_lease_folds(log: Path) -> None:
    append(log, random_rows(100, seed=14))
    with Rollups(log) as first, Rollups(log) as second:
        assert first.fold(10) == 10
        assert second.fold(10) is None
        assert first.fold(10) == 10


def test_a_process_of_its_own_folds_what_nobody_folds(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, random_rows(300, seed=15))
    folding = Folding(log)
    assert not folding.start()  # not worth a process
    monkeypatch.setattr("promptop.log.rollups.background_rollup.WORTH_IT", 100)
    with Rollups(log) as other:
        other.fold(10)
        assert not folding.start()  # another one is at it
    assert folding.start()
    folding.wait(30)
    with Rollups(log) as rollups:
        assert rollups.lag() == 0
    folding.close()
    assert not Folding(log.with_name("missing.db")).start()


def test_many_models_rows_of_the_future_and_a_clock_set_back(log: Path) -> None:
    append(log, [Row(started_ms=NOON + n, request_model=f"model-{n}", cost_usd=0.001) for n in range(1_500)])
    append(log, [Row(started_ms=NOON + 400 * DAY, app="future"), Row(started_ms=NOON - DAY, app="set back")])
    with Rollups(log, now_ms=lambda: NOON) as rollups:
        rollups.catch_up(60)
        assert rollups.lag() == 0
    with LogReader(log) as reader:
        day = reader.window(NOON - NOON % DAY, NOON + DAY)
        assert len(day.groups) == 1_500
        assert day.total.cost_usd == 1.5
        everything = reader.window(0, NOON + 500 * DAY, step_ms=DAY)
        assert (everything.total.n, len(everything.buckets)) == (1_502, 3)
