"""Spans of model calls as rows: both generations of the GenAI conventions, OpenInference and OpenLLMetry.

A span counts if its operation is a call of a model and its kind CLIENT or INTERNAL. Where a client and the gateway
behind it are both instrumented, their spans are one call: the inner one makes the row.
"""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.fleet.otlp.messages import Entry, number, text, time_ms, whole
from promptop.log.row import Row
from promptop.log.transfer.external_formats import PROVIDERS
from promptop.log.write.pending import Finished
from promptop.log.write.row_pricing import price_row

CALLS = frozenset(("chat", "text_completion", "generate_content", "embeddings"))
_KINDS = frozenset((0, 1, 3))
"""Unspecified, INTERNAL and CLIENT."""
_ERROR = 2
_SPANS_KNOWN = 50_000
_STATUS_OF_CLASS = {
    "RateLimitError": 429,
    "BadRequestError": 400,
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "ConflictError": 409,
    "UnprocessableEntityError": 422,
}
_ERROR_OF_CLASS = {
    "APITimeoutError": "timeout",
    "TimeoutError": "timeout",
    "ReadTimeout": "timeout",
    "APIConnectionError": "connect",
    "ConnectError": "connect",
    "CancelledError": "cancelled",
}
_NAMES: dict[str, tuple[str, ...]] = {
    "operation": ("gen_ai.operation.name", "llm.request.type", "openinference.span.kind"),
    "provider_name": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "request_model": ("gen_ai.request.model", "llm.model_name", "embedding.model_name"),
    "response_model": ("gen_ai.response.model",),
    "response_id": ("gen_ai.response.id",),
    "request_reasoning_effort": (
        "gen_ai.request.reasoning.level",
        "gen_ai.request.reasoning.effort",
        "gen_ai.openai.request.reasoning_effort",
    ),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "prompt_name": ("gen_ai.prompt.name",),
    "prompt_version": ("gen_ai.prompt.version", "promptop.prompt_version"),
    "openai_api_type": ("openai.api.type",),
    "response_service_tier": ("openai.response.service_tier", "gen_ai.openai.response.service_tier"),
    "server_address": ("server.address",),
    "url_path": ("url.path",),
}
_COUNTS: dict[str, tuple[str, ...]] = {
    "server_port": ("server.port",),
    "http_response_status_code": ("http.response.status_code", "http.status_code"),
    "request_max_tokens": ("gen_ai.request.max_tokens",),
    "request_seed": ("gen_ai.request.seed", "gen_ai.openai.request.seed"),
    "request_choice_count": ("gen_ai.request.choice.count",),
    "usage_input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "usage_output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
    ),
    "usage_cache_read_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "usage_cache_write_input_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "usage_reasoning_output_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
}
_NUMBERS: dict[str, tuple[str, ...]] = {
    "request_temperature": ("gen_ai.request.temperature",),
    "request_top_p": ("gen_ai.request.top_p",),
    "response_time_to_first_chunk": ("gen_ai.response.time_to_first_chunk",),
}
_COSTS = ("promptop.cost.usd", "gen_ai.usage.cost", "gen_ai.cost.total_cost", "llm.cost.total")
_OTHER_OPERATIONS = {"completion": "text_completion", "embedding": "embeddings", "llm": "chat"}
_INPUTS = {
    "gen_ai.system_instructions": "system",
    "gen_ai.tool.definitions": "tools",
    "gen_ai.prompt": "prompt",
    "gen_ai.input.messages": "messages",
}
_OUTPUTS = {"gen_ai.output.messages": "messages", "gen_ai.completion": "completion"}


@dataclass(frozen=True, slots=True)
class SpanCall:
    """The call that a span describes."""

    key: str
    """trace id and span id."""
    finished: Finished


class SpanReader:
    """Turns spans into calls, and remembers recent ones to tell a call from the same call one layer further out."""

    def __init__(self, *, bodies: bool = False) -> None:
        """``bodies`` says whether prompts and answers are taken along; else they are dropped here."""
        self._bodies = bodies
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """span → its parent and, of a call, the operation."""
        self._written: OrderedDict[str, None] = OrderedDict()
        self._outer: OrderedDict[str, None] = OrderedDict()
        """Calls that enclose another one, which makes the row."""
        self._waiting: OrderedDict[str, str] = OrderedDict()
        """Spans that have not come yet → the operation of the calls inside them."""

    def read(self, spans: Sequence[Entry]) -> tuple[list[SpanCall], int]:
        """Return the calls of a batch, each once, and how many call spans could not be dated."""
        calls: list[SpanCall] = []
        undated = 0
        for span in spans:
            trace, name = span.id("traceId"), span.id("spanId")
            if not trace or not name:
                undated += operation_of(span) is not None
                continue
            key = f"{trace}-{name}"
            operation = operation_of(span)
            parent = span.id("parentSpanId")
            _remember(self._known, key, (f"{trace}-{parent}" if parent else "", operation or ""))
            if operation is None:
                continue
            finished = row_of(span, operation, bodies=self._bodies)
            if finished is None:
                undated += 1
                continue
            finished.row.request_id = key
            calls.append(SpanCall(key, finished))
        self._mark_outer(spans)
        inner: set[str] = set()
        for call in calls:
            operation = call.finished.row.operation_name or ""
            above, missing = self._above(call.key, operation)
            if above and above in self._written:
                inner.add(call.key)
            elif above:
                _remember(self._outer, above, None)
            elif missing:
                _remember(self._waiting, missing, operation)
        return [call for call in calls if call.key not in inner and call.key not in self._outer], undated

    def _mark_outer(self, spans: Sequence[Entry]) -> None:
        """Note which calls of a batch enclose calls that came before them."""
        for span in spans:
            key = f"{span.id('traceId')}-{span.id('spanId')}"
            operation = self._waiting.get(key)
            if operation is None or key not in self._known:
                continue
            if self._known[key][1] == operation:
                _remember(self._outer, key, None)
                continue
            above, missing = self._above(key, operation)
            if above:
                _remember(self._outer, above, None)
            elif missing:
                _remember(self._waiting, missing, operation)

    def have_written(self, calls: Sequence[SpanCall]) -> None:
        """Note that these calls are in the log."""
        for call in calls:
            _remember(self._written, call.key, None)

    def _above(self, key: str, operation: str) -> tuple[str, str]:
        """Return the nearest enclosing call of an operation, and, if none is known, the span that is missing."""
        parent = self._known[key][0]
        for _ in range(64):
            found = self._known.get(parent)
            if found is None:
                return "", parent
            if found[1] == operation:
                return parent, ""
            parent = found[0]
        return "", ""


def _remember(where: OrderedDict[str, Any], key: str, value: Any) -> None:
    where[key] = value
    where.move_to_end(key)
    if len(where) > _SPANS_KNOWN:
        where.popitem(last=False)


def operation_of(span: Entry) -> str | None:
    """Return the operation of a span that is a call of a model; None for every other span."""
    kind = span.fields.get("kind")
    if kind is not None and (not isinstance(kind, int) or kind not in _KINDS):
        return None
    found = span.attributes.get("gen_ai.operation.name")
    if isinstance(found, str):
        return found if found in CALLS else None
    other = str(_first(span.attributes, _NAMES["operation"][1:]) or "").lower()
    other = _OTHER_OPERATIONS.get(other, other)
    return other if other in CALLS else None


def row_of(span: Entry, operation: str, *, bodies: bool = False) -> Finished | None:
    """Return the row of a call's span; None if it has no start."""
    given = span.attributes
    started, ended = time_ms(span.fields.get("startTimeUnixNano")), time_ms(span.fields.get("endTimeUnixNano"))
    if started is None:
        return None
    row = Row(started_ms=int(started), operation_name=operation, attempt=1)
    for column, names in _NAMES.items():
        if column != "operation":
            setattr(row, column, text(_first(given, names)))
    for column, names in _COUNTS.items():
        setattr(row, column, whole(_first(given, names)))
    for column, names in _NUMBERS.items():
        setattr(row, column, number(_first(given, names)))
    if row.provider_name:
        row.provider_name = PROVIDERS.get(row.provider_name.lower(), row.provider_name)
    if row.request_choice_count == 1:
        row.request_choice_count = None
    if isinstance(given.get("gen_ai.request.stream"), bool):
        row.request_stream = int(given["gen_ai.request.stream"])
    elif row.response_time_to_first_chunk is not None:
        row.request_stream = 1
    stops = given.get("gen_ai.request.stop_sequences")
    row.request_stop_sequences = json.dumps(stops) if isinstance(stops, list) and stops else None
    reasons = given.get("gen_ai.response.finish_reasons")
    row.response_finish_reasons = json.dumps(reasons) if isinstance(reasons, list) and reasons else None
    if ended is not None and ended >= started:
        row.total_s = (ended - started) / 1000
    _failure(row, span)
    if row.error_type is None:
        row.duration_s = row.total_s  # a span ends when its stream is closed
    _usage(row)
    cost = number(_first(given, _COSTS))
    if cost is not None and cost >= 0:
        row.cost_usd, row.cost_status = cost, "reported"
    describe(row, span.resource)
    tags = {
        "version": text(span.resource.get("service.version")),
        "env": text(span.resource.get("deployment.environment.name") or span.resource.get("deployment.environment")),
        "trace": span.id("traceId"),
    }
    row.tags = json.dumps({name: value for name, value in tags.items() if value}, ensure_ascii=False)
    price_row(row)
    finished = Finished(row)
    if bodies:
        finished.request_body, finished.response_body = _content(given, _INPUTS), _content(given, _OUTPUTS)
    return finished


def describe(row: Row, resource: Mapping[str, Any]) -> None:
    """Fill in who called, from the attributes of the resource."""
    service = text(resource.get("service.name")) or ""
    service = service.removeprefix("unknown_service").removeprefix(":")
    row.service_name = service or None
    row.app = row.app or service or "otlp"
    row.service_instance_id = text(resource.get("service.instance.id"))
    row.host_name = text(resource.get("host.name"))
    row.process_pid = whole(resource.get("process.pid"))


def _usage(row: Row) -> None:
    if row.usage_input_tokens is None and row.usage_output_tokens is None:
        return
    row.usage_source = "reported"
    cached = (row.usage_cache_read_input_tokens or 0) + (row.usage_cache_write_input_tokens or 0)
    if cached > (row.usage_input_tokens or 0):  # an instrumentation that counts cached tokens apart
        row.usage_input_tokens = (row.usage_input_tokens or 0) + cached


def _failure(row: Row, span: Entry) -> None:
    status = span.fields.get("status")
    status = status if isinstance(status, dict) else {}
    kind = text(span.attributes.get("error.type"))
    if kind is None and status.get("code") == _ERROR:
        kind = "error"
    if kind is None and (row.http_response_status_code or 0) >= 400:
        kind = str(row.http_response_status_code)
    if kind is None:
        return
    name = kind.rpartition(".")[2]
    if row.http_response_status_code is None:
        row.http_response_status_code = _STATUS_OF_CLASS.get(name) or (whole(name) if len(name) == 3 else None)
    if name in _STATUS_OF_CLASS:
        kind = str(row.http_response_status_code)
    row.error_type = _ERROR_OF_CLASS.get(name, kind)
    row.error_message = text(status.get("message"))


def _content(given: Mapping[str, Any], names: Mapping[str, str]) -> bytes | None:
    found: dict[str, Any] = {}
    for name, key in names.items():
        value = given.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(value)
        if value is not None:
            found[key] = value
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") if found else None


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)
