"""``promptop ablate`` against an endpoint that obeys the rules it finds in the prompt."""

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
from tests.support.trap_endpoint import Traps, playing

from promptop.cli.main import main

WIRE = "over a socket"
PROMPT = """\
system:
You are helpful. Add the numbers that the user gives. The weather is fine today.

- Answer in the JSON form {"sum": N}.
- Be polite.
- Write the total as a number.

The sky is blue. Grass is green.
user:
{{question}}
"""


@pytest.fixture
def endpoint(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traps]:
    """Answer in the place of calls, or over a real socket where the test says so: a cap, or another process."""
    if getattr(request, "param", "") != WIRE:
        yield answering(monkeypatch)
        return
    with playing() as traps:
        yield traps


@pytest.fixture
def command(endpoint: Traps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "prompt.md").write_text(PROMPT, encoding="utf-8")
    cases = [
        {"id": f"c{n}", "vars": {"question": f"{n} plus {n + 3}"}, "expected": json.dumps({"sum": 2 * n + 3})}
        for n in range(2, 26)
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    return [
        *("ablate", str(tmp_path / "prompt.md"), "--cases", str(tmp_path / "cases.jsonl"), "--base-url", endpoint.url),
        *("-m", "gpt-4o-mini", "--max-tokens", "40", "--log", str(tmp_path / "log.db"), "--at-once", "4"),
    ]


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    shape: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shape


def test_what_carries_what_is_free_and_what_is_said_twice(
    command: list[str], endpoint: Traps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.md"
    assert main([*command, "--max-usd", "1", "--json", "--apply", str(out)]) == 0
    shape = found(capsys)
    texts = {row["unit"]: row["text"] for row in shape["units"]}
    carries = {texts[number] for number in shape["load_bearing"]}
    assert 'Answer in the JSON form {"sum": N}.' in carries and len(carries) == 2
    ((one, two),) = shape["redundant"]
    assert {texts[one], texts[two]} == {"Add the numbers that the user gives.", "Write the total as a number."}
    free = {texts[number] for number in shape["no_measurable_effect"]}
    assert {"The sky is blue.", "Grass is green.", "Be polite."} <= free
    row = next(row for row in shape["units"] if row["state"] == "load-bearing")
    assert row["weight"] == 1 and row["interval"][0] > 0 and row["certainty"] >= 0.95 and row["usd"] > 0
    assert set(shape["search_cases"]).isdisjoint(shape["held_cases"]) and len(shape["held_cases"]) == 8
    # Eight cases can never show 10 points, and nobody says that they do.
    assert shape["verdict"] == "undecided" and shape["proof"]["verdict"] == "undecided"
    assert out.read_text(encoding="utf-8") == shape["trimmed"] and "sky" not in shape["trimmed"]
    assert shape["calls"] == len(endpoint.bodies)


def test_a_run_that_is_resumed_pays_for_nothing_twice(
    command: list[str], endpoint: Traps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--max-usd", "1", "--json", "--max-calls", "70"]) == 1
    first = found(capsys)
    assert first["ended"] == "calls" and first["calls"] == 70
    assert main([*command, "--max-usd", "1", "--json", "--resume", first["run"]]) == 0
    second = found(capsys)
    assert second["kept"] >= 70 and len(endpoint.bodies) == 70 + second["calls"]
    bodies = len(endpoint.bodies)
    assert main([*command, "--max-usd", "1", "--json", "--resume", first["run"]]) == 0
    third = found(capsys)
    assert third["calls"] == 0 and len(endpoint.bodies) == bodies
    assert [row["state"] for row in third["units"]] == [row["state"] for row in second["units"]]


@pytest.mark.parametrize("endpoint", [WIRE], indirect=True)
@pytest.mark.world  # ``prove`` is killed and resumed by the same hands in every run of the suite
def test_a_killed_run_keeps_every_answer(
    command: list[str], endpoint: Traps, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command, "--max-usd", "1"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert process.stderr is not None
    said = ""
    while "--resume" not in said:
        said = process.stderr.readline()
    until(lambda: len(endpoint.bodies) >= 30)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(endpoint.bodies)
    run = said.partition("Run ")[2].partition(":")[0]
    assert main([*command, "--max-usd", "1", "--json", "--resume", run]) == 0
    shape = found(capsys)
    assert shape["kept"] >= before - 4  # those under way when it was killed
    assert len(endpoint.bodies) == before + shape["calls"]


@pytest.mark.parametrize("endpoint", [WIRE], indirect=True)
def test_a_cap_ends_it_and_nothing_is_claimed(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--max-usd", "0.0012", "--json"]) == 1
    shape = found(capsys)
    assert shape["ended"] == "cap" and shape["usd"] <= 0.0012
    assert shape["no_measurable_effect"] == [] and shape["proof"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hold-out", "2"], "--hold-out"),
        (["--max-calls", "0"], "--max-calls"),
        (["-m", "another"], "Several models"),
        (["--cache", "--max-usd", "1"], "--cache"),
        (["--check", "nonsense:"], "nonsense"),
    ],
)
def test_usage_errors_end_it_before_any_call(
    command: list[str], endpoint: Traps, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *options]) == 2
    assert said in capsys.readouterr().err and not endpoint.bodies


def test_a_model_without_a_price_needs_a_cap(
    command: list[str], endpoint: Traps, capsys: pytest.CaptureFixture[str]
) -> None:
    at = command.index("gpt-4o-mini")
    command[at] = "nobody-knows-this"
    assert main(command) == 2
    assert "no bound" in capsys.readouterr().err and not endpoint.bodies


def test_without_a_check_nothing_is_sent(
    command: list[str], endpoint: Traps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cases.jsonl").write_text('{"id": "a", "vars": {"question": "1 plus 2"}}', encoding="utf-8")
    assert main([*command, "--max-usd", "1"]) == 2
    assert "right answer" in capsys.readouterr().err and not endpoint.bodies
