"""Logs are shipped through everything that goes wrong at once; then each row is counted exactly once, in each table.

``python -m tests.benchmarks.fleet_kill_run [ROWS]`` prints the figures of docs/fleet.md (200,000 rows, a few minutes):
four logs grow while their shippers are killed with ``kill -9``, three answers in ten are lost, inserts are refused,
dropped, hung and slow, and ClickHouse is away while the rows of an hour come. Then the time from a call's row to its
place in the tail, shipped by the process that wrote it. ``make world`` runs it with fewer rows.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.promptop.log.rows import append, random_rows
from tests.support.clickhouse import ClickHouse

from promptop.fleet import background, schema
from promptop.fleet.engine import Engine, parse_address
from promptop.fleet.log_source import FleetLog
from promptop.fleet.shipper import standing
from promptop.log import LogReader, Row
from promptop.log.outbox import outbox_path
from promptop.log.write.writer import Writer
from promptop.settings import FleetSettings

LOGS = 4
HOUR_MS = 3_600_000
LOST = 0.3
FAULTS = ("refuse", "hang", "slow", "drop")
BATCH = 1000
LIMIT_S = 1200.0
_PROGRAM = "import sys; from promptop.cli.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass
class Figures:
    """What came of a run."""

    expected: int
    """Rows that the logs hold."""
    counts: dict[str, int]
    """Rows by table of the engine, as each has counted them."""
    equal: bool
    """Whether a window over everything, by model, is the same integers by the logs and by the engine."""
    kills: int
    outcomes: dict[str, int]
    """Inserts by what was done to them."""
    seconds: float
    visible_s: list[float] = field(default_factory=list)
    """Seconds from each call's row to its place in the tail."""

    @property
    def exact(self) -> bool:
        """Whether every table holds every row once."""
        return set(self.counts.values()) == {self.expected} and self.equal


class Fleet:
    """Four logs, a shipper for each in a process of its own, and the engine."""

    def __init__(self, folder: Path, rows: int, seed: int) -> None:
        self._source = random.Random(seed)
        self.rows, self.kills = rows, 0
        self.server = ClickHouse(str(folder / "engine"))
        self.engine = Engine(parse_address(f"{self.server.url}/kill_run"), timeout_s=60)
        with contextlib.closing(self.engine.at("default")) as maker:
            for statement in schema.statements("kill_run"):
                maker.run(statement)
        self.logs = [folder / f"host{number}.db" for number in range(LOGS)]
        self._config = folder / "config.toml"
        self._config.write_text(f"[fleet]\nbatch = {BATCH}\nevery_s = 0.1\n")
        for log in self.logs:
            append(log, [])
        self._shippers: list[subprocess.Popen[bytes] | None] = [None] * LOGS
        self._over = threading.Event()

    def close(self) -> None:
        self._over.set()
        for shipper in self._shippers:
            if shipper is not None and shipper.poll() is None:
                shipper.kill()
                shipper.wait()
        self.engine.close()
        self.server.close()

    def start(self, number: int) -> None:
        command = [sys.executable, "-c", _PROGRAM, "ship", "--log", str(self.logs[number])]
        command += ["--config", str(self._config), "--url", str(self.engine.address)]
        self._shippers[number] = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill_one(self, *, patience_s: float = 20.0) -> None:
        """Kill a shipper that has taken its log, in the middle of whatever it does; a busy machine starts it slowly."""
        number = self._source.randrange(LOGS)
        until = time.monotonic() + patience_s
        while not self.leased(number) and time.monotonic() < until:
            self._over.wait(0.01)
        self._over.wait(self._source.uniform(0.0, 0.5))
        shipper = self._shippers[number]
        assert shipper is not None
        shipper.kill()
        shipper.wait()
        self.kills += 1
        self.start(number)

    def write(self, log: int, count: int, seed: int, spread_ms: int) -> None:
        """Let rows come in portions, as calls end."""
        start = time.time_ns() // 1_000_000 - spread_ms
        rows = random_rows(count, seed=seed, start_ms=start, spread_ms=spread_ms)
        for first in range(0, count, 250):
            append(self.logs[log], rows[first : first + 250])
            time.sleep(0.002)

    def waiting(self) -> int:
        return sum(standing(log).waiting_rows for log in self.logs)

    def storm(self) -> None:
        """Kill, lose and refuse, until every row is confirmed; away for an hour's rows in between."""
        spared = self.rows // LOGS * 3 // 10
        early = [
            threading.Thread(target=self.write, args=(number, spared, number, HOUR_MS // 2)) for number in range(LOGS)
        ]
        for thread in early:
            thread.start()
        for number in range(LOGS):
            self.start(number)
        self.trouble(
            lambda: (
                any(thread.is_alive() for thread in early)
                or self.kills < 8
                or not {"lose", *FAULTS} <= set(self.server.outcomes)
            )
        )
        self.server.break_inserts("")
        self.server.shut()
        for number in range(LOGS):  # an hour's rows, while nobody answers
            self.write(number, self.rows // LOGS - spared, 100 + number, HOUR_MS)
        self.kill_one(patience_s=1.0)
        self.server.open()
        self.trouble(lambda: self.waiting() > self.rows // 10)
        self.server.break_inserts("lose", rate=LOST)
        self.settle()

    def trouble(self, goes_on: Callable[[], bool]) -> None:
        """Go through the faults, with kills in between."""
        until = time.monotonic() + LIMIT_S
        turn = 0
        while goes_on():
            assert time.monotonic() < until, "the storm does not end"
            self.server.break_inserts("lose", rate=LOST)
            self._over.wait(self._source.uniform(2.0, 5.0))
            self.kill_one()
            self._over.wait(self._source.uniform(0.5, 1.0))
            self.server.break_inserts(FAULTS[turn % len(FAULTS)], rate=0.7, times=6)
            for number in range(LOGS):  # so that there is an insert for the fault to strike
                self.write(number, 50, 1000 + turn * LOGS + number, HOUR_MS // 2)
            self._over.wait(self._source.uniform(0.3, 0.8))
            if turn % 2:
                self.kill_one()
            turn += 1

    def settle(self) -> None:
        """Wait until no row waits; then end the shippers as a service manager does."""
        until = time.monotonic() + LIMIT_S
        while self.waiting():
            assert time.monotonic() < until, [standing(log) for log in self.logs]
            for number, shipper in enumerate(self._shippers):
                assert shipper is not None
                if shipper.poll() is not None:
                    raise AssertionError(f"shipper {number} ended with {shipper.returncode}")
            self._over.wait(0.1)
        self.server.break_inserts("")
        while not all(self.leased(number) for number in range(LOGS)):  # one that was started last may not be there yet
            assert time.monotonic() < until, "a shipper does not take its lease"
            self._over.wait(0.1)
        for shipper in self._shippers:
            assert shipper is not None
            shipper.send_signal(signal.SIGTERM)
        codes = [shipper.wait(60) for shipper in self._shippers if shipper is not None]
        assert codes == [0] * LOGS, codes

    def leased(self, number: int) -> bool:
        """Tell whether the lease of a log is its latest shipper's."""
        shipper = self._shippers[number]
        if not outbox_path(self.logs[number]).exists():
            return False
        with contextlib.closing(sqlite3.connect(outbox_path(self.logs[number]))) as side:
            if not side.execute("SELECT 1 FROM sqlite_master WHERE name = 'ship'").fetchone():
                return False
            holder = side.execute("SELECT value FROM ship WHERE key = 'lease'").fetchone()[0]
        return shipper is not None and f":{shipper.pid}:" in str(holder)

    def figures(self, seconds: float) -> Figures:
        ask = {
            "requests": "count() FROM requests",
            "requests FINAL": "count() FROM requests FINAL",
            "rollup_minute": "sum(n) FROM rollup_minute",
            "rollup_hour": "sum(n) FROM rollup_hour",
            "marks": "sum(rows) FROM marks",
        }
        counts = {name: int(self.engine.rows(f"SELECT {sql}")[0][0]) for name, sql in ask.items()}
        expected = 0
        for log in self.logs:
            with contextlib.closing(sqlite3.connect(log)) as rows:
                expected += int(rows.execute("SELECT count(*) FROM requests").fetchone()[0])
        now = time.time_ns() // 1_000_000
        since = now - now % HOUR_MS - 12 * HOUR_MS
        with LogReader(self.logs) as local, LogReader(FleetLog(self.engine.address)) as fleet:
            here = local.window(since, since + 13 * HOUR_MS, step_ms=HOUR_MS, by=("model",))
            there = fleet.window(since, since + 13 * HOUR_MS, step_ms=HOUR_MS, by=("model",))
        equal = (here.total, here.groups, here.buckets) == (there.total, there.groups, there.buckets)
        outcomes = {name: self.server.outcomes.count(name) for name in sorted(set(self.server.outcomes))}
        return Figures(expected, counts, equal and here.total.n > 0, self.kills, outcomes, seconds)

    def visible(self, log: Path, calls: int) -> list[float]:
        """Return the seconds from a call's row to its place in the tail; the writer's process ships it."""
        settings = FleetSettings(url=str(self.engine.address), in_process=True)
        found: list[float] = []
        with Writer(log) as writer, LogReader(FleetLog(self.engine.address)) as fleet:
            writer.warm(60)
            background.start(log, settings)
            mark = fleet.mark()
            for number in range(calls):
                self._over.wait(self._source.uniform(0.0, 0.6))
                begun = time.monotonic()
                writer.put(Row(started_ms=time.time_ns() // 1_000_000, app="visible", request_model=f"m{number}"))
                brought = 0
                while not brought:
                    if fleet.changed():  # as the monitor and log tail ask
                        rows, mark = fleet.follow(mark, 2000)
                        brought = sum(row.request_model == f"m{number}" for row in rows)
                    assert time.monotonic() - begun < LIMIT_S, "the row does not come"
                    self._over.wait(0.02)
                assert brought == 1
                found.append(time.monotonic() - begun)
        background.stop_all()
        return found


def run(folder: Path, rows: int, *, seed: int = 1, calls: int = 60) -> Figures:
    """Ship ``rows`` through the storm; then time ``calls`` calls to the tail."""
    fleet = Fleet(folder, rows, seed)
    try:
        begun = time.monotonic()
        fleet.storm()
        figures = fleet.figures(time.monotonic() - begun)
        figures.visible_s = sorted(fleet.visible(folder / "visible.db", calls))
        assert outbox_path(folder / "visible.db").exists()
        return figures
    finally:
        fleet.close()


def main() -> int:
    """Print the figures; the exit code is 1 if a row is missing or counted twice."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory(prefix="kill-run-") as folder:
        found = run(Path(folder), rows)
    print(f"expected {found.expected:,} rows of {LOGS} logs")
    for name, count in found.counts.items():
        print(f"  {name:15} {count:,}")
    print(f"  window by model the same as the logs': {'yes' if found.equal else 'NO'}")
    faults = ", ".join(f"{count} {name}" for name, count in found.outcomes.items())
    print(f"{found.kills} kills, inserts: {faults}; {found.seconds:.0f} s")
    p95 = found.visible_s[int(len(found.visible_s) * 0.95)]
    print(
        f"row to tail: p50 {statistics.median(found.visible_s):.2f} s, p95 {p95:.2f} s of {len(found.visible_s)} calls"
    )
    print("exact" if found.exact else "NOT EXACT")
    return 0 if found.exact else 1


if __name__ == "__main__":
    raise SystemExit(main())
