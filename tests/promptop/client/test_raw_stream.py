from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, cast

import pytest

from promptop.client.call import run
from promptop.client.http import raw_stream
from promptop.client.http.endpoints import Endpoints
from promptop.client.http.raw_stream import RawStreamRecorder, Received
from promptop.client.request import RunRequest
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint


async def test_the_stream_is_kept_as_it_came(tmp_path: Path) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        endpoints = Endpoints(log=tmp_path / "log.db")
        request = RunRequest(
            profile=Profile(base_url=endpoint.base_url),
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "你好"}],
            max_tokens=5,
        )
        result = await run(request, endpoints)
        await endpoints.aclose()
    got = result.received
    assert got is not None
    text = "".join(piece for _, piece in got.decoded())
    assert text.startswith("data: {")
    assert text.rstrip().endswith("data: [DONE]")
    assert (got.status, got.left_out) == (200, 0)
    assert dict(got.headers)["content-type"].startswith("text/event-stream")
    assert got.size == cast(Any, result.row).bytes_received
    assert 0 < got.reads[0][0] <= cast(float, result.total_s)


def test_characters_and_compression_may_be_cut_anywhere() -> None:
    packed = zlib.compress("data: 你好\n\n".encode())
    reads = tuple((float(at), packed[at : at + 1]) for at in range(len(packed)))
    got = Received(reads, headers=(("Content-Encoding", "deflate"),))
    assert "".join(text for _, text in got.decoded()) == "data: 你好\n\n"
    plain = "好".encode()
    cut = Received(((0.1, plain[:2]), (0.2, plain[2:])))
    assert cut.decoded() == [(0.2, "好")]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_stream, "MOST", 10)

    class Call:
        response_headers = ()
        status = 200
        reader = None

    recorder, call = RawStreamRecorder(), cast(Any, Call())
    assert recorder.whole() is None
    for _ in range(4):
        recorder.take(call, b"1234")
    got = recorder.whole()
    assert got is not None
    assert (len(got.reads), got.left_out, got.size) == (2, 8, 16)
    recorder.take(cast(Any, Call()), b"x")
    again = recorder.whole()
    assert again is not None
    assert again.size == 1, "a later attempt is kept instead of an earlier one"
