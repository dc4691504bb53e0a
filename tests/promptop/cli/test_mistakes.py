"""Every command meets wrong names, missing files, an output that is gone and one that cannot say "≈"."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from promptop.cli import main as cli
from promptop.cli.command_line.loading import command_of
from promptop.cli.commands import COMMANDS
from promptop.log import Row, Writer
from promptop.prompts.library import Library

MISTAKES = [
    # command line, exit code, what standard error says
    ("count none.md", 1, "none.md cannot be read"),
    ("count p.md -m gpt-4oo", 0, "did you mean gpt-4o"),
    ("cost --in 1 --out 1 -m gpt-4oo", 0, "did you mean gpt-4o"),
    ("cost --in 1 --out 1 --provider opnai", 2, "no provider"),
    ("trim none.md", 1, "none.md cannot be read"),
    ("trim p.md --select polit-en", 2, "polite-en"),
    ("trim p.md -m gpt-4oo --check", 1, "did you mean gpt-4o"),
    ("trim none.md p.md --check", 1, "none.md cannot be read"),
    ("trim empty", 2, "There is no prompt in empty"),
    ("lint none.md", 1, "none.md cannot be read"),
    ("lint p.md --select no-lenght-limit", 2, "no-length-limit"),
    ("lint empty", 2, "There is no prompt in empty"),
    ("check none.md", 1, "none.md is not in the lock"),
    ("check --lock none.lock", 2, "no lock none.lock"),
    ("check --update none.md", 1, "none.md cannot be read"),
    ("diff p.md none.md", 1, "none.md cannot be read"),
    ("diff p.md p.md -m gpt-4oo", 0, "did you mean gpt-4o"),
    ("library show greetin", 1, "Did you mean greeting?"),
    ("library remove greetin --yes", 1, "Did you mean greeting?"),
    ("library add none.md", 1, "none.md cannot be read"),
    ("export none.md --to curl", 1, "none.md cannot be read"),
    ("export p.md --to crul", 2, "curl"),
    ("models gpt-4oo", 2, "Did you mean gpt-4o"),
    ("models zzz-9", 2, "not in the catalogue"),
    ("models gpt-4o gpt-4oo", 2, "Did you mean gpt-4o"),
    ("models --provider opnai", 2, "no provider"),
    ("run none.md -m gpt-4o", 1, "none.md cannot be read"),
    ("run p.md --profile nobod", 2, "Did you mean 'nobody'?"),
    ("compare none.md -m gpt-4o", 1, "none.md cannot be read"),
    ("compare p.md -m gpt-4o --profile nobod", 2, "Did you mean 'nobody'?"),
    ("compare p.md -m gpt-4o --check josn", 2, "json"),
    ("prove p.md none.md -m gpt-4o", 1, "none.md cannot be read"),
    ("prove p.md p.md -m gpt-4o --cases none.jsonl", 1, "none.jsonl"),
    ("ablate p.md -m gpt-4o --cases none.jsonl", 1, "none.jsonl"),
    ("optimise p.md -m gpt-4o --cases none.jsonl", 1, "none.jsonl"),
    ("optimize p.md -m gpt-4o --cases none.jsonl", 1, "none.jsonl"),
    ("cases show none.jsonl", 1, "none.jsonl"),
    ("cases check none.jsonl", 1, "none.jsonl"),
    ("bench none.md -m gpt-4o", 1, "none.md cannot be read"),
    ("bench p.md -m gpt-4o --baseline nobody", 1, "nobody"),
    ("claims p.md -m gpt-4o -c temprature", 2, "temperature"),
    ("guide none.md", 1, "none.md cannot be read"),
    ("guide p.md --step shroten", 2, "shorten"),
    ("probe nobod", 2, "nobody"),
    ("batch none.jsonl -o out.jsonl", 1, "none.jsonl"),
    ("embed none.txt", 1, "none.txt"),
    ("proxy --upstream nowhere", 2, "https://"),
    ("watch -- no-such-program", 127, "no-such-program"),
    ("log tail --log none.db", 2, "none.db"),
    ("log status --log none.db", 2, "none.db"),
    ("log tail modle:gpt-4o", 2, "model"),
    ("log query nonsense", 2, "The query failed"),
    ("log import none.json", 1, "none.json"),
    ("log prune --older-than soon", 2, "not an age"),
    ("cache get nothing", 1, "nothing"),
    ("cache simulate --log none.db", 2, "none.db"),
    ("ship --status --log none.db", 2, "none.db"),
    ("fleet check --url nowhere", 2, "clickhouse://"),
    ("collect --listen nowhere", 2, "127.0.0.1"),
    ("receive --listen nowhere", 2, "127.0.0.1"),
    ("agents blokcs", 2, "blocks"),
    ("report --log none.db", 2, "none.db"),
    ("report --by moedl", 2, "model"),
    ("report --filter modle:gpt-4o", 2, "model"),
    ("report --since yesteryear", 2, "yesteryear"),
    ("whatif --model gpt-4oo", 2, "Did you mean gpt-4o"),
    ("whatif --model zz", 2, "zz is not in the catalogue"),
    ("whatif --model gpt-5-never->gpt-4o", 0, "no call of gpt-5-never"),
    ("whatif --log none.db", 2, "none.db"),
    ("whatif --prices none.toml", 2, "none.toml"),
    ("alerts list --log none.db", 2, "none.db"),
    ("alerts test p95_tftt>1s", 2, "p95_ttft"),
    ("incident show none.promptop", 1, "none.promptop"),
    ("incident export --log none.db -o x.promptop", 2, "none.db"),
    ("demo --tab montior", 2, "monitor"),
    ("mcp --profile nobod", 2, "Did you mean 'nobody'?"),
    ("config show --config none.toml", 2, "none.toml"),
    ("doctor --timeout 0", 2, "600 seconds"),
    ("help cuont", 2, "Did you mean count?"),
    ("completion bsh", 2, "bash"),
]
SHOWN = [
    "count p.md prompts",
    "cost --in 10 --out 20",
    "trim p.md --diff",
    "trim prompts",
    "lint prompts",
    "check",
    "diff p.md prompts",
    "library list",
    "library show greeting",
    "export p.md --to json",
    "models",
    "cases show cases.jsonl",
    "claims --list",
    "log status",
    "log tail",
    "log query 'SELECT * FROM readable'",
    "log export",
    "cache stats",
    "agents",
    "report",
    "report --changes",
    "report --format md",
    "whatif --model gpt-4o",
    "alerts list",
    "incident export -o i.promptop --force",
    "config show",
    "doctor --offline",
    "completion fish",
    "help log",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with prompts, a lock, a library, a test set, settings and a log; nothing is ASCII alone."""
    folder = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        at_home(patch, folder)
        (folder / "CONFIG").mkdir()
        settings = '[profiles.nobody]\nbase_url = "http://127.0.0.1:9/v1"\n'
        (folder / "CONFIG" / "config.toml").write_text(settings, encoding="utf-8")
        (folder / "empty").mkdir()
        (folder / "prompts").mkdir()
        for name in ("p.md", "prompts/p.md", "prompts/q.md"):
            text = "Could you please answer – in 3 words – 你好 👋? I would like to know."
            (folder / name).write_text(text + name, encoding="utf-8")
        (folder / "cases.jsonl").write_text('{"vars": {"α": "ß"}, "checks": ["regex:."]}\n', encoding="utf-8")
        Library().save("greeting", "Grüße, 世界\n", now_ms=1)
        with Writer(folder / "DATA" / "log.db", keep_days=0) as writer:
            writer.put(Row(request_model="模型-ü", app="größe", error_type="timeout", usage_input_tokens=5))
            writer.put(Row(request_model="gpt-4o", app="web", usage_input_tokens=50, usage_output_tokens=5))
        assert cli.main(["check", "--update", "p.md"]) == 0
        yield folder


def at_home(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep settings, data and state in the folder, and work there."""
    for kind in ("CONFIG", "DATA", "STATE"):
        patch.setenv(f"PROMPTOP_{kind}_DIR", str(folder / kind))
    patch.setenv("HOME", str(folder))
    patch.delenv("FORCE_COLOR", raising=False)
    patch.setattr(sys, "stdin", io.StringIO())
    patch.chdir(folder)


@pytest.fixture
def home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that folder, as the place where a test works."""
    at_home(monkeypatch, made)
    return made


def takes_json(words: list[str]) -> bool:
    """Tell whether a command line may have ``--json``."""
    command: click.Command = command_of(words[0])
    if isinstance(command, click.Group):
        command = command.commands[words[1]]
    return any("--json" in each.opts for each in command.params)


def test_each_command_is_in_the_table_and_has_examples() -> None:
    assert {line.split()[0] for line, _, _ in MISTAKES} == set(COMMANDS)
    for name in COMMANDS:
        command = command_of(name)
        assert command.examples, name
        if isinstance(command, click.Group):
            assert [verb for verb, each in command.commands.items() if not getattr(each, "examples", ())] == [], name


@pytest.mark.parametrize(("line", "code", "says"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_said(line: str, code: int, says: str, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = line.split()
    assert cli.main(words) == code
    said = capfd.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err
    if not takes_json(words):
        return
    assert cli.main([*words, "--json"]) == code
    said = capfd.readouterr()
    assert says in said.err
    shown = json.loads(said.out)
    if code == 2 and isinstance(shown, dict):
        assert shown["error"]["exit_code"] == 2


@pytest.mark.parametrize("line", [*SHOWN, *(f"{name} --help" for name in COMMANDS)])
def test_an_output_that_is_gone_or_ascii_is_no_traceback(
    line: str, home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(line)
    plain = home / "ascii.txt"
    with plain.open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        assert cli.main(words) in (0, 1)
    assert plain.stat().st_size
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as gone:  # noqa: PTH123 - a pipe whose reader went away
        monkeypatch.setattr(sys, "stdout", gone)
        assert cli.main(words) in (0, 1)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "codec" not in said
