"""Limits: long bodies, slow peers, silence, many calls at once; memory and descriptors stay bounded."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import psutil
import pytest

from promptop.proxy import ProxyLimits
from promptop.simulator import SimulatedEndpoint

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def warm(endpoint: SimulatedEndpoint) -> None:
    """Let the endpoint load its tokenizer, which takes longer than the limits of these tests."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    with httpx2.Client(timeout=30, verify=False) as client:
        assert client.post(f"{endpoint.base_url}/chat/completions", json=body).status_code == 200


def post(body: bytes = b'{"model":"m"}', path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    )
    return head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_hundred_megabytes_pass_in_bounded_memory(serve: Callable[..., Any], raw_server: Callable[..., Any]) -> None:
    size = 100 * MIB
    received = bytearray()
    checked: list[int] = []

    def handler(connection: socket.socket, number: int) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, rest = data.partition(b"\r\n\r\n")
        assert b"content-length: %d" % size in head.lower(), "the length is passed on, not replaced by chunks"
        got = len(rest)
        while got < size:
            got += len(connection.recv(1 << 20))
        checked.append(got)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(100):
            connection.sendall(bytes(MIB))

    served = serve(raw_server(handler).url, loop="auto")
    process = psutil.Process()
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        head = f"POST /v1/audio/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\nContent-Length: {size}"
        before = process.memory_info().rss
        peak = before
        client.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n")
        block = bytes(MIB)
        for number in range(100):
            client.sendall(block)
            if number % 10 == 0:
                peak = max(peak, process.memory_info().rss)
        got = 0
        while more := client.recv(1 << 20):
            got += len(more)
            if got % (10 * MIB) < 65536:
                peak = max(peak, process.memory_info().rss)
    assert checked == [size] and got >= size and not received
    assert peak - before < 40 * MIB, "client, proxy and server together"
    (row,) = served.rows()
    assert (row.bytes_sent, row.bytes_received, row.error_type) == (size, size, None)


def test_a_client_that_does_not_read_stops_the_upstream_and_is_cut_off(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    sent = 0
    ended = threading.Event()

    def handler(connection: socket.socket, number: int) -> None:
        nonlocal sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        event = b"data: " + b"x" * 1017 + b"\n\n"
        try:
            while True:
                connection.sendall(event)
                sent += len(event)
        except OSError:
            ended.set()

    served = serve(raw_server(handler).url, limits=ProxyLimits(grace_s=1, client_idle_s=0.6))
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(post())
        assert ended.wait(10), "the upstream is let go when the client takes nothing"
    # What the proxy and the kernels' buffers hold: a few hundred KiB, whatever the upstream has to send.
    assert sent < 8 * MIB
    (row,) = served.rows(1)
    assert row.error_type == "timeout" and "client" in (row.error_message or "")
    assert served.figure("promptop_proxy_cut_total", reason="client") == 1


def test_an_upstream_that_says_nothing_is_given_up(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint, exchange: Callable[..., bytes]
) -> None:
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=1, upstream_idle_s=0.8))
    answer = exchange(served.port, post(headers="x-simulate: hang\r\n"))
    assert answer.startswith(b"HTTP/1.1 504") and b'"timeout"' in answer
    (row,) = served.rows()
    assert row.error_type == "timeout" and "upstream" in (row.error_message or "")


def test_a_stream_that_stalls_is_cut_without_a_regular_end(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint, exchange: Callable[..., bytes]
) -> None:
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=1, upstream_idle_s=0.8))
    body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    answer = exchange(served.port, post(body, headers="x-simulate: stall;s=30\r\n"))
    assert answer.startswith(b"HTTP/1.1 200") and b"data: " in answer and not answer.endswith(b"0\r\n\r\n")
    (row,) = served.rows()
    assert row.error_type == "timeout" and row.ttft_s is not None


def test_a_client_that_sends_half_a_body_is_cut_off(serve: Callable[..., Any], exchange: Callable[..., bytes]) -> None:
    served = serve("http://127.0.0.1:1", limits=ProxyLimits(grace_s=1, client_idle_s=0.3))
    answer = exchange(served.port, post(b"{}").replace(b"Content-Length: 2", b"Content-Length: 20"))
    assert answer.startswith(b"HTTP/1.1 504")
    assert served.rows() == [], "nothing was sent to an upstream"


def test_a_client_that_sends_half_a_head_is_cut_off(serve: Callable[..., Any], exchange: Callable[..., bytes]) -> None:
    served = serve("http://127.0.0.1:1", limits=ProxyLimits(grace_s=1, keep_alive_s=0.3))
    assert exchange(served.port, b"POST /v1/x HTTP/1.1\r\nHost:") == b""


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_above_the_limit_are_refused(
    chunked: bool,
    serve: Callable[..., Any],
    raw_server: Callable[..., Any],
    exchange: Callable[..., bytes],
    read_request: Callable[..., bytes],
) -> None:
    def handler(connection: socket.socket, number: int) -> None:
        while connection.recv(65536):
            pass

    served = serve(
        raw_server(handler).url,
        limits=ProxyLimits(grace_s=1, client_idle_s=0.5, body_bytes=100_000, held_body_bytes=10_000),
    )
    if chunked:
        head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = exchange(served.port, head + b"".join(b"3e8\r\n%s\r\n" % bytes(1000) for _ in range(200)))
        (row,) = served.rows()
        assert row.error_type == "body_too_large"
    else:
        answer = exchange(served.port, post(bytes(100_001)))
        assert served.rows() == []
    assert answer.startswith(b"HTTP/1.1 413") and b"body_too_large" in answer


def test_chunked_bodies_and_held_memory_are_accounted(serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=1, held_body_bytes=2_000))
    text = "word " * 1000

    def pieces() -> Any:
        yield b'{"model":"gpt-4o-mini","max_tokens":5,"messages":[{"role":"user","content":"'
        for start in range(0, len(text), 500):
            yield text[start : start + 500].encode()
        yield b'"}]}'

    with httpx2.Client(verify=False) as client:
        headers = {"content-type": "application/json"}
        long = client.post(f"{served.base_url}/chat/completions", content=pieces(), headers=headers)
        short = client.post(
            f"{served.base_url}/chat/completions",
            content=iter([b'{"model":"gpt-4o-mini",', b'"messages":[]}']),
            headers=headers,
        )
    assert long.status_code == 200 and endpoint.requests[-2].json["messages"][0]["content"] == text
    assert short.status_code in (200, 400) and endpoint.requests[-1].json["messages"] == []
    first, second = served.rows()
    assert first.bytes_sent == len(endpoint.requests[-2].body) and first.request_model == "gpt-4o-mini"
    assert second.request_model == "gpt-4o-mini"
    assert served.figure("promptop_proxy_held_body_bytes") == 0


def test_too_many_calls_are_refused_and_no_descriptor_is_leaked(
    serve: Callable[..., Any],
    endpoint: SimulatedEndpoint,
    exchange: Callable[..., bytes],
    eventually: Callable[..., None],
) -> None:
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=1, calls=2))
    before = descriptors()
    waiting = []
    for _ in range(2):
        waiting.append(socket.create_connection(("127.0.0.1", served.port)))
        waiting[-1].sendall(post(headers="x-simulate: hang\r\n"))
    eventually(lambda: served.proxy.active == 2)
    assert exchange(served.port, post()).startswith(b"HTTP/1.1 503")
    for client in waiting:
        client.close()
    eventually(lambda: served.proxy.active == 0)
    # What stays is bounded: the log's files and a kept connection with its two ends.
    eventually(lambda: descriptors() <= before + 6)


def descriptors() -> int:
    return psutil.Process().num_fds()


async def test_many_streams_at_once_lose_no_byte_and_no_row(serve: Callable[..., Any]) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":20}}\n\ndata: [DONE]\n\n'
    streams = 200
    all_here = asyncio.Event()
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + event)
        asked += 1
        if asked == streams:
            all_here.set()
        await all_here.wait()  # every stream is open before any goes on
        for _ in range(19):
            writer.write(event)
            await writer.drain()
        writer.write(usage)
        await writer.drain()
        writer.close()

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'))
        seen = await reader.read()
        writer.close()
        return seen

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=streams)
    async with server:
        served = serve(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", loop="auto")
        seen = await asyncio.gather(*(ask(served.port) for _ in range(streams)))
    assert {answer.count(b'"content":"x"') for answer in seen} == {20}
    assert all(answer.endswith(b"0\r\n\r\n") for answer in seen)
    rows = await asyncio.to_thread(served.rows, streams)
    assert len(rows) == streams
    assert {(row.error_type, row.chunks, row.usage_output_tokens) for row in rows} == {(None, 20, 20)}
    assert served.figure("promptop_log_dropped_total") == served.figure("promptop_log_failed_total") == 0
