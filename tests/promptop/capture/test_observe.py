"""Real SDKs and clients through observe, against the simulated endpoint, into a real log."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import promptop
from promptop.capture.faults import faults
from promptop.log import StoredRow, Writer
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
ASK: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello 你好"}]


@pytest.fixture(autouse=True)
def no_fault_of_ours() -> Any:
    before = faults().count
    yield
    assert faults().count == before, faults().last


def legacy(endpoint: SimulatedEndpoint) -> openai.OpenAI:
    """The SDK on the family that it ran on before version 3."""
    http: Any = httpx.Client(timeout=10)
    return openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0, http_client=http)


def modern(endpoint: SimulatedEndpoint) -> openai.OpenAI:
    return openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)


@pytest.mark.parametrize("make", [modern, legacy])
def test_sync_sdk(make: Any, endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(make(endpoint), log=log, app="svc", tags={"team": "a"}, simulated=True) as client:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=ASK, temperature=0.5, max_tokens=40, stop=["STOP"], seed=7, top_p=0.9
        )
        chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True))
    whole, streamed = rows()
    assert answer.usage is not None
    assert (whole.usage_input_tokens, whole.usage_output_tokens) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    assert whole.usage_source == "reported" and whole.response_id == answer.id
    assert (whole.app, whole.tags, whole.simulated) == ("svc", '{"team": "a"}', 1)
    assert (whole.operation_name, whole.openai_api_type) == ("chat", "chat_completions")
    assert (whole.request_temperature, whole.request_max_tokens, whole.request_seed) == (0.5, 40, 7)
    assert (whole.request_top_p, whole.request_stop_sequences, whole.request_stream) == (0.9, '["STOP"]', 0)
    assert (whole.server_address, whole.server_port) == ("127.0.0.1", endpoint.port)
    assert whole.ttft_s is None and whole.ttfo_s is None, "a call that was not streamed has no first token"
    assert whole.error_type is None and whole.http_response_status_code == 200
    assert (whole.connection_reused, streamed.connection_reused) == (0, 1)
    assert whole.connect_s is not None and streamed.connect_s is None
    assert whole.attempt == 1

    assert all(chunk.choices for chunk in chunks), "the usage chunk was not asked for by the caller"
    assert streamed.usage_source == "reported" and streamed.usage_output_tokens
    assert streamed.cost_status == "table" and streamed.cost_usd
    assert streamed.request_stream == 1 and streamed.response_finish_reasons == '["stop"]'
    stamps = (
        streamed.ttfb_s,
        streamed.response_time_to_first_chunk,
        streamed.ttft_s,
        streamed.duration_s,
        streamed.total_s,
    )
    assert None not in stamps and list(stamps) == sorted(stamps)  # type: ignore[type-var]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert sum(json.loads(streamed.output_chars or "[]")) == len(text)
    assert sum(json.loads(streamed.input_chars or "[]")) == len("Be brief.Say hello 你好")
    assert json.loads(streamed.input_chars or "[]")[1] == 2
    assert streamed.prompt_hash == whole.prompt_hash


async def test_async_sdk_with_many_calls_at_once(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> int:
        stream = await client.chat.completions.create(
            model="sim-fast", messages=[{"role": "user", "content": f"number {number}"}], stream=True, user=str(number)
        )
        return len([chunk async for chunk in stream])

    sdk = openai.AsyncOpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)
    async with promptop.observe(sdk, log=log) as client:
        counts = await asyncio.gather(*(one(client, number) for number in range(20)))
        await client.chat.completions.create(model="sim-fast", messages=ASK)
    logged = rows()
    assert len(logged) == 21
    assert all(row.error_type is None and row.usage_source == "reported" for row in logged)
    assert all(counts)
    assert len({row.prompt_hash for row in logged}) == 21


async def test_async_legacy_client(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    async with promptop.observe(httpx.AsyncClient(), log=log) as client:
        body = {"model": "sim-fast", "messages": ASK, "stream": True}
        async with client.stream("POST", f"{endpoint.base_url}/chat/completions", json=body) as response:
            lines = [line async for line in response.aiter_lines() if line]
    (row,) = rows()
    assert lines[-1] == "data: [DONE]" and '"usage":{' not in lines[-2]
    assert row.usage_source == "reported" and row.ttft_s is not None


def test_raw_response_streaming_response_and_stream_helper(
    endpoint: SimulatedEndpoint, log: Writer, rows: Rows
) -> None:
    with promptop.observe(modern(endpoint), log=log) as client:
        raw = client.chat.completions.with_raw_response.create(model="sim-fast", messages=ASK)
        assert raw.headers["x-request-id"] and raw.parse().choices
        with client.chat.completions.with_streaming_response.create(model="sim-fast", messages=ASK) as response:
            assert json.loads(b"".join(response.iter_bytes()))["choices"]
        with client.chat.completions.stream(model="sim-fast", messages=ASK) as helper:
            kinds = {event.type for event in helper}
            final = helper.get_final_completion()
    assert "content.delta" in kinds and final.choices[0].finish_reason == "stop" and final.usage is None
    logged = rows()
    assert [row.error_type for row in logged] == [None] * 3
    assert logged[0].request_id == raw.headers["x-request-id"]
    assert [row.usage_source for row in logged] == ["reported"] * 3


def test_caller_who_asks_for_usage_gets_it(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(modern(endpoint), log=log) as client:
        chunks = list(
            client.chat.completions.create(
                model="sim-fast", messages=ASK, stream=True, stream_options={"include_usage": True}
            )
        )
        quiet = list(
            client.chat.completions.create(
                model="sim-fast", messages=ASK, stream=True, stream_options={"include_usage": False}
            )
        )
    assert chunks[-1].usage is not None and not chunks[-1].choices
    assert quiet[-1].usage is None
    asked, refused = rows()
    assert asked.usage_source == "reported"
    assert refused.usage_source == "estimated", "the caller's no is a no"
    assert refused.cost_status in ("estimated", "unpriced")


def test_tools(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    tools: Any = [
        {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    ]
    with promptop.observe(modern(endpoint), log=log) as client:
        for stream in (False, True):
            answer: Any = client.chat.completions.create(
                model="sim-smart", messages=ASK, tools=tools, tool_choice="required", stream=stream
            )
            if stream:
                called = [chunk for chunk in answer if chunk.choices and chunk.choices[0].delta.tool_calls]
                assert called
            else:
                assert answer.choices[0].message.tool_calls
    whole, streamed = rows()
    assert whole.request_tools == streamed.request_tools == 1
    assert streamed.ttft_s is not None, "a tool's name or arguments are generated"
    assert streamed.ttfo_s is None, "but nobody reads them"
    assert streamed.response_finish_reasons == whole.response_finish_reasons == '["tool_calls"]'


def test_embeddings(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(modern(endpoint), log=log) as client:
        small = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        large = client.embeddings.create(model="text-embedding-3-large", input=["x"] * 120, encoding_format="float")
    first, second = rows()
    assert first.operation_name == "embeddings" and first.request_messages == 2
    assert first.usage_input_tokens == small.usage.prompt_tokens
    assert second.bytes_decoded is not None and second.bytes_decoded > 1 << 20
    assert second.usage_input_tokens == large.usage.prompt_tokens, "found in the tail of a body too large to keep"
    assert second.error_type is None


def test_responses(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(modern(endpoint), log=log) as client:
        answer = client.responses.create(model="gpt-4o-mini", input="Say hello", instructions="Be brief.")
        events = list(client.responses.create(model="gpt-4o-mini", input="Say hello", stream=True))
    whole, streamed = rows()
    assert whole.openai_api_type == "responses" and whole.operation_name == "chat"
    assert answer.usage is not None and whole.usage_output_tokens == answer.usage.output_tokens
    assert events[-1].type == "response.completed"
    assert streamed.usage_source == "reported" and streamed.response_finish_reasons == '["completed"]'
    assert streamed.ttft_s is not None and streamed.ttft_s >= (streamed.response_time_to_first_chunk or 0)
    assert streamed.error_type is None


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_anthropic(asynchronous: bool, endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    ask: Any = {"model": "sim-smart", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
    if asynchronous:
        async with promptop.observe(
            anthropic.AsyncAnthropic(api_key="k" * 20, base_url=endpoint.root_url), log=log
        ) as client:
            answer = await client.messages.create(**ask)
            async with client.messages.stream(**ask) as stream:
                final = await stream.get_final_message()
    else:
        with promptop.observe(anthropic.Anthropic(api_key="k" * 20, base_url=endpoint.root_url), log=log) as sync:
            answer = sync.messages.create(**ask)
            with sync.messages.stream(**ask) as events:
                final = events.get_final_message()
    whole, streamed = rows()
    assert {whole.provider_name, streamed.provider_name} == {"anthropic"}
    for row, said in ((whole, answer.usage), (streamed, final.usage)):
        cached = (said.cache_read_input_tokens or 0) + (said.cache_creation_input_tokens or 0)
        assert row.usage_input_tokens == said.input_tokens + cached
        assert row.usage_output_tokens == said.output_tokens
        assert row.error_type is None and row.request_max_tokens == 50
    assert streamed.ttft_s is not None and streamed.ttfo_s is not None and whole.ttft_s is None


def test_files_are_neither_read_nor_parsed(
    endpoint: SimulatedEndpoint, log: Writer, rows: Rows, tmp_path: Path
) -> None:
    sound = tmp_path / "a.wav"
    sound.write_bytes(b"\x00\x01" * 200_000)

    class Reader(io.FileIO):
        """A file that knows how much was read of it at once."""

        largest = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(-1 if size is None else size)
            self.largest = max(self.largest, len(data))
            return data

    reader = Reader(sound)
    with promptop.observe(httpx2.Client(), log=log, bodies="full") as client, reader:
        response = client.post(
            f"{endpoint.base_url}/audio/transcriptions", data={"model": "whisper-1"}, files={"file": ("a.wav", reader)}
        )
    assert endpoint.requests[-1].body.count(b"\x00\x01") >= 200_000
    assert reader.largest < 100_000, "sent piece by piece"
    (row,) = rows()
    assert row.http_response_status_code == response.status_code
    assert row.bytes_sent is not None and row.bytes_sent > 400_000
    assert row.request_model is None and row.prompt_hash is None


def test_generated_bodies_and_other_calls(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(), log=log) as client:
        body = json.dumps({"model": "sim-fast", "messages": ASK}).encode()
        answer = client.post(
            f"{endpoint.base_url}/chat/completions",
            content=(body[i : i + 10] for i in range(0, len(body), 10)),
            headers={"content-type": "application/json"},
        )
        assert answer.json()["choices"]
        assert client.get(f"{endpoint.base_url}/models").json()["data"]
    made, listed = rows()
    assert made.response_model and made.usage_source == "reported" and made.request_model is None
    assert made.bytes_sent is None, "unknown is NULL"
    assert (listed.operation_name, listed.url_path, listed.usage_source) == (None, "/v1/models", None)


def test_retries_of_the_sdk_are_rows_with_their_number(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    sdk = openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=2)
    with promptop.observe(sdk, log=log) as client:
        client.chat.completions.create(
            model="sim-fast", messages=ASK, extra_headers={"x-simulate": "429;retry_after=0.01;times=1"}
        )
    first, second = rows()
    assert (first.attempt, first.http_response_status_code, first.error_type) == (1, 429, "429")
    assert (second.attempt, second.http_response_status_code, second.error_type) == (2, 200, None)
    assert "retry-after" in (first.rate_limits or "")


def test_refused_stream_options_are_left_out_and_remembered(
    endpoint: SimulatedEndpoint, log: Writer, rows: Rows
) -> None:
    headers = {"x-simulate": "400;param=stream_options"}
    with promptop.observe(modern(endpoint), log=log) as client:
        for _ in range(2):
            chunks = list(
                client.chat.completions.create(model="sim-fast", messages=ASK, stream=True, extra_headers=headers)
            )
            assert chunks[-1].choices[0].finish_reason == "stop"
        with pytest.raises(openai.BadRequestError):  # what the caller asked for itself is the caller's to mend
            client.chat.completions.create(
                model="sim-fast",
                messages=ASK,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=headers,
            )
    refused, again, second, own = rows()
    assert refused.http_response_status_code == 400 and "sent again" in (refused.error_message or "")
    assert again.error_type is None and again.usage_source == "estimated"
    assert second.error_type is None, "not tried again"
    assert own.error_type == "400" and "sent again" not in (own.error_message or "")


async def test_refused_stream_options_async(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    sdk = openai.AsyncOpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)
    async with promptop.observe(sdk, log=log) as client:
        stream = await client.chat.completions.create(
            model="sim-fast", messages=ASK, stream=True, extra_headers={"x-simulate": "400;param=stream_options,gzip"}
        )
        assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(
                model="sim-fast",
                messages=ASK,
                stream=True,
                max_tokens=5,
                extra_headers={"x-simulate": "400;param=max_tokens"},
            )
    assert [row.error_type for row in rows()] == ["400", None, "400"]


def test_http2(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    """The pool's own options reach it; loopback has no TLS to negotiate h2, so both protocols are allowed."""
    client = httpx2.Client(transport=promptop.transport(family="httpx2", http2=True, log=log))
    with client:
        assert client.get(f"{endpoint.base_url}/models").status_code == 200
    assert [row.http_response_status_code for row in rows()] == [200]


def test_the_original_is_not_watched_and_neither_closes_the_other(
    endpoint: SimulatedEndpoint, log: Writer, rows: Rows
) -> None:
    original = modern(endpoint)
    watched = promptop.observe(original, log=log, app="a")
    again = promptop.observe(watched, log=log, app="b")
    assert type(watched) is openai.OpenAI and watched is not original
    original.models.list()
    again.models.list()
    del again
    gc.collect()
    original.models.list()
    del original
    gc.collect()
    watched.with_options(timeout=5).models.list()
    numbers = {record.connection for record in endpoint.requests[-4:]}
    assert len(numbers) == 1, "nobody's end closed the connection that they share"
    assert [row.app for row in rows()] == ["b", "a"], "observed twice is logged once, with the last labels"
    watched.close()


@pytest.mark.parametrize("family", [httpx2, httpx])
def test_proxies_of_the_environment_stay(
    family: Any, endpoint: SimulatedEndpoint, log: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", endpoint.root_url)
    with promptop.observe(family.Client(), log=log) as client:
        assert client.get("http://api.example.test/v1/models").status_code == 200
    (row,) = rows()
    assert (row.server_address, row.server_port, row.connection_reused) == ("api.example.test", 80, 0)


def test_what_cannot_be_watched_is_named() -> None:
    with pytest.raises(TypeError, match="observe\\(\\) cannot watch a PosixPath"):
        promptop.observe(Path())
    with pytest.raises(promptop.base.errors.UsageError, match="bodies"):
        promptop.observe(httpx2.Client(), bodies="some")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="http2"):
        promptop.transport(httpx2.MockTransport(lambda _: httpx2.Response(200)), http2=True)


@pytest.mark.parametrize("family", [httpx2, httpx])
async def test_transports_made_in_memory(family: Any, log: Writer, rows: Rows) -> None:
    stream = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'

    def answer(_: Any) -> Any:
        return family.Response(200, headers={"content-type": "text/event-stream"}, content=stream + usage)

    body = {"model": "m", "messages": [], "stream": True}
    inner = family.MockTransport(answer)
    with family.Client(transport=promptop.transport(inner, log=log)) as client:
        assert client.post("http://h/v1/chat/completions", json=body).content == stream
    async with family.AsyncClient(transport=promptop.transport(inner, log=log)) as client:
        assert (await client.post("http://h/v1/chat/completions", json=body)).content == stream
    assert [(row.usage_output_tokens, row.error_type) for row in rows()] == [(1, None)] * 2


def test_a_dropped_client_is_warned_of_and_a_kept_one_is_not(tmp_path: Path) -> None:
    client = httpx.Client()
    with pytest.warns(UserWarning, match=r"client = promptop\.observe\(client\)") as told:
        promptop.observe(client, log=tmp_path / "log.db")
    assert told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = promptop.observe(client, log=tmp_path / "log.db")
        assert promptop.observe(client, log=tmp_path / "log.db") is not kept
        [promptop.observe(each, log=tmp_path / "log.db").close() for each in [httpx.Client()]]
    kept.close()
