"""The simulated endpoint with TLS and HTTP/2: both protocols are answered alike, side by side and cut where asked."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from collections.abc import Iterator

import httpx
import pytest

from promptop.simulator import SimulatedEndpoint

ASK = {"model": "sim-fast", "stream": True, "max_tokens": 20, "messages": [{"role": "user", "content": "你好"}]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0, http2=True) as running:
        yield running


def client(endpoint: SimulatedEndpoint, *, http2: bool) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    return httpx.AsyncClient(http2=http2, verify=context, base_url=endpoint.base_url)


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
async def test_streams_over_both_protocols(endpoint: SimulatedEndpoint, http2: bool, version: str) -> None:
    assert endpoint.base_url.startswith("https://127.0.0.1:")
    async with client(endpoint, http2=http2) as asks:
        answers = await asyncio.gather(*(asks.post("chat/completions", json=ASK) for _ in range(20)))
        models = await asks.get("models")
    assert {(each.status_code, each.http_version) for each in answers} == {(200, version)}
    assert all(each.text.rstrip().endswith("data: [DONE]") for each in answers)
    assert "sim-fast" in {each["id"] for each in models.json()["data"]}


async def test_answers_larger_than_the_window_come_whole(endpoint: SimulatedEndpoint) -> None:
    text = "很长的文本 " * 40_000
    async with client(endpoint, http2=True) as asks:
        answer = await asks.post("embeddings", json={"model": "text-embedding-3-small", "input": [text[:2000]] * 40})
    assert answer.http_version == "HTTP/2"
    assert len(json.loads(answer.text)["data"]) == 40
    assert len(answer.text) > 65_535


async def test_a_cut_answer_is_a_cut_stream(endpoint: SimulatedEndpoint) -> None:
    async with client(endpoint, http2=True) as asks:
        with pytest.raises(httpx.RemoteProtocolError):
            await asks.post("chat/completions", json={**ASK, "model": "sim-fault-cut"})
        assert (await asks.get("models")).status_code == 200, "the connection goes on"


def test_the_authority_is_gone_with_the_endpoint() -> None:
    with SimulatedEndpoint.in_thread(speed=0, http2=True) as running:
        file = running.ca_file
        assert file is not None
        assert stat.S_IMODE((file.parent / "server.pem").stat().st_mode) == 0o600
    assert not file.exists()
