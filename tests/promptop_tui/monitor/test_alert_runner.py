"""Alerts on the screen: shown, belled, handed to a command, remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop.alerts import rules as alert_rules
from promptop.alerts.runner import state_file
from promptop.base.files import state_dir
from promptop.settings import MonitorSettings
from promptop_tui.services import alert_watch


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge as soon as the app is there."""
    monkeypatch.setattr(alert_watch, "BEGIN_S", 0.001)


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
            assert any("'modle>1' is not an alert" in notice.message for notice in app._notifications)
    assert bells == [0]
    lines = out.read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("firing ")
    assert "p95>10s over 15m: it is" in lines[0]
    kept = json.loads(state_file(state_dir(), (log_path,)).read_text())
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
    assert not (state_dir() / "alerts").exists()


async def test_what_another_app_has_told_is_not_told_twice(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log_path, [row(10)])
    app = Host(log_path, settings=MonitorSettings(alerts=("n>0",)))
    rung: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    alert_rules.save(state_file(state_dir(), (log_path,)), [alert_rules.Alert("n>0", firing=True, since_ms=5)])
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "▲ 1 alert" in screen_text(app))
    assert rung == []


async def test_a_log_that_cannot_be_read_is_said_once(log_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_path.parent.mkdir(parents=True)
    log_path.write_bytes(b"not a database, but long enough to be looked at" * 30)
    monkeypatch.setattr(alert_watch, "_PAUSE_S", 0.01)
    app = Host(log_path, settings=MonitorSettings(alerts=("n>0",)))
    async with app.run_test(size=(100, 30)) as pilot:
        said = lambda: [each for each in app._notifications if "Alerts are not judged" in each.message]  # noqa: E731
        await until(pilot, said)
        await pilot.pause(0.1)
        assert len(said()) == 1
        assert "is not an SQLite file" in said()[0].message
