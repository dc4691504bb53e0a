"""Sends a request's body to an endpoint and yields the events of its answer; httpx2 and nothing above it.

An SDK's thousand types of requests and answers take a second to import, and none is needed: bodies are built and events
are read by :mod:`promptop.providers`. What goes wrong is raised as one of four errors, whoever serves the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import promptop
from promptop.providers.stream.sse import EventSplitter

if TYPE_CHECKING:
    import httpx2

_DRAIN_S = 0.1
"""Seconds for what follows ``[DONE]``: a connection of HTTP/1.1 can be used again only when its answer was read."""
_DONE = b"[DONE]"


class EndpointError(Exception):
    """What a server says of a failure, in the answer or in the stream."""

    def __init__(self, message: str, body: object) -> None:
        """``body`` is its error object, or whatever stands in its place."""
        super().__init__(message)
        self.message = message
        self.body = body
        said = body if isinstance(body, dict) else {}
        self.code: Any = said.get("code")
        self.param: Any = said.get("param")
        self.type: Any = said.get("type")


class StatusError(EndpointError):
    """An answer whose status is not a success."""

    def __init__(self, response: httpx2.Response) -> None:
        """The ``response`` was read."""
        self.response = response
        self.status_code = response.status_code
        text = response.text.strip()
        try:
            body: object = json.loads(text)
            message = f"Error code: {response.status_code} - {body}"
        except (ValueError, RecursionError):
            body, message = text, text or f"Error code: {response.status_code}"
        super().__init__(message, body.get("error", body) if isinstance(body, dict) else body)


class NoAnswerError(Exception):
    """The request brought no answer; ``__cause__`` says why."""


class NoAnswerInTimeError(NoAnswerError):
    """A limit of time ended the wait for the answer."""


class ApiClient:
    """The client of one endpoint."""

    def __init__(self, base_url: str, headers: Mapping[str, str], http: httpx2.AsyncClient) -> None:
        """``http`` has the transport, the limits of time and no base URL; it is closed with this client."""
        self._http = http
        http.base_url = base_url
        ours = {"accept": "application/json", "user-agent": f"promptop/{promptop.__version__}"}
        http.headers.update({**ours, **headers})

    async def events(
        self, path: str, body: Mapping[str, Any], *, began: Callable[[], None] | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the events of a streamed answer, each as what its JSON holds; ``began`` is called at its headers.

        Raises :class:`StatusError`, :class:`NoAnswerError`, :class:`EndpointError` for an error in the stream, and
        ValueError for an event that is not JSON in UTF-8.
        """
        response = await self._send("POST", path, body, stream=True)
        if began is not None:
            began()
        try:
            splitter = EventSplitter()
            async for chunk in response.aiter_bytes():
                for _, data in splitter.feed(chunk):
                    if data.startswith(_DONE):
                        await self._drain(response)
                        return
                    if data.strip():
                        yield _event(data)
        finally:
            await response.aclose()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the JSON of an answer in one piece, or its text if it is something else."""
        response = await self._send("POST", path, body, stream=False)
        is_json = response.headers.get("content-type", "").partition(";")[0].strip().endswith("json")
        return response.json() if is_json else response.text

    async def get(self, path: str, *, timeout_s: float) -> Any:
        """Return the JSON at a path; raise ValueError for anything else under a status of success."""
        response = await self._send("GET", path, None, stream=False, timeout_s=timeout_s)
        return response.json()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, stream: bool, timeout_s: float | None = None
    ) -> httpx2.Response:
        import httpx2

        try:
            timeout = self._http.timeout if timeout_s is None else timeout_s
            request = self._http.build_request(method, path, json=body, timeout=timeout)
            response = await self._http.send(request, stream=stream)
            if not response.is_success:
                await response.aread()
        except httpx2.TimeoutException as error:
            raise NoAnswerInTimeError(str(error)) from error
        except Exception as error:
            raise NoAnswerError(str(error)) from error
        if not response.is_success:
            raise StatusError(response)
        return response

    async def _drain(self, response: httpx2.Response) -> None:
        if response.http_version != "HTTP/1.1":
            return
        import httpx2

        with contextlib.suppress(TimeoutError, httpx2.HTTPError, httpx2.StreamError):
            async with asyncio.timeout(_DRAIN_S):
                async for _ in response.stream:  # type: ignore[union-attr]
                    await asyncio.sleep(0)


def _event(data: bytes) -> Any:
    event = json.loads(data.decode("utf-8"))
    error = event.get("error") if isinstance(event, dict) else None
    if error:
        message = error.get("message") if isinstance(error, dict) else None
        raise EndpointError(message if isinstance(message, str) and message else "An error occurred.", error)
    return event
