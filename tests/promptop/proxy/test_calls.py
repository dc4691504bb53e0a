"""Long streams are read on the log's thread, in order, in bounded memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from promptop.capture.parse.response_parser import Digest
from promptop.log.write.pending import Finished
from promptop.proxy import calls
from promptop.proxy.calls import CallRecorder, ProxiedCall
from promptop.proxy.http.answer import UpstreamAnswer
from promptop.proxy.http.fields import Fields
from promptop.proxy.metrics import Metrics
from promptop.proxy.upstreams import parse

EVENT = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "word "}}]}).encode() + b"\n\n"
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\ndata: [DONE]\n\n'


class Sink:
    """Keeps items until the test lets the writer's thread run; ``most`` are kept, the rest is dropped."""

    bodies = "off"

    def __init__(self, most: int = 10**6) -> None:
        self.items: list[Any] = []
        self.most = most

    def put(self, item: Any) -> None:
        if len(self.items) < self.most:
            self.items.append(item)

    def run(self) -> list[Finished]:
        done = [item.finish() for item in self.items]
        self.items.clear()
        return [item for item in done if item is not None]


def begun(sink: Any) -> tuple[ProxiedCall, Callable[[bytes, float], None]]:
    upstream = parse("https://api.openai.com", environ={})
    recorder = CallRecorder(sink, Metrics())
    call = recorder.begin(upstream, "POST", "/v1/chat/completions?key=x", Fields(), b'{"stream":true}', None)
    answer = UpstreamAnswer(200, b"OK", Fields([(b"Content-Type", b"text/event-stream")]), None, None)  # type: ignore[arg-type]
    return call, call.answered(answer, call.started_s + 0.1)


def test_a_long_stream_is_read_elsewhere_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    call, feed = begun(sink)
    reading: list[str] = []
    original = Digest.feed
    monkeypatch.setattr(
        Digest, "feed", lambda *args: (reading.append(threading.current_thread().name), original(*args))[1]
    )
    data = EVENT * 20_000 + USAGE
    for start in range(0, len(data), 5000):  # reads end inside events
        feed(data[start : start + 5000], call.started_s + 1 + start / len(data))
    assert not reading and len(sink.items) >= 4
    call.end("eof")
    writer = threading.Thread(target=lambda: rows.extend(sink.run()), name="writer")
    rows: list[Finished] = []
    writer.start()
    writer.join()
    (done,) = rows
    assert set(reading) == {"writer"}
    assert done.row.chunks == 20_000 and done.row.error_type is None
    assert (done.row.usage_input_tokens, done.row.usage_output_tokens) == (5, 7)
    assert done.row.url_path == "/v1/chat/completions"


@pytest.mark.parametrize("dropping", [False, True])
def test_what_comes_too_fast_is_skipped_but_its_end_is_read(dropping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_WAITING", 1 << 20)
    sink = Sink(most=3 if dropping else 10**6)
    call, feed = begun(sink)
    for number in range(4000):
        feed(EVENT * 20, call.started_s + number / 1000)
    waiting = sum(len(data) for item in sink.items for _, data in item._reads)
    assert waiting <= 1 << 20
    feed(USAGE, call.started_s + 9)
    sink.most = 10**6
    call.end("eof")
    (done,) = sink.run()
    assert done.row.error_type is None and done.row.usage_output_tokens == 7
    assert done.row.bytes_received == 80_000 * len(EVENT) + len(USAGE)
    assert 1000 < (done.row.chunks or 0) < 80_000
    assert call.backlog.take(1 << 20), "all that waited was given back"


@pytest.mark.parametrize(("behind_s", "pause_s"), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.15), (60.0, 0.5)])
def test_a_new_call_waits_while_rows_are_late(behind_s: float, pause_s: float) -> None:
    sink = Sink()
    recorder = CallRecorder(sink, Metrics())  # type: ignore[arg-type]
    assert recorder.pause_s() == 0  # a sink that knows nothing of it
    sink.behind_s = behind_s  # type: ignore[attr-defined]
    assert recorder.pause_s() == pytest.approx(pause_s)
