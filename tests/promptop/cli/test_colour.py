"""Colour: on terminals alone, and nothing but colour; a terminal is asked before rows are deleted."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptop.cli import main as cli
from promptop.log import LogReader, Row, Writer

CALL = "import sys; from promptop_tui.main import main; sys.exit(main())"
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.md").write_text("Could you please answer?\nIn JSON.\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("Answer, \x1b[31mplease.\nIn JSON.\n", encoding="utf-8")
    return tmp_path


def fill(folder: Path) -> Path:
    path = folder / "log.db"
    with Writer(path, keep_days=0) as writer:
        week = time.time_ns() // 1_000_000 - 7 * 86_400_000
        writer.put(Row(started_ms=week, request_model="old\x1b[2J"))
        writer.put(Row(request_model="new\x1b[2J", error_type="timeout"))
    return path


@pytest.mark.parametrize(
    "line", ["report --log log.db", "diff a.md b.md", "lint a.md", "check", "trim --diff a.md", "doctor --offline"]
)
def test_colour_is_all_that_a_terminal_gets_beside_the_text(
    line: str, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(home)
    assert cli.main(["check", "--update", "a.md"]) == 0
    capsys.readouterr()
    cli.main(line.split())
    plain = capsys.readouterr().out
    assert plain
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    cli.main(line.split())
    coloured = capsys.readouterr().out
    assert SGR.search(coloured)
    assert SGR.sub("", coloured) == plain  # what was foreign is pictured in both
    monkeypatch.setenv("NO_COLOR", "1")
    cli.main(line.split())
    assert capsys.readouterr().out == plain


def test_a_file_has_no_colour(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli.main(["report", "--log", "log.db", "-o", "r.txt"]) == 0
    assert "\x1b" not in (home / "r.txt").read_text(encoding="utf-8")


def test_pruning_asks_on_a_terminal_and_needs_a_yes_elsewhere(home: Path) -> None:
    path = fill(home)

    def rows() -> int:
        with LogReader(path) as log:
            return len(log.latest(10))

    line = ["log", "prune", "--older-than", "1d", "--log", str(path)]
    assert cli.main(line) == 2
    assert rows() == 2
    for answer, code, left in ((b"n\n", 1, 2), (b"y\n", 0, 1)):
        main, terminal = pty.openpty()
        os.write(main, answer)
        done = subprocess.run(
            [sys.executable, "-c", CALL, *line], stdin=terminal, stdout=terminal, stderr=terminal, check=False
        )
        os.close(terminal)
        said = os.read(main, 65536).decode()
        os.close(main)
        assert "[y/N]" in said
        assert (done.returncode, rows()) == (code, left), said
    assert cli.main([*line, "--yes"]) == 0
