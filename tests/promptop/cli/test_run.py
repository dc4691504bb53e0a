from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.log import LogReader, StoredRow, writer_for
from promptop.simulator import SimulatedEndpoint


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint.base_url


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def logged(log: Path) -> list[StoredRow]:
    """Return the rows that this process wrote, the newest first."""
    assert writer_for(log).flush(10)
    with LogReader(log) as reader:
        return reader.latest(10)


def test_the_answer_goes_to_stdout_and_its_figures_to_stderr(
    url: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(
        ["run", "--base-url", url, "--log", str(log), "-m", "gpt-4o-mini", "--max-tokens", "9", "--text", "What is X?"]
    )
    out, err = capsys.readouterr()
    assert code == 0
    assert out.strip()
    assert out.endswith("\n")
    assert "TTFT" not in out
    for part in ("gpt-4o-mini", "TTFT", "total", "tok/s", "→ 9 tokens", "$", "length"):
        assert part in err
    (row,) = logged(log)
    assert (row.app, row.request_model, row.usage_output_tokens) == ("promptop run", "gpt-4o-mini", 9)


def test_json_has_the_documented_shape_and_nothing_else_on_stdout(
    url: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--json", "--base-url", url, "--log", str(log), "-m", "gpt-4o", "--text", "hi", "--stop", r"\n"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert {
        "model",
        "text",
        "finish_reason",
        "ttfb_s",
        "ttft_s",
        "ttfo_s",
        "duration_s",
        "total_s",
        "output_tps",
    } <= set(found)
    assert {"usage", "cost_usd", "cost_status", "error"} <= set(found)
    assert found["error"] is None
    assert "\n" not in found["text"]
    assert set(found["usage"]) == {
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "reasoning_output_tokens",
        "source",
    }


def test_front_matter_gives_model_parameters_and_variables(
    url: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = tmp_path / "p.prompty"
    prompt.write_text(
        "---\nname: greeting\nmodel: gpt-4o-mini\nparameters: {max_tokens: 4, seed: 7}\n---\n"
        "system:\nBe brief.\n\nuser:\nWhat is {{topic}}?\n",
        encoding="utf-8",
    )
    base = ["run", "--json", "--base-url", url, "--log", str(log), str(prompt), "--var", "topic=gravity"]
    assert main(base) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["output_tokens"] == 4
    assert main([*base, "--max-tokens", "6", "-m", "gpt-4o"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["request_model"], found["usage"]["output_tokens"]) == ("gpt-4o", 6)
    row = logged(log)[0]
    assert (row.prompt_name, row.request_seed, row.request_messages) == ("greeting", 7, 2)


def test_variables_without_a_value_are_named_once_on_stderr(
    url: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "---\nsample: {tone: dry}\n---\nsystem:\n{{tone}}\n\nuser:\n{{order_id}} {{消息}} {{topic}}\n"
    given = ["--text", text, "--var", "topic=tea", "--system", "{{tone}} {{topic}} {{style}}"]
    base = ["--base-url", url, "--log", str(log), "-m", "gpt-4o-mini", "--max-tokens", "4", *given]
    assert main(["run", *base]) == 0
    said = "note: unfilled: order_id, 消息, style, sent as written (--var NAME=VALUE"
    assert capsys.readouterr().err.startswith(said)
    assert main(["compare", "--no-answers", *base, "--var", "order_id=1", "--var", "消息=好", "--var", "style=x"]) == 0
    assert "unfilled" not in capsys.readouterr().err
    assert main(["run", "-q", *base]) == 0  # no figures; what is sent otherwise than meant is not a figure
    assert capsys.readouterr().err.startswith(said)
    assert main(["run", "--strict", *base]) == 2
    assert "--strict refuses" in capsys.readouterr().err


def test_messages_parts_and_the_role_of_a_file_are_sent_as_they_stand(
    url: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--base-url", url, "--log", str(log), "-m", "sim-fast", "--max-tokens", "4"]
    file = tmp_path / "system.md"
    file.write_text("You are brief.\n")
    assert main(["run", *base, str(file)]) == 0
    assert "--role system" in capsys.readouterr().err
    assert main(["run", *base, str(file), "--text", "hi"]) == 2
    assert main(["run", *base, str(file), "--role", "system", "--text", "hi"]) == 0
    assert main(["run", *base, "--system", str(file), "--text", "hi"]) == 0
    assert main(["run", *base, "--text", "{name} $name", "--var", "name=x"]) == 0
    assert "the prompt says {name}" in capsys.readouterr().err


def test_an_error_says_what_to_do_and_exits_with_1(url: str, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--base-url", url, "--log", str(log), "-m", "sim-fault-401", "--text", "hi"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "refuses the key (401)" in err
    assert "→" in err
    assert main(["run", "--json", "--base-url", url, "--log", str(log), "-m", "sim-fault-cut", "--text", "hi"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["type"] == "incomplete_stream"
    assert found["text"]


def test_controls_of_an_answer_do_not_reach_the_terminal(
    url: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--base-url", url, "--log", str(log), "-m", "sim-fault-controls", "--text", "hi"]) == 0
    out, _ = capsys.readouterr()
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\u202e" not in out
    assert "␛" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--text", "hi"],  # no model anywhere
        ["-m", "m", "--text", "hi", "--stop", r"\q"],
        ["-m", "m", "--text", "hi", *["--stop", "x"] * 5],
        ["-m", "m", "--text", "hi", "--temperature", "3"],
        ["-m", "m", "--text", "hi", "--var", "novalue"],
        ["-m", "m", "--text", "hi", "--base-url", "localhost:80"],
        ["-m", "m", "--text", "hi", "--endpoint", "nosuch"],
    ],
)
def test_what_cannot_be_meant_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *arguments]) == 2
    assert "→" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["/nosuch/file"], ["--text", "  \n"]])
def test_a_prompt_that_cannot_be_had_exits_with_1(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "m", *arguments]) == 1
    assert "→" in capsys.readouterr().err


def test_ctrl_c_keeps_what_came_and_exits_with_130(url: str, log: Path) -> None:
    command = [sys.executable, "-m", "promptop_tui", "run", "--base-url", url, "--log", str(log)]
    with subprocess.Popen(
        [*command, "-m", "sim-fault-endless", "--text", "go on"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as running:
        assert running.stdout is not None
        first = running.stdout.read(40)
        running.send_signal(signal.SIGINT)
        rest, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert len(first) == 40
    assert (first + rest).endswith(b"\n")
    assert b"Traceback" not in err
    assert "cancelled" in err.decode()
    with LogReader(log) as reader:
        (row,) = reader.latest(10)
    assert row.error_type == "cancelled"


def test_a_reader_that_goes_away_ends_the_call_quietly(url: str, log: Path) -> None:
    command = (
        f"{sys.executable} -m promptop_tui run --base-url {url} --log {log} -m sim-fault-endless --text x | head -c 9"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
    assert len(done.stdout) == 9
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_with_cache_the_second_answer_costs_nothing_and_says_so(
    url: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--base-url", url, "--log", str(log), "-m", "gpt-4o-mini", "--max-tokens", "6", "--text", "Hi"]
    assert main([*command, "--cache", "--temperature", "0"]) == 0
    first = capsys.readouterr()
    assert main([*command, "--cache", "--temperature", "0"]) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "disk hit, saved $" in second.err
    assert " hit" not in first.err
    assert main([*command, "--cache"]) == 0
    assert "the cache was not asked: temperature" in capsys.readouterr().err
    assert [row.cache_level for row in logged(log)] == [None, "disk", "miss"]
