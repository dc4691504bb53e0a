"""promptop trim and promptop lint: output, exit codes, files written only when they are the ones that were read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.log import LogReader, Row, Writer
from promptop.simulator import SimulatedEndpoint
from promptop.tokens import encoding

TEXT = "Could you please summarise {{doc}} in 3 sentences? 请你帮我翻译，非常感谢。\n"
SHORT = "Summarise {{doc}} in 3 sentences? 翻译。\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.md"
    path.write_text(TEXT)
    return path


def test_the_text_goes_to_stdout_and_figures_to_stderr(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trim", str(file)]) == 0
    printed = capsys.readouterr()
    assert printed.out == SHORT
    counts = [len(encoding("o200k_base").encode_ordinary(text)) for text in (TEXT, SHORT)]
    assert f"={counts[0]} → ={counts[1]} tokens" in printed.err
    assert file.read_text() == TEXT


def test_json_has_the_fields_that_programs_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trim", "--json", "-m", "gpt-4-turbo", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"model", "tokens_before", "tokens_after", "receipt", "text", "edits", "skipped"}
    assert told["text"] == SHORT
    for edit in told["edits"]:
        assert TEXT[edit["start"] : edit["end"]] == edit["before"]
    assert sum(edit["tokens_saved"] for edit in told["edits"]) == told["tokens_before"] - told["tokens_after"]


def test_apply_writes_and_check_tells(file: Path) -> None:
    assert main(["trim", "--check", str(file)]) == 1
    assert main(["trim", "--apply", str(file)]) == 0
    assert file.read_text() == SHORT
    assert main(["trim", "--check", str(file)]) == 0
    assert main(["trim", "--budget", "3", str(file)]) == 1
    assert main(["trim", "--budget", "300", str(file)]) == 0


def test_select_rules_and_diff(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trim", "--select", "polite-zh", "--diff", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "请你帮我" in printed
    assert "Could" not in printed
    assert main(["trim", "--select", "nothing", str(file)]) == 2
    assert main(["trim", "--rules"]) == 0
    assert "polite-zh" in capsys.readouterr().out


def test_bad_input_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trim", str(tmp_path / "absent")]) == 1
    bad = tmp_path / "bad"
    bad.write_bytes(b"\xff")
    assert main(["trim", str(bad)]) == 1
    assert main(["lint", str(bad)]) == 1
    assert "Traceback" not in capsys.readouterr().err


def lint_rules(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, int]]:
    path = tmp_path / "lint.md"
    path.write_text(text)
    main(["lint", "--json", str(path)])
    return [(found["rule"], found["line"]) for found in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Tell me about tea.", [("no-length-limit", 1), ("no-output-format", 1)]),
        ("List 3 items, at most 5 words each.", []),
        ("列出三个要点，每点不超过20个字。", []),
        ("Answer in one sentence.\nGive some examples.", [("vague-quantity", 2)]),
        ("Answer in 2 sentences.\nCalculate the total.", [("arithmetic", 2)]),
        ("Be concise, in 2 sentences,\nbut very detailed.", [("conflict", 2)]),
        ("In at most 30 words.\nAnswer in at most 50 words.", [("conflict", 2)]),
        ("回答不超过100字。\n回答不超过200字。", [("no-output-format", 1), ("conflict", 2)]),
        ("列出要点，每点不超过100字。\n总结不超过200字。", []),  # two things, a limit for each
        ("Return 3 items, JSON only.\nExplain your reasoning.", [("conflict", 2)]),
        ("Answer in English, at most 3 sentences.\n请用中文回答。", [("conflict", 2)]),
        ("Use a formal tone, at most 3 sentences.\nBe casual.", [("conflict", 2)]),
        ("At most 5 lines. Do not use bullet points.\nWrite it as a list.", [("conflict", 2)]),
        ("At most 5 lines. Do not use bullet points in a formatted answer.", []),
        ("In 2 sentences. Write a program that sorts.", [("open-code", 1)]),
        ("In 2 sentences. Write a Python program.", [("open-code", 1)]),  # a language is not a limit
        ("In 2 sentences. Write a Python program of at most 30 lines.", []),
        ("写一个Flask接口，返回用户列表。", [("open-code", 1)]),
        ("写一个排序函数，计算每个用户的平均消费。", [("open-code", 1)]),  # sums in code are no arithmetic
        ("用两句话回答：人工智能在计算机领域需求和约束。", []),  # words in other words
        ("system:\nToday is 2026-11-01. In 2 sentences.\n" + "stable " * 200, [("volatile-prefix", 2)]),
        ("---\nsample: {a: 1, b: 2}\n---\nIn 2 sentences: {{a}} {{c}}", [("variables", 1), ("variables", 4)]),
    ],
)
def test_lint_finds(
    text: str, found: list[tuple[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lint_rules(text, tmp_path, capsys) == found


def test_lint_lines_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.md"
    path.write_text("Tell me about tea.")
    assert main(["lint", str(path)]) == 1
    assert capsys.readouterr().out.startswith(f"{path}:1: warning no-length-limit: ")
    assert main(["lint", "--select", "arithmetic", str(path)]) == 0
    assert main(["lint", "--select", "nothing", str(path)]) == 2
    assert main(["lint", "--rules"]) == 0


def test_complexity_is_printed_with_its_terms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "task.md"
    path.write_text("Build a distributed system of 1,000 lines in 20 files.\n")
    assert main(["lint", "--complexity", str(path)]) == 0
    said = capsys.readouterr().out
    assert "complexity 0.70 complex: lines 0.30 (1,000), files 0.20 (20), domain 0.20 (critical) → " in said
    assert main(["lint", "--complexity", "--json", str(path)]) == 0
    told = json.loads(capsys.readouterr().out)[0]
    assert (told["score"], told["tier"], sum(told["terms"].values())) == (0.7, "complex", pytest.approx(0.7))
    assert told["model"]


def test_advice_comes_from_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time_ns() // 1_000_000
    with Writer(tmp_path / "log.db") as writer:
        for out in range(1, 21):
            row = Row(started_ms=now - 1000, prompt_name="sum", usage_output_tokens=out, app="web")
            row.response_finish_reasons = '["stop"]' if out < 20 else '["length"]'
            writer.put(row)
        writer.flush(timeout=30)
    path = tmp_path / "p.md"
    path.write_text("---\nname: sum\nparameters: {max_tokens: 20}\n---\n总结 {{text}}\n")
    other = tmp_path / "other.md"
    other.write_text("Other.\n")
    line = ["lint", "--advice", "--log", str(tmp_path / "log.db"), str(path), str(other)]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "known by name: 20 calls a day; answers p50 10 p95 19 p99 19 tokens (n 20)" in printed
    assert "max_tokens 40: 1 of 20 answers were cut at 20 or before" in printed
    assert f"{other}: max_tokens n/a: unknown: the log has no call of this prompt" in printed
    assert main([*line, "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["known_by"], first["cut"], first["max_tokens"], second["known_by"]) == ("name", 1, 40, None)


def test_a_model_shortens_what_the_rules_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "---\nname: t\n---\nYou are a helpful assistant. Could you please tell me about {{topic}}? "
        "Answer in 2 sentences.\nIt is very short. Never mention rivals.\n"
    )
    path = tmp_path / "p.md"
    path.write_text(text)
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        line = ["trim", str(path), "--rewrite", "-m", "gpt-4o-mini", "--base-url", endpoint.base_url]
        assert main([*line, "--max-usd", "0.0000001"]) == 1
        assert "nothing was sent" in capsys.readouterr().err
        assert main([*line, "--max-usd", "0.01"]) == 0
        printed = capsys.readouterr()
        kept = "Tell me about {{topic}}? Answer in 2 sentences.\nIt is short. Never mention rivals.\n"
        assert printed.out == "---\nname: t\n---\n" + kept
        assert "2 changes by the model (1 left out: they lose or add something)" in printed.err
        assert main([*line, "--json", "--all"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert "Never" not in told["text"]
        assert [each["lost"] for each in told["rewrite"]["hunks"]][-1] == ["never"]
        assert told["receipt"]["rules"]["rewrite"] == len(told["rewrite"]["hunks"])
        assert main([*line, "--apply"]) == 0
        assert path.read_text() == printed.out
    with LogReader(tmp_path / "home" / "data" / "log.db") as log:
        assert {row.app for row in log.latest(5)} == {"promptop trim"}
    assert main(line) == 1  # the endpoint is gone
    assert "error: " in capsys.readouterr().err
