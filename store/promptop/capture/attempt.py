"""Between a transport and a call: what is sent instead of the request, and what the caller gets of the response.

Everything here that is not the host's own work is guarded: where ours fails, the request goes out as it was and the
response comes back as it came, and the failure is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promptop.capture import include_usage
from promptop.capture.annotations import current_note
from promptop.capture.caching.outcome import EXTENSION
from promptop.capture.call import Call, Labels, RawHeaders, clock
from promptop.capture.faults import count_fault
from promptop.providers.api import loads
from promptop.providers.stream.decompress import Inflater, inflater

REFUSAL_LIMIT = 64 * 1024
"""Bytes of an error answer that are read to see whether it names ``stream_options``."""
_SIGNED = frozenset((b"content-digest", b"x-amz-content-sha256", b"x-goog-content-sha256", b"signature", b"digest"))


class WatchedAttempt:
    """One request on its way through a transport of ours."""

    __slots__ = (
        "_asks_for_usage",
        "_decode",
        "_decoding_error",
        "_extensions",
        "_replaced",
        "_request",
        "after_refusal",
        "at_end",
        "call",
        "filtered",
        "hider",
    )

    def __init__(self, call: Any, request: Any, replaced: Any = None, *, asks_for_usage: bool = False) -> None:
        """``replaced`` is sent instead of ``request``: with another model, with usage asked for, or both."""
        self.call = call
        self._asks_for_usage = asks_for_usage
        self.after_refusal: tuple[str, int | None, str, str] | None = None
        """Host, port, path and model of the attempt before, which was refused for the field that was added."""
        self.at_end = False
        """The response's body was read to its end."""
        self.filtered = False
        """The caller's bytes pass :meth:`shown`."""
        self.hider: include_usage.UsageHider | None = None
        self._decoding_error: Any = ValueError
        self._request = request
        self._replaced = replaced
        self._extensions: Any = None
        self._decode: Inflater | None = None

    def sent(self, *, asynchronous: bool) -> Any:
        """Return the request to send, with a trace of the connection's events (httpcore's extension)."""
        request = self._request if self._replaced is None else self._replaced
        try:
            self._extensions = request.extensions
            trace = _Trace(self.call, self._extensions.get("trace"))
            request.extensions = {**self._extensions, "trace": trace.note_async if asynchronous else trace.note}
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("trace", error)
        return request

    def restore(self) -> None:
        """Leave no trace of ours on the caller's request."""
        if self._extensions is not None:
            request = self._request if self._replaced is None else self._replaced
            request.extensions = self._extensions

    def responded(self, response: Any) -> bool:
        """Note the answer's head; say whether the answer may object to the field that was added."""
        try:
            raw = response.headers.raw
            fields = _fields(raw)
            # What was made in memory (by a mock) is decoded already.
            encoding = b"" if response.is_stream_consumed else fields.get(b"content-encoding", b"")
            content = (fields.get(b"content-type", b"").decode("latin-1"), encoding.decode("latin-1"))
            if self.after_refusal is not None and response.status_code < 400:
                include_usage.remember_refusal(*self.after_refusal)
            if (fact := response.extensions.get(EXTENSION)) is not None:
                self.call.looked_up(fact)
            self.call.responded(response.status_code, RawHeaders(raw), content=content)
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("response", error)
        return self._asks_for_usage and response.status_code in (400, 422)

    def refused(self, response: Any, raw: bytes) -> bool:
        """Note the answer's first bytes; say whether it refuses ``stream_options``, and remember it if so."""
        try:
            self.call.feed(raw)
            decode = inflater(response.headers.get("content-encoding", ""))
            body = b"".join(decode(raw)) if decode is not None and not response.is_stream_consumed else raw
            if not include_usage.names_stream_options(response.status_code, body):
                return False
            self.call.retried = True
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("refusal", error)
            return False
        return True

    def watched(self, response: Any, stream: type[Any], httpx: Any, before: Any = None) -> Any:
        """Return the response with a body that is watched; ``before`` is what was read of it already."""
        try:
            if response.is_stream_consumed:  # made in memory: its body will not be read through the stream
                return self._at_hand(response, httpx, noted=before is not None)
            if self._asks_for_usage and response.status_code == 200:
                self._hide(response.headers, httpx)
            response.stream = stream(response.stream, self, before)
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("response", error)
            self.call.lost = True
            self.call.end("eof")
        return response

    def shown(self, data: bytes) -> Iterator[bytes]:
        """Yield what the caller gets of one read where the usage chunk is hidden.

        Raises the family's DecodingError where a compressed body is broken, as its own decoder would.
        """
        decode = self._decode
        for piece in (data,) if decode is None else decode(data):
            if out := self._without_usage(piece):
                yield out
        if decode is not None and decode.broken:
            raise self._decoding_error("the response is not compressed as its header says")

    def _without_usage(self, data: bytes) -> bytes:
        hider = self.hider
        if hider is None:
            return data
        try:
            return hider.feed(data)
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("usage", error)
            self.hider = None
            return hider.finish() + data

    def rest(self) -> bytes:
        """Return what was held back when the body ended."""
        return self.hider.finish() if self.hider is not None else b""

    def close(self, how: str) -> None:
        """End the call when its response is closed or dropped."""
        self.call.end("eof" if self.at_end else how)

    def _hide(self, headers: Any, httpx: Any) -> None:
        """Prepare to hide the usage chunk of a stream; a compressed one is handed on decompressed."""
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("text/event-stream", "", "text/plain"):
            return
        encoding = headers.get("content-encoding", "identity")
        if encoding != "identity":
            self._decode = inflater(encoding)
            if self._decode is None:
                return
            del headers["content-encoding"]
        if "content-length" in headers:
            del headers["content-length"]
        self._decoding_error = httpx.DecodingError
        self.hider = include_usage.UsageHider()
        self.filtered = True

    def _at_hand(self, response: Any, httpx: Any, *, noted: bool) -> Any:
        content = response.content
        if not noted:
            self.call.feed(content)
        self.call.end("eof")
        if not self._asks_for_usage or response.status_code != 200:
            return response
        hider = include_usage.UsageHider()
        shown = hider.feed(content) + hider.finish()
        if not hider.hidden:
            return response
        dropped = ("content-encoding", "content-length")
        headers = [item for item in response.headers.multi_items() if item[0] not in dropped]
        return httpx.Response(response.status_code, headers=headers, content=shown, extensions=response.extensions)


class _NoCall:
    """Stands for a call that could not be watched."""

    host = path = ""
    port = cache = connection_reused = None
    retried = False

    def responded(self, *_: Any, **__: Any) -> None:
        """Nothing is noted."""

    feed = failed = end = looked_up = responded


_EVENTS = {
    f"{layer}.{event}": meaning
    for layer in ("connection", "http11", "http2", "http_proxy", "socks_proxy")
    for event, meaning in (
        ("connect_tcp.started", "begins"),
        ("connect_unix_socket.started", "begins"),
        ("start_tls.started", "begins"),
        ("connect_tcp.complete", "connected"),
        ("connect_unix_socket.complete", "connected"),
        ("start_tls.complete", "secured"),
        ("send_request_headers.started", "sends"),
    )
}
"""httpcore's trace events that say something of the connection; it sends about ten others a call."""


class _Trace:
    """Times of connect and TLS, and whether a connection was reused, from httpcore's trace events."""

    __slots__ = ("_call", "_connected", "_next", "_since")

    def __init__(self, call: Any, following: Any) -> None:
        self._call = call
        self._next = following
        self._since = 0.0
        self._connected = False

    def note(self, name: str, info: Any) -> Any:
        """Take an event of a sync connection."""
        if name in _EVENTS:
            self._guarded(_EVENTS[name])
        return self._next(name, info) if self._next is not None else None

    async def note_async(self, name: str, info: Any) -> None:
        """Take an event of an async connection."""
        if name in _EVENTS:
            self._guarded(_EVENTS[name])
        if self._next is not None:
            await self._next(name, info)

    def _guarded(self, event: str) -> None:
        try:
            self._event(event)
        except Exception as error:  # noqa: BLE001 - the boundary
            count_fault("trace", error)

    def _event(self, event: str) -> None:
        call = self._call
        if event == "sends":
            if call.connection_reused is None:
                call.connection_reused = not self._connected
        elif event == "begins":
            self._connected = True
            self._since = clock()
        elif event == "connected":
            call.connect_s = clock() - self._since
        else:
            call.tls_s = clock() - self._since


def begin(labels: Labels, request: Any, httpx: Any, *, refused: WatchedAttempt | None = None) -> WatchedAttempt:
    """Return the attempt of a request, its clock started; usage is asked for where that is safe.

    ``refused`` is the attempt before, where its endpoint refused to be asked for usage: it is not asked again.
    """
    try:
        url = request.url
        raw = request.headers.raw
        fields = _fields(raw)
        host, path = url.host, url.path
        port = url.port or {"http": 80, "https": 443}.get(url.scheme)
        body = _body(request, fields, httpx)
        parsed = replaced = decision = None
        asks_for_usage = False
        if labels.routing is not None and not _is_signed(fields):
            decision, body, parsed = _routed(labels, body, path)
            if decision is not None and decision.changes:
                replaced = _replaced(request, body or b"", httpx)
        if refused is None and labels.include_usage and include_usage.is_streamed(body) and not _is_signed(fields):
            parsed = loads(body or b"") if parsed is None else parsed
            changed = include_usage.with_usage(host, port, path, body or b"", parsed)
            if changed is not None:
                replaced, asks_for_usage = _replaced(request, changed, httpx), True
        call = Call(
            labels,
            method=request.method,
            host=host,
            port=port,
            path=path,
            query=url.query.decode("ascii", "replace"),
            userinfo=url.userinfo.decode("ascii", "replace"),
            headers=RawHeaders(raw),
            body=body,
            parsed=parsed,
            bytes_sent=_length(fields),
        )
        call.decision = decision
        attempt = WatchedAttempt(call, request, replaced, asks_for_usage=asks_for_usage)
        if refused is not None:
            model = include_usage.model_of(loads(body) if body is not None else None)
            attempt.after_refusal = host, port, path, model
        return attempt
    except Exception as error:  # noqa: BLE001 - the boundary: what cannot be watched is sent all the same
        count_fault("request", error)
        return WatchedAttempt(_NoCall(), request)


def _routed(labels: Labels, body: bytes | None, path: str) -> tuple[Any, bytes | None, Any]:
    """Return what routing decided of a request, its body and its JSON; a fault of ours leaves the request as it is."""
    try:
        from promptop.capture.routing import routed

        assert labels.routing is not None
        found = routed(labels.routing, body, path, app=labels.app, tags=labels.tags, note=current_note())
    except Exception as error:  # noqa: BLE001 - the boundary
        count_fault("routing", error)
        found = None
    return found if found is not None else (None, body, None)


def _fields(raw: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return header fields by lower-case name: one pass, where each look-up by httpx is one."""
    return {name.lower(): value for name, value in raw}


def _body(request: Any, fields: dict[bytes, bytes], httpx: Any) -> bytes | None:
    """Return a JSON request's body if it is at hand; nothing is read for it."""
    if b"json" not in fields.get(b"content-type", b"json" if request.method == "POST" else b""):
        return None
    try:
        content: bytes = request.content
    except httpx.RequestNotRead:
        return None
    return content or None


def _replaced(request: Any, body: bytes, httpx: Any) -> Any:
    headers = request.headers.copy()
    headers["content-length"] = str(len(body))
    return httpx.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


def _is_signed(fields: dict[bytes, bytes]) -> bool:
    """Say whether a changed body would break a signature."""
    return not _SIGNED.isdisjoint(fields) or fields.get(b"authorization", b"").startswith(b"AWS4")


def _length(fields: dict[bytes, bytes]) -> int | None:
    value = fields.get(b"content-length", b"")
    return int(value) if value.isdigit() and len(value) < 16 else None
