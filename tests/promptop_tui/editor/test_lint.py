"""Lint as a list: warnings first, Enter goes there, a rule is silenced in the prompt."""

from __future__ import annotations

from pathlib import Path

from promptop.prompts import parse
from promptop.trim.lint import lint
from promptop_tui.editor.controllers.lint import silenced

from .conftest import Open

TEXT = "Today is 2026-03-01.\n" + "Answer each question with one sentence. " * 200 + "\nKeep it short. Be detailed.\n"


async def test_the_list_leads_to_the_place_and_silences_a_rule(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    found = lint(TEXT)
    assert found
    async with editor(path) as running:
        view = running.pane.lint_panel
        await running.pilot.press("alt+l")
        await running.until(lambda: view.findings)
        assert sorted(each.rule for each in view.findings) == sorted(each.rule for each in found)
        assert [each.severity for each in view.findings] == sorted(
            (each.severity for each in found), key=lambda each: each != "warning"
        )
        first = view.findings[0]
        area = running.pane.area
        place = [area.exact.location_at(at) for at in (first.start, first.end)]
        await running.until(lambda: sorted(area.selection) == place)
        await running.pilot.press("x")
        assert parse(running.text).front["lint-off"] == [first.rule]
        await running.until(lambda: first.rule not in [each.rule for each in view.findings])
        await running.pilot.press("escape")
        assert running.app.focused is running.pane.area
        await running.pilot.press("ctrl+z")
        assert running.text == TEXT


def test_front_matter_learns_the_rule() -> None:
    for text, rules in (("a", ["x"]), ("---\nmodel: m\n---\na", ["x"]), ("---\nlint-off: [y]\n---\na", ["y", "x"])):
        start, end, new = silenced(text, "x")
        assert parse(text[:start] + new + text[end:]).front["lint-off"] == rules
