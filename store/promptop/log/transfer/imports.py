"""Rows from elsewhere: our own exports, the logs.db of ``llm``, LiteLLM's spend logs, OpenAI objects as JSON lines.

Usage, timings and cost are taken as they are written; prompts, answers and keys are not. Bringing the same file in
twice adds nothing the second time.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect_for_reading
from promptop.log import files
from promptop.log.rollups.rollups import Rollups
from promptop.log.row import COLUMNS, Row
from promptop.log.transfer.external_formats import litellm_row, llm_rows, openai_row
from promptop.log.write.row_pricing import price_row
from promptop.log.write.scrub import scrub

_BATCH = 500
_FORMULAS = frozenset("=+-@\t\r")
_INSERT = f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
# The time finds the row through its index; the rest tells calls of one millisecond apart.
_KNOWN = (
    "SELECT 1 FROM requests WHERE started_ms = ? AND coalesce(request_id, response_id) IS ? AND request_model IS ?"
    " AND usage_input_tokens IS ? AND usage_output_tokens IS ? AND attempt IS ?"
)
_SQL_TYPES = {f.name: f.metadata["sql"] for f in fields(Row)}
_values = attrgetter(*COLUMNS)
_identity = attrgetter("request_model", "usage_input_tokens", "usage_output_tokens", "attempt")


@dataclass(slots=True)
class Imported:
    """What an import did."""

    kind: str = ""
    """What the file was taken for."""
    rows: int = 0
    known: int = 0
    """Rows that the log had already."""
    refused: int = 0
    """Entries that are no call: without a time, or of an unknown shape."""
    causes: dict[str, int] = field(default_factory=dict)

    def refuse(self, cause: str) -> None:
        """Count an entry that was left out."""
        self.refused += 1
        self.causes[cause] = self.causes.get(cause, 0) + 1


def import_file(log: Path, source: Path, *, fresh: bool = False) -> Imported:
    """Bring the rows of a file into a log; raises PromptopError if the file is none that is known.

    Rows that the log has already are left out, but not from a ``fresh`` one: there, equal rows are two calls.
    """
    done = Imported()
    if not source.is_file():
        raise PromptopError(f"There is no file {source}.", "Name a logs.db of llm, or a CSV, JSON or JSONL file.")
    try:
        with contextlib.closing(files.open_log(log)) as connection:
            batch: list[Row] = []
            for row in _rows(source, done):
                batch.append(row)
                if len(batch) >= _BATCH:
                    _insert(connection, batch, done, fresh)
                    batch = []
            _insert(connection, batch, done, fresh)
        if done.rows:
            with Rollups(log) as rollups:  # so that the monitor opens at once
                rollups.catch_up(10.0, limit=5_000)
    except (sqlite3.Error, OSError) as error:
        raise files.explain(log, error) from None
    if not done.rows and not done.known:
        causes = "; ".join(f"{cause} ({count})" for cause, count in done.causes.items())
        raise PromptopError(
            f"{source} holds no call that could be read" + (f": {causes}." if causes else "."),
            "Known are: promptop's exports, llm's logs.db, LiteLLM's spend logs, OpenAI responses as JSON lines.",
        )
    return done


def _rows(source: Path, done: Imported) -> Iterator[Row]:
    with source.open("rb") as file:
        head = file.read(16)
    if head == b"SQLite format 3\0":
        yield from _from_sqlite(source, done)
        return
    try:
        if source.suffix.lower() in {".csv", ".tsv"}:
            with source.open(encoding="utf-8-sig", newline="") as text:
                delimiter = "\t" if source.suffix.lower() == ".tsv" else ","
                for entry in csv.DictReader(text, delimiter=delimiter):
                    yield from _one({k: _unescaped(v) for k, v in entry.items() if k and v not in {"", None}}, done)
        else:
            for found in _json_entries(source, done):
                yield from _one(found, done)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PromptopError(f"{source} is not the text it should be ({error}).", "It must be UTF-8.") from None


def _json_entries(source: Path, done: Imported) -> Iterator[Any]:
    """Yield the entries of a JSON file: a list, an object that holds one, or an object a line."""
    with source.open(encoding="utf-8-sig") as text:
        first = text.readline()
        if not first:
            return
        try:
            json.loads(first)
            whole = first.lstrip().startswith("[")
        except ValueError:
            whole = True  # pretty-printed: the document is more than its first line
        if whole:
            try:
                document = json.loads(first + text.read())
            except ValueError as error:
                raise PromptopError(
                    f"{source} is not JSON ({error}).", "Give a JSON list or one object a line."
                ) from None
            if isinstance(document, dict):
                document = next(
                    (document[k] for k in ("data", "logs", "rows") if isinstance(document.get(k), list)), [document]
                )
            yield from document if isinstance(document, list) else ()
            return
        for line in (first, *text):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError:
                    done.refuse("a line is not JSON")


def _one(entry: Any, done: Imported) -> Iterator[Row]:
    if not isinstance(entry, dict):
        done.refuse("an entry is no object")
        return
    if "started_ms" in entry:
        kind, row = "promptop export", _ours(entry)
    elif "startTime" in entry or "call_type" in entry:
        kind, row = "LiteLLM spend log", litellm_row(entry)
    else:
        kind, row = "OpenAI objects", openai_row(entry)
    done.kind = kind
    if row is None or row.started_ms is None:
        done.refuse("an entry has no time" if row is not None else "an entry is no call")
        return
    price_row(row)
    yield row


def _from_sqlite(source: Path, done: Imported) -> Iterator[Row]:
    with contextlib.closing(connect_for_reading(source, timeout_s=5)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "requests" in tables:
                done.kind = "promptop log"
                for found in connection.execute("SELECT * FROM requests ORDER BY id"):
                    row = _ours(dict(found))
                    if row is not None:
                        yield row
                return
            if not tables & {"responses", "turns"}:
                raise PromptopError(
                    f"{source} is an SQLite file of an unknown kind.", "Known are promptop's and llm's."
                )
            done.kind = "llm logs.db"
            for row in llm_rows(connection, tables):
                if row.started_ms is None:
                    done.refuse("an entry has no time")
                    continue
                price_row(row)
                yield row
        except sqlite3.Error as error:
            raise files.explain(source, error) from None


def _ours(entry: dict[str, Any]) -> Row | None:
    """Return the row that one of our exports describes; JSON columns may be text or what the text means."""
    row = Row()
    for name, sql in _SQL_TYPES.items():
        value = entry.get(name)
        if value is None:
            continue
        try:
            if sql == "INTEGER":
                value = int(value)
            elif sql == "REAL":
                value = float(value)
            elif not isinstance(value, str):
                value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return None
        setattr(row, name, value)
    return row


def _unescaped(value: Any) -> Any:
    """Take back the apostrophe that keeps spreadsheets from running a text."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and value[1:2] in _FORMULAS else value


def _insert(connection: sqlite3.Connection, batch: list[Row], done: Imported, fresh: bool) -> None:
    for row in batch:
        scrub(row)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for row in batch:
            assert row.started_ms is not None
            if not 0 <= row.started_ms <= 200_000_000_000_000:
                done.refuse("an entry has no time")
                continue
            name = row.request_id if row.request_id is not None else row.response_id
            if not fresh and connection.execute(_KNOWN, (row.started_ms, name, *_identity(row))).fetchone():
                done.known += 1
                continue
            connection.execute(_INSERT, _values(row))
            done.rows += 1
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
