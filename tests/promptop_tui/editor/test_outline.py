"""The outline: parts with tokens, jumps, folds, parts switched off or moved; and what is said below the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptop.prompts import parse
from promptop.settings import EditorSettings
from promptop.tokens import encoding
from promptop_tui.editor.controllers.draft_parts import moved, parts_of, toggled
from promptop_tui.editor.views.outline_panel import OutlineRow
from promptop_tui.editor.views.prompt_facts import facts_of, ruler, told

from .conftest import Open, Running

RULES = "Answer each question with one sentence and cite the article. " * 130
LONG = f"system:\n{RULES}\nToday is 2026-03-01.\n{RULES}\n\nuser:\n文档：\n很长的资料。\n\n问题：\n是什么？\n"
TEXT = """\
system:
# Role
You are a clerk.

# Rules
Be brief.

## Tone
Be kind.

# Examples
<example>
Hi
</example>

user:
{{question}}
"""


def tokens(text: str) -> int:
    return len(encoding("o200k_base").encode_ordinary(text))


def row(running: Running, title: str) -> OutlineRow:
    return next(row for row in running.pane.outline_panel.rows if row.part.title == title)


def titles(text: str) -> list[tuple[int, str, str]]:
    return [(part.depth, part.kind, part.title) for part in parts_of(text)]


async def test_parts_are_counted_reached_switched_off_and_moved(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True) as running:
        area, view = running.pane.area, running.pane.outline_panel
        await running.until(lambda: view.rows)
        rules = row(running, "Rules")
        assert rules.tokens == tokens("# Rules\nBe brief.\n\n## Tone\nBe kind.\n\n")
        assert 0 < rules.share < 1
        assert rules.usd_per_month
        messages = sum(each.tokens for each in view.rows if each.part.depth == 0)
        assert messages == running.pane.counts.figures()[0].tokens, "the outline and the models say the same"
        await running.pilot.press("alt+o", "home", "down", "down", "enter")
        assert area.selection.end == (4, 0)
        assert running.app.focused is area
        await running.pilot.press("ctrl+end")
        await running.until(lambda: view.options.highlighted == len(view.rows) - 1)

        saved = tokens("# Rules\nBe brief.\n\n## Tone\nBe kind.\n")
        await running.pilot.press("alt+o", "home", "down", "down", "o")
        assert "Be brief" not in str(parse(running.text).openai())
        await running.until(lambda: any(each.part.kind == "off" for each in view.rows))
        off = row(running, "Rules")
        assert (off.part.kind, off.tokens) == ("off", saved)
        assert f"−{saved}" in str(view.options.get_option_at_index(2).prompt)
        view.options.highlighted = 2
        await running.pilot.press("o")
        assert running.text == TEXT
        await running.until(lambda: row(running, "Rules").part.kind == "heading")
        await running.pilot.press("space")
        assert "Tone" not in str([each.prompt for each in view.options.options])
        await running.pilot.press("J")
        assert running.text.index("# Examples") < running.text.index("# Rules") < running.text.index("user:")
        await running.pilot.press("escape", "ctrl+z")
        assert running.text == TEXT

        await running.pilot.resize_terminal(80, 24)  # narrow: the outline takes the models' place
        await running.until(lambda: not view.display)
        await running.pilot.press("alt+o")
        await running.until(lambda: view.size.height > 5)
        assert not running.pane.panel.display
        assert running.app.focused is view.options
        await running.pilot.press("escape")
        await running.until(lambda: running.pane.panel.display)


def test_parts_are_nested_and_messages_begin_with_their_role() -> None:
    assert titles(TEXT) == [
        (0, "message", "system"),
        (1, "heading", "Role"),
        (1, "heading", "Rules"),
        (2, "heading", "Tone"),
        (1, "example", "Examples"),
        (2, "example", "<example>"),
        (0, "message", "user"),
    ]
    assert parts_of(TEXT)[0].start == 0
    whole = titles("---\na: [\n---\nx")
    assert whole[0][-1] == "user", "front matter that cannot be read is sent as text"


@pytest.mark.parametrize("title", ["Role", "Rules", "Tone", "Examples", "<example>", "system", "user"])
def test_off_and_on_again_is_the_same_text(title: str) -> None:
    part = next(part for part in parts_of(TEXT) if part.title == title)
    edit = toggled(TEXT, part)
    assert edit is not None
    start, end, new = edit
    off_text = TEXT[:start] + new + TEXT[end:]
    off = next(part for part in parts_of(off_text) if part.kind == "off")
    edit = toggled(off_text, off)
    assert edit is not None
    start, end, new = edit
    assert off_text[:start] + new + off_text[end:] == TEXT


def test_the_last_part_has_no_next_one_and_a_move_loses_nothing() -> None:
    parts = parts_of(TEXT)
    for part in parts:
        for down in (True, False):
            step = moved(parts, part, TEXT, down=down)
            if step is not None:
                start, end, new, begins = step
                text = TEXT[:start] + new + TEXT[end:]
                assert sorted(text) == sorted(TEXT)
                assert text[begins:].startswith(TEXT[part.start : part.end].rstrip("\n"))
    assert moved(parts, parts[-1], TEXT, down=True) is None


async def test_prefix_and_lint_are_told_below_the_models(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(LONG)
    async with editor(path, counts=True, size=(80, 24)) as running:
        shown = running.pane.panel.query_one("#sections")
        kept = tokens(LONG[LONG.index(RULES) : LONG.index("2026")])
        for size in ((80, 24), (140, 40)):
            await running.pilot.resize_terminal(*size)
            await running.until(lambda: f"{kept:,}/1,024 cacheable, line 3: 2026-03-01" in str(shown.render()))
            assert "(Alt+L lists them)" in str(shown.render())
            await running.until(lambda: 0 < shown.region.bottom <= running.pane.region.bottom)
            assert running.pane.area.size.height >= 6


def test_a_short_beginning_says_how_much_is_missing() -> None:
    assert "100/1,024 924 short" in ruler(100, 1, "")
    found = facts_of("Just one question?")
    assert found is not None
    assert told(found, 4, (), lint_key="Alt+L", brief=False)[0] == ruler(4, 1, "")
    assert facts_of("---\na: [\n---\nx") is not None, "front matter that cannot be read is sent as text"


async def test_the_task_is_scored_and_a_model_recommended(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("实现分布式缓存系统: 1000 lines of code, 20 files.\n")
    chosen = EditorSettings(watch=("gpt-4o-mini",), tier_complex=0.75, tier_models=("m-a", "m-b", "m-c", "m-d"))
    async with editor(path, counts=True, settings=chosen) as running:
        shown = running.pane.panel.query_one("#sections")
        await running.until(lambda: "task     0.70 medium → m-b  (lines 0.30" in str(shown.render()))
