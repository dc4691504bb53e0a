from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.prompts.library import Library
from promptop.prompts.proof import proof_from
from promptop.simulator import SimulatedEndpoint

LONG = "请你帮我总结提示工程的三个要点，非常感谢。\n"
SHORT = "总结提示工程的三个要点。\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint.base_url


@pytest.fixture
def command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PROMPTOP_DATA_DIR", str(tmp_path / "data"))
    for name, text in (("long.md", LONG), ("short.md", SHORT)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [str(tmp_path / "long.md"), str(tmp_path / "short.md")]
    options = ["--base-url", url, "--log", str(tmp_path / "log.db"), "-m", "gpt-4o-mini", "--max-tokens", "40"]
    return ["prove", *files, *options, "--temperature", "0", "-n", "5"]


def test_one_input_is_alike_at_most_and_is_saved_and_exported_so(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--check", "contains:提示"]) == 1
    assert main([*command, "--check", "contains:提示", "--save", "要点", "--accept", "alike"]) == 0
    out, err = capsys.readouterr()
    assert "== gpt-4o-mini: alike (n=5+5) ==" in out
    assert "similarity (ROUGE-L): 1.00 to the baseline's answers, 1.00 among those themselves" in out
    assert "check contains:提示: 5/5 → 5/5 passed, equal" in out
    assert "on this input" in out and "cases from-log" in out
    assert "fewer" in next(line for line in out.splitlines() if line.strip().startswith("input:"))
    assert err.startswith("12 calls, at most $0.000")
    newest, oldest = Library().versions("要点")
    assert (oldest.text, newest.text) == (LONG, SHORT)
    assert newest.receipt is not None and newest.receipt.proof is not None
    assert not newest.receipt.is_proven and newest.receipt.proof.is_of(LONG, SHORT)
    assert main(["export", "--library", "要点", "-t", "curl"]) == 0
    assert "; alike on one input by 10 calls: gpt-4o-mini alike" in capsys.readouterr().out.splitlines()[0]
    assert main(["export", "--library", "要点@1", "-t", "curl"]) == 0
    assert "trimmed for" not in capsys.readouterr().out
    assert main(["export", "--library", "要点@7", "-t", "curl"]) == 1


def test_another_question_is_no_trim(command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "short.md").write_text("Name three rivers.", encoding="utf-8")
    assert main([*command, "--json", "--max-tokens", "400"]) == 1
    found = json.loads(capsys.readouterr().out)
    proof = proof_from(found["receipt"]["proof"])
    assert found["verdict"] == proof.verdict == "changed"
    assert proof.models[0].likeness is not None and proof.models[0].likeness.across < 0.5
    assert len(found["answers"]) == 10 and all(answer["text"] for answer in found["answers"])


CASES = """id,topic,__expected1,tags
rivers,three rivers,regex:.,water
提示,提示工程,regex:.,中文
tea,tea,regex:.,
"""


def test_a_test_set_is_asked_reported_and_resumed(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "long.md").write_text("system:\nPlease be so kind as to answer.\nuser:\nWhat is {{topic}}?\n")
    (tmp_path / "short.md").write_text("system:\nAnswer.\nuser:\nWhat is {{topic}}?\n")
    (tmp_path / "cases.csv").write_text(CASES, encoding="utf-8")
    reports = [str(tmp_path / f"r{end}") for end in (".html", ".md", ".csv", ".json", ".xml", ".promptfoo.json")]
    asked = [
        *command,
        "--max-tokens",
        "400",
        "--cases",
        str(tmp_path / "cases.csv"),
        *(part for out in reports for part in ("--report", out)),
    ]
    assert main([*asked, "-n", "1", "--show", "all"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("undecided: ")
    assert "3 cases can show a drop of" in err and "30 are needed for 10 %" in err
    for report in reports:
        assert Path(report).stat().st_size > 200
        assert Path(report).stat().st_mode & 0o077 == 0
    run = err.split("--resume ")[1].split()[0]
    assert main([*asked, "-n", "1", "--resume", run, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["calls"], found["kept"]) == ("undecided", 0, 12)
    assert main([*asked, "--resume", "p-none"]) == 2


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["-n", "3"], 2, "3 answers to each prompt"),
        (["--margin", "2"], 2, "--margin 2"),
        (["--cache"], 2, "never a second answer"),
        (["--max-usd", "0.0000001"], 1, "nothing was sent"),
        (["--cases", "none.csv"], 1, "cannot be read"),
        (["--judge", "m"], 2, "need a test set"),
        (["--check", "python:True"], 2, "Checks in Python are off"),
        (["-m", "sim-fast", "--max-usd", "1"], 1, "no price is known for sim-fast"),
    ],
)
def test_what_cannot_be_meant_or_paid_sends_nothing(
    command: list[str], options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*command, *options]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "log.db").exists()
