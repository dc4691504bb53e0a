"""A trim is proven on a test set from the editor: priced, stopped, gone on with, read case by case, kept, written."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from tests.promptop_tui.editor.conftest import Open
from tests.support.trap_endpoint import Said, asked_of, playing, system_of
from textual.widgets import Input, Static

from promptop.settings import Profile, Settings
from promptop_tui.playground.dialogs.cell_compare import CellDialog
from promptop_tui.playground.measure.measure_dialog import MeasureDialog
from promptop_tui.playground.measure.proof_dialog import ProofView
from promptop_tui.widgets.form_modal import LineDialog

PROMPT = """\
system:
Add the number and the number. Please be so kind. Answer in the JSON form.
user:
{{question}}
"""


class Gate:
    """Holds the endpoint after some calls until it is opened; spoils cases for a prompt without its middle sentence."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.open = threading.Event()
        self.spoils = False

    def __call__(self, body: dict[str, Any], number: int, said: Said) -> Said:
        if number >= self.after:
            self.open.wait(60)
        is_short = "JSON form" in system_of(body) and "kind" not in system_of(body)
        if self.spoils and is_short and asked_of(body).split()[0] in ("3", "7", "11"):
            return Said("no idea", id=said.id)
        return said


async def test_a_trim_is_proven_stopped_gone_on_with_and_read(editor: Open, tmp_path: Path) -> None:
    path, cases = tmp_path / "p.md", tmp_path / "cases.jsonl"
    path.write_text(PROMPT, encoding="utf-8")
    lines = [
        {
            "id": f"c{n}",
            "vars": {"question": f"{n} plus 5"},
            "expected": json.dumps({"sum": n + 5}),
            "tags": ["odd" if n % 2 else "even"],
        }
        for n in range(100, 130)
    ]
    for n in (3, 7, 11):
        lines[n] |= {"id": f"bad{n}", "vars": {"question": f"{n} plus 5"}, "expected": json.dumps({"sum": n + 5})}
    cases.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    gate = Gate(30)
    with playing(gate) as endpoint:
        profile = Profile(name="trap", base_url=endpoint.url, models=("gpt-4o-mini",))
        settings = Settings(profiles={"trap": profile}, profile="trap")
        async with editor(path, everything=settings, counts=True, size=(80, 24)) as running:

            async def opened() -> tuple[MeasureDialog[Any], ProofView]:
                await running.pilot.press("shift+f8")
                await running.until(lambda: isinstance(running.app.screen, MeasureDialog))
                page = running.app.screen
                assert isinstance(page, MeasureDialog) and isinstance(page.measure, ProofView)
                await running.until(lambda: page.planned is not None or "✗" in state(page))
                return page, page.measure

            def state(page: MeasureDialog[Any]) -> str:
                return str(page.query_one("#form-state", Static).render())

            def said(page: MeasureDialog[Any]) -> str:
                return str(page.query_one("#proof-text", Static).render())

            await running.until(lambda: running.pane.counts.baseline_text == PROMPT)
            running.pane.area.edit_whole(PROMPT.replace("Please be so kind. ", ""))
            page, view = await opened()
            assert "The variable {{question}} has no value: nothing was sent." in state(page)
            page.query_one("#field-file", Input).value = str(cases)
            page.query_one("#field-at_once", Input).value = "1"
            await running.until(lambda: page.planned is not None)
            assert "30 cases can show a drop of 9.9 % at best" in said(page)
            assert not endpoint.bodies
            await running.pilot.press("f5")
            await running.until(lambda: len(endpoint.bodies) > 30)
            await running.pilot.press("escape")
            gate.open.set()
            await running.until(lambda: view.report is not None)
            assert "undecided" in said(page) and "(stopped after" in said(page)
            assert "F5 goes on" in state(page)
            await running.until(lambda: page.planned is not None)
            await running.pilot.press("f5")
            await running.until(lambda: view.report is not None and view.report.verdict == "proven")
            report = view.report
            assert report is not None and report.outcome.kept == 30
            # Twice ten in the warm-up, thirty on either side, and the one that was under way when it was stopped.
            assert len(endpoint.bodies) == 20 + 60 + 1
            assert "proven: on cases like these at most 9.9 % fewer answers pass" in said(page)
            await running.pilot.press("escape")
            await running.until(lambda: running.app.screen is not page)
            receipt = running.pane.trims.receipt()
            assert receipt is not None and receipt.proof is not None and receipt.proof.verdict == "proven"

            gate.spoils = True
            running.pane.area.edit_whole(PROMPT.replace(" Please be so kind. ", "  "))
            page, view = await opened()  # what was typed is there again
            await running.pilot.press("f5")
            await running.until(lambda: view.report is not None)
            assert said(page).startswith("worse: 3 cases are lost for sure")
            table = page.query_one("#proof-cases")
            assert table.has_focus
            shown = [record.id for _, record in view._rows]
            assert set(shown[:3]) == {"bad3", "bad7", "bad11"} and len(shown) == 30
            await running.pilot.press("t", "f")
            await running.until(lambda: len(view._rows) in (0, 3))
            assert {record.id for _, record in view._rows} in ({"bad3", "bad7", "bad11"}, set())
            await running.pilot.press("f", "t", "t")
            await running.until(lambda: len(view._rows) == 30)
            await running.pilot.press("enter")
            await running.until(
                lambda: isinstance(running.app.screen, CellDialog) and running.app.screen.query(".cell")
            )
            answers = [str(each.render()) for each in running.app.screen.query(".cell Static").results(Static)]
            assert '{"sum":' in answers[0] and "no idea" in answers[1]
            assert "≠ ✓" in answers[0] and "≠ ✗" in answers[1]
            await running.pilot.press("escape")
            await running.until(lambda: running.app.screen is page)
            await running.pilot.press("x")
            await running.until(lambda: isinstance(running.app.screen, LineDialog))
            out = tmp_path / "proof.md"
            running.app.screen.query_one("#field-line", Input).value = str(out)
            await running.pilot.press("enter")
            await running.until(out.exists)
            assert "bad7" in out.read_text(encoding="utf-8")
