"""A model's rewrite: what is asked, what of the answer counts, and that each change says what it loses."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.base.errors import PromptopError
from promptop.client.result import RunError, RunResult
from promptop.client.targets import Target
from promptop.prompts import parse
from promptop.settings import Profile
from promptop.trim.rewrite import Hunk, answer_of, hunks, request

TARGET = Target(Profile(name="p"), "gpt-4o-mini", "gpt-4o-mini")
BEFORE = """system:
You are a helpful assistant. Please make sure that you never invent an order. Answer in at most 30 words.
请你帮我总结下面的文章，不要超过三句话。如果文章里没有「结论」，请直接说明。

user:
Could you please tell me about {{topic}}? See https://a.example/x, and run `ls -l`.
"""
AFTER = """system:
Never invent orders. Answer in at most 20 words.
总结下面的文章，不要超过三句话。

user:
Tell me about {{topic}}. See https://a.example/x.
"""


def result(text: str = "", **fields: object) -> RunResult:
    return RunResult("m", "m", "m", text, **{"state": "done", "finish_reason": "stop", **fields})  # type: ignore[arg-type]


def rebuilt(text: str, found: tuple[Hunk, ...]) -> str:
    for hunk in reversed(found):
        assert text[hunk.start : hunk.end] == hunk.before
        text = text[: hunk.start] + hunk.after + text[hunk.end :]
    return text


def test_the_request_is_bounded_and_names_what_must_stay() -> None:
    asked = request(TARGET, BEFORE, 100)
    assert asked.max_tokens is not None and 100 < asked.max_tokens < 200
    assert asked.temperature == 0
    assert asked.messages[1]["content"] == f"<prompt>\n{BEFORE}\n</prompt>"
    assert "negation" in asked.messages[0]["content"]
    reasoner = Target(Profile(name="p"), "o3-mini", "o3-mini")
    assert request(reasoner, BEFORE, 100).max_tokens or 0 > 4000
    with pytest.raises(PromptopError, match="nothing to shorten"):
        request(TARGET, " \n…", 2)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("short", "\n short\n\n"),
        ("<prompt>\nshort\n</prompt>\n", "\n short\n\n"),
        ("```\nshort\n```", "\n short\n\n"),
        ("```text\na\nb\n```", "\n a\nb\n\n"),
    ],
)
def test_wrappings_are_taken_off_and_the_space_around_stays(given: str, kept: str) -> None:
    assert answer_of(result(given), "\n a long text\n\n") == kept


def test_a_fence_of_the_text_itself_stays() -> None:
    assert answer_of(result("```\nx\n```"), "```\nlong x\n```") == "```\nx\n```"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (result("half of", finish_reason="length"), "cut at its limit"),
        (result("half of", state="cancelled"), "stopped before its end"),
        (result("", state="failed", error=RunError("401", "Refused.", "Check the key.")), "Refused"),
        (result(" … "), "without a word"),
    ],
)
def test_what_did_not_come_to_its_end_is_never_offered(call: RunResult, says: str) -> None:
    with pytest.raises(PromptopError, match=says):
        answer_of(call, "a long text")


def test_changes_are_sentences_and_say_what_they_lose() -> None:
    found = hunks(BEFORE, AFTER)
    assert rebuilt(BEFORE, found).replace(" \n", "\n") == AFTER
    told = {hunk.before.strip()[:12]: (hunk.lost, hunk.added, hunk.line) for hunk in found}
    assert told["You are a he"] == ((), (), 2)
    assert told["Please make "] == ((), (), 2)
    assert told["Answer in at"] == (("30",), ("20",), 2)
    assert told["请你帮我总结下面的文章，"[:12]][:2] == ((), ())
    assert told["如果文章里没有「结论」，"[:12]][0] == ("「结论」", "没有")
    assert told["Could you pl"] == ((), (), 6)
    assert told["See https://"][0] == ("`ls -l`",)
    assert [hunk.is_flagged for hunk in found] == [False, False, True, False, True, False, True]


def test_a_change_taken_alone_pulls_no_line_into_another() -> None:
    found = hunks(BEFORE, AFTER)
    for hunk in found:
        alone = BEFORE[: hunk.start] + hunk.after + BEFORE[hunk.end :]
        assert [message.role for message in parse(alone).messages] == ["system", "user"]
    merged = hunks(BEFORE, BEFORE.replace("\n\nuser:\n", " "))
    assert any("the bounds of a message" in hunk.lost for hunk in merged)


def test_a_sentence_that_stays_is_not_glued_to_the_one_before() -> None:
    first, second = hunks("It is very short. Never lie.\n", "It is short.\n")
    assert (first.after, second.after) == ("It is short. ", "")


def test_equal_texts_have_no_changes_and_one_line_is_one_change() -> None:
    assert hunks(BEFORE, BEFORE) == ()
    (only,) = hunks("Please write a poem about tea", "Write a poem about tea")
    assert (only.start, only.line) == (0, 1)
    lost = hunks("Fill in {{a}} and {{b}}.", "Fill in {{a}}.")[0].lost
    assert lost == ("{{b}}",)


PARTS = st.lists(
    st.sampled_from(
        [
            "Please do it. ",
            "Never lie. ",
            "你好。",
            "不要说谎。",
            "\n",
            "\n\n",
            "use {{x}} ",
            "3 words! ",
            "user:\n",
            "`code`",
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(PARTS, PARTS)
def test_all_changes_together_are_the_rewrite(before: str, after: str) -> None:
    found = hunks(before, after)
    assert rebuilt(before, found).replace(" ", "") == after.replace(" ", "")
    assert all(a.end <= b.start for a, b in pairwise(found))
