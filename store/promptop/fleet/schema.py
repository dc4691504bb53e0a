"""The tables of a fleet's log in ClickHouse, made from the columns of a row and the integers of a window.

Rows go into ``requests``; views add them up by minute, and minutes by hour, in promptop's own buckets, so that windows
of the engine and of a local log are the same integers. Each statement may be run again: a column is only ever added, to
tables that are there already as well, and views are given today's SELECT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

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
_SERIES = ("model", "app", "prompt")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tables are: on one server, or spread over a cluster by log, each shard with its own sums."""

    database: str = "promptop"
    cluster: str = ""

    @property
    def on_cluster(self) -> str:
        """What a statement says after the name of what it creates."""
        return f" ON CLUSTER `{self.cluster}`" if self.cluster else ""

    def table(self, name: str) -> str:
        """Return the table that holds rows."""
        return f"`{self.database}`.{name}{'_local' if self.cluster else ''}"

    def engine(self, name: str, kind: str) -> str:
        """Return the engine of a table, and how long it remembers tokens."""
        if not self.cluster:
            return kind
        return f"Replicated{kind}('/clickhouse/tables/{{shard}}/{self.database}/{name}', '{{replica}}')"

    @property
    def remembers(self) -> str:
        """The setting of a table that says how many inserts' tokens it keeps."""
        if not self.cluster:
            return "non_replicated_deduplication_window = 10000"
        return "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800"


def statements(database: str = "promptop", cluster: str = "") -> list[str]:
    """Return the statements that make the database, in order, or bring it to today's columns."""
    layout = Layout(database, cluster)
    on, version = layout.on_cluster, layout.table("schema_version")
    found = [
        f"CREATE DATABASE IF NOT EXISTS `{database}`{on}",
        f"CREATE TABLE IF NOT EXISTS {version}{on} (version UInt16, applied DateTime DEFAULT now())"
        f" ENGINE = {layout.engine('schema_version', 'ReplacingMergeTree')} ORDER BY version",
        f"INSERT INTO {version} (version) SELECT {VERSION}"
        f" WHERE NOT EXISTS (SELECT 1 FROM {version} WHERE version = {VERSION})",
        _requests(layout),
        _added(layout, "requests", column_types()),
        _rollup(
            layout,
            "minute",
            f"PARTITION BY toMonday(start)\nTTL start + INTERVAL {MINUTES_DAYS} DAY",
            "ttl_only_drop_parts = 1, ",
        ),
        _added(layout, "rollup_minute", _rollup_types()),
        _rollup(layout, "hour", "PARTITION BY toYYYYMM(start)", ""),
        _added(layout, "rollup_hour", _rollup_types()),
        f"""CREATE TABLE IF NOT EXISTS {layout.table("marks")}{on} (
    tenant LowCardinality(String),
    log_id String,
    shipper String,
    host SimpleAggregateFunction(anyLast, String),
    last SimpleAggregateFunction(max, UInt64),
    rows SimpleAggregateFunction(sum, UInt64),
    started_ms SimpleAggregateFunction(max, Int64),
    seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
) ENGINE = {layout.engine("marks", "AggregatingMergeTree")} ORDER BY (tenant, log_id, shipper)
SETTINGS {layout.remembers}""",
        *_view(layout, "rollup_minute", minutes(layout.table("requests"))),
        *_view(
            layout,
            "rollup_hour",
            "SELECT tenant, toStartOfHour(rollup_minute.start) AS start, model, app, prompt,\n"
            f"    {folded()}\nFROM {layout.table('rollup_minute')} AS rollup_minute\n"
            "GROUP BY tenant, start, model, app, prompt",
        ),
        *_view(
            layout,
            "marks",
            "SELECT tenant, log_id, shipper, anyLast(requests.shipped_from) AS host, max(id) AS last,\n"
            "    count() AS rows, max(requests.started_ms) AS started_ms, max(received) AS seen\n"
            f"FROM {layout.table('requests')} AS requests\nGROUP BY tenant, log_id, shipper",
        ),
    ]
    if cluster:
        # A log is one shard's: its tokens, its mark and its rows of one key stay together.
        spread = dict.fromkeys(("requests", "marks"), "cityHash64(log_id)")
        found += [
            f"CREATE TABLE IF NOT EXISTS `{database}`.{name}{on} AS {layout.table(name)}\n"
            f"ENGINE = Distributed(`{cluster}`, `{database}`, {name}_local, {spread.get(name, 'rand()')})"
            for name in TABLES
        ]
    return found


def script(database: str = "promptop", cluster: str = "") -> str:
    """Return the statements as a file for clickhouse-client."""
    head = "-- The fleet's log of promptop. Run as an administrator; each statement may be run again.\n"
    if cluster:
        head += "-- Needs the macros {shard} and {replica} on each server, and a keeper.\n"
    return f"{head}\n" + "".join(f"{statement};\n\n" for statement in statements(database, cluster))


def minutes(source: str, condition: str = "1") -> str:
    """Return the SELECT of the sums of each minute of rows."""
    return (
        f"SELECT tenant, toStartOfMinute({_START}) AS start, {', '.join(f'{key_sql(k)} AS {k}' for k in _SERIES)},\n"
        f"    {counted()}\nFROM {described(source, condition)}\nGROUP BY tenant, start, model, app, prompt"
    )


def rollup_columns() -> list[str]:
    """Return the columns of a rollup as :func:`minutes` selects them."""
    return ["tenant", "start", *_SERIES, *_rollup_types()]


def _added(layout: Layout, table: str, columns: Mapping[str, str]) -> str:
    """Return the statement that gives an older table the columns that came since."""
    added = ",\n    ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in columns.items())
    return f"ALTER TABLE {layout.table(table)}{layout.on_cluster}\n    {added}"


def _view(layout: Layout, table: str, select: str) -> list[str]:
    view = f"`{layout.database}`.{table}_mv{layout.on_cluster}"
    return [
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {layout.table(table)} AS\n{select}",
        f"ALTER TABLE {view} MODIFY QUERY\n{select}",
    ]


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


def _requests(layout: Layout) -> str:
    columns = ",\n    ".join(f"{name} {kind}" for name, kind in column_types().items())
    return f"""CREATE TABLE IF NOT EXISTS {layout.table("requests")}{layout.on_cluster} (
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
) ENGINE = {layout.engine("requests", "ReplacingMergeTree")}
PARTITION BY toMonday({_START})
ORDER BY (tenant, intDiv(started_ms, 3600000), log_id, id)
TTL {_START} + INTERVAL {ROWS_DAYS} DAY
SETTINGS ttl_only_drop_parts = 1, {layout.remembers}"""


def _rollup_types() -> dict[str, str]:
    types = dict.fromkeys(INTEGERS, "SimpleAggregateFunction(sum, Int64)")
    for name in SKETCHED:
        types |= {f"{name}_{part}": "SimpleAggregateFunction(sum, Int64)" for part in ("n", "sum_us")}
        types[f"{name}_max_us"] = "SimpleAggregateFunction(max, Int64)"
        types[f"{name}_buckets"] = "SimpleAggregateFunction(sumMap, Map(UInt16, UInt64))"
    types["error_types"] = "SimpleAggregateFunction(sumMap, Map(String, UInt64))"
    return types


def _rollup(layout: Layout, span: str, place: str, settings: str) -> str:
    partition, _, ttl = place.partition("\n")
    listed = ",\n    ".join(f"{name} {kind}" for name, kind in _rollup_types().items())
    return f"""CREATE TABLE IF NOT EXISTS {layout.table(f"rollup_{span}")}{layout.on_cluster} (
    tenant LowCardinality(String),
    start DateTime('UTC'),
    model LowCardinality(String),
    app LowCardinality(String),
    prompt LowCardinality(String),
    {listed}
) ENGINE = {layout.engine(f"rollup_{span}", "AggregatingMergeTree")}
{partition}
ORDER BY (tenant, start, model, app, prompt){f"{chr(10)}{ttl}" if ttl else ""}
SETTINGS {settings}{layout.remembers}"""


def _type(name: str, sql: str) -> str:
    if sql == "TEXT":
        return "LowCardinality(Nullable(String))" if name in _WORDS else "Nullable(String) CODEC(ZSTD(3))"
    return "Nullable(Float64)" if sql == "REAL" else "Nullable(Int64)"


def _pico(column: str) -> str:
    return f"sum(toInt64(ifNull(if({column} BETWEEN -1e6 AND 1e6, round({column} * 1e12), 0), 0)))"
