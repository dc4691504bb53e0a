"""LiteLLM's spend logs, read from its PostgreSQL while it writes them.

LiteLLM writes a row when its call ends, in batches up to a minute late, and keys it by its start: a long call comes in
below the cursor. So besides what is newer, the last :data:`LOOK_BACK_S` seconds are looked through for ids that were
not brought. Every statement goes through the index on ("startTime", request_id) or the primary key; there is no count,
no offset and no statement without a bound. Prompts and answers are never selected.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from promptop.base import redact
from promptop.base.errors import PromptopError
from promptop.log.row import Row
from promptop.log.transfer import external_formats
from promptop.log.write.row_pricing import price_row

if TYPE_CHECKING:
    import psycopg

LOOK_BACK_S = 600.0
"""Longest call that is brought in when it ends."""
_LOOK_EVERY_S = 10.0
_BATCH = 500
_COLUMNS = (
    *("request_id", "call_type", "api_key", "spend", "prompt_tokens", "completion_tokens", "startTime", "endTime"),
    *("request_duration_ms", "completionStartTime", "model", "model_id", "model_group", "custom_llm_provider"),
    *("api_base", "user", "metadata", "cache_hit", "cache_key", "request_tags", "team_id", "organization_id"),
    *("end_user", "session_id", "status", "mcp_namespaced_tool_name", "agent_id"),
)
_TABLE = '"LiteLLM_SpendLogs"'
_PRESENT = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
_NEWER = 'WHERE ("startTime", request_id) > (%s, %s) ORDER BY "startTime", request_id LIMIT 500'
LATE = (
    f'SELECT "startTime", request_id FROM {_TABLE} WHERE ("startTime", request_id) > (%s, %s)'
    ' AND ("startTime", request_id) <= (%s, %s) ORDER BY "startTime", request_id'
)
_BY_ID = "WHERE request_id = ANY(%s)"


class LiteLLMSource:
    """Reads new rows of one database; for one thread at a time."""

    def __init__(self, address: str, since_ms: int, *, look_back_s: float = LOOK_BACK_S) -> None:
        """``since_ms`` bounds how far back the first read goes, Unix milliseconds."""
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise PromptopError("PostgreSQL needs the extra postgres.", "pip install 'promptop[postgres]'") from None
        self.title = redact.credentials(address.partition("?")[0])
        self._address, self._look_back = address, timedelta(seconds=look_back_s)
        self._place = (datetime.fromtimestamp(since_ms / 1000, UTC).replace(tzinfo=None), "")
        self._first = self._place
        self._seen: dict[str, datetime] = {}
        """Ids of the stretch that is looked back at, and their starts."""
        self._looked_at = time.monotonic()
        self._connection: psycopg.Connection[Any] | None = None
        self._select = ""

    def statements(self) -> tuple[str, str, str]:
        """Return the statements on LiteLLM's table: what is newer, what came late, and rows by id."""
        self._connected()
        return f"{self._select} {_NEWER}", LATE, f"{self._select} {_BY_ID}"

    def new_rows(self) -> Iterator[list[Row]]:
        """Yield what is newer than the cursor and, every ten seconds, what came in below it."""
        import psycopg

        try:
            connection = self._connected()
            if time.monotonic() - self._looked_at > _LOOK_EVERY_S:
                yield from self._late(connection)
                self._looked_at = time.monotonic()
            while True:
                found = self._read(connection, f"{self._select} {_NEWER}", self._place)
                if found:
                    yield [row for entry in found if (row := self._row(entry)) is not None]
                    self._place = (found[-1]["startTime"], found[-1]["request_id"])
                if len(found) < _BATCH:
                    return
        except psycopg.Error as error:
            self.close()
            raise self._explained(error) from None

    def look_back(self) -> None:
        """Look at the stretch below the cursor at the next read, however short ago that was done."""
        self._looked_at = float("-inf")

    def close(self) -> None:
        """Close the connection; the next read opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _late(self, connection: psycopg.Connection[Any]) -> Iterator[list[Row]]:
        begin = max(self._place[0] - self._look_back, self._first[0])
        self._seen = {name: start for name, start in self._seen.items() if start >= begin}
        found = self._read(connection, LATE, (begin, "", *self._place))
        missing = [entry["request_id"] for entry in found if entry["request_id"] not in self._seen]
        for first in range(0, len(missing), _BATCH):
            entries = self._read(connection, f"{self._select} {_BY_ID}", (missing[first : first + _BATCH],))
            yield [row for entry in entries if (row := self._row(entry)) is not None]

    def _row(self, entry: dict[str, Any]) -> Row | None:
        self._seen[entry["request_id"]] = entry["startTime"]
        try:
            call = external_formats.read(entry)
        except external_formats.NoCallError:
            return None
        if call is None or call.row.started_ms is None:
            return None
        price_row(call.row, call.usage)
        return call.row

    def _read(self, connection: psycopg.Connection[Any], sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        from psycopg.rows import dict_row

        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql.encode(), values).fetchall()

    def _connected(self) -> psycopg.Connection[Any]:
        import psycopg

        if self._connection is not None:
            return self._connection
        try:
            connection: psycopg.Connection[Any] = psycopg.connect(
                self._address,
                autocommit=True,  # no transaction stays open between polls, which would hold up vacuum
                connect_timeout=5,
                application_name="promptop",
                options="-c default_transaction_read_only=on -c statement_timeout=10000 -c lock_timeout=1000"
                " -c timezone=UTC",
            )
            present = {row[0] for row in connection.execute(_PRESENT, (_TABLE,))}
        except psycopg.Error as error:
            raise self._explained(error) from None
        if not {"request_id", "startTime", "endTime", "call_type"} <= present:
            connection.close()
            raise PromptopError(f"{self.title} has no table of LiteLLM's spend logs.", "Name LiteLLM's database.")
        names = ", ".join(f'"{name}"' for name in _COLUMNS if name in present)
        self._select = f"SELECT {names} FROM {_TABLE}"
        self._connection = connection
        return connection

    def _explained(self, error: Exception) -> PromptopError:
        said = " ".join(redact.credentials(str(error)).split())[:300] or type(error).__name__
        return PromptopError(f"PostgreSQL at {self.title} cannot be read: {said}", "Check address, user and password.")
