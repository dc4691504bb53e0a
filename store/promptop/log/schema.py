"""The log's tables: their versions, the steps between them, and the views for people and for other tools.

A file is migrated when a writer opens it, in one transaction, whatever its version was; a reader never changes a file.
The steps are literal SQL: what a released version wrote does not change when :class:`~promptop.log.row.Row` does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import fields

from promptop.base.errors import PromptopError
from promptop.log.row import Row

APPLICATION_ID = 0x70746F70
"""Written into the header of our files ("ptop"), so that ``file`` and we can tell them from others."""

_REQUESTS_1 = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL CHECK (typeof(started_ms) = 'integer' AND started_ms BETWEEN 0 AND 200000000000000),
    app TEXT,
    tags TEXT,
    simulated INTEGER,
    operation_name TEXT,
    provider_name TEXT,
    openai_api_type TEXT,
    server_address TEXT,
    server_port INTEGER,
    url_path TEXT,
    conversation_id TEXT,
    prompt_name TEXT,
    prompt_version TEXT,
    prompt_hash TEXT,
    prefix_hashes TEXT,
    request_model TEXT,
    request_stream INTEGER,
    request_max_tokens INTEGER,
    request_temperature REAL,
    request_top_p REAL,
    request_stop_sequences TEXT,
    request_seed INTEGER,
    request_choice_count INTEGER,
    request_reasoning_effort TEXT,
    request_tools INTEGER,
    request_messages INTEGER,
    response_model TEXT,
    response_id TEXT,
    request_id TEXT,
    response_finish_reasons TEXT,
    response_service_tier TEXT,
    http_response_status_code INTEGER,
    error_type TEXT,
    error_message TEXT,
    attempt INTEGER,
    queue_s REAL,
    connect_s REAL,
    tls_s REAL,
    ttfb_s REAL,
    response_time_to_first_chunk REAL,
    ttft_s REAL,
    ttfo_s REAL,
    duration_s REAL,
    total_s REAL,
    connection_reused INTEGER,
    chunks INTEGER,
    gap_p50_s REAL,
    gap_p95_s REAL,
    gap_max_s REAL,
    stalls INTEGER,
    server_timings TEXT,
    rate_limits TEXT,
    bytes_sent INTEGER,
    bytes_received INTEGER,
    bytes_decoded INTEGER,
    input_chars TEXT,
    output_chars TEXT,
    usage_input_tokens INTEGER,
    usage_output_tokens INTEGER,
    usage_cache_read_input_tokens INTEGER,
    usage_cache_write_input_tokens INTEGER,
    usage_reasoning_output_tokens INTEGER,
    usage_source TEXT,
    usage_raw TEXT,
    estimate_input_tokens INTEGER,
    estimate_output_tokens INTEGER,
    cost_usd REAL,
    cost_status TEXT,
    price_as_of TEXT,
    saved_usd REAL,
    cache_level TEXT,
    cache_key TEXT
)"""


def _first(connection: sqlite3.Connection) -> None:
    """Version 1: the rows, found by id and by time; ids are never reused, so a high-water mark stays true."""
    connection.execute(_REQUESTS_1)
    connection.execute("CREATE INDEX requests_started ON requests (started_ms)")


def _second(connection: sqlite3.Connection) -> None:
    """Version 2: the log's own identity, what was lost, and how far retention has deleted."""
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    connection.execute("INSERT INTO meta VALUES ('log_id', lower(hex(randomblob(16)))), ('pruned_before_ms', 0)")
    connection.execute(
        "CREATE TABLE losses (id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, pid INTEGER, app TEXT,"
        " rows INTEGER NOT NULL, cause TEXT NOT NULL)"
    )


def _third(connection: sqlite3.Connection) -> None:
    """Version 3: our o200k count beside the server's, from which the factors of other tokenizers are learned."""
    connection.execute("ALTER TABLE requests ADD COLUMN input_o200k_tokens INTEGER")


def _fourth(connection: sqlite3.Connection) -> None:
    """Version 4: which other wording a semantic hit was the answer to, and how near it is."""
    connection.execute("ALTER TABLE requests ADD COLUMN cache_match TEXT")
    connection.execute("ALTER TABLE requests ADD COLUMN cache_score REAL")


def _fifth(connection: sqlite3.Connection) -> None:
    """Version 5: what tells a miss that differs in white space alone from one that asks something else."""
    connection.execute("ALTER TABLE requests ADD COLUMN cache_words_key TEXT")


def _sixth(connection: sqlite3.Connection) -> None:
    """Version 6: the process that a row comes from, under OpenTelemetry's resource names."""
    connection.execute("ALTER TABLE requests ADD COLUMN host_name TEXT")
    connection.execute("ALTER TABLE requests ADD COLUMN process_pid INTEGER")
    connection.execute("ALTER TABLE requests ADD COLUMN service_name TEXT")
    connection.execute("ALTER TABLE requests ADD COLUMN service_instance_id TEXT")


def _seventh(connection: sqlite3.Connection) -> None:
    """Version 7: what routing decided and on what, and the time of a look-up in the cache apart from the endpoint's."""
    connection.execute("ALTER TABLE requests ADD COLUMN routed_from TEXT")
    connection.execute("ALTER TABLE requests ADD COLUMN route_rule TEXT")
    connection.execute("ALTER TABLE requests ADD COLUMN task_complexity REAL")
    connection.execute("ALTER TABLE requests ADD COLUMN cache_lookup_s REAL")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third, _fourth, _fifth, _sixth, _seventh)
VERSION = len(STEPS)


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of an open log, 0 for an empty file; raise :class:`PromptopError` for what is not a log of
    ours.

    A file that a newer promptop wrote is refused: an older one does not know what its columns mean.
    """
    # One look at one moment: between two of them another process may have created the log.
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    finally:
        if alone and connection.in_transaction:
            connection.execute("ROLLBACK")
    name = file_of(connection)
    if application not in (0, APPLICATION_ID) or (application == 0 and has_tables):
        raise PromptopError(
            f"{name} is an SQLite file, but not a request log of promptop.",
            "Choose another file, or bring its rows in with: promptop log import FILE",
        )
    if version > VERSION:
        raise PromptopError(
            f"{name} was written by a newer promptop (log version {version}; this one knows up to {VERSION}).",
            "Upgrade promptop here, or choose another log with --log or [log] path.",
        )
    return version


def file_of(connection: sqlite3.Connection) -> str:
    """Return the file name of a connection, for messages."""
    return str(connection.execute("PRAGMA database_list").fetchone()[2]) or "the log"


def migrate(connection: sqlite3.Connection, *, upto: int = VERSION) -> int:
    """Bring an open, writable log to version ``upto`` in one transaction and return the version it had."""
    before = version_of(connection)
    if before >= upto:
        return before
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = version_of(connection)  # another process may have been faster
        for step in STEPS[before:upto]:
            step(connection)
        if before < upto:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {upto}")
            _create_views(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return before


def otel_names() -> dict[str, str]:
    """Return column → dotted OpenTelemetry name, ``promptop.…`` where the conventions have none."""
    return {f.name: f.metadata["otel"] or f"promptop.{f.name}" for f in fields(Row)}


def _create_views(connection: sqlite3.Connection) -> None:
    present = {str(row[1]) for row in connection.execute("PRAGMA table_info(requests)")}
    dotted = ", ".join(f'{name} AS "{otel}"' for name, otel in otel_names().items() if name in present)
    connection.execute("DROP VIEW IF EXISTS otel")
    connection.execute(f"CREATE VIEW otel AS SELECT id, {dotted} FROM requests")
    connection.execute("DROP VIEW IF EXISTS readable")
    connection.execute(
        """CREATE VIEW readable AS SELECT id,
 strftime('%Y-%m-%dT%H:%M:%S', started_ms / 1000, 'unixepoch') || printf('.%03dZ', started_ms % 1000) AS started,
 app, provider_name AS provider, coalesce(response_model, request_model) AS model, prompt_name AS prompt,
 coalesce(error_type, 'ok') AS outcome, http_response_status_code AS status, round(ttft_s, 3) AS ttft_s,
 round(coalesce(duration_s, total_s), 3) AS duration_s, usage_input_tokens AS input, usage_output_tokens AS output,
 usage_cache_read_input_tokens AS cached, usage_source AS usage, round(cost_usd, 8) AS usd, cost_status AS cost,
 cache_level AS cache, response_finish_reasons AS finish, error_message AS message FROM requests"""
    )
