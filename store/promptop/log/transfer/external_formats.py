"""How other programs describe a call: the tables of ``llm``, LiteLLM's spend logs, OpenAI's objects."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from promptop.log.row import Row

_LLM_COLUMNS = (
    "id",
    "model",
    "resolved_model",
    "options_json",
    "conversation",
    "duration_ms",
    "datetime_utc",
    "input_tokens",
    "output_tokens",
    "token_details",
)
_OPTIONS = {
    "temperature": "request_temperature",
    "max_tokens": "request_max_tokens",
    "top_p": "request_top_p",
    "seed": "request_seed",
}
_LITELLM_OPERATIONS = {
    "completion": "chat",
    "embedding": "embeddings",
    "responses": "chat",
    "text_completion": "text_completion",
}


def llm_rows(connection: sqlite3.Connection, tables: set[str]) -> Iterator[Row]:
    """Yield the calls of an ``llm`` database, of its older table ``responses`` and its newer one ``turns``."""
    for table, conversation in (("responses", "conversation_id"), ("turns", "thread_id")):
        if table not in tables:
            continue
        present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        wanted = ", ".join(
            f"{conversation} AS conversation"
            if name == "conversation" and conversation in present
            else name
            if name in present
            else f"NULL AS {name}"
            for name in _LLM_COLUMNS
        )
        for found in connection.execute(f"SELECT {wanted} FROM {table} ORDER BY datetime_utc"):
            yield _llm_row(found)


def _llm_row(found: sqlite3.Row) -> Row:
    details = _object(found["token_details"])
    row = Row(
        started_ms=time_ms(found["datetime_utc"]),
        app="llm",
        operation_name="chat",
        request_model=_text(found["model"]),
        response_model=_text(found["resolved_model"]),
        request_id=_text(found["id"]),
        conversation_id=_text(found["conversation"]),
        total_s=_seconds(found["duration_ms"], 1000),
        attempt=1,
    )
    _usage(
        row,
        {
            "prompt_tokens": found["input_tokens"],
            "completion_tokens": found["output_tokens"],
            **{key: value for key, value in details.items() if key.endswith("_details")},
        },
    )
    if details:
        row.usage_raw = json.dumps(details, ensure_ascii=False)
    options = _object(found["options_json"])
    for name, column in _OPTIONS.items():
        value = options.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            setattr(row, column, value)
    return row


def litellm_row(entry: dict[str, Any]) -> Row:
    """Return the call of an entry of LiteLLM's spend logs (a row of its table, or the API's JSON)."""
    metadata = _object(entry.get("metadata"))
    started, ended = time_ms(entry.get("startTime")), time_ms(entry.get("endTime"))
    first = time_ms(entry.get("completionStartTime"))
    operation = str(entry.get("call_type") or "").removeprefix("a").removeprefix("_")
    host = urlsplit(str(entry.get("api_base") or ""))
    hit = str(entry.get("cache_hit")).lower() == "true"
    tags = _parsed(entry.get("request_tags"))
    row = Row(
        started_ms=started,
        app=_text(entry.get("end_user")) or _text(entry.get("user")) or "litellm",
        tags=json.dumps(dict.fromkeys(map(str, tags), True)) if isinstance(tags, list) and tags else None,
        operation_name=_LITELLM_OPERATIONS.get(operation, operation or None),
        provider_name=_text(entry.get("custom_llm_provider")),
        server_address=host.hostname,
        conversation_id=_text(entry.get("session_id")),
        request_model=_text(entry.get("model_group")) or _text(entry.get("model")),
        response_model=_text(entry.get("model")),
        request_id=_text(entry.get("request_id")),
        cache_level="other" if hit else None,
        cache_key=_text(entry.get("cache_key")) if entry.get("cache_key") != "Cache OFF" else None,
        attempt=1,
    )
    if started is not None and ended is not None and ended >= started:
        row.total_s = (ended - started) / 1000
        if first is not None and started <= first < ended:  # without streaming LiteLLM writes the end here
            row.ttft_s = (first - started) / 1000
            row.request_stream = 1
    usage = _object(metadata.get("usage_object"))
    _usage(
        row, {**usage, "prompt_tokens": entry.get("prompt_tokens"), "completion_tokens": entry.get("completion_tokens")}
    )
    if str(entry.get("status")).lower() == "failure":
        problem = _object(metadata.get("error_information"))
        row.error_type = _text(problem.get("error_code")) or _text(problem.get("error_class")) or "error"
        if row.error_type.isdecimal():
            row.http_response_status_code = int(row.error_type)
    spend = _number(entry.get("spend"))
    if spend is not None and (spend or hit or not row.usage_input_tokens):
        # A spend of 0 for tokens means that LiteLLM had no price either: ours is asked then.
        row.cost_usd, row.cost_status = spend, "reported"
    return row


def openai_row(entry: dict[str, Any]) -> Row | None:
    """Return the call of a response object, of a line of a batch's output, or of a pair of request and response."""
    request: dict[str, Any] = next(
        (entry[k] for k in ("request", "input", "body") if isinstance(entry.get(k), dict)), {}
    )
    request = request["body"] if isinstance(request.get("body"), dict) else request
    answer = next((entry[k] for k in ("response", "output", "completion") if isinstance(entry.get(k), dict)), entry)
    status = _whole(answer.get("status_code"))
    answer = answer["body"] if isinstance(answer.get("body"), dict) else answer
    usage, error = answer.get("usage"), answer.get("error") or entry.get("error")
    if not isinstance(usage, dict) and not error and not isinstance(answer.get("choices"), list):
        return None
    started = next(
        (
            found
            for source in (entry, request, answer)
            for name in ("started_at", "start_time", "timestamp", "created_at", "created", "time")
            if (found := time_ms(source.get(name))) is not None
        ),
        None,
    )
    row = Row(
        started_ms=started,
        app=_text(entry.get("app")) or "import",
        operation_name="embeddings" if answer.get("object") == "list" else "chat",
        openai_api_type="responses" if answer.get("object") == "response" else None,
        request_model=_text(request.get("model")) or _text(answer.get("model")),
        response_model=_text(answer.get("model")),
        response_id=_text(answer.get("id")),
        request_id=_text(entry.get("custom_id")),
        response_service_tier=_text(answer.get("service_tier")),
        http_response_status_code=status,
        total_s=_seconds(entry.get("duration_ms", entry.get("latency_ms")), 1000)
        or _seconds(entry.get("duration_s"), 1),
        ttft_s=_seconds(entry.get("ttft_ms"), 1000) or _seconds(entry.get("ttft_s"), 1),
        attempt=1,
    )
    for name, column in {**_OPTIONS, "max_completion_tokens": "request_max_tokens"}.items():
        value = request.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            setattr(row, column, value)
    choices = answer.get("choices")
    if isinstance(choices, list):
        reasons = [
            c["finish_reason"] for c in choices if isinstance(c, dict) and isinstance(c.get("finish_reason"), str)
        ]
        row.response_finish_reasons = json.dumps(reasons) if reasons else None
    if isinstance(usage, dict):
        _usage(row, usage)
        row.usage_raw = json.dumps(usage, ensure_ascii=False)
    if error or (status is not None and status >= 400):
        code = error.get("code") or error.get("type") if isinstance(error, dict) else None
        row.error_type = _text(code) or (str(status) if status else "error")
    return row


def time_ms(value: Any) -> int | None:
    """Return Unix milliseconds of an ISO time (UTC where it names no zone) or of seconds or milliseconds; else None."""
    if isinstance(value, str):
        number = _number(value)
        if number is None:
            try:
                moment = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
            except ValueError:
                return None
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        value = number
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1e8 < value < 2e14:
        return None
    return round(value if value > 1e11 else value * 1000)


def _usage(row: Row, usage: dict[str, Any]) -> None:
    """Read usage in the names of chat completions or of the Responses API."""
    row.usage_input_tokens = _whole(usage.get("prompt_tokens", usage.get("input_tokens")))
    row.usage_output_tokens = _whole(usage.get("completion_tokens", usage.get("output_tokens")))
    into = _object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    out_of = _object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    row.usage_cache_read_input_tokens = _whole(into.get("cached_tokens"))
    row.usage_cache_write_input_tokens = _whole(into.get("cache_write_tokens"))
    row.usage_reasoning_output_tokens = _whole(out_of.get("reasoning_tokens"))
    if row.usage_input_tokens is not None or row.usage_output_tokens is not None:
        row.usage_source = "reported"


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _object(value: Any) -> dict[str, Any]:
    found = _parsed(value)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else str(value) if isinstance(value, int) else None


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < 1e15 else None


def _whole(value: Any) -> int | None:
    found = _number(value)
    return None if found is None or found < 0 else int(found)


def _seconds(value: Any, per: float) -> float | None:
    found = _number(value)
    return None if found is None or found < 0 else found / per
