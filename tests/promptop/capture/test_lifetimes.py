"""However a response ends, there is one row, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import gc
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest

import promptop
from promptop.capture.annotations import annotate
from promptop.capture.call import Call
from promptop.capture.faults import faults
from promptop.log import StoredRow, Writer
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]

BODY = {"model": "sim-fast", "messages": [{"role": "user", "content": "Tell me a long story"}], "stream": True}
WHOLE = {**BODY, "stream": False}
TOKEN = re.compile(rb'"content":"[^"]')


@pytest.fixture(autouse=True)
def no_fault_of_ours() -> Iterator[None]:
    before = faults().count
    yield
    assert faults().count == before, faults().last


@pytest.fixture
def url(endpoint: SimulatedEndpoint) -> str:
    return f"{endpoint.base_url}/chat/completions"


@pytest.fixture(params=["httpx2", "httpx"])
def family(request: pytest.FixtureRequest) -> Any:
    return {"httpx2": httpx2, "httpx": httpx}[request.param]


def test_closed_before_the_end(family: Any, url: str, log: Writer, rows: Rows) -> None:
    with promptop.observe(family.Client(), log=log) as client:
        with client.stream("POST", url, json=BODY, headers={"x-simulate": "stall;s=30"}) as response:
            for data in response.iter_bytes():
                if TOKEN.search(data):
                    break
        with client.stream("POST", url, json=WHOLE):
            pass
    early, unread = rows()
    assert early.error_type == unread.error_type == "cancelled"
    assert early.ttft_s is not None and early.usage_source == "estimated"
    assert unread.http_response_status_code == 200 and unread.usage_source is None


def test_closed_after_the_last_event_is_no_error(url: str, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(), log=log) as client, client.stream("POST", url, json=BODY) as response:
        seen = b""
        for data in response.iter_bytes():
            seen += data
            if b"[DONE]" in seen:
                break
    (row,) = rows()
    assert row.error_type is None and row.usage_source == "reported"


def test_exception_in_the_consumer(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    sdk = openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)
    with (
        promptop.observe(sdk, log=log) as client,
        pytest.raises(ZeroDivisionError),
        client.chat.completions.create(
            model="sim-fast",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            extra_headers={"x-simulate": "stall;s=30"},
        ) as stream,
    ):
        for _ in stream:
            1 / 0  # noqa: B018
    (row,) = rows()
    assert row.error_type == "cancelled"


def test_a_malformed_event_breaks_the_sdk_and_is_named(endpoint: SimulatedEndpoint, log: Writer, rows: Rows) -> None:
    sdk = openai.OpenAI(api_key="k" * 20, base_url=endpoint.base_url, max_retries=0)
    with promptop.observe(sdk, log=log) as client, pytest.raises(ValueError, match="Unterminated"):
        list(
            client.chat.completions.create(
                model="sim-fast",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                extra_headers={"x-simulate": "malformed,stall;after=4;s=30"},
            )
        )
    (row,) = rows()
    assert row.error_type == "malformed_event"


async def test_cancellation_before_and_after_the_first_token(family: Any, url: str, log: Writer, rows: Rows) -> None:
    started = asyncio.Event()

    async def consume(client: Any, fault: str) -> None:
        async with client.stream("POST", url, json=BODY, headers={"x-simulate": fault}) as response:
            async for data in response.aiter_bytes():
                if TOKEN.search(data):
                    started.set()

    async with promptop.observe(family.AsyncClient(), log=log) as client:
        with annotate() as note:
            task = asyncio.create_task(consume(client, "hang"))
            while not note.calls:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        task = asyncio.create_task(consume(client, "stall;s=30"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    before, after = rows()
    assert before.error_type == after.error_type == "cancelled"
    assert before.http_response_status_code is None and before.ttft_s is None
    assert after.http_response_status_code == 200 and after.ttft_s is not None


def test_dropped_without_being_read(family: Any, url: str, log: Writer, rows: Rows) -> None:
    client = promptop.observe(family.Client(), log=log)
    response = client.send(client.build_request("POST", url, json=BODY), stream=True)
    kept = weakref.ref(response)
    del response
    gc.collect()
    assert kept() is None
    client.close()
    (row,) = rows()
    assert row.error_type == "cancelled" and row.http_response_status_code == 200


def test_dropped_by_the_collector_in_another_thread_while_logging(url: str, log: Writer, rows: Rows) -> None:
    """A response in a cycle is closed by whichever allocation runs the collector, be it inside the log's own put."""
    client = promptop.observe(httpx2.Client(), log=log)

    def leave() -> None:
        for _ in range(5):
            cycle: list[Any] = [client.send(client.build_request("POST", url, json=WHOLE), stream=True)]
            cycle.append(cycle)

    gc.disable()
    try:
        threads = [threading.Thread(target=leave) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.enable()
    gc.collect()
    client.close()
    assert len(rows()) == 10


def test_nothing_is_held_after_the_row(url: str, log: Writer, rows: Rows) -> None:
    with promptop.observe(httpx2.Client(), log=log) as client, annotate() as note:
        for body in (BODY, WHOLE):
            client.post(url, json=body, headers={"authorization": "Bearer " + "s" * 30})
        assert len(rows()) == 2
        for call in note.calls:
            assert call.ended and call.finished is not None
            assert (call.body, call.parsed, list(call.headers), list(call.response_headers)) == (None, None, [], [])
            assert call.reader is not None and not call.reader._held and call.reader._digest is None
            assert call.total_s is not None, "stamps stay"
    kept = [weakref.ref(call) for call in note.calls]
    del call, note
    assert log.flush(10)
    gc.collect()
    assert [ref() for ref in kept] == [None, None]
    assert not [thing for thing in gc.get_objects() if type(thing) is Call]


def test_calls_wait_for_the_writer_without_holding_responses(url: str, log: Writer, rows: Rows) -> None:
    """What waits in the queue is the call, not the response: connections are free at once."""
    with promptop.observe(httpx2.Client(limits=httpx2.Limits(max_connections=1)), log=log) as client:
        for _ in range(20):
            assert client.post(url, json=WHOLE).status_code == 200
    assert sum(row.connection_reused or 0 for row in rows()) == 19


@pytest.mark.parametrize("asked", [BODY, WHOLE])
def test_the_callers_request_stays_as_it_was(asked: Any, family: Any, url: str, log: Writer, rows: Rows) -> None:
    seen: list[str] = []
    with promptop.observe(family.Client(), log=log) as client:
        extensions = {"trace": lambda name, info: seen.append(name), "timeout": {"read": 5.0}}
        request = client.build_request("POST", url, json=asked, extensions=extensions)
        body, headers = request.content, dict(request.headers)
        response = client.send(request)
    assert "connection.connect_tcp.started" in seen and "http11.receive_response_body.complete" in seen
    assert response.request is request and request.content == body and dict(request.headers) == headers
    assert request.extensions["trace"] is extensions["trace"]
    assert rows()[0].connect_s is not None


async def test_async_trace_of_the_caller_stays(family: Any, url: str, log: Writer) -> None:
    seen: list[str] = []

    async def trace(name: str, info: Any) -> None:
        seen.append(name)

    async with promptop.observe(family.AsyncClient(), log=log) as client:
        await client.post(url, json=BODY, extensions={"trace": trace})
    assert "connection.connect_tcp.started" in seen


def test_redirects_hooks_and_auth_of_the_client_stay(family: Any, url: str, log: Writer, rows: Rows) -> None:
    hooked: list[Any] = []
    original = family.Client(
        event_hooks={"response": [hooked.append]}, auth=("user", "password123"), headers={"x-own": "1"}, timeout=7
    )
    with promptop.observe(original, log=log) as client:
        response = client.post(url, json=WHOLE)
    assert hooked == [response] and response.request.headers["x-own"] == "1"
    assert response.request.headers["authorization"].startswith("Basic ")
    assert client.timeout.read == 7
    assert "cGFzc3dvcmQxMjM" not in repr(rows())


@pytest.mark.parametrize(
    "way", ["sys.exit(3)", "1 / 0", "os.kill(os.getpid(), 15)", "sys.exit(3) if os.fork() == 0 else os.wait()"]
)
def test_a_stream_that_runs_when_the_process_ends(way: str, url: str, log: Writer, rows: Rows) -> None:
    code = f"""
import os, sys, httpx2, promptop
client = promptop.observe(httpx2.Client(), log={str(log.path)!r})
stream = client.stream("POST", {url!r}, json={BODY!r}, headers={{"x-simulate": "stall;s=30"}})
response = stream.__enter__()
reads = response.iter_bytes()
while b'"content":"' not in next(reads):
    pass
{way}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert b"promptop" not in done.stderr.replace(b"import os, sys, httpx2, promptop", b"")
    (row,) = rows()
    assert row.error_type == "cancelled" and row.http_response_status_code == 200 and row.request_model == "sim-fast"


async def test_dropped_without_being_read_async(url: str, log: Writer, rows: Rows) -> None:
    client = promptop.observe(httpx2.AsyncClient(), log=log)
    response = await client.send(client.build_request("POST", url, json=BODY), stream=True)
    del response
    gc.collect()
    assert [row.error_type for row in rows()] == ["cancelled"]
    await client.aclose()
