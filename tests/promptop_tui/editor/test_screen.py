"""The editor tab by keys: figures, draft, files, what it hands to the playground."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from tests.promptop_tui.editor.conftest import Open, Running
from textual.widgets import Input

from promptop.models import price
from promptop.prompts import parse
from promptop.prompts.chosen_roles import chosen_role
from promptop.prompts.draft import kept_drafts
from promptop.prompts.library import Library
from promptop.prompts.receipt import receipt_from
from promptop.settings import EditorSettings
from promptop.tokens import encoding
from promptop.tokens.overhead import tool_tokens
from promptop_tui.editor.controllers.draft import DRAFT_DELAY_S
from promptop_tui.editor.dialogs.conflict import ConflictDialog
from promptop_tui.messages import OpenInEditor, OpenInPlayground

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a town now.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string", "description": "Name of the town"}}},
    },
}


def draft_of(running: Running) -> Path:
    return running.app.context.draft_path


async def test_figures_follow_the_keys_exactly(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    text = "Summarise:\n你好，世界 " + "word " * 50 + "\n"
    path.write_text(text)
    async with editor(path, counts=True) as running:
        await running.until(lambda: "=" in running.table)
        await running.pilot.press("h", "i", "space", "backspace")
        await running.until(lambda: running.pane.counts.live.is_current and "=" in running.table)
        for model, name in (("gpt-4o", "o200k_base"), ("gpt-4-turbo", "cl100k_base")):
            tokens = len(encoding(name).encode_ordinary("hi" + text))
            line = next(line for line in running.table.splitlines() if line.startswith(model + " "))
            assert f"={tokens:,} " in line
        before = len(encoding("o200k_base").encode_ordinary(text))
        after = len(encoding("o200k_base").encode_ordinary("hi" + text))
        change = f"+{100 * (after / before - 1):.1f}%"
        await running.until(lambda: change in running.table)
        await running.until(lambda: len(running.pane.area.line_tokens) == 3)
        assert sum(running.pane.area.line_tokens.values()) == after
        await running.pilot.press("ctrl+t")
        assert "±0%" in running.table


async def test_before_a_count_comes_figures_are_estimates_and_nothing_waits(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("one two three four " * 20)
    async with editor(path) as running:
        await running.until(lambda: "gpt-4o" in running.table)
        await running.pilot.press("x")
        await running.until(lambda: "≈" in running.table)
        assert "=" not in running.table
        assert running.text.startswith("xone")


async def test_an_unpriced_model_is_not_free(editor: Open) -> None:
    async with editor(settings=EditorSettings(watch=("no-such-model-anywhere",)), counts=True) as running:
        await running.pilot.press("a")
        await running.until(lambda: "no-such" in running.table)
        assert "n/a" in running.table
        assert "$0" not in running.table.splitlines()[1]


async def test_demand_and_budget_are_typed(editor: Open) -> None:
    async with editor(settings=EditorSettings(watch=("gpt-4o",), budget_tokens=3), counts=True) as running:
        await running.pilot.press(*"abc", "space", *"def", "space", *"xyz", "space", *"qwv")
        await running.until(lambda: "over" in str(running.pane.panel.budget_bar.render()))
        line = running.table.splitlines()[1]
        running.pane.panel.query_one("#output_tokens").focus()
        await running.pilot.press("home", "9")
        assert running.pane.counts.assumptions.output_tokens == 9300
        assert running.table.splitlines()[1] != line


async def test_the_draft_is_on_disk_soon_and_comes_back(editor: Open) -> None:
    assert DRAFT_DELAY_S < 1  # what a kill may cost, less the write itself
    async with editor() as running:
        path = draft_of(running)
        await running.pilot.press(*"hello", "enter", *"you")
        await running.until(lambda: path.exists() and path.read_text() == "hello\nyou")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        await running.until(lambda: "draft kept" in running.status)
        await running.pilot.press("!")
    assert path.read_text() == "hello\nyou!"
    async with editor() as running:
        assert running.text == "hello\nyou!"


async def test_a_file_is_opened_exactly_and_never_overwritten_silently(editor: Open, tmp_path: Path) -> None:
    exact, path = tmp_path / "exact.md", tmp_path / "p.md"
    exact.write_bytes("a\r\nb\u2028c\n".encode())
    path.write_text("one")
    async with editor(exact) as running:
        assert "exact.md · saved" in running.status
        await running.pilot.press("x")
        assert "unsaved" in running.status or "typing" in running.status
        await running.pilot.press("f9")
        await running.until(lambda: "exact.md · saved" in running.status)
        assert exact.read_bytes() == "xa\r\nb\u2028c\n".encode()

        running.pane.draft.open(path)
        await running.until(lambda: running.text == "one")
        path.write_text("one, changed outside")
        running.pane.draft.look_at_file()
        await running.until(lambda: running.text == "one, changed outside")
        assert "reloaded" in running.notices
        await running.pilot.press("ctrl+z")
        assert running.text == "one"
        await running.pilot.press("f9")
        await running.until(lambda: "p.md · saved" in running.status)
        await _mine_or_theirs(running, path)


async def _mine_or_theirs(running: Running, path: Path) -> None:
    """The draft and its file were both changed: the user is asked, and what gives way is kept."""
    running.pane.area.go_to(0)
    await running.pilot.press("x")
    path.write_text("theirs!")
    await running.pilot.press("f9")
    await running.until(lambda: isinstance(running.app.screen, ConflictDialog))
    assert path.read_text() == "theirs!"
    lines = running.app.screen.query_one("#dialog-text")
    await running.until(lambda: "− theirs!" in str(lines.render()) and "+ xone" in str(lines.render()))
    await running.pilot.press("escape")
    assert "changed on disk: F9 asks" in running.status
    await running.pilot.press("f9")
    await running.until(lambda: isinstance(running.app.screen, ConflictDialog))
    await running.pilot.press("m")
    await running.until(lambda: "· saved" in running.status)
    assert path.read_text() == "xone"
    await running.until(lambda: "The text of p.md is kept" in running.notices)
    assert "theirs!" in [kept.text for kept in kept_drafts(draft_of(running))]
    path.write_text("theirs again")
    await running.pilot.press("y")
    running.pane.draft.look_at_file()
    await running.until(lambda: "changed on disk" in running.status)
    await running.pilot.press("f9")
    await running.until(lambda: isinstance(running.app.screen, ConflictDialog))
    await running.pilot.press("t")
    await running.until(lambda: running.text == "theirs again")
    await running.pilot.press("ctrl+z")
    assert running.text == "xyone"


async def test_save_as_and_open_ask_for_a_path(editor: Open, tmp_path: Path) -> None:
    async with editor() as running:
        await running.pilot.press(*"words", "f9")
        await running.until(lambda: running.app.screen.query("#field-path"))
        running.app.screen.query_one("#field-path", Input).value = f"{tmp_path}/new"
        await running.pilot.press(*".md", "enter")
        await running.until(lambda: "new.md · saved" in running.status)
        assert (tmp_path / "new.md").read_text() == "words"
        (tmp_path / "other.md").write_text("other words")
        await running.pilot.press("ctrl+o")
        await running.until(lambda: running.app.screen.query("#field-path"))
        dialog = running.app.screen
        await running.until(lambda: "other.md" in str(dialog.query_one("#form-state").render()))
        await running.pilot.press("o", "t", "tab")
        await running.until(lambda: dialog.query_one("#field-path", Input).value.endswith("/other.md"))
        await running.pilot.press("enter")
        await running.until(lambda: running.text == "other words")


async def test_a_file_that_cannot_be_opened_leaves_the_draft(editor: Open, tmp_path: Path) -> None:
    bad = tmp_path / "bad.md"
    bad.write_bytes(b"\xff\xfe\x00")
    async with editor(bad) as running:
        await running.until(lambda: "not UTF-8" in running.notices)
        await running.pilot.press(*"still here")
        assert running.text == "still here"


async def test_a_text_from_elsewhere_keeps_the_draft_and_undo_brings_it_back(editor: Open, tmp_path: Path) -> None:
    async with editor() as running:
        await running.pilot.press(*"mine")
        running.pane.open_text(OpenInEditor("from the log\ud800", "request 7", calls_per_day=4321))
        await running.until(lambda: running.text == "from the log?")
        assert "request 7" in running.status
        await running.until(lambda: running.pane.counts.assumptions.calls_per_day == 4321)
        await running.until(lambda: "is kept as" in running.notices)
        kept = list((tmp_path / "state" / "kept-drafts").iterdir())
        assert [path.read_text() for path in kept] == ["mine"]
        await running.pilot.press("ctrl+z")
        assert running.text == "mine"


async def test_the_playground_gets_messages_model_and_parameters(editor: Open) -> None:
    front = "---\nmodel: gpt-4o\nparameters: {max_tokens: 9}\nsample: {t: tea}\n---\n"
    text = front + "system:\nBe brief.\n\nuser:\nOn {{t}}\n"
    async with editor() as running:
        running.pane.area.edit_whole(text)
        await running.pilot.press("f5")
        sent = [message for message in running.messages if isinstance(message, OpenInPlayground)][-1]
        assert list(sent.messages) == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "On tea"},
        ]
        assert (tuple(sent.models), dict(sent.parameters)) == (("gpt-4o",), {"max_tokens": 9})
        assert (sent.prompt_name, sent.prompt_version) == ("", "")

        running.pane.open_text(OpenInEditor("What of {{t}}?", "tea v2"))
        for key, version in (("home", "2"), ("x", "")):
            await running.pilot.press(key, "f5")
            sent = [message for message in running.messages if isinstance(message, OpenInPlayground)][-1]
            assert (sent.prompt_name, sent.prompt_version) == ("tea", version)


async def test_every_size_shows_the_text(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("Short 你好 text.")
    async with editor(path, size=(40, 10), counts=True) as running:
        await running.until(lambda: running.pane.counts.live.catalogue is not None)
        for size in ((40, 10), (20, 5), (80, 24), (200, 60), (100, 30)):
            await running.pilot.resize_terminal(*size)
            await running.until(lambda: "Short" in running.pane.area.render_line(0).text)
            is_high = size[1] >= 16
            await running.until(lambda: running.pane.panel.display == is_high)  # noqa: B023 (awaited here)
            if size == (40, 10):
                await running.until(lambda: "gpt-4o" in running.status)
            elif is_high:
                await running.until(lambda: "gpt-4o" in running.table)


async def test_an_empty_draft_names_two_keys_and_what_is_wrong_is_told(editor: Open) -> None:
    async with editor(size=(112, 30)) as running:
        area = running.pane.area

        def said() -> str:
            return " ".join(" ".join(area.render_line(y).text for y in range(area.size.height)).split())

        for size in ((112, 30), (40, 20)):
            await running.pilot.resize_terminal(*size)
            await running.until(lambda: said().startswith("Write a prompt"))
            await running.until(lambda: said().endswith("it is one user message."))
            assert "Ctrl+O" in said() and "F5" in said()
        await running.pilot.press("f5")
        assert "empty" in running.notices
        area.edit_whole("---\nmodel: [\n---\ntext")
        await running.pilot.press("f5")
        assert "not valid YAML" in running.notices
        assert not any(isinstance(message, OpenInPlayground) for message in running.messages)


async def test_a_draft_folder_that_cannot_be_written_is_told(editor: Open, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    async with editor() as running:
        await running.until(lambda: "folder" in running.notices or "cannot" in running.notices)
        await running.pilot.press("a")
        assert running.text == "a"
    assert (tmp_path / "state").is_file()


async def test_a_paste_of_a_megabyte_is_counted(editor: Open) -> None:
    from textual import events

    async with editor(counts=True) as running:
        text = "A line of prose that goes on for a while, 而且有汉字。\r" * 22_000
        running.pane.area.post_message(events.Paste(text))
        await running.until(lambda: running.pane.area.exact.length == len(text))
        live = running.pane.counts.live
        await running.until(lambda: live.is_current and live.tokens() > 200_000)
        await running.pilot.press("ctrl+z")
        assert running.text == ""


async def test_a_text_that_comes_while_another_is_being_opened_is_counted_once(editor: Open, tmp_path: Path) -> None:
    """The message of the first text finds the second one there, and the edit between them already counted."""
    path = tmp_path / "p.md"
    path.write_text("word " * 200)
    async with editor(path, settings=EditorSettings(watch=("gpt-4o",)), counts=True) as running:
        await running.until(lambda: "=" in running.table)
        running.pane.area.load_text("long " * 300)
        running.pane.open_text(OpenInEditor("short", "request 7"))
        tokens = len(encoding("o200k_base").encode_ordinary("short"))
        await running.until(lambda: running.pane.counts.live.is_current and f"={tokens} " in running.table)
        assert running.text == "short"


async def test_chat_messages_in_json_are_opened_as_a_draft(editor: Open, tmp_path: Path) -> None:
    body = '{"model": "gpt-4o", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]}'
    path = tmp_path / "request.json"
    path.write_text(body)
    async with editor(path) as running:
        assert running.text == "---\nmodel: gpt-4o\n---\nsystem:\nS\n\nuser:\nU\n"
        assert "request.json" in running.status
        running.pane.draft.open(path)
        await running.until(lambda: running.notices.count("chat messages in JSON") == 2)
        await running.pilot.press("f9")
        await running.until(lambda: running.app.screen.query("#field-path"))  # no file: the JSON stays
        await running.pilot.press("escape")
    assert path.read_text() == body


async def test_a_file_without_role_lines_is_marked_as_the_system_message_and_that_is_remembered(
    editor: Open, tmp_path: Path
) -> None:
    path = tmp_path / "system.md"
    path.write_text("Be brief.\n")
    async with editor(path) as running:
        await running.pilot.press("shift+f6")
        await running.until(lambda: "system message" in running.status)
        await running.until(lambda: chosen_role(path) == "system")
        await running.pilot.press("f5")
        await running.until(lambda: any(isinstance(message, OpenInPlayground) for message in running.messages))
        sent = next(message for message in running.messages if isinstance(message, OpenInPlayground))
        assert [each["role"] for each in sent.messages] == ["system"]
    assert path.read_text() == "Be brief.\n"
    async with editor(path) as running:
        await running.until(lambda: "system message" in running.status)
        running.pane.area.edit_whole("system:\nS\n\nuser:\nU\n")
        await running.pilot.press("shift+f6")
        assert "has role lines" in running.notices


async def test_an_export_is_seen_copied_and_written(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("system:\nBe \x1b brief.\n\nuser:\nHi {{tea}}\n")
    async with editor(path) as running:
        await running.pilot.press("alt+e")
        await running.until(lambda: running.app.screen.query("#picker-text"))
        screen = running.app.screen
        shown = screen.query_one("#picker-text")
        await running.pilot.press("down", "down", "down")
        await running.until(lambda: '"messages"' in str(shown.render()))
        assert "\x1b" not in str(shown.render())
        notes = screen.query_one("#picker-text")
        assert "unfilled: tea" in str(notes.render())
        await running.pilot.press("up")
        await running.until(lambda: "unfilled: tea" not in str(notes.render()))  # who reads the template fills it
        await running.pilot.press("down")
        await running.until(lambda: '"messages"' in str(shown.render()))
        await running.pilot.press("c")
        assert '"content": "Be \\u001b brief."' in running.app.clipboard
        await running.pilot.press("w")
        await running.until(lambda: running.app.screen.query("#field-path"))
        await running.pilot.press("enter")
        await running.until(lambda: (tmp_path / "p-export.json").exists())
        assert (tmp_path / "p-export.json").read_text() == running.app.clipboard


async def test_what_is_sent_is_what_is_counted(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    front = "---\nsample: {topic: green tea from the hills of Hangzhou}\nparameters: {max_tokens: 7}\n---\n"
    body = (
        "system:\nBe brief.\n{{!-- off\nNever sent, however long it is.\n--}}\n\nuser:\nAbout {{topic}} for {{reader}}."
    )
    path.write_text(front + body)

    def count(*texts: str) -> int:
        return sum(len(encoding("o200k_base").encode_ordinary(text)) for text in texts)

    async with editor(path, counts=True) as running:
        says = running.pane.panel.query_one("#sections")
        tokens = count("Be brief.", "About green tea from the hills of Hangzhou for {{reader}}.")
        await running.until(lambda: f"={tokens} " in running.table)
        await running.until(lambda: "figures with 1 of 2 variables filled, none for reader" in str(says.render()))
        usd = price("gpt-4o", input_tokens=tokens, output_tokens=7).usd
        assert running.pane.counts.figures()[0].usd_per_call == usd  # not the 300 that are expected of any prompt
        await running.pilot.press("ctrl+end", "x")
        await running.until(
            lambda: (
                f"={count('Be brief.', 'About green tea from the hills of Hangzhou for {{reader}}.x')} "
                in running.table
            )
        )
        front = "---\nparameters:\n  tools: [" + json.dumps(TOOL) + "]\n---\n"
        running.pane.area.edit_whole(f"{front}user:\nIs it warm?\n@image https://example.org/leaf.png\n")
        tools = tool_tokens([TOOL], "gpt-4o", count)
        await running.until(lambda: f"≈{count('Is it warm?') + tools} " in running.table)
        await running.until(lambda: f"figures with 1 tool: ≈{tools} tokens for gpt-4o" in str(says.render()))
        assert "not in the figures: 1 image or file" in str(says.render())
        assert "±?" in running.table  # how models are told of tools is not known to the token
        running.pane.area.edit_whole("About {{topic}}.")
        await running.until(lambda: "without sample values: topic" in str(says.render()))
        await running.until(lambda: f"={count('About {{topic}}.')} " in running.table)
        running.pane.area.edit_whole("About tea.")
        await running.until(lambda: "variables" not in str(says.render()))
        running.pane.area.edit_whole("")
        await running.until(lambda: not says.display)


async def test_changes_since_the_baseline_are_shown_and_taken_back(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("Please write a poem.\nsame \x1b line\n")
    async with editor(path, counts=True) as running:
        await running.until(lambda: running.pane.counts.live.baseline)
        live = running.pane.counts.live
        version = live._version
        running.pane.area.edit_at(0, 8, "Re")
        # The edit reaches the counter as a message: until then the last count is of the present text, as it was.
        await running.until(lambda: live._version > version and live.is_current)
        await running.pilot.press("alt+c")
        await running.until(lambda: running.app.screen.query("#dialog-text"))
        lines = running.app.screen.query_one("#dialog-text")
        await running.until(lambda: "+ Rerite a poem." in str(lines.render()))
        assert "− Please write a poem." in str(lines.render())
        assert "\x1b" not in str(lines.render())
        figures = str(running.app.screen.query_one("#dialog-head").render())
        before, after = (len(encoding("o200k_base").encode_ordinary(text)) for text in (path.read_text(), running.text))
        assert f"gpt-4o  ={before} → ={after} tokens ({f'{after - before:+}'.replace('-', '−')})  " in figures
        await running.pilot.press("r")
        await running.until(lambda: running.text == path.read_text())
        await running.pilot.press("ctrl+z")
        assert running.text.startswith("Rerite")


async def test_the_whole_session_by_keys(editor: Open, tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_text("system:\nCould you please answer in JSON. 请你帮我总结文章，非常感谢。\n\nuser:\n{{article}}\n")
    async with editor(path, counts=True, size=(160, 48)) as running:
        await running.until(lambda: running.pane.counts.live.baseline)
        await running.pilot.press("ctrl+t", "f8")
        await running.until(lambda: running.pane.trims_panel.edits)
        await running.pilot.press("s", "escape")
        trimmed = "system:\nAnswer in JSON. 总结文章。\n\nuser:\n{{article}}\n"
        assert running.text == trimmed
        await running.until(lambda: running.pane.counts.live.is_current and "−" in running.table)
        await running.pilot.press("alt+c")
        await running.until(lambda: running.app.screen.query("#dialog-text"))
        changes = running.app.screen.query_one("#dialog-text")
        await running.until(lambda: "+ Answer in JSON. 总结文章。" in str(changes.render()))
        await running.pilot.press("escape", "f5")
        await running.until(lambda: any(isinstance(message, OpenInPlayground) for message in running.messages))
        await running.pilot.press("ctrl+l")
        await running.until(lambda: running.app.screen.query("#library-find"))
        await running.pilot.press(*"tea", "f9")
        await running.until(lambda: "Saved as tea v1" in running.notices)
        await running.pilot.press("escape", "alt+e")
        await running.until(lambda: running.app.screen.query("#picker-text"))
        await running.pilot.press("down", "down", "c")
        copied = parse(running.app.clipboard)
        receipt = Library().version("tea").receipt
        assert receipt is not None
        assert receipt.rules == {"polite-en": 1, "polite-zh": 2}
        assert receipt_from(copied.front["metadata"]["trim"]) == receipt
        assert [message.content for message in copied.messages] == ["Answer in JSON. 总结文章。", "{{article}}"]
        await running.pilot.press("w")
        await running.until(lambda: running.app.screen.query("#field-path"))
        await running.pilot.press("enter")
        await running.until(lambda: (tmp_path / "p-export.prompty").exists())
        await running.pilot.press("f9")
        await running.until(lambda: "· saved" in running.status)
    assert path.read_text() == trimmed
