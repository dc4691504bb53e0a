"""Upstreams and clients that mean harm: bounded errors, bounded memory, no way to another host, no key on disk."""

from __future__ import annotations

import gzip
import json
import logging
import random
import re
import socket
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptop.proxy import ProxyLimits
from promptop.simulator import SimulatedEndpoint

MIB = 1 << 20
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ASK = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def endless(first: bytes, again: bytes, most: int = 256 * MIB) -> Callable[[socket.socket, int], None]:
    """Return a server that sends ``first`` and then ``again`` until the peer has enough (or 256 MiB are gone)."""

    def handler(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(first)
        sent = 0
        while sent < most:
            connection.sendall(again)
            sent += len(again)

    return handler


def peak_during(action: Callable[[], Any]) -> tuple[Any, int]:
    """Return an action's result and by how many bytes this process grew at most while it ran."""
    process = psutil.Process()
    before = peak = process.memory_info().rss
    over = threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        return action(), peak - before
    finally:
        over.set()
        watcher.join()


def drain(url: str, **headers: str) -> tuple[int, int]:
    """Return status and bytes of an answer, 0 for one that never came; a connection that breaks just ends it."""
    size = 0
    status = 0
    with (
        suppress(httpx2.HTTPError),
        httpx2.Client(timeout=20, verify=False) as client,
        client.stream("POST", f"{url}/chat/completions", json=ASK, headers=headers) as response,
    ):
        status = response.status_code
        for data in response.iter_raw():
            size += len(data)
    return status, size


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Field: " + b"x" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Field: ", b"x" * 1000),
        (b"HTTP/1.1 ", b"2" * 1000),
        (b"", b"not http at all"),
    ],
    ids=["fields", "field", "status", "noise"],
)
def test_a_head_without_end_is_an_error(
    first: bytes, again: bytes, serve: Callable[..., Any], raw_server: Callable[..., Any]
) -> None:
    served = serve(raw_server(endless(first, again)).url)
    (status, _), grown = peak_during(lambda: drain(served.base_url))
    assert status == 502 and grown < 30 * MIB
    (row,) = served.rows()
    assert row.error_type in ("ProtocolError", "connect")


@pytest.mark.parametrize(
    "again",
    [b"data: {}\n\n" * 1000, b"data: " + b"x" * 100_000, b"\xff\xfe\x00" * 10_000, b": \n" * 10_000],
    ids=["events", "one-event", "no-utf8", "comments"],
)
def test_a_stream_without_end_is_cut_at_the_limit(
    again: bytes, serve: Callable[..., Any], raw_server: Callable[..., Any]
) -> None:
    served = serve(raw_server(endless(STREAM, again)).url, limits=ProxyLimits(grace_s=1, event_stream_bytes=MIB))
    (status, size), grown = peak_during(lambda: drain(served.base_url))
    assert status == 200 and size < 2 * MIB and grown < 30 * MIB
    (row,) = served.rows()
    assert row.error_type == "response_too_long" and (row.bytes_received or 0) > MIB
    assert served.figure("promptop_proxy_cut_total", reason="response_too_long") == 1


def test_a_compression_bomb_passes_small_and_is_read_within_bounds(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint
) -> None:
    served = serve(endpoint.base_url)
    asked = {**ASK, "stream_options": {"include_usage": True}}
    with httpx2.Client(timeout=20, verify=False) as client:
        for body in (asked, ASK):
            request = client.build_request(
                "POST", f"{served.base_url}/chat/completions", json=body, headers={"x-simulate": "bomb;mb=64"}
            )
            (size, rows), grown = peak_during(lambda request=request: (passed(client, request), served.rows()))
            assert size < MIB and grown < 40 * MIB and rows[-1].error_type is None


def passed(client: httpx2.Client, request: httpx2.Request) -> int:
    """Return the bytes of an answer as they came, at most 1 MiB."""
    size = 0
    response = client.send(request, stream=True)
    for data in response.iter_raw():
        size += len(data)
        if size > MIB or "content-encoding" not in response.headers:
            break  # inflated on the way, piece by piece: the client may leave
    response.close()
    return min(size, MIB - 1)


def test_a_small_bomb_in_many_reads(serve: Callable[..., Any], raw_server: Callable[..., Any]) -> None:
    bomb = gzip.compress(bytes(120 * MIB), 9)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"

    def handler(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(bomb) + bomb)

    served = serve(raw_server(handler).url)
    ((status, size), rows), grown = peak_during(lambda: (drain(served.base_url), served.rows()))
    assert status == 200 and size == len(bomb) and grown < 40 * MIB
    assert rows[0].bytes_received == len(bomb) and (rows[0].bytes_decoded or 0) < 80 * MIB


def test_a_redirect_is_passed_back_and_a_cookie_stays_with_its_client(
    serve: Callable[..., Any], raw_server: Callable[..., Any], read_request: Callable[..., bytes]
) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest\r\n"
                b"Set-Cookie: session=of-the-first; Path=/\r\nContent-Length: 0\r\n\r\n"
            )

    served = serve(raw_server(handler).url)
    for _ in range(2):
        with httpx2.Client(verify=False) as client:
            answer = client.get(f"{served.base_url}/models")
            assert answer.status_code == 307 and answer.headers["location"] == "http://169.254.169.254/latest"
    assert len(seen) == 2 and not any(b"of-the-first" in request for request in seen)


def test_only_listed_hosts_are_reached(serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    host = endpoint.root_url.removeprefix("http://")
    served = serve("http://127.0.0.1:1", allow=[endpoint.root_url])
    with httpx2.Client(verify=False) as client:
        assert client.get(f"{served.url}/to/{host}/v1/models").status_code == 200
        refused = client.get(f"{served.url}/to/localhost:{endpoint.port}/v1/models")
    assert refused.status_code == 403 and refused.json()["error"]["code"] == "host_not_allowed"
    assert [row.url_path for row in served.rows()] == ["/v1/models"]


def test_forward_proxying_is_refused_clearly(
    serve: Callable[..., Any], endpoint: SimulatedEndpoint, exchange: Callable[..., bytes]
) -> None:
    served = serve(endpoint.base_url)
    for line in (b"GET http://169.254.169.254/latest HTTP/1.1", b"CONNECT example.com:443 HTTP/1.1"):
        answer = exchange(served.port, line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 4") and b"X-Simulated" not in answer
    assert served.rows() == []
    assert served.figure("promptop_proxy_refused_total") >= 2


def test_the_access_token_is_asked_and_never_passed_on(serve: Callable[..., Any], endpoint: SimulatedEndpoint) -> None:
    token = "correct-horse-battery-staple"
    served = serve(endpoint.base_url, token=token)
    with httpx2.Client(verify=False) as client:
        assert client.get(f"{served.url}/healthz").json() == {"status": "ok"}
        for path, headers in (
            ("/v1/models", {}),
            ("/metrics", {}),
            ("/v1/models", {"x-promptop-token": token[:-1]}),
            (f"/token/{token[:-1]}/v1/models", {}),
            ("/token/", {}),
            ("/v1/models", {"authorization": f"Bearer {token}"}),
        ):
            answer = client.get(served.url + path, headers=headers)
            assert answer.status_code == 401 and token not in answer.text
        before = len(endpoint.requests)
        assert client.get(f"{served.base_url}/models", headers={"x-promptop-token": token}).status_code == 200
        assert client.get(f"{served.url}/token/{token}/v1/models").status_code == 200
        assert client.get(f"{served.url}/token/{token}/metrics").status_code == 200
    for record in endpoint.requests[before:]:
        assert record.path == "/v1/models" and token not in str(record.headers)
    assert [row.url_path for row in served.rows()] == ["/v1/models"] * 2
    assert_nowhere(served.log.parent, token)


KEYS = {
    "header": "sk-proj-PLANTEDheaderKEY0123456789",
    "x-api-key": "sk-ant-PLANTEDapikeyheader0123456789",
    "query": "AIzaPLANTEDqueryKEY0123456789abcdef",
    "userinfo": "PLANTEDuserinfoPASS0123456789",
    "error": "sk-PLANTEDechoedKEY0123456789abcd",
    "cookie": "PLANTEDcookieVALUE0123456789",
}


@pytest.mark.parametrize("bodies", ["off", "hash", "redacted"])
def test_planted_keys_reach_the_upstream_and_no_file(
    bodies: str,
    serve: Callable[..., Any],
    raw_server: Callable[..., Any],
    read_request: Callable[..., bytes],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[bytes] = []

    def handler(connection: socket.socket, number: int) -> None:
        while request := read_request(connection):
            seen.append(request)
            text = json.dumps({"error": {"message": f"bad key {KEYS['error']} {KEYS['header']}", "code": "x"}}).encode()
            echo = f"X-Echo: {KEYS['header']}\r\nX-Request-Id: {KEYS['x-api-key']}\r\n".encode()
            connection.sendall(
                b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n" + echo
                + b"Content-Length: %d\r\n\r\n%s" % (len(text), text)
            )  # fmt: skip

    port = raw_server(handler).port
    served = serve(f"http://me:{KEYS['userinfo']}@127.0.0.1:{port}", bodies=bodies)
    with httpx2.Client(verify=False) as client:
        body = {**ASK, "api_key": KEYS["header"], "user": f"my key is {KEYS['error']}"}
        for headers in (
            {"authorization": f"Bearer {KEYS['header']}", "cookie": f"session={KEYS['cookie']}"},
            {"x-api-key": KEYS["x-api-key"]},
        ):
            answer = client.post(f"{served.base_url}/chat/completions?key={KEYS['query']}", json=body, headers=headers)
            assert KEYS["error"] in answer.text, "the client sees what the server said"
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as broken:
            broken.sendall(f"GET /v1/x HTTP/1.1\r\nAuthorization: Bearer {KEYS['header']}\x00\r\n\r\n".encode())
            broken.recv(1000)
        metrics = client.get(f"{served.url}/metrics").text
    wire = b"".join(seen).decode()
    assert all(KEYS[name] in wire for name in ("header", "x-api-key", "query", "cookie"))
    assert "Authorization: Basic " in wire, "the address' own password is sent where the client sends no key"
    rows = served.rows()
    assert len(rows) == 2 and all(row.error_message and "[redacted]" in row.error_message for row in rows)
    output = capfd.readouterr()
    for key in KEYS.values():
        assert_nowhere(served.log.parent, key)
        assert key not in metrics + output.out + output.err + "".join(told_by_the_proxy(caplog))


def told_by_the_proxy(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, but for what the tests' own client says."""
    return [
        record.getMessage() + (record.exc_text or "")
        for record in caplog.records
        if not record.name.startswith(("httpx2", "httpcore2"))
    ]


def assert_nowhere(folder: Path, secret: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path.name
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


HEADS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    b"GET /v1/models HTTP/1.1\r\n",
                    b"POST /v1/x HTTP/1.1\r\n",
                    b"Host: localhost\r\n",
                    b"\r\n",
                    b"\r",
                    b"\n",
                ),
                *(b"Content-Length: 5\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: -1\r\n"),
                *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"5\r\nhello\r\n"),
                *(b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n"),
                *(
                    b"Expect: 100-continue\r\n",
                    b" folded\r\n",
                    b"X: \x00\r\n",
                    b"X\r\n",
                    b": y\r\n",
                    b"X: \xff\xfe\r\n",
                ),
                *(
                    b"GET \xff\xfe HTTP/1.1\r\n",
                    b"GET /to/x HTTP/1.1\r\n",
                    b"GET /metrics HTTP/1.0\r\n",
                    b"PRI * HTTP/2.0",
                ),
                *(b"GET " + b"/a" * 9000 + b" HTTP/1.1\r\n", b"X: " + b"y" * 20000 + b"\r\n", b"\x16\x03\x01\x02\x00"),
            ]
        ),
        st.binary(max_size=40),
    ),
    max_size=8,
)


def test_nothing_that_a_client_sends_breaks_the_front(
    serve: Callable[..., Any],
    endpoint: SimulatedEndpoint,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[..., None],
) -> None:
    served = serve(endpoint.base_url, limits=ProxyLimits(grace_s=1, keep_alive_s=5, client_idle_s=1))

    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(HEADS, st.integers(0, 2**32))
    def fuzz(parts: list[bytes], seed: int) -> None:
        data = b"".join(parts)
        cut = random.Random(seed).randint(0, len(data))
        with socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
            with suppress(OSError):
                client.sendall(data[:cut])
                client.sendall(data[cut:])
                client.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):
                while more := client.recv(65536):
                    answer += more
        assert answer == b"" or re.match(rb"HTTP/1\.[01] [1-5]\d\d ", answer), answer[:100]
        assert b"Traceback" not in answer

    fuzz()
    with httpx2.Client(verify=False) as client:
        assert client.get(f"{served.url}/healthz").status_code == 200
        assert client.get(f"{served.base_url}/models").status_code == 200
    eventually(lambda: served.proxy.active == 0)
    assert "Traceback" not in caplog.text
