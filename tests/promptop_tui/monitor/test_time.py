"""Replay and bookmarks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until
from textual.widgets import Input

from promptop.base.files import state_dir
from promptop.cli.main import main
from promptop.log import LogReader
from promptop_tui.monitor.data import bookmarks
from promptop_tui.monitor.data.bookmarks import Bookmark
from promptop_tui.monitor.dialogs.finding_lists import ListDialog
from promptop_tui.monitor.dialogs.goto_dialog import GoDialog
from promptop_tui.monitor.dialogs.note_dialog import NoteDialog


async def test_a_replay_runs_to_the_present_at_any_speed(log_path: Path) -> None:
    write(log_path, (row(3000 - i * 10, request_model=f"m{i}") for i in range(300)))
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        await pilot.press("r")
        assert pane.time.speed == 1
        assert pane.view.asked.until_ms is not None
        start = pane.view.asked.until_ms
        assert start <= (NOW - 3600) * 1000 + 60_000  # it runs, as slow as the machine
        await pilot.press("r", "r", "r")
        assert pane.time.speed == 600
        assert "▶ ×600" in screen_text(app)
        await until(pilot, lambda: (pane.shown.query.until_ms or 0) > start + 60_000)
        pane.time.advance(2.0)  # 20 minutes of the log
        reached = pane.view.asked.until_ms or 0
        await until(pilot, lambda: pane.shown.query.until_ms == pane.view.asked.until_ms)
        assert all((each.started_ms or 0) <= (pane.view.asked.until_ms or 0) for each in pane.table.feed.rows)
        await pilot.press("space")
        assert pane.time.speed == 0
        assert (pane.view.asked.until_ms or 0) >= reached  # held, not live
        await pilot.press("r")
        pane.time.advance(1e6)
        assert (pane.time.speed, pane.view.asked.until_ms) == (0, None)
        await until(pilot, lambda: pane.table.current is not None and pane.table.current.request_model == "m299")


async def test_a_moment_is_kept_and_found_again(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        await pilot.press("[", "[")
        kept = pane.view.asked
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, NoteDialog))
        await pilot.press(*"spike", "enter")
        await until(pilot, lambda: app.screen is pane.screen)
        assert kept.until_ms is not None
        await pilot.press("end")
        await until(pilot, lambda: pane.view.asked.until_ms is None)
        await pilot.press("j")
        await until(pilot, lambda: isinstance(app.screen, ListDialog))
        await until(pilot, lambda: "bookmarks: 1" in screen_text(app))
        assert "spike" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: pane.shown.query == kept)


def test_bookmarks_are_private_and_damage_is_left_out() -> None:
    path = state_dir() / "bookmarks.json"
    assert bookmarks.load(path) == ()
    made = Bookmark(int(NOW * 1000), "1h", "model:x")
    bookmarks.save(path, [made] * 300)
    assert path.stat().st_mode & 0o777 == 0o600
    assert bookmarks.load(path) == (made,) * 200
    path.write_text(
        '[1, {"until_ms": "x", "span": "1h"}, {"until_ms": 5, "span": "2h"}, {"until_ms": 5, "span": "1h"}]'
    )
    assert bookmarks.load(path) == (Bookmark(5, "1h"),)
    path.write_text("{")
    assert bookmarks.load(path) == ()


async def test_a_replay_runs_back_to_where_the_log_begins(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.reach is not None)
        await pilot.press("R", "R")
        assert pane.time.speed == -10
        assert "◀ ×10" in screen_text(app)
        pane.time.advance(60.0)
        assert pane.view.asked.until_ms == pytest.approx((NOW - 600) * 1000, abs=60_000)
        pane.time.advance(1e6)
        assert (pane.time.speed, pane.view.asked.until_ms) == (0, pane.shown.reach and pane.shown.reach[0])
        await pilot.press("}")
        assert pane.view.asked.until_ms == (pane.shown.reach or (0,))[0] + 3_600_000


async def test_a_time_is_gone_to_by_name(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, GoDialog))
        app.screen.query_one(Input).value = "soon"
        await pilot.press("enter")
        await until(pilot, lambda: "'soon' is not a moment" in screen_text(app))
        app.screen.query_one(Input).value = "30m"
        await pilot.press("enter")
        await until(pilot, lambda: pane.view.asked.until_ms == int((NOW - 1800) * 1000))


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_exported_period_is_replayed_and_the_log_is_back(
    hour: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    export = tmp_path / f"猫 export.{form}"
    assert main(["log", "export", "app:web", "-o", str(export), "--log", str(hour), "--format", form]) == 0
    with LogReader(hour) as log:
        before = log.last_id()
    app = Host(hour)
    app.clock.time = NOW + 40 * 86_400  # long after the period
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        assert pane.shown.window is not None
        assert pane.shown.window.total.n == 0
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, GoDialog))
        app.screen.query_one(Input).value = str(export)
        await pilot.press("enter")
        await until(pilot, lambda: "replay of 猫 export" in screen_text(app))
        await until(pilot, lambda: pane.shown.window is not None and pane.shown.window.total.n == 54)
        assert pane.shown.query.span.name == "24h"
        assert len(pane.table.feed.rows) == 54
        kept = list((state_dir() / "replays").iterdir())
        assert [each.stat().st_mode & 0o777 for each in kept] == [0o700]
        await pilot.press("space")
        assert pane.time.speed == 1
        assert pane.time.period is not None
        assert pane.view.asked.until_ms is not None
        assert pane.view.asked.until_ms < pane.time.period[1]
        pane.time.advance(1e6)
        assert (pane.time.speed, pane.view.asked.until_ms) == (0, pane.time.period[1] + 1)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, GoDialog))
        await pilot.press("enter")
        await until(pilot, lambda: pane.time.period is None and pane.shown.state == "ok")
        assert pane.view.asked.until_ms is None
        assert "replay of" not in screen_text(app)
    with LogReader(hour) as log:
        assert log.last_id() == before


async def test_a_file_that_is_no_export_is_said(hour: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.jsonl"
    noise.write_text('{"a": 1}\n')
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        app.pane.places.go(noise)
        await until(pilot, lambda: any("holds no call" in each.message for each in app._notifications))
        assert app.pane.time.period is None
