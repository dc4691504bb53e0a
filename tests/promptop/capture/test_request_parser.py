"""What a request asked, and the hashes by which prompts and their beginnings are compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.capture.call import Call, Labels
from promptop.capture.parse import request_parser
from promptop.capture.parse.request_parser import prefix_hashes, prompt_hash
from promptop.log import Finished
from promptop.providers import host_provider, operation, read_request
from promptop.providers.api import RequestSummary


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat/completions", ("chat", "chat_completions")),
        ("/openai/deployments/d/chat/completions/", ("chat", "chat_completions")),
        ("/v1/completions", ("text_completion", None)),
        ("/v1/responses", ("chat", "responses")),
        ("/v1/messages", ("chat", None)),
        ("/v1/embeddings", ("embeddings", None)),
        ("/v1beta/models/g:streamGenerateContent", ("generate_content", None)),
        ("/v1/models", (None, None)),
        ("/v1/responses/resp_1", (None, None)),
    ],
)
def test_operations(path: str, expected: tuple[str | None, str | None]) -> None:
    assert operation(path) == expected


@pytest.mark.parametrize(
    ("host", "port", "path", "expected"),
    [
        ("api.openai.com", 443, "/v1/responses", "openai"),
        ("eu.api.openai.com", 443, "/v1/responses", "openai"),
        ("me.openai.azure.com", 443, "/openai/x", "azure.ai.openai"),
        ("API.DEEPSEEK.COM.", 443, "/chat/completions", "deepseek"),
        ("api.x.ai", 443, "/v1/chat/completions", "x_ai"),
        ("netflix.ai", 443, "/v1/chat/completions", None),
        ("127.0.0.1", 11434, "/v1/chat/completions", "ollama"),
        ("gateway", 80, "/v1/messages", "anthropic"),
        ("127.0.0.1", 8000, "/v1/chat/completions", None),
    ],
)
def test_providers(host: str, port: int, path: str, expected: str | None) -> None:
    assert host_provider(host, port, path) == expected


def test_parameters_of_a_chat() -> None:
    body = {
        "model": "o4",
        "stream": True,
        "max_completion_tokens": 100,
        "temperature": 0,
        "top_p": 1,
        "stop": "END",
        "seed": -3,
        "n": 2,
        "reasoning_effort": "low",
        "tools": [{}, {}],
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}, IMAGE],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}],
            },
            {"role": "tool", "content": "42"},
        ],
    }
    asked = read_request(body, "/v1/chat/completions")
    assert (asked.model, asked.stream, asked.max_tokens, asked.stop, asked.seed) == ("o4", True, 100, ["END"], -3)
    assert (asked.temperature, asked.top_p, asked.choices, asked.effort) == (0.0, 1.0, 2, "low")
    assert (asked.tools, asked.messages) == (2, 4)
    assert asked.texts == [
        ("developer", "Be brief."),
        ("user", "What is this?"),
        ("assistant", ""),
        ("tool", '{"arguments":"","name":"f"}'),
        ("tool", "42"),
    ]
    assert len(asked.attached) == 1 and "image_url" in asked.attached[0]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("path", "body", "texts", "messages"),
    [
        (
            "/v1/responses",
            {
                "instructions": "Be brief.",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            },
            [("system", "Be brief."), ("user", "hi")],
            1,
        ),
        ("/v1/responses", {"input": "hi", "max_output_tokens": 5}, [("user", "hi")], 1),
        (
            "/v1/messages",
            {"system": [{"type": "text", "text": "sys"}], "messages": [{"role": "user", "content": "hi"}]},
            [("system", "sys"), ("user", "hi")],
            1,
        ),
        ("/v1/completions", {"prompt": ["a", "b"]}, [("user", "a"), ("user", "b")], 2),
        ("/v1/embeddings", {"input": [1, 2, 3]}, [], 1),
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, [], 2),
        (
            "/v1beta/models/gem:generateContent",
            {
                "systemInstruction": {"parts": [{"text": "sys"}]},
                "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            },
            [("system", "sys"), ("user", "hi")],
            1,
        ),
    ],
)
def test_texts_of_each_api(path: str, body: Any, texts: list[tuple[str, str]], messages: int) -> None:
    asked = read_request(body, path)
    assert (asked.texts, asked.messages) == (texts, messages)


def test_models_in_paths() -> None:
    assert read_request({}, "/openai/deployments/my-gpt/chat/completions").model == "my-gpt"
    assert read_request({"model": "real"}, "/openai/deployments/my-gpt/chat/completions").model == "real"
    asked = read_request(
        {"generationConfig": {"maxOutputTokens": 7, "topP": 0.5}}, "/v1beta/models/gem-2:streamGenerateContent"
    )
    assert (asked.model, asked.stream, asked.max_tokens, asked.top_p) == ("gem-2", True, 7, 0.5)
    assert read_request(None, "/v1/files") == RequestSummary()


def test_prompt_hashes_tell_messages_apart() -> None:
    one = [("user", "ab"), ("user", "c")]
    assert prompt_hash(one) == prompt_hash(list(one)) and len(prompt_hash(one)) == 32
    others = [[("user", "a"), ("user", "bc")], [("user", "abc")], [("system", "ab"), ("user", "c")], [("user", "ab")]]
    assert len({prompt_hash(texts) for texts in [one, *others]}) == 5
    assert prompt_hash(one, ["image"]) != prompt_hash(one)
    assert prompt_hash([("user", "\ud800")])


def test_prefixes_agree_exactly_as_far_as_the_texts_do() -> None:
    system = ("system", "s" * 700)
    first = prefix_hashes([system, ("user", "x" * 5000)])
    second = prefix_hashes([system, ("user", "x" * 3000 + "y" * 3000)])
    assert [size for size, _ in first] == [708, 1024, 2048, 4096]
    shared = [size for (size, a), (_, b) in zip(first, second, strict=True) if a == b]
    assert shared == [708, 1024, 2048]
    assert prefix_hashes([("user", "short")]) == []
    assert all(len(digest) == 16 for _, digest in first)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "model",
                        "messages",
                        "input",
                        "prompt",
                        "system",
                        "instructions",
                        "contents",
                        "tools",
                        "stop",
                        "n",
                    ),
                    *(
                        "role",
                        "content",
                        "parts",
                        "text",
                        "tool_calls",
                        "function",
                        "temperature",
                        "reasoning",
                        "stream",
                    ),
                    *("generationConfig", "max_tokens", "seed", "metadata", "type"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


class Nowhere:
    """Takes calls and drops them."""

    bodies = "full"

    def put(self, item: Any) -> None:
        self.item = item


@settings(max_examples=200)
@given(
    _json,
    st.sampled_from(["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/x/models/m", "/"]),
    st.sampled_from([None, 200, 400, 99999]),
    st.binary(max_size=60) | _json.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["off", "hash", "redacted", "full"]),
)
def test_no_call_is_without_a_row(body: Any, path: str, status: int | None, answer: bytes, mode: Any) -> None:
    """Whatever a host sends and a server says becomes a row that SQLite takes."""
    sink = Nowhere()
    call = Call(
        Labels(sink, bodies=mode),
        method="POST",
        host="h",
        port=1,
        path=path,
        body=json.dumps(body).encode(),
        headers=[("x-stainless-retry-count", "²"), ("authorization", "Bearer 1234567")],
    )
    if status is not None:
        call.responded(status, [("openai-processing-ms", "nan"), ("content-type", "application/json")])
        call.feed(answer)
    call.end("eof" if status else "error", None if status else OSError("down \ud800"))
    done = call.finish()
    assert isinstance(done, Finished)
    for name in type(done.row).__dataclass_fields__:
        value = getattr(done.row, name)
        assert value is None or type(value) in (int, float, str), name
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, int):
            assert -(2**63) <= value < 2**63
    assert call.finished is done.row
    assert (done.request_body is None) == (mode == "off")


def test_hashes_are_the_documented_ones() -> None:
    """docs/shim.md gives this recipe; other programs may follow it."""
    from hashlib import blake2b

    texts = [("system", "Be brief."), ("user", "你好")]
    flat = "system\x1fBe brief.\x1euser\x1f你好\x1e".encode()
    assert prompt_hash(texts) == blake2b(flat, digest_size=16).hexdigest()
    assert request_parser.prefix_hashes(texts) == [(17, blake2b(b"system\x1fBe brief.\x1e", digest_size=8).hexdigest())]


def test_texts_without_end_are_cut_and_lists_bounded() -> None:
    sink = Nowhere()
    call = Call(
        Labels(sink, bodies="off"),
        method="POST",
        host="h",
        port=1,
        path="/" + "p" * 5000 + "/v1/chat/completions",
        body=json.dumps({"model": "m" * 5000, "stop": ["s" * 9000]}).encode(),
    )
    call.responded(200, [(f"x-ratelimit-{number}", "1") for number in range(1000)])
    huge = {
        "id": "i" * 5000,
        "usage": {"prompt_tokens": 1, "x": "u" * 9000},
        "choices": [{"finish_reason": "f" * 9000}],
    }
    call.feed(json.dumps(huge).encode())
    call.end("eof")
    row = call.finish().row
    assert {len(row.url_path or ""), len(row.request_model or ""), len(row.response_id or "")} == {512}
    assert (row.request_stop_sequences, row.response_finish_reasons, row.usage_raw) == (None, None, None)
    assert len(json.loads(row.rate_limits or "")) == 32
    assert row.usage_input_tokens == 1


@pytest.mark.parametrize("first", [True, False])
def test_a_request_too_large_to_be_parsed(first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptop.capture.parse.row_builder.LARGEST_BODY", 20_000)
    facts = {"model": "m-1", "stream": True}
    messages = {"messages": [{"role": "user", "content": 'say "model": "other" ' * 2000}]}
    body = {**facts, **messages} if first else {**messages, **facts}
    call = Call(
        Labels(Nowhere(), bodies="off"),
        method="POST",
        host="h",
        port=1,
        path="/v1/chat/completions",
        body=json.dumps(body).encode(),
    )
    call.end("eof")
    row = call.finish().row
    assert (row.request_model, row.request_stream, row.request_messages, row.prompt_hash) == ("m-1", 1, 1, None)
