"""The most that a request can cost, held against an endpoint that bills what it is sent."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.gates import capped

from promptop import models
from promptop.budget.bound import bound, count_bytes
from promptop.budget.gate import OverCapError, fitting_limit
from promptop.tokens import count
from promptop.tokens.overhead import chat_tokens

CHAT = "/chat/completions"


def bill(body: dict[str, Any]) -> float:
    """Return what an endpoint bills that counts what it is sent, and writes as much as it may."""
    model = body["model"]
    tokens = chat_tokens(body["messages"], model, lambda text: count(text, model).tokens, body.get("tools") or ())
    for name in ("response_format", "functions"):
        if body.get(name):
            tokens += count(json.dumps(body[name], ensure_ascii=False), model).tokens
    tokens += 1_105 * sum(  # a picture of the largest size in high detail
        part.get("type") == "image_url"
        for message in body["messages"]
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    most = models.find(model)
    made = max(limits) if limits else (most.max_output if most is not None else 0) or 0
    usd = models.price(model, input_tokens=tokens, output_tokens=made * int(body.get("n") or 1)).usd
    assert usd is not None
    return usd


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("数据库的平均值。 \n")), max_size=300)
PARAMETERS = st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=8), TEXT, max_size=4)
TOOL = st.builds(
    lambda name, described, given: {
        "type": "function",
        "function": {
            "name": name,
            "description": described,
            "parameters": {
                "type": "object",
                "properties": {key: {"type": "string", "description": said} for key, said in given.items()},
            },
        },
    },
    st.text(string.ascii_lowercase, min_size=1, max_size=12),
    TEXT,
    PARAMETERS,
)
PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.just({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}}),
)
CALL = st.builds(
    lambda name, said: {"id": "c1", "type": "function", "function": {"name": name, "arguments": said}}, TEXT, TEXT
)
MESSAGE = st.one_of(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user", "assistant"]), TEXT
    ),
    st.builds(lambda parts: {"role": "user", "content": parts}, st.lists(PART, min_size=1, max_size=3)),
    st.builds(lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, st.lists(CALL, max_size=2)),
    st.builds(lambda name, text: {"role": "user", "name": name, "content": text}, st.text("ab", min_size=1), TEXT),
)
BODY = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["gpt-4o", "gpt-4o-mini", "gpt-4-turbo"]),
        "messages": st.lists(MESSAGE, min_size=1, max_size=5),
    },
    optional={
        "max_tokens": st.integers(1, 4000),
        "max_completion_tokens": st.integers(1, 4000),
        "n": st.integers(1, 20),
        "tools": st.lists(TOOL, max_size=4),
        "response_format": st.builds(lambda given: {"type": "json_schema", "json_schema": given}, PARAMETERS),
        "temperature": st.floats(0, 2),
        "metadata": PARAMETERS,
        "top_k": st.integers(1, 100),
    },
)


@settings(max_examples=60, deadline=None)
@given(BODY)
def test_no_request_costs_more_than_its_bound(body: dict[str, Any]) -> None:
    most = bound(body, CHAT)
    assert most.usd is not None, most.open
    assert bill(body) <= most.usd
    rough = bound(body, CHAT, count=count_bytes)
    assert rough.usd is not None and most.usd <= rough.usd


@settings(max_examples=30, deadline=None)
@given(st.lists(BODY, max_size=12), st.floats(0.0001, 0.5))
def test_spend_never_passes_the_cap(bodies: list[dict[str, Any]], cap: float) -> None:
    gate, spent = capped(cap), 0.0
    for number, body in enumerate(bodies):
        try:
            hold = gate(body, CHAT)
        except OverCapError:
            continue
        cost = bill(body)
        spent += cost
        hold.settle(None if number % 4 == 3 else cost)  # some calls never say what they cost
    assert spent <= cap


USER = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": USER, "max_tokens": 100, **fields}


LONG = "word " * 2000


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return chat(messages=[{"role": "user", "content": list(parts)}])


def claude(**fields: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-4-5", "messages": USER, "max_tokens": 1, **fields}


def response(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "input": "hi", "max_output_tokens": 100, **fields}


def completion(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "prompt": "hi", "max_tokens": 100, **fields}


CACHED = {"type": "text", "text": "word " * 300, "cache_control": {"ttl": "1h"}}
PAST = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": LONG}}]}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "tools": (CHAT, chat(tools=[{"type": "function", "function": {"name": "f", "description": LONG}}])),
    "functions": (CHAT, chat(functions=[{"name": "f", "description": LONG}])),
    "schema": (CHAT, chat(response_format={"type": "json_schema", "json_schema": {"d": LONG}})),
    "n": (CHAT, chat(n=10)),
    "best_of": ("/completions", completion(best_of=10)),
    "many prompts": ("/completions", completion(prompt=["hi"] * 10)),
    "tokens as numbers": ("/completions", completion(prompt=[1] * 5000)),
    "max_completion_tokens": (CHAT, chat(max_completion_tokens=5000)),
    "another model": (CHAT, chat(model="gpt-4-turbo", max_tokens=1000)),
    "fallback models": (CHAT, chat(models=["gpt-4-turbo"], max_tokens=500)),
    "a limit of another API": (CHAT, chat(max_tokens=None, max_output_tokens=5)),
    "a limit that is a text": (CHAT, chat(max_tokens="5")),
    "a limit below zero": (CHAT, chat(max_tokens=-1)),
    "no limit": (CHAT, chat(max_tokens=None)),
    "n that is not a number": (CHAT, chat(n="10")),
    "an image": (CHAT, said({"type": "image_url", "image_url": {"url": "x"}})),
    "audio": (CHAT, said({"type": "input_audio", "input_audio": {"data": "A" * 9}})),
    "a file by its id": (CHAT, said({"type": "file", "file": {"file_id": "f"}})),
    "a PDF": (CHAT, said({"type": "file", "file": {"file_data": "A"}})),
    "a video": (CHAT, said({"type": "video_url", "video_url": {"url": "x"}})),
    "an earlier answer": ("/responses", response(previous_response_id="r")),
    "a stored prompt": ("/responses", response(input=None, prompt={"id": "p"})),
    "a search tool": ("/responses", response(tools=[{"type": "web_search"}])),
    "search options": (CHAT, chat(web_search_options={})),
    "plugins": (CHAT, chat(plugins=[{"id": "web"}])),
    "a dearer tier": (CHAT, chat(service_tier="priority-plus")),
    "sound as the answer": (CHAT, chat(modalities=["text", "audio"], audio={"voice": "alloy"})),
    "a prediction": (CHAT, chat(prediction={"type": "content", "content": LONG})),
    "a budget for thinking": ("/messages", claude(thinking={"type": "enabled", "budget_tokens": 9000})),
    "a cache of an hour": ("/messages", claude(messages=[{"role": "user", "content": [CACHED]}])),
    "tool calls of the past": (CHAT, chat(messages=[PAST])),
    "text in a deep place": (CHAT, said({"type": "odd", "inner": [{"x": LONG}]})),
    "an unknown field": (CHAT, chat(num_completions=10)),
    "an unpriced model": (CHAT, chat(model="mystery-1")),
    "no model": (CHAT, {"messages": USER, "max_tokens": 5}),
    "embeddings": ("/embeddings", {"model": "text-embedding-3-large", "input": ["word " * 6000] * 10}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_ways_past_a_cap_are_closed(way: str) -> None:
    path, body = WAYS[way]
    gate = capped(0.0025)  # of which an ordinary call takes 0.0011
    gate(chat(), CHAT).settle(0.001)
    with pytest.raises(OverCapError) as raised:
        gate(body, path)
    assert raised.value.remedy


def test_a_default_cap_refuses_nothing_for_want_of_a_price() -> None:
    gate = capped(1.0, strict=False)
    gate(chat(model="llama3:8b"), CHAT).settle(None)
    with pytest.raises(OverCapError, match="mystery-1"):
        capped(1.0)(chat(model="mystery-1"), CHAT)


def test_a_limit_is_suggested_that_fits() -> None:
    body = chat(max_tokens=None)
    with pytest.raises(OverCapError) as raised:
        capped(0.01)(body, CHAT)
    limit = int(raised.value.remedy.split("--max-tokens ")[1].split(",")[0])
    assert capped(0.01)(chat(max_tokens=limit), CHAT)
    most = bound(body, CHAT)
    assert fitting_limit(most, 0.0) is None
    tens = fitting_limit(most, 0.1, 10)
    assert tens is not None and abs(tens - limit) <= limit / 10
