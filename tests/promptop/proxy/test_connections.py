"""What happens on the wire: reuse, one repetition, encodings, methods, the end of the process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from promptop.proxy import ProxyLimits
from promptop.simulator import SimulatedEndpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


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
        head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
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
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=10))
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
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=60))
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
            client.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK"), line
    assert [line.decode() for line in seen] == [f"{line} HTTP/1.1" for line in lines]


def test_it_listens_on_ipv6_too(endpoint: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    served = serve(endpoint.base_url, host="::1")
    with httpx2.Client(verify=False) as client:
        assert client.get(f"http://[::1]:{served.port}/v1/models").status_code == 200
