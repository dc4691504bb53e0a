from __future__ import annotations

from typing import Any

import pytest

from promptop.cache.key import CacheKey, Policy, key_of

BASE: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Say hi"}],
    "temperature": 0,
    "max_tokens": 10,
}


def key(body: dict[str, Any], path: str = "/v1/chat/completions", host: str = "a:1", **more: Any) -> CacheKey:
    found = key_of(host, path, body, **more)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4o-mini"},
        {"messages": [{"role": "user", "content": "Say hi "}]},
        {"messages": [{"role": "system", "content": "Say hi"}]},
        {"temperature": 0.0001},
        {"max_tokens": 11},
        {"top_p": 0.5},
        {"stop": ["x"]},
        {"seed": 1},
        {"stream": True},
        {"response_format": {"type": "json_object"}},
        {"reasoning_effort": "low"},
        {"a_parameter_of_tomorrow": 1},
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert key(BASE).digest != key({**BASE, **change}).digest


def test_order_and_labels_do_not_change_the_key_but_server_path_and_account_do() -> None:
    same = dict(reversed(list(BASE.items()))) | {"user": "u1", "metadata": {"a": "b"}, "seed": None}
    assert key(BASE) == key(same)
    others = [
        key(BASE, host="b:1").digest,
        key(BASE, path="/v1/responses").digest,
        key(BASE, path="/openai/deployments/mine/chat/completions").digest,
        key(BASE, account="other").digest,
    ]
    assert len({key(BASE).digest, *others}) == 5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"temperature": 0.2}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"n": 2}, "n > 1"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
        ({"web_search_options": {}}, "of the moment"),
        ({"background": True}, "fetched later"),
        ({"store": True}, "store"),
        ({"previous_response_id": "r"}, "remembers"),
    ],
)
def test_what_must_not_be_kept_is_not(change: dict[str, Any], why: str) -> None:
    found = key({**BASE, **change})
    assert not found.cacheable
    assert why in found.refusal


def test_sampling_and_tools_are_kept_where_it_was_asked_for() -> None:
    assert key({**BASE, "temperature": 1}, policy=Policy(any_temperature=True)).cacheable
    assert key({**BASE, "tools": [{}]}, policy=Policy(tools=True)).cacheable
    assert key({"model": "e", "input": ["a"]}, path="/v1/embeddings").cacheable


def test_white_space_is_normalized_only_on_request_and_only_in_prompts() -> None:
    spaced = {**BASE, "messages": [{"role": "user", "content": " Say \t hi\n"}]}
    policy = Policy(normalize_whitespace=True)
    assert key(spaced).digest != key(BASE).digest
    assert key(spaced, policy=policy).digest == key(BASE, policy=policy).digest
    assert key({**BASE, "stop": ["\n"]}, policy=policy).digest != key({**BASE, "stop": [" "]}, policy=policy).digest


def test_requests_that_are_not_understood_have_no_key() -> None:
    assert key_of("a", "/v1/audio/speech", BASE) is None
    assert key_of("a", "/v1/models", {}) is None


def test_a_key_does_not_depend_on_the_process() -> None:
    assert key(BASE).digest == "5163354fb745f071ec01cc2645d2d6cd2f5b4632c896ee56aed28bbc36a0b4bf"
