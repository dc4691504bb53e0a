"""Duplicates and N+1 loops: found, priced, shown, and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.promptop_tui.monitor.conftest import Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop.log import StoredRow
from promptop_tui.monitor.analysis.bursts import advice_of, bursts_of
from promptop_tui.monitor.dialogs.finding_lists import ListDialog


def stored(started_s: float, **changes: Any) -> StoredRow:
    values = {"request_model": "m", "app": "a", "prompt_name": "p", "cost_usd": 0.5, "prompt_hash": "h"}
    return StoredRow(id=1, started_ms=int(started_s * 1000), **{**values, **changes})


def test_one_prompt_again_and_again() -> None:
    rows = [stored(i * 30) for i in range(4)] + [stored(1000), stored(1030)]
    found = bursts_of(rows)
    assert [(burst.kind, burst.n, burst.cost_usd, burst.avoidable_usd) for burst in found] == [
        ("duplicates", 4, 2.0, 1.5)
    ]
    assert bursts_of([stored(i * 30, cache_level="memory") for i in range(9)]) == ()
    assert bursts_of([stored(i * 61) for i in range(9)]) == ()
    assert bursts_of([stored(i, prompt_hash=None, app=None, prompt_name=None) for i in range(99)]) == ()


def test_a_loop_of_different_prompts() -> None:
    rows = [stored(i * 0.5, prompt_hash=f"h{i}") for i in range(12)]
    found = bursts_of(rows)
    assert [(burst.kind, burst.n, burst.avoidable_usd) for burst in found] == [("N+1", 12, 3.0)]
    assert bursts_of(rows[:9]) == ()
    assert bursts_of([stored(i * 2, prompt_hash=f"h{i}") for i in range(12)]) == ()


def test_what_is_no_loop() -> None:
    def twelve(**changes: Any) -> list[StoredRow]:
        return [
            stored(i * 2.5, prompt_hash=f"h{i}", **{key: value(i) for key, value in changes.items()}) for i in range(12)
        ]

    slow = twelve(total_s=lambda i: 2.0)
    assert [(each.kind, each.n) for each in bursts_of(slow)] == [("N+1", 12)], "each begins as the one before ends"
    assert bursts_of(twelve(total_s=lambda i: 3.0)) == (), "calls that overlap are of several places"
    assert bursts_of(twelve(total_s=lambda i: 2.0, request_stream=lambda i: 1)) == (), "somebody reads along"
    for tag in ("user", "session_id", "host"):
        assert bursts_of(twelve(total_s=lambda i: 2.0, tags=lambda i, tag=tag: f'{{"{tag}": "{i % 3}"}}')) == ()
    of_one = twelve(total_s=lambda i: 2.0, tags=lambda i: f'{{"user": "u1", "document": "{i}"}}')
    assert [each.kind for each in bursts_of(of_one)] == ["N+1"]
    assert bursts_of(twelve(total_s=lambda i: 2.0, conversation_id=lambda i: f"c{i % 2}")) == ()


def test_a_loop_is_priced_as_a_batch_and_embeddings_as_requests() -> None:
    chats = [
        stored(
            i * 0.5,
            prompt_hash=f"h{i}",
            request_model="gpt-4o-mini",
            usage_input_tokens=1_000_000,
            usage_output_tokens=0,
            cost_usd=0.15,
        )
        for i in range(10)
    ]
    (found,) = bursts_of(chats)
    assert found.avoidable_usd == pytest.approx(0.75), "the table's batch price is half"
    assert "≈ $0.75" in advice_of(found)
    assert "--provider-batch" in advice_of(found)
    assert advice_of(found).startswith("if it may wait: ")
    vectors = [stored(i * 0.5, prompt_hash=f"h{i}", operation_name="embeddings") for i in range(30)]
    (found,) = bursts_of(vectors)
    assert (found.avoidable_usd, found.spare) == (None, 29)
    assert "29 requests fewer" in advice_of(found)
    (found,) = bursts_of([stored(i * 30) for i in range(4)])
    assert advice_of(found) == "a cache: $1.50 of $2.00 saved"


def test_a_fast_run_of_one_prompt_is_told_once() -> None:
    assert [burst.kind for burst in bursts_of([stored(i * 0.1) for i in range(20)])] == ["duplicates"]


async def test_bursts_are_listed_and_their_requests_shown(log_path: Path) -> None:
    rows = [row(600 - i, prompt_hash="same", request_model="dup", app=None, prompt_name=None) for i in range(5)]
    rows += [
        row(300 - i / 4, total_s=0.2, request_stream=0, prompt_hash=f"h{i}", app="loop, er", prompt_name="each")
        for i in range(12)
    ]
    rows += [row(299.9, prompt_hash="else", app="other"), *(row(60 * i, prompt_hash=f"x{i}") for i in range(20, 30))]
    write(log_path, sorted(rows, key=lambda each: each.started_ms or 0))
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, ListDialog) and app.screen.found is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "2, avoidable $0.100, in 28 requests" in text
        assert "duplicates" in text
        assert "N+1" in text
        assert "≈ $0.06 saved" in text, "the burst under the cursor is advised on"
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.shown.query.view == "burst")
        assert app.pane.table.row_count == 12
        assert {each.app for each in app.pane.table.feed.rows} == {"loop, er"}
        await pilot.press("escape")
        await until(pilot, lambda: app.pane.table.row_count == 28)
