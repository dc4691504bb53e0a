"""Labels from the caller's code, live timings, and the rows that come back."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import Any

import httpx2
import pytest

import promptop
from promptop.capture.annotations import annotate, current_note
from promptop.log import Writer
from promptop.simulator import SimulatedEndpoint

BODY: dict[str, Any] = {"model": "sim-fast", "messages": [{"role": "user", "content": "hello"}], "stream": True}


@pytest.fixture
def url(endpoint: SimulatedEndpoint) -> str:
    return f"{endpoint.base_url}/chat/completions"


def test_labels_of_inner_blocks_win(url: str, log: Writer) -> None:
    with promptop.observe(httpx2.Client(), log=log, app="client", tags={"a": 1, "b": 1}) as client:
        with annotate(app="outer", tags={"b": 2}, prompt_name="greeting", attempt=3) as outer:
            with annotate(tags={"c": "3"}, prompt_version="v2", conversation_id="c9", queue_s=0.25) as inner:
                client.post(url, json=BODY)
            assert current_note() is outer
        assert current_note() is None
        client.post(url, json=BODY)
        row = inner.wait(10)
    assert row is not None and row is outer.wait(10)
    assert (row.app, row.tags) == ("outer", '{"a": 1, "b": 2, "c": "3"}')
    assert (row.prompt_name, row.prompt_version, row.conversation_id) == ("greeting", "v2", "c9")
    assert (row.queue_s, row.attempt) == (0.25, None), "an attempt and a queue belong to their own block"
    assert row.cost_status is not None, "priced when it is handed out"
    assert inner.wait(0.01) is None and len(inner.rows) == 1


async def test_live_timings_and_waiting_for_rows(url: str, log: Writer) -> None:
    async with promptop.observe(httpx2.AsyncClient(), log=log) as client:
        with annotate() as note:
            async with client.stream("POST", url, json=BODY, headers={"x-simulate": "stall;s=0.3"}) as response:
                async for data in response.aiter_bytes():
                    (call,) = note.calls
                    assert call.ttfb_s is not None and call.time_to_first_chunk_s is not None
                    if re.search(rb'"content":"[^"]', data):
                        assert call.ttft_s is not None and call.ttfo_s is not None
                        assert not call.ended and call.total_s is None
                        assert await note.row(0.01) is None
                        break
            waiting = asyncio.create_task(note.row(10))
            await asyncio.sleep(0)
        row = await waiting
        assert row is not None and row.ttft_s == call.ttft_s and call.ended
        assert call.finished is row
        assert await note.row(0.01) is None


async def test_notes_follow_tasks_and_not_their_neighbours(url: str, log: Writer) -> None:
    async def one(client: Any, name: str) -> Any:
        with annotate(prompt_name=name) as note:
            await client.post(url, json=BODY)
        return await note.row(10)

    async with promptop.observe(httpx2.AsyncClient(), log=log) as client:
        names = [f"p{number}" for number in range(8)]
        found = await asyncio.gather(*(one(client, name) for name in names))
    assert [row.prompt_name for row in found] == names


def test_waiters_on_threads_each_get_one_row(url: str, log: Writer) -> None:
    got: list[Any] = []
    with promptop.observe(httpx2.Client(), log=log) as client, annotate() as note:
        threads = [threading.Thread(target=lambda: got.append(note.wait(10))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            client.post(url, json=BODY)
        for thread in threads:
            thread.join()
    assert None not in got and len({id(row) for row in got}) == 3
