"""Calls in flight, beside the log: a row is written when a call ends, and until then nothing else tells of it.

Each process that has had calls open for more than a second writes one small file, ``LOG.in-flight-HOST-PID``, every two
seconds, and removes it when none is open. A process that dies leaves its file: a reader takes it for dead when its time
is older than :data:`STALE_S`, and whoever begins to write there removes what is an hour old.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from promptop.base.files import write_private

STALE_S = 15.0
_LEFT_S = 3_600
_MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class InFlight:
    """Calls of one program to one model that have not ended."""

    app: str
    model: str
    calls: int
    oldest_ms: int
    """Start of the oldest, Unix milliseconds."""


def files_of(log: Path) -> list[Path]:
    """Return the files in which the processes that write a log say what they have open."""
    prefix = f"{log.name}.in-flight-"
    try:
        with os.scandir(log.parent) as entries:
            return [Path(entry.path) for entry in islice(entries, _MOST_FILES) if entry.name.startswith(prefix)]
    except OSError:
        return []


def read(logs: Iterable[Path], now_ms: int) -> list[InFlight]:
    """Return the calls in flight of all processes that write these logs, by app and model; the oldest first."""
    calls: list[InFlight] = []
    for path in (path for log in logs for path in files_of(log)):
        try:
            found = json.loads(path.read_bytes())
            if now_ms - int(found["at_ms"]) <= STALE_S * 1000:
                calls += [InFlight(str(a), str(m), int(n), int(started)) for a, m, n, started in found["calls"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # removed or replaced just now, or of another version
    return grouped(calls)


def grouped(calls: Iterable[InFlight]) -> list[InFlight]:
    """Return calls added up by app and model, the oldest first."""
    numbers: Counter[tuple[str, str]] = Counter()
    oldest: dict[tuple[str, str], int] = {}
    for each in calls:
        key = each.app, each.model
        numbers[key] += each.calls
        oldest[key] = min(oldest.get(key, each.oldest_ms), each.oldest_ms)
    made = [InFlight(app, model, number, oldest[app, model]) for (app, model), number in numbers.items() if number > 0]
    return sorted(made, key=lambda each: each.oldest_ms)


def write(log: Path, calls: Sequence[InFlight]) -> None:
    """Say what this process has open; of none the file is removed. Raises :class:`OSError`."""
    path = log.with_name(f"{log.name}.in-flight-{socket.gethostname()[:64]}-{os.getpid()}")
    if not calls:
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        _remove_left(log)
    groups = [[each.app, each.model, each.calls, each.oldest_ms] for each in grouped(calls)]
    write_private(path, json.dumps({"at_ms": int(time.time() * 1000), "pid": os.getpid(), "calls": groups}))


def _remove_left(log: Path) -> None:
    now = time.time()
    for other in files_of(log):
        with contextlib.suppress(OSError):  # another process is at it
            if now - other.stat().st_mtime > _LEFT_S:
                other.unlink()
