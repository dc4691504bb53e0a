"""One row of the request log: one attempt of one call, whatever happened to it.

Column names are the OpenTelemetry GenAI attributes with dots as underscores and the leading ``gen_ai_`` dropped
(docs/log.md). Unknown is NULL (None), never 0. Durations are seconds on a monotonic clock, counted from the moment just
before the request left the caller's code; ``started_ms`` is UTC Unix time in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


def column(sql_type: str, meaning: str, otel: str = "") -> Any:
    """Describe a column: its SQLite type, its meaning for the documentation, and its dotted OpenTelemetry name."""
    return field(default=None, metadata={"sql": sql_type, "meaning": meaning, "otel": otel})


@dataclass(slots=True, kw_only=True)
class Row:
    """One attempt. Every field is a column; the primary key ``id`` is the database's."""

    # When, who, where
    started_ms: int | None = column("INTEGER", "start, UTC, Unix milliseconds")
    app: str | None = column("TEXT", "the program that called")
    host_name: str | None = column("TEXT", "machine of the process that called, or of the proxy", "host.name")
    process_pid: int | None = column("INTEGER", "that process's id", "process.pid")
    service_name: str | None = column("TEXT", "its service, where OTEL_SERVICE_NAME names one", "service.name")
    service_instance_id: str | None = column("TEXT", "one run of that service", "service.instance.id")
    tags: str | None = column("TEXT", "JSON object of the caller's tags")
    simulated: int | None = column("INTEGER", "1 for traffic of the simulated endpoint")
    operation_name: str | None = column("TEXT", "chat, embeddings, …", "gen_ai.operation.name")
    provider_name: str | None = column("TEXT", "openai, anthropic, …", "gen_ai.provider.name")
    openai_api_type: str | None = column("TEXT", "chat_completions or responses", "openai.api.type")
    server_address: str | None = column("TEXT", "host called", "server.address")
    server_port: int | None = column("INTEGER", "port called", "server.port")
    url_path: str | None = column("TEXT", "path called, without its query", "url.path")
    conversation_id: str | None = column("TEXT", "conversation", "gen_ai.conversation.id")
    prompt_name: str | None = column("TEXT", "prompt's name in the library", "gen_ai.prompt.name")
    prompt_version: str | None = column("TEXT", "prompt's version in the library")
    prompt_hash: str | None = column("TEXT", "keyed-less BLAKE2b-128 of the messages, hex")
    prefix_hashes: str | None = column("TEXT", "JSON [[characters, hash], …] of growing prefixes")
    # What was asked
    request_model: str | None = column("TEXT", "model asked for", "gen_ai.request.model")
    request_stream: int | None = column("INTEGER", "1 if streamed", "gen_ai.request.stream")
    request_max_tokens: int | None = column("INTEGER", "limit of output tokens", "gen_ai.request.max_tokens")
    request_temperature: float | None = column("REAL", "temperature", "gen_ai.request.temperature")
    request_top_p: float | None = column("REAL", "nucleus share", "gen_ai.request.top_p")
    request_stop_sequences: str | None = column("TEXT", "JSON list", "gen_ai.request.stop_sequences")
    request_seed: int | None = column("INTEGER", "seed", "gen_ai.request.seed")
    request_choice_count: int | None = column("INTEGER", "n, where not 1", "gen_ai.request.choice.count")
    request_reasoning_effort: str | None = column("TEXT", "reasoning effort", "gen_ai.request.reasoning.effort")
    request_tools: int | None = column("INTEGER", "number of tools offered")
    request_messages: int | None = column("INTEGER", "number of messages or inputs")
    routed_from: str | None = column("TEXT", "model that the caller named, where routing was on")
    route_rule: str | None = column("TEXT", "the routing rule that decided; 'no rule': the named model was kept")
    task_complexity: float | None = column("REAL", "how hard the task is, 0 … 1, read from a chat request's text")
    # What came back
    response_model: str | None = column("TEXT", "model that answered", "gen_ai.response.model")
    response_id: str | None = column("TEXT", "answer's id", "gen_ai.response.id")
    request_id: str | None = column("TEXT", "x-request-id of the server")
    response_finish_reasons: str | None = column("TEXT", "JSON list", "gen_ai.response.finish_reasons")
    response_service_tier: str | None = column("TEXT", "service tier", "openai.response.service_tier")
    http_response_status_code: int | None = column("INTEGER", "HTTP status", "http.response.status_code")
    error_type: str | None = column(
        "TEXT",
        "NULL if it went well; cancelled, incomplete_stream, timeout, connect, an HTTP status or the server's code",
        "error.type",
    )
    error_message: str | None = column("TEXT", "server's message, credentials removed")
    attempt: int | None = column("INTEGER", "1 for the first try")
    # Timings, seconds from the start
    queue_s: float | None = column("REAL", "waited for the limiter before the start")
    connect_s: float | None = column("REAL", "name look-up and TCP connect, NULL on a reused connection")
    tls_s: float | None = column("REAL", "TLS handshake")
    ttfb_s: float | None = column("REAL", "response headers")
    response_time_to_first_chunk: float | None = column(
        "REAL", "first stream event", "gen_ai.response.time_to_first_chunk"
    )
    ttft_s: float | None = column(
        "REAL", "first generated token of any kind; NULL where none came or nothing was streamed"
    )
    ttfo_s: float | None = column("REAL", "first visible output token")
    duration_s: float | None = column("REAL", "last generated content")
    total_s: float | None = column("REAL", "response closed")
    connection_reused: int | None = column("INTEGER", "1 if the connection was kept alive from before")
    chunks: int | None = column("INTEGER", "stream events with generated content")
    gap_p50_s: float | None = column("REAL", "median gap between content events")
    gap_p95_s: float | None = column("REAL", "95th percentile of the gaps")
    gap_max_s: float | None = column("REAL", "longest gap")
    stalls: int | None = column("INTEGER", "gaps above one second")
    server_timings: str | None = column("TEXT", "JSON object of the server's own timings, seconds")
    rate_limits: str | None = column("TEXT", "JSON object of the x-ratelimit and retry-after headers")
    # Size
    bytes_sent: int | None = column("INTEGER", "request body, bytes")
    bytes_received: int | None = column("INTEGER", "response body on the wire, bytes")
    bytes_decoded: int | None = column("INTEGER", "response body after decompression, bytes")
    input_chars: str | None = column("TEXT", "JSON [Latin, CJK, code, other] characters of the input")
    input_o200k_tokens: int | None = column(
        "INTEGER", "o200k tokens of the input's text, if the process had a tokenizer"
    )
    output_chars: str | None = column("TEXT", "JSON [Latin, CJK, code, other] characters of the output")
    # Usage
    usage_input_tokens: int | None = column(
        "INTEGER", "input tokens, cached ones included", "gen_ai.usage.input_tokens"
    )
    usage_output_tokens: int | None = column(
        "INTEGER", "output tokens, reasoning included", "gen_ai.usage.output_tokens"
    )
    usage_cache_read_input_tokens: int | None = column(
        "INTEGER", "input read from the provider's cache", "gen_ai.usage.cache_read.input_tokens"
    )
    usage_cache_write_input_tokens: int | None = column(
        "INTEGER", "input written to the provider's cache", "gen_ai.usage.cache_write.input_tokens"
    )
    usage_reasoning_output_tokens: int | None = column(
        "INTEGER", "hidden reasoning", "gen_ai.usage.reasoning.output_tokens"
    )
    usage_source: str | None = column("TEXT", "reported, estimated, or NULL if unknown")
    usage_raw: str | None = column("TEXT", "the server's usage object, JSON")
    estimate_input_tokens: int | None = column("INTEGER", "our count of the input, whatever the server said")
    estimate_output_tokens: int | None = column("INTEGER", "our count of the output")
    # Money, USD
    cost_usd: float | None = column("REAL", "cost; NULL if unpriced", "promptop.cost.usd")
    cost_status: str | None = column("TEXT", "reported, table, estimated or unpriced", "promptop.cost.status")
    price_as_of: str | None = column("TEXT", "date of the price table")
    saved_usd: float | None = column("REAL", "what a hit of our cache saved")
    cache_level: str | None = column(
        "TEXT",
        "memory, redis, disk or semantic: the level that answered; miss: asked and not found; NULL: not asked",
        "promptop.cache.level",
    )
    cache_key: str | None = column("TEXT", "hash of the canonical request")
    cache_match: str | None = column("TEXT", "cache_key of the other wording whose answer was given (level semantic)")
    cache_score: float | None = column("REAL", "how near that wording is, 0 … 1")
    cache_lookup_s: float | None = column("REAL", "time of the look-up in our cache; of a miss no part of its timings")
    cache_words_key: str | None = column(
        "TEXT", "cache_key without regard to runs of white space: of misses, where the cache regards them"
    )


COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Row))
"""Column names in order, without ``id``."""
