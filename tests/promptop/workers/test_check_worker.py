from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.client.result import CallUsage, RunResult
from promptop.experiments.checks import parse_check
from promptop.workers.check_worker import check_lines, judge_apart


def answer(text: str, tokens: int | None = 3) -> RunResult:
    return RunResult("m", "m", "m", text, "done", finish_reason="stop", usage=CallUsage(1, tokens, source="reported"))


def test_lines_are_checks() -> None:
    assert check_lines("contains:好\n\n# not this\n  json \n") == ["contains:好", "json"]


def test_every_answer_is_held_against_every_check() -> None:
    found = judge_apart(["contains:好", "max-tokens:3"], [answer("你好"), answer("no", 4), answer("好", None)])
    assert [[checked.passed for checked in each] for each in found] == [[True, True], [False, False], [True, False]]
    assert found[1][1].why == "it has 4 tokens"
    assert judge_apart(["json"], []) == []


def test_a_pattern_without_end_fails_alone() -> None:
    found = judge_apart(["contains:a", "regex:(a|aa)+$", "lacks:c"], [answer("a" * 60 + "b")])
    assert [checked.passed for checked in found[0]] == [True, False, True]
    assert "took longer than" in found[0][1].why


def test_all_checks_together_end_after_their_limit() -> None:
    without_end = "python:any(iter(int, 1))"  # never back in the interpreter, so no signal stops it
    found = judge_apart([without_end, "contains:a"], [answer("a")], python=True, limit_s=0.5)
    assert [checked.passed for checked in found[0]] == [False, False]
    assert all("was not judged (0.5 s at most)" in checked.why for checked in found[0])


def test_verdicts_given_before_the_limit_are_kept() -> None:
    checks = ["contains:a", "python:any(iter(int, 1))", "lacks:c"]
    for limit_s in (1.0, 5.0, 25.0):  # the process has to start within it, which a busy machine delays
        found = judge_apart(checks, [answer("a")], python=True, limit_s=limit_s)
        if found[0][0].passed:
            break
    assert [checked.passed for checked in found[0]] == [True, False, False]
    assert [f"was not judged ({limit_s:g} s at most)" in checked.why for checked in found[0]] == [False, True, True]


def test_python_is_off_unless_it_is_allowed() -> None:
    with pytest.raises(UsageError, match="off"):
        judge_apart(["python:True"], [])
    with pytest.raises(UsageError, match="is not an expression"):
        parse_check("python:1 +", python=True)
    checks = ["python:len(text) < 9 and tokens == 3", "python:data['n'] > 1", "python:1 / 0", "python:print('x')"]
    (found,) = judge_apart(checks, [answer('{"n": 2}')], python=True)
    assert [checked.passed for checked in found] == [True, True, False, False]
    assert found[2].why == "raised ZeroDivisionError: division by zero"
    assert found[3].why == "is not true"


def test_a_check_that_could_never_be_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="There is no check 'sounds-nice'"):
        judge_apart(["sounds-nice"], [answer("x")])
