"""The reader of responses: stamps of each API, the same facts for any split of the bytes, bounded memory, no raise."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.capture.parse import response_parser as digest_module
from promptop.capture.parse import stream_reader
from promptop.capture.parse.response_parser import Digest
from promptop.capture.parse.stream_reader import StreamReader
from promptop.providers import HIDDEN, NOTHING, VISIBLE, body_pieces, classify
from promptop.providers.stream import sse as sse_module

SSE = "text/event-stream; charset=utf-8"


def sse(*events: Any, name: bool = False, end: str = "\n") -> list[bytes]:
    """Return events as reads, one each; a string is sent as it is."""
    reads = []
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        head = f"event: {event['type']}{end}" if name else ""
        reads.append(f"{head}data: {text}{end}{end}".encode())
    return reads


def read(reads: list[bytes], kind: str = SSE, how: Any = "eof", **options: Any) -> tuple[StreamReader, Digest]:
    """Read with one second between the reads, the first after one second."""
    reader = StreamReader(100.0, content_type=kind, **options)
    for number, data in enumerate(reads, 1):
        reader.feed(data, 100.0 + number)
    reader.finish(100.0 + len(reads) + 1, how)
    return reader, reader.digest()


def delta(**fields: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


STOP = {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}

CHAT = sse(
    delta(role="assistant", content=""),
    delta(reasoning_content="hm"),
    delta(content="你好"),
    delta(content=" there"),
    STOP,
    USAGE,
    "[DONE]",
)
RESPONSES = sse(
    {"type": "response.created", "response": {"id": "r1", "model": "m2", "status": "in_progress", "error": None}},
    {"type": "response.output_item.added", "item": {"type": "reasoning"}},
    {"type": "response.reasoning_summary_text.delta", "delta": "think"},
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.output_text.done", "text": "Hello"},
    {
        "type": "response.completed",
        "response": {
            "id": "r1",
            "model": "m2",
            "status": "completed",
            "usage": {
                "input_tokens": 5,
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 1},
                "total_tokens": 8,
            },
        },
    },
    name=True,
)
ANTHROPIC = sse(
    {
        "type": "message_start",
        "message": {
            "id": "a1",
            "model": "m3",
            "usage": {"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
    name=True,
)
GEMINI = sse(
    {
        "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}],
        "modelVersion": "m4",
        "responseId": "g",
    },
    {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]},
    {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "thoughtsTokenCount": 2}},
)


def facts(digest: Digest) -> dict[str, Any]:
    names = ("events", "content_events", "malformed", "first_event_s", "ttft_s", "ttfo_s", "last_content_s", "stalls")
    return {
        **{name: getattr(digest, name) for name in (*names, "finish_reasons", "oversized")},
        "facts": digest.facts,
        "chars": digest.chars(),
        "text": digest.text("text"),
        "hidden": digest.text("reasoning", "tool"),
    }


@pytest.mark.parametrize(
    ("reads", "first", "ttft", "ttfo", "last", "model", "reasons"),
    [
        (CHAT, 1, 2, 3, 4, "m1", ["stop"]),
        (RESPONSES, 1, 3, 4, 4, "m2", ["completed"]),
        (ANTHROPIC, 1, 4, 5, 5, "m3", ["end_turn"]),
        (GEMINI, 1, 1, 2, 2, "m4", ["STOP"]),
    ],
    ids=["chat", "responses", "anthropic", "gemini"],
)
def test_stamps_of_each_api(
    reads: list[bytes], first: int, ttft: int, ttfo: int, last: int, model: str, reasons: list[str]
) -> None:
    reader, digest = read(reads)
    assert (reader.first_event_s, reader.ttft_s, reader.ttfo_s) == (first, ttft, ttfo)
    assert (digest.first_event_s, digest.ttft_s, digest.ttfo_s) == (first, ttft, ttfo)
    assert digest.last_content_s == last, "the usage chunk and the end do not move it"
    assert digest.content_events == 1 + last - ttft
    assert (digest.facts.model, digest.finish_reasons) == (model, reasons)
    assert digest.complete
    assert reader.total_s == len(reads) + 1


def test_anthropic_usage_is_cumulative() -> None:
    _, digest = read(ANTHROPIC)
    assert digest.facts.usage == {"input_tokens": 4, "cache_read_input_tokens": 6, "output_tokens": 7}


def test_the_last_usage_that_is_not_null_stands() -> None:
    running = [{**delta(content="x"), "usage": {"prompt_tokens": 9, "completion_tokens": n}} for n in (1, 2)]
    _, digest = read(sse(*running, {**STOP, "usage": None}, {**STOP, "usage": {}}))
    assert digest.facts.usage == {"prompt_tokens": 9, "completion_tokens": 2}
    assert read(sse(delta(content="x"), STOP))[1].facts.usage is None, "missing is not zero"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"role": "assistant"}, NOTHING),
        ({"role": "assistant", "content": None}, NOTHING),
        ({"content": ""}, NOTHING),
        ({"content": " "}, VISIBLE),
        ({"refusal": "no"}, VISIBLE),
        ({"reasoning": "r"}, HIDDEN),
        ({"reasoning_content": "r", "content": None}, HIDDEN),
        ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}, HIDDEN),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, HIDDEN),
        ({"tool_calls": [{"index": 0, "id": "t"}]}, NOTHING),
        ({"function_call": {"name": "f"}}, HIDDEN),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]}, HIDDEN),
        ({"content": [{"type": "text", "text": "t"}]}, VISIBLE),
        ({"audio": {"data": "UklGRg=="}}, HIDDEN),
        ({"audio": {"transcript": "t"}}, VISIBLE),
    ],
)
def test_what_counts_as_a_generated_token(fields: dict[str, Any], kind: int) -> None:
    assert classify(b"", json.dumps(delta(**fields)).encode()) == kind
    reader, digest = read(sse(delta(**fields)))
    assert (reader.ttft_s is None, reader.ttfo_s is None) == (kind == NOTHING, kind != VISIBLE)
    assert (digest.ttft_s, digest.ttfo_s) == (reader.ttft_s, reader.ttfo_s)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ({"choices": [{"message": {"content": "a", "reasoning_content": "b"}}]}, "text reasoning"),
        ({"choices": [{"text": "a"}]}, "text"),
        (
            {
                "output": [
                    {"type": "reasoning", "summary": [{"text": "a"}]},
                    {"type": "message", "content": [{"text": "b"}]},
                ]
            },
            "reasoning text",
        ),
        ({"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "tool tool"),
        ({"type": "message", "content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}]}, "tool tool"),
        ({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}, "tool"),
        ({"data": [{"embedding": [1.0]}]}, ""),
    ],
)
def test_what_whole_answers_say(body: dict[str, Any], kinds: str) -> None:
    assert " ".join(piece.kind for piece in body_pieces(body)) == kinds


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    cuts = sorted(min(place, len(data)) for place in cuts)
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


_whole = st.sampled_from([b"".join(reads) for reads in (CHAT, RESPONSES, ANTHROPIC, GEMINI)])
_cuts = st.lists(st.integers(0, 1500), max_size=20)


@given(_whole, _cuts, st.sampled_from([1, 64, 300, stream_reader.HOLD]), st.booleans())
def test_any_split_gives_the_same_facts(whole: bytes, cuts: list[int], hold: int, compressed: bool) -> None:
    sent, options = whole, {}
    if compressed:
        sent, options = zlib.compress(whole), {"content_encoding": "deflate"}
    expected = StreamReader(0.0, content_type=SSE)
    expected.feed(whole, 5.0)
    reader = StreamReader(0.0, content_type=SSE, hold=hold, **options)
    for data in cut(sent, cuts):
        reader.feed(data, 5.0)
    reader.finish(6.0, "eof")
    assert facts(reader.digest()) == facts(expected.digest())
    assert (reader.ttft_s, reader.ttfo_s) == (expected.ttft_s, expected.ttfo_s) == (5.0, 5.0)
    assert (reader.bytes_received, reader.bytes_decoded) == (len(sent), len(whole))


@given(_whole, _cuts, st.sampled_from([1, 200, stream_reader.HOLD]))
def test_live_stamps_agree_with_the_digest(whole: bytes, cuts: list[int], hold: int) -> None:
    reads = cut(whole, cuts)
    reader, digest = read(reads, hold=hold)
    assert (reader.first_event_s, reader.ttft_s, reader.ttfo_s) == (
        digest.first_event_s,
        digest.ttft_s,
        digest.ttfo_s,
    )
    seen, times = b"", []
    for number, data in enumerate(reads, 1):  # an event comes with the read that completes it
        before = seen.count(b"\n\n")
        seen += data
        times += [number] * (seen.count(b"\n\n") - before)
    assert reader.first_event_s == times[0]


_mess = st.one_of(
    st.binary(max_size=400),
    st.builds(
        lambda whole, at, junk: whole[:at] + junk + whole[at:], _whole, st.integers(0, 900), st.binary(max_size=9)
    ),
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "usage",
                    "error",
                    "type",
                    "response",
                    "output",
                    "text",
                    "id",
                    "model",
                    "candidates",
                    "parts",
                    "code",
                    "prompt_tokens",
                    "completion_tokens",
                    "total_tokens",
                    "tool_calls",
                    "function",
                    "finish_reason",
                    "index",
                    "timings",
                    "x_groq",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
_types = st.sampled_from(["", SSE, "application/json", "text/plain", "text/html", "audio/mpeg", "application/x+json"])


@settings(max_examples=200)
@given(st.lists(_mess, max_size=6), _types, st.sampled_from(["", "gzip", "deflate", "br", "zstd", "identity", "x"]))
def test_random_bytes_never_raise(reads: list[bytes], kind: str, encoding: str) -> None:
    reader = StreamReader(0.0, content_type=kind, content_encoding=encoding, hold=100)
    for data in reads:
        reader.feed(data, 1.0)
    reader.finish(2.0, "eof")
    digest = reader.digest()
    assert reader.bytes_received == sum(map(len, reads))
    digest.chars()
    digest.gap_quantile(0.5)


@settings(max_examples=300)
@given(st.lists(_json, min_size=1, max_size=4), st.booleans())
def test_any_json_anywhere_never_raises(values: list[Any], streamed: bool) -> None:
    if streamed:
        _, digest = read(sse(*[value if isinstance(value, dict) else {"choices": value} for value in values]))
        assert digest.events == len(values)
    else:
        _, digest = read([json.dumps(values[0]).encode()], "application/json")
    digest.chars()


def test_deep_nesting_and_large_numbers_are_only_malformed() -> None:
    deep = "[" * 200_000
    _, digest = read(sse(f'{{"a":{deep}', '{"usage":{"prompt_tokens":1e999}}', f'{{"a":{"9" * 5000}}}'))
    assert digest.malformed == 2
    _, body = read([deep.encode()], "application/json")
    assert body.malformed == 1


def test_content_types_are_corrected_by_the_first_byte() -> None:
    error = b'  {"error":{"message":"no","code":"c"}}'
    assert read([error], SSE)[1].facts.error == ("c", "no")
    assert read(CHAT, "application/json")[1].finish_reasons == ["stop"]
    assert read([b"\n", *CHAT], "")[1].ttft_s == 3
    assert read([b"\xef\xbb", b"\xbf" + CHAT[2]], "")[1].ttft_s == 2
    assert read([b"Bad gateway"], "")[1].raw == b"Bad gateway"
    assert read([b"<html>"], "text/html")[1].raw == b"<html>"
    opaque, digest = read([b'{"id":"x"}' * 10], "audio/mpeg")
    assert (digest.facts.id, opaque.bytes_received, opaque._held) == ("", 100, opaque._held.__class__())


def held(reader: StreamReader) -> int:
    kept = reader._digest
    text = kept._kept + kept._pending_chars if kept is not None else 0
    return len(reader._head) + sum(len(data) + 100 for _, data in reader._held) + text


def test_an_endless_stream_is_held_within_bounds() -> None:
    reader = StreamReader(0.0, content_type=SSE, hold=50_000)
    event = sse(delta(content="word " * 4))[0]
    for number in range(20_000):
        reader.feed(event, float(number))
    assert held(reader) < 5 << 20
    assert len(reader._held) * len(event) <= 50_000 + len(event)
    for _ in range(20_000):
        reader.feed(b":", 20_001.0)
    assert len(reader._held) <= 4096
    digest = reader.digest()
    assert digest.content_events == 20_000 and sum(digest.chars()) == 400_000
    assert digest.gap_quantile(0.5) == 1.0 and digest.gap_max_s == 1.0


def test_gaps_of_a_stream_that_goes_on_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_module, "_GAPS", 1000)
    digest = Digest()
    event = sse(delta(content="x"))[0]
    for number in range(5000):
        digest.feed(number * 0.25, event)
    assert len(digest._gaps) <= 1000
    assert digest.gap_quantile(0.95) == 0.25 and digest.stalls == 0


def test_a_large_body_keeps_its_ends() -> None:
    body = b'{"object":"list","model":"emb","data":[' + b"0.123," * 900_000 + b'0],"usage":{"prompt_tokens":77}}'
    reads = [body[i : i + 10_000] for i in range(0, len(body), 10_000)]
    reader, digest = read(reads, "application/json")
    assert held(reader) < 300_000
    assert (digest.facts.usage, digest.facts.model, digest.facts.done) == ({"prompt_tokens": 77}, "emb", True)
    small = [body[i : i + 7] for i in range(0, 200_000, 7)]
    reader, _ = read(small, "application/json")
    assert len(reader._held) <= 4097


def test_a_huge_event_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_module, "MAX_EVENT", 1 << 20)
    _, digest = read([b"data: " + b"x" * (2 << 20), b"\n\n", *CHAT])
    assert digest.oversized == 1 and digest.finish_reasons == ["stop"] and digest.ttft_s == 4


def test_stalls_and_gaps() -> None:
    reader = StreamReader(0.0, content_type=SSE)
    for now in (1.0, 1.1, 1.2, 3.0, 3.1):
        reader.feed(sse(delta(content="x"))[0], now)
    digest = reader.digest()
    assert digest.stalls == 1 and digest.gap_max_s == pytest.approx(1.8)
    assert digest.gap_quantile(0.5) == pytest.approx(0.1)
    assert digest.gap_quantile(0.95) == pytest.approx(0.1 + 0.85 * 1.7)


def test_only_the_first_end_counts() -> None:
    reader, _ = read(CHAT, how="closed")
    reader.finish(999.0, "eof")
    assert (reader.how, reader.total_s) == ("closed", 8.0)
