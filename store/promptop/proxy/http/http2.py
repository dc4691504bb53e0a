"""The proxy's way to an upstream over HTTP/2: httpx2."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from promptop.proxy.http.answer import Body, Connected, ConnectError, CutError, UpstreamAnswer, UpstreamTimeoutError
from promptop.proxy.http.fields import Fields
from promptop.proxy.http.limits import ProxyLimits
from promptop.proxy.upstreams import Upstream

if TYPE_CHECKING:
    import httpx2


class Http2:
    """HTTP/2 where the server speaks it, through httpx2: many calls on one connection, each several times as dear."""

    def __init__(self, limits: ProxyLimits, upstream: Upstream) -> None:
        import httpx2

        self._httpx2 = httpx2
        # Without TLS there is nothing to negotiate: HTTP/2 is spoken from the first byte (prior knowledge).
        plain = upstream.origin.startswith("http://")
        self._client = httpx2.AsyncClient(
            http1=not plain,
            http2=True,
            trust_env=False,
            follow_redirects=False,
            proxy=upstream.via,
            verify=ssl.create_default_context() if not plain else True,
            timeout=httpx2.Timeout(None, connect=limits.connect_s),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=60),
        )
        for name in list(self._client.headers):
            del self._client.headers[name]

    async def send(
        self, upstream: Upstream, method: str, target: str, headers: Fields, body: Body, note: Connected
    ) -> UpstreamAnswer:
        """Send one request over HTTP/2."""
        httpx2 = self._httpx2
        started = perf_counter()

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.startswith("connection.connect_tcp.started"):
                note.reused = False
            elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
                note.connect_s = perf_counter() - started

        note.reused = True
        request = self._client.build_request(
            method,
            upstream.origin + target,
            headers=headers.raw,
            content=body,
            extensions={"trace": trace, "target": target.encode("utf-8", "surrogateescape")},
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx2.TimeoutException:
            raise UpstreamTimeoutError("no answer in time") from None
        except (httpx2.HTTPError, ssl.SSLError, OSError, ValueError) as error:
            failed = ConnectError(type(error).__name__)
            failed.replayable = isinstance(error, httpx2.RemoteProtocolError) and note.reused is True
            raise failed from None
        chunks = _chunks(response)

        async def read() -> bytes:
            try:
                return await anext(chunks, b"")
            except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
                raise CutError(type(error).__name__) from None

        async def close() -> None:
            with contextlib.suppress(httpx2.HTTPError, OSError):
                await chunks.aclose()
                await response.aclose()

        fields = Fields(list(response.headers.raw))
        return UpstreamAnswer(response.status_code, response.reason_phrase.encode("latin-1"), fields, read, close, note)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


async def _chunks(response: httpx2.Response) -> Any:
    async for chunk in response.aiter_raw():
        if chunk:
            yield chunk
