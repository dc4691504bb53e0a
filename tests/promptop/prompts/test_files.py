"""Files and the draft: exact, atomic, never over someone else's work, found again after kill -9."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.prompts.draft import DraftState, DraftStore, digest, start
from promptop.prompts.files import FileChangedError, Stamp, read_exact, save, write_atomic

TEXT = "\ufeffa\r\nb\u2028c\u0085d\x0b\x00你好🙂\r"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_text_comes_back_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    stamp = write_atomic(path, TEXT)
    assert path.read_bytes() == TEXT.encode()
    assert read_exact(path) == (TEXT, stamp)
    assert [each.name for each in tmp_path.iterdir() if each.name != "home"] == ["p.md"]


def test_modes_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "p.md", tmp_path / "link.md"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert (path.read_text(), mode(path)) == ("new", 0o640)
    write_atomic(tmp_path / "private.md", "x", private=True)
    assert mode(tmp_path / "private.md") == 0o600


def test_a_file_changed_by_another_program_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    _, stamp = "", save(path, "mine", None)
    path.write_text("theirs, longer")
    with pytest.raises(FileChangedError, match="changed by another program"):
        save(path, "mine again", stamp)
    assert path.read_text() == "theirs, longer"
    with pytest.raises(FileChangedError, match="appeared"):
        save(path, "mine", None)
    path.unlink()
    with pytest.raises(FileChangedError, match="was removed"):
        save(path, "mine", stamp)
    assert save(path, "mine", Stamp.of(path)) == Stamp.of(path)


@pytest.mark.parametrize("name", ["absent/p.md", "folder"])
def test_failures_say_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(PromptopError) as raised:
        read_exact(tmp_path / name)
    assert "cannot be read" in raised.value.cause
    with pytest.raises(PromptopError) as raised:
        write_atomic(tmp_path / name, "x")
    assert raised.value.remedy
    assert not list(tmp_path.glob(".*.tmp"))


def test_bytes_that_are_not_utf8_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "p.md"
    path.write_bytes("中文".encode("gb18030"))
    with pytest.raises(PromptopError, match="not UTF-8: byte 0xd6 at offset 0"):
        read_exact(path)


def test_the_draft_is_private_and_found_again(tmp_path: Path) -> None:
    store = DraftStore(tmp_path / "state" / "draft.md")
    store.save(TEXT, DraftState())
    assert mode(store.path) == 0o600
    assert mode(store.path.parent) == 0o700
    found = start(store, None, "now")
    assert (found.text, found.is_unsaved, found.notes) == (TEXT, True, ())
    store.close()


def test_the_draft_of_a_file_knows_whether_the_file_moved_on(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_text("saved")
    store = DraftStore(tmp_path / "draft.md")
    state = DraftState(path=str(file), digest=digest("saved"))
    store.save("saved", state)
    assert not start(store, None, "now").is_unsaved
    store.save("saved and more", state)
    found = start(store, None, "now")
    assert (found.is_unsaved, found.file_changed) == (True, False)
    assert found.stamp == Stamp.of(file)
    file.write_text("changed elsewhere")
    found = start(store, None, "now")
    assert (found.text, found.file_changed) == ("saved and more", True)
    file.unlink()
    assert start(store, None, "now").file_changed
    store.close()


def test_opening_another_file_keeps_the_unsaved_draft(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_text("from the file")
    store = DraftStore(tmp_path / "draft.md")
    store.save("unsaved words", DraftState())
    found = start(store, file, "20260101-000000")
    assert (found.text, found.is_unsaved) == ("from the file", False)
    kept = tmp_path / "kept-drafts" / "20260101-000000.md"
    assert kept.read_text() == "unsaved words"
    assert str(kept) in found.notes[0]
    # The same file again, with changes that were never saved: they win, and are told.
    store.save("from the file, changed", found.state)
    found = start(store, file, "x")
    assert (found.text, found.is_unsaved) == ("from the file, changed", True)
    store.close()


def test_a_new_file_is_opened_empty_and_an_unreadable_one_is_an_error(tmp_path: Path) -> None:
    store = DraftStore(tmp_path / "draft.md")
    found = start(store, tmp_path / "new.md", "now")
    assert (found.text, found.stamp, found.state.path) == ("", None, str(tmp_path / "new.md"))
    with pytest.raises(PromptopError, match="cannot be read"):
        start(store, tmp_path, "now")
    store.close()


def test_a_broken_state_or_draft_does_not_stop_the_editor(tmp_path: Path) -> None:
    store = DraftStore(tmp_path / "draft.md")
    store.path.write_text("words")
    store.state_path.write_text("{not json")
    assert start(store, None, "now").text == "words"
    store.path.write_bytes(b"\xff\xfe")
    found = start(store, None, "now")
    assert found.text == ""
    assert "moved to" in found.notes[0]
    assert (tmp_path / "draft.md.unreadable-now").exists()
    store.close()


def test_two_editors_do_not_share_a_draft(tmp_path: Path) -> None:
    first, second = DraftStore(tmp_path / "draft.md"), DraftStore(tmp_path / "draft.md")
    assert second.path.name == "draft-2.md"
    first.close()
    third = DraftStore(tmp_path / "draft.md")
    assert third.path.name == "draft.md"
    second.close()
    third.close()


def test_only_the_newest_kept_drafts_stay(tmp_path: Path) -> None:
    store = DraftStore(tmp_path / "draft.md")
    for number in range(53):
        os.utime(store.keep(f"{number}", "same"), ns=(number, number))
    assert {int(path.read_text()) for path in (tmp_path / "kept-drafts").iterdir()} == set(range(3, 53))
    store.close()


def test_kill_9_leaves_a_whole_draft(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from promptop.prompts.draft import DraftState, DraftStore\n"
        "store = DraftStore(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    n += 1; store.save(f'{n}:' + 'x' * 100_000 + f':{n}', DraftState())\n"
        "    print(n, flush=True)\n"
    )
    path = tmp_path / "draft.md"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = 0
        for line in writer.stdout:
            told = int(line)
            if told == 20:
                break
        writer.send_signal(signal.SIGKILL)
    first, _, last = path.read_text().split(":")
    assert first == last
    assert int(first) >= told
