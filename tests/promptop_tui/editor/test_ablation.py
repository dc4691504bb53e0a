"""The draft's sentences are weighed from the editor: priced, shown, painted, and the trim is taken as one change."""

from __future__ import annotations

import json
from pathlib import Path

from tests.promptop_tui.editor.conftest import Open
from tests.support.trap_endpoint import playing
from textual.widgets import Input

from promptop.settings import Profile, Settings
from promptop_tui.playground.measure.measure_dialog import MeasureDialog

PROMPT = """\
system:
Add the numbers. The sky is blue. Grass is green.

- Answer in the JSON form {"sum": N}.
user:
{{question}}
"""


async def test_a_draft_is_weighed_painted_and_trimmed(editor: Open, tmp_path: Path) -> None:
    path, cases = tmp_path / "p.md", tmp_path / "cases.jsonl"
    path.write_text(PROMPT, encoding="utf-8")
    lines = [
        {"id": f"c{n}", "vars": {"question": f"{n} plus 5"}, "expected": json.dumps({"sum": n + 5})} for n in range(24)
    ]
    cases.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with playing() as endpoint:
        profile = Profile(name="trap", base_url=endpoint.url, models=("gpt-4o-mini",))
        settings = Settings(profiles={"trap": profile}, profile="trap")
        async with editor(path, everything=settings, counts=True, size=(130, 40)) as running:
            await running.pilot.press("alt+w")
            await running.until(lambda: isinstance(running.app.screen, MeasureDialog))
            page = running.app.screen
            assert isinstance(page, MeasureDialog)
            page.query_one("#field-file", Input).value = str(cases)
            await running.until(lambda: page.planned is not None)
            assert not endpoint.bodies
            await running.pilot.press("f5")
            await running.until(lambda: page.measure.report is not None)
            report = page.measure.report
            states = {row.text: row.finding.state for row in report.rows}
            assert states['Answer in the JSON form {"sum": N}.'] == "load-bearing"
            assert states["The sky is blue."] == states["Grass is green."] == "no measurable effect"
            await running.pilot.press("enter")
            await running.until(lambda: running.app.screen is not page)
            assert running.pane.area.overlay.is_shown
            assert running.pane.area.selected_text == report.expensive_free[0].text
            asked = len(endpoint.bodies)
            await running.pilot.press("alt+w")
            await running.until(lambda: isinstance(running.app.screen, MeasureDialog))
            again = running.app.screen
            assert isinstance(again, MeasureDialog)
            await running.until(lambda: again.planned is not None)
            await running.pilot.press("f5")
            await running.until(lambda: again.measure.report is not None)
            assert len(endpoint.bodies) == asked  # every answer was kept
            await running.pilot.press("t")
            await running.until(lambda: "sky" not in running.text)
            assert 'form {"sum": N}' in running.text
            assert not running.pane.area.overlay.is_shown
            await running.until(lambda: running.pane.trims.receipt() is not None)
            receipt = running.pane.trims.receipt()
            assert receipt is not None and receipt.rules["ablation"] >= 2 and receipt.proof is not None
            await running.pilot.press("ctrl+z")
            assert running.text == PROMPT
