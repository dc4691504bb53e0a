"""What the first lines say, and where it leads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.waits import until_shown as until

from promptop.alerts.changes import Change
from promptop.alerts.watch import Present
from promptop.log import in_flight
from promptop.log.in_flight import InFlight
from promptop_tui.monitor.views.triage_line import TriageLine

from .conftest import NOW, Host, row, screen_text, write

NOW_MS = int(NOW * 1000)
CHANGE = Change("app", "web", "limited_share", 0.01, 0.6, NOW_MS - 600_000, 1.0, 3.0)
PRESENT = Present(
    NOW_MS, True, (CHANGE, replace(CHANGE, value="batch", figure="ttft", before=0.5, after=2.0)), (), NOW_MS, 1.0
)


@pytest.fixture(autouse=True)
def judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a present that a test puts there in its place."""
    monkeypatch.setattr("promptop_tui.monitor.data.reader.WATCH_S", 1_000.0)


async def test_a_log_without_a_change_says_against_what_and_how_old_it_is(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "last row 30 s ago" in screen_text(app))
        app.clock.time = NOW + 60
        await until(pilot, lambda: "last row 90 s ago" in screen_text(app))
        assert "✓ As usual" in screen_text(app)
        assert app.pane.triage.size.height == 2


async def test_changes_have_lines_and_lead_to_their_rows(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: app.pane.triage.present is not None)
        app.pane.triage.present = PRESENT
        await until(pilot, lambda: "▲ web: rejected (429) 1.0 % → 60 % since" in screen_text(app))
        await until(pilot, lambda: "▲ batch: TTFT ×4.0 (500 ms → 2.00 s) since" in screen_text(app))
        assert not app.pane.triage.can_focus  # no stop of the Tab key
        await pilot.press("t", "down", "up")
        await until(pilot, lambda: "▶ web" in screen_text(app))
        await pilot.press("escape")
        assert app.pane.table.has_focus
        await pilot.press("t", "enter")
        asked = app.pane.view.asked
        assert asked.view_terms == 'app:"web" code:429'
        assert asked.moment_ms is not None
        assert asked.moment_ms[0] == CHANGE.since_ms
        await until(pilot, lambda: len(app.pane.table.feed.rows) == 1)
        assert app.pane.table.has_focus


async def test_a_small_terminal_shows_fewer_changes_and_says_so(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 14)) as pilot:
        await until(pilot, lambda: app.pane.triage.present is not None)
        app.pane.triage.present = PRESENT
        await until(pilot, lambda: "▲ web" in screen_text(app))
        assert "▲ batch" not in screen_text(app)
        await until(pilot, lambda: "1 more" in screen_text(app))


async def test_silence_and_calls_in_flight_are_on_the_line(log_path: Path) -> None:
    write(log_path, [row(60.0 * minute + 700) for minute in range(60)])
    in_flight.write(log_path, [InFlight("web", "m", 3, NOW_MS - 40_000)])
    file = in_flight.files_of(log_path)[0]
    file.write_text(f'{{"at_ms": {NOW_MS}, "calls": [["web", "m", 3, {NOW_MS - 40_000}]]}}')
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "3 in flight, oldest 40 s web m" in screen_text(app))
        assert "◐ last row 11 m ago" in screen_text(app)  # a minute between rows is its rhythm


async def test_a_held_window_and_a_hidden_change_do_not_take_the_focus(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: app.pane.triage.present is not None)
        await pilot.press("t")
        assert app.query_one(TriageLine).has_focus is False
        await until(pilot, lambda: any("Nothing is unusual" in each.message for each in app._notifications))


async def test_what_changed_against_the_window_before_leads_to_rows(log_path: Path) -> None:
    before = [row(3_700 + 10.0 * number) for number in range(300)]
    after = [row(10.0 * number, ttft_s=1.6, duration_s=3.2) for number in range(300)]
    others = [row(10.0 * number, request_model="gpt-4o") for number in range(670)]  # unchanged in both windows
    write(log_path, [*reversed(before), *reversed(after), *reversed(others)])
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("u")
        await until(pilot, lambda: "×4.0" in screen_text(app))
        assert "TTFT" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "gpt-4o-mini" in app.pane.view.asked.filter)
