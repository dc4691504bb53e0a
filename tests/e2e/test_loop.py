"""One prompt through the commands: counted, run, compared, found again in the log and in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.checks import check, new_rows

import promptop
from promptop.cli.main import main
from promptop.log import writer_for
from promptop.simulator import SimulatedEndpoint

PROMPT = "system:\nAnswer briefly.\n\nuser:\n请用三句话解释潮汐.\n"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0, api_key="sk-e2e-loop") as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-e2e-loop")
        yield running


def told(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    """Run a command that must succeed and return the JSON that it printed."""
    code = main(list(command))
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


def test_what_is_counted_is_what_is_charged_logged_and_reported(
    endpoint: SimulatedEndpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, prompt = tmp_path / "log.db", tmp_path / "tides.md"
    prompt.write_text(PROMPT, encoding="utf-8")
    (counted,) = told(capsys, "count", "--json", "-m", "gpt-4o", str(prompt))
    ran = told(capsys, "run", "--json", "--log", str(log), "-m", "gpt-4o", "--seed", "1", str(prompt))
    assert "潮汐" in ran["text"]
    assert ran["ttft_s"] <= ran["duration_s"] <= ran["total_s"]
    assert counted["kind"] == "exact"
    assert ran["usage"]["source"] == "reported"
    assert ran["usage"]["input_tokens"] - counted["tokens"] in range(1, 20), "the frame of two messages"

    with openai.OpenAI(max_retries=0) as plain:
        client = promptop.observe(plain, log=log, app="tide service", simulated=True)
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "tides?"}])
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="sim-fault-429", messages=[{"role": "user", "content": "tides?"}])
    assert writer_for(log).flush(10)

    rows = new_rows(log, 0, 3)
    for row in rows:
        check(row)
    assert [row.request_model for row in rows] == ["gpt-4o", "gpt-4o-mini", "sim-fault-429"]
    assert rows[0].cost_usd == pytest.approx(ran["cost_usd"])
    report = told(capsys, "report", "--json", "--log", str(log), "--since", "1h", "--by", "app")
    assert report["n"] == 3
    assert report["cost_usd"] == pytest.approx(sum(row.cost_usd or 0 for row in rows))
    assert answer.usage is not None
    assert report["usage"]["input_tokens"] == ran["usage"]["input_tokens"] + answer.usage.prompt_tokens
    everything = b"".join(path.read_bytes() for path in tmp_path.glob("log.db*"))
    assert b"sk-e2e-loop" not in everything
    assert "潮汐".encode() not in everything, "bodies are kept only where it is asked for"
