"""SDKs and raw clients through the proxy to the simulated endpoint, with every fault that it has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from promptop.capture.faults import faults
from promptop.capture.parse import stream_reader as stream
from promptop.proxy import calls, relay
from promptop.simulator import FAULTS, SimulatedEndpoint

OPTIONS = {
    "slow": "slow;s=0.05",
    "slow-headers": "slow-headers;s=0.05",
    "stall": "stall;s=0.05",
    "huge": "huge;kb=1500",
    "bomb": "bomb;mb=3",
    "429": "429;retry_after=0.01",
    "503": "503;retry_after=0.01",
}
OF_THEIR_OWN = ("bomb", "hang", "endless", "endless-headers", "400", "shuffled", "drop-reused")
"""Faults with tests of their own, or without effect on a stream."""
ERRORS = {
    **{name: name[:3] for name in ("401", "403", "404", "429", "500", "500-text", "502-html", "503", "529")},
    "error-200": "provider_error",
    "drop": "connect",
    "cut": "incomplete_stream",
    "reset": "incomplete_stream",
}
CUT = ("cut", "reset")


def ask(asked: bool, stream: bool = True) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Tell me 你好 in two sentences, please."}],
        "stream": stream,
        "max_tokens": 30,
    }
    if asked:
        body["stream_options"] = {"include_usage": True}
    return body


def fetch(url: str, body: dict[str, Any], fault: str) -> tuple[int, bytes, bytes, str]:
    """Return the status, the wire's and the decoded bytes that a client saw, and the kind of error that ended them."""
    wire = b""
    # A client that verifies nothing is made in a tenth of the time; it only meets loopback.
    with httpx2.Client(verify=False) as client:
        try:
            with client.stream("POST", url, json=body, headers={"x-simulate": fault}) as response:
                for data in response.iter_raw():
                    wire += data
                encoding = response.headers.get("content-encoding")
                decoded = httpx2.Response(200, headers={"content-encoding": encoding} if encoding else {}, content=wire)
                return response.status_code, wire, decoded.content, ""
        except httpx2.HTTPError as error:
            return 0, wire, wire, type(error).__name__


def without_usage_chunk(sent: bytes) -> bytes:
    parts = re.split(rb"((?:\r\n){2}|\n\n)", sent)
    kept = [a + b for a, b in zip(parts[::2], [*parts[1::2], b""], strict=True) if not _is_usage(a)]
    return b"".join(kept)


def _is_usage(block: bytes) -> bool:
    text = re.sub(rb"\r?\ndata: ", b"", block)
    return re.search(rb'"choices": ?\[\]', text) is not None and b'"usage": ?{' not in text and b'"usage"' in text


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(OF_THEIR_OWN)))
def test_bytes_pass_and_a_row_says_what_happened(
    fault: str, endpoint: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(endpoint.base_url)
    name = OPTIONS.get(fault, fault)
    for asked in (True, False):
        # Asked for usage, nothing is changed; else the chunk that the proxy asked for is taken out, and only that.
        status, wire, seen, error = fetch(f"{served.base_url}/chat/completions", ask(asked), name)
        sent = bytes(endpoint.requests[-1].sent)
        if fault == "drop":
            assert status == 502 and b'"ConnectError"' in seen
        elif fault in CUT:
            assert error == "RemoteProtocolError" and sent.startswith(wire) and wire
        elif asked or status != 200:
            assert seen == sent
            assert fetch(f"{endpoint.base_url}/chat/completions", ask(asked), name)[0] == status
        else:
            assert seen == without_usage_chunk(sent)
            assert b'"include_usage":true' in endpoint.requests[-1].body.replace(b" ", b"")
    rows = served.rows()
    assert [row.error_type for row in rows] == [ERRORS.get(fault)] * 2, [row.error_message for row in rows]
    for row in rows:
        assert row.request_model == "gpt-4o-mini" and row.request_stream == 1 and row.total_s is not None
        if fault not in ERRORS and fault not in ("empty", "bomb"):
            assert row.ttft_s is not None and row.duration_s is not None and row.total_s >= row.duration_s
            assert row.usage_source == ("estimated" if fault == "usage-missing" else "reported")


@pytest.mark.parametrize("fault", ["", "gzip", "500-text", "cut", "drop", "huge"])
def test_answers_that_are_not_streamed(fault: str, endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(endpoint.base_url)
    status, _, seen, error = fetch(f"{served.base_url}/chat/completions", ask(False, stream=False), fault)
    if fault == "drop":
        assert status == 502
    elif error:
        assert fault == "cut" and seen.startswith(b'{"id":')
    else:
        assert seen == bytes(endpoint.requests[-1].sent)
    (row,) = served.rows()
    assert (row.error_type is None) == (fault in ("", "gzip", "huge"))
    assert row.ttft_s is None, "an answer that is not streamed has no time to first token"


def test_the_openai_sdk_sees_the_same_as_without_a_proxy(serve: Callable[..., Any]) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as alone, SimulatedEndpoint.in_thread(speed=0) as behind:
        served = serve(behind.base_url, loop="auto")
        seen = [everything_of_the_sdk(base) for base in (alone.base_url, served.base_url)]
        rows = served.rows()
    assert seen[0] == seen[1]
    usages, last = seen[1][2:4]
    assert set(usages) == {None} and last is not None
    assert [row.operation_name for row in rows] == ["chat", "chat", "chat", "embeddings", "chat", None, "chat"]
    assert [row.usage_source for row in rows] == ["reported"] * 5 + [None, None]
    assert rows[4].openai_api_type == "responses" and rows[5].url_path == "/v1/models"
    assert rows[1].connection_reused == 1 and rows[1].cost_status == "table"


def everything_of_the_sdk(base: str) -> tuple[Any, ...]:
    with openai.OpenAI(base_url=base, api_key="sk-test", max_retries=0) as client:
        whole = client.chat.completions.create(**ask(False, stream=False))
        chunks = list(client.chat.completions.create(**ask(False)))
        asked = list(client.chat.completions.create(**ask(True)))
        vectors = client.embeddings.create(model="sim-embed", input=["a", "b"])
        answer = client.responses.create(model="gpt-4o-mini", input="hi")
        models = sorted(model.id for model in client.models.list())
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(**ask(False), extra_headers={"x-simulate": "429"})
    return (
        whole.choices[0].message.content,
        "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        [chunk.usage for chunk in chunks],
        asked[-1].usage,
        [item.embedding[:3] for item in vectors.data],
        answer.output_text,
        models,
        limited.value.status_code,
        limited.value.body,
    )


def test_the_anthropic_sdk_and_a_second_upstream(endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve("http://127.0.0.1:1/v1", f"claude={endpoint.root_url}")
    with anthropic.Anthropic(base_url=f"{served.url}/claude", api_key="sk-ant-test", max_retries=0) as client:
        models = [model for model in endpoint_models(endpoint) if model.startswith("claude")]
        message = client.messages.create(
            model=models[0], max_tokens=30, messages=[{"role": "user", "content": "hello"}]
        )
        with client.messages.stream(
            model=models[0], max_tokens=30, messages=[{"role": "user", "content": "hello"}]
        ) as stream:
            text = stream.get_final_text()
    assert text and message.usage.output_tokens
    first, second = served.rows()
    assert first.url_path == "/v1/messages" and first.provider_name == "anthropic"
    assert (first.usage_output_tokens, first.request_stream) == (message.usage.output_tokens, 0)
    assert second.ttft_s is not None and second.usage_source == "reported"


def endpoint_models(endpoint: SimulatedEndpoint) -> list[str]:
    with httpx2.Client(verify=False) as client:
        return [model["id"] for model in client.get(f"{endpoint.base_url}/models").json()["data"]]


def test_an_endpoint_that_refuses_stream_options_is_asked_again_without(
    endpoint: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(endpoint.base_url)
    for _ in range(2):
        status, _, seen, _ = fetch(f"{served.base_url}/chat/completions", ask(False), "400;param=stream_options")
        assert status == 200 and seen == bytes(endpoint.requests[-1].sent)
        assert b"stream_options" not in endpoint.requests[-1].body
    first, again, remembered = served.rows()
    assert first.error_type == "400" and "sent again" in (first.error_message or "")
    assert again.error_type is remembered.error_type is None
    assert again.usage_source == "estimated"


def test_other_refusals_pass_untouched(endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(endpoint.base_url)
    status, _, seen, _ = fetch(f"{served.base_url}/chat/completions", ask(False), "400;param=max_tokens")
    assert status == 400 and seen == bytes(endpoint.requests[-1].sent)
    (row,) = served.rows()
    assert row.error_type == "400"


def test_without_include_usage_nothing_is_added(endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(endpoint.base_url, include_usage=False)
    _, _, seen, _ = fetch(f"{served.base_url}/chat/completions", ask(False), "")
    assert seen == bytes(endpoint.requests[-1].sent) and b"stream_options" not in endpoint.requests[-1].body
    (row,) = served.rows()
    assert row.usage_source == "estimated"


def test_a_client_that_leaves_ends_the_call_at_the_upstream(
    endpoint: SimulatedEndpoint, serve: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    served = serve(endpoint.base_url)
    with httpx2.Client(verify=False) as client:
        for fault in ("endless", "hang"):
            try:
                with client.stream(
                    "POST",
                    f"{served.base_url}/chat/completions",
                    json=ask(False),
                    headers={"x-simulate": fault},
                    timeout=0.3 if fault == "hang" else 5,
                ) as response:
                    reads = response.iter_raw()
                    while fault == "endless" and response.num_bytes_downloaded < 4096:
                        next(reads)
            except httpx2.TimeoutException:
                assert fault == "hang"
            eventually(lambda: endpoint.requests[-1].how == "client gone", endpoint.requests[-1].how)
    endless, hung = served.rows(2)
    assert (endless.error_type, hung.error_type) == ("cancelled", "cancelled")
    assert endless.usage_source == "estimated" and hung.ttfb_s is None


@pytest.mark.parametrize("part", ["with_usage", "loads"])
def test_a_failure_of_ours_is_counted_and_the_request_goes_out_as_it_came(
    part: str, endpoint: SimulatedEndpoint, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(relay, part, broken)
    served = serve(endpoint.base_url)
    before = faults().count
    status, _, seen, _ = fetch(f"{served.base_url}/chat/completions", ask(False), "")
    assert status == 200 and seen == bytes(endpoint.requests[-1].sent)
    assert b"stream_options" not in endpoint.requests[-1].body
    assert faults().count == before + 1
    assert len(served.rows()) == 1


@pytest.mark.parametrize(
    "broken_part",
    [
        (stream.StreamReader, "feed"),
        (stream.StreamReader, "finish"),
        (calls.ProxiedCall, "answered"),
        (calls.ProxiedCall, "finish"),
    ],
    ids=lambda part: part[1],
)
def test_a_failure_of_the_accounting_does_not_reach_the_client(
    broken_part: tuple[type, str],
    endpoint: SimulatedEndpoint,
    serve: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(*broken_part, broken)
    served = serve(endpoint.base_url)
    status, _, seen, error = fetch(f"{served.base_url}/chat/completions", ask(True), "")
    assert (status, error) == (200, "") and seen == bytes(endpoint.requests[-1].sent)
