"""What scenarios make of invented calls: cost by the table, times by the log, intervals and back-tests."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptop.cache import Policy as CachePolicy
from promptop.cli.main import main
from promptop.log import files
from promptop.log.row import Row
from promptop.models import overrides, price
from promptop.routing.policy import Policy, parse_rule
from promptop.whatif import scenarios
from promptop.whatif.calls import calls_of
from promptop.whatif.projection import project

HOUR = 3_600_000
NOW = 1_795_262_400_000


def rows(hours: int = 48, seed: int = 0) -> Iterator[Row]:
    """Yield 20 calls an hour of two models, a failure and a hit among them."""
    rng = random.Random(seed)
    for number in range(hours * 20):
        small = number % 2 == 0
        output = round(200 * rng.lognormvariate(0, 0.3))
        pace = 0.005 if small else 0.02
        model = "gpt-4o-mini" if small else "gpt-4o"
        usage: dict[str, Any] = {"usage_input_tokens": 1000, "usage_output_tokens": output}
        yield Row(
            started_ms=NOW - hours * HOUR + number * 3 * 60_000,
            app="web",
            prompt_name="answer" if number % 4 < 2 else None,
            prompt_hash=f"h{number % 5}",
            request_model=model,
            response_model=model,
            request_stream=int(number % 4 < 2),
            request_temperature=0.0,
            error_type="503" if number % 50 == 7 else None,
            cache_level="memory" if number % 50 == 9 else None,
            ttft_s=0.4 * rng.lognormvariate(0, 0.2),
            duration_s=0.4 + output * pace,
            task_complexity=0.1 if number % 4 < 2 else None,
            cost_usd=price(model, input_tokens=1000, output_tokens=output).usd,
            cost_status="table",
            **usage,
        )


ROWS = list(rows())
CALLS, LEFT_OUT = calls_of(ROWS)
SINCE = NOW - 48 * HOUR


def test_failures_and_hits_are_left_out() -> None:
    assert len(CALLS) + LEFT_OUT == len(ROWS)
    assert sum(row.error_type is not None or row.cache_level is not None for row in ROWS) == LEFT_OUT


def test_another_model_costs_by_the_table_and_takes_what_it_takes_in_the_log() -> None:
    before = project(scenarios.Scenario("as it was", scenarios.as_it_was), CALLS, SINCE, NOW)
    after = project(scenarios.other_model("gpt-4o-mini", "gpt-4o"), CALLS, SINCE, NOW)
    assert before.usd.value is not None and after.usd.value is not None
    assert after.usd.value < 0.2 * before.usd.value
    assert after.moved == sum(call.model == "gpt-4o" for call in CALLS)
    assert before.p95_s.value is not None and after.p95_s.value is not None
    assert after.p95_s.value < 0.6 * before.p95_s.value
    for found in (before.usd, after.usd, before.p95_s, after.p95_s):
        assert found.value is not None and found.low is not None and found.high is not None
        assert found.low <= found.value <= found.high
        assert found.error is not None and abs(found.error) < 0.15


def test_the_back_test_shows_a_log_that_grew() -> None:
    grown = [call for call in CALLS if call.at_ms >= NOW - 24 * HOUR or call.number % 3 == 0]
    found = project(scenarios.Scenario("as it was", scenarios.as_it_was), grown, SINCE, NOW)
    assert found.usd.error is not None and found.usd.error < -0.5


def test_times_of_a_model_that_was_never_called_are_unknown() -> None:
    found = project(scenarios.other_model("claude-sonnet-4-5"), CALLS, SINCE, NOW)
    assert found.usd.value is not None
    assert found.p95_s.value is None and found.untimed == len(CALLS)


def test_a_model_without_a_price_is_unpriced_and_not_free() -> None:
    found = project(scenarios.other_model("no-such-model-9"), CALLS, SINCE, NOW)
    assert found.usd.value is None and found.unpriced == len(CALLS)


def test_a_router_moves_what_its_rule_knows() -> None:
    policy = Policy((parse_rule("complexity<0.3 -> gpt-4o-mini"),))
    found = project(scenarios.router(policy, "small"), CALLS, SINCE, NOW)
    easy = [call for call in CALLS if call.facts.complexity is not None and call.model == "gpt-4o"]
    assert found.moved == len(easy)


def test_batch_halves_what_was_not_streamed_and_has_no_time() -> None:
    found = project(scenarios.tier("batch"), CALLS, SINCE, NOW)
    waiting = [call for call in CALLS if not call.streamed]
    was = sum(call.cost_usd or 0 for call in CALLS)
    assert found.usd.value == pytest.approx(was - 0.5 * sum(call.cost_usd or 0 for call in waiting))
    assert found.p95_s.value is None and found.moved == len(waiting)


def test_a_price_file_stands_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[models."gpt-4o"]\ninput = 1.0\noutput = 1.0\n[models."gpt-4o-mini"]\ninput = 1.0\noutput = 1.0\n')
    said = overrides.read(file)
    assert not said.problems
    found = project(scenarios.price_list("new", said), CALLS, SINCE, NOW)
    tokens = sum(call.input_tokens + call.output_tokens for call in CALLS)
    assert found.usd.value == pytest.approx(tokens / 1e6)


def test_a_cache_answers_repeats_within_its_time() -> None:
    long = project(scenarios.cached(ROWS, CachePolicy(), None, "none"), CALLS, SINCE, NOW)
    short = project(scenarios.cached(ROWS, CachePolicy(), 60.0, "1m"), CALLS, SINCE, NOW)
    assert long.moved > 0.9 * len(CALLS)
    assert short.moved == 0
    assert long.usd.value is not None and short.usd.value is not None and long.usd.value < 0.1 * short.usd.value


def test_a_trim_takes_tokens_from_its_prompt_alone() -> None:
    was = project(scenarios.Scenario("as it was", scenarios.as_it_was), CALLS, SINCE, NOW).usd.value
    found = project(scenarios.trimmed("answer", 500), CALLS, SINCE, NOW)
    per_call = {
        model: (price(model, input_tokens=500, output_tokens=0).usd or 0) for model in ("gpt-4o", "gpt-4o-mini")
    }
    saved = sum(per_call[call.model] for call in CALLS if call.facts.prompt == "answer")
    assert was is not None and found.usd.value == pytest.approx(was - saved)


def test_the_command_prints_json_and_refuses_what_it_does_not_understand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.db"
    with closing(files.open_log(log)) as connection:
        names = list(Row.__dataclass_fields__)
        connection.executemany(
            f"INSERT INTO requests ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            [[getattr(row, name) for name in names] for row in ROWS],
        )
    asked = ["whatif", "--log", str(log), "--since", "2026-11-19", "--until", "2026-11-22"]
    assert main([*asked, "--model", "gpt-4o->gpt-4o-mini", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["scenario"] for each in found["scenarios"]] == ["as it was", "model gpt-4o -> gpt-4o-mini"]
    assert found["left_out"] == LEFT_OUT
    assert main([*asked, "--model", "gpt-4o"]) == 0
    assert "back-test" in capsys.readouterr().out
    for wrong in (["--trim", "answer"], ["--cache-ttl", "soon"], ["--prices", "none.toml"], ["--model", "a->"]):
        assert main([*asked, *wrong]) == 2
        assert "Write" in (said := capsys.readouterr().err) or "Name" in said
