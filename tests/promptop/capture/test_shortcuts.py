"""The quick ways through redaction and digest give what the long ones give."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.base import redact
from promptop.capture.parse import response_parser
from promptop.capture.parse.response_parser import Digest

FRAGMENTS = (
    *("sk", "pk", "rk", "xai", "gsk", "hf", "gho", "github_pat", "glpat", "xoxb", "r8", "nvapi", "pplx", "fw", "csk"),
    *(
        "tgp",
        "dop",
        "shpat",
        "npm",
        "pypi",
        "-",
        "_",
        "abcdef12",
        "AKIA",
        "AIza",
        "0123456789ABCDEF",
        "bearer ",
        "BASIC ",
    ),
    *("://", "user:pass1@host", "eyJ", "abcdefghi.", "key", "api_key", "API key", "Access-Token", "token", "Secret"),
    *("PASSWORD", "passwd", "signature", "sig", "authorization", '"', "'", ":", "=", " ", "\n", "[redacted]", "é", "ſ"),
    *("-----BEGIN RSA PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=10).map("".join))
def test_no_credential_is_missed_for_want_of_a_hint(text: str) -> None:
    expected = text
    for pattern, instead in redact._CREDENTIALS:
        expected = pattern.sub(instead, expected)
    assert redact.credentials(text) == expected


DELTAS = st.sampled_from(
    [
        *({"content": "a"}, {"content": "日本"}, {"content": ""}, {"content": None}, {"content": [{"text": "t"}]}, {}),
        *(
            {"role": "assistant", "content": "x"},
            {"reasoning": "r"},
            {"refusal": "no"},
            {"content": "a", "refusal": "b"},
        ),
    ]
)
CHOICE = st.fixed_dictionaries(
    {"index": st.just(0), "delta": DELTAS, "finish_reason": st.sampled_from([None, None, "stop"])},
    optional={"text": st.just("z")},
)
EVENT = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, min_size=1, max_size=2) | st.sampled_from([[], None, [5]])},
    optional={
        "model": st.sampled_from(["m", "n"]),
        "usage": st.sampled_from([None, {"prompt_tokens": 3}]),
        "error": st.sampled_from([None, "broken"]),
        "type": st.sampled_from(["response.done", "content_block_delta", "message_stop", "x.delta"]),
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"", b"event: error\n"]), EVENT), max_size=8))
def test_a_plain_chunk_says_the_same_read_either_way(events: list[tuple[bytes, Any]]) -> None:
    quick, long = Digest(), Digest()
    for now, (name, event) in enumerate(events):
        data = name + b"data: " + json.dumps(event).encode() + b"\n\n"
        quick.feed(float(now), data)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(response_parser, "plain_text", lambda event: "")
            long.feed(float(now), data)
    assert quick.chars() == long.chars()
    facts = [
        {key: value for key, value in vars(one).items() if key not in ("_splitter", "_api")} for one in (quick, long)
    ]
    assert facts[0] == facts[1]
