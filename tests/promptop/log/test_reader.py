"""Reading: pages, what is new, files that change underneath, and no query that scans the rows."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop.log.rows import NOON, append, random_rows

from promptop.base.errors import PromptopError
from promptop.log import LogReader, Row, files, parse_filter
from promptop.log.rollups.rollups import Rollups


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def test_pages_follow_each_other_without_gap_or_repeat(log: Path) -> None:
    append(log, random_rows(250, seed=1))
    with LogReader(log) as reader:
        seen, before = [], None
        while True:
            page = reader.page(40, before)
            seen += [row.id for row in page.rows]
            if page.before_id is None:
                break
            before = page.before_id
        assert seen == list(range(250, 0, -1))
        assert [row.id for row in reader.latest(3, before_id=100)] == [99, 98, 97]
        assert reader.get(17) is not None
        assert reader.get(17_000) is None


def test_a_filtered_page_stops_when_its_time_is_up_and_says_where_to_go_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promptop.log.read.log_file._CHUNK", 10)
    append(log, [Row(started_ms=NOON, app="rare" if n == 3 else "web") for n in range(100)])
    with LogReader(log) as reader:
        page = reader.page(5, where="app:rare", budget_s=0)
        assert (page.rows, page.before_id) == ([], 91)
        assert [row.id for row in reader.latest(5, where="app:rare")] == [4]


def test_what_is_new_is_noticed_and_read_from_the_mark(log: Path) -> None:
    append(log, random_rows(5))
    with LogReader(log) as reader:
        assert reader.changed()
        assert not reader.changed()
        mark = reader.mark()
        append(log, random_rows(4, seed=2))
        assert reader.changed()
        rows, mark = reader.follow(mark, 3)
        assert [row.id for row in rows] == [6, 7, 8] or {row.id for row in rows} == {6, 7, 8}
        rows, mark = reader.follow(mark, 3)
        assert [row.id for row in rows] == [9]
        assert reader.follow(mark, 3) == ([], mark)
        assert reader.last_id() == 9


def test_a_missing_and_an_empty_file_are_empty_logs_until_something_is_written(log: Path) -> None:
    with LogReader(log) as reader:
        assert (reader.latest(5), reader.last_id(), reader.span(), reader.changed()) == ([], 0, None, False)
        assert reader.window(0, NOON, step_ms=60_000).total.n == 0
        log.touch()
        assert reader.latest(5) == []
        append(log, random_rows(2))
        assert reader.changed()
        assert len(reader.latest(5)) == 2


def test_a_deleted_and_a_replaced_log_are_read_anew(log: Path) -> None:
    append(log, random_rows(5))
    with LogReader(log) as reader:
        assert (len(reader.latest(9)), reader.generation) == (5, 0)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{log}{suffix}").unlink(missing_ok=True)
        assert reader.changed()
        assert (reader.latest(9), reader.generation) == ([], 1)
        append(log, random_rows(2))
        assert (len(reader.latest(9)), reader.generation) == (2, 2)


def test_several_logs_are_read_as_one(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    append(log, [Row(started_ms=NOON + n, app="a", duration_s=1.0) for n in (0, 2, 4)])
    append(other, [Row(started_ms=NOON + n, app="b", duration_s=3.0) for n in (1, 3, 5)])
    with Rollups(log) as rollups:
        rollups.catch_up()
    with LogReader([log, other]) as reader:
        assert [row.started_ms for row in reader.latest(4)] == [NOON + n for n in (5, 4, 3, 2)]
        window = reader.window(NOON, NOON + 60_000, by=("app",), step_ms=60_000)
        assert {name: stats.n for name, stats in window.groups.items()} == {"a": 3, "b": 3}
        assert window.total.latency.mean == pytest.approx(2.0)
        mark = reader.mark()
        append(other, [Row(started_ms=NOON + 6)])
        rows, _ = reader.follow(mark, 10)
        assert [(row.source, row.id) for row in rows] == [(1, 4)]
        assert [row.started_ms for row in reader.between(NOON + 1, NOON + 4, 2)] == [NOON + 3, NOON + 2]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("text", "is not an SQLite file"),
        ("foreign", "not a request log of promptop"),
        ("newer", "written by a newer promptop"),
        ("folder", "is a folder"),
        ("damaged", "is damaged"),
    ],
)
def test_files_that_are_no_log_are_refused_with_a_remedy(log: Path, kind: str, cause: str) -> None:
    if kind == "folder":
        log.mkdir()
    elif kind == "text":
        log.write_text("notes " * 1000)
    elif kind == "foreign":
        with closing(sqlite3.connect(log)) as connection:
            connection.execute("CREATE TABLE notes (text)")
    else:
        append(log, random_rows(50))
        with closing(sqlite3.connect(log)) as connection:
            if kind == "newer":
                connection.execute("PRAGMA user_version = 99")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if kind == "damaged":
            whole = log.read_bytes()
            log.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(PromptopError) as caught, LogReader(log) as reader:
        reader.latest(5)
        reader.window(0, NOON * 2)
    assert cause in caught.value.cause
    assert caught.value.remedy


def test_a_locked_log_is_said_to_be_locked(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, random_rows(5))
    with closing(sqlite3.connect(log, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        real = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "timeout": 0.05}))
        with pytest.raises(PromptopError, match="locked by another program"), LogReader(log) as reader:
            reader.latest(1)


def test_a_log_on_a_read_only_medium_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, random_rows(20))
    with Rollups(log) as rollups:
        rollups.catch_up()
    for path in (log, files.rollups_path(log)):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    medium = log.parent / "medium"
    medium.mkdir()
    for path in (log, files.rollups_path(log)):
        shutil.copy(path, medium)
    real = sqlite3.connect

    def on_the_medium(name: str, **options: object) -> sqlite3.Connection:
        """Fail as SQLite does where no file can be made beside a WAL database, which root's tests cannot provoke."""
        if "medium" in name and "immutable" not in name:
            name = f"file:{medium}/no/such/folder?mode=ro"
        return real(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite3, "connect", on_the_medium)
    with LogReader(medium / "log.db") as reader:
        assert reader.window(NOON, NOON + 3_600_000).total.n == 20
        assert len(reader.latest(50)) == 20
    assert sorted(path.name for path in medium.iterdir()) == ["log.db", "log.db.rollups"]


def test_a_hit_a_failure_and_a_cancelled_call_do_not_speak_about_latency(log: Path) -> None:
    append(
        log,
        [
            Row(started_ms=NOON, duration_s=1.0, ttft_s=0.5, cache_level="miss"),
            Row(started_ms=NOON, duration_s=0.001, cache_level="memory", saved_usd=0.5, cost_usd=0.0),
            Row(started_ms=NOON, duration_s=60.0, ttft_s=9.0, error_type="timeout"),
            Row(started_ms=NOON, duration_s=5.0, error_type="cancelled"),
            Row(started_ms=NOON, total_s=0.1, error_type="rate_limit", http_response_status_code=429),
            Row(started_ms=NOON, total_s=3.0),
        ],
    )
    with LogReader(log) as reader:
        total = reader.window(NOON, NOON + 1).total
    assert (total.n, total.ok, total.errors, total.cancelled, total.rate_limited) == (6, 3, 1, 1, 1)
    assert (total.latency.n, total.latency.max, total.ttft.n) == (2, 3.0, 1)
    assert (total.lookups, total.hits, total.hits_by_level, total.saved_usd) == (2, 1, {"memory": 1}, 0.5)
    assert total.hit_ratio == 0.5
    assert total.error_rate == pytest.approx(1 / 3)  # two answers that were no hit, and the failed one
    assert (total.timeouts, total.answered, total.rejected_rate) == (1, 2, pytest.approx(1 / 5))
    assert total.error_types == {"timeout": 1, "cancelled": 1, "rate_limit": 1}


def test_money_adds_exactly_in_any_order(log: Path) -> None:
    costs = [0.1, 0.2, 0.3, 1e-8, 2.5e-7] * 20
    append(log, [Row(started_ms=NOON, cost_usd=cost) for cost in costs])
    append(log, [Row(started_ms=NOON + 60_000, cost_usd=cost) for cost in reversed(costs)])
    with Rollups(log) as rollups:
        rollups.catch_up()
    with LogReader(log) as reader:
        first, second = (stats.cost_pico for _, stats, _ in reader.window(NOON, NOON + 120_000, step_ms=60_000).buckets)
    assert first == second == 20 * (100_000_000_000 + 200_000_000_000 + 300_000_000_000 + 10_000 + 250_000)


def test_no_query_scans_the_rows(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXPLAIN QUERY PLAN of every statement that reads ``requests``: a search by id or time, never a scan."""
    append(log, random_rows(300, seed=3, start_ms=NOON - 86_400_000, spread_ms=86_400_000))
    with Rollups(log) as rollups:
        rollups.catch_up()
    append(log, random_rows(10, seed=4))
    statements: set[str] = set()
    real = sqlite3.connect

    def traced(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = real(*arguments, **options)  # type: ignore[arg-type]
        connection.set_trace_callback(statements.add)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    with LogReader(log) as reader:
        reader.changed()
        reader.mark()
        reader.span()
        reader.get(5)
        reader.latest(10)
        reader.latest(10, before_id=100, where="model:gpt-4o status:error")
        reader.after(290, 10, "ttft>1s")
        reader.follow((290,), 10)
        reader.back(10, (290,))
        reader.back(10, (290,), "app:web")
        reader.at(NOON)
        reader.tokens(NOON - 3_600_000, NOON, 10)
        reader.count(NOON - 3_600_000, NOON, parse_filter("app:web"))
        reader.top(NOON - 3_600_000, NOON, "ttft_s", 10, parse_filter("app:web"))
        reader.rows_by_id([(0, 5), (0, 7)])
        reader.stretch(0, (NOON - 3_600_000, 5), NOON, 10, parse_filter("app:web"))
        reader.between(NOON - 3_600_000, NOON, 10, "app:web")
        reader.between(NOON - 3_600_000, NOON, 10, before=(NOON - 1000, 5, 0))
        for step in (None, 60_000, 5_000):
            for where in (None, "app:web"):
                reader.window(NOON - 50_000_000, NOON + 1, step_ms=step, where=where)
        reader.window(NOON - 50_000_000, NOON, by=("provider",))
        reader.extend(replace(reader.window(NOON - 50_000_000, NOON), marks=(290,)), where="app:web")
    with Rollups(log) as rollups:
        rollups.catch_up()
    monkeypatch.undo()
    looked_at = 0
    with closing(sqlite3.connect(log)) as connection:
        for statement in statements:
            if "FROM requests" not in statement:
                continue
            for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                if "requests" in detail:
                    looked_at += 1
                    # min() and max() of an indexed column are answered from one end of the index.
                    assert detail.startswith("SEARCH requests"), (detail, statement)
    assert looked_at > 10


def test_pages_of_a_stretch_of_several_logs_have_every_row_once(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.db" for name in "abc"]
    for seed, path in enumerate(paths):
        append(path, random_rows(80, seed=seed, spread_ms=40))  # many of one millisecond, with ids alike
    with LogReader(paths) as log:
        whole = log.between(NOON + 5, NOON + 35, 1000)
        found = page = log.between(NOON + 5, NOON + 35, 7)
        while page:
            last = page[-1]
            page = log.between(NOON + 5, NOON + 35, 7, before=(last.started_ms or 0, last.id, last.source))
            found = [*found, *page]
    assert len(whole) > 100
    assert [(row.source, row.id) for row in found] == [(row.source, row.id) for row in whole]
