"""Usage as each provider counts it, in one shape: cached tokens inside the input, reasoning inside the output."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop import providers
from promptop.providers.anthropic import ANTHROPIC
from promptop.providers.estimate import tokens
from promptop.providers.usage import Usage


@pytest.mark.parametrize(
    ("usage", "options", "expected"),
    [
        pytest.param(
            {
                "prompt_tokens": 1200,
                "completion_tokens": 50,
                "total_tokens": 1250,
                "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
            {},
            Usage(1200, 50, 1024, 0, 20),
            id="openai chat",
        ),
        pytest.param(
            {
                "input_tokens": 9,
                "output_tokens": 5,
                "total_tokens": 14,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            {},
            Usage(9, 5, 3, None, 2),
            id="openai responses",
        ),
        pytest.param(
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 1000,
                "output_tokens": 7,
            },
            {},
            Usage(1110, 7, 100, 1000),
            id="anthropic leaves cached tokens out of the input",
        ),
        pytest.param(
            {
                "prompt_tokens": 30,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 20,
                "prompt_cache_miss_tokens": 10,
            },
            {},
            Usage(30, 5, 20),
            id="deepseek",
        ),
        pytest.param(
            {"prompt_tokens": 30, "completion_tokens": 5, "cached_tokens": 9}, {}, Usage(30, 5, 9), id="moonshot"
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40},
            {},
            Usage(10, 30, None, None, 25),
            id="gemini's compatible endpoint: the rest is reasoning",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 25},
            },
            {"provider": "x_ai"},
            Usage(10, 30, None, None, 25),
            id="xai counts reasoning apart",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 25}},
            {"provider": "x_ai"},
            Usage(10, 30, None, None, 25),
            id="xai without a total",
        ),
        pytest.param(
            {"promptTokenCount": 8, "candidatesTokenCount": 4, "thoughtsTokenCount": 6, "cachedContentTokenCount": 2},
            {},
            Usage(8, 10, 2, None, 6),
            id="gemini",
        ),
        pytest.param(
            {"prompt_tokens": 8, "completion_tokens": 4, "cost": 0.0015, "cost_details": {}},
            {},
            Usage(8, 4, cost_usd=0.0015),
            id="openrouter",
        ),
        pytest.param({"prompt_tokens": 8, "total_tokens": 8}, {}, Usage(8), id="embeddings"),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, {}, Usage(0, 0), id="zero is not missing"),
        pytest.param({"prompt_tokens": None, "completion_tokens": True}, {}, Usage(), id="no numbers"),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 1e300}, {}, Usage(), id="no counts"),
        pytest.param(None, {}, Usage(), id="missing"),
        pytest.param([], {}, Usage(), id="no object"),
    ],
)
def test_one_shape(usage: Any, options: dict[str, Any], expected: Usage) -> None:
    assert providers.usage_of(usage, **options) == expected


_value = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just({"reasoning_tokens": 3})
)
_names = (
    "prompt_tokens completion_tokens total_tokens input_tokens output_tokens cost prompt_tokens_details cached_tokens "
    "completion_tokens_details promptTokenCount thoughtsTokenCount candidatesTokenCount"
)


@given(st.dictionaries(st.sampled_from(_names.split(" ")), _value), st.booleans())
def test_anything_gives_counts_that_a_database_takes(usage: dict[str, Any], anthropic: bool) -> None:
    found = ANTHROPIC.usage(usage) if anthropic else providers.usage_of(usage, "x_ai")
    for value in (found.input_tokens, found.output_tokens, found.cache_read, found.reasoning):
        assert value is None or (type(value) is int and 0 <= value < 2**56)
    assert found.cost_usd is None or 0 <= found.cost_usd < 2**53
    assert bool(found) == (found.input_tokens is not None or found.output_tokens is not None)


def test_estimates_grow_with_the_text_and_its_frame() -> None:
    assert tokens("gpt-4o", (0, 0, 0, 0)) == 0
    assert tokens("gpt-4o", (0, 0, 0, 0), messages=2) == 11, "4 a message, 3 for the answer"
    assert tokens("gpt-4o", (400, 0, 0, 0)) < tokens("gpt-4o", (0, 400, 0, 0))
    assert tokens(None, (400, 0, 0, 0)) == tokens("nobody-knows-it", (400, 0, 0, 0)) > 0
    assert tokens("claude-opus-4-7", (400, 0, 0, 0)) > tokens("gpt-4o", (400, 0, 0, 0))
