"""Rows from elsewhere: our own exports, and what other programs write of calls (:mod:`.external_formats`).

Usage, timings and cost are taken as they are written; prompts, answers and keys are not. Bringing the same file in
twice adds nothing the second time, and what an import brought in can be taken out again.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from promptop.base import redact, sqlite
from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect_for_reading
from promptop.log import files
from promptop.log.rollups.rollups import Rollups
from promptop.log.row import COLUMNS, Row
from promptop.log.transfer import external_formats
from promptop.log.write.bodies import BodyStore
from promptop.log.write.pending import Bodies, Finished
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
    dated_by_file: int = 0
    """Entries without a time of their own, which were given the file's."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    """Span of the rows' starts, UTC Unix milliseconds."""
    ranges: list[list[int]] = field(default_factory=list)
    """First and last id of each stretch of rows that were written."""

    def count(self, row: Row) -> None:
        """Add a row to the sums."""
        self.rows += 1
        self.input_tokens += row.usage_input_tokens or 0
        self.output_tokens += row.usage_output_tokens or 0
        self.cost_usd += row.cost_usd or 0.0
        self.unpriced += row.cost_status == "unpriced"
        if row.started_ms is not None:
            self.first_ms = row.started_ms if self.first_ms is None else min(self.first_ms, row.started_ms)
            self.last_ms = row.started_ms if self.last_ms is None else max(self.last_ms, row.started_ms)

    def refuse(self, cause: str) -> None:
        """Count an entry that was left out."""
        self.refused += 1
        self.causes[cause] = self.causes.get(cause, 0) + 1


def import_file(log: Path, source: Path, *, fresh: bool = False, dry_run: bool = False) -> Imported:
    """Bring the rows of a file into a log; raises PromptopError if the file is none that is known.

    Rows that the log has already are left out, but not from a ``fresh`` one: there, equal rows are two calls.
    ``dry_run`` reads and counts, and writes nothing.
    """
    done = Imported()
    if not source.is_file():
        raise PromptopError(f"There is no file {source}.", "Name a logs.db of llm, or a CSV, JSON or JSONL file.")
    try:
        if dry_run:
            _look(log, source, done)
        else:
            with contextlib.closing(files.open_log(log)) as connection:
                for batch in _batches(source, done):
                    _insert(connection, batch, done, fresh)
                if done.rows and not fresh:
                    _note(connection, source, done)
            if done.rows:
                with Rollups(log) as rollups:  # so that the monitor opens at once
                    rollups.catch_up(10.0, limit=5_000)
    except (sqlite3.Error, OSError) as error:
        raise files.explain(log, error) from None
    if not done.rows and not done.known:
        causes = "; ".join(f"{cause} ({count})" for cause, count in done.causes.items())
        raise PromptopError(
            f"{source} holds no call that could be read" + (f": {causes}." if causes else "."),
            "Known are: promptop's exports, llm's logs, LiteLLM's spend logs, exports of Langfuse and Helicone,"
            " outputs of batches, and answers of the APIs as JSON lines.",
        )
    return done


def _batches(source: Path, done: Imported) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in _rows(source, done):
        batch.append(row)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    yield batch


def _look(log: Path, source: Path, done: Imported) -> None:
    """Count what an import would bring."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(sqlite.connect_for_reading(log))) if log.exists() else None
        for row in _rows(source, done):
            if not _is_possible(row, done):
                continue
            if connection is not None and _is_known(connection, row):
                done.known += 1
            else:
                done.count(row)


@dataclass(frozen=True, slots=True)
class Undone:
    """What taking an import back did."""

    source: str
    kind: str
    at_ms: int
    rows: int
    """Rows that were deleted; fewer than were brought in where retention was faster."""


_IMPORTS = "imports"
"""Key in the log's table ``meta``: JSON list of imports, oldest first."""
_MOST_IMPORTS = 200


def _note(connection: sqlite3.Connection, source: Path, done: Imported) -> None:
    """Write down which rows an import brought in."""
    with sqlite.transaction(connection):
        known = [
            *imports_of(connection),
            {
                "at_ms": time.time_ns() // 1_000_000,
                "source": source.name,
                "kind": done.kind,
                "rows": done.rows,
                "ranges": done.ranges,
            },
        ]
        _write_imports(connection, known[-_MOST_IMPORTS:])


def imports_of(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the imports that can be taken back, oldest first."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (_IMPORTS,)).fetchone()
    known = json.loads(found[0]) if found else []
    return known if isinstance(known, list) else []


def undo_import(log: Path) -> Undone:
    """Delete the rows that the latest import brought in; raises PromptopError where there is none.

    The rollups are made anew, since sums cannot tell what to take out.
    """
    try:
        with contextlib.closing(files.open_log(log)) as connection, sqlite.transaction(connection):
            known = imports_of(connection)
            if not known:
                raise PromptopError(
                    f"No import can be taken back from {log}.",
                    "Imports are noted from this version on; promptop log prune deletes rows by age.",
                )
            last = known.pop()
            rows = sum(
                connection.execute("DELETE FROM requests WHERE id BETWEEN ? AND ?", (first, end)).rowcount
                for first, end in last["ranges"]
            )
            _write_imports(connection, known)
        with Rollups(log) as rollups:
            rollups.rebuild()
    except (sqlite3.Error, OSError) as error:
        raise files.explain(log, error) from None
    return Undone(str(last["source"]), str(last["kind"]), int(last["at_ms"]), rows)


def _write_imports(connection: sqlite3.Connection, known: list[dict[str, Any]]) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_IMPORTS, json.dumps(known)),
    )


def _rows(source: Path, done: Imported) -> Iterator[Row]:
    file_ms = source.stat().st_mtime_ns // 1_000_000
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
                    yield from _one(
                        {k: _unescaped(v) for k, v in entry.items() if k and v not in {"", None}}, done, file_ms
                    )
        else:
            for found in _json_entries(source, done):
                yield from _one(found, done, file_ms)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PromptopError(f"{source} is not the text it should be ({error}).", "It must be UTF-8.") from None


_LISTS = ("data", "logs", "rows", "observations", "results", "items", "responses")
"""Fields under which programs put their entries."""


def _json_entries(source: Path, done: Imported) -> Iterator[Any]:
    """Yield the entries of a JSON file: a list, an object that holds one, or an object a line."""
    with source.open(encoding="utf-8-sig") as text:
        head = next((line for line in text if line.strip()), "")
        following = next((line for line in text if line.strip()), "")
        try:
            first = json.loads(head)
        except ValueError:
            first = None
        if isinstance(first, dict) and following.lstrip().startswith("{"):
            for line in (head, following, *text):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError:
                        done.refuse("a line is not JSON")
            return
        try:
            document = json.loads(head + following + text.read()) if head else []
        except (ValueError, RecursionError) as error:
            raise PromptopError(f"{source} is not JSON ({error}).", "Give a JSON list or one object a line.") from None
        yield from _unfolded(document)


def _unfolded(document: Any) -> Iterator[Any]:
    """Yield the entries of a document: its items, or those of the field that holds them."""
    if isinstance(document, list):
        for item in document:
            nested = item.get("observations") if isinstance(item, dict) else None
            yield from nested if isinstance(nested, list) else [item]
    elif isinstance(document, dict):
        held = next((document[k] for k in _LISTS if isinstance(document.get(k), list) and _holds(document[k])), None)
        yield from _unfolded(held) if held is not None else [document]


def _holds(items: list[Any]) -> bool:
    """Say whether a list is one of entries: vectors and images stand under ``data`` too."""
    return bool(items) and isinstance(items[0], dict) and not {"embedding", "b64_json", "url"} & items[0].keys()


def _one(entry: Any, done: Imported, file_ms: int) -> Iterator[Row]:
    if not isinstance(entry, dict):
        done.refuse("an entry is not an object")
        return
    if "started_ms" in entry:
        done.kind, row = "promptop export", _ours(entry)
        if row is None or row.started_ms is None:
            done.refuse("an entry has no time" if row is not None else "an entry is not a call")
            return
        price_row(row)
        yield row
        return
    try:
        call = external_formats.read(entry)
    except external_formats.NoCallError as error:
        done.refuse(str(error))
        return
    if call is None:
        done.refuse("an entry is not a call")
        return
    done.kind = call.kind
    if call.row.started_ms is None:
        if not call.timeless:
            done.refuse("an entry has no time")
            return
        call.row.started_ms = file_ms
        done.dated_by_file += 1
    price_row(call.row, call.usage)
    yield call.row


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
            for call in external_formats.llm_calls(connection, tables):
                if call.row.started_ms is None:
                    done.refuse("an entry has no time")
                    continue
                price_row(call.row, call.usage)
                yield call.row
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


def _is_possible(row: Row, done: Imported) -> bool:
    if row.started_ms is not None and 0 <= row.started_ms <= 200_000_000_000_000:
        return True
    done.refuse("an entry has no time")
    return False


def _is_known(connection: sqlite3.Connection, row: Row) -> bool:
    name = row.request_id if row.request_id is not None else row.response_id
    return connection.execute(_KNOWN, (row.started_ms, name, *_identity(row))).fetchone() is not None


def _scrubbed(row: Row) -> tuple[Any, ...]:
    scrub(row)
    return _values(row)


def insert_rows(connection: sqlite3.Connection, rows: Iterable[Row], note: tuple[str, str]) -> None:
    """Write rows that are known to be new, and ``note`` (key, value) into the table ``meta``, in one transaction.

    ``connection`` is an open log. Raises :class:`sqlite3.Error`.
    """
    with sqlite.transaction(connection):
        connection.executemany(_INSERT, map(_scrubbed, rows))
        connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", note
        )


class RowsInserter:
    """Inserts rows that come in while a program runs, each once; for one thread at a time."""

    def __init__(self, log: Path, bodies: Bodies = "off") -> None:
        """Open the log at the first row; ``bodies`` is what is kept of prompts and answers."""
        self._log, self._mode = log, bodies
        self._connection: sqlite3.Connection | None = None
        self._bodies: BodyStore | None = None

    def insert(self, finished: Iterable[Finished]) -> tuple[int, int]:
        """Commit the rows that the log does not have; return how many those are, and how many it had.

        Raises :class:`sqlite3.Error`, :class:`OSError` or :class:`PromptopError`; then none is in the log.
        """
        items = list(finished)
        if not items:
            return 0, 0
        if self._connection is None:
            self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = files.open_log(self._log)
        known, added = 0, list[tuple[int, Finished]]()
        with sqlite.transaction(self._connection):
            for item in items:
                scrub(item.row)
                if _is_known(self._connection, item.row):
                    known += 1
                    continue
                row_id = self._connection.execute(_INSERT, _values(item.row)).lastrowid
                added.append((int(row_id or 0), item))
        kept = [pair for pair in added if pair[1].request_body or pair[1].response_body]
        if kept and self._mode != "off":
            if self._bodies is None:
                self._bodies = BodyStore(self._log)
            for _, item in kept:
                item.request_body = _clean_body(item.request_body, self._mode)
                item.response_body = _clean_body(item.response_body, self._mode)
                item.redacted = True
            self._bodies.insert(kept, self._mode)
        return len(added), known

    def close(self) -> None:
        """Close the files."""
        for each in (self._connection, self._bodies):
            if each is not None:
                each.close()
        self._connection = self._bodies = None


def _clean_body(body: bytes | None, mode: Bodies) -> bytes | None:
    if body is None:
        return None
    return redact.body(body) if mode == "redacted" else redact.full_body(body, redact.NO_SECRETS, refused=True)


def read_note(log: Path, key: str) -> str | None:
    """Return what :func:`insert_rows` noted; None if there is no log or no note."""
    if not log.exists():
        return None
    with contextlib.closing(connect_for_reading(log)) as connection:
        found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found else None


def _insert(connection: sqlite3.Connection, batch: list[Row], done: Imported, fresh: bool) -> None:
    for row in batch:
        scrub(row)
    with sqlite.transaction(connection):
        for row in batch:
            if not _is_possible(row, done):
                continue
            if not fresh and _is_known(connection, row):
                done.known += 1
                continue
            row_id = connection.execute(_INSERT, _values(row)).lastrowid
            done.count(row)
            if row_id is not None:
                if done.ranges and done.ranges[-1][1] == row_id - 1:
                    done.ranges[-1][1] = row_id
                else:
                    done.ranges.append([row_id, row_id])
