"""SDK → observe → log, against the endpoint's own clock and its own counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.checks import check

import promptop
from promptop.log import LogReader, StoredRow, Writer
from promptop.simulator import SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "用三句话解释潮汐, and name one book about tides."}],
    "max_tokens": 40,
}
RESPONSES: dict[str, Any] = {"model": "gpt-4o", "input": "List three tides", "max_output_tokens": 40}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    """A server with pauses, a fiftieth of the believable ones: stamps in the wrong order show."""
    with SimulatedEndpoint.in_thread(speed=0.02) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path / "log.db") as writer:
        yield writer


@pytest.fixture
def client(endpoint: SimulatedEndpoint, log: Writer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=endpoint.base_url, api_key="sk-e2e", max_retries=0) as plain:
        yield promptop.observe(plain, log=log, simulated=True)


@pytest.fixture
async def aclient(endpoint: SimulatedEndpoint, log: Writer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=endpoint.base_url, api_key="sk-e2e", max_retries=0) as plain:
        yield promptop.observe(plain, log=log, simulated=True)


def only_row(log: Writer) -> StoredRow:
    assert log.flush(10)
    with LogReader(log.path) as reader:
        (row,) = reader.latest(10)
    check(row)
    return row


def holds_against_the_server(row: StoredRow, endpoint: SimulatedEndpoint) -> None:
    """No stamp of ours may lie before the server's own: its span began after ours and its event left before it came."""
    record = endpoint.requests[-1]
    assert record.how == "complete"
    spans = {"ttft_s": record.first("content", "reasoning"), "duration_s": record.last("content", "reasoning", "body")}
    for name, moment in spans.items():
        ours = getattr(row, name)
        if moment is not None and ours is not None:
            assert ours >= moment - record.received_s
    assert row.bytes_decoded == len(record.sent)
    added = b'"stream_options":{"include_usage":true},'
    ours = len(added) if row.request_stream and added in record.body else 0
    assert row.bytes_sent in (len(record.body), len(record.body) - ours), "what the caller sent, not what we add to it"


def test_sync_whole(client: openai.OpenAI, log: Writer, endpoint: SimulatedEndpoint) -> None:
    answer = client.chat.completions.create(**ASK)
    row = only_row(log)
    assert answer.usage is not None
    assert (row.usage_input_tokens, row.usage_output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert row.cost_usd == pytest.approx(answer.usage.prompt_tokens * 0.15e-6 + answer.usage.completion_tokens * 0.6e-6)
    assert (row.response_model, row.request_model) == ("gpt-4o-mini-2024-07-18", "gpt-4o-mini")
    holds_against_the_server(row, endpoint)


def test_sync_stream(client: openai.OpenAI, log: Writer, endpoint: SimulatedEndpoint) -> None:
    text = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**ASK, stream=True))
    row = only_row(log)
    assert row.ttft_s is not None
    assert row.duration_s is not None
    assert row.ttft_s < row.duration_s
    assert row.chunks == sum(sent.kind == "content" for sent in endpoint.requests[-1].events)
    assert row.usage_output_tokens == 40
    assert row.response_finish_reasons == '["length"]'
    assert text
    holds_against_the_server(row, endpoint)


async def test_async_whole(aclient: openai.AsyncOpenAI, log: Writer, endpoint: SimulatedEndpoint) -> None:
    answer = await aclient.chat.completions.create(**ASK)
    row = only_row(log)
    assert answer.usage is not None
    assert row.usage_output_tokens == answer.usage.completion_tokens
    holds_against_the_server(row, endpoint)


async def test_async_stream(aclient: openai.AsyncOpenAI, log: Writer, endpoint: SimulatedEndpoint) -> None:
    stream = await aclient.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    usage = [chunk.usage async for chunk in stream][-1]
    row = only_row(log)
    assert usage is not None
    assert (row.usage_input_tokens, row.usage_output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    holds_against_the_server(row, endpoint)


@pytest.mark.parametrize("stream", [False, True])
def test_responses(client: openai.OpenAI, log: Writer, endpoint: SimulatedEndpoint, stream: bool) -> None:
    if stream:
        last = list(client.responses.create(**RESPONSES, stream=True))[-1]
        usage = last.response.usage  # type: ignore[union-attr]
    else:
        usage = client.responses.create(**RESPONSES).usage
    row = only_row(log)
    assert usage is not None
    assert (row.usage_input_tokens, row.usage_output_tokens) == (usage.input_tokens, usage.output_tokens)
    assert row.openai_api_type == "responses"
    assert (row.ttft_s is not None) == stream
    holds_against_the_server(row, endpoint)


def test_shown_reasoning_is_the_first_token_and_not_the_first_output(
    client: openai.OpenAI, log: Writer, endpoint: SimulatedEndpoint
) -> None:
    ask = {**ASK, "max_tokens": 600, "model": "sim-reasoner"}
    list(client.chat.completions.create(**ask, stream=True))
    shown = only_row(log)
    assert shown.ttft_s is not None
    assert shown.ttfo_s is not None
    assert shown.ttft_s < shown.ttfo_s, "thinking is the first token, the answer the first that is seen"
    assert (shown.usage_reasoning_output_tokens or 0) > 0
    assert shown.cost_status == "unpriced"
    holds_against_the_server(shown, endpoint)


def test_a_cached_prefix_costs_less(client: openai.OpenAI, log: Writer) -> None:
    long = [{"role": "system", "content": "Tide rule, e2e. " * 500}, *ASK["messages"]]
    for _ in range(2):
        client.chat.completions.create(**{**ASK, "messages": long, "max_tokens": 1})
    assert log.flush(10)
    with LogReader(log.path) as reader:
        second, first = reader.latest(2)
    for row in (first, second):
        check(row)
    assert first.usage_cache_read_input_tokens == 0
    assert (second.usage_cache_read_input_tokens or 0) >= 1024
    assert (second.cost_usd or 0) < 0.75 * (first.cost_usd or 0)


def test_a_window_adds_up_to_its_rows(client: openai.OpenAI, log: Writer) -> None:
    faults = ["", "", "429", "500", "cut", "usage-missing", "reasoning"]
    for fault in faults:
        headers = {"x-simulate": fault} if fault else {}
        try:
            list(client.chat.completions.create(**ASK, stream=True, extra_headers=headers))
        except openai.APIError:
            assert fault in ("429", "500", "cut")
    assert log.flush(10)
    with LogReader(log.path) as reader:
        rows = reader.latest(100)
        first, last = rows[-1].started_ms or 0, rows[0].started_ms or 0
        total = reader.window(first, last + 1).total
    for row in rows:
        check(row)
    assert total.n == len(rows) == len(faults)
    assert (total.rate_limited, total.errors) == (1, 2)
    assert total.input_tokens == sum(row.usage_input_tokens or 0 for row in rows)
    assert total.output_tokens == sum(row.usage_output_tokens or 0 for row in rows)
    assert total.cost_usd == pytest.approx(sum(row.cost_usd or 0 for row in rows))
    assert total.ttft.n == 4
