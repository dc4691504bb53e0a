"""promptop cost: to the digit."""

from __future__ import annotations

import json

import pytest

from promptop.cli.main import main
from promptop.models import as_of

MODELS = ["-m", "gpt-4o-mini", "-m", "gpt-4o", "-m", "gpt-4-turbo", "-m", "o1", "-m", "no-such-model"]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--in", "1000", "--out", "500", *MODELS, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(entry["model"], entry["usd"], entry["status"]) for entry in entries] == [
        ("gpt-4o-mini", 0.00045, "table"),
        ("gpt-4o", 0.0075, "table"),
        ("gpt-4-turbo", 0.025, "table"),
        ("o1", 0.045, "table"),
        ("no-such-model", None, "unpriced"),
    ]
    assert {entry["as_of"] for entry in entries} == {as_of()}


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--in", "1000", "--out", "500", *MODELS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:-1]] == [
        ["$0.00045", "table", "gpt-4o-mini"],
        ["$0.0075", "table", "gpt-4o"],
        ["$0.025", "table", "gpt-4-turbo"],
        ["$0.045", "table", "o1"],
        ["n/a", "unpriced", "no-such-model"],
    ]
    assert as_of() in lines[-1]


def test_cached_input_and_many_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["cost", "--in", "1000", "--out", "0", "--cached", "400", "-m", "gpt-4o", "--calls", "1000", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)[0]["usd"] == 2.0


@pytest.mark.parametrize("arguments", [["--in", "-1"], ["--in", "5", "--cached", "9"], ["--in", "5", "--calls", "-2"]])
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", *arguments, "--out", "1", "-m", "gpt-4o"]) == 2
    assert "→" in capsys.readouterr().err


def test_the_default_is_the_watch_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--in", "1", "--out", "1"]) == 0
    assert "gpt-4o-mini" in capsys.readouterr().out
