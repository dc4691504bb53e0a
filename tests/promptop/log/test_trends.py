"""Trends hold what the rows hold, by every value, whatever happens on the way."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from promptop.log import LogReader, Row, files
from promptop.log.rollups.keys import VERSION
from promptop.log.rollups.rollups import Rollups
from promptop.log.rollups.trends import KEPT_VALUES, MINUTES, PARTS, QUARTERS

from .rows import NOON, append, random_rows

HOUR = 3_600_000
N = PARTS.index("n")


def made(path: Path, now_ms: int = NOON + HOUR) -> None:
    """Fold everything at a fixed time."""
    with Rollups(path, now_ms=lambda: now_ms) as rollups:
        rollups.catch_up(float("inf"), limit=300)


def sums(path: Path, level: int = MINUTES) -> dict[tuple[str, str], dict[str, int]]:
    """Return what the trends have in all, by place and part."""
    out: dict[tuple[str, str], Counter[str]] = {}
    with LogReader(path) as log:
        for cell in log.trend_cells(level, 0, NOON + 30 * 24 * HOUR):
            out.setdefault(cell.place, Counter()).update(dict(zip(PARTS, cell.parts, strict=True)))
    return {place: dict(parts) for place, parts in out.items()}


def call(second: float, **values: object) -> Row:
    """Return a call that went well."""
    row = Row(
        started_ms=NOON + round(second * 1000),
        app="web",
        request_model="m",
        provider_name="openai",
        server_address="api.example",
        total_s=1.0,
        duration_s=1.0,
        ttft_s=0.5,
        attempt=1,
        usage_input_tokens=100,
        usage_output_tokens=10,
        cost_usd=0.5,
    )
    return replace(row, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [MINUTES, QUARTERS])
def test_each_value_has_the_sums_of_its_rows(tmp_path: Path, level: int) -> None:
    path = tmp_path / "log.db"
    rows = random_rows(1_500)
    append(path, rows)
    made(path)
    found = sums(path, level)
    assert found["all", ""]["n"] == len(rows)
    for model in {row.request_model or row.response_model or "" for row in rows}:
        of_model = [row for row in rows if (row.request_model or row.response_model or "") == model]
        assert found["model", model]["n"] == len(of_model)
        assert found["model", model]["limited"] == sum(row.error_type == "429" for row in of_model)
        assert found["model", model]["timeouts"] == sum(row.error_type == "timeout" for row in of_model)
        answered = [row for row in of_model if row.error_type is None and row.cache_level in (None, "miss")]
        assert found["model", model]["input"] == sum(row.usage_input_tokens or 0 for row in answered)
        assert found["model", model]["ttft_n"] == sum(row.ttft_s is not None for row in answered)


def test_rows_above_the_mark_and_those_below_are_all_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(200))
    made(path)
    append(path, random_rows(50, seed=1))
    with LogReader(path) as log:
        newer = log.trend_newer()
        assert newer is not None
        assert sum(cell.parts[N] for _, cell in newer if cell.place == ("all", "")) == 50
    assert sums(path)["all", ""]["n"] == 200


def test_a_file_of_version_2_keeps_its_sums_and_gets_trends(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(300))
    made(path)
    with closing(sqlite3.connect(files.rollups_path(path))) as old:
        before = old.execute("SELECT * FROM rollups ORDER BY key").fetchall()
        old.executescript("DROP TABLE trends; DROP TABLE trend_series; PRAGMA user_version = 2;")
        old.execute("DELETE FROM meta WHERE key LIKE 'trend_%'")
        old.commit()
    with LogReader(path) as log:
        assert log.trend_newer()  # all of them, as rows
        assert log.window(NOON, NOON + HOUR).total.n == 300  # the sums are read as they are
    made(path)
    with closing(sqlite3.connect(files.rollups_path(path))) as new:
        assert new.execute("SELECT * FROM rollups ORDER BY key").fetchall() == before
        assert new.execute("PRAGMA user_version").fetchone()[0] == VERSION
    assert sums(path)["all", ""]["n"] == 300


def test_a_rebuild_counts_each_row_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, random_rows(400))
    made(path)
    before = sums(path)
    with Rollups(path, now_ms=lambda: NOON + HOUR) as rollups:
        rollups.rebuild()
    assert sums(path) == before


def test_a_clock_that_is_behind_does_not_hide_its_program(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    rows = [call(second, tags='{"host": "a"}') for second in range(0, 1200, 2)]
    late = [call(600 + i * 10 - 2700, tags='{"host": "b"}') for i in range(40)]
    for place, row in enumerate(late):
        rows.insert(310 + place * 6, row)
    append(path, rows)
    made(path)
    found = sums(path)
    assert found["tag.host", "b"]["skewed"] == 40
    assert found["tag.host", "a"]["skewed"] == 0
    assert -2_760 < found["tag.host", "b"]["skew_s"] / 40 < -2_640
    with LogReader(path) as log:
        starts = [cell.start_ms for cell in log.trend_cells(MINUTES, 0, NOON + HOUR) if cell.place == ("tag.host", "b")]
    assert min(starts) >= NOON + 9 * 60_000  # where its neighbours are


def test_history_that_is_brought_in_is_no_late_clock(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, [call(second) for second in range(0, 600, 5)])
    append(path, [call(second - 3 * 86_400, app="imported") for second in range(0, 600, 5)])
    made(path)
    assert sums(path, QUARTERS)["app", "imported"]["skewed"] == 0


def test_rare_values_of_a_tag_are_dropped_when_a_quarter_is_over(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    rows = []
    for user in range(KEPT_VALUES * 3):
        count = 9 if user < 10 else 1
        rows += [call(user, tags=json.dumps({"user": f"u{user}"}), cost_usd=0.0 if user != 150 else 9.0)] * count
    append(path, sorted(rows, key=lambda row: row.started_ms or 0))
    made(path)
    assert ("tag.user", "u180") in sums(path)
    append(path, [call(1_000)])
    made(path)
    kept = {value for dimension, value in sums(path) if dimension == "tag.user"}
    assert kept == {value for dimension, value in sums(path, QUARTERS) if dimension == "tag.user"}
    assert {f"u{user}" for user in range(10)} | {"u150"} <= kept  # by calls, and by cost
    assert len(kept) <= 2 * KEPT_VALUES
    assert sums(path)["all", ""]["n"] == len(rows) + 1


def test_tags_that_are_no_object_of_plain_values_count_under_none(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    append(path, [call(1, tags=text) for text in ("[1]", "{", '"x"', '{"a": {"b": 1}}', '{"n": 5}')])
    made(path)
    assert {place for place in sums(path) if place[0].startswith("tag.")} == {("tag.n", "5")}
