"""What each kind of check says of an answer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from promptop.base.errors import UsageError
from promptop.client.result import CallUsage, RunResult
from promptop.experiments.checks import answered, parse_check
from promptop.experiments.checks.answer_text import language_of, numbers_in, refuses
from promptop.experiments.checks.judges import JudgeRecord, winner_of
from promptop.experiments.proof.broken_answers import caught


def answer(text: str, **values: Any) -> RunResult:
    return RunResult(
        "m", "m", "m", text, "done", usage=CallUsage(9, 5, source="reported"), finish_reason="stop", **values
    )


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("equals:Yes", " Yes\n", "yes"),
        ("equals-any:yes|no", "no", "maybe"),
        ("contains-all:a,b", "b a", "a"),
        ("contains-any:猫|狗", "一只狗", "一只鸟"),
        ("starts-with:Dear", "  Dear all", "To all"),
        ("not:contains:x", "y", "x"),
        ("json-path:$.a[0].b=2", '{"a": [{"b": 2}]}', '{"a": [{"b": 3}]}'),
        ("json-path:$.a~^x", '{"a": "xy"}', '{"a": "yx"}'),
        ("json-path:$.a#12", '{"a": "12.0"}', '{"a": "13"}'),
        ("number:1,250 within 1%", "it is 1 251 or 1,251.5", "1,300"),
        ("number:-3", "−3 °C", "3"),
        ("choice:positive|negative", "It is Positive.", "positive or negative"),
        ("language:zh", "这是一个中文句子。", "This is a sentence."),
        ("language:en", "This is what we have for you in the box", "Das ist nicht die Antwort auf eine Frage"),
        ("length:3..5", "abcd", "abcdef"),
        ("words:..2", "two words", "now three words"),
        ("regex:^a+$", "aaa", "ab"),
        ('{"type": "json-schema", "value": {"type": "array"}}', "[1]", "{}"),
    ],
)
def test_a_check_passes_what_it_should(check: str, good: str, bad: str) -> None:
    import json

    made = parse_check(json.loads(check) if check.startswith("{") else check)
    assert made.judge(answer(good)).passed
    failed = made.judge(answer(bad))
    assert not failed.passed and failed.why


def test_a_check_takes_what_the_case_expects() -> None:
    assert parse_check("number", expected="12").judge(answer("about 12")).passed
    assert parse_check({"type": "choice", "value": ["a", "b"]}, expected="a").judge(answer("a")).passed
    assert not parse_check({"type": "json-path", "path": "$.x"}, expected="1").judge(answer('{"x": 2}')).passed
    with pytest.raises(UsageError, match="none of the labels"):
        parse_check("choice:a|b", expected="c")


def test_tools_and_their_arguments() -> None:
    schema = {"type": "object", "required": ["city"]}
    check = parse_check({"type": "tool", "value": "weather", "arguments": schema})
    assert check.judge(answer("", tool_calls=(("weather", '{"city": "Paris"}'),))).passed
    assert not check.judge(answer("", tool_calls=(("weather", "{}"),))).passed
    assert not check.judge(answer("sunny")).passed


def test_a_pattern_that_takes_for_ever_is_cut_off() -> None:
    begun = time.monotonic()
    checked = parse_check(r"regex:^(a+)+$").judge(answer("a" * 60 + "b"))
    assert not checked.passed and "took longer" in checked.why
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot provide medical advice.", True),
        ("抱歉，我无法回答这个问题。", True),
        ("作为一个人工智能，我没有身体。", True),
        ("I'm sorry to hear that your parcel is late.", False),
        ("很抱歉给您带来不便，包裹明天到。", False),
        ("I cannot find the value: unknown", False),
        ("The answer: you cannot help it.", False),
    ],
)
def test_refusals_are_known_by_their_openings(text: str, refused: bool) -> None:
    assert refuses(text) is refused
    assert answered().judge(answer(text)).passed is not refused


def test_cut_and_empty_answers_are_no_answers() -> None:
    whole = answer("text")
    assert answered().judge(whole).passed
    assert not answered().judge(RunResult("m", "m", "m", "tex", "done", finish_reason="length")).passed
    assert not answered().judge(answer(" ")).passed
    assert answered().judge(answer("", tool_calls=(("f", "{}"),))).passed


def test_numbers_of_all_kinds() -> None:
    assert numbers_in("−1,234.5 and 1’000, 3,14; 1.234.567,8 ｛５｝ 1e3") == [-1234.5, 1000, 3.14, 1234567.8, 5, 1000]
    assert language_of("...") == ""


def test_broken_answers_show_what_a_check_is_worth() -> None:
    found = caught([(answer('{"n": 4}'), [parse_check("json"), parse_check("lacks:error")]), (answer('{"n": 5}'), [])])
    assert found["json"].tells and not found["lacks:error"].tells
    assert "fails none" in found["lacks:error"].said()


def test_what_a_judge_says_is_read_and_weighed() -> None:
    assert winner_of('Sure: {"reason": "x", "winner": "B"}') == "second"
    assert winner_of("A") == "first" and winner_of("tie") == "same"
    assert winner_of("A is better than B, I think, by a long way and more") is None
    good = JudgeRecord("j", calls=40, planted=10, found=9, pairs=10, without=2)
    assert good.fault() == ""
    assert "planted" in JudgeRecord("j", calls=40, planted=10, found=7).fault()
    assert "equal sides" in JudgeRecord("j", calls=40, planted=10, found=9, alike_wins=[8, 0]).fault()
    assert "no verdict" in JudgeRecord("j", calls=40, planted=10, found=9, pairs=10, without=4).fault()
