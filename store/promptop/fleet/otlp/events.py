"""Events (log records) of coding agents as rows: Claude Code, Codex and Gemini CLI.

A record that tells of one call becomes its row; every other one is counted and dropped, with whatever text it holds.
Numbers come as text in places: both are read.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from promptop.fleet.otlp.messages import Entry, any_value, number, text, time_ms, whole
from promptop.fleet.otlp.spans import describe
from promptop.log.row import Row
from promptop.log.write.row_pricing import price_row
from promptop.providers.anthropic import ANTHROPIC

_CONVERSATIONS = 5_000
_PROVIDERS = {"claude-code": "anthropic", "codex": "openai", "gemini-cli": "gcp.gemini"}
_TAGS = {"prompt.id": "prompt", "prompt_id": "prompt", "query_source": "source", "speed": "speed", "effort": "effort"}
_CLAUDE_COUNTS = {
    "input_tokens": "input_tokens",  # cached tokens are apart, as in the API's usage
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_creation_tokens",
}
"""Names of the API's usage → those of Claude Code's event."""
_LATEST_MS = 200_000_000_000_000


@dataclass(slots=True)
class _Request:
    """The latest request of a Codex conversation: its end event tells no duration of the call."""

    at_ms: float
    duration_ms: float
    taken_by: str = ""
    """Identity of the event that it belongs to."""


class EventReader:
    """Turns log records into rows; remembers the latest request of each Codex conversation."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, _Request] = OrderedDict()
        self._readers: dict[str, Callable[[Entry, float, str], Row | None]] = {
            "claude_code.api_request": _claude_request,
            "claude_code.api_error": _claude_error,
            "codex.sse_event": self._codex_event,
            "codex.api_request": self._codex_request,
            "codex.websocket_request": self._codex_request,
            "gemini_cli.api_response": _gemini_response,
            "gemini_cli.api_error": _gemini_error,
        }

    def row_of(self, record: Entry) -> Row | None:
        """Return the row of a record that tells of a call; None for every other one, and for one without a time."""
        reader = self._readers.get(name_of(record))
        at_ms = time_ms(record.fields.get("timeUnixNano")) or time_ms(record.fields.get("observedTimeUnixNano"))
        if reader is None or at_ms is None:
            return None
        identity = _identity(record, at_ms)
        row = reader(record, at_ms, identity)
        if row is None or not 0 <= (row.started_ms or 0) <= _LATEST_MS:
            return None
        row.operation_name, row.attempt = "chat", row.attempt or 1
        row.request_id = row.request_id or identity
        row.response_model = row.response_model or row.request_model
        if row.usage_input_tokens is not None or row.usage_output_tokens is not None:
            row.usage_source = "reported"
        if row.error_type is None:
            row.duration_s = row.total_s
        describe(row, record.resource)
        price_row(row)
        return row

    def _codex_request(self, record: Entry, at_ms: float, identity: str) -> Row | None:
        given = record.attributes
        duration = number(given.get("duration_ms")) or 0.0
        status = _status(given)
        if (status is None or 200 <= status < 300) and not given.get("error.message"):
            conversation = str(given.get("conversation.id"))
            known = self._requests.get(conversation)
            if known is None or known.at_ms != at_ms:  # one that comes again stays its event's
                self._requests[conversation] = _Request(at_ms, duration)
                self._requests.move_to_end(conversation)
            if len(self._requests) > _CONVERSATIONS:
                self._requests.popitem(last=False)
            return None
        return _failure(_call(record, at_ms, "codex"), given)

    def _codex_event(self, record: Entry, at_ms: float, identity: str) -> Row | None:
        given = record.attributes
        if given.get("event.kind") != "response.completed":
            return None
        row = _call(record, at_ms, "codex")
        row.started_ms, row.total_s = int(at_ms), None
        row.openai_api_type, row.request_stream = "responses", 1
        row.usage_input_tokens = whole(given.get("input_token_count"))
        row.usage_cache_read_input_tokens = whole(given.get("cached_token_count"))
        row.usage_output_tokens = whole(given.get("output_token_count"))
        row.usage_reasoning_output_tokens = whole(given.get("reasoning_token_count"))
        row.ttft_s = _seconds(given.get("ttft_ms"))
        request = self._requests.get(str(given.get("conversation.id")))
        if request is not None and request.taken_by in ("", identity) and request.at_ms <= at_ms:
            request.taken_by = identity
            row.started_ms = int(request.at_ms - request.duration_ms)
            row.total_s = (at_ms - request.at_ms + request.duration_ms) / 1000
        return row


def name_of(record: Entry) -> str:
    """Return the event's full name, whichever of its places holds it."""
    given = record.attributes
    name = text(record.fields.get("eventName")) or text(given.get("event.name")) or ""
    body = any_value(record.fields.get("body"))
    if "." not in name and isinstance(body, str) and body.rpartition(".")[2] == name:
        return body
    if not name and isinstance(body, str):
        return body if len(body) < 100 else ""
    if "." not in name and (text(record.resource.get("service.name")) or "").startswith("claude-code"):
        return f"claude_code.{name}"
    return name


def _call(record: Entry, at_ms: float, app: str) -> Row:
    """Return what every agent tells of a call, under one of the names in use, and the tags it is known by."""
    given = record.attributes
    duration = number(given.get("duration_ms")) or 0.0
    tags = {tag: value for name, tag in _TAGS.items() if (value := text(given.get(name)))}
    return Row(
        started_ms=int(at_ms - duration),
        app=app,
        provider_name=_PROVIDERS[app],
        request_model=text(given.get("model")),
        conversation_id=text(given.get("session.id")) or text(given.get("conversation.id")),
        request_id=text(given.get("request_id")),
        http_response_status_code=_status(given),
        attempt=whole(given.get("attempt")) or 1,
        total_s=duration / 1000 if duration > 0 else None,
        tags=json.dumps(tags, ensure_ascii=False) if tags else None,
    )


def _failure(row: Row, given: Mapping[str, Any]) -> Row:
    status = row.http_response_status_code
    row.error_type = str(status) if status else text(given.get("error_type")) or "error"
    row.error_message = text(given.get("error.message") or given.get("error"))
    return row


def _status(given: Mapping[str, Any]) -> int | None:
    return whole(given.get("http.response.status_code", given.get("status_code")))


def _claude_request(record: Entry, at_ms: float, identity: str) -> Row:
    given, row = record.attributes, _call(record, at_ms, "claude-code")
    usage = ANTHROPIC.usage({name: whole(given.get(told)) for name, told in _CLAUDE_COUNTS.items()})
    row.usage_input_tokens, row.usage_output_tokens = usage.input_tokens, usage.output_tokens
    row.usage_cache_read_input_tokens, row.usage_cache_write_input_tokens = usage.cache_read, usage.cache_write
    cost = number(given.get("cost_usd"))
    if cost is not None and cost >= 0:
        row.cost_usd, row.cost_status = cost, "reported"
    return row


def _claude_error(record: Entry, at_ms: float, identity: str) -> Row:
    return _failure(_call(record, at_ms, "claude-code"), record.attributes)


def _gemini_response(record: Entry, at_ms: float, identity: str) -> Row:
    given, row = record.attributes, _call(record, at_ms, "gemini-cli")
    thoughts, tools = whole(given.get("thoughts_token_count")), whole(given.get("tool_token_count"))
    taken, put_out = whole(given.get("input_token_count")), whole(given.get("output_token_count"))
    reasons = given.get("finish_reasons")
    row.usage_input_tokens = None if taken is None else taken + (tools or 0)
    row.usage_output_tokens = None if put_out is None else put_out + (thoughts or 0)  # thoughts are apart here
    row.usage_cache_read_input_tokens = whole(given.get("cached_content_token_count"))
    row.usage_reasoning_output_tokens = thoughts
    row.response_finish_reasons = json.dumps(reasons) if isinstance(reasons, list) and reasons else None
    return row


def _gemini_error(record: Entry, at_ms: float, identity: str) -> Row:
    return _failure(_call(record, at_ms, "gemini-cli"), record.attributes)


def _identity(record: Entry, at_ms: float) -> str:
    """Return what tells a record from every other one, and is the same when it comes again."""
    given = record.attributes
    session = given.get("session.id") or given.get("conversation.id")
    if session and given.get("event.sequence") is not None:
        return f"{session}:{given['event.sequence']}"
    told = json.dumps([at_ms, name_of(record), sorted(given.items(), key=lambda item: item[0])], default=str)
    return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _seconds(value: Any) -> float | None:
    found = number(value)
    return None if found is None or found < 0 else found / 1000
