"""What the proxy answers itself: errors in the shape that the SDKs read."""

from __future__ import annotations

import json

from promptop.proxy.http.answer import UpstreamError
from promptop.proxy.http.client_connection import Request
from promptop.proxy.upstreams import RefusedError

_REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


def send(request: Request, status: int, body: bytes, content_type: str = "application/json") -> None:
    """Answer a request with a body of our own; the connection closes if the request's body has not been read."""
    fields = [(b"Content-Type", content_type.encode("ascii")), (b"Content-Length", b"%d" % len(body))]
    response = request.respond(status, _REASONS.get(status, b""), fields, last=not request.complete)
    if not request.is_head:
        response.write(body)
    response.end()


def refusal(refused: RefusedError) -> bytes:
    """Return the body of the answer to a request that is not sent on."""
    return error(f"promptop proxy: {refused.cause} {refused.remedy}".strip(), "promptop_proxy", refused.code)


def bad_gateway(request: Request, failed: UpstreamError) -> None:
    """Answer 502, or 504 for a timeout."""
    timeout = isinstance(failed, TimeoutError)
    text = error(
        f"promptop proxy: the upstream failed: {failed}",
        "upstream_error",
        "timeout" if timeout else type(failed).__name__,
    )
    send(request, 504 if timeout else 502, text)


def cut_off(request: Request, reason: str) -> None:
    """End a call that took too long: with 504, or where an answer has begun by dropping the connection."""
    if request.response is not None:
        request.cut(hard=True)  # unsent bytes would wait for a client that does not read
        return
    send(request, 504, error(f"promptop proxy: {reason}", "timeout", "timeout"))


def error(message: str, kind: str, code: str) -> bytes:
    """Return an error as JSON."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
