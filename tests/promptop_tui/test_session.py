"""The whole loop in the whole app, by keys alone: open, baseline, trim, prove, keep, export, and the log has it."""

from __future__ import annotations

from pathlib import Path

from tests.promptop_tui.conftest import MakeApp
from tests.support.waits import until_shown as wait_until
from textual.widgets import Input, Static

from promptop.log import LogReader
from promptop.prompts import parse
from promptop.prompts.library import Library
from promptop.prompts.receipt import receipt_from
from promptop.settings import EditorSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint
from promptop_tui.editor.screen import EditorPane

LONG = "system:\nCould you please answer in one sentence. 请你帮我解释提示工程，非常感谢。\n\nuser:\n什么是提示工程?\n"
SHORT = "system:\nAnswer in one sentence. 解释提示工程。\n\nuser:\n什么是提示工程?\n"


async def test_from_opening_to_a_proven_export_by_keys_alone(make_app: MakeApp, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(LONG, encoding="utf-8")
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        profile = Profile(name="demo", base_url=endpoint.base_url, models=("gpt-4o-mini",))
        app = make_app(
            Settings(profiles={"demo": profile}, profile="demo", editor=EditorSettings(watch=("gpt-4o-mini",))),
            open_path=path,
        )

        def said(where: str) -> str:
            return str(app.screen.query_one(where, Static).render()) if app.screen.query(where) else ""

        async with app.run_test(size=(160, 48)) as pilot:
            await wait_until(pilot, lambda: app.query("#pane-editor"))
            editor = app.query_one(EditorPane)
            await wait_until(pilot, lambda: editor.area.text == LONG and editor.counts.live.baseline)
            await pilot.press("ctrl+t", "f8")
            await wait_until(pilot, lambda: editor.trims_panel.edits)
            await pilot.press("s")
            await wait_until(pilot, lambda: editor.area.text == SHORT)
            await wait_until(pilot, lambda: not editor.trims_panel.edits or editor.counts.live.is_current)

            await pilot.press("p")
            await wait_until(pilot, lambda: "22 calls, at most $" in said("#form-state"))
            await pilot.press(*["tab"] * 6, "5")  # over file, models, checks, margin, judge and rubric
            await wait_until(pilot, lambda: app.screen.query_one("#field-answers", Input).value == "5")
            await wait_until(pilot, lambda: "12 calls, at most $" in said("#form-state"))
            await pilot.press("f5")
            await wait_until(pilot, lambda: "similarity (ROUGE-L)" in said("#proof-text"))
            verdict = said("#proof-text").partition(":")[0]
            await pilot.press("escape", "escape")

            await pilot.press("ctrl+l")
            await wait_until(pilot, lambda: app.screen.query("#library-find"))
            await pilot.press(*"tea", "f9")
            await wait_until(pilot, lambda: any(entry.name == "tea" for entry in Library().entries()))
            await pilot.press("escape", "alt+e")
            await wait_until(pilot, lambda: app.screen.query("#picker-text"))
            await pilot.press("down", "down", "c")
            await wait_until(pilot, lambda: app.clipboard.startswith("---"))

    receipt = Library().version("tea").receipt
    assert receipt is not None
    assert receipt.proof is not None
    assert receipt.proof.is_of(LONG, SHORT)
    assert (receipt.proof.verdict, receipt.proof.calls) == (verdict, 10)
    assert receipt.tokens_after < receipt.tokens_before
    assert receipt_from(parse(app.clipboard).front["metadata"]["trim"]) == receipt
    with LogReader([tmp_path / "log.db"]) as log:
        rows = log.latest(50)
    assert len(rows) == 12, "each call of the proof is a row, the warm-up too"
    assert {row.app for row in rows} == {"promptop prove"}
