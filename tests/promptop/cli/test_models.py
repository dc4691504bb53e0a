"""promptop models: the catalogue on the command line, and learning factors from a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptop.cli.main import main
from promptop.log import Row, Writer
from promptop.tokens import estimate, factors


def test_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--search", "4o mini", "--provider", "openai"]) == 0
    out = capsys.readouterr().out
    assert "$0.15" in out
    assert "gpt-4o-mini" in out
    assert "as of" in out.splitlines()[-1]
    assert main(["models", "--search", "no such thing at all"]) == 1


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gpt-4o", "llama3.1:8b", "--json"]) == 0
    four, llama = json.loads(capsys.readouterr().out)
    assert (four["input_usd_mtok"], four["output_usd_mtok"], four["cache_read_usd_mtok"]) == (2.5, 10.0, 1.25)
    assert (four["context_window"], four["max_output"], four["count_kind"]) == (128_000, 16_384, "exact")
    assert (llama["input_usd_mtok"], llama["price_status"], llama["provider"]) == (None, "unpriced", None)


def test_names_that_are_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "gpt4o"]) == 2
    assert "Did you mean gpt-4o" in capsys.readouterr().err
    assert main(["models", "--provider", "nobody"]) == 2


def test_mistakes_in_prices_toml_are_shown(private_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = private_folders / "config" / "prices.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[models."mine"]\ninput = 1\noutput = 2\ncolour = 3\n')
    assert main(["models", "mine"]) == 0
    out = capsys.readouterr()
    assert "unknown key 'colour'" in out.err
    assert "(prices.toml)" in out.out


def test_factors_are_learned_from_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--factors"]) == 0
    assert "No factors yet" in capsys.readouterr().out
    path = tmp_path / "log.db"
    writer = Writer(path)
    for k in range(40):
        chars = (1000 + 97 * k, 13 * k, 300, 0)
        for model, factor, simulated in (("claude-opus-5-5", 1.4, None), ("sim-smart", 3.0, 1)):
            reported = round(factor * estimate.o200k_from_chars(chars)) + 4
            writer.put(
                Row(
                    started_ms=1_700_000_000_000 + k,
                    operation_name="chat",
                    request_model=model,
                    request_messages=1,
                    input_chars=json.dumps(chars),
                    usage_input_tokens=reported,
                    usage_output_tokens=1,
                    usage_source="reported",
                    simulated=simulated,
                )
            )
    assert writer.flush(10)
    writer.close()
    assert main(["models", "--learn", "--log", str(path), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["model"], entry["n"]) == ("claude-opus-5-5", 40)
    assert entry["factors"][0] == pytest.approx(1.4, rel=0.05)
    assert factors.current()["claude-opus-5-5"].n == 40
    assert main(["models", "--factors"]) == 0
    assert "claude-opus-5-5" in capsys.readouterr().out
