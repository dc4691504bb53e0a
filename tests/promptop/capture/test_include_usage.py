"""The usage chunk that is asked for on the caller's behalf and kept from it: nothing else changes by a byte."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptop.capture import include_usage
from promptop.capture.include_usage import UsageHider, with_usage

USAGE = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
CHUNK = b'data: {"choices":[{"delta":{"content":"\xe4\xbd\xa0"}}],"usage":null}'
KEPT = [
    CHUNK,
    b'data: {"choices":[],"prompt_filter_results":[{}]}',
    b'data: {"choices":[],"usage":null}',
    b'data: {"choices":[{"delta":{"content":"\\"choices\\":[] \\"usage\\""}}],"usage":{"prompt_tokens":3}}',
    b'data: {"choices":[{"delta":{"content":"{\\"choices\\": [], \\"usage\\": {}}"}}]}',
    b'data: "usage" "choices":[] broken',
    b": OPENROUTER PROCESSING",
    b"event: ping\nid: 4",
    b"data: [DONE]",
    b"",
]


def hidden(*reads: bytes) -> tuple[bytes, int]:
    hider = UsageHider()
    shown = b"".join(hider.feed(read) for read in reads) + hider.finish()
    return shown, hider.hidden


@given(
    st.lists(st.sampled_from([*KEPT, USAGE]), max_size=8),
    st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"]),
    st.booleans(),
    st.data(),
)
def test_only_usage_chunks_go_whatever_the_reads(
    blocks: list[bytes], end: bytes, ended: bool, data: st.DataObject
) -> None:
    stream = b"".join(block + end for block in blocks) + (b"" if ended else CHUNK[:9])
    expected = b"".join(block + end for block in blocks if block != USAGE) + (b"" if ended else CHUNK[:9])
    if any(not block for block in blocks):  # blank lines in a row may be cut apart elsewhere, but no byte is lost
        expected = re.sub(re.escape(USAGE) + b"(" + re.escape(end) + b")", b"", stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    shown, count = hidden(*reads)
    assert shown == expected
    assert count == blocks.count(USAGE)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\r\n", b"\n\r\n"])
def test_every_place_to_cut_a_stream_in_two(end: bytes) -> None:
    for last in (b"data: [DONE]" + end, b""):
        stream = CHUNK + end + USAGE + end + last
        for place in range(len(stream)):
            assert hidden(stream[:place], stream[place:]) == (CHUNK + end + last, 1)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_random_bytes_pass_untouched(stream: bytes, step: int) -> None:
    assert hidden(*(stream[i : i + step] for i in range(0, len(stream), step)))[0] == stream


def test_usage_chunks_are_known_by_their_value() -> None:
    spaced = b'data: {"usage": {"prompt_tokens": 3}, "choices": [ ]}\n\n'
    lines = b'data: {"choices":\r\ndata: [\r\ndata:],\r\ndata: "usage":{"a":1}}\r\n\r\n'
    assert hidden(spaced + CHUNK + b"\n\n") == (CHUNK + b"\n\n", 1)
    assert hidden(CHUNK + b"\n\n" + lines) == (CHUNK + b"\n\n", 1)


def test_whole_events_pass_at_once_and_a_large_one_does_not_wait() -> None:
    hider = UsageHider()
    assert hider.feed(CHUNK + b"\n\n" + USAGE) == CHUNK + b"\n\n"
    assert hider.feed(b"\n\n") == b""
    large = b"data: " + b"x" * include_usage.LARGEST_CHUNK
    assert hider.feed(large + b"\n") == large
    assert hider.feed(b"tail\n\n" + CHUNK + b"\n\n") == b"\ntail\n\n" + CHUNK + b"\n\n"
    assert hider.hidden == 1


BODY = {"model": "m", "messages": [{"role": "user", "content": 'say "stream": true'}], "stream": True}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("options", [{}, {"stream_options": None}])
def test_usage_is_asked_for_where_nothing_was_said(separators: tuple[str, str], options: dict[str, None]) -> None:
    asked = {**BODY, **options}
    body = json.dumps(asked, separators=separators).encode()
    changed = with_usage("h", 1, "/v1/chat/completions", body, asked)
    assert changed is not None
    assert json.loads(changed) == {**asked, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/v1/chat/completions", {"stream": False}),
        ("/v1/chat/completions", {"stream": "true"}),
        ("/v1/chat/completions", {"stream_options": {"include_usage": False}}),
        ("/v1/chat/completions", {"stream_options": {"include_obfuscation": False}}),
        ("/v1/responses", {}),
        ("/v1/messages", {}),
    ],
)
def test_other_requests_are_sent_as_they_are(path: str, change: dict[str, object]) -> None:
    asked = {**BODY, **change}
    assert with_usage("h", 1, path, json.dumps(asked).encode(), asked) is None


def test_a_refusal_is_remembered_for_its_endpoint_alone() -> None:
    body = json.dumps(BODY).encode()
    model = BODY["model"]
    include_usage.remember_refusal("old", 443, "/openai/chat/completions", model)
    assert with_usage("old", 443, "/openai/chat/completions", body, BODY) is None
    other = {**BODY, "model": "another"}
    assert with_usage("old", 443, "/openai/chat/completions", json.dumps(other).encode(), other) is not None
    assert with_usage("old", 443, "/v2/chat/completions", body, BODY) is not None
    assert with_usage("old", 443, "/openai/chat/completions", body, {**BODY, "model": "another"}) is not None


def test_a_refusal_is_forgotten_after_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(BODY).encode()
    include_usage.remember_refusal("older", 443, "/v1/chat/completions", BODY["model"])
    later = include_usage.monotonic() + include_usage.REMEMBERED_S + 1
    monkeypatch.setattr(include_usage, "monotonic", lambda: later)
    assert with_usage("older", 443, "/v1/chat/completions", body, BODY) is not None


ECHO = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("body", "refuses"),
    [
        ({"error": {"message": "Unrecognized request argument supplied: stream_options"}}, True),
        ({"error": {"message": "Unsupported parameter", "param": "stream_options", "code": "x"}}, True),
        ({"error": "'stream_options' is not supported by this model"}, True),
        ({"message": "stream_options: Extra inputs are not permitted", "type": "invalid_request"}, True),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}, True),
        ({"detail": "Additional properties are not allowed ('stream_options' was unexpected)"}, True),
        ("Unknown field stream_options", True),
        ('json: unknown field "stream_options"', True),
        (
            {"error": {"message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra'}]"}},
            True,
        ),
        ({"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": ECHO}]}, False),
        ({"error": {"message": "messages are missing", "request": ECHO}}, False),
        ({"error": {"message": f"Invalid request: {json.dumps(ECHO)}: no messages"}}, False),
        ({"error": {"message": f"Invalid request {ECHO}: no messages"}}, False),
        ({"error": {"message": f"Invalid request: {json.dumps(json.dumps(ECHO))}"}}, False),
        (f"bad request: {json.dumps(ECHO)} is invalid", False),
        ({"error": {"message": "The model `m` does not exist", "param": None}}, False),
    ],
)
def test_only_a_refusal_counts_as_one(body: object, refuses: bool) -> None:
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert include_usage.names_stream_options(400, sent) is refuses
    assert not include_usage.names_stream_options(500, sent)


def test_streams_are_found_by_a_scan() -> None:
    assert include_usage.is_streamed(b'{"stream" : true}')
    assert not include_usage.is_streamed(b'{"stream":false}')
    assert not include_usage.is_streamed(None)
