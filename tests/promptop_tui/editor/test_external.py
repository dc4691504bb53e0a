"""The draft in another editor: exact there and back, failures told."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
from tests.promptop_tui.editor.conftest import Open

from promptop.base.errors import PromptopError
from promptop.base.files import state_dir
from promptop_tui.services.external_editor import command, edit_in

TEXT = "a\r\nb\u2028你好\n"


def script(folder: Path, body: str) -> str:
    path = folder / "an editor.py"
    path.write_text("import sys, os, pathlib\npath = pathlib.Path(sys.argv[1])\n" + body)
    return f"{sys.executable} '{path}'"


def test_what_the_editor_saves_comes_back_to_the_byte(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    body = f"open({str(seen)!r}, 'w').write(oct(path.stat().st_mode))\npath.write_bytes(path.read_bytes() + b'more')"
    assert edit_in(script(tmp_path, body), TEXT) == TEXT + "more"
    assert stat.S_IMODE(int(seen.read_text(), 8)) == 0o600
    assert not list(state_dir().glob("edit-*"))


@pytest.mark.parametrize("body", ["sys.exit(3)", "path.write_bytes(b'\\xff')", "path.unlink()"])
def test_failures_are_told(tmp_path: Path, body: str) -> None:
    with pytest.raises(PromptopError) as raised:
        edit_in(script(tmp_path, body), TEXT)
    assert raised.value.remedy


def test_an_editor_that_is_not_there_is_told() -> None:
    with pytest.raises(PromptopError, match="cannot be run"):
        edit_in("/no/such/editor", TEXT)
    assert command({"EDITOR": "nano"}) == "nano"
    assert command({"EDITOR": "nano", "VISUAL": "code -w"}) == "code -w"
    assert command({}) == "vi"


async def test_where_the_screen_cannot_be_left_it_is_told(editor: Open) -> None:
    async with editor() as running:
        await running.pilot.press("x", "f11")
        await running.until(lambda: running.notices)
        assert running.text == "x"
