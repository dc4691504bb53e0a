"""A process that is killed under load loses no call that ended 50 ms before, and writes none twice."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.waits import until

from promptop.capture.call import Call, Labels
from promptop.capture.parse.outline import outline
from promptop.log import Writer

STREAMS = 12
LONGEST_S = 0.05
PROGRAM = textwrap.dedent(
    """
    import sys, threading, time, urllib.request
    import httpx, promptop

    log, url, streams = sys.argv[1], sys.argv[2], int(sys.argv[3])
    client = promptop.observe(httpx.Client(timeout=60), log=log)

    def call(stream):
        number = 0
        while True:
            body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Tell it. " * 150}]}
            with client.stream("POST", f"{url}/c{stream}-{number}/v1/chat/completions", json=body) as response:
                for _ in response.iter_raw():
                    pass
            number += 1

    def spin():
        while True:
            sum(range(2000))

    for stream in range(streams):
        threading.Thread(target=call, args=(stream,), daemon=True).start()
    threading.Thread(target=spin, daemon=True).start()
    while True:
        print(flush=True)
        time.sleep(0.005)
    """
)


def place(path: str) -> tuple[int, int]:
    """Return stream and number of a request."""
    stream, number = re.findall(r"\d+", path)[:2]
    return int(stream), int(number)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


class Counting(ThreadingHTTPServer):
    """Streams short answers, and knows when a request came."""

    daemon_threads = True

    def __init__(self) -> None:
        self.came: dict[tuple[int, int], float] = {}
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        server.came[place(self.path)] = time.monotonic()
        self.rfile.read(int(self.headers["content-length"]))
        chunks: list[Any] = [
            {"model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": f"word{n} "}}]} for n in range(8)
        ]
        chunks.append({"model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 300, "completion_tokens": 8}})
        body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Counting]:
    with Counting() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("calls", [60, 300])
def test_what_the_server_counted_is_in_the_log(log: Path, server: Counting, calls: int) -> None:
    """Also in a process's first seconds. How late the machine is, a thread of the process that only prints tells."""
    url = f"http://127.0.0.1:{server.server_address[1]}"
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(log), url, str(STREAMS)], stdout=subprocess.PIPE)
    pulses: list[float] = []

    def listen() -> None:
        pulses.extend(time.monotonic() for _ in child.stdout or ())

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        until(lambda: len(server.came) >= calls)
    finally:
        killed = time.monotonic()
        child.kill()
        child.wait()
        listening.join()
        assert child.stdout is not None
        child.stdout.close()
    recent = [at for at in pulses if killed - 2 < at <= killed] + [killed]
    late_s = max(after - before for before, after in pairwise(recent))
    with Writer(log) as writer:
        assert writer.warm(10) and writer.flush()
    with closing(sqlite3.connect(log)) as connection:
        rows = connection.execute(
            "SELECT url_path, usage_input_tokens, usage_output_tokens, cost_usd FROM requests"
        ).fetchall()
    logged = Counter(place(path) for path, *_ in rows)
    assert set(logged.values()) == {1}
    # A stream's next request says that the one before has ended in the program.
    ended = {key: server.came[key[0], key[1] + 1] for key in server.came if (key[0], key[1] + 1) in server.came}
    oldest_s = max((killed - at for key, at in ended.items() if key not in logged), default=0.0)
    assert oldest_s <= LONGEST_S + 2 * late_s, f"lost after {oldest_s:.3f} s, the machine being {late_s:.3f} s late"
    finished = [facts for path, *facts in rows if place(path) in ended]
    assert {(given, taken) for given, taken, _ in finished} == {(300, 8)}
    assert all(cost for *_, cost in finished)
    assert not list(log.parent.glob("*.outlines-*"))


def test_an_outline_has_times_and_usage_and_no_secret_and_no_text(log: Path) -> None:
    key = "sk-proj-abcdefghijklmnop0123456789"
    with Writer(log) as writer:
        call = Call(
            Labels(writer, app="app", tags={"team": "a", "token": key}),
            method="POST",
            host="api.openai.com",
            port=443,
            path=f"/bot{key}/v1/chat/completions",
            query=f"key={key}",
            headers=[("authorization", f"Bearer {key}")],
            body=b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "the prompt"}]}',
        )
        call.responded(200, [("content-type", "text/event-stream")])
        call.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "the answer"}}]}\n\n')
        call.feed(b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}\n\ndata: [DONE]\n\n')
        call.end("eof")
        row = outline(call) if call.finished is None else call.finished
    assert (row.request_model, row.request_stream, row.http_response_status_code) == ("gpt-4o", 1, 200)
    assert (row.usage_input_tokens, row.usage_output_tokens, row.usage_source) == (9, 3, "reported")
    assert row.total_s and row.ttft_s
    text = repr(row)
    assert key not in text and "the prompt" not in text and "the answer" not in text
