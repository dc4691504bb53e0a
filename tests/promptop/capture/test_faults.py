"""Every fault of the simulated endpoint: what the caller gets is what was sent, byte for byte, and a row says so."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

import promptop
from promptop.capture.faults import faults as own_faults
from promptop.log import StoredRow, Writer
from promptop.simulator import FAULTS, SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]

OPTIONS = {
    "slow": "slow;s=0.05",
    "slow-headers": "slow-headers;s=0.05",
    "stall": "stall;s=0.05",
    "huge": "huge;kb=1500",
    "bomb": "bomb;mb=3",
    "429": "429;retry_after=0.01",
    "503": "503;retry_after=0.01",
}
NO_END = ("hang", "endless")
"""Faults that end only with the client."""
OF_THE_REQUEST = ("400", "shuffled", "drop-reused", "endless-headers", "bomb")
"""Faults with tests of their own, or without effect on a stream."""

STATUS = {"401", "403", "404", "429", "500", "500-text", "502-html", "503", "529"}
ERRORS = {
    **{name: name[:3] for name in STATUS},
    "error-200": "provider_error",
    "drop": "RemoteProtocolError",
    "cut": "incomplete_stream",
    "reset": "incomplete_stream",
}
ESTIMATED = {"usage-missing"}


def ask(stream: bool, options: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Tell me 你好 in two sentences, please."}],
        "stream": stream,
        "max_tokens": 30,
    }
    if options:
        body["stream_options"] = {"include_usage": True}
    return body


def fetch(client: httpx2.Client, url: str, body: dict[str, Any], fault: str) -> tuple[bytes, str]:
    """Return the decoded bytes that the caller saw, and the kind of error that ended them."""
    seen = b""
    try:
        with client.stream("POST", url, json=body, headers={"x-simulate": fault}) as response:
            for data in response.iter_bytes():
                seen += data
    except httpx2.HTTPError as error:
        return seen, type(error).__name__
    return seen, ""


def without_usage_chunk(sent: bytes) -> bytes:
    """Take the usage chunk out of what was sent, event by event, in a way that shares nothing with the shim."""
    parts = re.split(rb"((?:\r\n){2}|\n\n)", sent)
    kept = []
    for block, end in zip(parts[::2], [*parts[1::2], b""], strict=True):
        lines = re.split(rb"\r\n|\n", block)
        data = b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict):
            continue
        kept.append(block + end)
    return b"".join(kept)


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(NO_END) - set(OF_THE_REQUEST)))
def test_streams(fault: str, endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    url = f"{endpoint.base_url}/chat/completions"
    name = OPTIONS.get(fault, fault)
    before = own_faults().count
    # A connection that the server closes while the next request goes out fails with any client: here none is kept.
    limits = httpx2.Limits(max_keepalive_connections=0 if fault == "close-idle" else 20)
    with httpx2.Client() as plain, promptop.observe(httpx2.Client(limits=limits), log=log) as watched:
        _, error = fetch(plain, url, ask(True, True), name)
        for asked in (True, False):
            seen, watched_error = fetch(watched, url, ask(True, asked), name)
            record = endpoint.requests[-1]
            sent = bytes(record.sent)
            assert watched_error == error
            if error:
                assert sent.startswith(seen), "what came before the connection broke"
            else:
                assert seen == (sent if asked else without_usage_chunk(sent))
            assert b'"include_usage":true' in record.body.replace(b" ", b"")
    assert own_faults().count == before
    with_ours, added = rows()
    for row in (with_ours, added):
        assert row.request_stream == 1 and row.total_s is not None
        assert row.error_type == ERRORS.get(fault), row.error_message
        if fault in STATUS:
            assert row.http_response_status_code == int(fault[:3]) and row.usage_source is None
            assert row.error_message
        elif fault not in ERRORS:
            assert row.usage_source == ("estimated" if fault in ESTIMATED else "reported")
            if fault != "empty":
                assert row.ttft_s is not None and row.duration_s is not None and row.chunks
    assert with_ours.prompt_hash == added.prompt_hash


@pytest.mark.parametrize(
    "fault", sorted(STATUS | {"error-200", "cost", "timings", "gzip", "deflate", "unicode", "drop"})
)
def test_answers_that_are_not_streamed(fault: str, endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    url = f"{endpoint.base_url}/chat/completions"
    with httpx2.Client() as plain, promptop.observe(httpx2.Client(), log=log) as watched:
        _, error = fetch(plain, url, ask(False, False), OPTIONS.get(fault, fault))
        seen, watched_error = fetch(watched, url, ask(False, False), OPTIONS.get(fault, fault))
    record = endpoint.requests[-1]
    assert watched_error == error and seen == bytes(record.sent)
    assert record.json == ask(False, False)
    (row,) = rows()
    assert row.error_type == ERRORS.get(fault)
    assert row.ttft_s is None and row.chunks is None
    if fault == "cost":
        assert row.cost_status == "reported" and row.cost_usd is not None
    if fault == "timings":
        assert row.server_timings is not None and '"prompt_s"' in row.server_timings
    if fault in ("gzip", "deflate"):
        assert (row.bytes_received or 0) < (row.bytes_decoded or 0) == len(seen)


def test_a_compression_bomb_costs_bounded_memory(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    import tracemalloc

    with promptop.observe(httpx2.Client(), log=log) as client:
        tracemalloc.start()
        with client.stream(
            "POST",
            f"{endpoint.base_url}/chat/completions",
            json=ask(True, False),
            headers={"x-simulate": "bomb;mb=48"},
        ) as response:
            size = sum(len(data) for data in response.iter_bytes())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert size >= 48 << 20
    assert peak < 24 << 20
    (row,) = rows()
    assert row.http_response_status_code == 200 and (row.bytes_received or 0) < 1 << 20


def test_endless_stream_is_left(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with (
        promptop.observe(httpx2.Client(), log=log) as client,
        client.stream(
            "POST",
            f"{endpoint.base_url}/chat/completions",
            json=ask(True, False),
            headers={"x-simulate": "endless"},
        ) as response,
    ):
        reads = response.iter_bytes()
        size = 0
        while size < 1 << 20:
            size += len(next(reads))
    (row,) = rows()
    assert row.error_type == "cancelled" and (row.chunks or 0) > 1000
    assert row.usage_source == "estimated" and (row.usage_output_tokens or 0) > 1000


def test_hanging_and_refused_connections(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(timeout=0.2), log=log) as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.post(f"{endpoint.base_url}/chat/completions", json=ask(True, False), headers={"x-simulate": "hang"})
        with pytest.raises(httpx2.ConnectError):
            client.post("http://127.0.0.1:1/v1/chat/completions", json=ask(True, False))
    hanging, refused = rows()
    assert (hanging.error_type, refused.error_type) == ("timeout", "connect")
    assert hanging.http_response_status_code is None and hanging.ttfb_s is None and hanging.bytes_received is None
    assert hanging.request_model == "gpt-4o-mini" and hanging.total_s is not None and hanging.total_s >= 0.2
    assert refused.connection_reused is None


def test_endless_headers_end_in_an_error(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(timeout=5), log=log) as client, pytest.raises(httpx2.HTTPError):
        client.post(
            f"{endpoint.base_url}/chat/completions", json=ask(True, False), headers={"x-simulate": "endless-headers"}
        )
    (row,) = rows()
    assert row.error_type is not None and row.http_response_status_code is None


def test_stall_and_slow_start_are_timed(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(), log=log) as client:
        for fault in ("stall;s=0.2;after=5", "slow;s=0.2", "slow-headers;s=0.2"):
            fetch(client, f"{endpoint.base_url}/chat/completions", ask(True, False), fault)
    stall, slow, headers = rows()
    assert stall.gap_max_s is not None and stall.gap_max_s >= 0.19 and (stall.ttft_s or 0) < 0.2
    assert slow.ttft_s is not None and slow.ttfb_s is not None
    assert slow.ttft_s >= 0.19 > slow.ttfb_s
    assert headers.ttfb_s is not None and headers.ttfb_s >= 0.19


async def test_stamps_agree_with_what_the_server_sent(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    """The server's clock is ours: a stamp is never before its event was sent, and soon after."""
    async with promptop.observe(httpx2.AsyncClient(), log=log) as client:
        for fault in ("reasoning", "azure", "null-content", "refusal", "usage-every"):
            await client.post(
                f"{endpoint.base_url}/chat/completions",
                json=ask(True, False) | {"max_tokens": 2000},  # room for an answer behind the reasoning
                headers={"x-simulate": fault},
            )
    for row, record in zip(rows(), endpoint.requests[-5:], strict=True):
        kinds = {sent.kind for sent in record.events}
        first = record.first("reasoning", "content", "refusal")
        visible = record.first("content", "refusal")
        last = record.last("reasoning", "content", "refusal")
        assert first is not None and visible is not None and last is not None, kinds
        assert row.ttft_s is not None and row.ttfo_s is not None and row.duration_s is not None
        begun = record.received_s  # after t0
        assert row.ttft_s >= first - begun
        assert row.ttfo_s >= visible - begun
        assert row.duration_s >= last - begun
        assert row.duration_s <= (row.total_s or 0)
        assert row.ttft_s <= row.ttfo_s <= row.duration_s
        if record.fault == "reasoning":
            assert row.ttft_s < row.ttfo_s


async def test_deadline_of_the_task(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    async with promptop.observe(httpx2.AsyncClient(), log=log) as client:
        for fault in ("hang", "stall;s=30"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.post(
                        f"{endpoint.base_url}/chat/completions", json=ask(True, False), headers={"x-simulate": fault}
                    )
    hang, stall = rows()
    assert (hang.error_type, stall.error_type) == ("cancelled", "cancelled")
    assert hang.ttfb_s is None and stall.ttft_s is not None
    assert hang.usage_source is None and stall.usage_source == "estimated"


def test_a_broken_log_does_not_show_in_the_call(endpoint: SimulatedEndpoint) -> None:
    class Broken:
        bodies = "off"

        def put(self, item: Any) -> None:
            raise RuntimeError("the log is broken")

    before = own_faults().count
    with promptop.observe(httpx2.Client(), log=Broken()) as client:
        seen, error = fetch(client, f"{endpoint.base_url}/chat/completions", ask(True, False), "")
    assert error == "" and b"[DONE]" in seen
    assert own_faults().count == before + 1
