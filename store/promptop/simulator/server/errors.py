"""Errors as providers send them: status, headers, body, in the dialect of the path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptop.simulator.server.events import BadRequestError, StreamEvent
from promptop.simulator.server.faults import Faults


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that is not an answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


_HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"

_KINDS: Mapping[str, tuple[int, str, str | None, str]] = {
    "401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-simu*****lated."),
    "403": (403, "permission_error", "forbidden", "You do not have access to this resource."),
    "404": (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "429": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again later."),
    "500": (500, "server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "503": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "529": (529, "overloaded_error", None, "Overloaded"),
    "error-200": (200, "server_error", "provider_error", "Upstream provider returned an error."),
}

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def dialect(path: str) -> str:
    """Return ``anthropic`` for its native paths, ``responses`` for that API, else ``openai``."""
    if "/messages" in path:
        return "anthropic"
    return "responses" if path.rstrip("/").endswith("/responses") else "openai"


def body(
    kind: str, status: int, message: str, type_: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """Return an error object in a dialect."""
    if kind == "anthropic":
        return {"type": "error", "error": {"type": _ANTHROPIC_TYPES.get(status, "api_error"), "message": message}}
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def refused(path: str, error: BadRequestError, status: int = 400) -> Refusal:
    """Return the response to a request that is not valid."""
    shape = body(dialect(path), status, str(error), "invalid_request_error", error.code, error.param)
    return Refusal(status, json.dumps(shape).encode())


def from_faults(path: str, faults: Faults, request: Mapping[str, Any]) -> tuple[str, Refusal] | None:
    """Return the fault's name and the error response that the faults ask for, or None."""
    if fault := faults.get("400"):
        param = fault.options.get("param", "stream_options")
        if param in request:
            error = BadRequestError(
                f"Unsupported parameter: '{param}' is not supported.", param, "unsupported_parameter"
            )
            return "400", refused(path, error)
    if "500-text" in faults:
        return "500-text", Refusal(500, b"Internal Server Error", "text/plain; charset=utf-8")
    if "502-html" in faults:
        return "502-html", Refusal(502, _HTML, "text/html")
    fault = faults.first(*_KINDS)
    if fault is None or (fault.name == "error-200" and request.get("stream")):
        return None
    status, type_, code, message = _KINDS[fault.name]
    headers = {}
    if fault.name in ("429", "503"):
        wait = fault.number("retry_after", 1)
        headers = {"retry-after": f"{wait:g}", "retry-after-ms": f"{wait * 1000:g}"}
    if fault.name == "429" and fault.number("quota", 0):
        type_, code, message = "insufficient_quota", "insufficient_quota", "You exceeded your current quota."
    shape = body(dialect(path), status, message, type_, code)
    return fault.name, Refusal(status, json.dumps(shape).encode(), headers=headers)


def event(path: str) -> StreamEvent:
    """Return the error event that comes inside a stream under HTTP 200."""
    kind = dialect(path)
    _, type_, code, message = _KINDS["error-200"]
    if kind == "anthropic":
        shape = {"type": "error", "error": {"type": "overloaded_error", "message": message}}
        return StreamEvent(shape, "other", "error")
    if kind == "responses":
        fields = {"type": "error", "sequence_number": 0, "code": code, "message": message, "param": None}
        return StreamEvent(fields, "other", "error")
    return StreamEvent(body(kind, 502, message, type_, code), "other")
