"""How other programs describe a call, recognised by shape: Langfuse, Helicone, LiteLLM, ``llm``, and answers as JSON.

Each reader gives a row and the usage to price it by. What is not a call (a span, a daily sum) is said to be none.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from promptop import providers
from promptop.log.row import Row
from promptop.providers import chat
from promptop.providers.api import AnswerFacts
from promptop.providers.usage import Usage, first, total

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
    "anthropic_messages": "chat",
    "generate_content": "chat",
    "embedding": "embeddings",
    "responses": "chat",
    "text_completion": "text_completion",
    "image_generation": "image_generation",
    "speech": "speech",
    "transcription": "transcription",
}
PROVIDERS = {
    "az.ai.openai": "azure.ai.openai",
    "azure": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "vertex_ai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "xai": "x_ai",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
}
"""Names of providers that programs use → those of the conventions."""
_LANGFUSE_CALLS = {"GENERATION": "chat", "EMBEDDING": "embeddings"}
_LANGFUSE_OTHERS = frozenset(
    ("SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "GUARDRAIL", "TRACE")
)


@dataclass(slots=True)
class ImportedCall:
    """One call as another program describes it."""

    kind: str
    """What the entry was taken for, for people."""
    row: Row
    usage: Usage | None = None
    """What to price the row by, where the program did not say what it cost."""
    timeless: bool = False
    """It is of a kind that carries no time (an answer alone, a line of a batch): the file's stands for it."""


class NoCallError(Exception):
    """An entry that is of a known kind but no call; the text says what it is."""


def read(entry: dict[str, Any]) -> ImportedCall | None:
    """Return the call that an entry describes; None for a shape that is not known.

    Raises :class:`NoCallError` for what is not a call.
    """
    if _get(entry, "traceId") and (_get(entry, "type") in _LANGFUSE_CALLS or _get(entry, "type") in _LANGFUSE_OTHERS):
        return _langfuse(entry)
    if "request_created_at" in entry or ("delay_ms" in entry and "response_status" in entry):
        return _helicone(entry)
    if "call_type" in entry or ("startTime" in entry and ("spend" in entry or "request_id" in entry)):
        return _litellm(entry)
    if "datetime_utc" in entry:
        return _llm(entry)
    return _answer(entry)


# ── llm ──


def llm_calls(
    connection: sqlite3.Connection, tables: set[str], after: dict[str, int] | None = None
) -> Iterator[ImportedCall]:
    """Yield the calls of an ``llm`` database, of its older table ``responses`` and its newer one ``turns``.

    ``after`` has the rowid of each table that was read last; it is moved on, and only newer rows are yielded.
    """
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
        if after is None:
            for found in connection.execute(f"SELECT {wanted} FROM {table} ORDER BY datetime_utc"):
                yield _llm(dict(found))
            continue
        newer = f"SELECT rowid AS place, {wanted} FROM {table} WHERE rowid > ? ORDER BY rowid"
        for found in connection.execute(newer, (after.get(table, 0),)):
            yield _llm(dict(found))
            after[table] = int(found["place"])


def _llm(entry: Mapping[str, Any]) -> ImportedCall:
    details = _object(entry.get("token_details"))
    row = Row(
        started_ms=time_ms(entry.get("datetime_utc")),
        app="llm",
        operation_name="chat",
        request_model=_text(entry.get("model")),
        response_model=_text(entry.get("resolved_model")),
        request_id=_text(entry.get("id")),
        conversation_id=_text(entry.get("conversation", entry.get("conversation_id"))),
        total_s=_seconds(entry.get("duration_ms"), 1000),
        attempt=1,
    )
    raw = providers.with_counts(details, _whole(entry.get("input_tokens")), _whole(entry.get("output_tokens")))
    usage = _used(row, providers.usage_of(raw))
    if details:
        row.usage_raw = json.dumps(details, ensure_ascii=False)
    options = entry.get("options_json", entry.get("options"))
    _parameters(row, _object(options))
    return ImportedCall("llm logs.db", row, usage)


# ── LiteLLM ──


def _litellm(entry: dict[str, Any]) -> ImportedCall:
    """Read an entry of LiteLLM's spend logs (a row of its table, the API's JSON) or of its logging callbacks."""
    if "models" in entry and "users" in entry and not entry.get("model"):
        raise NoCallError("a sum of a day is not a call")
    metadata = _object(entry.get("metadata"))
    started, ended = time_ms(entry.get("startTime")), time_ms(entry.get("endTime"))
    begun = time_ms(entry.get("completionStartTime"))
    if _text(entry.get("mcp_namespaced_tool_name")):
        raise NoCallError("a call of a tool is not a call of a model")
    operation = str(entry.get("call_type") or "")
    host = urlsplit(str(entry.get("api_base") or ""))
    asked, hit = _text(entry.get("cache_key")), str(entry.get("cache_hit")).lower()
    asked = None if asked == "Cache OFF" else asked
    provider, model = _text(entry.get("custom_llm_provider")), _text(entry.get("model"))
    if provider and model:
        model = model.removeprefix(f"{provider}/")
    row = Row(
        started_ms=started,
        app=_text(metadata.get("user_api_key_team_alias")) or _text(entry.get("team_id")) or "litellm",
        tags=_litellm_tags(entry),
        # A leading "a" is for async, but not in anthropic_messages.
        operation_name=_LITELLM_OPERATIONS.get(operation)
        or _LITELLM_OPERATIONS.get(operation.removeprefix("a").removeprefix("_"), operation or None),
        provider_name=PROVIDERS.get(provider, provider) if provider else None,
        server_address=host.hostname,
        server_port=_port(host),
        url_path=host.path or None,
        conversation_id=_text(entry.get("session_id")),
        request_model=_text(entry.get("model_group")) or model,
        response_model=model,
        request_id=_text(entry.get("request_id", entry.get("id"))),
        cache_level="other" if hit == "true" else "miss" if hit == "false" and asked else None,
        cache_key=asked,
        attempt=1,
    )
    if started is not None and ended is not None and ended >= started:
        row.total_s = (ended - started) / 1000
        if begun is not None and started <= begun < ended:  # without streaming LiteLLM writes the end here
            row.ttft_s = (begun - started) / 1000
            row.request_stream = 1
    row.total_s = first_number(_seconds(entry.get("request_duration_ms"), 1000), row.total_s)
    if str(entry.get("status")).lower() != "failure":
        row.duration_s = row.total_s
    extra = _object(metadata.get("additional_usage_values"))
    raw = {**extra, **_object(metadata.get("usage_object"))}
    counts = providers.with_counts({}, _whole(entry.get("prompt_tokens")), _whole(entry.get("completion_tokens")))
    usage = _used(row, chat.read_usage({**raw, **{k: v for k, v in counts.items() if v is not None}}))
    if raw:
        row.usage_raw = json.dumps(raw, ensure_ascii=False)
    if str(entry.get("status")).lower() == "failure":
        problem = _object(metadata.get("error_information")) or _object(entry.get("error_information"))
        row.error_type = _text(problem.get("error_code")) or _text(problem.get("error_class")) or "error"
        row.error_message = _text(problem.get("error_message"))
        if row.error_type.isdecimal():
            row.http_response_status_code = int(row.error_type)
    spend = _number(entry.get("spend", entry.get("response_cost")))
    if spend is not None and (spend or hit == "true" or not (row.usage_input_tokens or row.usage_output_tokens)):
        # A spend of 0 for tokens means that LiteLLM had no price either: ours is asked then.
        row.cost_usd, row.cost_status = spend, "reported"
    return ImportedCall("LiteLLM spend log", row, usage)


def _litellm_tags(entry: Mapping[str, Any]) -> str | None:
    """Return what tells callers apart: people, teams and LiteLLM's own tags; not the hash of the key."""
    names = {
        "user": "user",
        "end_user": "end_user",
        "team_id": "team",
        "organization_id": "org",
        "agent_id": "agent",
        "model_id": "deployment",
    }
    tags: dict[str, Any] = {tag: value for name, tag in names.items() if (value := _text(entry.get(name)))}
    listed = _parsed(entry.get("request_tags"))
    for item in listed if isinstance(listed, list) else ():
        name, separator, value = str(item).partition(":")
        if name != "User-Agent":  # LiteLLM puts it there itself
            tags[name.strip()] = value.strip() if separator else True
    return json.dumps(tags, ensure_ascii=False) if tags else None


def _port(host: SplitResult) -> int | None:
    try:
        return host.port
    except ValueError:
        return None


# ── Langfuse ──


def _langfuse(entry: dict[str, Any]) -> ImportedCall:
    """Read an observation of Langfuse, in the API's spelling or the export's (snake case)."""
    kind = str(_get(entry, "type"))
    if kind not in _LANGFUSE_CALLS:
        raise NoCallError(f"{'an' if kind[:1] in 'AE' else 'a'} {kind.lower()} of Langfuse is not a call")
    started, ended = time_ms(_get(entry, "startTime")), time_ms(_get(entry, "endTime"))
    begun = time_ms(_get(entry, "completionStartTime"))
    row = Row(
        started_ms=started,
        app=_text(_get(entry, "traceName")) or "langfuse",
        operation_name=_LANGFUSE_CALLS[kind],
        conversation_id=_text(_get(entry, "sessionId")),
        prompt_name=_text(_get(entry, "promptName")),
        prompt_version=_text(_get(entry, "promptVersion")),
        request_model=_text(_get(entry, "providedModelName")) or _text(entry.get("model")),
        request_id=_text(entry.get("id")),
        attempt=1,
    )
    if started is not None and ended is not None and ended >= started:
        row.total_s = (ended - started) / 1000
        if begun is not None and started <= begun <= ended:
            row.ttft_s, row.request_stream = (begun - started) / 1000, 1
    _parameters(row, _object(_get(entry, "modelParameters")))
    details = _object(_get(entry, "usageDetails")) or _object(entry.get("usage"))
    usage = _used(row, _langfuse_usage(details, entry))
    if details:
        row.usage_raw = json.dumps(details, ensure_ascii=False)
    if _get(entry, "level") == "ERROR":
        row.error_type = "error"
    costs = _object(_get(entry, "costDetails"))
    cost = next(
        (
            found
            for value in (_get(entry, "totalCost"), _get(entry, "calculatedTotalCost"), costs.get("total"))
            if (found := _number(value)) is not None
        ),
        None,
    )
    if cost:  # 0 is what Langfuse writes where it knows no price
        row.cost_usd, row.cost_status = cost, "reported"
    return ImportedCall("Langfuse observations", row, usage)


def _langfuse_usage(details: Mapping[str, Any], entry: Mapping[str, Any]) -> Usage:
    """Return usage of Langfuse's own names: each kind of token is a key, ``total`` says whether they lie apart."""
    counts = {name: count for name, value in details.items() if (count := _whole(value)) is not None}
    taken = first(counts.get("input"), counts.get("promptTokens"), _whole(_get(entry, "promptTokens")))
    given = first(counts.get("output"), counts.get("completionTokens"), _whole(_get(entry, "completionTokens")))
    read = sum(n for name, n in counts.items() if "cache" in name and _is_read(name)) or None
    written = sum(n for name, n in counts.items() if "cache" in name and not _is_read(name)) or None
    reasoning = next((n for name, n in counts.items() if "reasoning" in name or "thought" in name), None)
    if taken is None and given is None:
        return providers.usage_of({**details})
    cached = (read or 0) + (written or 0)
    overall = counts.get("total")
    inside = overall == (taken or 0) + (given or 0) or (overall is None and cached <= (taken or 0))
    if not inside:
        taken = (taken or 0) + cached
        if overall is not None and overall == taken + (given or 0) + (reasoning or 0):
            given = (given or 0) + (reasoning or 0)
    return Usage(taken, given, read, written, reasoning)


def _is_read(name: str) -> bool:
    return not any(word in name for word in ("creation", "write", "written"))


# ── Helicone ──


def _helicone(entry: dict[str, Any]) -> ImportedCall:
    status = _whole(_first(entry, "response_status", "status"))
    row = Row(
        started_ms=time_ms(_first(entry, "request_created_at", "created_at")),
        app=_text(_first(entry, "request_user_id", "user_id")) or "helicone",
        operation_name="chat",
        provider_name=(_text(entry.get("provider")) or "").lower() or None,
        request_model=_text(_first(entry, "request_model", "model", "response_model")),
        response_model=_text(entry.get("response_model")),
        response_id=_text(entry.get("response_id")),
        request_id=_text(entry.get("request_id")),
        http_response_status_code=status if status and status > 0 else None,
        total_s=_seconds(entry.get("delay_ms"), 1000),
        ttft_s=_seconds(entry.get("time_to_first_token"), 1000),
        attempt=1,
    )
    if status is not None and (status >= 400 or status < 0):
        row.error_type = str(status) if status >= 400 else "cancelled"
    taken, given = _whole(entry.get("prompt_tokens")), _whole(entry.get("completion_tokens"))
    read = _whole(_first(entry, "prompt_cache_read_tokens", "cache_read_tokens"))
    written = _whole(_first(entry, "prompt_cache_write_tokens", "cache_write_tokens"))
    cached = (read or 0) + (written or 0)
    if taken is not None and cached > taken:
        taken += cached
    usage = _used(row, Usage(taken, given, read, written, _whole(entry.get("reasoning_tokens"))))
    cost = _number(_first(entry, "costUSD", "cost_usd", "cost"))
    if cost or (cost == 0 and not total(taken, given)):
        row.cost_usd, row.cost_status = cost, "reported"
    return ImportedCall("Helicone requests", row, usage)


# ── answers as JSON ──


def _answer(entry: dict[str, Any]) -> ImportedCall | None:
    """Read an answer of any API: alone, in a pair with its request, or in a line of a batch's output."""
    batch = "custom_id" in entry or "key" in entry
    request: dict[str, Any] = next(
        (entry[k] for k in ("request", "input", "body") if isinstance(entry.get(k), dict)), {}
    )
    request = request["body"] if isinstance(request.get("body"), dict) else request
    answer = next(
        (entry[k] for k in ("response", "output", "completion", "result") if isinstance(entry.get(k), dict)), entry
    )
    status = _whole(answer.get("status_code"))
    error: Any = entry.get("error")
    if answer is not entry and isinstance(answer.get("type"), str) and batch and "message" in answer:
        answer = answer["message"] if isinstance(answer["message"], dict) else answer  # Anthropic's batches
    elif answer is not entry and batch and answer.get("type") in ("errored", "expired", "canceled"):
        error = answer.get("error") or {"type": answer["type"]}
    answer = answer["body"] if isinstance(answer.get("body"), dict) else answer
    facts = AnswerFacts()
    api = providers.take(answer, facts)
    if error and facts.error is None:
        facts.failed(error)
    if facts.usage is None and facts.error is None and not facts.finish:
        return None
    usage = facts.read_usage()
    row = Row(
        started_ms=_time_of(entry, request, answer),
        app=_text(entry.get("app")) or "import",
        operation_name=_operation(api),
        openai_api_type=api.paths[0].api_type if api is not None and api.name == "responses" else None,
        provider_name=api.provider if api is not None else None,
        request_model=_text(request.get("model")) or facts.model or _text(entry.get("model")),
        response_model=facts.model or None,
        response_id=facts.id or None,
        request_id=_text(entry.get("custom_id", entry.get("key"))),
        response_service_tier=facts.service_tier or None,
        response_finish_reasons=json.dumps([facts.finish[at] for at in sorted(facts.finish)]) if facts.finish else None,
        http_response_status_code=status,
        total_s=first_number(
            _seconds(entry.get("duration_ms", entry.get("latency_ms")), 1000), _seconds(entry.get("duration_s"), 1)
        ),
        ttft_s=first_number(_seconds(entry.get("ttft_ms"), 1000), _seconds(entry.get("ttft_s"), 1)),
        attempt=1,
    )
    _parameters(row, request)
    if facts.usage is not None:
        row.usage_raw = json.dumps(facts.usage, ensure_ascii=False)
    if facts.error is not None or (status is not None and status >= 400):
        code = facts.error[0] if facts.error is not None else ""
        row.error_type = code if code and code != "error" else str(status) if status else "error"
    used = _used(row, usage)
    if used is not None and used.cost_usd is not None:
        row.cost_usd, row.cost_status = used.cost_usd, "reported"
    kind = f"answers of {api.title}" if api is not None and api.name != "chat" else "OpenAI objects"
    if batch:
        kind = "a batch's output"
        if used is not None and used.service is None:
            used = used.with_fees({"service": "batch"})
    return ImportedCall(kind, row, used, timeless=True)


def _operation(api: Any) -> str:
    return api.paths[0].operation if api is not None and api.paths else "chat"


def _time_of(*sources: Mapping[str, Any]) -> int | None:
    names = ("started_at", "start_time", "timestamp", "created_at", "created", "time", "createTime")
    return next(
        (found for source in sources for name in names if (found := time_ms(source.get(name))) is not None), None
    )


# ── shared ──


def _used(row: Row, usage: Usage) -> Usage | None:
    """Write usage into a row; return it where there is any."""
    row.usage_input_tokens, row.usage_output_tokens = usage.input_tokens, usage.output_tokens
    row.usage_cache_read_input_tokens = usage.cache_read
    row.usage_cache_write_input_tokens = usage.cache_write
    row.usage_reasoning_output_tokens = usage.reasoning
    if not usage:
        return None
    row.usage_source = "reported"
    return usage


def _parameters(row: Row, request: Mapping[str, Any]) -> None:
    for name, column in {**_OPTIONS, "max_completion_tokens": "request_max_tokens"}.items():
        value = request.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            setattr(row, column, value)


def time_ms(value: Any) -> int | None:
    """Return Unix milliseconds of an ISO time (UTC where it names no zone) or of seconds or milliseconds; else None."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
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


def _get(entry: Mapping[str, Any], name: str) -> Any:
    """Return a field by its camel-case name or its snake-case one."""
    if name in entry:
        return entry[name]
    return entry.get("".join(f"_{c.lower()}" if c.isupper() else c for c in name))


def _first(entry: Mapping[str, Any], *names: str) -> Any:
    return next((entry[name] for name in names if entry.get(name) not in (None, "")), None)


def first_number(*values: float | None) -> float | None:
    """Return the first value that is known."""
    return next((value for value in values if value is not None), None)


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
