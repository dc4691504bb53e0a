"""The outline of a call: what is known of it when it ends, told in 50 µs; its row takes several times that."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from promptop import providers
from promptop.base import redact
from promptop.capture.annotations import tags_json
from promptop.capture.parse.request_parser import at_the_ends
from promptop.log import caller
from promptop.log.row import Row
from promptop.log.write.scrub import scrub
from promptop.providers.usage import Usage

if TYPE_CHECKING:
    from promptop.capture.call import Call

_USAGE = re.compile(r'(?<!\\)"(?:usage|usageMetadata)"\s*:\s*(?=\{)')
_DECODER = json.JSONDecoder()


def outline(call: Call) -> Row:
    """Return a row of the call's labels, times and sizes, its model, and the usage that the server told at the end.

    May run beside the making of the call's row, and raises whatever comes of that.
    """
    body, headers, reader, note = call.body, call.headers, call.reader, call.note
    row = Row(started_ms=call.started_ms)
    caller.this_process().sign(row)
    row.app = (note.app if note else None) or call.labels.app
    row.tags = tags_json(call.labels.tags, note.tags if note else None)
    row.simulated = 1 if call.labels.simulated else None
    if note is not None:
        row.prompt_name, row.prompt_version = note.prompt_name, note.prompt_version
        row.conversation_id, row.attempt = note.conversation_id, note.attempt
    row.operation_name, row.openai_api_type = providers.operation(call.path)
    row.server_address, row.server_port, row.url_path = call.host, call.port, call.path
    row.provider_name = providers.host_provider(call.host, call.port, call.path)
    row.bytes_sent, row.http_response_status_code = call.bytes_sent, call.status
    asked = at_the_ends(body) if body else {}
    row.request_model = asked.get("model") or providers.read_request(None, call.path).model
    row.request_stream = int(asked["stream"]) if "stream" in asked else None
    row.connect_s, row.tls_s, row.ttfb_s = call.connect_s, call.tls_s, call.ttfb_s
    if reader is not None:
        row.total_s, row.ttft_s, row.ttfo_s = reader.total_s, reader.ttft_s, reader.ttfo_s
        row.bytes_received, row.duration_s = reader.bytes_received, reader.last_byte_s
    if call.status is not None and call.status >= 400:
        row.error_type = str(call.status)
    elif call.error is not None:
        row.error_type = call.error if isinstance(call.error, str) else type(call.error).__name__
    elif reader is not None and reader.how != "eof":
        row.error_type = "cancelled"
    usage = _usage(reader.latest() if reader is not None else b"", row.provider_name)
    if usage:
        row.usage_source = "reported"
        row.usage_input_tokens, row.usage_output_tokens = usage.input_tokens, usage.output_tokens
        row.usage_cache_read_input_tokens = usage.cache_read
        row.usage_cache_write_input_tokens = usage.cache_write
        row.usage_reasoning_output_tokens = usage.reasoning
        if usage.cost_usd is not None:
            row.cost_usd, row.cost_status = usage.cost_usd, "reported"
    elif row.error_type is None and not providers.is_free(call.path):
        row.cost_status = "unpriced"
    if call.cache is not None:
        row.cache_level, row.cache_key = call.cache.level, call.cache.key
        if call.cache.level != "miss":
            row.cost_usd, row.cost_status, row.saved_usd = 0.0, "table", call.cache.saved_usd
    scrub(row, redact.secrets_of(headers, call.query, call.userinfo))
    return row


def _usage(tail: bytes, provider: str | None) -> Usage:
    """Return the usage object at the end of an answer; an empty one where there is none."""
    text = tail.decode("utf-8", "replace")
    for found in reversed(list(_USAGE.finditer(text))):
        try:
            value: Any = _DECODER.raw_decode(text, found.end())[0]
        except (ValueError, RecursionError):
            continue
        if usage := providers.usage_of(value, provider):
            return usage
    return Usage()
