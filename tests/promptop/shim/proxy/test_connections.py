"""What happens on the wire: reuse, one repetition, slow peers, long bodies, the end of the process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import psutil
import pytest

from promptop.demo import SimulatedEndpoint
from promptop.shim.proxy import Limits

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def warm(endpoint: SimulatedEndpoint) -> None:
    """Let the endpoint load its tokenizer, which takes longer than the limits of these tests."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    with httpx2.Client(timeout=30, verify=False) as client:
        assert client.post(f"{endpoint.base_url}/chat/completions", json=body).status_code == 200


def post(body: bytes = b'{"model":"m"}', path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    return head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def test_a_request_without_an_answer_on_a_kept_connection_is_sent_once_more(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        request = read_request(connection)
        seen.append(request)
        connection.sendall(OK)
        if number == 1:
            seen.append(read_request(connection))  # a second request is read, and the connection closed

    upstream = raw_server(handler)
    served = serve(upstream.url)
    with httpx2.Client(verify=False) as client:
        for content in (b'{"n":1}', b'{"n":2}'):
            assert client.post(f"{served.base_url}/embeddings", content=content).json() == {}
    assert [request.rpartition(b"\r\n")[2] for request in seen] == [b'{"n":1}', b'{"n":2}', b'{"n":2}']
    first, second = served.rows()
    assert (first.connection_reused, second.connection_reused) == (0, 0)
    assert second.error_type is None
    assert served.figure("promptop_proxy_replays_total") == 1


def test_a_request_on_a_new_connection_is_not_repeated(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    upstream = raw_server(lambda connection, _: read_request(connection))
    served = serve(upstream.url)
    with httpx2.Client(verify=False) as client:
        answer = client.post(f"{served.base_url}/embeddings", content=b"{}")
    assert answer.status_code == 502 and answer.json()["error"]["code"] == "ConnectError"
    assert upstream.connections == 1
    (row,) = served.rows()
    assert row.error_type == "connect" and "closed" in (row.error_message or "")


def test_an_answer_that_has_begun_is_not_repeated(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    requests: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        requests.append(read_request(connection))
        connection.sendall(OK)
        requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Ty")

    served = serve(raw_server(handler).url)
    with httpx2.Client(verify=False) as client:
        assert client.post(f"{served.base_url}/embeddings", content=b"{}").status_code == 200
        assert client.post(f"{served.base_url}/embeddings", content=b"{}").status_code == 502
    assert len(requests) == 2


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
        head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\nContent-Length: {size}"
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

    served = serve(raw_server(handler).url, limits=Limits(grace_s=1, client_idle_s=0.6))
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
    served = serve(endpoint.base_url, limits=Limits(grace_s=1, upstream_idle_s=0.3))
    answer = exchange(served.port, post(headers="x-simulate: hang\r\n"))
    assert answer.startswith(b"HTTP/1.1 504") and b'"timeout"' in answer
    (row,) = served.rows()
    assert row.error_type == "timeout" and "upstream" in (row.error_message or "")


def test_a_stream_that_stalls_is_cut_without_a_regular_end(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint, exchange: Callable[..., bytes]
) -> None:
    served = serve(endpoint.base_url, limits=Limits(grace_s=1, upstream_idle_s=0.3))
    body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    answer = exchange(served.port, post(body, headers="x-simulate: stall;s=30\r\n"))
    assert answer.startswith(b"HTTP/1.1 200") and b"data: " in answer and not answer.endswith(b"0\r\n\r\n")
    (row,) = served.rows()
    assert row.error_type == "timeout" and row.ttft_s is not None


def test_a_client_that_sends_half_a_body_is_cut_off(serve: Callable[..., Any], exchange: Callable[..., bytes]) -> None:
    served = serve("http://127.0.0.1:1", limits=Limits(grace_s=1, client_idle_s=0.3))
    answer = exchange(served.port, post(b"{}").replace(b"Content-Length: 2", b"Content-Length: 20"))
    assert answer.startswith(b"HTTP/1.1 504")
    assert served.rows() == [], "nothing was sent to an upstream"


def test_a_client_that_sends_half_a_head_is_cut_off(serve: Callable[..., Any], exchange: Callable[..., bytes]) -> None:
    served = serve("http://127.0.0.1:1", limits=Limits(grace_s=1, keep_alive_s=0.3))
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
        raw_server(handler).url, limits=Limits(grace_s=1, client_idle_s=0.5, body_bytes=100_000, held_body_bytes=10_000)
    )
    if chunked:
        head = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = exchange(served.port, head + b"".join(b"3e8\r\n%s\r\n" % bytes(1000) for _ in range(200)))
        (row,) = served.rows()
        assert row.error_type == "body_too_large"
    else:
        answer = exchange(served.port, post(bytes(100_001)))
        assert served.rows() == []
    assert answer.startswith(b"HTTP/1.1 413") and b"body_too_large" in answer


def test_chunked_bodies_and_held_memory_are_accounted(serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    served = serve(endpoint.base_url, limits=Limits(grace_s=1, held_body_bytes=2_000))
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
    assert first.bytes_sent == len(endpoint.requests[-2].body) and first.request_model is None
    assert second.request_model == "gpt-4o-mini"
    assert served.figure("promptop_proxy_held_body_bytes") == 0


def test_expect_continue_head_and_empty_answers(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            assert b"expect" not in request.lower()
            if request.startswith(b"HEAD"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 77\r\n\r\n")
            elif request.startswith(b"DELETE"):
                connection.sendall(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n")
            else:
                connection.sendall(OK)

    served = serve(raw_server(handler).url)
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        head = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        client.sendall(head)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    with httpx2.Client(verify=False) as client:
        answer = client.head(f"{served.base_url}/files/1")
        assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "77", b"")
        answer = client.delete(f"{served.base_url}/files/1")
        assert (answer.status_code, answer.content, answer.headers["x-a"]) == (204, b"", "b")


def test_shutdown_lets_a_stream_finish_and_takes_no_more(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint
) -> None:
    served = serve(endpoint.base_url, limits=Limits(grace_s=10))
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with (
        httpx2.Client(verify=False) as client,
        client.stream(
            "POST", f"{served.base_url}/chat/completions", json=body, headers={"x-simulate": "stall;s=0.4"}
        ) as response,
    ):
        seen = b""
        stopping = None
        for data in response.iter_raw():
            seen += data
            if stopping is None:
                stopping = threading.Thread(target=served.thread.stop)
                stopping.start()
        assert seen == bytes(endpoint.requests[-1].sent) or b"[DONE]" in seen
    assert stopping is not None
    stopping.join(10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port)).close()
    (row,) = served.rows()
    assert row.error_type is None and (row.gap_max_s or 0) > 0.3


def test_shutdown_in_a_hurry_ends_what_runs(serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    served = serve(endpoint.base_url, limits=Limits(grace_s=60))
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        client.sendall(
            post(
                b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}',
                headers="x-simulate: endless\r\n",
            )
        )
        client.recv(100)
        served.thread.stop(hurry=True)
        with suppress(ConnectionResetError):
            while client.recv(1 << 16):
                pass
    (row,) = served.rows()
    assert row.error_type == "cancelled"


def test_too_many_calls_are_refused_and_no_descriptor_is_leaked(
    serve: Callable[..., Any],
    endpoint: SimulatedEndpoint,
    exchange: Callable[..., bytes],
    eventually: Callable[..., None],
) -> None:
    served = serve(endpoint.base_url, limits=Limits(grace_s=1, calls=2))
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


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "x-unknown"])
def test_compressed_bytes_pass_untouched_and_what_cannot_be_read_is_counted(
    encoding: str, serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    body = bytes(range(256)) * 100  # no valid stream of any of them
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n"
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    served = serve(raw_server(handler).url)
    request = {"model": "m", "input": "a"}
    with httpx2.Client(verify=False) as client:
        headers = {"accept-encoding": "gzip, br, zstd"}
        with client.stream("POST", f"{served.base_url}/embeddings", json=request, headers=headers) as response:
            assert response.headers["content-encoding"] == encoding
            assert b"".join(response.iter_raw()) == body
    assert b"accept-encoding: gzip, br, zstd\r\n" in seen[0].lower()
    (row,) = served.rows()
    assert row.bytes_received == len(body) and row.request_model == "m"


def test_an_upstream_is_reached_through_the_http_proxy_of_the_environment(
    serve: Callable[..., Any],
    raw_server: Callable[..., Any],
    read_request: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(OK)

    monkeypatch.setenv("http_proxy", raw_server(handler).url)
    served = serve("http://llm.example/v1")
    with httpx2.Client(verify=False, trust_env=False) as client:
        assert client.post(f"{served.base_url}/embeddings", content=b"{}").json() == {}
    assert seen[0].startswith(b"POST http://llm.example/v1/embeddings HTTP/1.1\r\n")
    (row,) = served.rows()
    assert row.server_address == "llm.example"


def test_any_method_and_any_path_pass(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request.partition(b"\r\n")[0])
            connection.sendall(OK)

    served = serve(raw_server(handler).url)
    lines = [
        *(
            "GET /v1/files/f%2F1/content?x=a%20b&y=",
            "DELETE /v1/batches/1",
            "PUT /a//b/../c",
            "PATCH /",
            "OPTIONS /v1/x",
        ),
        "POST /v1/models/gemini-2.5:streamGenerateContent?alt=sse",
    ]
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
        for line in lines:
            client.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK"), line
    assert [line.decode() for line in seen] == [f"{line} HTTP/1.1" for line in lines]


def test_it_listens_on_ipv6_too(endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    served = serve(endpoint.base_url, host="::1")
    with httpx2.Client(verify=False) as client:
        assert client.get(f"http://[::1]:{served.port}/v1/models").status_code == 200


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
