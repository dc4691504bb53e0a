"""The guide in the app: the sheet, its steps priced and taken in place, and the keys that go to parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.promptop_tui.playground.test_measure_dialog import LONG, Alone, context, endpoint  # noqa: F401 - fixtures
from tests.support.waits import until_shown as until
from textual.widgets import Input

from promptop.base import texts
from promptop.client.request import RunRequest
from promptop.experiments.guide.sheet import load
from promptop_tui.playground.measure.guide_dialog import guide_dialog

WORDY = (
    "请你扮演一个资深的软件工程师,详细解释什么是提示工程,包括它的定义、重要性、常用技巧,还要举2个实际例子,"
    "语言要通俗易懂,不要用专业术语。\n"
)
REWRITTEN = "解释提示工程:定义、重要性、技巧,举2例,通俗,不要用专业术语。\n"


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
        assert "nothing to leave out" in app.text("#guide-text")
    sheet = load(name)
    assert sheet is not None
    assert [each.step for each in sheet.taken] == ["baseline", "shorten", "context"]
    assert sheet.original.max_tokens == 9 and sheet.current.text != LONG


@pytest.mark.usefixtures("private_folders")
async def test_a_draft_that_was_rewritten_goes_on_with_its_sheet(context: Any) -> None:  # noqa: F811
    """The way of a reader of Chinese: rules that save little, the hint at a rewrite, its text measured."""
    built = context()
    profile = built.settings.active_profile()
    name = str(built.draft_path)

    def page(text: str) -> Any:
        messages = [{"role": "user", "content": text}]
        request = RunRequest(profile=profile, model="gpt-4o-mini", messages=messages, max_tokens=5)
        return Alone(guide_dialog(built, name, text, request, {}))

    before = texts.use("zh")
    try:
        app = page(WORDY)
        async with app.run_test(size=(130, 60)) as pilot:
            await until(pilot, lambda: "发送" in app.text("#form-state"))
            app.fill(calls="5")
            for calls, following in ((6, "shorten"), (12, "context")):
                await until(pilot, lambda n=calls: app.text("#form-state").startswith(f"{n} "))
                await pilot.press("f5")
                await until(pilot, lambda step=following: app.page.query_one("#field-step", Input).value == step)
            said = app.text("#guide-text")
            assert "规则能省的不多" in said and "规则：53 → 41 token" in said
            assert "中位数" in said and "n=5+5]" in said, "each figure has its interval"
        app = page(REWRITTEN)
        async with app.run_test(size=(130, 60)) as pilot:
            assert app.page.query_one("#field-step", Input).value == "shorten"
            await until(pilot, lambda: "你的文本：41 → 24 token" in app.text("#guide-text"))
            await until(pilot, lambda: "发送" in app.text("#form-state"))
            app.fill(calls="5")
            await until(pilot, lambda: app.text("#form-state").startswith("12 "))
            await pilot.press("f5")
            await until(pilot, lambda: app.page.query_one("#field-step", Input).value == "context")
            assert "输入 −" in app.text("#guide-text")
        assert page("Name a fruit.").page.measure.sheet.taken == (), "another draft begins anew"
    finally:
        texts.use(before)
    sheet = load(name)
    assert sheet is not None and sheet.original.text == WORDY and sheet.current.text == REWRITTEN
