from __future__ import annotations

import json
from typing import Any

import pytest

from promptop.runs.matrix import read_overrides, write_override
from promptop.runs.recall import parameters_of

TOOL = {"type": "function", "function": {"name": "look", "description": "see", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            {"model": "m", "messages": [], "stream": True, "max_completion_tokens": 5, "stop": ["a"], "top_k": 3},
            {"max_tokens": 5, "stop": ["a"], "top_k": 3},
        ),
        (
            {
                "model": "m",
                "input": "x",
                "instructions": "y",
                "max_output_tokens": 5,
                "reasoning": {"effort": "low"},
                "tools": [{"type": "function", "name": "look", "description": "see", "parameters": {"type": "object"}}],
                "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}},
            },
            {
                "max_tokens": 5,
                "reasoning_effort": "low",
                "tools": [TOOL],
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
            },
        ),
        (
            {
                "model": "m",
                "messages": [],
                "system": "s",
                "stop_sequences": ["b"],
                "tools": [{"name": "look", "description": "see", "input_schema": {"type": "object"}}],
                "temperature": None,
            },
            {"stop": ["b"], "tools": [TOOL]},
        ),
        ({"tools": [TOOL, {"type": "web_search"}, 1]}, {"tools": [TOOL, {"type": "web_search"}, 1]}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ([], {}),
    ],
)
def test_parameters_of_every_api_have_one_form(body: Any, wanted: dict[str, Any]) -> None:
    assert parameters_of(json.dumps(body)) == wanted


def test_what_is_no_json_has_none() -> None:
    assert parameters_of("{") == parameters_of("1") == {}


def test_an_override_is_written_as_it_is_read() -> None:
    values = {
        "top_k": 5,
        "presence_penalty": 0.5,
        "logprobs": True,
        "user": 'a"b\\\n好',
        "ids": [1, "x"],
        "odd": {"a": 1},
    }
    text = write_override('my "model"@x', values)
    assert read_overrides(text) == {'my "model"@x': values}
    assert write_override("m", {"top_k": None}) == ""
