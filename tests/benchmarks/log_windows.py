"""Windows of the monitor at any size of log: rollups against a plain scan of the rows, in one run.

``python tests/benchmarks/log_windows.py 1000000 [FILE]`` generates a log of so many rows over 60 days (kept in FILE for
the next run), folds it, and opens each window as the monitor does: totals, groups by model, steps with percentiles.
"Cold" means that the operating system was told to forget the files; the connection is new in both cases. CPU is the
processor's time of a warm window, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from promptop.log import LogReader, Stats, Window, files
from promptop.log.read.stats import SELECTED
from promptop.log.rollups.rollups import Rollups

DAY = 86_400_000
END = 1_795_262_430_000  # 2026-11-21T12:00:30Z: in the middle of a minute
DAYS = 60
WINDOWS = {
    "5m": (300_000, 5_000),
    "1h": (3_600_000, 60_000),
    "24h": (DAY, 900_000),
    "7d": (7 * DAY, 7_200_000),
    "30d": (30 * DAY, 21_600_000),
}
QS = (0.5, 0.95, 0.99)
MODELS = [("gpt-5.2", 30, 0.9), ("gpt-5-mini", 22, 0.5), ("claude-sonnet-4-6", 18, 1.1), ("claude-haiku-4-5", 10, 0.6)]
MODELS += [("deepseek-chat", 7, 1.4), ("gemini-3-flash", 5, 0.45), ("mistral-large", 3, 0.8), ("qwen3-max", 2, 1.5)]
MODELS += [("llama-3.3-70b", 1, 0.2), ("text-embedding-3-small", 1, 0.12), ("o4-mini", 0.6, 3.0), ("grok-4", 0.4, 1.2)]
_COLUMNS = [
    "started_ms",
    "app",
    "prompt_name",
    "request_model",
    "response_model",
    "operation_name",
    "provider_name",
    "http_response_status_code",
    "error_type",
    "ttft_s",
    "duration_s",
    "total_s",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_input_tokens",
    "usage_source",
    "cost_usd",
    "cost_status",
    "cache_level",
    "response_finish_reasons",
    "response_id",
    "prompt_hash",
    "bytes_received",
]


def rows(count: int, seed: int = 1) -> Iterator[tuple[object, ...]]:
    """Yield rows in order of time, with the proportions of a busy service."""
    source = random.Random(seed)
    names, weights, speeds = zip(*MODELS, strict=True)
    step = DAYS * DAY / count
    for number, which in enumerate(source.choices(range(len(names)), weights, k=count)):
        failed = source.random() < 0.012
        hit = source.random() < 0.15
        into, out = int(source.lognormvariate(7.2, 1.2)), int(source.lognormvariate(5.2, 1.0))
        first = source.lognormvariate(0, 0.45) * speeds[which]
        took = first + out * 0.012
        yield (
            END - DAYS * DAY + int(number * step),
            ("web", "agent", "batch")[number % 3],
            (None, None, "summary", "triage")[number % 4],
            names[which],
            names[which],
            "chat",
            "openai",
            429 if failed else 200,
            "429" if failed else None,
            None if number % 5 == 0 else first,
            took,
            took + 0.01,
            into,
            out,
            into // 2 if number % 2 else 0,
            "reported",
            into * 1e-6 + out * 4e-6,
            "table",
            "memory" if hit else "miss",
            '["stop"]',
            f"chatcmpl-{number:020d}",
            f"{source.getrandbits(128):032x}",
            out * 90,
        )


def generate(path: Path, count: int) -> None:
    """Write the rows and fold them, with the time that each takes."""
    began = time.perf_counter()
    with contextlib.closing(files.open_log(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        insert = f"INSERT INTO requests ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
        connection.executemany(insert, rows(count))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    written = time.perf_counter()
    # As at the end of the log: minutes are kept for eight days before the present, and without them an hour is rows.
    with Rollups(path, now_ms=lambda: END) as rollups:
        rollups.catch_up(float("inf"), limit=50_000)
        assert rollups.lag() == 0
    folded = time.perf_counter()
    sizes = [p.stat().st_size / 1e6 for p in (path, files.rollups_path(path))]
    print(
        f"{count:,} rows: written in {written - began:.0f} s, folded in {folded - written:.0f} s"
        f" ({(folded - written) / count * 1e6:.0f} µs a row); rows {sizes[0]:.0f} MB, rollups {sizes[1]:.0f} MB",
        flush=True,
    )


def look(window: Window) -> list[object]:
    """Compute what a screen shows of a window: percentiles in all, by model and by step."""
    return [
        (stats.n, stats.cost_usd, stats.latency.quantiles(QS), stats.ttft.quantiles(QS))
        for stats in (window.total, *window.groups.values(), *(whole for _, whole, _ in window.buckets))
    ]


def opened(path: Path, since: int, step: int) -> Window:
    """Open a window as the monitor does when it starts."""
    with LogReader(path) as reader:
        window = reader.window(since, END, step_ms=step)
        look(window)
    return window


def scanned(path: Path, since: int, step: int) -> Stats:
    """Compute the same from the rows alone, found by their index on time: what a monitor without rollups does."""
    total = Stats()
    groups: dict[str, Stats] = {}
    steps: dict[int, Stats] = {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(
            f"SELECT {SELECTED} FROM requests WHERE started_ms >= ? AND started_ms < ?", (since, END)
        ):
            for stats in (total, groups.setdefault(row[2], Stats()), steps.setdefault(row[1] // step, Stats())):
                stats.add(row)
    return total


def forget(path: Path) -> None:
    """Tell the operating system to drop the files from its cache."""
    for one in (path, files.rollups_path(path)):
        with one.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(action: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median of some runs, milliseconds of a clock."""
    took = []
    for _ in range(repeats):
        began = clock()
        action()
        took.append((clock() - began) * 1e3)
    return sorted(took)[len(took) // 2]


def main() -> None:
    """Print one line a window."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--no-scan", action="store_true", help="leave the scans out: they take minutes of 10 M rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / "log.db"
        if not path.exists():
            generate(path, args.rows)
        print("window       rows  cold ms  warm ms   CPU ms   scan ms  faster  largest error of a percentile")
        for name, (span, step) in WINDOWS.items():
            since = END - span
            since -= since % 60_000  # as the monitor asks: whole minutes
            forget(path)
            cold = timed(lambda since=since, step=step: opened(path, since, step), 1)  # type: ignore[misc]
            warm = timed(lambda since=since, step=step: opened(path, since, step), 7)  # type: ignore[misc]
            cpu = timed(lambda since=since, step=step: opened(path, since, step), 7, time.process_time)  # type: ignore[misc]
            scan = 0.0
            if not args.no_scan:
                scan = timed(lambda since=since, step=step: scanned(path, since, step), 1)  # type: ignore[misc]
            window = opened(path, since, step)
            line = f"{name:>6} {window.total.n:>10,} {cold:>8.1f} {warm:>8.1f} {cpu:>8.1f}"
            print(f"{line} {scan:>9.0f} {scan / warm:>6.0f}×  {error_of(path, since, window)}", flush=True)
        refresh(path)


def error_of(path: Path, since: int, window: Window) -> str:
    """Compare the sketch's percentiles with exact ones (inclusive, interpolated) of the same rows."""
    sql = (
        "SELECT duration_s FROM requests WHERE started_ms >= ? AND started_ms < ? AND error_type IS NULL"
        " AND cache_level = 'miss' ORDER BY duration_s"
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        values = [row[0] for row in connection.execute(sql, (since, END))]
    if not values:
        return "–"
    worst = 0.0
    for q, found in zip(QS, window.total.latency.quantiles(QS), strict=True):
        rank = q * (len(values) - 1)
        low = int(rank)
        exact = values[low] + (rank - low) * (values[min(low + 1, len(values) - 1)] - values[low])
        worst = max(worst, abs((found or 0) - exact) / exact)
    return f"{worst:.2%}"


def refresh(path: Path) -> None:
    """Measure a refresh with nothing new, and one with 20 new rows after which a window is opened again."""
    with LogReader(path) as reader:
        reader.changed()
        reader.window(END - 3_600_000, END, step_ms=60_000)
        nothing = timed(reader.changed, 2001)
        fresh = list(rows(20, seed=2))
        insert = f"INSERT INTO requests ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
        took = []
        with contextlib.closing(files.open_log(path)) as connection:
            for _ in range(21):
                mark = reader.mark()
                connection.executemany(insert, fresh)
                began = time.perf_counter()
                assert reader.changed()
                found, mark = reader.follow(mark, 1_000)
                took.append((time.perf_counter() - began) * 1e3)
                assert len(found) == 20
            connection.execute("DELETE FROM requests WHERE id > ?", (reader.last_id() - 21 * 20,))
    print(f"refresh: nothing new {nothing:.3f} ms, 20 new rows {sorted(took)[10]:.2f} ms")


if __name__ == "__main__":
    sys.exit(main())
