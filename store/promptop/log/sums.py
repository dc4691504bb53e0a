"""The form in which sums are kept: an integer key for level, kind, time and series, and the columns of a sum.

A key has level (2 bits), kind (3), minute (32) and series (24), so that a stretch of time of one level and kind is one
stretch of the table.
"""

from __future__ import annotations

import json
from typing import Any

from promptop.log.stats import INTEGERS, Stats

VERSION = 1
"""Version of the file: another one, older or newer, is made anew and not migrated, for all of it is derived."""
LEVELS_MS = (60_000, 900_000, 21_600_000, 86_400_000)
ALL, BY_MODEL, BY_APP, BY_PROMPT, BY_EACH = range(5)
KINDS = (ALL, BY_MODEL, BY_APP, BY_PROMPT, BY_EACH)
_SERIES_BITS, _MINUTE_BITS = 24, 32
_SERIES_MASK, _MINUTE_MASK = (1 << _SERIES_BITS) - 1, (1 << _MINUTE_BITS) - 1
OVERFLOW = _SERIES_MASK
"""Series of whatever comes after 16 million others."""

SKETCHED = ("latency", "ttft")
_SKETCH_COLUMNS = tuple(f"{name}_{part}" for name in SKETCHED for part in ("n", "sum_us", "max_us", "buckets"))
STORED = (*INTEGERS, *_SKETCH_COLUMNS, "error_types")


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


def stored(stats: Stats) -> tuple[Any, ...]:
    """Return the columns :data:`STORED` of sums."""
    values = [getattr(stats, name) for name in INTEGERS]
    for sketch in (stats.latency, stats.ttft):
        values += (sketch.n, sketch.sum_us, sketch.max_us, sketch.blob() or None)
    errors = json.dumps(stats.error_types, sort_keys=True) if stats.error_types else None
    return (*values, errors)


def add_stored(stats: Stats, row: Any) -> None:
    """Add the columns :data:`STORED`; sketches are decoded only when asked for a quantile."""
    for name, value in zip(INTEGERS, row, strict=False):
        if value:
            setattr(stats, name, getattr(stats, name) + value)
    (ln, ls, lm, lb, tn, ts, tm, tb, errors) = row[len(INTEGERS) :]
    if ln:
        stats.latency.merge_stored(ln, ls, lm, lb)
    if tn:
        stats.ttft.merge_stored(tn, ts, tm, tb)
    if errors:
        for kind, count in json.loads(errors).items():
            stats.error_types[kind] = stats.error_types.get(kind, 0) + count
