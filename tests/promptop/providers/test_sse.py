"""Server-sent events from bytes: the specification's cases, and that splits of the bytes make no difference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptop.providers.stream import sse
from promptop.providers.stream.sse import EventSplitter

Events = list[tuple[bytes, bytes]]


def events(*reads: bytes) -> Events:
    splitter = EventSplitter()
    return [event for read in reads for event in splitter.feed(read)]


def by_lines(data: bytes) -> Events:
    """The specification read aloud: one line after the other, no buffering, no shortcuts."""
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: Events = []
    name, lines, any_data = b"", [], False
    for line in data.split(b"\n")[:-1]:
        if not line:
            if any_data:
                found.append((name, b"\n".join(lines)))
            name, lines, any_data = b"", [], False
            continue
        if line.startswith(b":"):
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
            any_data = True
        elif field == b"event":
            name = value
    return found


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\r\n\r\ndata: b\r\rdata:  c\n\n", [(b"", b"a"), (b"", b"b"), (b"", b" c")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"data: \xef\xbb\xbfa\n\n", [(b"", b"\xef\xbb\xbfa")]),
        (b": ping\n\n:\n\ndata: a\n: between\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"event: error\ndata: {}\nid: 7\nretry: 10\nother: x\n\n", [(b"error", b"{}")]),
        (b"data\n\ndata\ndata\n\n", [(b"", b""), (b"", b"\n")]),
        (b"event: only a name\n\n", []),
        (b"data: cut off\n", []),
        (b"data: cut off", []),
        (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\n\ndata: b\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"", []),
    ],
)
def test_cases_of_the_specification(stream: bytes, expected: Events) -> None:
    assert events(stream) == expected == by_lines(stream)
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == expected


_pieces = st.sampled_from(
    [
        b"data",
        b"event",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"x",
        b"\xef\xbb\xbf",
        b"\xe4\xbd",
        b"\xa0",
        b"{}",
        b"[DONE]",
    ]
)
_streams = st.one_of(st.lists(_pieces, max_size=40).map(b"".join), st.binary(max_size=200))


@given(_streams, st.data())
def test_any_split_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert events(*reads) == events(stream) == by_lines(stream)


@settings(max_examples=50)
@given(st.integers(0, 40), st.integers(1, 7), st.booleans())
def test_what_counts_as_too_large_does_not_depend_on_the_reads(over: int, step: int, crlf: bool) -> None:
    limit = 1 << 16
    end = b"\r\n\r\n" if crlf else b"\n\n"
    size = limit - 20 + over
    stream = b"data: " + b"x" * (size - 6) + end + b"data: after\n\n"
    cuts = [limit - 30 + step * n for n in range(10)]
    reads = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, split = EventSplitter(), EventSplitter()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sse, "MAX_EVENT", limit)
        one = list(whole.feed(stream))
        many = [event for read in reads for event in split.feed(read)]
    assert one == many
    assert one[-1] == (b"", b"after")
    assert (
        (whole.oversized, len(one))
        == (split.oversized, 2 - split.oversized)
        == (int(size > limit), 2 - int(size > limit))
    )


def test_a_huge_event_in_single_bytes_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1 << 20)
    splitter = EventSplitter()
    for _ in range(3):
        for read in [b"data: ", *[b"x" * 997] * 1200, b"\n"]:
            assert list(splitter.feed(read)) == []
            assert sum(map(len, splitter._parts)) <= sse.MAX_EVENT + 1000
        assert list(splitter.feed(b"\n")) == []
    assert splitter.oversized == 3
    assert list(splitter.feed(b"data: a\n\n")) == [(b"", b"a")]
