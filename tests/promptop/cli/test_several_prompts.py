"""Several prompts in one command, folders, and questions before something is lost."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from promptop.cli import main as cli
from promptop.prompts.library import Library


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two prompts, one of them below it, and what is no prompt."""
    for kind in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"PROMPTOP_{kind}_DIR", str(tmp_path / "home" / kind))
    made = tmp_path / "prompts"
    (made / "deeper").mkdir(parents=True)
    (made / "a.md").write_text("Please answer.\n", encoding="utf-8")
    (made / "deeper" / "b.txt").write_text("Answer in JSON.\n", encoding="utf-8")
    (made / ".hidden.md").write_text("no\n", encoding="utf-8")
    (made / "data.csv").write_text("no,prompt\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> Terminal:
    said = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", said)
    return said


def test_one_bad_file_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = str(folder / "missing.md"), str(folder / "a.md")
    for command in (["count", "-m", "gpt-4o", bad, good], ["lint", bad, good], ["library", "add", bad, good]):
        assert cli.main(command) == 1
        said = capsys.readouterr()
        assert "missing.md" in said.err
        if command[0] != "lint":
            assert said.out.strip()


def test_a_bad_file_is_an_entry_of_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "--json", "-m", "gpt-4o", str(folder / "missing.md"), str(folder / "a.md")]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert good["tokens"] == 3
    assert "missing.md" in bad["file"]
    assert bad["error"]


def test_folders_are_opened(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["library", "add", str(folder)]) == 0
    assert capsys.readouterr().out.split()[::2] != []
    assert {entry.name for entry in Library().entries("")} == {"a", "b"}
    assert cli.main(["check", "--update", str(folder), "-m", "gpt-4o"]) == 0
    assert set(json.loads(Path("prompts.lock").read_text(encoding="utf-8"))["prompts"]) == {
        str(folder / "a.md"),
        str(folder / "deeper" / "b.txt"),
    }
    assert cli.main(["lint", str(folder)]) in (0, 1)
    (folder / "empty").mkdir()
    assert cli.main(["lint", str(folder / "empty")]) == 2
    assert "There is no prompt in" in capsys.readouterr().err


def test_removing_needs_a_yes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["library", "add", str(folder / "a.md")]) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert cli.main(["library", "remove", "a"]) == 2
    assert "--yes" in capsys.readouterr().err
    said = at_terminal(monkeypatch, "n\n")
    assert cli.main(["library", "remove", "a"]) == 1
    assert "1 version, for good? [y/N]" in said.getvalue()
    assert Library().entries("")
    said = at_terminal(monkeypatch, "y\n")
    assert cli.main(["library", "remove", "a"]) == 0
    assert "a was removed with 1 version." in said.getvalue()
    assert not Library().entries("")


def test_a_cache_is_not_emptied_by_accident(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli.main(["cache", "clear"]) == 2
    assert cli.main(["cache", "clear", "--model", "gpt-4o"]) == 0
    assert cli.main(["cache", "clear", "--yes"]) == 0


def test_files_are_replaced_with_force_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "out.json"
    target.write_text("kept", encoding="utf-8")
    for command in (
        ["export", str(folder / "a.md"), "--to", "json", "-o", str(target)],
        ["cases", "new", str(target)],
    ):
        assert cli.main(command) == 2
        assert "--force" in capsys.readouterr().err
        assert target.read_text(encoding="utf-8") == "kept"
        assert cli.main([*command, "--force"]) == 0
        assert target.read_text(encoding="utf-8") != "kept"
        target.write_text("kept", encoding="utf-8")


def test_several_prompts_are_trimmed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trim", str(folder), "missing.md"]) == 1
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [
        str(folder / "a.md"),
        str(folder / "deeper" / "b.txt"),
    ]
    assert "missing.md cannot be read" in said.err
    assert cli.main(["trim", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(each["file"], each["tokens_after"] < each["tokens_before"]) for each in told] == [
        (str(folder / "a.md"), True),
        (str(folder / "deeper" / "b.txt"), False),
    ]
    assert cli.main(["trim", str(folder), "--check"]) == 1
    assert cli.main(["trim", str(folder), "--rewrite", "-m", "gpt-4o"]) == 2
    assert cli.main(["trim", str(folder), "--apply"]) == 0
    assert (folder / "a.md").read_text(encoding="utf-8") == "Answer.\n"
    assert cli.main(["trim", str(folder), "--check"]) == 0


def test_folders_are_compared_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = folder.parent / "old"
    old.mkdir()
    (old / "a.md").write_text("Please answer in JSON.\n", encoding="utf-8")
    (old / "gone.md").write_text("Gone.\n", encoding="utf-8")
    assert cli.main(["diff", str(old), str(folder)]) == 1
    out = capsys.readouterr().out
    assert "== a.md ==" in out
    assert "== gone.md (gone) ==" in out
    assert f"== {Path('deeper', 'b.txt')} (new) ==" in out
    assert cli.main(["diff", str(old), str(folder), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in told] == ["a.md", str(Path("deeper", "b.txt")), "gone.md"]
    assert cli.main(["diff", str(folder), str(folder)]) == 0
    assert cli.main(["diff", str(old), str(folder / "a.md")]) == 1  # the file of that name in the folder
    assert "in JSON" in capsys.readouterr().out
