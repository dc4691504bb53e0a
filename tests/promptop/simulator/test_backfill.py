"""A filled log: believable, marked as simulated, the same from the same seed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.log import COLUMNS
from promptop.log.write.bodies import read_body
from promptop.simulator import fill
from promptop.simulator.traffic.backfill import rows_of_last_hour

NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("filled") / "log.db"
    filled = fill(path, seed=1, rows=6000, now_ms=NOW_MS)
    assert filled.rows == 6000
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def one(log: sqlite3.Connection, sql: str) -> float:
    value: float = log.execute(sql).fetchone()[0]
    return value


def test_every_row_is_marked_and_lies_in_the_window(log: sqlite3.Connection) -> None:
    assert one(log, "SELECT count(*) FROM requests") == 6000
    assert one(log, "SELECT count(*) FROM requests WHERE simulated IS NOT 1") == 0
    moments = [row[0] for row in log.execute("SELECT started_ms FROM requests ORDER BY id")]
    assert moments == sorted(moments)
    assert NOW_MS - 24 * HOUR_MS <= moments[0] < moments[-1] <= NOW_MS


def test_it_shows_what_a_monitor_is_for(log: sqlite3.Connection) -> None:
    assert one(log, "SELECT count(DISTINCT app) FROM requests") == 8
    assert one(log, "SELECT count(DISTINCT prompt_version) FROM requests WHERE prompt_name = 'support/answer'") == 2
    assert one(log, "SELECT count(DISTINCT request_model) FROM requests") > 10
    levels = {row[0] for row in log.execute("SELECT DISTINCT cache_level FROM requests")}
    assert levels == {None, "miss", "memory", "redis", "disk", "semantic"}
    kinds = {row[0] for row in log.execute("SELECT DISTINCT error_type FROM requests")}
    assert {None, "cancelled", "429", "timeout"} <= kinds
    assert one(log, "SELECT max(json_extract(input_chars, '$[1]')) FROM requests") > 500  # Chinese
    assert one(log, "SELECT count(*) FROM requests WHERE openai_api_type IS NULL") > 0  # embeddings


def test_load_follows_the_hours(log: sqlite3.Connection) -> None:
    hours = dict(log.execute("SELECT started_ms / 3600000 % 24, count(*) FROM requests GROUP BY 1"))
    assert min(hours[10], hours[15]) > 1.8 * max(hours[22], hours[5])


def test_the_incident_is_slow_and_full_of_429(log: sqlite3.Connection) -> None:
    start = NOW_MS - 24 * HOUR_MS * 0.12
    inside = f"started_ms BETWEEN {start} AND {start + 24 * HOUR_MS * 0.02} AND provider_name = 'openai'"
    outside = f"NOT ({inside}) AND provider_name = 'openai'"
    refused = "SELECT avg(error_type IS '429') FROM requests WHERE cache_level IS NOT 'memory' AND "
    assert one(log, refused + inside) > 20 * one(log, refused + outside)
    slow = "SELECT avg(ttft_s) FROM requests WHERE request_model = 'gpt-4o-mini' AND "
    assert one(log, slow + inside) > 2.5 * one(log, slow + outside)


def test_the_provider_caches_more_as_the_day_goes_on(log: sqlite3.Connection) -> None:
    share = (
        "SELECT 1.0 * sum(usage_cache_read_input_tokens) / sum(usage_input_tokens) FROM requests "
        "WHERE prompt_name = 'support/answer' AND started_ms "
    )
    assert one(log, share + f"> {NOW_MS - 4 * HOUR_MS}") > 1.5 * one(log, share + f"< {NOW_MS - 20 * HOUR_MS}")


def test_figures_do_not_contradict_each_other(log: sqlite3.Connection) -> None:
    wrong = (
        "usage_cache_read_input_tokens > usage_input_tokens",
        "usage_reasoning_output_tokens > usage_output_tokens",
        "NOT (ttfb_s <= response_time_to_first_chunk AND response_time_to_first_chunk <= ttft_s AND "
        "ttft_s <= duration_s AND duration_s <= total_s)",
        "ttft_s IS NOT NULL AND request_stream IS NOT 1",
        "cost_usd IS NULL AND usage_input_tokens IS NOT NULL AND request_model NOT LIKE 'qwen%'",
        "cost_status = 'unpriced' AND cost_usd IS NOT NULL",
        "cache_level IN ('memory', 'redis', 'disk', 'semantic') AND (cost_usd IS NOT 0.0 OR saved_usd <= 0)",
        "error_type = '429' AND (usage_input_tokens IS NOT NULL OR cost_usd IS NOT NULL)",
        "started_ms IS NULL OR request_model IS NULL OR operation_name IS NULL OR attempt IS NULL",
    )
    for condition in wrong:
        assert one(log, f"SELECT count(*) FROM requests WHERE {condition}") == 0, condition


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    def rows(name: str, seed: int) -> list[tuple[object, ...]]:
        fill(tmp_path / name, hours=2, rows=150, seed=seed, now_ms=NOW_MS)
        connection = sqlite3.connect(tmp_path / name)
        try:
            return connection.execute(f"SELECT {', '.join(COLUMNS)} FROM requests ORDER BY id").fetchall()
        finally:
            connection.close()

    assert rows("a.db", 3) == rows("b.db", 3)
    assert rows("a2.db", 3) != rows("c.db", 4)


def test_the_last_hour_of_a_day_can_go_apart_and_end_badly(tmp_path: Path) -> None:
    rows = rows_of_last_hour(24.0, NOW_MS)
    assert 0 < rows < 24 * 420
    stretch = (NOW_MS - 24 * HOUR_MS, NOW_MS)
    fill(tmp_path / "h.db", hours=1, rows=600, seed=1, now_ms=NOW_MS, stretch_ms=stretch, ends_badly=True)
    log = sqlite3.connect(tmp_path / "h.db")
    try:
        late = f"started_ms >= {NOW_MS - 14 * 60_000} AND request_model = 'gpt-4o-mini'"
        early = f"started_ms < {NOW_MS - 14 * 60_000} AND request_model = 'gpt-4o-mini'"
        refused = "SELECT avg(error_type IS '429') FROM requests WHERE "
        assert one(log, refused + late) > 0.1 > one(log, refused + early)
        # Of the whole day it is the end: prompts are the trimmed ones from its first minute on.
        assert one(log, "SELECT count(DISTINCT prompt_version) FROM requests WHERE prompt_name = 'rag/answer'") == 1
    finally:
        log.close()


def test_prompts_that_repeat_share_their_hash_and_their_prefixes(log: sqlite3.Connection) -> None:
    hashes, rows = log.execute(
        "SELECT count(DISTINCT prompt_hash), count(*) FROM requests WHERE prompt_name = 'support/answer'"
    ).fetchone()
    assert 2 <= hashes < rows / 20
    firsts = set()
    for (prefixes,) in log.execute(
        "SELECT DISTINCT prefix_hashes FROM requests WHERE prompt_name = 'support/answer' AND prompt_version = '5'"
    ):
        firsts.add(json.loads(prefixes)[0][1])
    assert len(firsts) == 1


def test_a_log_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(PromptopError, match=r"cannot be (opened|written)"):
        fill(tmp_path / "file" / "log.db", rows=5, now_ms=NOW_MS)


def test_bodies_are_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "log.db", hours=1, rows=40, now_ms=NOW_MS, bodies=True)
    kept = [read_body(tmp_path / "log.db", number) for number in range(1, 41)]
    assert all(body is not None and body.request for body in kept)
    asked = [json.loads(body.request or "") for body in kept if body]
    assert any("messages" in body for body in asked)
    assert any(body and "assistant" in (body.response or "") for body in kept)
    fill(tmp_path / "bare.db", hours=1, rows=40, now_ms=NOW_MS)
    assert not (tmp_path / "bare.db.bodies").exists()
