"""Totals by part and the cacheable beginning under the models."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.promptop_tui.editor.conftest import Open

from promptop.settings import EditorSettings
from promptop.tokens import encoding
from promptop_tui.editor.views.outline import outline, ruler, told

RULES = "Answer each question with one sentence and cite the article. " * 130
TEXT = f"system:\n{RULES}\nToday is 2026-03-01.\n{RULES}\n\nuser:\n文档：\n很长的资料。\n\n问题：\n是什么？\n"


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_parts_prefix_and_warning_are_shown(editor: Open, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True, size=size) as running:
        shown = running.pane.panel.query_one("#sections")
        await running.until(lambda: "by part" in str(shown.render()))
        says = str(shown.render())
        start = TEXT.index(RULES)
        ends = TEXT.index("2026")
        kept = len(encoding("o200k_base").encode_ordinary(TEXT[start:ends]))
        assert f"{kept:,}/1,024 cacheable, line 3: 2026-03-01" in says
        assert "! line 3: '2026-03-01' changes" in says
        system = len(encoding("o200k_base").encode_ordinary(TEXT[start : TEXT.index("\n\nuser")]))
        assert f"by part  system {system:,} · context " in says
        assert ("by role" in says) == (size[0] > 100)
        assert shown.region.bottom <= running.pane.region.bottom
        assert running.pane.area.size.height >= 6


async def test_the_task_is_scored_and_a_model_recommended(editor: Open) -> None:
    chosen = EditorSettings(watch=("gpt-4o", "gpt-4o-mini", "o1"), tier_expert=0.7)
    async with editor(settings=chosen, counts=True) as running:
        shown = running.pane.panel.query_one("#sections")
        running.pane.area.edit_whole("写一个10行的脚本。")
        await running.until(lambda: "task     0.00 simple → gpt-4o-mini\n" in str(shown.render()) + "\n")
        running.pane.area.edit_whole("Build a distributed system of 1,000 lines in 20 files.")
        await running.until(lambda: "0.70 expert → o1  (lines 0.30, files 0.20, domain 0.20)" in str(shown.render()))


def test_a_short_beginning_says_how_much_is_missing() -> None:
    assert "100/1,024 924 short" in ruler(100, 1, "")
    found = outline("Just one question?")
    assert found is not None
    assert told(found, [4, 4], "o200k_base", brief=False) == [
        "by part  question 4",
        ruler(4, 1, ""),
        "lint     no-length-limit 1, no-output-format 1",
        "task     0.00 simple",
    ]
    assert outline("---\na: [\n---\nx") is None
