"""The guide in the app: the sheet, its steps priced and taken in place, and the keys that go to parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.promptop_tui.playground.test_measure_dialog import LONG, Alone, context, endpoint  # noqa: F401 - fixtures
from tests.support.waits import until_shown as until
from textual.widgets import Input

from promptop.client.request import RunRequest
from promptop.experiments.guide.sheet import load
from promptop_tui.playground.measure.guide_dialog import guide_dialog


@pytest.mark.usefixtures("private_folders")
async def test_steps_are_taken_by_f5_and_kept(context: Any, tmp_path: Path) -> None:  # noqa: F811
    built = context()
    profile = built.settings.active_profile()
    request = RunRequest(
        profile=profile, model="gpt-4o-mini", messages=[{"role": "user", "content": LONG}], max_tokens=9
    )
    name = str(tmp_path / "p.md")
    app = Alone(guide_dialog(built, name, LONG, request, {}))
    async with app.run_test(size=(110, 40)) as pilot:
        await until(pilot, lambda: "sends them" in app.text("#form-state"))
        assert "▸  1 Baseline" in app.text("#guide-text")
        app.fill(calls="5")
        await until(pilot, lambda: "6 calls" in app.text("#form-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.page.query_one("#field-step", Input).value == "shorten")
        assert "✓  1 Baseline" in app.text("#guide-text")
        await until(pilot, lambda: "12 calls" in app.text("#form-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.page.query_one("#field-step", Input).value == "context")
        assert "input −" in app.text("#guide-text")
        await until(pilot, lambda: "0 calls" in app.text("#form-state"))
        await pilot.press("f5")
        await until(pilot, lambda: app.page.query_one("#field-step", Input).value == "parameters")
        assert "0 earlier rounds" in app.text("#guide-text")
    sheet = load(name)
    assert sheet is not None
    assert [each.step for each in sheet.taken] == ["baseline", "shorten", "context"]
    assert sheet.original.max_tokens == 9 and sheet.current.text != LONG
