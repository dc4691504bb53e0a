from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.log import LogReader, writer_for
from promptop.simulator import SimulatedEndpoint


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint.base_url


def command(url: str, log: Path, *models: str) -> list[str]:
    chosen = [part for model in models for part in ("-m", model)]
    return ["compare", "--base-url", url, "--log", str(log), *chosen, "--text", "What is caching?", "--max-tokens", "8"]


def test_answers_on_stdout_a_table_on_stderr(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(url, tmp_path / "log.db", "gpt-4o-mini", "gpt-4o")) == 0
    out, err = capsys.readouterr()
    assert out.index("== gpt-4o-mini ==") < out.index("== gpt-4o ==")
    lines = err.splitlines()
    assert lines[0].split() == ["model", "TTFT", "total", "tok/s", "in", "out", "cost", "end"]
    assert [line.split()[0] for line in lines[1:3]] == ["gpt-4o-mini", "gpt-4o"]
    cheapest = next(line for line in lines if line.startswith("gpt-4o-mini"))
    assert "*" in cheapest.split("$")[1]  # a sixteenth of the other's price
    assert "2 calls took " in err and "; one after the other " in err


def test_json_lists_results_in_the_order_asked(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ("gpt-4o", "sim-fault-401", "gpt-4o-mini")
    assert main([*command(url, tmp_path / "log.db", *models), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [result["request_model"] for result in found] == list(models)
    assert [result["state"] for result in found] == ["done", "failed", "done"]
    assert found[1]["error"]["status"] == 401
    assert found[0]["usage"]["output_tokens"] == 8


def test_models_come_from_the_profile(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.demo]\nbase_url = "{url}"\nmodels = ["gpt-4o", "sim-fast"]\n', encoding="utf-8")
    base = ["compare", "--config", str(config), "--log", str(tmp_path / "log.db"), "--text", "hi", "--no-answers"]
    assert main(base) == 0
    out, err = capsys.readouterr()
    assert "n/a" in out
    assert "sim-fast" in out
    assert "tok/s" not in err
    assert main(["compare", "--text", "hi"]) == 2


def test_answers_can_be_shown_as_differences(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*command(url, tmp_path / "log.db", "gpt-4o-mini", "gpt-4o"), "--diff", "-q", "--max-tokens", "80"]
    assert main(asked) == 0
    first, second = capsys.readouterr().out.split("== gpt-4o ==")
    assert "[-" not in first
    assert "[-" in second
    assert "{+" in second
    assert "in common with gpt-4o-mini" in second


def test_repeats_give_medians_intervals_and_verdicts(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.db"
    base = [*command(url, log, "gpt-4o-mini", "gpt-4o"), "--repeat", "5", "--warm-up", "1"]
    assert main([*base, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["n"] for model in found["models"]] == [5, 5]
    assert len(found["runs"]) == 10
    ttft = found["models"][0]["ttft_s"]
    assert ttft["n"] == 5
    assert ttft["min"] <= ttft["p50_interval"][0] <= ttft["p50"] <= ttft["p50_interval"][1] <= ttft["max"]
    verdicts = {each["metric"]: each for each in found["differences"]}
    assert verdicts["cost_usd"]["measurable"]
    assert "dearer" in verdicts["cost_usd"]["verdict"]
    assert "equal" in verdicts["output_tokens"]["verdict"]
    assert writer_for(log).flush(10)
    with LogReader(log) as reader:
        assert len(reader.latest(100)) == 12  # the warm-up calls are logged as well
    assert main([*base, "--concurrency", "3"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("12 calls, likely $0.00") and "(lengths from the log), at most $0.00" in err
    assert "== gpt-4o ==" not in out
    assert "5/5" in err
    assert "gpt-4o against gpt-4o-mini:" in err
    assert main([*base, "--repeat", "0"]) == 2


def test_nothing_is_sent_if_it_may_cost_more_than_said(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.db"
    assert main([*command(url, log, "gpt-4o-mini", "gpt-4o"), "--max-usd", "0.00001"]) == 1
    assert "nothing was sent" in capsys.readouterr().err
    assert main([*command(url, log, "gpt-4o", "sim-fast"), "--max-usd", "5"]) == 1
    assert "no price" in capsys.readouterr().err
    assert not log.exists()
    assert main([*command(url, log, "gpt-4o"), "--max-usd", "1"]) == 0
    assert capsys.readouterr().err.startswith("1 call, at most $0.0001")


def test_repeats_are_real_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "-m", "a", "-m", "b", "--repeat", "2", "--cache", "--text", "x"]) == 2
    assert "measured" in capsys.readouterr().err


def test_a_failed_check_is_said_and_ends_with_1(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = [*command(url, tmp_path / "log.db", "gpt-4o-mini", "gpt-4o"), "--no-answers"]
    assert main([*base, "-q", "--check", "max-tokens:8", "--check", "regex:."]) == 0
    passed = capsys.readouterr().err.splitlines()
    assert passed[0] == "passed  max-tokens:8  gpt-4o-mini"
    assert len(passed) == 4
    assert main([*base, "-q", "--check", "max-tokens:7"]) == 1
    assert "FAILED  max-tokens:7  gpt-4o: it has 8 tokens" in capsys.readouterr().err
    assert main([*base, "--json", "--check", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [result["checks"][0]["passed"] for result in found] == [False, False]
    assert main([*base, "-q", "--repeat", "3", "--warm-up", "0", "--check", "lacks:\u0000", "--check", "json"]) == 1
    err = capsys.readouterr().err
    assert "passed 3/3" in err
    assert "FAILED 0/3  json  gpt-4o: it is not JSON" in err
    assert main([*base, "--check", "is-good"]) == 2


def test_versions_are_asked_of_every_model(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short, long = tmp_path / "short.md", tmp_path / "long.md"
    short.write_text("缓存?", encoding="utf-8")
    long.write_text("请详细解释一下什么是缓存,并举例说明。", encoding="utf-8")
    base = ["compare", "--base-url", url, "--log", str(tmp_path / "log.db"), "--max-tokens", "4", "--json"]
    checks = ["--check", "python:tokens == 4", "--allow-python"]
    assert main([*base, "-m", "gpt-4o", "-m", "gpt-4o-mini", str(short), "--against", str(long), *checks]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [result["request_model"] for result in found] == ["gpt-4o", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini"]
    first, second = found[0]["usage"]["input_tokens"], found[1]["usage"]["input_tokens"]
    assert first < second
    assert all(result["checks"][0]["passed"] for result in found)
    assert main([*base, "-m", "gpt-4o", str(short), *checks[:2]]) == 2
    assert main([*base, "-m", "gpt-4o", str(short), "--against", str(tmp_path / "none.md")]) == 1
