"""What the proxy answers itself: errors in the shape that the SDKs read, and an end that shows the answer is cut."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from promptop.proxy.http.http1 import UpstreamError
from promptop.proxy.upstreams import RefusedError

JSON = {"Content-Type": "application/json"}


def refusal(refused: RefusedError, request: web.BaseRequest) -> web.Response:
    """Return the answer to a request that is not sent on."""
    message = f"promptop proxy: {refused.cause} {refused.remedy}".strip()
    response = web.Response(text=_error(message, "promptop_proxy", refused.code), status=refused.status, headers=JSON)
    if request.body_exists:
        response.force_close()  # its body was not read to the end
    return response


def bad_gateway(failed: UpstreamError) -> web.Response:
    """Return 502, or 504 for a timeout."""
    timeout = isinstance(failed, TimeoutError)
    message = f"promptop proxy: the upstream failed: {failed}"
    text = _error(message, "upstream_error", "timeout" if timeout else type(failed).__name__)
    return web.Response(text=text, status=504 if timeout else 502, headers=JSON)


def abort(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Close the connection after what was written, without the mark of a regular end."""
    response.force_close()
    if request.transport is not None:
        request.transport.close()
    return response


def cut_off(request: web.BaseRequest, reason: str, response: web.StreamResponse | None) -> web.StreamResponse:
    """End a call that the watchdog has cancelled: with 504, or where an answer has begun by dropping the connection."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    if response is not None and response.prepared:
        if request.transport is not None:
            request.transport.abort()  # unsent bytes would wait for a client that does not read
        return abort(request, response)
    answer = web.Response(text=_error(f"promptop proxy: {reason}", "timeout", "timeout"), status=504, headers=JSON)
    answer.force_close()
    return answer


def _error(message: str, kind: str, code: str) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})
