"""Alerts on the screen: shown, belled, handed to a command, remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from promptop.settings import MonitorSettings, state_dir

from .conftest import NOW, Host, row, screen_text, until, write


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """A command that writes what it was told."""
    script = tmp_path / "note.sh"
    script.write_text('#!/bin/sh\necho "$PROMPTOP_ALERT_STATE $PROMPTOP_ALERT_VALUE | $1" >> "$0.out"\n')
    script.chmod(0o700)
    return script


async def test_an_alert_is_shown_told_and_not_repeated_after_a_restart(
    log_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log_path, [row(10 + i, duration_s=30.0) for i in range(30)])
    rules = ("p95>10s over 15m", "error_rate>1%", "modle>1")
    settings = MonitorSettings(alerts=rules, alert_command=str(noted))
    out = noted.with_name("note.sh.out")
    bells: list[int] = []
    for start in range(2):
        app = Host(log_path, settings=settings)
        monkeypatch.setattr(app, "bell", lambda start=start: bells.append(start))
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda app=app: "▲ 1 alert" in screen_text(app))
            await until(pilot, out.exists)
            await pilot.press("a")
            await until(pilot, lambda app=app: "▲ fires" in screen_text(app))
            text = screen_text(app)
            assert "p95>10s over 15m: 30." in text or "p95>10s over 15m: 29." in text
            assert "✓ quiet" in text
            assert any("'modle>1' is no alert" in notice.message for notice in app._notifications)
    assert bells == [0]
    lines = out.read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("firing ")
    assert "p95>10s over 15m: it is" in lines[0]
    kept = json.loads((state_dir() / "alerts.json").read_text())
    assert next((each["rule"], each["firing"], each["since_ms"]) for each in kept) == (rules[0], True, int(NOW * 1000))


async def test_a_command_that_fails_is_said(log_path: Path) -> None:
    write(log_path, [row(1)])
    settings = MonitorSettings(alerts=("n>0",), alert_command="/nonexistent/command --x")
    app = Host(log_path, settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: any("alert_command failed" in each.message for each in app._notifications))
    assert os.environ.get("PROMPTOP_ALERT") is None


async def test_without_rules_nothing_is_judged_or_written(log_path: Path) -> None:
    write(log_path, [row(1)])
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("a")
        await until(pilot, lambda: "No rules yet" in screen_text(app))
        assert "e Edit" not in screen_text(app)
    assert not (state_dir() / "alerts.json").exists()
