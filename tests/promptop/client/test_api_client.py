"""The client of an endpoint: events as they were sent, and four kinds of failure."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from promptop.client.http.api_client import (
    ApiClient,
    EndpointError,
    NoAnswerError,
    NoAnswerInTimeError,
    StatusError,
)


def client(answer: Any, seen: list[httpx2.Request] | None = None) -> ApiClient:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handle))
    return ApiClient("http://127.0.0.1:9/v1", {"authorization": "Bearer k"}, http)


def events(answer: Any, seen: list[httpx2.Request] | None = None) -> list[Any]:
    async def read() -> list[Any]:
        made = client(answer, seen)
        found = [event async for event in made.events("/chat/completions", {"model": "m", "messages": []})]
        await made.close()
        return found

    return asyncio.run(read())


def test_events_are_what_was_sent_up_to_the_end() -> None:
    seen: list[httpx2.Request] = []
    body = 'event: a\r\ndata: {"b": "é"}\r\n\r\n: ping\n\ndata: \n\ndata: [1]\n\ndata: [DONE]\n\ndata: {"c": 1}\n\n'
    assert events(httpx2.Response(200, content=body.encode()), seen) == [{"b": "é"}, [1]]
    (request,) = seen
    assert str(request.url) == "http://127.0.0.1:9/v1/chat/completions"
    assert request.read() == b'{"model":"m","messages":[]}'
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["user-agent"].startswith("promptop/")
    assert not [name for name in request.headers if name.startswith("x-stainless")]


@pytest.mark.parametrize("data", [b"data: {\n\n", b'data: "\xff"\n\n'])
def test_an_event_that_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        events(httpx2.Response(200, content=data))


def test_what_a_server_says_of_a_failure_is_kept() -> None:
    with pytest.raises(EndpointError, match="too long") as told:
        events(httpx2.Response(200, content=b'data: {"error": {"message": "too long", "code": "c"}}\n\n'))
    assert told.value.code == "c"
    with pytest.raises(StatusError, match="429") as refused:
        events(httpx2.Response(429, json={"error": {"type": "t", "param": "p"}}, headers={"retry-after": "3"}))
    assert (refused.value.type, refused.value.param) == ("t", "p")
    assert refused.value.response.headers["retry-after"] == "3"
    with pytest.raises(StatusError, match="a page"):
        events(httpx2.Response(502, text=" a page "))


def test_no_answer_has_its_cause() -> None:
    with pytest.raises(NoAnswerInTimeError) as late:
        events(httpx2.ReadTimeout("late"))
    assert isinstance(late.value.__cause__, httpx2.ReadTimeout)
    with pytest.raises(NoAnswerError) as gone:
        events(httpx2.ConnectError("gone"))
    assert isinstance(gone.value.__cause__, httpx2.ConnectError)


def test_an_answer_in_one_piece_is_json_or_text() -> None:
    async def post(answer: httpx2.Response) -> Any:
        return await client(answer).post("/x", {})

    assert asyncio.run(post(httpx2.Response(200, json={"a": 1}))) == {"a": 1}
    assert asyncio.run(post(httpx2.Response(200, text="hello"))) == "hello"
