"""OTLP messages as plain values: protobuf and JSON bodies become one shape, attributes become a dict.

The shape is that of OTLP's JSON: camel case, 64-bit integers as text or number, ids in hex.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from promptop.base.errors import PromptopError

Signal = Literal["traces", "metrics", "logs"]
_DEEPEST = 8
_LARGEST = 1 << 53
_LATEST_MS = 200_000_000_000_000
_PARTS: dict[Signal, tuple[str, str, str]] = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


class UnreadableError(PromptopError):
    """A body that is no message of OTLP: sending it again will not help."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One span, metric or log record, and the attributes of the process that it comes from."""

    fields: Mapping[str, Any]
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]

    def id(self, name: str) -> str:
        """Return an id in lower-case hex; empty if it is not there, or all zeros."""
        found = self.fields.get(name)
        text = found.lower() if isinstance(found, str) else ""
        return text if text.strip("0") else ""


def require_protobuf() -> None:
    """Raise :class:`PromptopError` if the extra that reads and writes protobuf is not installed."""
    try:
        import opentelemetry.proto.collector.trace.v1.trace_service_pb2  # noqa: F401
    except ImportError:
        raise PromptopError("OTLP needs the extra otel.", "pip install 'promptop[otel]'") from None


def entries(signal: Signal, body: bytes, *, is_json: bool) -> list[Entry]:
    """Return the entries of an export request; raises :class:`UnreadableError` for a body that is none."""
    try:
        document = json.loads(body) if is_json else _from_protobuf(signal, body)
        if not isinstance(document, dict):
            raise UnreadableError("The body is not an object.")
        return list(_entries(signal, document))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"The body is not OTLP ({type(error).__name__}).") from None


def empty_answer(signal: Signal, refused: int, why: str, *, is_json: bool) -> bytes:
    """Return the answer to an export request; with ``refused`` entries the count and the reason."""
    counts = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}
    answer: dict[str, Any] = {}
    if refused:
        answer["partialSuccess"] = {counts[signal]: str(refused), "errorMessage": why}
    if is_json:
        return json.dumps(answer).encode()
    from google.protobuf.json_format import ParseDict

    message = _messages()[signal][1]()
    return bytes(ParseDict(answer, message).SerializeToString())


def whole(value: Any) -> int | None:
    """Return a count, also of a number in text; None for what is none, negative or absurd."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < _LARGEST else None


def number(value: Any) -> float | None:
    """Return a finite number, also of text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def text(value: Any) -> str | None:
    """Return a text that is not empty; numbers become text."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def time_ms(value: Any) -> float | None:
    """Return Unix milliseconds of Unix nanoseconds; None if there is no time."""
    found = number(value)
    return found / 1e6 if found is not None and 0 < found / 1e6 <= _LATEST_MS else None


def attributes_of(items: Any, depth: int = 0) -> dict[str, Any]:
    """Return attributes as a dict; what has no name or no value is left out."""
    found: dict[str, Any] = {}
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get("key"), str):
            value = any_value(item.get("value"), depth)
            if value is not None:
                found[item["key"]] = value
    return found


def any_value(value: Any, depth: int = 0) -> Any:
    """Return what an AnyValue holds."""
    if not isinstance(value, dict) or depth > _DEEPEST:
        return None
    for name, inner in value.items():
        if name == "stringValue":
            return inner if isinstance(inner, str) else None
        if name == "intValue":
            found = number(inner)
            return int(inner) if isinstance(inner, int) else None if found is None else int(found)
        if name == "doubleValue":
            return number(inner)
        if name == "boolValue":
            return inner if isinstance(inner, bool) else None
        if name == "arrayValue" and isinstance(inner, dict):
            items = inner.get("values")
            return [any_value(item, depth + 1) for item in items] if isinstance(items, list) else []
        if name == "kvlistValue" and isinstance(inner, dict):
            return attributes_of(inner.get("values"), depth + 1)
    return None


def _entries(signal: Signal, document: dict[str, Any]) -> Iterator[Entry]:
    outer, middle, inner = _PARTS[signal]
    for group in _objects(document.get(outer)):
        resource = group.get("resource")
        described = attributes_of(resource.get("attributes")) if isinstance(resource, dict) else {}
        for scope in _objects(group.get(middle)):
            for fields in _objects(scope.get(inner)):
                yield Entry(fields, attributes_of(fields.get("attributes")), described)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _messages() -> dict[Signal, tuple[Any, Any]]:
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

    return {
        "traces": (traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse),
        "metrics": (metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse),
        "logs": (logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse),
    }


def _from_protobuf(signal: Signal, body: bytes) -> Any:
    from google.protobuf.json_format import MessageToDict, SerializeToJsonError
    from google.protobuf.message import DecodeError

    message = _messages()[signal][0]()
    try:
        message.ParseFromString(body)
        document = MessageToDict(message, use_integers_for_enums=True)
    except (DecodeError, SerializeToJsonError) as error:
        raise UnreadableError(f"The body is not OTLP ({type(error).__name__}).") from None
    outer, middle, inner = _PARTS[signal]
    for group in document.get(outer, ()):
        for scope in group.get(middle, ()):
            for fields in scope.get(inner, ()):
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in fields:
                        fields[name] = _hex(fields[name])
    return document


def _hex(encoded: str) -> str:
    try:
        return base64.b64decode(encoded).hex()
    except binascii.Error:
        return ""
