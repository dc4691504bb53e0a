"""promptop check: the lock, what fails against it, JUnit."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from promptop.cli.main import main
from promptop.prompts.library import Library
from promptop.tokens import encoding


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md").write_text("Write a poem about tea.")
    (tmp_path / "b.md").write_text("写一首诗。")
    return tmp_path


def test_growth_fails_and_shrinking_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--update", "a.md", "b.md", "-m", "gpt-4o", "-m", "gpt-4-turbo"]) == 0
    lock = json.loads((folder / "prompts.lock").read_text())
    tokens = len(encoding("o200k_base").encode_ordinary("Write a poem about tea."))
    assert lock["prompts"]["a.md"]["models"]["gpt-4o"]["tokens"] == tokens
    assert main(["check"]) == 0
    (folder / "a.md").write_text("Write a poem.")
    capsys.readouterr()
    assert main(["check"]) == 0
    assert "changed; --update" in capsys.readouterr().out
    (folder / "a.md").write_text("Please write a very long poem about tea.")
    assert main(["check", "--junit", "out.xml"]) == 1
    assert "FAIL  a.md  gpt-4o" in capsys.readouterr().out
    suite = ElementTree.parse(folder / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "2")
    assert main(["check", "--tolerance", "100"]) == 0
    assert main(["check", "--update"]) == 0
    assert main(["check", "--json"]) == 0
    assert set(json.loads((folder / "prompts.lock").read_text())["prompts"]["a.md"]["models"]) == {
        "gpt-4o",
        "gpt-4-turbo",
    }


def test_a_price_that_rose_fails_and_prompts_of_the_library_are_held(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Library().save("tea", "Write a poem about tea.", now_ms=1)
    assert main(["check", "--update", "lib:tea"]) == 0
    assert main(["check"]) == 0
    path = folder / "prompts.lock"
    lock = json.loads(path.read_text())
    lock["prompts"]["lib:tea"]["models"]["gpt-4o"]["input_usd"] /= 2
    path.write_text(json.dumps(lock))
    capsys.readouterr()
    assert main(["check"]) == 1
    assert "more a call: the price rose" in capsys.readouterr().out
    assert main(["check", "--tolerance", "100"]) == 0
    Library().save("tea", "Write a long poem about tea.", now_ms=2)
    assert main(["check", "--tolerance", "5", "--json"]) == 1
    Library().delete("tea")
    capsys.readouterr()
    assert main(["check"]) == 1
    assert "There is no prompt 'tea'" in capsys.readouterr().out


def test_what_is_missing_or_not_locked_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 2
    assert main(["check", "--update"]) == 2
    assert main(["check", "--update", "a.md"]) == 0
    assert main(["check", "a.md", "b.md"]) == 1
    assert "not in the lock" in capsys.readouterr().out
    (folder / "a.md").unlink()
    assert main(["check"]) == 1
    assert "is missing" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["not json", "[]", '{"version": 1}', '{"version": 99, "prompts": {}}'])
def test_a_bad_lock_is_told(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "prompts.lock").write_text(text)
    assert main(["check"]) == 1
    assert "→" in capsys.readouterr().err
