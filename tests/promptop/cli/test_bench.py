from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.experiments.bench.load_generator import MeasuredRequest
from promptop.experiments.bench.report import picture, remarks
from promptop.log import LogReader, writer_for
from promptop.simulator import SimulatedEndpoint


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint.base_url


def command(url: str, log: Path, *more: str) -> list[str]:
    base = ["bench", "--base-url", url, "--log", str(log), "-m", "gpt-4o-mini", "--text", "Hi", "--max-tokens", "4"]
    return [*base, *more]


def test_steps_are_measured_priced_and_drawn(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.db"
    assert main(command(url, log, "-n", "6", "--concurrency", "1,3")) == 0
    out, err = capsys.readouterr()
    assert err.startswith("16 calls, at most $0.000")  # two steps of six, warm-ups of one and three
    assert out.index("== gpt-4o-mini, 1 at once ==") < out.index("== gpt-4o-mini, 3 at once ==")
    heads = [line.split() for line in out.splitlines() if line.split()[:2] == ["n", "min"]]
    assert heads == [["n", "min", "mean", "p50", "p90", "p95", "p99", "max"]] * 2
    assert "6 of 6 answered" in out
    assert "Little's law" in out
    assert "n is below 20" in out
    assert "█" in out
    assert writer_for(log).flush(10)
    with LogReader(log) as reader:
        assert len(reader.latest(100)) == 16


def test_a_baseline_is_saved_and_a_regression_ends_with_1(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.db"
    base = command(url, log, "-n", "4", "--concurrency", "2")
    assert main([*base, "--save", "main"]) == 0
    capsys.readouterr()
    against = [*base, "--baseline", "main", "--json"]
    # Absurd limits: the outcome must not hang on how fast this machine is.
    assert main([*against, "--fail-if", "p95_ttft>+100000%", "--fail-if", "errors>0%"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [gate["failed"] for gate in found["gates"]] == [False, False]
    assert found["phases"][0]["ttft"]["n"] == 4
    assert found["baseline"]["phases"][0]["load"] == "2 at once"
    assert main([*against, "--fail-if", "p95_ttft>-99.9%", "--fail-if", "errors>0%"]) == 1
    assert [gate["failed"] for gate in json.loads(capsys.readouterr().out)["gates"]] == [True, False]
    assert main([*base, "--baseline", "main", "--text", "Something else"]) == 0
    out, err = capsys.readouterr()
    assert "against main" in out
    assert "another prompt" in err


def test_an_open_loop_reports_its_lag(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(url, tmp_path / "log.db", "-n", "8", "--rate", "200", "--slo", "total<60s", "--json")) == 0
    (phase,) = json.loads(capsys.readouterr().out)["phases"]
    assert (phase["load"], phase["answered"], phase["good"], phase["lag"]["n"]) == ("200/s", 8, 8, 8)
    assert phase["total"]["min"] >= phase["ttft"]["min"] > 0


def test_all_calls_failing_is_a_failure(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(url, tmp_path / "log.db", "-n", "2", "-m", "sim-fault-401", "--save", "x")) == 0
    bad = ["bench", "--base-url", url, "--log", str(tmp_path / "log.db"), "-m", "sim-fault-401", "--text", "Hi"]
    assert main([*bad, "-n", "2", "--save", "bad"]) == 1
    assert "401" in capsys.readouterr().err
    assert main([*bad, "-n", "2", "--baseline", "bad"]) == 1
    assert "no baseline 'bad'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fail-if", "p95_ttft"], "not a condition"),
        (["--fail-if", "p95_ttft>+10%"], "needs a baseline"),
        (["--slo", "quick"], "not an objective"),
        (["--concurrency", "0"], "numbers above 0"),
        (["--rate", "fast"], "numbers above 0"),
        (["-n", "0"], "from 1"),
        (["--cache"], "a hit is none"),
    ],
)
def test_what_cannot_be_meant_sends_nothing(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("http://127.0.0.1:9/v1", tmp_path / "log.db", *options)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "log.db").exists()


def test_nothing_is_sent_above_the_cap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("http://127.0.0.1:9/v1", tmp_path / "log.db", "-n", "1000", "--max-usd", "0.001")) == 1
    assert "nothing was sent" in capsys.readouterr().err


def test_ctrl_c_keeps_what_came(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0.05) as endpoint:
        asked = command(endpoint.base_url, tmp_path / "log.db", "-n", "5000", "--json", "--save", "part")
        program = "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
        )
        deadline = time.monotonic() + 60
        while len(endpoint.requests) < 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    (phase,) = json.loads(out)["phases"]
    assert phase["answered"] >= 3
    assert phase["answered"] + phase["cancelled"] == phase["calls"] < 5000
    assert b"Nothing was saved" in err


def test_a_reader_is_told_when_the_figures_are_of_this_machine() -> None:
    values = {"ttft": [0.5] * 10 + [1.0] * 20, "lag": [0.2] * 30}
    late = MeasuredRequest("m", "50/s", calls=30, wall_s=3.0, in_flight=9.0, in_flight_expected=5.0, values=values)
    said = "\n".join(remarks(late, "ttft<1s"))
    assert "differ by more than 10 %" in said
    assert "too slow for the rate" in said
    steady = MeasuredRequest(
        "m", "4 at once", calls=30, wall_s=3.0, in_flight=4.0, in_flight_expected=3.9, values=values
    )
    said = "\n".join(remarks(steady, "ttft<1s"))
    assert "differ" not in said
    assert "too slow" not in said


def test_the_distribution_is_drawn_to_scale_and_fits() -> None:
    lines = picture(MeasuredRequest("m", "1 at once", values={"ttft": [0.1] * 3 + [0.2] * 6 + [1.1]}), width=60)[1:]
    assert len(lines) == 10
    assert max(map(len, lines)) <= 60
    bars = [line.count("█") for line in lines]
    assert bars[1] == 2 * bars[0] == max(bars)
    assert bars[2:9] == [0] * 7
    assert [line.split()[-1] for line in lines if "█" in line] == ["3", "6", "1"]
    assert picture(MeasuredRequest("m", "1 at once", values={"ttft": [0.1]})) == []
