"""``promptop optimise`` against an endpoint that obeys the rules in the prompt, and shortens when it is asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.offline_calls import answering
from tests.support.servers import until
from tests.support.trap_endpoint import Said, Traps, asked_of, playing, system_of

from promptop.cli.main import main
from promptop.prompts.library import Library

WIRE = "over a socket"
PROMPT = """\
system:
You add up what the user gives you and write the total as a single number, please.

Answer in the JSON form {"sum": N}.

The sky is blue. Grass is green. It is important to note that rivers run to the sea.
user:
{{question}}
"""


def shortens(body: dict[str, Any], number: int, said: Said) -> Said:
    if not system_of(body).startswith("You shorten prompts"):
        return said
    text = asked_of(body).removeprefix("<prompt>\n").removesuffix("\n</prompt>")
    shorter = text.replace(
        "You add up what the user gives you and write the total as a single number", "Add; total as number"
    )
    return Said(shorter.replace('Answer in the JSON form {"sum": N}.', 'JSON {"sum": N}.'), id=said.id)


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traps]:
    """Answer in the place of calls, or over a real socket where the test says so: a cap, or another process."""
    if getattr(request, "param", "") != WIRE:
        yield answering(monkeypatch, shortens)
        return
    with playing(shortens) as traps:
        yield traps


@pytest.fixture
def command(endpoint: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "prompt.md").write_text(PROMPT, encoding="utf-8")
    cases = [
        {"id": f"c{n}", "vars": {"question": f"{n} plus {n + 3}"}, "expected": json.dumps({"sum": 2 * n + 3})}
        for n in range(2, 62)
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return [
        *(
            "optimise",
            str(tmp_path / "prompt.md"),
            "--cases",
            str(tmp_path / "cases.jsonl"),
            "--base-url",
            endpoint.url,
        ),
        *("-m", "gpt-4o-mini", "--max-tokens", "40", "--log", str(tmp_path / "log.db"), "--at-once", "4"),
        *("--max-usd", "1", "--steps", str(tmp_path / "steps.jsonl")),
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_shorter_prompt_is_proven_and_kept_with_its_receipt(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.md"
    assert main([*command, "--json", "--out", str(out), "--save", "sums"]) == 0
    shape = json.loads(capsys.readouterr().out)
    assert shape["verdict"] == "proven" and shape["proof"]["verdict"] == "proven"
    assert {"ablation", "rewrite"} <= {step["by"] for step in shape["steps"]}
    refused = [step for step in shape["steps"] if not step["accepted"]]
    assert any("breaks c" in step["why"] for step in refused)  # the form is said otherwise, which is a loss
    assert "sky" not in shape["text"] and 'form {"sum": N}' in shape["text"] and "total as number" in shape["text"]
    assert out.read_text(encoding="utf-8") == shape["text"]
    newest, oldest = Library().versions("sums")
    assert oldest.text == PROMPT and newest.text == shape["text"]
    assert newest.receipt is not None and newest.receipt.is_proven and newest.receipt.rules["ablation"] >= 1
    steps = lines(tmp_path / "steps.jsonl")
    assert [each.get("step") for each in steps] == [*range(1, len(steps)), None]
    assert steps[-1] == {"verdict": "proven"} and steps[-2]["text"]


@pytest.mark.parametrize("endpoint", [WIRE], indirect=True)
@pytest.mark.world  # ``prove`` is killed and resumed by the same hands in every run of the suite
def test_a_killed_run_goes_on_and_pays_for_nothing_twice(
    command: list[str], endpoint: Traps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command], stderr=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stderr is not None
    said = ""
    while "--resume" not in said:
        said = process.stderr.readline()
    until(lambda: len(endpoint.bodies) >= 120)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(endpoint.bodies)
    run = said.partition("Run ")[2].partition(":")[0]
    assert main([*command, "--json", "--resume", run]) == 0
    shape = json.loads(capsys.readouterr().out)
    assert shape["verdict"] == "proven" and shape["kept"] >= before - 4
    assert len(endpoint.bodies) <= before + shape["calls"] + 1
    numbers = [each["step"] for each in lines(tmp_path / "steps.jsonl") if "step" in each]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("endpoint", [WIRE], indirect=True)
def test_a_cap_ends_it_and_nothing_is_saved(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command[command.index("--max-usd") + 1] = "0.003"
    assert main([*command, "--json", "--save", "sums", "--no-rewrite"]) == 1
    shape = json.loads(capsys.readouterr().out)
    assert shape["ended"] == "cap" and shape["capped"]
    assert shape["usd"] <= 0.003 and shape["verdict"] != "proven"
    assert Library().versions("sums") == []


def test_the_other_spelling_is_the_same_command(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", *command[1:], "--hold-out", "7"]) == 2
    assert "--hold-out" in capsys.readouterr().err
