"""Requests that are routed on their way: what is sent, what the caller gets, and what the row says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

import promptop
from promptop.capture.routing import routed
from promptop.log import StoredRow, Writer
from promptop.routing.policy import Policy, parse_rule
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
EASY: Any = [{"role": "user", "content": "写一个函数计算平均值,10 行代码"}]
HARD: Any = [{"role": "user", "content": "实现分布式缓存系统: 1000 lines of code, 20 files."}]
POLICY = Policy((parse_rule("prompt=legal* -> sim-slow"), parse_rule("complexity<0.3 -> sim-fast")))


def client(endpoint: SimulatedEndpoint) -> openai.OpenAI:
    return openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)


def test_an_observed_client_is_routed(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(client(endpoint), log=log, routing=POLICY) as watched:
        answer = watched.chat.completions.create(model="gpt-4o", messages=EASY, max_tokens=5)
        chunks = list(watched.chat.completions.create(model="gpt-4o", messages=HARD, max_tokens=5, stream=True))
        with promptop.annotate(prompt_name="legal/contract"):
            watched.chat.completions.create(model="gpt-4o", messages=EASY, max_tokens=5)
        watched.embeddings.create(model="text-embedding-3-small", input="a")
    easy, hard, legal, vector = rows()
    assert answer.model == "sim-fast"
    assert (easy.request_model, easy.routed_from) == ("sim-fast", "gpt-4o")
    assert easy.route_rule == "complexity<0.3 -> sim-fast"
    assert (hard.request_model, hard.routed_from, hard.route_rule) == ("gpt-4o", "gpt-4o", "no rule")
    assert hard.task_complexity == pytest.approx(0.7) and easy.task_complexity == 0
    assert all(chunk.choices for chunk in chunks), "the usage chunk was not asked for by the caller"
    assert (legal.request_model, legal.route_rule) == ("sim-slow", "prompt=legal* -> sim-slow")
    assert (vector.request_model, vector.routed_from) == ("text-embedding-3-small", None)


def test_a_routed_stream_still_hides_the_usage_that_was_asked_for(
    endpoint: SimulatedEndpoint, log: Writer, rows: Rows
) -> None:
    with promptop.observe(client(endpoint), log=log, routing=POLICY) as watched:
        chunks = list(watched.chat.completions.create(model="gpt-4o", messages=EASY, max_tokens=5, stream=True))
    (row,) = rows()
    assert {chunk.model for chunk in chunks} == {"sim-fast"} and all(chunk.choices for chunk in chunks)
    assert row.usage_source == "reported" and row.usage_output_tokens


def test_without_routing_a_row_has_the_complexity_alone(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(client(endpoint), log=log) as watched:
        watched.chat.completions.create(model="gpt-4o", messages=HARD, max_tokens=5)
    (row,) = rows()
    assert (row.request_model, row.routed_from, row.route_rule) == ("gpt-4o", None, None)
    assert row.task_complexity == pytest.approx(0.7)


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"\\"model\\": \\"big\\""}], "model" : "big", "x": 1e5}',
        b'{"metadata":{"model":"big"},"model":"big","messages":[]}',
        b'{"model":"bi\\u0067","messages":[]}',
    ],
)
def test_only_the_model_of_a_body_changes(body: bytes) -> None:
    policy = Policy((parse_rule("model=big -> small"),))
    found = routed(policy, body, "/v1/chat/completions", app=None, tags={}, note=None)
    assert found is not None
    decision, sent, parsed = found
    from promptop.providers.api import loads

    before = loads(body)
    assert decision.model == "small" and loads(sent) == parsed == {**before, "model": "small"}


def test_embeddings_keep_their_model() -> None:
    policy = Policy((parse_rule("model=* -> small"),))
    assert routed(policy, b'{"model":"e","input":"a"}', "/v1/embeddings", app=None, tags={}, note=None) is None
