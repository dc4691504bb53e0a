"""The command line itself: near names, usage errors, help, completions, man pages, streams that are closed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptop.cli import main as cli
from promptop.cli.commands import COMMANDS

CALL = "import sys; from promptop_tui.main import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"PROMPTOP_{kind}_DIR", str(tmp_path / kind))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.md").write_text("Please answer.\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cuont p.md", "promptop count?"),
        ("cuont", "promptop count?"),
        ("monitor", "promptop --tab monitor?"),
        ("run --modle x", "Did you mean --model"),
        ("count --jso p.md", "Did you mean --json?"),
        ("count --mod gpt-4o p.md", "Did you mean --model?"),
        ("run -model gpt-4o", "Did you mean --model?"),
        ("run --max-usd", "--max-usd needs a value"),
        ("count p.md -m", "promptop count --help"),
        ("count p.md -m=gpt-4o --jsno", "Did you mean --json?"),
        ("count --json=1 p.md", "--json takes no value"),
        ("cost --in x --out 3", "--in cannot be 'x'.\n  → Write a whole number."),
        ("cost --in 5", "--out is missing"),
        ("bench --speed fast", "Write a number."),
        ("log tial", "Did you mean promptop log tail?"),
        ("log", "Choose from path, status"),
        ("diff a", "Usage: promptop diff [OPTIONS] A B"),
        ("cost --in 5 --out 3 zzz", "does not take 'zzz'"),
        ("--log x.db count p.md", "promptop count --help"),
        ("bench --rate 1 --concurrency 2", "exclude each other"),
        ("fleet init", "One of --print-sql and --apply is needed"),
        ("--tab moniter", "Did you mean 'monitor'?"),
        ("help cout", "Did you mean count?"),
        ("help log tial", "Did you mean tail?"),
        ("report --by moedl", "--by"),
        ("run --profile nobody -m m --text hi", "no profile 'nobody'"),
        ("completion tcsh", "Choose from bash, zsh, fish"),
        ("watch", "promptop watch -- "),
    ],
)
def test_a_usage_error_says_what_to_write(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert len(said.err.splitlines()) <= 3
    assert said.out == ""


def test_every_option_of_every_command_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    import click

    from promptop.cli.command_line.loading import command_of

    def below(command: click.Command) -> list[click.Command]:
        return [command, *(command.commands.values() if isinstance(command, click.Group) else ())]

    for name in COMMANDS:
        for command in below(command_of(name)):
            for each in command.params:
                if isinstance(each, click.Option) and not each.hidden:
                    assert each.help, (name, each.opts)


def test_errors_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "--json", "missing.md"]) == 1
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["exit_code"] == 1
    assert "missing.md" in told["cause"]


def test_older_names_are_taken_with_a_notice(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--endpoint", "nobody", "-m", "m", "--text", "hi"]) == 2
    said = capsys.readouterr().err
    assert "--endpoint is --profile now" in said
    assert "no profile 'nobody'" in said


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_help_is_coloured_where_it_is_wanted(
    environment: dict[str, str], coloured: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["count", "--help"]) == 0
    assert ("\x1b[" in capsys.readouterr().out) is coloured


def complete(words: str) -> list[str]:
    cut = words.rpartition(" ")[2].rpartition(":")[2]  # bash cuts words at colons
    environment = {**os.environ, "_PROMPTOP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": cut}
    done = subprocess.run([sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_shells_complete(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "CONFIG").mkdir()
    (home / "CONFIG" / "config.toml").write_text(
        '[profiles.house]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["house-model"]\n', encoding="utf-8"
    )
    assert "count" in complete("promptop cou")
    assert "--model" in complete("promptop count --mo")
    assert "house-model" in complete("promptop run -m hou")
    assert "house" in complete("promptop run --profile h")
    assert "tail" in complete("promptop log ta")
    assert cli.main(["library", "add", "p.md", "--name", "greeting"]) == 0
    assert "greeting" in complete("promptop library show gr")
    assert "lib:greeting" in complete("promptop count li")
    assert "greeting" in complete("promptop count lib:gr")
    for shell in ("bash", "zsh", "fish"):
        assert cli.main(["completion", shell]) == 0
        assert "_PROMPTOP_COMPLETE" in capsys.readouterr().out
    bash = subprocess.run([sys.executable, "-c", CALL, "completion", "bash"], capture_output=True, check=True).stdout
    subprocess.run(["bash", "-n"], input=bash, check=True)


def test_man_pages_are_of_the_same_declarations(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "--man-dir", str(home / "man")]) == 0
    pages = {path.name: path.read_text(encoding="utf-8") for path in (home / "man").iterdir()}
    assert {f"promptop-{name}.1" for name in COMMANDS} < set(pages)
    assert "\\-\\-model" in pages["promptop-count.1"]
    assert "PROMPTOP LOG TAIL" in pages["promptop-log.1"]
    if shutil.which("groff"):
        for text in pages.values():
            done = subprocess.run(
                ["groff", "-Kutf8", "-man", "-Tutf8"], input=text.encode(), capture_output=True, check=True
            )
            assert done.stderr == b""


@pytest.mark.parametrize("redirect", ["| head -1", ">&-", "2>&-", ">&- 2>&-", "<&-", "> /dev/full"])
@pytest.mark.parametrize("command", ["count p.md -m gpt-4o", "--help"])  # the others: test_mistakes.py
def test_no_traceback_whatever_becomes_of_a_stream(command: str, redirect: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = shutil.which("sh") or "/bin/sh"
    line = f"{sys.executable} -c '{CALL}' {command} {redirect}"
    done = subprocess.run([program, "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "report -o there.txt",
        "guide p.md -o there.txt",
        "optimise p.md -m gpt-4o --out there.txt",
        "ablate p.md -m gpt-4o --apply there.txt",
        "export p.md -t openai -o there.txt",
        "embed p.md -m text-embedding-3-small -o there.txt",
    ],
)
def test_no_file_is_replaced_without_force(home: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "there.txt").write_text("mine\n", encoding="utf-8")
    assert cli.main(line.split()) == 2
    said = capsys.readouterr().err
    assert "there.txt exists already." in said
    assert "--force" in said
    assert (home / "there.txt").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run -m=gpt-4o p.md", {"model": "gpt-4o", "file": "p.md"}),
        ("run p.md -m gpt-4o", {"model": "gpt-4o", "file": "p.md"}),
        ("run -m gpt-4o -- -p.md", {"file": "-p.md"}),
        ("run --text -m=x -m gpt-4o", {"text": "-m=x", "model": "gpt-4o"}),
        ("run --temperature -1 -v a=b -v c=-d", {"temperature": -1.0, "var": ["a=b", "c=-d"]}),
        ("compare -m a -m=b p.md", {"model": ["a", "b"]}),
        ("watch -- prog -m=x", {"command": ["prog", "-m=x"]}),
    ],
)
def test_values_are_taken_however_they_are_written(line: str, told: dict[str, object]) -> None:
    from promptop.cli.command_line.command import parse
    from promptop.cli.command_line.loading import command_of

    name, *words = line.split()
    args = parse(command_of(name), f"promptop {name}", words)
    assert args is not None
    assert {key: getattr(args, key) for key in told} == told
