"""A fleet's log of any size in chdb: windows of the monitor from sums, the tail's polls, and what a row costs.

``python -m tests.benchmarks.fleet_windows [ROWS]`` makes so many rows (10 million) of 50 logs over 30 days inside the
engine, 108 series, and prints processor time of the whole process, engine and client: other work on the machine
disturbs it less than the clock. Needs chdb and about 2 GB of disk; a few minutes.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

from tests.support.clickhouse import ClickHouse

from promptop.fleet import schema
from promptop.fleet.engine import Engine, parse_address
from promptop.fleet.log_source import FleetLog
from promptop.log import LogReader, parse_filter

DAY_MS = 86_400_000
CHUNK = 500_000
AIM_WINDOW_MS, AIM_TAIL_MS = 150.0, 20.0
TRIES = 7


def made(now_ms: int, first: int, count: int, rows: int) -> str:
    """Return the insert of a stretch of rows, in order of time as logs bring them."""
    step = 30 * DAY_MS / rows
    return (
        "INSERT INTO requests (tenant, log_id, id, shipper, shipped_from, received, started_ms, app, prompt_name,"
        " request_model, host_name, provider_name, operation_name, usage_input_tokens, usage_output_tokens,"
        " usage_source, cost_usd, cost_status, duration_s, total_s, ttft_s, http_response_status_code, error_type,"
        " response_finish_reasons, cache_level)"
        " SELECT 'default', concat('log', toString(number % 50)), intDiv(number, 50) + 1, 's',"
        " concat('host', toString(number % 50)),"
        f" fromUnixTimestamp64Milli(toInt64({now_ms - 30 * DAY_MS} + number * {step!r}), 'UTC'),"
        f" toInt64({now_ms - 30 * DAY_MS} + number * {step!r}), concat('app', toString(cityHash64(number, 1) % 3)),"
        " concat('prompt', toString(cityHash64(number, 2) % 3)), concat('model', toString(cityHash64(number, 3) % 12)),"
        " concat('host', toString(number % 50)), 'openai', 'chat', cityHash64(number, 4) % 5000,"
        " cityHash64(number, 5) % 800, 'reported', (cityHash64(number, 6) % 10000) / 1000000, 'exact',"
        " exp((cityHash64(number, 7) % 1000) / 250 - 1), exp((cityHash64(number, 7) % 1000) / 250 - 1) + 0.01,"
        " exp((cityHash64(number, 8) % 1000) / 300 - 2), if(cityHash64(number, 9) % 100 = 0, 429, 200),"
        " if(cityHash64(number, 9) % 100 = 0, '429', NULL), '[\"stop\"]', if(cityHash64(number, 10) % 5 = 0, 'miss',"
        f" NULL) FROM numbers({first}, {count})"
    )


def processor_s() -> float:
    """Return the seconds that all threads of this process have computed."""
    return time.process_time()


def cost_ms(work: Callable[[], object]) -> float:
    """Return the median of some warm runs, milliseconds of processor."""
    work()
    found = []
    for _ in range(TRIES):
        begun = processor_s()
        work()
        found.append((processor_s() - begun) * 1000)
    return statistics.median(found)


def main() -> int:
    """Print the figures; exit 1 where an aim is missed."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="fleet-windows-", dir=os.environ.get("TMPDIR")) as folder:
        server = ClickHouse(folder)
        engine = Engine(parse_address(f"{server.url}/fleet"), timeout_s=600)
        with contextlib.closing(engine.at("default")) as maker:
            for statement in schema.statements("fleet"):
                maker.run(statement)
        now_ms = time.time_ns() // 1_000_000 - 60_000
        begun = processor_s()
        for first in range(0, rows, CHUNK):
            engine.run(
                made(now_ms, first, min(CHUNK, rows - first), rows),
                settings={"insert_deduplicate": 0, "max_partitions_per_insert_block": 200},
            )
        while engine.rows("SELECT count() FROM system.merges") != [[0]]:
            time.sleep(0.5)
        each_us = (processor_s() - begun) / rows * 1e6
        disk = dict(
            engine.rows(
                "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'fleet' GROUP BY table"
            )
        )
        sums = dict(
            engine.rows("SELECT table, sum(rows) FROM system.parts WHERE active AND database = 'fleet' GROUP BY table")
        )
        size = disk["requests"] / rows
        print(f"{rows:,} rows: {each_us:.1f} µs of processor each, sums and merges included; {size:.0f} B on disk")
        for name in ("rollup_minute", "rollup_hour"):
            print(f"  {name}: {sums[name]:,} sums, {disk[name] / 1e6:.0f} MB")
        failed = False
        engine.run("SYSTEM STOP MERGES")  # whose work would be counted, too
        with LogReader(FleetLog(engine.address)) as log:
            until = now_ms + 60_000
            spans = {"1h": (3_600_000, 60_000), "24h": (DAY_MS, 900_000), "30d": (30 * DAY_MS, 21_600_000)}
            assert log.window(now_ms - 31 * DAY_MS, until, by=("model",)).total.n == rows
            for name, (span, step) in spans.items():
                took = cost_ms(
                    lambda span=span, step=step: log.window(until - span, until, step_ms=step, by=("model",))
                )
                print(f"  {name:4} by model in steps {took:7.0f} ms")
            took = cost_ms(lambda: log.window(until - 30 * DAY_MS, until, by=("model",)))
            failed |= took > AIM_WINDOW_MS
            print(f"  30d  by model          {took:7.0f} ms (aim {AIM_WINDOW_MS:.0f})")
            raw = cost_ms(lambda: log.window(until - DAY_MS, until, by=("host",), where=parse_filter("ttft>1s")))
            print(f"  24h  by host, filtered, from rows {raw:7.0f} ms")
            mark = log.mark()
            polled = cost_ms(lambda: (log.changed(), log.follow(mark, 1000)))
            failed |= polled > AIM_TAIL_MS
            print(f"  poll of the tail       {polled:7.1f} ms (aim {AIM_TAIL_MS:.0f})")
        engine.close()
        server.close()
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
