"""HTTP/2 towards an upstream that was asked to speak it, against a small server built on h2."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx2

from promptop.proxy import Options, ProxyLimits, ProxyThread
from promptop.proxy.upstreams import parse

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'


class H2Server:
    """Answers every request with three events and its usage if that was asked for; remembers what came."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    def __call__(self, connection: socket.socket, number: int) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        http.initiate_connection()
        connection.sendall(http.data_to_send())
        bodies: dict[int, bytes] = {}
        while data := connection.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.heads.append(dict(event.headers))
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.answer(http, event.stream_id, bodies.pop(event.stream_id))
            connection.sendall(http.data_to_send())

    def answer(self, http: h2.connection.H2Connection, stream: int, body: bytes) -> None:
        self.bodies.append(body)
        asked = b"include_usage" in body
        http.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream"), ("x-a", "b")])
        http.send_data(stream, CHUNK * 3 + (USAGE if asked else b""))
        if b"cut" in body:
            http.reset_stream(stream)
        else:
            http.send_data(stream, b"data: [DONE]\n\n", end_stream=True)


def test_calls_share_one_connection_and_leave_rows(serve: Callable[..., Any], raw_server: Callable[..., Any]) -> None:
    server = H2Server()
    upstream = raw_server(server)
    plain = serve("http://127.0.0.1:1")  # only for its log's folder
    log = plain.log.with_name("http2.db")
    options = Options(
        upstreams=[parse(f"{upstream.url}/v1", http2=True)], port=0, log_path=log, limits=ProxyLimits(grace_s=1)
    )
    ask = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with ProxyThread(options) as proxy, httpx2.Client(verify=False) as client:
        url = f"http://127.0.0.1:{proxy.port}/v1/chat/completions?a=b%2Fc"
        for _ in range(2):
            answer = client.post(url, json=ask, headers={"authorization": "Bearer sk-test", "x-own": "1"})
            assert answer.content == CHUNK * 3 + b"data: [DONE]\n\n", "the usage that was asked for is kept back"
            assert answer.headers["x-a"] == "b" and answer.http_version == "HTTP/1.1"
        cut = b""
        try:
            with client.stream("POST", url, json={**ask, "user": "cut"}) as response:
                for data in response.iter_raw():
                    cut += data
        except httpx2.RemoteProtocolError:
            assert cut in (CHUNK * 3, b"")
        else:
            raise AssertionError("a stream that was reset ended as if it were whole")
        plain.thread, plain.log = proxy, log
        rows = plain.rows(3)
    assert upstream.connections == 1
    head = server.heads[0]
    assert head[":path"] == "/v1/chat/completions?a=b%2Fc" and head["authorization"] == "Bearer sk-test"
    assert head["x-own"] == "1" and "connection" not in head and head["accept-encoding"] == "identity"
    assert json.loads(server.bodies[0]) == {**ask, "stream_options": {"include_usage": True}}
    assert [row.usage_source for row in rows] == ["reported", "reported", "reported"]
    assert [row.error_type for row in rows] == [None, None, "incomplete_stream"]
    assert (rows[0].connection_reused, rows[1].connection_reused) == (0, 1)
    assert rows[0].connect_s is not None
