"""The parameters of a call as options, for one model and for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptop.cli import main as cli
from promptop.simulator import SimulatedEndpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def asked(endpoint: SimulatedEndpoint, private_folders: Path, tmp_path: Path) -> Any:
    def run(*arguments: str, command: str = "run") -> tuple[int, list[dict[str, Any]]]:
        before = len(endpoint.requests)
        log = ["--log", str(tmp_path / "log.db"), "--base-url", endpoint.base_url, "--text", "你好", "-q"]
        code = cli.main([command, *log, *arguments])
        return code, [request.json for request in endpoint.requests[before:]]

    return run


def test_tools_format_and_further_fields_are_sent(asked: Any, tmp_path: Path) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text('[{"name": "weather", "parameters": {"type": "object", "properties": {}}}]')
    code, (sent,) = asked(
        *("-m", "gpt-4o-mini", "--max-tokens", "9", "--tools", str(tools), "--response-format", "json"),
        *("--param", "top_k=40", "--param", "user=阿明"),
    )
    assert code == 0
    assert sent["tools"][0]["function"]["name"] == "weather"
    assert (sent["response_format"], sent["top_k"], sent["user"]) == ({"type": "json_object"}, 40, "阿明")


def test_one_model_alone_gets_another_value(asked: Any) -> None:
    code, sent = asked(
        *("-m", "gpt-4o-mini", "-m", "o3", "--max-tokens", "900", "--temperature", "0.5", "--no-answers"),
        *("--for", 'o3:reasoning_effort="low"', "--for", "gpt-4o-mini:max_tokens=7"),
        command="compare",
    )
    assert code == 0
    by_model = {body["model"]: body for body in sent}
    assert (by_model["gpt-4o-mini"]["max_tokens"], by_model["gpt-4o-mini"]["temperature"]) == (7, 0.5)
    assert "reasoning_effort" not in by_model["gpt-4o-mini"]
    assert (by_model["o3"]["max_completion_tokens"], by_model["o3"]["reasoning_effort"]) == (900, "low")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--for", "o9:seed=1"], "no model that is asked"),
        (["--for", "gpt-4o-mini:temperature=hot"], "temperature of gpt-4o-mini cannot be"),
        (["--param", "top_k"], "no value"),
        (["--tools", "[1]"], "A tool cannot be"),
        (["--response-format", "[]"], "not a JSON object"),
    ],
)
def test_what_cannot_be_meant_is_named_and_nothing_is_sent(
    asked: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, sent = asked("-m", "gpt-4o-mini", *arguments)
    assert (code, sent) == (2, [])
    assert says in capsys.readouterr().err


def test_calls_of_several_endpoints_say_how_they_were_shared_out(
    endpoint: SimulatedEndpoint, private_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[profiles.fleet]\nbase_url = "http://127.0.0.1:9/v1"\nendpoints = ["{endpoint.base_url}"]\n'
        'balance = "least-latency"\n'
    )
    common = ["--config", str(config), "--log", str(tmp_path / "log.db"), "-m", "gpt-4o-mini", "--text", "你好"]
    assert cli.main(["compare", *common, "--max-tokens", "3", "--repeat", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    shape = json.loads(out)
    assert {run["place"] for run in shape["runs"]} == {f"127.0.0.1:{endpoint.port}"}
    assert shape["models"][0]["first_call_s"] is not None
    assert shape["models"][0]["load_s"] is None
    assert "127.0.0.1:9: 1 sent, 1 failed; left out: Nothing answers" in err
    assert f"127.0.0.1:{endpoint.port}: 4 sent, TTFT " in err
    assert cli.main(["run", *common, "--max-tokens", "3"]) == 0
    err = capsys.readouterr().err
    assert "attempt 1 at 127.0.0.1:9: Nothing answers" in err
    assert "went on elsewhere" in err
    assert cli.main(["report", "--log", str(tmp_path / "log.db"), "--by", "place", "--own", "--json"]) == 0
    found = {group["group"]: group["n"] for group in json.loads(capsys.readouterr().out)["groups"]}
    assert found == {"127.0.0.1:9": 2, f"127.0.0.1:{endpoint.port}": 5}


def test_a_choice_of_a_profile_that_is_none_is_named_with_its_line(
    private_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from promptop.settings import load

    config = tmp_path / "config.toml"
    config.write_text('[profiles.a]\napi = "grpc"\nbalance = "random"\nhttp2 = 1\n')
    problems = [str(problem) for problem in load(config).problems]
    assert "chat, responses, anthropic" in problems[0] and f"{config}:2" in problems[0]
    assert "round-robin, least-latency" in problems[1]
    assert "true or false" in problems[2]
