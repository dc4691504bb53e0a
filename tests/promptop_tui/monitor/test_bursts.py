"""Duplicates and N+1 loops: found, priced, shown, and opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from promptop.log import StoredRow
from promptop_tui.monitor.bursts import bursts_of
from promptop_tui.monitor.lists import BurstScreen

from .conftest import Host, row, screen_text, until, write


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
    assert [(burst.kind, burst.n, burst.avoidable_usd) for burst in found] == [("N+1", 12, None)]
    assert bursts_of(rows[:9]) == ()
    assert bursts_of([stored(i * 2, prompt_hash=f"h{i}") for i in range(12)]) == ()


def test_a_fast_run_of_one_prompt_is_told_once() -> None:
    assert [burst.kind for burst in bursts_of([stored(i * 0.1) for i in range(20)])] == ["duplicates"]


async def test_bursts_are_listed_and_their_requests_shown(log_path: Path) -> None:
    rows = [row(600 - i, prompt_hash="same", request_model="dup", app=None, prompt_name=None) for i in range(5)]
    rows += [row(300 - i / 4, prompt_hash=f"h{i}", app="loop, er", prompt_name="each") for i in range(12)]
    rows += [row(299.9, prompt_hash="else", app="other"), *(row(60 * i, prompt_hash=f"x{i}") for i in range(20, 30))]
    write(log_path, sorted(rows, key=lambda each: each.started_ms or 0))
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BurstScreen) and app.screen.found is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "2, avoidable $0.04, in 28 requests" in text
        assert "duplicates" in text
        assert "N+1" in text
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.pane.shown.query.view == "burst")
        assert app.pane.table.row_count == 12
        assert {each.app for each in app.pane.table.feed.rows} == {"loop, er"}
        await pilot.press("escape")
        await until(pilot, lambda: app.pane.table.row_count == 28)
