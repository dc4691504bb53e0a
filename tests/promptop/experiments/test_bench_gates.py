from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.experiments.bench.gates import judge, met, parse, parse_objective
from promptop.experiments.bench.load_generator import MeasuredRequest


def measured(*ttft: float, failed: int = 0) -> MeasuredRequest:
    return MeasuredRequest(
        "m", "1 at once", calls=len(ttft) + failed, failed=failed, wall_s=10.0, values={"ttft": list(ttft)}
    )


@pytest.mark.parametrize(
    ("text", "statistic", "figure", "sign", "value", "relative"),
    [
        ("p95_ttft>+10%", "p95", "ttft", ">", 0.1, True),
        ("p99.9_total >= 8s", "p99.9", "total", ">=", 8.0, False),
        ("mean_ttft>800ms", "mean", "ttft", ">", 0.8, False),
        ("p50_tps<-5%", "p50", "tps", "<", -0.05, True),
        ("errors>1%", "", "errors", ">", 0.01, False),
        ("errors>+50%", "", "errors", ">", 0.5, True),
        ("goodput<2.5/s", "", "goodput", "<", 2.5, False),
        ("cost>0.002", "", "cost", ">", 0.002, False),
    ],
)
def test_rules_are_read(text: str, statistic: str, figure: str, sign: str, value: float, relative: bool) -> None:
    rule = parse(text)
    assert (rule.statistic, rule.figure, rule.sign, rule.relative) == (statistic, figure, sign, relative)
    assert rule.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p95_ttft", "not a condition"),
        ("p95_ttft>", "not a condition"),
        ("p95_tttf>1s", "no figure 'tttf'"),
        ("ttft>1s", "which ttft"),
        ("p95_errors>1%", "one number"),
        ("p95_ttft>10", "not measured in"),
        ("p95_ttft>10%", "not measured in"),
        ("errors>5", "not measured in"),
        ("p95_ttft>+1s", "not measured in"),
        ("__import__('os')", "not a condition"),
    ],
)
def test_a_bad_rule_says_what_is_wrong_and_what_to_write(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        parse(text)
    assert raised.value.remedy


def test_a_gate_holds_a_figure_against_a_limit_or_a_baseline() -> None:
    before, now = measured(1.0, 1.0, 1.0), measured(1.2, 1.2, 1.2, failed=1)
    limit, worse, much, lost = (
        judge([parse(text)], now, before)[0] for text in ("p50_ttft>1s", "p95_ttft>+10%", "p95_ttft>+30%", "errors>30%")
    )
    assert (limit.failed, worse.failed, much.failed, lost.failed) == (True, True, False, False)
    assert "+20.0 %" in worse.text
    assert judge([parse("p95_ttft>+10%")], now, None)[0].failed
    assert judge([parse("p95_tps<20")], now, before)[0].text == "was not measured"


def test_objectives_are_of_single_calls() -> None:
    goals = [parse_objective("ttft<1s"), parse_objective("tps>=20")]
    assert met(goals, {"ttft": 0.9, "tps": 20.0})
    assert not met(goals, {"ttft": 1.0, "tps": 20.0})
    assert not met(goals, {"ttft": 0.9, "tps": None})
    for text in ("p95_ttft<1s", "ttft<+10%", "errors<1%", "ttft=1s"):
        with pytest.raises(UsageError):
            parse_objective(text)
