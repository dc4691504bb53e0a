from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.client.conversation import OLDER, context_of, continued, rounds_of, words_of

SYSTEM = {"role": "system", "content": "Be brief."}


def turn(number: int, text: str = "") -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": text or f"question {number}"},
        {"role": "assistant", "content": f"answer {number}. More of it."},
    ]


def tool_turn(number: int) -> list[dict[str, Any]]:
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    return [
        {"role": "user", "content": f"look {number}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": "seen"},
        {"role": "assistant", "content": f"I saw {number}"},
    ]


PENDING = {"role": "user", "content": "and now?"}


def test_the_last_rounds_are_kept_with_instructions_and_the_pending_turn() -> None:
    messages = [SYSTEM, *turn(1), *tool_turn(2), *turn(3), PENDING]
    context = context_of(messages, 2)
    assert list(context.messages) == [SYSTEM, *tool_turn(2), *turn(3), PENDING]
    assert (context.rounds, context.kept, context.shortened) == (3, 2, True)
    assert list(context_of(messages, 0).messages) == [SYSTEM, PENDING]
    assert list(context_of(messages, None).messages) == messages
    assert not context_of(messages, 3).shortened


def test_a_summary_tells_each_message_in_its_first_sentence() -> None:
    messages = [SYSTEM, *turn(1, "什么是提示工程？请举例。"), *tool_turn(2), PENDING]
    first, *rest = context_of(messages, 0, "summary").messages
    assert rest == [PENDING]
    assert first["role"] == "system"
    assert first["content"].splitlines()[0] == "Be brief."
    assert "- user: 什么是提示工程？" in first["content"].splitlines()
    assert "- assistant: answer 1." in first["content"].splitlines()
    assert "- assistant called look" in first["content"].splitlines()
    alone = context_of(messages[1:], 0, "summary").messages
    assert [message["role"] for message in alone] == ["system", "user"]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [("What was the price of the tokenizer?", "tokenizer"), ("缓存的价格是多少？", "缓存")],
)
def test_keywords_bring_back_the_round_that_the_pending_turn_is_about(asked: str, kept: str) -> None:
    messages = [
        *turn(1, "Tell me of the tokenizer and what it costs."),
        *turn(2, "Name a bird."),
        *turn(3, "说说缓存怎么用。"),
        *turn(4, "Name a fish."),
        {"role": "user", "content": asked},
    ]
    context = context_of(messages, 1, "keyword")
    questions = [message["content"] for message in context.messages if message["role"] == "user"]
    assert len(questions) == 3
    assert kept in questions[0]
    assert questions[1:] == ["Name a fish.", asked]


def test_a_tool_result_as_part_of_a_user_message_begins_no_round() -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "x"}]}
    assert rounds_of([*turn(1), result, PENDING]) == [(0, 3), (3, 4)]


@given(
    st.lists(st.sampled_from(["turn", "tool", "system", "lonely"]), max_size=8),
    st.integers(0, 4),
    st.sampled_from(OLDER),
)
@settings(max_examples=60, deadline=None)
def test_no_tool_result_is_ever_orphaned(parts: list[str], keep: int, older: Any) -> None:
    messages: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        messages += {
            "turn": turn(number),
            "tool": tool_turn(number),
            "system": [{"role": "system", "content": f"rule {number}"}],
            "lonely": [{"role": "user", "content": f"unanswered {number}"}],
        }[part]
    sent = context_of([*messages, PENDING], keep, older).messages
    assert sent[-1] == PENDING
    called = {call["id"] for message in sent for call in message.get("tool_calls") or ()}
    answered = {message["tool_call_id"] for message in sent if message["role"] == "tool"}
    assert called == answered
    told = "\n".join(str(message["content"]) for message in sent)
    assert all(str(message["content"]) in told for message in messages if message["role"] == "system")


def test_an_answer_is_continued_by_the_user_or_by_results_of_its_tools() -> None:
    messages = continued([PENDING], "Now this.")
    assert messages == [PENDING, {"role": "assistant", "content": "Now this."}, {"role": "user", "content": ""}]
    messages = continued([PENDING], "", [("look", '{"at": 1}'), ("hear", "{}")])
    _, answer, *results = messages
    assert answer["content"] is None
    assert [call["id"] for call in answer["tool_calls"]] == [result["tool_call_id"] for result in results]
    again = continued(messages, "", [("look", "{}")])
    assert again[-1]["tool_call_id"] == "call_3"


def test_a_system_message_alone_has_no_round() -> None:
    assert rounds_of([SYSTEM]) == []
    assert context_of([SYSTEM], 2).messages == (SYSTEM,)


def test_words_of_chinese_are_pairs_of_characters() -> None:
    assert set(words_of("价格 of a Token, 表")) == {"价格", "token", "表"}
