"""WebSockets pass as they are, both ways; each response on one leaves a row."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from promptop.proxy.http.websocket import Messages

UPGRADE = (
    "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Authorization: Bearer sk-PLANTEDwebsocket0123456789\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def frame(data: bytes, *, masked: bool = False, kind: int = 0x81) -> bytes:
    size = len(data)
    head = bytes((kind,))
    mask = 0x80 if masked else 0
    if size < 126:
        head += bytes((mask | size,))
    elif size < 1 << 16:
        head += bytes((mask | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((mask | 127,)) + size.to_bytes(8, "big")
    if masked:
        key = os.urandom(4)
        return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
    return head + data


def said(kind: str, **more: Any) -> bytes:
    return frame(json.dumps({"type": kind, **more}).encode())


USAGE = {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10, "input_token_details": {"cached_tokens": 5}}


def realtime(seen: list[bytes]) -> Callable[[socket.socket, int], None]:
    """Return a server that answers each ``response.create`` with a response, in odd pieces."""

    def handler(connection: socket.socket, number: int) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        seen.append(head)
        accept = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        connection.sendall(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            + said("session.created", session={"model": "gpt-realtime-2025-08-28"})
        )
        messages, count = Messages(), 0
        while data := connection.recv(65536):
            for message in messages.feed(data):
                seen.append(message)
                if json.loads(message)["type"] != "response.create":
                    continue
                count += 1
                name = f"resp_{count}"
                out = said("response.created", response={"id": name})
                out += said("response.output_text.delta", response_id=name, delta="hel") + frame(b"", kind=0x89)
                out += said("response.output_text.delta", response_id=name, delta="lo")
                done = {"id": name, "status": "completed", "usage": USAGE, "model": "gpt-realtime-2025-08-28"}
                out += said("response.done", response=done)
                for start in range(0, len(out), 7):
                    connection.sendall(out[start : start + 7])

    return handler


def received(client: socket.socket, messages: Messages) -> Iterator[dict[str, Any]]:
    while data := client.recv(65536):
        for message in messages.feed(data):
            yield json.loads(message)


def test_each_response_on_a_websocket_leaves_a_row(serve: Callable[..., Any], raw_server: Callable[..., Any]) -> None:
    seen: list[bytes] = []
    served = serve(raw_server(realtime(seen)).url)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(UPGRADE.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        answers = received(client, Messages())
        assert next(answers)["type"] == "session.created"
        for _ in range(2):
            client.sendall(frame(json.dumps({"type": "response.create", "pad": "x" * 70_000}).encode(), masked=True))
            kinds = []
            while not kinds or kinds[-1] != "response.done":
                kinds.append(next(answers)["type"])
            assert kinds.count("response.output_text.delta") == 2
    rows = served.rows(2)
    assert [row.error_type for row in rows] == [None, None]
    for row in rows:
        assert (row.usage_source, row.usage_input_tokens, row.usage_output_tokens) == ("reported", 20, 10)
        assert row.usage_cache_read_input_tokens == 5 and row.response_id and row.ttft_s is not None
        assert (row.request_model, row.response_model) == ("gpt-realtime-2025-08-28", "gpt-realtime-2025-08-28")
    assert b"permessage-deflate" not in seen[0] and b"sk-PLANTEDwebsocket" in seen[0]
    assert len(seen[1]) > 70_000
    assert all(b"PLANTED" not in path.read_bytes() for path in served.log.parent.glob("log*"))


def test_a_server_that_declines_is_heard(serve: Callable[..., Any], raw_server: Callable[..., Any]) -> None:
    def handler(connection: socket.socket, number: int) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    served = serve(raw_server(handler).url)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(UPGRADE.encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 403") and answer.endswith(b"no")
    (row,) = served.rows(1)
    assert row.error_type == "403"


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
def test_messages_are_read_whatever_their_pieces(size: int) -> None:
    long, huge = b"a" * 70_000, b"b" * (5 << 20)
    data = frame(b"one", masked=True) + frame(b"bin", kind=0x82) + frame(b"tw", kind=0x01) + frame(b"", kind=0x89)
    data += frame(b"o", kind=0x80) + frame(long, masked=True)
    if size > 3:
        data += frame(huge) + frame(b"after")
    messages = Messages()
    found = [message for start in range(0, len(data), size) for message in messages.feed(data[start : start + size])]
    assert found == [b"one", b"two", long, *([b"after"] if size > 3 else [])]
    assert len(messages._buffer) == 0
