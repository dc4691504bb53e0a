"""The simulated endpoint, spoken to by the SDKs that its users have."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

from promptop.base.errors import PromptopError
from promptop.simulator import SimulatedEndpoint
from promptop.tokens import encoding

ASK = [{"role": "user", "content": "Explain how tides work, please."}]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def client(endpoint: SimulatedEndpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=endpoint.base_url, api_key="sk-none", max_retries=0, timeout=10) as made:
        yield made


@pytest.fixture
def http(endpoint: SimulatedEndpoint) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=endpoint.base_url, timeout=10) as made:
        yield made


def tokens(text: str, name: str = "o200k_base") -> int:
    return len(encoding(name).encode(text, disallowed_special=()))


@pytest.mark.parametrize(("model", "name"), [("gpt-4o", "o200k_base"), ("gpt-4-turbo", "cl100k_base")])
def test_usage_is_what_the_tokenizer_counts(client: openai.OpenAI, model: str, name: str) -> None:
    answer = client.chat.completions.create(model=model, messages=ASK)
    usage = answer.usage
    assert usage is not None
    assert usage.completion_tokens == tokens(answer.choices[0].message.content or "", name)
    assert usage.prompt_tokens == 3 + tokens("user", name) + tokens(ASK[0]["content"], name) + 3
    assert answer.choices[0].finish_reason == "stop"


def test_a_stream_says_the_same_as_the_whole(client: openai.OpenAI) -> None:
    asked = {"model": "gpt-4o-mini", "messages": ASK, "seed": 5}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.model == chunks[0].model == "gpt-4o-mini-2024-07-18"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert chunks[0].choices[0].delta.role == "assistant"


def test_usage_comes_in_a_stream_only_if_it_was_asked_for(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="sim-fast", messages=ASK, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_limit_of_tokens_is_kept(client: openai.OpenAI, field: str) -> None:
    answer = client.chat.completions.create(model="sim-fast", messages=ASK, **{field: 7})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    assert tokens(answer.choices[0].message.content or "") == 7
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(client: openai.OpenAI) -> None:
    asked = {"model": "sim-fast", "messages": ASK, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content or ""
    word = whole.split()[4]
    stopped = client.chat.completions.create(**asked, stop=[word, "never said"])
    assert stopped.choices[0].message.content == whole[: whole.find(word)]
    assert stopped.choices[0].finish_reason == "stop"


def test_seed_and_temperature_decide_what_repeats(client: openai.OpenAI) -> None:
    def ask(**options: object) -> str | None:
        answer = client.chat.completions.create(model="sim-fast", messages=ASK, **options)  # type: ignore[call-overload]
        text: str | None = answer.choices[0].message.content
        return text

    assert ask(seed=1) == ask(seed=1)
    assert ask(temperature=0) == ask(temperature=0)
    assert len({ask(seed=number) for number in range(4)}) > 1
    assert len({ask() for _ in range(4)}) > 1


def test_the_answer_is_in_the_language_of_the_question(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="sim-smart", messages=[{"role": "user", "content": "请解释潮汐的成因"}], temperature=0
    )
    assert "潮汐" in (answer.choices[0].message.content or "")


def test_several_choices_come_interleaved_by_index(client: openai.OpenAI) -> None:
    asked = {"model": "sim-fast", "messages": ASK, "n": 3, "seed": 2}
    answer = client.chat.completions.create(**asked)
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in answer.choices]
    assert len(set(texts)) > 1
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(map(tokens, texts))


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_tide_table",
            "description": "Look up tides of a harbour",
            "parameters": {
                "type": "object",
                "properties": {"harbour": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            },
        },
    }
]


def test_a_tool_that_fits_the_question_is_called(client: openai.OpenAI) -> None:
    asked = {"model": "gpt-4o", "messages": ASK, "tools": TOOLS, "seed": 3}
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = (answer.choices[0].message.tool_calls or [])[0]
    assert call.function.name == "get_tide_table"  # type: ignore[union-attr]
    assert 1 <= json.loads(call.function.arguments)["days"] <= 7  # type: ignore[union-attr]
    streamed = ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        for part in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            streamed += (part.function.arguments or "") if part.function else ""
    assert streamed == call.function.arguments  # type: ignore[union-attr]
    after = [*ASK, answer.choices[0].message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "2.1 m"}]
    assert client.chat.completions.create(**{**asked, "messages": after}).choices[0].message.content
    assert client.chat.completions.create(**asked, tool_choice="none").choices[0].message.content


def test_response_format_is_followed(client: openai.OpenAI) -> None:
    asked = {"model": "gpt-4o", "messages": ASK}
    answer = client.chat.completions.create(**asked, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    schema = {"type": "object", "properties": {"height": {"type": "number", "minimum": 1, "maximum": 2}}}
    form = {"type": "json_schema", "json_schema": {"name": "tide", "schema": schema}}
    answer = client.chat.completions.create(**asked, response_format=form)
    assert 1 <= json.loads(answer.choices[0].message.content or "")["height"] <= 2


def test_hidden_reasoning_is_counted_and_can_eat_the_whole_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="o3", messages=ASK)
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    hidden = answer.usage.completion_tokens_details.reasoning_tokens or 0
    assert answer.usage.completion_tokens == hidden + tokens(answer.choices[0].message.content or "")
    assert hidden > 0
    eaten = client.chat.completions.create(model="o3", messages=ASK, max_completion_tokens=5)
    assert (eaten.choices[0].message.content, eaten.choices[0].finish_reason) == ("", "length")


@pytest.mark.parametrize(("field", "value"), [("max_tokens", 5), ("temperature", 0.2), ("top_p", 0.5), ("stop", ["x"])])
def test_a_reasoning_model_names_what_it_refuses(client: openai.OpenAI, field: str, value: object) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="o3", messages=ASK, **{field: value})
    assert caught.value.param == field
    assert (caught.value.code or "").startswith("unsupported")


def test_shown_reasoning_comes_before_the_answer(client: openai.OpenAI) -> None:
    kinds = []
    for chunk in client.chat.completions.create(model="sim-reasoner", messages=ASK, stream=True):
        if chunk.choices:
            delta = chunk.choices[0].delta
            kinds += ["reasoning"] * bool(getattr(delta, "reasoning_content", None)) + ["content"] * bool(delta.content)
    assert kinds == sorted(kinds, reverse=True)
    assert {"reasoning", "content"} == set(kinds)


def test_a_repeated_long_prefix_is_cached_in_steps(client: openai.OpenAI) -> None:
    long = [{"role": "system", "content": "Tide rule. " * 700}, *ASK]

    def cached(messages: object, model: str = "gpt-4.1") -> int:
        answer = client.chat.completions.create(model=model, messages=messages)  # type: ignore[call-overload]
        found: int = answer.usage.prompt_tokens_details.cached_tokens
        return found

    assert cached(long) == 0
    again = cached(long)
    assert again >= 1024
    assert again % 128 == 0
    assert cached([long[0], {"role": "user", "content": "Another question"}]) >= 1024
    assert cached([{"role": "system", "content": "X" + long[0]["content"]}, *ASK]) == 0
    assert cached(long, "gpt-4o") == 0
    assert (cached(ASK), cached(ASK)) == (0, 0)


def test_embeddings_keep_their_order_and_similar_texts_lie_close(client: openai.OpenAI) -> None:
    texts = ["计算列表的平均数", "计算列表平均值", "stop the engine"]
    answer = client.embeddings.create(model="text-embedding-3-small", input=texts)
    vectors = [item.embedding for item in answer.data]
    assert [len(vector) for vector in vectors] == [1536] * 3
    assert answer.usage.prompt_tokens == sum(tokens(text, "cl100k_base") for text in texts)

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert dot(vectors[0], vectors[1]) > 0.5 > dot(vectors[0], vectors[2])
    single = client.embeddings.create(model="text-embedding-3-small", input=texts[1], dimensions=64)
    assert len(single.data[0].embedding) == 64


def test_shuffled_embeddings_still_carry_their_index(client: openai.OpenAI) -> None:
    texts = [f"text {number}" for number in range(8)]
    plain = client.embeddings.create(model="sim-embed", input=texts)
    mixed = client.embeddings.create(model="sim-embed", input=texts, extra_headers={"x-simulate": "shuffled"})
    assert [item.index for item in mixed.data] != list(range(8))
    by_index = {item.index: item.embedding for item in mixed.data}
    assert [by_index[number] for number in range(8)] == [item.embedding for item in plain.data]


def test_embeddings_refuse_what_is_too_much(http: httpx2.Client) -> None:
    for given in (["x"] * 2049, ["word " * 9000], [], [""]):
        assert http.post("/embeddings", json={"model": "sim-embed", "input": given}).status_code == 400


def test_models_are_listed_with_the_faults_among_them(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"gpt-4o-mini", "sim-fast", "sim-fault-cut", "sim-fault-429"} <= names
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-nope")


def test_the_responses_api(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="gpt-4o", input="List three tides", instructions="Be brief", temperature=0)
    assert whole.usage is not None
    assert whole.status == "completed"
    assert whole.usage.output_tokens == tokens(whole.output_text)
    streamed = list(
        client.responses.create(
            model="gpt-4o", input="List three tides", instructions="Be brief", temperature=0, stream=True
        )
    )
    text = "".join(event.delta for event in streamed if event.type == "response.output_text.delta")
    assert text == whole.output_text
    assert [event.sequence_number for event in streamed] == list(range(len(streamed)))
    assert streamed[0].type == "response.created"
    assert streamed[-1].type == "response.completed"
    assert streamed[-1].response.usage is not None
    short = client.responses.create(model="gpt-4o", input="List three tides", max_output_tokens=5)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")  # type: ignore[union-attr]
    tool = {"type": "function", **TOOLS[0]["function"], "strict": False}  # type: ignore[dict-item]
    called = client.responses.create(model="gpt-4o", input="Show the tides", tools=[tool], tool_choice="required")
    assert called.output[0].type == "function_call"
    with pytest.raises(openai.BadRequestError, match="stop"):
        client.responses.create(model="gpt-4o", input="x", extra_body={"stop": ["y"]})


def test_anthropics_native_api(endpoint: SimulatedEndpoint) -> None:
    asked = {"model": "claude-haiku-4-5", "max_tokens": 400, "messages": ASK, "extra_body": {"temperature": 0.0}}
    with anthropic.Anthropic(base_url=endpoint.root_url, api_key="sk-ant-none", max_retries=0) as client:
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert text == whole.content[0].text
        assert final.usage.output_tokens == whole.usage.output_tokens > tokens(text)
        assert whole.stop_reason == "end_turn"
        assert client.messages.create(**{**asked, "max_tokens": 5}).stop_reason == "max_tokens"
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**{**asked, "messages": []})
        with pytest.raises(anthropic.InternalServerError):
            client.messages.create(**asked, extra_headers={"x-simulate": "529"})


def test_anthropic_counts_cached_input_apart(endpoint: SimulatedEndpoint) -> None:
    system = [{"type": "text", "text": "Moon rule. " * 700, "cache_control": {"type": "ephemeral"}}]
    asked = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": ASK, "system": system}
    with anthropic.Anthropic(base_url=endpoint.root_url, api_key="sk-ant-none", max_retries=0) as client:
        first, second = (client.messages.create(**asked).usage for _ in range(2))
    assert first.cache_creation_input_tokens
    assert first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert first.input_tokens == second.input_tokens


def test_rate_limit_headers_count_down(http: httpx2.Client) -> None:
    body = {"model": "gpt-4.1-nano", "messages": ASK}
    left = [int(http.post("/chat/completions", json=body).headers["x-ratelimit-remaining-requests"]) for _ in range(2)]
    assert left[1] == left[0] - 1


def test_a_limit_of_requests_is_enforced_with_retry_after() -> None:
    with SimulatedEndpoint.in_thread(speed=0, requests_per_minute=2) as limited:
        answers = [
            httpx2.post(f"{limited.base_url}/chat/completions", json={"model": "sim-fast", "messages": ASK})
            for _ in range(3)
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 50 < float(answers[2].headers["retry-after"]) <= 60


def test_json_is_compressed_for_those_who_accept_it(http: httpx2.Client, endpoint: SimulatedEndpoint) -> None:
    body = {"model": "sim-embed", "input": ["a", "b", "c"]}
    plain = http.post("/embeddings", json=body, headers={"accept-encoding": "identity"})
    packed = http.post("/embeddings", json=body, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert packed.num_bytes_downloaded < len(plain.content) / 4


def test_a_key_is_asked_for_where_one_is_set() -> None:
    with SimulatedEndpoint.in_thread(speed=0, api_key="sk-right") as locked:
        for key, status in (("sk-right", 200), ("sk-wrong", 401), ("", 401)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            body = {"model": "sim-fast", "messages": ASK}
            answer = httpx2.post(f"{locked.base_url}/chat/completions", json=body, headers=headers)
            assert answer.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"model": 3}',
        b'{"model": "sim-fast", "messages": "x"}',
        b'{"model": "sim-fast", "messages": [1]}',
        b'{"model": "sim-fast", "messages": [{"role": "user", "content": 3}]}',
        b'{"model": "sim-fast", "messages": [{"role": "user", "content": "x"}], "max_tokens": "9"}',
        b'{"model": "sim-embed", "messages": [{"role": "user", "content": "x"}]}',
    ],
)
def test_a_body_that_cannot_be_meant_is_a_400(http: httpx2.Client, body: bytes) -> None:
    answer = http.post("/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_an_unknown_path_is_a_404_and_an_unknown_fault_a_400(http: httpx2.Client) -> None:
    assert http.get("/audio/voices").json()["error"]["code"] == "unknown_url"
    body = {"model": "sim-fast", "messages": ASK}
    answer = http.post("/chat/completions", json=body, headers={"x-simulate": "no-such-fault"})
    assert answer.status_code == 400
    assert "no-such-fault" in answer.json()["error"]["message"]


def test_what_came_and_when_each_event_left_is_recorded(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    body = {"model": "sim-fast", "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
    content = http.post("/chat/completions", json=body, headers={"x-mine": "1"}).content
    http.post("/chat/completions", json=body)
    first, second = endpoint.requests[-2:]
    assert first.json == body
    assert first.headers["x-mine"] == "1"
    assert (first.how, first.status) == ("complete", 200)
    assert bytes(first.sent) == content
    assert first.connection == second.connection
    stamps = [sent.at_s for sent in first.events]
    assert first.headers_s is not None
    assert first.finished_s is not None
    assert [first.received_s, first.headers_s, *stamps, first.finished_s] == sorted(
        [first.received_s, first.headers_s, *stamps, first.finished_s]
    )
    assert [sent.kind for sent in first.events[-3:]] == ["finish", "usage", "done"]
    shown = http.get(f"{endpoint.root_url}/sim/requests").json()[-1]
    assert "x-mine" in httpx2.get(f"{endpoint.root_url}/sim/requests").json()[-2]["headers"]
    assert shown["how"] == "complete"


def test_latency_follows_the_model_and_the_speed() -> None:
    """At a hundredth of the time a slow model still takes longer than a fast one to begin and to end.

    A busy machine only adds to a pause, so the shortest of several answers is the model's own.
    """
    with SimulatedEndpoint.in_thread(speed=0.01) as paced:
        for model in ("sim-fast", "sim-slow") * 5:
            body = {"model": model, "messages": ASK, "stream": True, "seed": 1, "max_tokens": 40}
            httpx2.post(f"{paced.base_url}/chat/completions", json=body)
        records = paced.requests

    def shortest(model: str) -> tuple[float, float]:
        """Seconds from the request to the first piece, and from there to the last."""
        waits, spans = [], []
        for record in records:
            if record.json["model"] == model:
                first, last = record.first("content"), record.last("content")
                assert first is not None and last is not None
                waits.append(first - record.received_s)
                spans.append(last - first)
        assert len(waits) == 5
        return min(waits), min(spans)

    fast, slow = shortest("sim-fast"), shortest("sim-slow")
    assert slow[0] > fast[0]
    assert slow[1] > fast[1]


def test_a_port_that_is_taken_is_reported_with_a_remedy(endpoint: SimulatedEndpoint) -> None:
    with pytest.raises(PromptopError, match="--port"), SimulatedEndpoint.in_thread(port=endpoint.port):
        pass


async def test_it_runs_on_the_callers_loop_too() -> None:
    async with SimulatedEndpoint(speed=0) as running:
        async with openai.AsyncOpenAI(base_url=running.base_url, api_key="sk-none", max_retries=0) as client:
            answer = await client.chat.completions.create(model="sim-fast", messages=ASK)
        assert answer.choices[0].message.content
        assert running.requests[0].how == "complete"
