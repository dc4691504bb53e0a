"""Counts by model: kinds, estimates, chat overhead, streams."""

from __future__ import annotations

import io
import random

import pytest
from tests.promptop.tokens.material import CHINESE, CODE, ENGLISH, mixed, text

from promptop.base.errors import PromptopError
from promptop.tokens import count, encoding, estimate, for_model, stream, vocabularies
from promptop.tokens.counting import Count, encodings_for
from promptop.tokens.overhead import chat_tokens, overhead, tool_tokens
from promptop.tokens.scripts import chars_by_script

QUESTION = "解释什么是提示工程?"


def test_exact_counts_say_so() -> None:
    assert count(QUESTION, "gpt-4-turbo") == Count(10, "exact", None, "cl100k_base")
    assert count(QUESTION, "gpt-4o") == Count(6, "exact", None, "o200k_base")
    assert count("你好", "gpt-4") == Count(2, "exact", None, "cl100k_base")
    assert count("hello", "gpt-oss-20b") == Count(1, "exact", None, "o200k_harmony")
    assert count("", "gpt-4o").tokens == 0
    assert str(count("hello " * 2000, "gpt-4o")) == "2,001"


def test_estimates_say_so_and_carry_an_interval_where_one_was_measured() -> None:
    found = count(ENGLISH * 40, "claude-opus-5-5")
    assert (found.kind, found.interval) == ("estimated", None)
    assert found.tokens == round(1.53 * len(vocabularies.encoder("o200k_base")(ENGLISH * 40)))
    assert str(found).startswith("≈ ")
    gemma = count(ENGLISH * 40, "gemma-3-27b-it")
    assert gemma.interval is not None
    assert gemma.interval[0] < gemma.tokens < gemma.interval[1]
    assert "±" in str(gemma)
    assert count("", "claude-opus-5-5").tokens == 0
    assert count("x", "a-model-nobody-knows").kind == "estimated"


@pytest.mark.parametrize("name", ["qwen", "deepseek", "tekken"])
def test_the_factors_of_a_family_meet_its_tokenizer(name: str) -> None:
    """Where the tokenizer is here, an estimate from o200k lies near its count for each script and for mixtures."""
    family = estimate.family({"tekken": "mistral"}.get(name, name))
    for content in (ENGLISH * 20, CHINESE * 20, CODE * 20, mixed(20_000)):
        base = len(vocabularies.encoder("o200k_base")(content))
        guess = estimate.apply(family.factors, base, chars_by_script(content))
        assert guess == pytest.approx(len(vocabularies.encoder(name)(content)), rel=0.2)


def test_without_a_tokenizer_characters_tell_about_how_many() -> None:
    for content in (ENGLISH * 20, CHINESE * 20, CODE * 20, mixed(20_000)):
        exact = len(vocabularies.encoder("o200k_base")(content))
        found = for_model("gpt-4o", {}, chars_by_script(content))
        assert found.kind == "estimated"
        assert found.tokens == pytest.approx(exact, rel=0.4)


def test_twenty_models_need_a_few_tokenizers() -> None:
    names = [
        "gpt-4o",
        "gpt-4o-mini",
        "o1",
        "o3-mini",
        "gpt-4.1",
        "gpt-5.2",
        "gpt-oss-20b",
        "claude-opus-5-5",
        "claude-2",
    ]
    names += ["gemini-2.5-pro", "grok-4.7", "gpt-4", "gpt-4-turbo", "gpt-3.5-turbo", "unknown-1", "unknown-2"]
    assert encodings_for(names) == ("o200k_base", "cl100k_base")


def test_a_model_whose_encoding_was_not_counted_is_estimated() -> None:
    found = for_model("gpt-4", {"o200k_base": 100}, (400, 0, 0, 0))
    assert (found.kind, found.tokens) == ("estimated", 100)
    assert for_model("gpt-4", {"o200k_base": 100}, (0, 120, 0, 0)).tokens == 154  # cl100k: 1.54 times, in Chinese
    assert for_model("gpt-4o", {"o200k_base": 100}, (0, 120, 0, 0)).tokens == 100


# Chat overhead: the examples that OpenAI published with the prompt_tokens that its API reported

MESSAGES = [
    {
        "role": "system",
        "content": "You are a helpful, pattern-following assistant that translates "
        "corporate jargon into plain English.",
    },
    {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Things working well together will increase revenue.",
    },
    {
        "role": "system",
        "name": "example_user",
        "content": "Let's circle back when we have more bandwidth to touch base on "
        "opportunities for increased leverage.",
    },
    {
        "role": "system",
        "name": "example_assistant",
        "content": "Let's talk later when we're less busy about how to do better.",
    },
    {
        "role": "user",
        "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
    },
]
WEATHER = [
    {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
    {"role": "user", "content": "What's the weather like in San Francisco?"},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}


@pytest.mark.parametrize(
    ("model", "reported"), [("gpt-3.5-turbo", 129), ("gpt-4", 129), ("gpt-4o", 124), ("gpt-4o-mini", 124)]
)
def test_messages_count_what_the_api_reported(model: str, reported: int) -> None:
    assert chat_tokens(MESSAGES, model, lambda content: count(content, model).tokens) == reported


@pytest.mark.parametrize(
    ("model", "reported"), [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)]
)
def test_tools_count_what_the_api_reported(model: str, reported: int) -> None:
    assert chat_tokens(WEATHER, model, lambda content: count(content, model).tokens, [TOOL]) == reported


def test_parts_tool_calls_and_other_families() -> None:
    def words(content: str) -> int:
        return len(content.split())

    parts = [
        {"role": "user", "content": [{"type": "text", "text": "two words"}, {"type": "image_url", "image_url": {}}]}
    ]
    cost = overhead("gpt-4o")
    assert chat_tokens(parts, "gpt-4o", words) == cost.priming + cost.per_message + 2
    call = [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{} {}"}}]}]
    assert chat_tokens(call, "gpt-4o", words) == cost.priming + cost.per_message + 3
    assert tool_tokens([TOOL], "claude-opus-5-5", words) > 20
    assert tool_tokens([{"type": "function", "function": {"name": "f"}}], "gpt-4o", words) == 7 + 12 + 1
    assert chat_tokens([{"role": "user", "content": "x"}], "text-embedding-3-small", words) == 1
    assert overhead("claude-opus-5-5").source == "guess"
    assert overhead("gpt-4o").source == "measured"


# Streams


@pytest.mark.parametrize("block", [1, 7, 4096, 1 << 20])
def test_a_stream_counts_like_its_text(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BLOCK", block)
    monkeypatch.setattr(stream, "_SEARCHED", 16)
    source = random.Random(block)
    content = text(source, 300) if block < 4096 else mixed(60_000)
    if "\0" in content:
        content = content.replace("\0", "")
    for names in (["o200k_base", "cl100k_base", "qwen"], ["r50k_base"]):
        found = stream.count_stream(io.BytesIO(content.encode()), "x", names)
        assert found.counts == {name: len(vocabularies.encoder(name)(content)) for name in names}
        assert found.chars == chars_by_script(content)


def test_an_empty_stream() -> None:
    assert stream.count_stream(io.BytesIO(b""), "x", ["o200k_base"]).counts == {"o200k_base": 0}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"ab\xffc", r"byte 0xff at offset 2"),
        (b"x" * (1 << 20) + b"\xe4\xbd", "not UTF-8"),
        ("提".encode() * 500_000 + b"\xff", "byte 0xff at offset 1,500,000"),
        (b"\x7fELF\0\0", "binary"),
        ("text".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_text_is_told_with_the_place(data: bytes, told: str) -> None:
    with pytest.raises(PromptopError, match=told):
        stream.count_stream(io.BytesIO(data), "file.txt", ["o200k_base"])


def test_a_run_that_is_no_text_is_refused_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_RUN", 5_000)
    monkeypatch.setattr(stream, "BLOCK", 1_000)
    with pytest.raises(PromptopError, match="5,000 characters"):
        stream.count_stream(io.BytesIO(b"a" * 50_000), "file.txt", ["o200k_base"])


def test_the_tokenizers_of_other_packages_are_not_needed() -> None:
    assert encoding("deepseek").name == "deepseek"
