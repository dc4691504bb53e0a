"""What logging costs the caller and how many rows a second it takes, against sqlite-utils row by row, in one run.

``python tests/benchmarks/log_writes.py [ROWS]``: rows with 30 columns set. Then four processes at once, and kill -9.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import sqlite_utils

from promptop.log import Row, Writer
from promptop.log.row import COLUMNS


def row(number: int) -> Row:
    """Return a row as the shim makes it."""
    return Row(
        started_ms=1_795_262_400_000 + number,
        app="web",
        operation_name="chat",
        provider_name="openai",
        openai_api_type="chat_completions",
        server_address="api.openai.com",
        server_port=443,
        url_path="/v1/chat/completions",
        prompt_hash=f"{number:032x}",
        request_model="gpt-4o",
        request_stream=1,
        request_max_tokens=512,
        request_messages=3,
        response_model="gpt-4o-2024-08-06",
        response_id=f"chatcmpl-{number:020d}",
        response_finish_reasons='["stop"]',
        http_response_status_code=200,
        attempt=1,
        ttfb_s=0.21,
        ttft_s=0.24,
        duration_s=2.31,
        total_s=2.32,
        chunks=160,
        bytes_sent=2100,
        bytes_received=31000,
        usage_input_tokens=812,
        usage_output_tokens=160,
        usage_source="reported",
        cost_usd=0.00363,
        cost_status="table",
    )


def quantile(values: list[float], q: float) -> float:
    """Return a quantile in microseconds."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] * 1e6


def report(name: str, rows: int, seconds: float, costs: list[float]) -> float:
    """Print one line and return rows a second."""
    print(
        f"{name:<44} {rows / seconds:>9,.0f} rows/s   caller p50 {quantile(costs, 0.5):>7.1f} µs"
        f"   p99 {quantile(costs, 0.99):>8.1f} µs",
        flush=True,
    )
    return rows / seconds


def flood(path: Path, count: int) -> float:
    """Put rows as fast as the writer takes them."""
    made = [row(number) for number in range(count)]
    costs = []
    clock = time.perf_counter
    with Writer(path, max_queue=20_000, rollups=False) as writer:
        began = clock()
        for one in made:
            if writer._queue.qsize() > 15_000:  # the flood waits: nothing may be dropped in this measurement
                time.sleep(0.01)
            start = clock()
            writer.put(one)
            costs.append(clock() - start)
        assert writer.flush(60)
        took = clock() - began
        assert (writer.stats.written, writer.stats.lost) == (count, 0)
    return report("promptop.log.Writer, flood", count, took, costs)


def paced(path: Path, rate: int, seconds: float, *, rollups: bool) -> None:
    """Put rows at a rate, as a service does, and look at what each call pays."""
    costs = []
    clock = time.perf_counter
    with Writer(path, rollups=rollups) as writer:
        began = due = clock()
        while clock() - began < seconds:
            due += random.expovariate(rate)
            time.sleep(max(0.0, due - clock()))
            one = row(len(costs))
            start = clock()
            writer.put(one)
            costs.append(clock() - start)
        writer.flush()
    report(f"promptop.log.Writer, {rate}/s{', rollups' if rollups else ''}", len(costs), seconds, costs)


def row_by_row(path: Path, seconds: float) -> float:
    """Insert with sqlite-utils in the caller's thread, as ``llm`` does: same table, WAL, synchronous NORMAL."""
    with Writer(path, rollups=False) as writer:
        writer.put(row(0))
    database = sqlite_utils.Database(path)
    database.conn.execute("PRAGMA synchronous = NORMAL")
    table = database["requests"]
    costs: list[float] = []
    clock = time.perf_counter
    began = clock()
    while clock() - began < seconds:
        found = row(len(costs))
        values = {name: getattr(found, name) for name in COLUMNS}
        start = clock()
        table.insert(values)  # type: ignore[union-attr]
        costs.append(clock() - start)
    took = clock() - began
    database.close()
    return report("sqlite-utils insert(), row by row", len(costs), took, costs)


_CHILD = textwrap.dedent(
    """
    import sys, time
    sys.path.insert(0, sys.argv[3])
    from log_writes import row
    from promptop.log import Writer
    with Writer(sys.argv[1], max_queue=100_000) as writer:
        for number in range(int(sys.argv[2])):
            writer.put(row(number))
            if number % 5000 == 0:
                time.sleep(0.02)
        assert writer.flush(120), writer.stats
        assert writer.stats.lost == 0 and not writer.stats.last_error, writer.stats
    """
)


def four_processes(path: Path, each: int) -> None:
    """Write from four processes at once and count."""
    here = str(Path(__file__).parent)
    began = time.perf_counter()
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, str(path), str(each), here], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = "".join(child.communicate()[1] for child in children)
    took = time.perf_counter() - began
    with contextlib.closing(sqlite3.connect(path)) as connection:
        count = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
    print(
        f"4 processes: {count:,} of {4 * each:,} rows, {count / took:,.0f} rows/s with start-up,"
        f" 'locked' seen {errors.count('locked')} times, failures {sum(child.returncode != 0 for child in children)}",
        flush=True,
    )


def killed(folder: Path, times: int) -> None:
    """Kill a writing process and look for damage, and for rows that were committed and are gone."""
    script = textwrap.dedent(
        """
        import os, sys, time
        sys.path.insert(0, sys.argv[2])
        from log_writes import row
        from promptop.log import Writer
        writer = Writer(sys.argv[1]); number = 0
        while True:
            number += 1
            one = row(0); one.started_ms = number
            writer.put(one)
            os.write(1, b"%d %d\\n" % (number, writer.stats.written))
            time.sleep(0.0005)
        """
    )
    worst = gone = damaged = kept = 0
    source = random.Random(1)
    for number in range(times):
        path = folder / f"killed{number}.db"
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(0.2 + source.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        lines = (first + child.stdout.read()).split(b"\n")[:-1]
        child.wait()
        put, committed = (int(value) for value in lines[-1].split())
        with contextlib.closing(sqlite3.connect(path)) as connection:
            damaged += connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok"
            found = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
        kept += found
        gone += max(0, committed - found)
        worst = max(worst, put - found)
    print(
        f"kill -9, {times} times: committed rows lost {gone}, damaged files {damaged},"
        f" queue lost at most {worst} rows (kept {kept:,})"
    )


def main() -> None:
    """Print one line a measurement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured: list[Callable[[], float]] = [
            lambda: flood(folder / "flood.db", count),
            lambda: row_by_row(folder / "utils.db", 3),
        ]
        fast, slow = (measure() for measure in measured)
        print(f"→ {fast / slow:.0f}× sqlite-utils")
        paced(folder / "paced.db", 100, 4, rollups=False)
        paced(folder / "paced.db", 1000, 4, rollups=True)
        four_processes(folder / "four.db", count // 4)
        killed(folder, 10)


if __name__ == "__main__":
    main()
