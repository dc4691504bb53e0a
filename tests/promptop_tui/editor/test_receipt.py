"""The receipt of a trimming goes with the version and with the export."""

from __future__ import annotations

from pathlib import Path

from tests.promptop_tui.editor.conftest import Open

from promptop.prompts.library import Library


async def test_a_receipt_goes_with_version_and_export(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("请你帮我总结下面的文章，非常感谢。\n")
    async with editor(path, counts=True) as running:
        await running.until(lambda: running.pane.counts.live.baseline)
        assert running.pane.trims.receipt() is None
        await running.pilot.press("f8")
        await running.until(lambda: running.pane.trims_panel.edits)
        await running.pilot.press("s")
        await running.until(lambda: running.text == "总结下面的文章。\n" and running.pane.trims.taken)
        await running.until(lambda: (made := running.pane.trims.receipt()) is not None and made.kind == "exact")
        receipt = running.pane.trims.receipt()
        assert receipt is not None
        assert receipt.rules == {"polite-zh": 2}
        assert receipt.kind == "exact"
        assert receipt.tokens_after < receipt.tokens_before
        await running.pilot.press("escape", "alt+e")
        await running.until(lambda: running.app.screen.query("#picker-text"))
        await running.pilot.press("down", "down", "enter")
        await running.until(lambda: "trim: {" in running.app.clipboard)
        await running.pilot.press("escape", "ctrl+l")
        await running.until(lambda: running.app.screen.query("#library-find"))
        await running.pilot.press(*"tea", "f9")
        await running.until(lambda: "Saved as tea v1" in running.notices)
        await running.pilot.press("escape", "ctrl+z")
        await running.until(lambda: running.pane.trims.receipt() is None)
    assert Library().versions("tea")[0].note == receipt.line()
