"""Rows out of the log: CSV and JSON lines with the standard library, Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from promptop.base.errors import PromptopError, UsageError
from promptop.log.read.filters import Filter
from promptop.log.read.log_file import StoredRow
from promptop.log.read.reader import LogReader
from promptop.log.row import COLUMNS, Row

FORMATS = ("jsonl", "csv", "parquet")
_BATCH = 5_000
_JSON_COLUMNS = frozenset(
    f.name for f in fields(Row) if f.metadata["meaning"].startswith(("JSON", "the server's usage"))
)
"""Text columns that hold JSON: objects in JSON lines, text in the flat formats."""


def rows_of(reader: LogReader, where: Filter, since_ms: int, until_ms: int) -> Iterator[StoredRow]:
    """Yield rows of a stretch of time in order of their start, log after log, some thousands in memory at a time."""
    for source in range(len(reader.paths)):
        place = (since_ms, 0)
        while rows := reader.stretch(source, place, until_ms, _BATCH, where):
            yield from rows
            place = (rows[-1].started_ms or 0, rows[-1].id)


def chosen_columns(names: str | None) -> tuple[str, ...]:
    """Return the columns of a comma-separated list, all if there is none; raise UsageError for an unknown one."""
    if not names:
        return ("id", *COLUMNS)
    chosen = tuple(name.strip() for name in names.split(",") if name.strip())
    unknown = [name for name in chosen if name != "id" and name not in COLUMNS]
    if unknown:
        raise UsageError(f"The log has no column {unknown[0]!r}.", "docs/log.md lists them; also: promptop log status.")
    return chosen


def write_jsonl(rows: Iterable[StoredRow], file: IO[str], columns: Sequence[str]) -> int:
    """Write one JSON object a line, without the columns that are NULL; return the number of lines."""
    count = 0
    for row in rows:
        values = {name: value for name in columns if (value := getattr(row, name)) is not None}
        for name in _JSON_COLUMNS.intersection(values):
            values[name] = _parsed(values[name])
        file.write(json.dumps(values, ensure_ascii=False) + "\n")
        count += 1
    return count


def write_csv(rows: Iterable[StoredRow], file: IO[str], columns: Sequence[str]) -> int:
    """Write a header and a line per row; NULL is an empty cell. Return the number of rows.

    A text that a spreadsheet would run as a formula gets an apostrophe in front: error messages come from servers.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in columns])
        count += 1
    return count


def require_parquet() -> None:
    """Raise PromptopError if pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise PromptopError(
            "Parquet needs pyarrow, which is not installed.",
            "pip install 'promptop[parquet]', or export CSV or JSON lines.",
        )


def write_parquet(rows: Iterable[StoredRow], path: Path, columns: Sequence[str]) -> int:
    """Write a Parquet file with the columns' types and return the number of rows; pyarrow must be installed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    kinds = {"id": pa.int64()} | {f.name: types[f.metadata["sql"]] for f in fields(Row)}
    schema = pa.schema([(name, kinds[name]) for name in columns])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch: list[StoredRow] = []

        def flush() -> None:
            writer.write_table(
                pa.table({n: pa.array([getattr(r, n) for r in batch], kinds[n]) for n in columns}, schema)
            )
            batch.clear()

        for row in rows:
            batch.append(row)
            count += 1
            if len(batch) >= _BATCH:
                flush()
        if batch:
            flush()
    return count


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value
