"""Replay and bookmarks."""

from __future__ import annotations

from pathlib import Path

from promptop.settings import state_dir
from promptop_tui.monitor import bookmarks
from promptop_tui.monitor.bookmarks import Bookmark
from promptop_tui.monitor.lists import BookmarkScreen

from .conftest import NOW, Host, row, screen_text, until, write


async def test_a_replay_runs_to_the_present_at_any_speed(log_path: Path) -> None:
    write(log_path, (row(3000 - i * 10, request_model=f"m{i}") for i in range(300)))
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        await pilot.press("r")
        assert pane.speed == 1
        assert pane.asked.until_ms is not None
        start = pane.asked.until_ms
        assert start <= (NOW - 3600) * 1000 + 1000
        await pilot.press("r", "r", "r")
        assert pane.speed == 600
        assert "▶ ×600" in screen_text(app)
        await until(pilot, lambda: (pane.shown.query.until_ms or 0) > start + 60_000)
        pane.advance(2.0)  # 20 minutes of the log
        reached = pane.asked.until_ms or 0
        await until(pilot, lambda: pane.shown.query.until_ms == pane.asked.until_ms)
        assert all((each.started_ms or 0) <= (pane.asked.until_ms or 0) for each in pane.table.feed.rows)
        await pilot.press("space")
        assert pane.speed == 0
        assert (pane.asked.until_ms or 0) >= reached  # held, not live
        await pilot.press("r")
        pane.advance(1e6)
        assert (pane.speed, pane.asked.until_ms) == (0, None)
        await until(pilot, lambda: pane.table.current is not None and pane.table.current.request_model == "m299")


async def test_a_moment_is_kept_and_found_again(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        await pilot.press("[", "[", "k")
        kept = pane.asked
        assert kept.until_ms is not None
        await pilot.press("end")
        await until(pilot, lambda: pane.asked.until_ms is None)
        await pilot.press("j")
        await until(pilot, lambda: isinstance(app.screen, BookmarkScreen))
        await until(pilot, lambda: "bookmarks: 1" in screen_text(app))
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
