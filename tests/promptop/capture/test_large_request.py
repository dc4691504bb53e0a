"""A request that is read as it passes: parameters exact, text counted, pictures known to be none."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.capture.parse.large_request import LargeRequest
from promptop.tokens.scripts import chars_by_script

LONG = 'The river "Aare" fließt — 河流很长 \U0001f600\n\t\\ to the sea. '


def read(data: bytes, seed: int = 0, most: int = 5000) -> LargeRequest:
    """Read a body in pieces of any size."""
    request, place, random_ = LargeRequest(), 0, random.Random(seed)
    while place < len(data):
        size = random_.randint(1, most)
        request.feed(data[place : place + size])
        place += size
    return request


@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_long_texts_are_counted_and_the_rest_is_read(ensure_ascii: bool, seed: int) -> None:
    texts = [LONG * 20_000, "short", LONG * 9]
    body = {
        "messages": [{"role": "user", "content": text} for text in texts],
        "model": "gpt-4o",
        "stream": True,
        "max_tokens": 7,
    }
    request = read(json.dumps(body, ensure_ascii=ensure_ascii).encode(), seed, 200_000)
    parsed = request.parsed()
    assert (parsed["model"], parsed["stream"], parsed["max_tokens"]) == ("gpt-4o", True, 7)
    assert [message["content"] for message in parsed["messages"]] == ["", "short", ""]
    wanted = chars_by_script(texts[0] + texts[2])
    assert sum(abs(a - b) for a, b in zip(request.chars, wanted, strict=True)) <= (20 if ensure_ascii else 0)
    assert not request.media


def test_pictures_are_no_text() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 200_000
    parts = [{"type": "text", "text": LONG * 100}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]}
    request = read(json.dumps(body).encode())
    assert request.media and sum(request.chars) == len(LONG) * 100
    assert request.parsed()["messages"][0]["content"][1]["image_url"]["url"] == ""


def test_what_is_not_whole_or_no_json_is_not_understood() -> None:
    assert read(b'{"model": "gpt-4o", "messages": [{"content": "' + b"x" * 100_000).parsed() is None
    assert read(b"\x00\xff" * 100_000).parsed() is None
    many = read(b"[" + b'{"a":1},' * 2_000_000 + b"1]", most=1 << 20)
    assert many.parsed() is None and len(many._skeleton) < 5 << 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.integers(0, 10**6), st.booleans())
def test_a_small_request_is_read_as_it_is(value: Any, seed: int, ensure_ascii: bool) -> None:
    data = json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")
    assert read(data, seed, 7).parsed() == json.loads(data)
