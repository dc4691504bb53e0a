"""The prompt in two fields, and what will be sent of it."""

from __future__ import annotations

import pytest

from promptop.client.request import RunRequest
from promptop.client.result import CallUsage, RunResult
from promptop.experiments.comparison import compare_groups, measurable_best
from promptop.prompts import parse
from promptop.settings import Profile
from promptop_tui.playground.dialogs.json_tree import json_of, schema_of
from promptop_tui.playground.views.prompt_panel import joined_system, split_system
from promptop_tui.playground.views.request_preview import preview, summary


@pytest.mark.parametrize(
    "text",
    [
        "system:\nBe kind.\n\nuser:\n你好 {{name}}\n",
        "---\nsample: {name: 猫}\n---\nsystem:\nBe kind.\n\nuser:\nHi\n\nassistant:\nYes?\n\nuser:\nWell\n",
        "system:\nOnly this.\n",
        "Just a question",
        "user:\nOne\n\nsystem:\nlate\n",
    ],
)
def test_a_prompt_is_the_same_after_it_was_split_and_joined(text: str) -> None:
    joined = joined_system(*split_system(text))
    assert [(m.role, m.content) for m in parse(joined).messages] == [(m.role, m.content) for m in parse(text).messages]
    assert parse(joined).sample == parse(text).sample


def test_a_system_message_that_is_typed_goes_before_plain_text() -> None:
    text = joined_system("Be brief.", "What is {{x}}?")
    assert [m.role for m in parse(text).messages] == ["system", "user"]
    assert joined_system("  ", "What?") == "What?"


def request(**changes: object) -> RunRequest:
    content = [
        {"type": "text", "text": "看 {{图}}"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
    ]
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"properties": {"word": {}}}}}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    return RunRequest(
        profile=Profile(name="p"),
        model="m",
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": content}],
        extra={"tools": [tool], "response_format": schema},
        **changes,  # type: ignore[arg-type]
    )


def test_what_will_be_sent_is_shown_with_roles_parts_and_tools() -> None:
    shown = str(preview(request(max_tokens=9), ["{{图}} has no value"], ["other"]))
    for wanted in ("▌system", "▌user", "▣ image image/png, 3 bytes", "look_up(word)", "json_schema a", "max_tokens 9"):
        assert wanted in shown
    assert "✗ {{图}} has no value" in shown and "also to  other" in shown
    assert summary(request(), ["图"], ["x"]) == [
        "system + user",
        "1 image",
        "1 tool",
        "schema",
        "! 1 unfilled",
        "✗ 1 left out",
    ]
    assert schema_of(request()) == {"type": "object"}


def test_json_is_found_in_a_fence() -> None:
    assert json_of('```json\n{"a": 1}\n```') == {"a": 1}
    with pytest.raises(ValueError, match="Expecting"):
        json_of("no json")


def result(ttft_s: float, cost_usd: float, *, text: str = "yes", source: str = "reported") -> RunResult:
    usage = CallUsage(10, 20, source=source)
    return RunResult("m", "m", "m", text, "done", ttft_s=ttft_s, duration_s=1.0, usage=usage, cost_usd=cost_usd)


def test_a_star_stands_only_where_a_difference_can_be_told() -> None:
    def stars(*groups: list[RunResult]) -> list[list[bool]]:
        return [[cell.best for cell in row] for row in compare_groups(groups, best=measurable_best(groups))]

    single = stars([result(0.1, 0.2)], [result(0.2, 0.1)])
    assert [any(row[:3]) for row in single] == [False, False], "one call says nothing of speed"
    assert [row[5] for row in single] == [False, True]
    assert not any(row[5] for row in stars([result(0.1, 0.0)], [result(0.2, 0.1, source="estimated")]))
    assert not any(row[5] for row in stars([result(0.1, 0.1, text="")], [result(0.2, 0.2)])), "an empty answer"
    noisy = stars(
        [result(0.1 + at % 3 / 10, 0.1) for at in range(9)], [result(0.11 + at % 3 / 10, 0.1) for at in range(9)]
    )
    assert not any(row[0] for row in noisy)
    apart = stars([result(0.1 + at / 100, 0.1) for at in range(9)], [result(0.9 + at / 100, 0.1) for at in range(9)])
    assert [row[0] for row in apart] == [True, False]


@pytest.mark.parametrize(("reads", "rate"), [(1, None), (2, None), (3, 21.1), (None, 21.1)])
def test_tokens_that_came_in_two_reads_have_no_rate(reads: int | None, rate: float | None) -> None:
    usage = CallUsage(1, 20, source="reported")
    made = RunResult("m", "m", "m", "x", "done", ttft_s=0.1, duration_s=1.0, usage=usage, token_reads=reads)
    assert made.output_tps == (None if rate is None else pytest.approx(rate, abs=0.1))
    assert RunResult("m", "m", "m", "x", "done", ttft_s=0.1, duration_s=0.1004, usage=usage).output_tps is None
