"""The three APIs: how a request is written for each, and real calls of each against the simulated endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from promptop.budget.estimate import ceiling
from promptop.client.accumulator import AnswerAccumulator, StreamFailedError
from promptop.client.apis import api_of, refusal
from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints, RefusedFields, base_url_of
from promptop.client.request import RunRequest
from promptop.client.request_body import body_of, find_model, repair
from promptop.client.result import CallProgress, Delta
from promptop.log import StoredRow, Writer
from promptop.providers import anthropic
from promptop.settings import CacheSettings, Profile
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "天气", "parameters": {"type": "object", "properties": {}}},
}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "简短回答。"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "什么天气?"}, {"type": "image_url", "image_url": "https://x/y"}],
    },
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "function": {"name": "weather", "arguments": '{"city": "上海"}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "晴"},
    {"role": "user", "content": "谢谢"},
]


def body(api: str, model: str = "gpt-4o", talk: list[dict[str, Any]] | None = None, **values: Any) -> Any:
    request = RunRequest(profile=Profile(api=api), model=model, messages=talk or TALK, **values)
    return body_of(request, find_model(request), RefusedFields())


def test_a_conversation_with_tools_in_the_responses_api() -> None:
    sent, changes = body(
        "responses",
        max_tokens=64,
        stop=("END",),
        seed=1,
        temperature=0.5,
        extra={
            "tools": [TOOL],
            "response_format": SCHEMA,
            "tool_choice": {"type": "function", "function": {"name": "w"}},
        },
    )
    assert sent["instructions"] == "简短回答。"
    assert [item.get("type", item.get("role")) for item in sent["input"]] == [
        *("user", "function_call", "function_call_output", "user"),
    ]
    assert [part["type"] for part in sent["input"][0]["content"]] == ["input_text", "input_image"]
    assert sent["input"][1] == {
        "type": "function_call",
        "call_id": "c1",
        "name": "weather",
        "arguments": '{"city": "上海"}',
    }
    assert (sent["max_output_tokens"], sent["store"], sent["temperature"]) == (64, False, 0.5)
    assert not {"stop", "seed", "max_tokens", "messages", "stream_options", "response_format"} & set(sent)
    assert [change.partition(" not sent")[0] for change in changes] == ["stop", "seed"]
    assert sent["text"]["format"] == {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    assert sent["tools"] == [{"type": "function", **TOOL["function"]}]
    assert sent["tool_choice"] == {"type": "function", "name": "w"}


def test_a_reasoning_model_in_the_responses_api() -> None:
    sent, changes = body("responses", "o3", max_tokens=9, temperature=0.3, reasoning_effort="low")
    assert sent["reasoning"] == {"effort": "low"}
    assert sent["max_output_tokens"] == 9
    assert "temperature" not in sent
    assert "temperature" in changes[0]


def test_a_conversation_with_tools_in_anthropics_api() -> None:
    sent, changes = body(
        "anthropic",
        "claude-sonnet-4-5",
        [*TALK, {"role": "system", "content": "更短。"}],
        stop=("END", "\n"),
        seed=1,
        temperature=1.5,
        extra={"tools": [TOOL], "tool_choice": "required", "response_format": SCHEMA, "parallel_tool_calls": False},
    )
    assert sent["system"] == "简短回答。\n\n更短。"
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user", "user"]
    assert [block["type"] for block in sent["messages"][0]["content"]] == ["text", "image"]
    assert sent["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "上海"}}
    ]
    assert sent["messages"][2]["content"][0]["tool_use_id"] == "c1"
    assert sent["max_tokens"] == 64_000
    assert (sent["stop_sequences"], sent["temperature"]) == (["END"], 1)
    assert sent["tools"] == [
        {"name": "weather", "description": "天气", "input_schema": {"type": "object", "properties": {}}}
    ]
    assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    said = " | ".join(changes)
    for word in ("max_tokens sent as 64000", "system message was moved", "white space", "seed not sent", "sent as 1"):
        assert word in said


@pytest.mark.parametrize(
    ("model", "effort", "limit", "thinking", "said"),
    [
        ("claude-sonnet-4-5", "high", 32_000, {"type": "enabled", "budget_tokens": 16_000}, "up to 16000"),
        ("claude-sonnet-4-5", "low", 1000, None, "not sent"),
        ("claude-opus-4-8", "high", 500, {"type": "adaptive"}, ""),
        ("claude-sonnet-5-5", "none", 500, None, ""),
    ],
)
def test_effort_becomes_thinking_as_the_model_takes_it(
    model: str, effort: str, limit: int, thinking: Any, said: str
) -> None:
    sent, changes = body("anthropic", model, reasoning_effort=effort, max_tokens=limit)
    assert sent.get("thinking") == thinking
    assert sent.get("output_config") == ({"effort": effort} if thinking == {"type": "adaptive"} else None)
    assert said in " ".join(changes)
    assert bool(changes) == bool(said)


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("`temperature` is deprecated for this model.", "temperature"),
        ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", "temperature"),
        ("`temperature` may only be set to 1 when thinking is enabled.", "temperature"),
        ("stop_sequences: Extra inputs are not permitted", "stop_sequences"),
        ("max_tokens: 999999 > 64000, which is the maximum allowed number of output tokens", None),
        ("messages: text content blocks must be non-empty", None),
    ],
)
def test_anthropics_words_for_what_it_does_not_take(words: str, gone: str | None) -> None:
    error = SimpleNamespace(
        body={"type": "invalid_request_error", "message": words}, param=None, code=None, message=words
    )
    request = RunRequest(
        profile=Profile(api="anthropic"),
        model="claude-opus-4-1",
        messages=TALK,
        temperature=0.5,
        top_p=0.5,
        stop=("E",),
    )
    learned = RefusedFields()
    sent, _ = body_of(request, find_model(request), learned)
    assert repair(sent, error, learned, request) == (gone is not None)
    assert list(learned.dropped) == ([gone] if gone else [])


def test_why_a_parameter_is_not_taken() -> None:
    chat, responses, native = (Profile(api=api) for api in ("chat", "responses", "anthropic"))
    assert "Responses" in refusal(responses, "gpt-4o", "stop")
    assert "Anthropic" in refusal(native, "claude-sonnet-4-5", "seed")
    assert "model" in refusal(chat, "o3", "temperature")
    assert refusal(chat, "o3", "max_tokens") == refusal(chat, "gpt-4o", "stop") == ""
    assert refusal(native, "claude-sonnet-4-5", "reasoning_effort") == ""


def test_the_ceiling_prices_the_limit_that_is_sent() -> None:
    request = RunRequest(profile=Profile(api="anthropic"), model="claude-opus-5-5", messages=TALK)
    sent, _ = body_of(request, find_model(request), RefusedFields())
    limited = ceiling([replace(request, max_tokens=sent["max_tokens"])], lambda _: 10)
    assert ceiling([request], lambda _: 10).usd == limited.usd is not None


def test_anthropics_address_with_and_without_its_version() -> None:
    for url in ("https://api.anthropic.com", "https://api.anthropic.com/", "https://api.anthropic.com/v1"):
        assert base_url_of(Profile(api="anthropic", base_url=url)) == "https://api.anthropic.com/v1"
    assert base_url_of(Profile(base_url="http://h/v1/")) == "http://h/v1"


def native_ask(endpoint: SimulatedEndpoint, api: str, model: str, **values: Any) -> RunRequest:
    text = values.pop("text", "What is prompt engineering?")
    profile = Profile(name=api, base_url=endpoint.base_url, api=api)
    talk = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": text}]
    return RunRequest(profile=profile, model=model, messages=talk, **values)


@pytest.mark.parametrize(("api", "model"), [("responses", "gpt-4o-mini"), ("anthropic", "claude-sonnet-5-5")])
async def test_a_call_brings_text_figures_and_a_row(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, rows: Rows, api: str, model: str
) -> None:
    deltas: list[Delta] = []
    progress = CallProgress()
    asked = native_ask(endpoint, api, model, max_tokens=20)
    result = await run(asked, endpoints, on_delta=deltas.append, progress=progress)
    assert (result.state, result.error) == ("done", None)
    assert result.finish_reason == {"responses": "max_output_tokens", "anthropic": "max_tokens"}[api]
    assert result.cut_short
    assert result.text == "".join(delta.text for delta in deltas) != ""
    assert (result.usage.source, result.usage.output_tokens) == ("reported", 20)
    assert result.usage.input_tokens
    assert result.cost_usd is not None
    assert result.ttfb_s and result.ttft_s and result.ttfb_s <= result.ttft_s
    (row,) = rows()
    assert (row.url_path, row.ttft_s, row.request_max_tokens) == (
        f"/v1{api_of(Profile(api=api)).path}",
        result.ttft_s,
        20,
    )
    # By the server's own clock: the first delta, not the events that announce it.
    first, sent = endpoint.requests[-1].first("content"), progress.sent_at
    assert first is not None and sent is not None and result.ttft_s is not None
    assert sent + result.ttft_s >= first
    assert result.response_id


async def test_what_a_model_takes_is_left_out_beforehand_or_once_it_was_refused(
    endpoints: Endpoints, endpoint: SimulatedEndpoint
) -> None:
    known = await run(native_ask(endpoint, "anthropic", "claude-sonnet-5-5", max_tokens=3, temperature=0.5), endpoints)
    assert (known.state, len(known.attempts)) == ("done", 1)
    assert known.changes == ("temperature not sent: claude-sonnet-5-5 does not take it",)
    # The catalogue does not know this name; the endpoint does, and its words are Anthropic's.
    asked = native_ask(endpoint, "anthropic", "sim-fault-400;param=top_k", max_tokens=3, extra={"top_k": 5})
    learnt = await run(asked, endpoints)
    assert [attempt.error.status if attempt.error else None for attempt in learnt.attempts] == [400, None]


async def test_the_key_goes_into_anthropics_header(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_KEY", "sk-ant-not-a-real-one")
    profile = Profile(name="a", base_url=endpoint.root_url, api="anthropic", api_key_env="CLAUDE_KEY")
    talk = [{"role": "user", "content": "你好"}]
    result = await run(RunRequest(profile=profile, model="claude-sonnet-5-5", messages=talk, max_tokens=3), endpoints)
    assert result.state == "done"
    headers = {name.lower(): value for name, value in endpoint.requests[-1].headers.items()}
    assert headers["x-api-key"] == "sk-ant-not-a-real-one"
    assert headers["anthropic-version"] == anthropic.VERSION
    assert "authorization" not in headers


@pytest.mark.parametrize("api", ["chat", "anthropic"])
async def test_a_redirect_takes_no_key_to_another_host(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-not-a-real-one")

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append({name.lower() for name in request.headers})
        raise web.HTTPTemporaryRedirect(endpoint.root_url.replace("127.0.0.1", "localhost") + request.path)

    seen: list[set[str]] = []
    app = web.Application()
    app.add_routes([web.post("/v1{path:.*}", elsewhere)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    profile = Profile(name="moved", base_url=url, api=api, api_key_env="SOME_KEY")
    result = await run(
        RunRequest(profile=profile, model="claude-haiku-4-5", messages=TALK[-1:], max_tokens=3), endpoints
    )
    await runner.cleanup()
    assert result.state == "done"
    keys = {"authorization", "x-api-key"}
    assert len(seen[0] & keys) == 1
    assert not keys & {name.lower() for name in endpoint.requests[-1].headers}


@pytest.mark.parametrize(("api", "model"), [("responses", "sim-reasoner"), ("anthropic", "sim-fault-reasoning")])
async def test_reasoning_comes_before_the_text(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, api: str, model: str
) -> None:
    result = await run(native_ask(endpoint, api, model, max_tokens=4000), endpoints)
    assert result.state == "done"
    assert result.reasoning and result.text
    assert result.ttft_s is not None and result.ttfo_s is not None and result.ttft_s <= result.ttfo_s


@pytest.mark.parametrize(("api", "model"), [("responses", "gpt-4o-mini"), ("anthropic", "claude-sonnet-5-5")])
async def test_a_tool_call_has_its_name_and_its_arguments(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, api: str, model: str
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "description": "weather", "parameters": schema}}
    asked = native_ask(endpoint, api, model, max_tokens=200, extra={"tools": [tool], "tool_choice": "required"})
    result = await run(asked, endpoints)
    assert result.state == "done", result.error
    ((name, arguments),) = result.tool_calls
    assert name == "weather"
    assert '"city"' in arguments
    assert result.text == ""


@pytest.mark.parametrize(("api", "kind"), [("responses", "provider_error"), ("anthropic", "overloaded_error")])
async def test_an_error_in_the_stream_keeps_what_came(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, api: str, kind: str
) -> None:
    result = await run(native_ask(endpoint, api, "sim-fault-error-200;after=6", max_tokens=50), endpoints)
    assert result.state == "failed"
    assert result.error is not None
    assert (result.error.type, result.error.status) == (kind, 200)
    assert result.text


@pytest.mark.parametrize("api", ["responses", "anthropic"])
async def test_a_refused_field_is_repaired_and_what_is_cut_is_no_success(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, api: str
) -> None:
    asked = native_ask(endpoint, api, "sim-fault-400;param=top_p", max_tokens=5, top_p=0.5)
    result = await run(asked, endpoints)
    assert result.state == "done", result.error
    assert any("top_p not sent: the endpoint refused it" in change for change in result.changes)
    cut = await run(native_ask(endpoint, api, "sim-fault-cut;after=20", max_tokens=200), endpoints)
    assert cut.error is not None and cut.error.type == "incomplete_stream"
    assert cut.text
    assert cut.usage.source == "estimated"
    assert cut.usage.output_tokens and cut.usage.output_tokens > 3, "not the count that opens Anthropic's stream"


@pytest.mark.parametrize(("api", "model"), [("responses", "gpt-4o-mini"), ("anthropic", "claude-haiku-4-5")])
async def test_an_answer_comes_from_the_cache_as_it_came_from_the_model(
    endpoint: SimulatedEndpoint, log: Writer, api: str, model: str
) -> None:
    endpoints = Endpoints(log=log, simulated=True, cache=CacheSettings(disk=False))
    asked = native_ask(endpoint, api, model, max_tokens=8, temperature=0.0, cache=True)
    try:
        first, second = [await run(asked, endpoints) for _ in range(2)]
        sampled = await run(native_ask(endpoint, api, model, max_tokens=8, temperature=0.5, cache=True), endpoints)
    finally:
        await endpoints.aclose()
    assert (first.cache_hit, second.cache_hit) == ("", "memory")
    assert (second.text, second.finish_reason, second.usage.output_tokens) == (first.text, first.finish_reason, 8)
    assert (second.cost_usd, second.row.saved_usd if second.row else None) == (0, first.cost_usd)
    assert "temperature" in sampled.cache_refusal


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
async def test_an_answer_in_one_piece_is_read_and_said_to_be_one(endpoints: Endpoints, api: str) -> None:
    """Some servers, and programs that stand before them, know no streams."""
    answers: dict[str, Any] = {
        "chat": {
            "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "好"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        },
        "responses": {
            "object": "response",
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "好"}]}],
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
        "anthropic": {
            "type": "message",
            "content": [{"type": "text", "text": "好"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    }

    async def answer(request: web.Request) -> web.Response:
        refused = (await request.json())["model"] == "refused"
        return web.json_response({"error": {"code": "busy", "message": "满了"}} if refused else answers[api])

    app = web.Application()
    app.add_routes([web.post("/v1{path:.*}", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    profile = Profile(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1", api=api)
    result = await run(RunRequest(profile=profile, model="m", messages=TALK[:1] + TALK[-1:], max_tokens=5), endpoints)
    refused = await run(RunRequest(profile=profile, model="refused", messages=TALK[-1:], max_tokens=5), endpoints)
    await runner.cleanup()
    assert refused.error is not None
    assert (refused.error.type, "满了" in refused.error.cause) == ("busy", True)
    assert (result.state, result.text, result.ttft_s) == ("done", "好", None)
    assert result.finish_reason in {"stop", "completed", "end_turn"}
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 1)
    assert result.changes[-1] == "the answer came in one piece, though a stream was asked for"


def test_events_that_are_not_of_the_shape_are_survived() -> None:
    for api in ("chat", "responses", "anthropic"):
        spoken, answer = api_of(Profile(api=api)), AnswerAccumulator(lambda _: None)
        for event in (
            {},
            {"choices": [{"delta": None}, None], "usage": 3, "x_groq": []},
            {"type": "response.created", "response": []},
            {"type": "content_block_delta", "index": "x", "delta": []},
            {"choices": [{"delta": {"tool_calls": [{"function": "no"}, {"function": {"name": "f"}}]}}]},
            {"type": "message_start", "message": 1},
        ):
            answer.read(event, spoken)
        assert answer.text == []
    failed = AnswerAccumulator(lambda _: None)
    failed.read({"type": "response.failed", "response": {}}, api_of(Profile(api="responses")))
    with pytest.raises(StreamFailedError, match="the response failed"):
        failed.check()


def test_cumulative_usage_is_taken_last_and_never_summed() -> None:
    answer = AnswerAccumulator(lambda _: None)
    api = api_of(Profile(api="anthropic"))
    answer.read({"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}, api)
    for count in (5, 9):
        usage = {"output_tokens": count, "input_tokens": None}
        answer.read({"type": "message_delta", "delta": {}, "usage": usage}, api)
    assert answer.facts.usage == {"input_tokens": 7, "output_tokens": 9}
