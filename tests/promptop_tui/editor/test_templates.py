"""Beginning with a template, by keys."""

from __future__ import annotations

from tests.promptop_tui.editor.conftest import Open

from promptop.prompts.templates import PERFORMANCE


async def test_a_template_begins_a_draft_and_undo_brings_the_old_one(editor: Open) -> None:
    async with editor(size=(80, 24)) as running:
        await running.pilot.press(*"old", "alt+t")
        await running.until(lambda: running.app.screen.query("#picker-text"))
        shown = running.app.screen.query_one("#picker-text")
        await running.until(lambda: "{{target_ms}}" in str(shown.render()))
        await running.pilot.press("enter")
        await running.until(lambda: running.text == PERFORMANCE.text)
        assert "performance-requirements" in running.status
        await running.pilot.press("ctrl+z")
        assert running.text == "old"
