from __future__ import annotations

import json
from typing import Any

import pytest

from promptop.client.replay import messages_of, parameters_of
from promptop.client.variants import read_overrides, write_override

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


def _call(identifier: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (
            {"instructions": "a", "input": "b"},
            [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "天气？"}]},
                    {"type": "reasoning", "id": "rs_1", "summary": []},
                    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": "京"}'},
                    {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c1", "output": "晴"},
                    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "?"}]},
                    {"type": "function_call", "call_id": "c3", "name": "stop", "arguments": ""},
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "x"}],
                    },
                ]
            },
            [
                {"role": "user", "content": [{"type": "text", "text": "天气？"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [_call("c1", "look", '{"at": "京"}'), _call("c2", "look", "{}")],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "晴"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "?"}]},
                {"role": "assistant", "content": None, "tool_calls": [_call("c3", "stop", "")]},
                {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
            ],
        ),
        (
            {
                "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
                "messages": [
                    {"role": "user", "content": "天气？"},
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "text", "text": "I look."},
                            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "京"}},
                        ],
                    },
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "晴"}]},
                            {"type": "text", "text": "So?"},
                        ],
                    },
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t2", "name": "end", "input": {}}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2"}]},
                ],
            },
            [
                {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
                {"role": "user", "content": "天气？"},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "I look."}],
                    "tool_calls": [_call("t1", "look", '{"at": "京"}')],
                },
                {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "晴"}]},
                {"role": "user", "content": [{"type": "text", "text": "So?"}]},
                {"role": "assistant", "content": None, "tool_calls": [_call("t2", "end", "{}")]},
                {"role": "tool", "tool_call_id": "t2", "content": ""},
            ],
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                            {"type": "document", "source": {"type": "file", "file_id": "f"}},
                        ],
                    }
                ]
            },
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                        {"type": "document", "source": {"type": "file", "file_id": "f"}},
                    ],
                }
            ],
        ),
        ([1], []),
    ],
)
def test_messages_of_every_api_have_one_form(body: Any, wanted: list[dict[str, Any]]) -> None:
    assert messages_of(json.dumps(body)) == wanted


def test_what_is_no_request_has_no_messages() -> None:
    assert messages_of("nonsense") == messages_of('{"input": 1}') == []
