"""Why caches did not answer: each cause on rows made for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop.cache.misses import common_prefix, findings_of
from promptop.log import Finished, LogReader, StoredRow, Writer
from promptop.log.read.prefixes import prefixes_of
from promptop_tui.monitor.data.queries import find
from promptop_tui.monitor.data.snapshot import SnapshotQuery
from promptop_tui.monitor.dialogs.finding_lists import ListDialog

A, B = [[4096, "a1"], [8192, "a2"]], [[4096, "b1"], [8192, "b2"]]


def stored(started_s: float, prefixes: object = A, **changes: Any) -> StoredRow:
    values: dict[str, Any] = {
        "request_model": "m",
        "app": "web",
        "prompt_name": "sum",
        "prompt_hash": "h",
        "usage_input_tokens": 2048,
        "usage_cache_read_input_tokens": 0,
        "input_chars": "[8192, 0, 0, 0]",
        "prefix_hashes": json.dumps(prefixes),
    }
    return StoredRow(id=1, started_ms=int(started_s * 1000), **{**values, **changes})


def rates(model: str) -> tuple[float, float] | None:
    return (2.0, 0.5) if model == "m" else None


def causes(*rows: StoredRow) -> list[tuple[str, int, int]]:
    return [(finding.cause, finding.n, round(finding.tokens)) for finding in findings_of(rows, rates)]


def test_a_prefix_that_was_just_sent_should_have_hit() -> None:
    found = findings_of([stored(0), stored(60), stored(90)], rates)
    assert [(each.where, each.n) for each in found] == [("provider", 2)]
    assert "within 5 minutes" in found[0].cause
    assert found[0].tokens == 4096
    assert found[0].lost_usd == pytest.approx(4096 * 1.5 / 1e6)
    assert findings_of([stored(0), stored(60, usage_cache_read_input_tokens=1920)], rates) == ()


def test_a_prefix_that_was_sent_long_ago_is_forgotten() -> None:
    assert causes(stored(0), stored(301))[0][0].startswith("forgotten")


def test_a_prompt_that_begins_otherwise_cannot_hit() -> None:
    changed = [[4096, "c1"], [8192, "c2"]]
    later = [[1024, "s"], [4096, "c1"], [8192, "c2"]]
    first = [[1024, "s"], [4096, "a1"], [8192, "a2"]]
    assert causes(stored(0), stored(10, changed)) == [("its text changes within its first 4,096 characters", 1, 2048)]
    between = "its text changes between characters 1,024 and 4,096"
    assert causes(stored(0, first), stored(10, later)) == [(between, 1, 2048)]
    assert causes(stored(0), stored(10, changed, app="other")) == []


def test_another_model_has_another_cache() -> None:
    assert causes(stored(0, request_model="old"), stored(10)) == [("the model changed from old", 1, 2048)]


@pytest.mark.parametrize(
    "changes",
    [
        {"usage_cache_read_input_tokens": None},
        {"usage_input_tokens": 900},
        {"prefix_hashes": None},
        {"prefix_hashes": "{]"},
        {"error_type": "500"},
        {"cache_level": "memory"},
    ],
)
def test_what_is_unknown_small_failed_or_answered_is_no_miss(changes: dict[str, Any]) -> None:
    assert [each for each in findings_of([stored(0), stored(10, **changes)], rates) if each.where == "provider"] == []


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"request_temperature": 0.1}, {"request_temperature": 0.2}, "another temperature"),
        ({"error_type": "500"}, {}, "that request failed"),
        ({"cache_key": "a"}, {"cache_key": "b"}, "another parameter"),
        ({"cache_key": "a"}, {"cache_key": "a"}, "expired, dropped, or never stored"),
        ({"cache_words_key": "w"}, {"cache_words_key": "w", "prompt_hash": "other"}, "white space alone"),
    ],
)
def test_repeats_that_our_cache_missed(first: dict[str, Any], second: dict[str, Any], words: str) -> None:
    small = {"cache_level": "miss", "usage_input_tokens": 10, "cost_usd": 0.25}
    found = findings_of([stored(0, **small, **first), stored(10, **small, **second)], rates)
    assert [(each.where, each.n, each.lost_usd) for each in found] == [("ours", 1, 0.25)]
    assert words in found[0].cause


def test_a_repeat_beyond_the_ttl_had_expired_and_one_within_it_was_dropped() -> None:
    miss = {"cache_level": "miss", "usage_input_tokens": 10, "cost_usd": 0.25, "cache_key": "a"}
    rows = [stored(0, **miss), stored(4000, **miss), stored(4100, **miss)]
    found = {each.cause: each for each in findings_of(rows, rates, ttl_s=3600)}
    assert set(found) == {
        "expired: asked longer ago than the TTL of 1h 00m",
        "asked within the TTL: dropped, or never stored",
    }
    assert [each.ages_s for each in found.values()] == [[4000.0], [100.0]]


def test_a_prefix_of_another_server_or_with_other_tools_is_another() -> None:
    assert causes(stored(0, server_address="a.example"), stored(60)) == [
        ("last sent to another server, a.example", 1, 2048)
    ]
    assert causes(stored(0, request_tools=3), stored(60)) == [("last sent with other tools", 1, 2048)]


def test_broken_prefixes_are_none() -> None:
    assert prefixes_of(stored(0, [[1]])) == prefixes_of(stored(0, 5)) == ()


@given(st.text(alphabet="ab猫", max_size=40), st.text(alphabet="ab猫", max_size=40))
@settings(max_examples=60)
def test_a_common_prefix_is_as_long_as_it_can_be(one: str, other: str) -> None:
    size = common_prefix(one, other)
    assert one[:size] == other[:size]
    assert one[size : size + 1] != other[size : size + 1] or size in (len(one), len(other))


def test_the_very_character_is_named_where_prompts_are_kept(log_path: Path) -> None:
    bodies = [
        json.dumps(
            {"model": "m", "messages": [{"role": "system", "content": f"{'规则 ' * 400}{day}, 其余 {'x' * 3000}"}]}
        )
        for day in ("Monday", "Friday")
    ]
    with Writer(log_path, bodies="full", keep_days=0) as writer:
        for number, body in enumerate(bodies):
            changes = {"prefix_hashes": json.dumps([[1024, f"p{number}"], [4096, f"q{number}"]])}
            changes |= {"usage_input_tokens": 4096, "usage_cache_read_input_tokens": 0, "request_model": "m"}
            writer.put(Finished(row(60 - number, **changes), body.encode(), b""))
        assert writer.flush(10)
    with LogReader(log_path) as log:
        (found,) = find(log, SnapshotQuery(), "misses", int(NOW * 1000)).items
    assert found.cause.startswith("its text changes from character 1,200 on: “Friday, 其余 xxxx")


async def test_causes_are_listed_and_lead_to_requests(log_path: Path) -> None:
    names = ("prefix_hashes", "input_chars", "usage_input_tokens", "usage_cache_read_input_tokens", "prompt_hash")
    values = {name: getattr(stored(0), name) for name in names}
    rows = [row(200 - i * 20, **values, app="web", prompt_name="sum") for i in range(4)]
    write(log_path, [*rows, row(5, app="other")])
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ListDialog) and app.screen.found is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "within 5 minutes" in text
        assert "cache misses, last 1h: 3, ≈ $" in text
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.shown.query.view == "misses")
        assert app.pane.table.row_count == 3
        assert {each.app for each in app.pane.table.feed.rows} == {"web"}
