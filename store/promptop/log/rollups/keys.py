"""The form in which sums are kept: an integer key for level, kind, time and series, and the columns of a sum.

A key has level (3 bits), kind (3), minute (32) and series (24), so that a stretch of time of one level and kind is one
stretch of the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from operator import add as _plus
from typing import Any

from promptop.log.read.stats import INTEGERS, Stats
from promptop.log.rollups.sketch import Sketch

VERSION = 4
"""Version of the file. Trends are added to 2, a dimension of 3 is renamed; any other is made anew: all is derived."""
SUMS_SINCE = 2
"""Version from which on the sums of windows are those that are kept today."""
LEVELS_MS = (60_000, 900_000, 7_200_000, 21_600_000, 86_400_000)
ALL, BY_MODEL, BY_APP, BY_PROMPT, BY_EACH = range(5)
KINDS = (ALL, BY_MODEL, BY_APP, BY_PROMPT, BY_EACH)
_SERIES_BITS, _MINUTE_BITS = 24, 32
_SERIES_MASK, _MINUTE_MASK = (1 << _SERIES_BITS) - 1, (1 << _MINUTE_BITS) - 1
OVERFLOW = _SERIES_MASK
"""Series of whatever comes after 16 million others."""

SKETCHED = ("latency", "ttft")
_SKETCH_COLUMNS = tuple(f"{name}_{part}" for name in SKETCHED for part in ("n", "sum_us", "max_us", "buckets"))
STORED = (*INTEGERS, *_SKETCH_COLUMNS, "error_types")
_INTEGERS = len(INTEGERS)
_NO_SKETCH = (0, 0, 0, None)


def key_of(level: int, kind: int, start_ms: int, series: int = 0) -> int:
    """Return the key of a sum; times before 1970 count as 1970."""
    minute = min(max(start_ms // 60_000, 0), _MINUTE_MASK)
    return (((level << 3 | kind) << _MINUTE_BITS) | minute) << _SERIES_BITS | series


def start_of(key: int) -> int:
    """Return the start of a key's stretch, Unix milliseconds."""
    return (key >> _SERIES_BITS & _MINUTE_MASK) * 60_000


def series_of(key: int) -> int:
    """Return the series of a key."""
    return key & _SERIES_MASK


def kinds_at(level: int) -> tuple[int, ...]:
    """Return the kinds that a level keeps; apps and prompts of the finer two are added up from :data:`BY_EACH`."""
    return (ALL, BY_MODEL, BY_EACH) if level < 2 else KINDS


def add_stored(stats: Stats, row: Sequence[Any]) -> None:
    """Add the columns :data:`STORED`; sketches are decoded only when asked for a quantile."""
    stats.add_integers(row[:_INTEGERS])
    (ln, ls, lm, lb, tn, ts, tm, tb, errors) = row[_INTEGERS:]
    if ln:
        stats.latency.merge_stored(ln, ls, lm, lb)
    if tn:
        stats.ttft.merge_stored(tn, ts, tm, tb)
    if errors:
        for kind, count in _counts(errors):
            stats.error_types[kind] = stats.error_types.get(kind, 0) + count


@lru_cache(maxsize=4096)
def _counts(errors: str) -> tuple[tuple[str, int], ...]:
    """Return the items of a JSON object; most stretches have had the same few errors."""
    return tuple(json.loads(errors).items())


class RollupCell:
    """Sums of some rows on their way into the file: what :class:`Stats` has, in the form that adds fastest."""

    __slots__ = ("errors", "integers", "latency", "owner", "ttft")

    def __init__(self, integers: list[int], owner: object = None) -> None:
        self.integers = integers
        self.latency: Sketch | None = None
        self.ttft: Sketch | None = None
        self.errors: dict[str, int] | None = None
        self.owner = owner
        """The collection that may change this cell; others copy it first."""

    def copied(self, owner: object) -> RollupCell:
        """Return an equal cell that ``owner`` may change."""
        cell = RollupCell(self.integers, owner)
        cell.latency = self.latency.copy() if self.latency is not None else None
        cell.ttft = self.ttft.copy() if self.ttft is not None else None
        cell.errors = self.errors.copy() if self.errors is not None else None
        return cell

    def add(self, other: RollupCell) -> None:
        """Add everything that another cell has."""
        self.integers = list(map(_plus, self.integers, other.integers))
        if other.latency is not None:
            if self.latency is None:
                self.latency = other.latency.copy()
            else:
                self.latency.merge(other.latency)
        if other.ttft is not None:
            if self.ttft is None:
                self.ttft = other.ttft.copy()
            else:
                self.ttft.merge(other.ttft)
        if other.errors:
            mine = self.errors = {} if self.errors is None else self.errors
            for kind, count in other.errors.items():
                mine[kind] = mine.get(kind, 0) + count

    def stored(self) -> list[Any]:
        """Return the columns :data:`STORED`."""
        values: list[Any] = self.integers.copy()
        for sketch in (self.latency, self.ttft):
            values += _NO_SKETCH if sketch is None else (sketch.n, sketch.sum_us, sketch.max_us, sketch.blob())
        values.append(json.dumps(self.errors, sort_keys=True, ensure_ascii=False) if self.errors else None)
        return values


def add_row(cells: dict[Any, RollupCell], key: Any, row: Sequence[Any]) -> None:
    """Add a row, given as :data:`~promptop.log.read.stats.SELECTED`, to the cell under a key."""
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = RollupCell(list(row[5:-3]))
    else:
        cell.integers = list(map(_plus, cell.integers, row[5:-3]))
    error, took, first = row[-3:]
    if took is not None:
        if cell.latency is None:
            cell.latency = Sketch()
        cell.latency.add(took)
    if first is not None:
        if cell.ttft is None:
            cell.ttft = Sketch()
        cell.ttft.add(first)
    if error is not None:
        errors = cell.errors = {} if cell.errors is None else cell.errors
        errors[error] = errors.get(error, 0) + 1


def merged_buckets(one: bytes | None, other: bytes | None) -> bytes | None:
    """Return the buckets of both: the function that the upsert calls for a sum that is there already."""
    if not one or not other:
        return one or other
    sketch = Sketch.stored(1, 0, 0, one)
    sketch.merge_stored(1, 0, 0, other)
    return sketch.blob()


def merged_errors(one: str | None, other: str | None) -> str | None:
    """Return the counts of both JSON objects added up."""
    if not one or not other:
        return one or other
    counts: dict[str, int] = json.loads(one)
    for kind, count in json.loads(other).items():
        counts[kind] = counts.get(kind, 0) + count
    return json.dumps(counts, sort_keys=True, ensure_ascii=False)


def upsert(table: str) -> str:
    """Return the statement that adds a sum to a table; it needs the two functions above under their names."""
    changes = [f"{name} = {name} + excluded.{name}" for name in INTEGERS]
    for sketch in SKETCHED:
        changes += [f"{sketch}_{part} = {sketch}_{part} + excluded.{sketch}_{part}" for part in ("n", "sum_us")]
        changes.append(f"{sketch}_max_us = max({sketch}_max_us, excluded.{sketch}_max_us)")
        changes.append(f"{sketch}_buckets = merged_buckets({sketch}_buckets, excluded.{sketch}_buckets)")
    changes.append("error_types = merged_errors(error_types, excluded.error_types)")
    return (
        f"INSERT INTO {table} VALUES ({', '.join('?' * (len(STORED) + 1))})"
        f" ON CONFLICT (key) DO UPDATE SET {', '.join(changes)}"
    )
