"""The trims panel by keys: what is offered, taken, turned down, taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.cells import cell_len
from tests.promptop_tui.editor.conftest import Open, Running

from promptop.base.diff import line_diff
from promptop.cli.main import main
from promptop.settings import EditorSettings
from promptop.tokens import encoding
from promptop.trim import chosen, look, trim
from promptop_tui.editor.dialogs.diff_dialog import render
from promptop_tui.editor.dialogs.trim_rules import TrimRulesDialog
from promptop_tui.editor.views.trim_rows import in_context
from promptop_tui.editor.views.trims_panel import LONGEST, cut

TEXT = """\
You are a helpful assistant. Could you please write.
请你帮我总结文章，非常感谢。
Do it in order to `please  x`.
"""


def tokens(text: str) -> int:
    return len(encoding("o200k_base").encode_ordinary(text))


async def opened(running: Running) -> None:
    await running.until(lambda: running.pane.counts.live.is_current)
    await running.pilot.press("f8")
    await running.until(lambda: running.pane.trims_panel.edits)


async def test_what_is_offered_saves_exactly_what_it_says(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True) as running:
        await opened(running)
        edits = running.pane.trims_panel.edits
        assert [edit.rule for edit in edits] == ["preamble", "polite-en", "polite-zh", "polite-zh", "shorter-en"]
        for edit in edits:
            assert tokens(TEXT) - tokens(TEXT[: edit.start] + edit.after + TEXT[edit.end :]) == edit.tokens_saved > 0
        assert "a month for gpt-4o" in str(running.pane.trims_panel.head.render())
        panel = running.pane.trims_panel
        assert [edit.severity for edit in panel.listed] == ["safe"] * 4 + ["check"]
        assert running.pane.area.selected_text == panel.listed[0].before == edits[1].before
        one, before, after = str(panel.one.render()).splitlines()
        assert one.startswith(f"polite-en · safe · line 1 · −{edits[1].tokens_saved} tokens, $")
        assert one.endswith("a month · politeness that a model does not need (please, could you, thanks)")
        assert before == "− " + TEXT.splitlines()[0]
        assert after == "+ You are a helpful assistant. Write."


async def test_the_list_is_ordered_and_narrowed(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True) as running:
        await opened(running)
        panel = running.pane.trims_panel
        await running.pilot.press("o")
        saved = [edit.tokens_saved for edit in panel.listed]
        assert saved == sorted(saved, reverse=True)
        await running.pilot.press("o")
        assert panel.listed == panel.edits
        assert "by place" in str(panel.border_subtitle)
        await running.pilot.press("f")
        assert {edit.severity for edit in panel.listed} == {"safe"}
        await running.pilot.press("f")
        assert [edit.rule for edit in panel.listed] == ["preamble"]
        await running.pilot.press("f", "f")
        assert [edit.rule for edit in panel.listed] == ["polite-en"]
        await running.pilot.press("a")
        assert running.text == TEXT.replace("Could you please w", "W")


async def test_a_rule_that_is_switched_off_stays_off_for_app_and_command(
    editor: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMPTOP_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "p.md"
    path.write_text(TEXT)

    def is_off(running: Running) -> bool:
        edits = running.pane.trims_panel.edits
        return bool(edits) and "polite-zh" not in [edit.rule for edit in edits]

    async with editor(path, counts=True) as running:
        await opened(running)
        await running.pilot.press("d")
        await running.until(lambda: isinstance(running.app.screen, TrimRulesDialog))
        dialog = cast(TrimRulesDialog, running.app.screen)
        await running.until(lambda: dialog.items)
        at = [rule.id for rule in dialog.items].index("polite-zh")
        await running.pilot.press(*["down"] * at, "enter")
        await running.until(lambda: is_off(running))
    async with editor(path, counts=True) as running:
        await opened(running)
        await running.until(lambda: is_off(running))
        await running.pilot.press("s")
        await running.until(lambda: running.text != TEXT)
        by_app = running.text
    assert main(["trim", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == by_app
    assert "非常感谢" in by_app and "Could you please" not in by_app
    assert "polite-zh is off" in printed.err
    path.write_text(by_app)
    assert main(["trim", "--check", str(path)]) == 0
    (tmp_path / "state" / "trim-rules-off.json").write_text('["a-rule-of-an-older-version"]')
    assert main(["trim", str(path)]) == 0
    assert "非常感谢" not in capsys.readouterr().out


async def test_what_was_left_alone_is_told_with_its_reason(editor: Open, tmp_path: Path) -> None:
    text = "Please write a poem.\n\nIf you are asked to please simplify, do so.\n\n```\nplease x\n```\n"
    path = tmp_path / "p.md"
    path.write_text(text)
    skipped = look(text).skipped
    async with editor(path, counts=True) as running:
        await opened(running)
        await running.pilot.press("w")
        await running.until(lambda: running.app.screen.query("#dialog-text"))
        said = str(running.app.screen.query_one("#dialog-text").render())
        assert said.count("line ") == len(skipped)
        assert all(each.reason in said for each in skipped)


@pytest.mark.parametrize("cells", [20, 40, 70, 120])
def test_a_row_shows_the_change_in_its_sentence(cells: int) -> None:
    text = (
        "你好。" * 20
        + "\nOne. " * 3
        + "Could you please write a long poem about the sea and the sky, and then another?\n"
    )
    for edit in look(text).edits:
        row = in_context(text, edit, cells)
        assert cell_len(row.plain) <= cells
        if cells >= 40:
            assert edit.before in row.plain
            assert edit.after in row.plain


async def test_one_is_taken_one_turned_down_and_undo_brings_it_back(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True) as running:
        await opened(running)
        await running.pilot.press("end", "x", "home")
        assert "preamble" not in [edit.rule for edit in running.pane.trims_panel.edits]
        assert running.text == TEXT
        await running.pilot.press("a")
        taken = TEXT.replace("Could you please w", "W")
        assert running.text == taken
        for edit in running.pane.trims_panel.edits:
            assert taken[edit.start : edit.end] == edit.before
        await running.until(lambda: running.pane.trims_panel._version == running.pane.area.version)
        assert running.pane.area.selected_text
        await running.pilot.press("escape")
        assert running.app.focused is running.pane.area
        assert not running.pane.area.selected_text  # what is typed next replaces nothing
        assert not running.pane.trims_panel.display
        await running.pilot.press("ctrl+z")
        assert running.text == TEXT
        await running.pilot.press("f8")
        await running.until(lambda: running.pane.trims_panel.edits)
        assert "preamble" not in [edit.rule for edit in running.pane.trims_panel.edits]


async def test_all_safe_ones_are_one_step(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, counts=True) as running:
        await opened(running)
        await running.pilot.press("s")
        safe = "You are a helpful assistant. Write.\n总结文章。\nDo it to `please  x`.\n"
        await running.until(lambda: running.text == safe)
        assert running.text == trim(TEXT, "o200k_base", chosen(safe_only=True)).text  # as the command gives it
        await running.until(lambda: [edit.rule for edit in running.pane.trims_panel.edits] == ["preamble"])
        await running.until(lambda: running.pane.counts.live.is_current)
        assert f"={tokens(running.text):,} " in running.table
        await running.pilot.press("f8", "ctrl+z")
        assert running.text == TEXT


async def test_the_list_follows_the_draft_while_it_is_open(editor: Open) -> None:
    async with editor(counts=True) as running:
        await running.pilot.press(*"tea")
        await running.until(lambda: running.pane.counts.live.is_current)
        await running.pilot.press("f8")
        await running.until(lambda: "nothing to trim" in str(running.pane.trims_panel.head.render()))
        running.pane.area.edit_whole("Write in order to help.")
        await running.until(lambda: [edit.after for edit in running.pane.trims_panel.edits] == ["to"])


@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
async def test_in_a_small_terminal_the_trims_stand_in_for_the_models(
    editor: Open, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    async with editor(path, size=size, counts=True) as running:
        await opened(running)
        await running.until(lambda: running.pane.trims_panel.size.height > 2)
        assert not running.pane.panel.display
        assert running.pane.area.size.height > 2
        await running.pilot.press("f8")
        await running.until(lambda: running.pane.panel.display == (size == (80, 24)))


async def test_history_is_kept_for_as_many_rounds_as_are_set(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("".join(f"user:\nquestion {k}\n\nassistant:\nanswer {k}\n\n" for k in range(5)) + "user:\nnow\n")
    async with editor(path, settings=EditorSettings(watch=("gpt-4o",), keep_rounds=3), counts=True) as running:
        await opened(running)
        old = [edit for edit in running.pane.trims_panel.edits if edit.rule == "old-history"]
        assert [edit.before.splitlines()[1] for edit in old] == ["question 0", "question 1"]


async def test_a_huge_draft_is_left_to_the_command(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("Please write. " * (LONGEST // 14 + 1))
    async with editor(path) as running:
        await running.pilot.press("f8")
        await running.until(lambda: "promptop trim" in str(running.pane.trims_panel.head.render()))


def test_lines_are_cut_by_cells() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("汉字汉字", 5) == "汉字…"
    assert cut("abcdef", 4) == "abc…"


def test_a_diff_is_folded_behind_its_sign_where_there_is_no_blank() -> None:
    lines = line_diff("请你帮我总结下面这篇很长的文章", "总结下面这篇很长的文章 in plain English words")
    drawn = render(lines, 31).plain.splitlines()
    assert [cell_len(line) <= 31 for line in drawn] == [True] * len(drawn)
    assert drawn == [
        "   1     − 请你帮我总结下面这篇",
        "           很长的文章",
        "       1 + 总结下面这篇很长的文",
        "           章 in plain English ",
        "           words",
    ]
    assert render(lines).plain.count("\n") == 1


async def test_rules_that_save_little_name_what_goes_further(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("You are a senior engineer. Explain prompt caching with two examples, please.\n")
    async with editor(path, counts=True) as running:
        await opened(running)
        panel = running.pane.trims_panel
        further = str(panel.head.render()).partition("\n")[2]
        assert further == "Rules save little here: r asks a model, Alt+W finds idle sentences"
        panel._edits = [replace(panel.edits[0], before="x" * 60, after="")]
        panel._draw()
        assert "\n" not in str(panel.head.render())
