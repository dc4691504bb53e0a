from __future__ import annotations

import pytest
from textual.binding import Binding
from textual.widget import Widget

from promptop_tui.shell import keymap


@pytest.mark.parametrize("key", ["f5", "ctrl+t", "g", "G", "question_mark", "slash", "enter", "ctrl+shift+left", "é"])
def test_keys_that_exist(key: str) -> None:
    assert keymap.is_key(key)


@pytest.mark.parametrize("key", ["", "f99", "control+x", "ctrl+", "blah", "ctrl+f99"])
def test_keys_that_do_not(key: str) -> None:
    assert not keymap.is_key(key)


class Some(Widget):
    BINDINGS = [Binding("a", "a", "A", id="editor.a"), ("b", "b", "B")]  # noqa: RUF012


def test_only_sound_entries_are_applied_and_the_others_named() -> None:
    known = keymap.binding_ids([Some])
    assert known == {"editor.a"}
    wanted = {"editor.a": "f6,ctrl+t", "editor.b": "f7", "monitor.x": "f8", "typo.y": "f9", "editor.c": "fx"}
    good, problems = keymap.check(wanted, known, {"app", "editor", "typo"})
    assert good == {"editor.a": "f6,ctrl+t", "monitor.x": "f8"}
    assert [p.split(":")[0] for p in problems] == ["[keys] editor.b", "[keys] typo.y", "[keys] editor.c"]
