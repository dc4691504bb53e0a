"""The head of a request to an upstream."""

from __future__ import annotations

import pytest

from promptop.proxy.http.answer import ConnectError
from promptop.proxy.http.fields import Fields
from promptop.proxy.http.http1 import _head
from promptop.proxy.upstreams import parse

HERE = parse("http://127.0.0.1:9")


@pytest.mark.parametrize("value", [b"a\r\nx-other: b", b"a\nb", b"a\rb", b"a\0b"])
def test_a_field_cannot_become_two(value: bytes) -> None:
    with pytest.raises(ConnectError):
        _head("POST", "/v1/chat/completions", HERE, Fields([(b"x-one", value)]), b"{}", absolute=False)


@pytest.mark.parametrize("target", ["/a HTTP/1.1\r\nX: y", "/a\nb", "/a\0"])
def test_a_target_cannot_become_a_field(target: str) -> None:
    with pytest.raises(ConnectError):
        _head("POST", target, HERE, Fields(), b"{}", absolute=False)


def test_the_head_of_a_request() -> None:
    headers = Fields([(b"X-One", b"1"), (b"X-One", b"caf\xe9")])
    assert _head("GET", "/v1/models#part", HERE, headers, None, absolute=False) == (
        b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:9\r\nX-One: 1\r\nX-One: caf\xe9\r\n\r\n"
    )
    head = _head("POST", "/", parse("http://u:p@h", environ={}), Fields(), None, absolute=True)
    assert head == b"POST http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
