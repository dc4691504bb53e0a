from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.cli import main as cli
from promptop.cli.commands import COMMANDS
from promptop.cli.shared.options import AppOptions
from promptop.log import Row, Writer


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_command_has_help_that_prints(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert cli.main([name, "--help"]) == 0
        assert f"promptop {name}" in capsys.readouterr().out


def test_a_word_that_is_no_command_and_no_file_is_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cuont"]) == 2
    error = capsys.readouterr().err
    assert "no command 'cuont'" in error
    assert "promptop count?" in error


def test_the_name_of_a_new_file_begins_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(sys, stream, Terminal())
    seen: list[AppOptions] = []

    def opened(options: AppOptions) -> int:
        seen.append(options)
        return 0

    assert cli.main(["new.md"], open_app=opened) == 0
    assert seen[0].open_path == Path("new.md")
    assert cli.main(["missing/new.md"], open_app=opened) == 2
    assert "no folder" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert len(seen) == 1


def test_the_app_is_refused_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([], open_app=lambda options: 0) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_the_app_is_opened_with_what_the_line_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(sys, stream, Terminal())
    prompt = tmp_path / "p.md"
    prompt.write_text("hi")
    config = tmp_path / "c.toml"
    config.write_text('[profiles.a]\n[profiles.b]\nbase_url = "http://127.0.0.1:2/v1"\n')
    seen: list[AppOptions] = []

    def opened(options: AppOptions) -> int:
        seen.append(options)
        return 7

    line = [
        "--config",
        str(config),
        "--profile",
        "b",
        "--log",
        str(tmp_path / "l.db"),
        "--tab",
        "monitor",
        str(prompt),
    ]
    assert cli.main(line, open_app=opened) == 7
    (options,) = seen
    assert options.open_path == prompt
    assert options.tab == "monitor"
    assert options.log_path == tmp_path / "l.db"
    assert options.settings.active_profile().base_url == "http://127.0.0.1:2/v1"


def test_several_logs_and_folders_of_logs_are_shown_and_the_first_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(sys, stream, Terminal())
    folder = tmp_path / "logs"
    for name in ("b.db", "a.db"):
        with Writer(folder / name, keep_days=0) as writer:
            writer.put(Row(request_model="m"))
    (folder / "notes.txt").write_text("no log")
    with contextlib.closing(sqlite3.connect(folder / "other.db")) as connection:
        connection.execute("CREATE TABLE requests (id)")
    seen: list[AppOptions] = []
    first = tmp_path / "first.db"
    line = ["--log", str(first), "--log", str(folder), "--log", str(folder / "a.db")]
    assert cli.main(line, open_app=lambda options: seen.append(options) or 0) == 0  # type: ignore[func-returns-value]
    assert (seen[0].log_path, seen[0].settings.log_path()) == (first, first)
    assert seen[0].more_logs == (folder / "a.db", folder / "b.db")


def test_a_folder_without_logs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--log", str(tmp_path)], open_app=lambda options: 0) == 2
    assert "no request log in the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "says"),
    [(["--profile", "nobody"], "no profile 'nobody'"), (["--config", "/nowhere.toml"], "no settings file")],
)
def test_a_choice_that_does_not_exist_is_refused(
    line: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line, open_app=lambda options: 0) == 2
    assert says in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "promptop_tui", "config", "show"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_that_cannot_be_written_is_a_failure_without_a_traceback() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-m", "promptop_tui", "models"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 1
    assert done.stderr == "promptop: No space left on device\n"
