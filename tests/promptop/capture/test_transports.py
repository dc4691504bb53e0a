"""What a transport passes through untouched: HTTP/2, traces, errors, broken encodings, and failures of our own."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import httpx2
import pytest

import promptop
from promptop.capture import attempt, include_usage
from promptop.capture.call import Call
from promptop.capture.faults import faults
from promptop.capture.parse import stream_reader
from promptop.log import StoredRow, Writer
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
EVENTS = (
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n',
    b"data: [DONE]\n\n",
)
SHOWN = EVENTS[0] + EVENTS[1] + EVENTS[3]


@contextmanager
def http2_server() -> Iterator[str]:
    """A server that speaks HTTP/2 without TLS (prior knowledge) and answers each request with the events above."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(config=h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    head = [(":status", "200"), ("content-type", "text/event-stream")]
                    connection.send_headers(event.stream_id, head)
                    for part in EVENTS:
                        connection.send_data(event.stream_id, part)
                    connection.end_stream(event.stream_id)
            writer.write(connection.data_to_send())
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        found.update(port=server.sockets[0].getsockname()[1], loop=asyncio.get_running_loop(), over=asyncio.Event())
        ready.set()
        await found["over"].wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{found['port']}/v1/chat/completions"
    finally:
        found["loop"].call_soon_threadsafe(found["over"].set)
        thread.join()


async def test_http2_stays_http2(log: Writer, rows: Rows) -> None:
    with http2_server() as url:
        with promptop.observe(httpx2.Client(http1=False, http2=True), log=log) as client:
            responses = [client.post(url, json=BODY) for _ in range(2)]
        async with promptop.observe(httpx2.AsyncClient(http1=False, http2=True), log=log) as several:
            await several.post(url, json=BODY)
            responses += await asyncio.gather(*(several.post(url, json=BODY) for _ in range(5)))
    assert {response.http_version for response in responses} == {"HTTP/2"}
    assert {response.content for response in responses} == {SHOWN}
    logged = rows()
    assert [row.connection_reused for row in logged] == [0, 1, 0, 1, 1, 1, 1, 1]
    assert all(row.error_type is None and row.usage_output_tokens == 1 and row.ttft_s for row in logged)


class Given(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers with what it was given, read by read; calls the trace as httpcore does for a new TLS connection."""

    def __init__(self, *reads: bytes, status: int = 200, error: Exception | None = None, **headers: str) -> None:
        self.reads, self.status, self.error = reads, status, error
        self.headers = {"content-type": "text/event-stream"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }

    def _events(self) -> Iterator[str]:
        for name in ("connection.connect_tcp", "connection.start_tls", "http11.send_request_headers"):
            yield from (f"{name}.started", f"{name}.complete")

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in self._events():
            request.extensions["trace"](name, {})
        return httpx2.Response(self.status, headers=self.headers, stream=Reads(self.reads, self.error))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in self._events():
            await request.extensions["trace"](name, {})
        return httpx2.Response(self.status, headers=self.headers, stream=Reads(self.reads, self.error))


class Reads(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, reads: tuple[bytes, ...], error: Exception | None) -> None:
        self.reads, self.error, self.closed = reads, error, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.reads
        if self.error is not None:
            raise self.error

    async def __aiter__(self) -> Any:
        for data in self:
            yield data

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


URL = "https://user@host:8443/v1/chat/completions?a=b"


async def both(inner: Given, log: Any, **asked: Any) -> list[bytes]:
    """Return what a sync and an async caller see."""
    with httpx2.Client(transport=promptop.transport(inner, log=log)) as client:
        sync = client.post(URL, json={**BODY, **asked})
    async with httpx2.AsyncClient(transport=promptop.transport(inner, log=log)) as several:
        asynchronous = await several.post(URL, json={**BODY, **asked})
    assert asynchronous.request.headers == sync.request.headers
    return [sync.content, asynchronous.content]


async def test_tls_is_timed(log: Writer, rows: Rows) -> None:
    assert await both(Given(*EVENTS), log) == [SHOWN, SHOWN]
    for row in rows():
        assert row.connect_s is not None and row.tls_s is not None and row.connection_reused == 0
        assert (row.server_address, row.server_port, row.url_path) == ("host", 8443, "/v1/chat/completions")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_streams_are_filtered_decompressed(encoding: str, log: Writer, rows: Rows) -> None:
    whole = b"".join(EVENTS)
    packed = gzip.compress(whole) if encoding == "gzip" else zlib.compress(whole)
    reads = [packed[i : i + 7] for i in range(0, len(packed), 7)]
    assert await both(Given(*reads, content_encoding=encoding, content_length=str(len(packed))), log) == [SHOWN, SHOWN]
    options = {"stream_options": {"include_usage": True}}
    assert await both(Given(*reads, content_encoding=encoding), log, **options) == [whole, whole]
    for row in rows():
        assert (row.bytes_received, row.bytes_decoded) == (len(packed), len(whole))
        assert row.usage_output_tokens == 1


async def test_a_broken_encoding_is_an_error_as_without_us(log: Writer, rows: Rows) -> None:
    inner = Given(gzip.compress(b"".join(EVENTS))[:20], b"\xff" * 50, content_encoding="gzip")
    with pytest.raises(httpx2.DecodingError):
        await both(inner, log)
    with pytest.raises(httpx2.DecodingError):
        await both(inner, log, stream_options={"include_usage": True})
    assert [row.error_type for row in rows()] == ["DecodingError", "cancelled"]


async def test_an_encoding_that_nobody_asked_for_passes(log: Writer, rows: Rows) -> None:
    assert await both(Given(b"opaque", content_encoding="x-own"), log) == [b"opaque"] * 2
    assert [(row.bytes_received, row.bytes_decoded) for row in rows()] == [(6, None)] * 2


async def test_an_event_at_the_end_that_is_cut_off_is_passed_on(log: Writer, rows: Rows) -> None:
    assert (
        await both(Given(*EVENTS[:2], b'data: {"choices":[],"usage":{"prom'), log)
        == [EVENTS[0] + EVENTS[1] + b'data: {"choices":[],"usage":{"prom'] * 2
    )


@pytest.mark.parametrize("status", [400, 422])
async def test_error_answers_are_passed_on_whole(status: int, log: Writer, rows: Rows) -> None:
    """An answer that says nothing of stream_options is not ours to hide, however long it is."""
    reads = [b'{"error":{"message":"', *[b"no " * 1000] * 50, b'"}}']
    assert await both(Given(*reads, status=status, content_type="application/json"), log) == [b"".join(reads)] * 2
    logged = rows()
    assert [row.error_type for row in logged] == [str(status)] * 2
    assert logged[0].bytes_received == len(b"".join(reads))


async def test_an_error_while_reading_a_refusal_is_the_hosts(log: Writer, rows: Rows) -> None:
    inner = Given(b"{", status=400, error=httpx2.ReadError("gone"))
    with pytest.raises(httpx2.ReadError, match="gone"):
        await both(inner, log)
    assert [row.error_type for row in rows()] == ["400"]


def test_signed_requests_are_not_changed(log: Writer) -> None:
    seen: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200)

    with httpx2.Client(transport=promptop.transport(httpx2.MockTransport(answer), log=log)) as client:
        for headers in (
            {"x-amz-content-sha256": "0"},
            {"authorization": "AWS4-HMAC-SHA256 x"},
            {"content-digest": "x"},
            {},
        ):
            client.post("https://host/v1/chat/completions", json=BODY, headers=headers)
    assert [b"include_usage" in body for body in seen] == [False, False, False, True]


def test_usage_is_not_asked_for_where_that_is_not_wanted(log: Writer, rows: Rows) -> None:
    whole = b"".join(EVENTS)
    with httpx2.Client(transport=promptop.transport(Given(*EVENTS), log=log, include_usage=False)) as client:
        response = client.post(URL, json=BODY)
        assert response.content == whole and b"include_usage" not in response.request.content
    assert rows()[0].usage_output_tokens == 1


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("ours")


@pytest.mark.parametrize(
    ("place", "name", "shown"),
    [
        (attempt, "Call", b"".join(EVENTS)),
        (attempt, "_body", b"".join(EVENTS)),
        (include_usage, "with_usage", b"".join(EVENTS)),
        (attempt, "_replaced", b"".join(EVENTS)),
        (attempt._Trace, "_event", SHOWN),
        (attempt.WatchedAttempt, "_hide", b"".join(EVENTS)),
        (include_usage.UsageHider, "feed", b"".join(EVENTS)),
        (stream_reader.StreamReader, "__init__", SHOWN),
        (stream_reader.StreamReader, "feed", SHOWN),
        (stream_reader.StreamReader, "finish", SHOWN),
    ],
)
async def test_failures_of_ours_stay_ours(
    place: Any, name: str, shown: bytes, log: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, broken)
    before = faults().count
    assert await both(Given(*EVENTS), log) == [shown, shown]
    assert faults().count > before
    assert "RuntimeError" in faults().last and "ours" not in faults().last


async def test_a_row_that_cannot_be_made_is_counted_by_the_log(log: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader.StreamReader, "digest", broken)
    assert await both(Given(*EVENTS), log) == [SHOWN, SHOWN]
    assert log.flush(10)
    assert log.stats.failed == 2 and log.stats.written == 0


async def test_what_was_not_seen_is_null(log: Writer, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader.StreamReader, "feed", broken)
    await both(Given(*EVENTS), log)
    for row in rows():
        assert row.http_response_status_code == 200 and row.request_model == "m"
        assert (row.bytes_received, row.chunks, row.duration_s, row.error_type) == (None, None, None, None)


def test_inner_streams_are_closed_once(log: Writer) -> None:
    made: list[Reads] = []

    class Keeping(Given):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            response = super().handle_request(request)
            assert isinstance(response.stream, Reads)
            made.append(response.stream)
            return response

    with httpx2.Client(transport=promptop.transport(Keeping(*EVENTS), log=log)) as client:
        client.post(URL, json=BODY)
        with client.stream("POST", URL, json=BODY):
            pass
    assert [reads.closed for reads in made] == [1, 1]


def test_families_do_not_mix(log: Writer, endpoint: SimulatedEndpoint, rows: Rows) -> None:
    for family in (httpx, httpx2):
        wrapped = promptop.transport(family=family.__name__, log=log)
        assert isinstance(wrapped, family.BaseTransport) and isinstance(wrapped, family.AsyncBaseTransport)
        with family.Client(transport=wrapped) as client:
            assert client.get(f"{endpoint.base_url}/models").status_code == 200
        inner = promptop.transport(family.HTTPTransport(), log=log)
        assert isinstance(inner, family.BaseTransport)
        inner.close()
    assert len(rows()) == 2


async def test_default_transports_are_made_for_the_loop(log: Writer, endpoint: SimulatedEndpoint) -> None:
    async with httpx2.AsyncClient(transport=promptop.transport(asynchronous=True, log=log)) as client:
        assert (await client.get(f"{endpoint.base_url}/models")).status_code == 200


def test_calls_are_driven_by_hand_too(log: Writer, rows: Rows) -> None:
    """The proxy does: no transport, times given from outside."""
    from promptop.capture.call import Labels

    call = Call(Labels(log), method="POST", host="h", port=1, path="/v1/chat/completions", body=b'{"model":"m"}')
    start = call.started_s
    call.responded(200, [("Content-Type", "text/event-stream")], start + 1)
    for number, event in enumerate(EVENTS):
        call.feed(event, start + 2 + number)
    call.end("eof", now_s=start + 9)
    call.end("error", "too late")
    refused = Call(Labels(log), method="POST", host="h", port=1, path="/v1/chat/completions")
    refused.failed("proxy_limit")
    row, other = rows()
    assert (other.error_type, other.total_s is None, other.ttfb_s) == ("proxy_limit", False, None)
    assert (row.ttfb_s, row.ttft_s, row.duration_s, row.total_s) == pytest.approx((1, 2, 2, 9))
    assert row.error_type is None and row.response_time_to_first_chunk == pytest.approx(2)
