from __future__ import annotations

import pytest

from promptop.base.errors import UsageError
from promptop.client.targets import Target
from promptop.client.variants import PromptVersion, read_format, read_overrides, read_tools, requests_of
from promptop.settings import Profile

HERE = Profile(name="here")
TARGETS = [Target(HERE, "gpt-4o", "gpt-4o"), Target(HERE, "o3", "o3@here")]
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_every_model_is_asked_with_every_version() -> None:
    versions = [
        PromptVersion("", ASKED),
        PromptVersion("问候 v2", [{"role": "user", "content": "你好"}], name="问候", version="2"),
    ]
    made = requests_of(TARGETS, versions, {"temperature": 0.5, "cache": True, "extra": {"tools": [1]}})
    assert [request.label for request in made] == ["gpt-4o", "gpt-4o · 问候 v2", "o3@here", "o3@here · 问候 v2"]
    assert [request.prompt_version for request in made] == [None, "2", None, "2"]
    assert made[1].messages == [{"role": "user", "content": "你好"}]
    assert all((request.temperature, request.cache, request.extra) == (0.5, True, {"tools": [1]}) for request in made)


def test_an_override_is_of_one_model_alone() -> None:
    text = '[gpt-4o]\ntemperature = 0\nstop = "END"\ntop_k = 5\n["o3@here"]\nreasoning_effort = "low"\nmax_tokens = 9\n'
    first, second = requests_of(
        TARGETS, [PromptVersion("", ASKED)], {"temperature": 1.0}, overrides=read_overrides(text)
    )
    assert (first.temperature, first.stop, first.extra) == (0, ("END",), {"top_k": 5})
    assert (second.temperature, second.reasoning_effort, second.max_tokens, second.extra) == (1.0, "low", 9, {})


def test_the_system_part_can_be_left_out() -> None:
    (request, _) = requests_of(TARGETS, [PromptVersion("", ASKED)], {}, system=False)
    assert request.messages == ASKED[1:]


def test_tools_are_wrapped_where_they_are_bare() -> None:
    bare = '{"name": "look", "parameters": {"type": "object"}}'
    wrapped = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    assert read_tools(bare) == read_tools(f"[{bare}]") == [wrapped]
    assert read_tools('[{"type": "web_search"}]') == [{"type": "web_search"}]
    assert read_tools(" ") == []


def test_a_schema_is_wrapped_as_a_response_format() -> None:
    assert read_format("") is read_format("text") is None
    assert read_format("json") == {"type": "json_object"}
    made = read_format('{"type": "object", "title": "A b", "properties": {}}')
    assert made is not None
    assert made["json_schema"]["name"] == "A_b"
    assert made["json_schema"]["schema"]["type"] == "object"
    whole = '{"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}'
    assert read_format(whole) == {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_tools, "[1]", "A tool cannot be 1"),
        (read_tools, '{"parameters": {}}', "no name"),
        (read_tools, "[", "cannot be read as JSON"),
        (read_format, "[]", "not a JSON object"),
        (read_format, "yaml", "cannot be read as JSON"),
        (read_overrides, "temperature = 0", "outside a table"),
        (read_overrides, "[x", "not TOML"),
        (read_overrides, '[m]\ntemperature = "hot"', "temperature of m cannot be 'hot'"),
        (read_overrides, "[m]\nmax_tokens = 0", "max_tokens of m"),
        (read_overrides, "[m]\nseed = true", "seed of m"),
        (read_overrides, '[m]\nmodel = "x"', "model of m"),
        (read_overrides, "[m]\nstop = [1]", "stop of m"),
        (read_overrides, '[m]\nstop = ["1","2","3","4","5"]', "5 stop sequences"),
    ],
)
def test_what_cannot_be_meant_is_named(read: object, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(text)  # type: ignore[operator]
