"""Factors learned from logged calls: recovered from what generated them, robust, and told when they jump."""

from __future__ import annotations

import json
import random
import stat
from dataclasses import replace

import pytest

from promptop.log import Row
from promptop.tokens import estimate, factors, for_model
from promptop.tokens.factors import CountedCall, ModelFactors, learn
from promptop.tokens.scripts import Chars

TRUE = (1.31, 0.94, 1.42, 1.0)
OVERHEAD = 7


def calls(
    n: int,
    model: str = "claude-opus-5-5",
    *,
    seed: int = 0,
    noise: float = 0.01,
    true: tuple[float, float, float, float] = TRUE,
    start_ms: int = 0,
    with_o200k: bool = True,
) -> list[CountedCall]:
    """Make calls whose reported tokens follow ``true`` with some noise."""
    source = random.Random(seed)
    out = []
    for k in range(n):
        chars: Chars = (source.randrange(200, 6000), source.randrange(0, 2000), source.randrange(0, 3000), 0)
        base = round(estimate.o200k_from_chars(chars))
        messages = source.randrange(1, 6)
        reported = estimate.apply(true, base, chars) * source.gauss(1, noise) + OVERHEAD * messages
        out.append(
            CountedCall(model, chars, round(reported), base if with_o200k else None, messages, at_ms=start_ms + k)
        )
    return out


def test_factors_are_recovered_with_a_narrow_interval() -> None:
    (found,), notices = learn(calls(120))
    assert found.factors[:3] == pytest.approx(TRUE[:3], rel=0.02)
    assert found.overhead == pytest.approx(OVERHEAD, abs=2)
    assert found.error < 0.03
    assert (found.n, found.model, notices) == (120, "claude-opus-5-5", ())


def test_they_are_recovered_from_characters_alone() -> None:
    (found,), _ = learn(calls(200, with_o200k=False))
    assert found.factors[:3] == pytest.approx(TRUE[:3], rel=0.03)


def test_odd_calls_do_not_move_them() -> None:
    odd = [
        CountedCall(call.model, call.chars, call.reported * 5, call.o200k, 1, at_ms=call.at_ms)
        for call in calls(8, seed=9)
    ]
    samples = calls(100)
    samples[10:10] = odd
    (found,), _ = learn(samples)
    assert found.factors[:3] == pytest.approx(TRUE[:3], rel=0.05)


def test_a_script_that_never_occurred_keeps_the_familys_factor() -> None:
    latin = [
        CountedCall(
            "claude-opus-5-5", (size, 0, 0, 0), round(1.2 * estimate.o200k_from_chars((size, 0, 0, 0))), at_ms=size
        )
        for size in range(500, 5000, 100)
    ]
    (found,), _ = learn(latin)
    assert found.factors[0] == pytest.approx(1.2, rel=0.02)
    assert found.factors[1] == pytest.approx(1.53)


def test_simulated_and_few_calls_never_train() -> None:
    simulated = [replace(call, simulated=True) for call in calls(100)]
    assert learn(simulated) == ((), ())
    assert learn(calls(factors.ENOUGH - 1)) == ((), ())
    assert len(learn(calls(factors.ENOUGH))[0]) == 1


def test_a_change_of_tokenizer_is_noticed_and_the_factors_start_anew() -> None:
    after = (TRUE[0] * 1.3, TRUE[1] * 1.3, TRUE[2] * 1.3, 1.0)
    (found,), (notice,) = learn(calls(60) + calls(40, seed=1, true=after, start_ms=1000))
    assert found.factors[:3] == pytest.approx(after[:3], rel=0.05)
    assert notice.at_ms == 1000
    assert notice.ratio == pytest.approx(1.3, rel=0.05)
    assert found.since_ms == notice.at_ms
    assert "claude-opus-5-5" in str(notice)


def test_noise_is_no_change() -> None:
    for seed in range(8):
        assert learn(calls(80, seed=seed, noise=0.02))[1] == ()


def test_learned_factors_are_kept_privately_and_used() -> None:
    before = for_model("claude-opus-5-5", {"o200k_base": 1000}, (6000, 0, 0, 0))
    factors.save(learn(calls(120))[0])
    mode = stat.S_IMODE(factors.path().stat().st_mode)
    assert mode == 0o600
    found = for_model("claude-opus-5-5", {"o200k_base": 1000}, (6000, 0, 0, 0))
    assert before.tokens == 1530
    assert found.tokens == pytest.approx(1310, rel=0.02)
    assert found.interval is not None
    assert found.error is not None
    assert found.error < 0.04
    assert str(found).startswith("≈ 1,3")
    assert "±" in str(found)
    factors.save([ModelFactors("other", (1, 1, 1, 1), 4, 0.1, 8, 0, 0)])
    assert set(factors.current()) == {"claude-opus-5-5", "other"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"models": {"x": {"factors": [1, 2]}}}', '{"models": {"x": 3}}'])
def test_a_damaged_file_is_no_factors(text: str) -> None:
    factors.path().parent.mkdir(parents=True)
    factors.path().write_text(text)
    assert factors.current() == {}


def test_rows_of_the_log_become_samples() -> None:
    row = {
        "response_model": "m-2",
        "request_model": "m",
        "input_chars": json.dumps([1, 2, 3, 4]),
        "usage_input_tokens": 9,
        "usage_source": "reported",
        "request_messages": 2,
        "started_ms": 5,
        "simulated": None,
    }
    assert factors.sample_from_row(row) == CountedCall("m-2", (1, 2, 3, 4), 9, None, 2, False, 5)
    assert factors.sample_from_row({**row, "simulated": 1}) == CountedCall("m-2", (1, 2, 3, 4), 9, None, 2, True, 5)
    counted = factors.sample_from_row({**row, "input_o200k_tokens": 7})
    assert counted is not None
    assert counted.o200k == 7
    for change in (
        {"usage_source": "estimated"},
        {"usage_input_tokens": None},
        {"request_tools": 2},
        {"input_chars": None},
        {"input_chars": "[1]"},
        {"cache_level": "memory"},
    ):
        assert factors.sample_from_row({**row, **change}) is None


def test_a_change_is_told_once() -> None:
    after = (TRUE[0] * 1.3, TRUE[1] * 1.3, TRUE[2] * 1.3, 1.0)
    rows = [
        Row(
            started_ms=call.at_ms,
            request_model=call.model,
            request_messages=call.messages,
            input_chars=json.dumps(call.chars),
            usage_input_tokens=call.reported,
            usage_source="reported",
        )
        for call in calls(60) + calls(40, seed=1, true=after, start_ms=1000)
    ]
    (notice,) = factors.update(rows)
    assert notice.at_ms == 1000
    assert factors.current()["claude-opus-5-5"].since_ms == 1000
    assert factors.update(rows) == ()
    assert factors.current()["claude-opus-5-5"].n == 40
