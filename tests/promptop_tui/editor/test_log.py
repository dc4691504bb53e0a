"""What the log knows of the draft reaches the figures by itself; a typed value wins; unknown is said."""

from __future__ import annotations

from pathlib import Path

from tests.promptop_tui.editor.conftest import Open

from promptop.capture.parse.request_parser import prompt_hash
from promptop.log import Row, Writer
from promptop_tui.messages import OpenInEditor

NOW_MS = 1_800_000_000_000  # the clock of the fixture


def fill(path: Path, text: str, calls: int) -> None:
    with Writer(path) as writer:
        for n in range(calls):
            writer.put(
                Row(
                    started_ms=NOW_MS - 1000 - n * 4 * 86_400_000 // calls,
                    app="web",
                    prompt_hash=prompt_hash([("user", text)]),
                    usage_output_tokens=40 + n % 10,
                    response_finish_reasons='["stop"]',
                )
            )
        writer.flush(timeout=30)


async def test_volume_lengths_and_limits_come_from_the_log(editor: Open, tmp_path: Path) -> None:
    known = "请你帮我总结一下这本书，不超过五句话，谢谢。"
    fill(tmp_path / "log.db", known, 80)
    async with editor(counts=True, size=(120, 44)) as running:
        panel = running.pane.panel
        says = panel.query_one("#sections")
        running.pane.open_text(OpenInEditor(known, "request 7"))
        await running.until(lambda: panel.assumptions.calls_per_day == 20)
        await running.until(lambda: panel.assumptions.output_tokens == 44)
        await running.until(lambda: "by text: 20/day · answers p50 44 p99 49 tokens, n 80" in str(says.render()))
        assert "max_tokens 60: not set" in str(says.render())
        assert running.pane.trims_panel.target.calls_per_day == 20
        panel.query_one("#calls_per_day").focus()
        await running.pilot.press("end", "5")
        assert panel.assumptions.calls_per_day == 205
        running.pane.log_lookup.ask("")
        await running.pilot.pause()
        await running.app.workers.wait_for_complete()
        await running.pilot.pause()
        assert panel.assumptions.calls_per_day == 205  # typed for this text
        running.pane.open_text(OpenInEditor("Something that nobody called."))
        await running.until(lambda: "unknown: the log has no call of this prompt" in str(says.render()))
        assert panel.assumptions.calls_per_day == 205
        running.pane.open_text(OpenInEditor(known, "request 7"))
        await running.until(lambda: panel.assumptions.calls_per_day == 20 and panel.assumptions.output_tokens == 44)
        running.pane.open_text(OpenInEditor("Another that nobody called."))
        await running.until(lambda: panel.assumptions.calls_per_day == 205 and panel.assumptions.output_tokens == 300)


async def test_a_log_that_cannot_be_read_is_said(editor: Open, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"no database at all, and long enough to be looked at" * 40)
    async with editor(counts=True) as running:
        running.pane.area.edit_whole("tea")
        running.pane.open_text(OpenInEditor("A prompt."))
        says = running.pane.panel.query_one("#sections")
        await running.until(lambda: "cannot be read" in str(says.render()))
