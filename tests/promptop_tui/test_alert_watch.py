"""Alert rules are judged whatever tab is shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until

from promptop.log import Row, Writer
from promptop.settings import LogSettings, MonitorSettings, Settings
from promptop_tui.services import alert_watch
from promptop_tui.shell.tabs import TabStrip


async def test_a_rule_that_fires_is_told_in_the_editor(
    tmp_path: Path, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_watch, "BEGIN_S", 0.001)
    path = tmp_path / "log.db"
    with Writer(path) as writer:
        for _ in range(9):
            writer.put(Row(started_ms=int(time.time() * 1000) - 5000, request_model="m"))
        assert writer.flush(10)
    app = make_app(Settings(log=LogSettings(path=str(path)), monitor=MonitorSettings(alerts=("n>5", "n>99"))))
    rung: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_until(pilot, lambda: app.query_one(TabStrip).firing == 1)
        await wait_until(pilot, lambda: app.query_one("#firing").display)
        assert app.tab == "editor"
        assert rung == [1]
        await wait_until(pilot, lambda: any("n>5: it is 9" in each.message for each in app._notifications))
