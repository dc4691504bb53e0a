"""The tables of a fleet's log in ClickHouse, made from the columns of a row and the integers of a window.

Rows go into ``requests``; views add them up by minute, and minutes by hour, in promptop's own buckets, so that windows
of the engine and of a local log are the same integers. Each statement may be run again. A column is only ever added.
"""

from __future__ import annotations

from dataclasses import fields

from promptop.log.read.stats import HIT_LEVELS, INTEGERS
from promptop.log.rollups.sketch import LONGEST_US, PER_LOG
from promptop.log.row import Row

VERSION = 1
OLDEST_ENGINE = (25, 3)
"""The first version whose views are known to keep a token for each table."""
TABLES = ("schema_version", "requests", "rollup_minute", "rollup_hour", "marks")
SKETCHED = ("latency", "ttft")
ROWS_DAYS, MINUTES_DAYS = 90, 8
_LAST_MS = 4_102_444_800_000
"""The end of 2099: later starts are clock faults, which a date of ClickHouse cannot hold."""
_WORDS = frozenset(
    "app host_name service_name operation_name provider_name openai_api_type server_address url_path prompt_name"
    " prompt_version request_model request_reasoning_effort response_model response_finish_reasons"
    " response_service_tier error_type usage_source cost_status price_as_of cache_level".split()
)
"""Columns of few values, which are stored as a dictionary."""
_START = f"toDateTime(intDiv(least(started_ms, {_LAST_MS}), 1000), 'UTC')"
_DEDUPE = "non_replicated_deduplication_window = 10000"
_SERIES = ("model", "app", "prompt")


def statements(database: str = "promptop") -> list[str]:
    """Return the statements that make the database, in order."""
    at = f"`{database}`."
    return [
        f"CREATE DATABASE IF NOT EXISTS `{database}`",
        f"CREATE TABLE IF NOT EXISTS {at}schema_version (version UInt16, applied DateTime DEFAULT now())"
        " ENGINE = ReplacingMergeTree ORDER BY version",
        f"INSERT INTO {at}schema_version (version) SELECT {VERSION}"
        f" WHERE NOT EXISTS (SELECT 1 FROM {at}schema_version WHERE version = {VERSION})",
        _requests(at),
        _rollup(
            at,
            "minute",
            f"PARTITION BY toMonday(start)\nTTL start + INTERVAL {MINUTES_DAYS} DAY",
            "ttl_only_drop_parts = 1, ",
        ),
        _rollup(at, "hour", "PARTITION BY toYYYYMM(start)", ""),
        f"""CREATE TABLE IF NOT EXISTS {at}marks (
    tenant LowCardinality(String),
    log_id String,
    shipper String,
    host SimpleAggregateFunction(anyLast, String),
    last SimpleAggregateFunction(max, UInt64),
    rows SimpleAggregateFunction(sum, UInt64),
    started_ms SimpleAggregateFunction(max, Int64),
    seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = AggregatingMergeTree ORDER BY (tenant, log_id, shipper) SETTINGS {_DEDUPE}""",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at}rollup_minute_mv TO {at}rollup_minute AS\n"
        f"SELECT tenant, toStartOfMinute({_START}) AS start, {', '.join(f'{key_sql(k)} AS {k}' for k in _SERIES)},\n"
        f"    {counted()}\nFROM {described(f'{at}requests')}\nGROUP BY tenant, start, model, app, prompt",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at}rollup_hour_mv TO {at}rollup_hour AS\n"
        f"SELECT tenant, toStartOfHour(rollup_minute.start) AS start, model, app, prompt,\n    {folded()}\n"
        f"FROM {at}rollup_minute\nGROUP BY tenant, start, model, app, prompt",
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at}marks_mv TO {at}marks AS\n"
        "SELECT tenant, log_id, shipper, anyLast(requests.shipped_from) AS host, max(id) AS last, count() AS rows,\n"
        f"    max(requests.started_ms) AS started_ms, max(received) AS seen\nFROM {at}requests\n"
        "GROUP BY tenant, log_id, shipper",
    ]


def script(database: str = "promptop") -> str:
    """Return the statements as a file for clickhouse-client."""
    head = "-- The fleet's log of promptop. Run as an administrator; each statement may be run again.\n\n"
    return head + "".join(f"{statement};\n\n" for statement in statements(database))


def column_types() -> dict[str, str]:
    """Return name → type of the columns of ``requests`` that a row of a log has, without its id."""
    types = {f.name: _type(f.name, f.metadata["sql"]) for f in fields(Row)}
    types["started_ms"] = "Int64"
    return types


def key_sql(dimension: str) -> str:
    """Return the SQL of one of the dimensions that the sums are kept by."""
    column = {
        "model": "coalesce(requests.request_model, requests.response_model)",
        "app": "requests.app",
        "prompt": "requests.prompt_name",
    }
    return f"ifNull(toString({column[dimension]}), '')"


def counted() -> str:
    """Return the sums over :func:`described` rows, named as the columns of a rollup: the counting of a local window."""
    hits = {f"hits_{level}": f"countIf(level = '{level}')" for level in HIT_LEVELS[:-1]}
    known = ", ".join(f"'{level}'" for level in HIT_LEVELS[:-1])
    finish = "ifNull(toString(response_finish_reasons), '')"
    sums = {
        "n": "count()",
        "errors": "countIf(failed AND NOT limited)",
        "rate_limited": "countIf(failed AND limited)",
        "cancelled": "countIf(ifNull(error_type = 'cancelled', 0))",
        "truncated": f"countIf(position({finish}, '\"length\"') > 0 OR match({finish}, '(?s)\"max_.*tokens\"'))",
        "lookups": "countIf(cache_level IS NOT NULL)",
        **hits,
        "hits_other": f"countIf(hit AND level NOT IN ({known}))",
        "input_tokens": "sum(ifNull(usage_input_tokens, 0))",
        "output_tokens": "sum(ifNull(usage_output_tokens, 0))",
        "cache_read": "sum(ifNull(usage_cache_read_input_tokens, 0))",
        "cache_write": "sum(ifNull(usage_cache_write_input_tokens, 0))",
        "reasoning": "sum(ifNull(usage_reasoning_output_tokens, 0))",
        "unpriced": "countIf(NOT ifNull(cost_usd BETWEEN -1e6 AND 1e6, 0) AND NOT hit"
        " AND (ifNull(usage_input_tokens, 0) != 0 OR ifNull(usage_output_tokens, 0) != 0))",
        "estimated": "countIf(ifNull(usage_source = 'estimated', 0) OR ifNull(cost_status = 'estimated', 0))",
        "cost_pico": _pico("cost_usd"),
        "saved_pico": _pico("saved_usd"),
    }
    assert tuple(sums) == INTEGERS
    for name in SKETCHED:
        us = f"{name}_us"
        sums[f"{name}_n"] = f"countIf({us} IS NOT NULL)"
        sums[f"{name}_sum_us"] = f"sum(toInt64(round(ifNull({us}, 0))))"
        sums[f"{name}_max_us"] = f"max(toInt64(round(ifNull({us}, 0))))"
        bucket = f"if(ifNull({us}, 0) < 1, 0, 1 + floor(log(ifNull({us}, 1)) * {PER_LOG!r}))"
        sums[f"{name}_buckets"] = f"sumMapIf(map(toUInt16({bucket}), toUInt64(1)), {us} IS NOT NULL)"
    kind = "substringUTF8(ifNull(toString(error_type), ''), 1, 64)"
    sums["error_types"] = f"sumMapIf(map({kind}, toUInt64(1)), error_type IS NOT NULL)"
    return ",\n    ".join(f"{sql} AS {name}" for name, sql in sums.items())


def folded() -> str:
    """Return the sums over rows of a rollup, named as they are."""
    sums = [f"sum({name}) AS {name}" for name in INTEGERS]
    for name in SKETCHED:
        for part, function in (("n", "sum"), ("sum_us", "sum"), ("max_us", "max"), ("buckets", "sumMap")):
            sums.append(f"{function}({name}_{part}) AS {name}_{part}")
    return ",\n    ".join([*sums, "sumMap(error_types) AS error_types"])


def described(source: str, condition: str = "1") -> str:
    """Return rows of ``requests`` with what the counting asks of each."""

    # greatest() and least() pass over NULL, so NULL is asked for first.
    def microseconds(seconds: str) -> str:
        known = f"speaks AND {seconds} IS NOT NULL AND NOT isNaN(assumeNotNull({seconds}))"
        return f"if({known}, greatest(0, least({seconds} * 1e6, {float(LONGEST_US)!r})), NULL)"

    return f"""(
    SELECT *, ifNull(toString(cache_level), '') AS level, cache_level IS NOT NULL AND level != 'miss' AS hit,
        error_type IS NOT NULL AND ifNull(error_type != 'cancelled', 0) AS failed,
        ifNull(http_response_status_code = 429, 0) OR ifNull(error_type = '429', 0) AS limited,
        error_type IS NULL AND NOT hit AS speaks,
        coalesce(duration_s, total_s) AS took_s,
        {microseconds("took_s")} AS latency_us,
        {microseconds("ttft_s")} AS ttft_us
    FROM {source} WHERE {condition}
) AS requests"""


def _requests(at: str) -> str:
    columns = ",\n    ".join(f"{name} {kind}" for name, kind in column_types().items())
    return f"""CREATE TABLE IF NOT EXISTS {at}requests (
    tenant LowCardinality(String) DEFAULT 'default',
    log_id LowCardinality(String),
    id UInt64 CODEC(DoubleDelta, ZSTD(1)),
    shipper LowCardinality(String) DEFAULT '',
    shipped_from LowCardinality(String) DEFAULT '',
    received DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    {columns},
    CONSTRAINT own_tenant CHECK NOT startsWith(currentUser(), 'w_')
        OR tenant = extract(currentUser(), '^w_(.+?)(?:__.*)?$'),
    INDEX by_received received TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toMonday({_START})
ORDER BY (tenant, intDiv(started_ms, 3600000), log_id, id)
TTL {_START} + INTERVAL {ROWS_DAYS} DAY
SETTINGS ttl_only_drop_parts = 1, {_DEDUPE}"""


def _rollup(at: str, span: str, place: str, settings: str) -> str:
    partition, _, ttl = place.partition("\n")
    columns = [f"{name} SimpleAggregateFunction(sum, Int64)" for name in INTEGERS]
    for name in SKETCHED:
        columns += [f"{name}_{part} SimpleAggregateFunction(sum, Int64)" for part in ("n", "sum_us")]
        columns.append(f"{name}_max_us SimpleAggregateFunction(max, Int64)")
        columns.append(f"{name}_buckets SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))")
    columns.append("error_types SimpleAggregateFunction(sumMap, Map(String, UInt64))")
    listed = ",\n    ".join(columns)
    return f"""CREATE TABLE IF NOT EXISTS {at}rollup_{span} (
    tenant LowCardinality(String),
    start DateTime('UTC'),
    model LowCardinality(String),
    app LowCardinality(String),
    prompt LowCardinality(String),
    {listed}
) ENGINE = AggregatingMergeTree
{partition}
ORDER BY (tenant, start, model, app, prompt){f"{chr(10)}{ttl}" if ttl else ""}
SETTINGS {settings}{_DEDUPE}"""


def _type(name: str, sql: str) -> str:
    if sql == "TEXT":
        return "LowCardinality(Nullable(String))" if name in _WORDS else "Nullable(String) CODEC(ZSTD(3))"
    return "Nullable(Float64)" if sql == "REAL" else "Nullable(Int64)"


def _pico(column: str) -> str:
    return f"sum(toInt64(ifNull(if({column} BETWEEN -1e6 AND 1e6, round({column} * 1e12), 0), 0)))"
