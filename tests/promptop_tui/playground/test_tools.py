"""Tools that are answered by mocks: the model is asked again with what they gave, each step is shown."""

from __future__ import annotations

import json
import sys

import pytest
from tests.support.waits import until_shown as until

from promptop.base.errors import UsageError
from promptop.client.result import CallUsage, RunResult
from promptop.client.tools.loop import together
from promptop.client.tools.mocks import answer_all, read_mocks, run_command
from promptop.simulator import SimulatedEndpoint

from .conftest import Open, ask, calls, over

TOOL = json.dumps(
    {
        "name": "look_up",
        "description": "look up the weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
)


def test_a_tool_is_answered_by_a_text_a_pattern_or_a_command() -> None:
    command = f"{sys.executable} -c 'import json,sys; print(json.load(sys.stdin)[\"word\"] * 2)'"
    text = f"""
    [a]
    fixed = "一只猫"
    [b]
    regex = [["Paris", "18 °C"], ['(\\w+)ville', '\\1 town']]
    [c]
    command = {json.dumps(command)}
    """
    answers = read_mocks(text, commands=True)
    calls = (("a", "{}"), ("b", '{"city": "Paris"}'), ("b", "Danville"), ("b", "Rome"), ("c", '{"word": "ab"}'))
    found = answer_all(calls, answers)
    assert [(each.text, each.how, each.failed) for each in found] == [
        ("一只猫", "fixed", False),
        ("18 °C", "regex", False),
        ("Dan town", "regex", False),
        ("No pattern of the mock matches Rome.", "regex", True),
        ("abab", "command", False),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "not TOML"),
        ("a = 1", "fixed, regex, command"),
        ('[a]\nfixed = "x"\nregex = []', "fixed, regex, command"),
        ('[a]\nregex = [["(", "x"]]', "not a pattern"),
        ('[a]\nregex = ["x"]', "not a pair"),
        ("[a]\nfixed = 5", "cannot be read"),
        ('[a]\ncommand = "date"', "not allowed"),
    ],
)
def test_what_is_no_mock_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_mocks(text, commands=False)


def test_a_command_that_fails_or_hangs_is_a_result_that_says_so() -> None:
    failing = run_command([sys.executable, "-c", "import sys; sys.exit('no luck')"], "{}")
    assert failing.failed and "failed (1): no luck" in failing.text
    hanging = run_command([sys.executable, "-c", "input(); input()"], "{}\n", longest_s=0.2)
    assert (hanging.failed and "within 0.2 s" in hanging.text) or "EOF" in hanging.text
    assert "could not be started" in run_command(["/no/such/program"], "{}").text


def test_steps_are_one_answer_in_time_and_cost() -> None:
    first = RunResult(
        "m", "m", "m", "", "done", ttft_s=0.1, total_s=1.0, usage=CallUsage(5, 6, source="reported"), cost_usd=0.1
    )
    last = RunResult(
        "m", "m", "m", "yes", "done", ttft_s=0.3, total_s=2.0, usage=CallUsage(7, 8, source="reported"), cost_usd=0.2
    )
    whole = together([first, last])
    assert (whole.text, whole.ttft_s, whole.total_s, whole.output_tps) == ("yes", 0.1, 3.0, None)
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (12, 14)
    assert whole.cost_usd == pytest.approx(0.3)
    unpriced = RunResult("m", "m", "m", "", "done", cost_usd=None)
    assert together([unpriced, last]).cost_usd is None, "a part that is unknown leaves the sum unknown"


async def test_a_model_that_calls_a_tool_is_asked_again_with_its_result(
    opened: Open, endpoint: SimulatedEndpoint
) -> None:
    app = opened("gpt-4o-mini")
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.column.texts |= {"tools": TOOL, "mocks": '[look_up]\nregex = [[".", "18 °C, 晴"]]'}
        app.pane.column.texts_changed()
        sent = len(calls(endpoint))
        await ask(app, pilot, "Please look up the weather in Paris.")
        await until(pilot, lambda: over(app))
        bodies = [request.json for request in calls(endpoint)[sent:]]
        assert [[message["role"] for message in body["messages"]] for body in bodies] == [
            ["user"],
            ["user", "assistant", "tool"],
        ]
        call, given = bodies[1]["messages"][1:]
        assert given["content"] == "18 °C, 晴"
        assert given["tool_call_id"] == call["tool_calls"][0]["id"]
        (pane,) = app.answers
        rows = "\n".join(pane.rows)
        assert "── step 1 · " in rows and "→ look_up({" in rows and "← regex: 18 °C, 晴" in rows
        assert pane.result is not None and pane.result.text and rows.rstrip().endswith(pane.rows[-1])
        assert [message["role"] for message in pane.conversation] == ["user", "assistant", "tool"]


async def test_a_tool_without_a_result_ends_the_answer_as_a_whole_call(
    opened: Open, endpoint: SimulatedEndpoint
) -> None:
    app = opened("gpt-4o-mini")
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.column.texts["tools"] = TOOL
        app.pane.column.texts_changed()
        sent = len(calls(endpoint))
        await ask(app, pilot, "Please look up the weather in Paris.")
        await until(pilot, lambda: over(app))
        assert len(calls(endpoint)) == sent + 1
        (pane,) = app.answers
        assert "".join(pane.rows).startswith('look_up({"city"') and "".join(pane.rows).endswith("})")
