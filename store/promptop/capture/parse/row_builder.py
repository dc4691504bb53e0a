"""From a call that ended to its row: parsing, usage, characters, cost, and no credential in any column."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from promptop import providers
from promptop.base import redact
from promptop.capture.annotations import tags_json
from promptop.capture.faults import count_fault
from promptop.capture.include_usage import LARGEST_BODY
from promptop.capture.parse import request_parser
from promptop.capture.parse.large_request import LargeRequest
from promptop.capture.parse.response_parser import Digest
from promptop.log import caller
from promptop.log.row import Row
from promptop.log.write.pending import Finished
from promptop.log.write.scrub import scrub
from promptop.providers import bedrock, chat, errors
from promptop.providers.api import RequestSummary, loads
from promptop.providers.estimate import o200k_if_loaded, tokens
from promptop.providers.usage import Usage, amount
from promptop.routing.policy import complexity_of

if TYPE_CHECKING:
    from promptop.capture.call import Call
    from promptop.tokens.scripts import Chars

_MOST_LIMITS = 32
_CHARS = "[%d,%d,%d,%d]"
"""Characters by script as JSON, at a tenth of an encoder's cost."""
_KEPT_HEADERS = ("retry-after", "x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")
_TIMING_HEADERS = {
    "openai-processing-ms": "processing_s",
    "x-envoy-upstream-service-time": "upstream_s",
}
_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id", "x-goog-request-id")


def finished(call: Call) -> Finished:
    """Return the row of a call that ended, with its bodies as far as the call's mode keeps any."""
    from promptop.tokens.scripts import add, chars_by_script

    row = Row(started_ms=call.started_ms, attempt=_attempt(call))
    caller.this_process().sign(row)
    parsed = call.parsed
    if parsed is None and call.body:
        if len(call.body) <= LARGEST_BODY:
            parsed = loads(call.body)
        else:
            call.large = LargeRequest()
            call.large.feed(call.body)
    if call.large is not None:
        parsed = call.large.parsed()
    providers.load_added()
    secrets = redact.secrets_of(call.headers, call.query, call.userinfo, parsed)
    asked = providers.read_request(parsed, call.path)
    given = "".join(text for _, text in asked.texts) + asked.extra
    chars = chars_by_script(given) if given else (0, 0, 0, 0)
    if call.large is not None:
        chars = add(chars, call.large.chars)
        asked.texts, asked.attached, asked.extra, given = [], [], "", ""  # of long texts there are only the counts
    digest = call.reader.digest() if call.reader is not None else Digest()
    _labels(row, call)
    _asked(row, asked)
    _routed(row, call, asked)
    _answered(row, call, digest)
    _timings(row, call, digest)
    _error(row, call, digest)
    usage = _reported(row, call, asked, digest)
    _usage(row, asked, digest, usage, given, chars if call.large is None or not call.large.media else None)
    if not _from_cache(row, call):
        _price(row, call, usage)
    scrub(row, secrets)
    mode = call.labels.mode
    if mode == "off":
        return Finished(row, bodies=call.labels.bodies)
    sent, received = call.body, _answer(digest)
    if mode == "redacted":
        sent = redact.body(sent, secrets) if sent is not None else None
        received = redact.body(received, secrets) if received is not None else None
    elif mode == "full":
        sent = redact.full_body(sent, secrets, refused=False) if sent is not None else None
        refused = row.error_type is not None
        received = redact.full_body(received, secrets, refused=refused) if received is not None else None
    return Finished(row, sent, received, bodies=call.labels.bodies, redacted=mode == "redacted")


def _labels(row: Row, call: Call) -> None:
    note, labels = call.note, call.labels
    row.app = (note.app if note else None) or labels.app
    row.tags = tags_json(labels.tags, note.tags if note else None)
    row.simulated = 1 if labels.simulated else None
    if note is not None:
        row.prompt_name, row.prompt_version = note.prompt_name, note.prompt_version
        row.conversation_id, row.queue_s = note.conversation_id, note.queue_s
    row.operation_name, row.openai_api_type = providers.operation(call.path)
    row.server_address, row.server_port, row.url_path = call.host, call.port, call.path
    row.provider_name = providers.host_provider(call.host, call.port, call.path)
    row.bytes_sent = call.bytes_sent


def _asked(row: Row, asked: RequestSummary) -> None:
    row.request_model = asked.model
    row.request_stream = None if asked.stream is None else int(asked.stream)
    row.request_max_tokens = asked.max_tokens
    row.request_temperature, row.request_top_p = asked.temperature, asked.top_p
    row.request_stop_sequences = _json(asked.stop) if asked.stop else None
    row.request_seed, row.request_choice_count = asked.seed, asked.choices
    row.request_reasoning_effort = asked.effort
    row.request_tools, row.request_messages = asked.tools, asked.messages
    if asked.texts or asked.attached:
        row.prompt_hash = request_parser.prompt_hash(asked.texts, asked.attached)
        prefixes = request_parser.prefix_hashes(asked.texts)
        row.prefix_hashes = _json(prefixes) if prefixes else None


def _routed(row: Row, call: Call, asked: RequestSummary) -> None:
    """Note how hard the task is, from which a later policy can be tried on the log, and what routing decided."""
    if row.operation_name in _WRITES:
        row.task_complexity = complexity_of(asked.texts)
    decision = call.decision or (call.note.decision if call.note is not None else None)
    if decision is not None:
        row.routed_from, row.route_rule = decision.asked, decision.rule


def _answered(row: Row, call: Call, digest: Digest) -> None:
    row.http_response_status_code = call.status
    facts = digest.facts
    row.response_model, row.response_id = facts.model or None, facts.id or None
    row.response_service_tier = facts.service_tier or None
    row.response_finish_reasons = _json(digest.finish_reasons) if digest.finish_reasons else None
    limits: dict[str, str] = {}
    for name, value in call.response_headers:
        lower = name.lower()
        if lower in _REQUEST_IDS:
            row.request_id = row.request_id or value
        elif lower.startswith(_KEPT_HEADERS) and len(limits) < _MOST_LIMITS:
            limits[lower] = value
        elif lower in _TIMING_HEADERS and (milliseconds := _number(value)) is not None:
            digest.facts.timings[_TIMING_HEADERS[lower]] = milliseconds / 1000
    row.rate_limits = _json(limits) if limits else None
    row.server_timings = _json(digest.facts.timings) if digest.facts.timings else None


def _timings(row: Row, call: Call, digest: Digest) -> None:
    reader = call.reader
    row.connect_s, row.tls_s, row.ttfb_s = call.connect_s, call.tls_s, call.ttfb_s
    row.connection_reused = None if call.connection_reused is None else int(call.connection_reused)
    if reader is None:
        return
    row.total_s = reader.total_s
    if call.status is None or call.lost:
        return
    row.bytes_received, row.bytes_decoded = reader.bytes_received, reader.bytes_decoded
    if not reader.is_stream:
        if 200 <= call.status < 300 and reader.how == "eof":
            row.duration_s = reader.last_byte_s if reader.last_byte_s is not None else call.ttfb_s
        return
    row.response_time_to_first_chunk = digest.first_event_s
    row.ttft_s, row.ttfo_s, row.duration_s = digest.ttft_s, digest.ttfo_s, digest.last_content_s
    row.chunks = digest.content_events
    row.gap_p50_s, row.gap_p95_s = digest.gap_quantile(0.5), digest.gap_quantile(0.95)
    row.gap_max_s = digest.gap_max_s
    if digest.content_events > 1:
        row.stalls = digest.stalls


def _error(row: Row, call: Call, digest: Digest) -> None:
    """Name what went wrong; the first that applies: HTTP status, the server's own word, the way the response ended."""
    reader, error = call.reader, digest.facts.error
    message: str | None = None
    if call.status is not None and call.status >= 400:
        row.error_type = str(call.status)
        if error is not None:
            message = _said(error, row.error_type)
        elif digest.raw:
            message = errors.of_text(digest.raw.decode("utf-8", "replace"))
        elif (said := errors.of_body(digest.body)) is not None:
            message = _said(said, row.error_type)
    elif error is not None:
        row.error_type, message = error
    elif call.error is not None:
        row.error_type, message = _of_exception(call.error, responded=call.status is not None), str(call.error)
    elif reader is not None and reader.how is not None and not call.lost:
        row.error_type = _of_end(reader.how, reader.is_stream, digest)
        if row.error_type == "malformed_event":
            message = "an event of the stream is not valid JSON"
        elif digest.oversized:
            message = "an event of the stream is too large to be read"
        elif row.error_type is None and _answers_nothing(row, call, digest):
            row.error_type, message = "unexpected_content", _content(digest)
    if call.retried:
        message = f"{message or ''} (sent again without stream_options)".strip()
    row.error_message = message or None


def _said(error: tuple[str, str], status: str) -> str:
    """Return an error's words, and its code behind them where it says more than the status."""
    code, text = error
    return text if code in ("error", status) or code in text else f"{text} ({code})"


_WRITES = frozenset(("chat", "text_completion", "generate_content"))
"""Operations whose answer is text that somebody waits for."""


def _answers_nothing(row: Row, call: Call, digest: Digest) -> bool:
    """Say whether a request for text was answered under 200 with something else: a page, a word, foreign JSON."""
    reader = call.reader
    if reader is None or reader.how != "eof" or not reader.is_readable or row.operation_name not in _WRITES:
        return False
    if row.provider_name == bedrock.BEDROCK.provider:
        return False  # each of its models answers in a form of its own
    return call.method == "POST" and call.status == 200 and not digest.facts.known and not digest.partial


def _content(digest: Digest) -> str:
    """Name what came instead of an answer, without repeating what might be one."""
    if digest.raw:
        text = digest.raw.decode("utf-8", "replace")
        if errors.is_page(text):
            return f"the server answered with an HTML page: {errors.page_text(text)[:200]}"
        return "the server answered with text that is not JSON"
    if isinstance(digest.body, dict):
        names = ", ".join(sorted(digest.body))[:200] or "an empty object"
        return f"the server answered with JSON that is not an answer: {names}"
    return (
        "the server answered with nothing" if digest.body is None else "the server answered with JSON of no known form"
    )


def _of_end(how: str, stream: bool, digest: Digest) -> str | None:
    if not stream:
        return None if how == "eof" or digest.facts.done else "cancelled"
    if digest.complete:
        return None
    if digest.malformed:
        return "malformed_event"
    if how != "eof":
        return "cancelled"
    return "incomplete_stream" if digest.facts.known or not digest.events else None


def _of_exception(error: BaseException | str, *, responded: bool) -> str:
    """Return ``error_type`` of an exception by its class's names, which httpx, httpx2 and aiohttp share."""
    if isinstance(error, str):
        return error
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"CancelledError", "KeyboardInterrupt", "GeneratorExit", "SystemExit"}:
        return "cancelled"
    if names & {"TimeoutException", "TimeoutError"}:
        return "timeout"
    if "ConnectError" in names or "ConnectionRefusedError" in names or "gaierror" in names:
        return "connect"
    if responded and names & {"TransportError", "OSError", "ClientError"}:
        return "incomplete_stream"
    return type(error).__name__


_settled: OrderedDict[str, None] = OrderedDict()
"""Answers made in the background whose usage is in the log: they may be looked at again and again."""
_MOST_SETTLED = 10_000
_BACKGROUND_MS = 24 * 3_600_000
"""Milliseconds in which a background answer is looked for in the log: servers forget it by then."""


def _reported(row: Row, call: Call, asked: RequestSummary, digest: Digest) -> Usage:
    """Return the usage to log: once for each answer, and none of what only lists or repeats it."""
    facts = digest.facts
    if facts.usage is None and row.provider_name == bedrock.BEDROCK.provider:
        told = bedrock.usage_of_headers({name.lower(): value for name, value in call.response_headers})
        if told:
            facts.usage, facts.usage_api = told, bedrock.BEDROCK
    usage = facts.read_usage(row.provider_name)
    if row.operation_name == "speech" and not usage and call.status == 200:
        usage = usage.with_fees({"characters": sum(len(text) for _, text in asked.texts) or None})
    if usage and usage.cost_usd is None:
        told_cost = chat.cost_of_headers({name.lower(): value for name, value in call.response_headers})
        usage = replace(usage, cost_usd=told_cost) if told_cost is not None else usage
    if call.method == "POST":
        if usage and facts.settled_later:
            _remember(facts.id)
        return Usage() if providers.is_free(call.path) else usage
    if call.method == "GET" and facts.settled_later and facts.done and usage and not _is_settled(facts.id, row, call):
        _remember(facts.id)
        row.operation_name, row.openai_api_type = "chat", "responses"
        return usage
    facts.usage = None
    return Usage()


def _remember(response_id: str) -> None:
    _settled[response_id] = None
    while len(_settled) > _MOST_SETTLED:
        _settled.popitem(last=False)


def _is_settled(response_id: str, row: Row, call: Call) -> bool:
    """Say whether a background answer's usage was logged: by this process, or by another that looked before."""
    if response_id in _settled:
        return True
    path = getattr(call.labels.sink, "path", None)
    if path is None or row.started_ms is None:
        return False
    from promptop.base import sqlite

    try:
        with contextlib.closing(sqlite.connect_for_reading(path)) as connection:
            found = connection.execute(
                "SELECT 1 FROM requests WHERE started_ms > ? AND response_id = ?"
                " AND usage_output_tokens IS NOT NULL LIMIT 1",
                (row.started_ms - _BACKGROUND_MS, response_id),
            ).fetchone()
    except (sqlite3.Error, OSError) as error:
        count_fault("settle", error)
        return False
    return found is not None


def _usage(row: Row, asked: RequestSummary, digest: Digest, usage: Usage, given: str, chars: Chars | None) -> None:
    """Note what the server counted, else our count; ``chars`` of the input, None where it is more than text."""
    if digest.facts.usage is not None:
        row.usage_raw = _json(_finite(digest.facts.usage))
    if usage:
        row.usage_source = "reported"
        row.usage_input_tokens, row.usage_output_tokens = usage.input_tokens, usage.output_tokens
        row.usage_cache_read_input_tokens = usage.cache_read
        row.usage_cache_write_input_tokens = usage.cache_write
        row.usage_reasoning_output_tokens = usage.reasoning
    if row.operation_name is None:
        return
    model = row.response_model or row.request_model
    if chars is not None and any(chars):
        row.input_chars = _CHARS % chars
        row.input_o200k_tokens = o200k_if_loaded(given) if given else None
        messages = (asked.messages or 0) if row.operation_name == "chat" else 0
        row.estimate_input_tokens = tokens(model, chars, messages)
    answer = digest.chars()
    if any(answer):
        row.output_chars = _CHARS % answer
        row.estimate_output_tokens = max(1, tokens(model, answer))
    if usage:
        _complete(row, digest, usage)
    elif (any(answer) and row.operation_name in _WRITES) or (
        row.error_type is None and row.operation_name == "embeddings" and given
    ):
        # Nothing is charged for a call that failed before its first token; of any other the text was paid for.
        row.usage_source = "estimated"
        row.usage_input_tokens = row.estimate_input_tokens
        row.usage_output_tokens = row.estimate_output_tokens


def _complete(row: Row, digest: Digest, usage: Usage) -> None:
    """Put our own count where the server's is missing: none at all, or zeros on both sides of an answer with text."""
    if row.operation_name not in _WRITES:
        return
    said = row.estimate_output_tokens
    if said and not usage.input_tokens and not usage.output_tokens and usage.cost_usd is None:
        row.usage_source = "estimated"  # zeros for want of counts
        row.usage_input_tokens, row.usage_output_tokens = row.estimate_input_tokens, said
        return
    if said and (usage.output_tokens is None or digest.facts.opening_usage):
        # The stream ended before its counts came, or they are none: of the output there is our own count of what came.
        row.usage_source = "estimated"
        row.usage_output_tokens = max(usage.output_tokens or 0, said)
    if usage.input_tokens is None and row.estimate_input_tokens is not None:
        row.usage_source = "estimated"
        row.usage_input_tokens = row.estimate_input_tokens


def _finite(value: Any) -> Any:
    """Return a JSON value without NaN and Infinity, which are no JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _price(row: Row, call: Call, usage: Usage) -> None:
    """Take the cost that the server reports, else the price table's; what was charged and is not known is unpriced."""
    if usage.cost_usd is not None:
        row.cost_usd, row.cost_status = usage.cost_usd, "reported"
        return
    if row.usage_source == "estimated" and row.usage_input_tokens is None and call.bytes_sent:
        row.cost_status = "unpriced"  # an answer without its request would be priced far too low
        return
    from promptop.log.write.row_pricing import price_row

    try:
        price_row(row, usage)
    except Exception as error:  # noqa: BLE001 - a fault in the table leaves the row unpriced, which is shown
        count_fault("price", error)
    if row.cost_status is None and _is_charged(row, call):
        row.cost_status = "unpriced"


def _is_charged(row: Row, call: Call) -> bool:
    """Say whether a call that went well is one that providers charge for."""
    if call.method != "POST" or call.status is None or not 200 <= call.status < 300 or row.error_type is not None:
        return False
    if providers.is_free(call.path):
        return False
    return row.operation_name is not None or row.request_model is not None


def _from_cache(row: Row, call: Call) -> bool:
    """Note what our cache had to do with the call; return whether it answered: then the call cost nothing."""
    fact = call.cache
    if fact is None:
        return False
    row.cache_level, row.cache_key = fact.level, fact.key
    row.cache_lookup_s = round(fact.lookup_s, 6)
    row.cache_match, row.cache_score = fact.match or None, fact.score
    if fact.words_key is not None:
        try:
            row.cache_words_key = fact.words_key() or None
        except Exception as error:  # noqa: BLE001 - the boundary: the row goes without it
            count_fault("cache", error)
    if fact.level == "miss":
        return False
    row.cost_usd, row.cost_status, row.saved_usd = 0.0, "table", fact.saved_usd
    return True


def _answer(digest: Digest) -> bytes | None:
    """Return the answer's body: a JSON body as it came, a stream's text put together, an error page's beginning."""
    if digest.body is not None:
        return _json(digest.body).encode("utf-8", "surrogatepass")
    if digest.raw:
        return digest.raw
    said = {
        "content": digest.text("text"),
        "refusal": digest.text("refusal"),
        "reasoning": digest.text("reasoning"),
        "tool_calls": digest.text("tool"),
    }
    kept = {name: text for name, text in said.items() if text}
    return _json({"role": "assistant", **kept}).encode("utf-8", "surrogatepass") if kept else None


def _attempt(call: Call) -> int | None:
    """Return the attempt: the caller's own count, else the one that the SDK sends."""
    if call.note is not None and call.note.attempt is not None:
        return call.note.attempt
    for name, value in call.headers:
        if name.lower() == "x-stainless-retry-count" and value.isdecimal() and len(value) < 6:
            return int(value) + 1
    return None


def _number(text: str) -> float | None:
    try:
        return amount(float(text))
    except ValueError:
        return None


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
