"""What the monitor's reading thread and the whole tab cost on a log of any size.

``python tests/benchmarks/monitor_refresh.py [ROWS] [FILE]`` generates a log (see log_windows.py), then prints for each
window the time until the first snapshot (rows of the table, window, window before, spend of the month) of a fresh
reader and of one that switches to it, refreshes with and without news, and the share of a core that the tab takes in
an app without a terminal: at rest, and with ten new rows a second.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from queue import Queue

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import log_windows  # noqa: E402 (found beside this file)

from promptop.log import Row, Writer  # noqa: E402
from promptop_tui.monitor.data.reader import Answer, MonitorReader  # noqa: E402
from promptop_tui.monitor.data.snapshot import SPANS, LogSnapshot, SnapshotQuery  # noqa: E402

NOW = log_windows.END / 1000


class Clock:
    """A wall clock that stands until it is moved."""

    now = NOW

    def __call__(self) -> float:
        return self.now


def one(reader: MonitorReader, answers: Queue[Answer], query: SnapshotQuery) -> tuple[float, LogSnapshot | None]:
    """Ask once; return milliseconds and the snapshot, if there was news."""
    looks, began = reader.looks, time.perf_counter()
    reader.ask(query)
    while answers.empty() and not (reader.looks > looks and reader.idle):
        time.sleep(0.00005)
    took = (time.perf_counter() - began) * 1e3
    found = None if answers.empty() else answers.get()
    reader.taken()
    return took, found if isinstance(found, LogSnapshot) else None


def refreshes(path: Path) -> None:
    """Print openings and refreshes."""
    print(f"{'window':>6} {'opened ms':>10} {'switched ms':>12} {'unchanged ms':>13}")
    for span in SPANS.values():
        answers: Queue[Answer] = Queue()
        reader = MonitorReader(path, answers.put, Clock())
        thread = threading.Thread(target=reader.run)
        thread.start()
        opened, _ = one(reader, answers, SnapshotQuery(span))
        other = SPANS["1h"] if span.name != "1h" else SPANS["24h"]
        one(reader, answers, SnapshotQuery(other))
        switched, _ = one(reader, answers, SnapshotQuery(span))
        same = sorted(one(reader, answers, SnapshotQuery(span))[0] for _ in range(101))[50]
        reader.stop()
        thread.join()
        print(f"{span.name:>6} {opened:>10.1f} {switched:>12.1f} {same:>13.2f}")
    with Writer(path, keep_days=0, rollups=True) as writer:
        answers = Queue()
        reader = MonitorReader(path, answers.put, Clock())
        thread = threading.Thread(target=reader.run)
        thread.start()
        one(reader, answers, SnapshotQuery(SPANS["1h"]))
        took = []
        for _ in range(15):
            for _ in range(20):
                writer.put(Row(started_ms=log_windows.END - 1, request_model="gpt-5.2", duration_s=1.0))
            writer.flush(10)
            reader._next_window = 0.0  # the window too, not only the rows
            spent, found = one(reader, answers, SnapshotQuery(SPANS["1h"]))
            if found is not None and found.fresh:
                took.append(spent)
        reader.stop()
        thread.join()
    print(f"20 new rows, 1 h window and table: {sorted(took)[len(took) // 2]:.1f} ms (median of {len(took)})")


def engine(path: Path) -> None:
    """Print what a look takes on the reading thread, without the hand-over between threads."""
    answers: list[Answer] = []
    reader = MonitorReader(path, answers.append, Clock())
    query = SnapshotQuery(SPANS["1h"])
    reader._look(query)

    def looked() -> float:
        began = time.perf_counter()
        reader._look(query)
        return (time.perf_counter() - began) * 1e3

    same = sorted(looked() for _ in range(2001))[1000]
    took: dict[bool, list[float]] = {False: [], True: []}
    with Writer(path, keep_days=0, rollups=True) as writer:
        for number in range(60):
            for _ in range(20):
                writer.put(Row(started_ms=log_windows.END - 1, request_model="gpt-5.2", duration_s=1.0))
            writer.flush(10)
            whole = number % 2 == 0
            reader._next_window = 0.0 if whole else float("inf")
            answers.clear()
            took[whole].append(looked())
            assert isinstance(answers[0], LogSnapshot)
            assert len(answers[0].fresh) == 20
    reader._close()
    rows, window = (sorted(found)[len(found) // 2] for found in took.values())
    print(f"a look: nothing new {same:.3f} ms; 20 new rows {rows:.2f} ms; with its 1 h window too {window:.2f} ms")


async def cpu(path: Path, seconds: float, rows_per_s: float) -> float:
    """Return the share of a core that the tab takes."""
    from tests.promptop_tui.monitor.conftest import Host, until

    app = Host(path)
    app.clock.time = NOW
    moved = time.monotonic()
    app.shared = replace(app.shared, now=lambda: NOW + time.monotonic() - moved)
    with Writer(path, keep_days=0) as writer:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.pane.shown.state == "ok")
            await asyncio.sleep(2)
            spent, began = time.process_time(), time.monotonic()
            written = 0
            while (gone := time.monotonic() - began) < seconds:
                while rows_per_s and written < gone * rows_per_s:
                    started = int((NOW + time.monotonic() - moved) * 1000)
                    writer.put(Row(started_ms=started, request_model="gpt-5.2", duration_s=1.0, total_s=1.1))
                    written += 1
                await asyncio.sleep(0.1)
            return (time.process_time() - spent) / (time.monotonic() - began)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=100_000)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=10, help="length of each CPU measurement")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder) / "log.db"
        if not path.exists():
            log_windows.generate(path, args.rows)
        refreshes(path)
        engine(path)
        for rate in (0, 10):
            share = asyncio.run(cpu(path, args.seconds, rate))
            print(f"CPU of the tab, 1 h window, {rate:>2} rows/s: {share:.1%} of a core")


if __name__ == "__main__":
    main()
