"""promptop library, and lib:NAME wherever a command reads a prompt."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from promptop.cli.main import main
from promptop.prompts.library import Library
from promptop.tokens import encoding

LONG, SHORT = "请你帮我总结下面的文章，非常感谢。\n", "总结下面的文章。\n"


def test_files_become_versions_that_other_commands_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "总结.md"
    path.write_text(LONG)
    (tmp_path / "mail.json").write_text('[{"role": "user", "content": "Write a mail."}]')
    assert main(["library", "add", str(path), str(tmp_path / "mail.json"), "--tag", "zh", "--note", "first"]) == 0
    assert capsys.readouterr().out == "总结 v1\nmail v1\n"
    assert main(["trim", "--apply", "lib:总结"]) == 0
    assert "saved as 总结 v2" in capsys.readouterr().err
    newest, first = Library().versions("总结")
    assert (newest.text, first.text, first.source, first.note) == (SHORT, LONG, str(path), "first")
    assert newest.receipt is not None and newest.receipt.rules == {"polite-zh": 2}
    assert main(["diff", "lib:总结@1", "lib:总结"]) == 1
    printed = capsys.readouterr()
    assert "[-请你帮我-]" in printed.out and "(−" in printed.err
    for line in (["library", "show", "总结"], ["trim", "lib:总结@2"], ["export", "lib:总结", "--to", "text"]):
        assert main(line) == 0
        assert capsys.readouterr().out == SHORT
    assert main(["count", "--json", "-m", "gpt-4o", "lib:总结"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tokens"] == len(encoding("o200k_base").encode_ordinary(SHORT))
    assert main(["library", "list", "#zh", "文章"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("总结  v2") and lines[2].endswith("#zh")
    assert main(["library", "versions", "总结", "--json"]) == 0
    assert [each["version"] for each in json.loads(capsys.readouterr().out)] == [2, 1]
    assert main(["library", "rename", "总结", "a@b"]) == 0
    assert main(["library", "show", "a@b"]) == 0
    assert main(["library", "show", "a@b@1"]) == 0
    assert capsys.readouterr().out == SHORT + LONG
    assert main(["library", "remove", "a@b", "--yes"]) == 0
    assert main(["library", "list", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["mail"]


def test_what_cannot_be_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.md").write_text(" \n")
    assert main(["library", "add", str(tmp_path / "empty.md")]) == 1
    assert main(["library", "add", "--name", "x", "a", "b"]) == 2
    assert main(["library", "add", "-"]) == 2
    assert main(["library", "show", "nothing"]) == 1
    assert main(["library", "remove", "nothing"]) == 1
    assert main(["lint", "lib:nothing@3"]) == 1
    assert capsys.readouterr().err.count("There is no prompt 'nothing'") == 3
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"tea"), isatty=lambda: False))
    assert main(["library", "add", "-", "--name", "tea"]) == 0
    assert main(["library", "show", "tea@2"]) == 1
    assert "no version 2" in capsys.readouterr().err
