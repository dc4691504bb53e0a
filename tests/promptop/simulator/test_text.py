"""Simulated answers: language, topic and form come from the question."""

from __future__ import annotations

import json

import pytest

from promptop.simulator.answers import text


def reply(prompt: str, key: int = 0) -> str:
    ask = text.read(prompt)
    return text.answer(ask, text.seeded(key, ask))


def test_a_chinese_question_gets_a_chinese_answer_about_its_topic() -> None:
    ask = text.read("请你详细解释一下什么是提示工程")
    assert (ask.language, ask.topics) == ("zh", ("提示工程",))
    answer = reply("请你详细解释一下什么是提示工程")
    assert "提示工程" in answer
    assert not any("a" <= char <= "z" for char in answer.lower())


def test_an_english_question_gets_an_english_answer_about_its_topic() -> None:
    answer = reply("Please explain how a heat pump works in winter.")
    assert any(word in answer for word in ("heat", "pump", "winter", "Heat", "Pump", "Winter"))
    assert answer.isascii()


@pytest.mark.parametrize(
    ("prompt", "language"),
    [("Translate into Chinese: good morning", "zh"), ("把这句话翻译成英文:早上好", "en"), ("请用英文介绍北京", "en")],
)
def test_a_language_that_is_asked_for_wins(prompt: str, language: str) -> None:
    assert text.read(prompt).language == language


def test_politeness_does_not_change_the_answer() -> None:
    """A prompt trimmed of filler keeps its topic words, and so its answer: trimming can be proved harmless."""
    assert reply("Could you please kindly explain the tides?") == reply("Explain the tides.")
    assert reply("麻烦你帮我详细解释一下潮汐,非常感谢") == reply("解释潮汐")


@pytest.mark.parametrize(
    "prompt", ["List 4 ways to save tokens", "列出4个节省令牌的办法", "Give me four tips on saving tokens"]
)
def test_a_list_has_the_number_of_items_asked_for(prompt: str) -> None:
    lines = reply(prompt).splitlines()
    assert [line.split(".")[0] for line in lines] == ["1", "2", "3", "4"]


def test_json_asked_gives_json() -> None:
    value = json.loads(reply("Summarise the meeting as JSON"))
    assert "meeting" in value["items"]


def test_a_choice_answers_with_one_of_the_labels() -> None:
    prompt = "Classify the ticket with exactly one of: billing, technical, other\nMy invoice is wrong"
    assert {reply(prompt, key) for key in range(20)} == {"billing", "technical", "other"}


def test_lengths_are_kept() -> None:
    assert len(reply("用100字介绍长城")) <= 120
    assert len(reply("Describe the moon in 30 words").split()) <= 32


@pytest.mark.parametrize(
    ("prompt", "count"), [("Explain tides in two sentences.", 2), ("用三句话解释潮汐", 3), ("一句话介绍长城", 1)]
)
def test_the_number_of_sentences_is_kept(prompt: str, count: int) -> None:
    answer = reply(prompt)
    assert answer.count("。") + answer.count(".") == count


def test_code_asked_gives_a_code_block() -> None:
    answer = reply("写一个函数计算列表平均值")
    assert answer.count("```") == 2
    compile(answer.split("```python\n")[1].split("```")[0], "answer", "exec")


def test_a_schema_is_followed() -> None:
    schema = {
        "$defs": {"tag": {"enum": ["x", "y"]}},
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 3, "maximum": 5},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2, "maxItems": 2},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "on": {"type": "boolean"},
        },
    }
    for key in range(10):
        ask = text.as_json(text.read("anything about ships"))
        value = json.loads(text.answer(ask, text.seeded(key), schema))
        assert value["n"] in (3, 4, 5)
        assert len(value["tags"]) == 2
        assert set(value["tags"]) <= {"x", "y"}
        assert isinstance(value["note"], str)
        assert isinstance(value["on"], bool)


def test_a_prompt_of_a_megabyte_is_read_as_fast_as_a_page() -> None:
    """Only its ends are read; the topic is in the question at the end."""
    ask = text.read("filler " * 150_000 + "What are volcanoes made of?")
    assert "volcanoes" in ask.topics


@pytest.mark.parametrize("prompt", ["", " ", "?", "请", "\x00\x1b", "𠮷" * 3])
def test_a_question_without_words_is_answered_too(prompt: str) -> None:
    assert reply(prompt)
