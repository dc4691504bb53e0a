"""Live traffic: real requests through the real shim, from a process that ends with its parent."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.support.processes import is_gone, started
from tests.support.waits import until

from promptop.simulator import LiveTraffic, SimulatedEndpoint


def count(log: Path, where: str = "1") -> int:
    if not log.exists():
        return 0
    connection = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    try:
        found: int = connection.execute(f"SELECT count(*) FROM requests WHERE {where}").fetchone()[0]
        return found
    except sqlite3.OperationalError:  # the file is there, its tables are not yet
        return 0
    finally:
        connection.close()


@pytest.mark.slow
def test_requests_pass_the_shim_and_leave_rows_like_any_programs(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        with LiveTraffic(
            endpoint.base_url, log, rate=60, seed=2, fill_hours=0.2, cache_path=tmp_path / "c.db"
        ) as traffic:
            assert traffic.process is not None
            pid = traffic.process.pid
            until(lambda: count(log, "server_address = '127.0.0.1'") > 60)
        assert is_gone(pid)
        arrived = len(endpoint.requests)
    asked = "server_address = '127.0.0.1' AND ifnull(cache_level, 'miss') = 'miss'"
    # A request that was cut short by the end may have left a row and never arrived.
    assert count(log, f"{asked} AND http_response_status_code > 0") <= arrived <= count(log, asked)
    assert count(log, "server_address = '127.0.0.1' AND cache_level IN ('memory', 'disk') AND saved_usd > 0") > 0
    assert count(log, "simulated IS NOT 1") == 0
    assert count(log, "server_address = 'simulated.invalid' AND cache_level IS NULL") > 10  # filled before
    assert count(log, "usage_source = 'reported' AND cost_usd > 0 AND ttft_s > 0 AND prompt_name IS NOT NULL") > 10
    assert count(log, "cache_level = 'miss' AND server_address = '127.0.0.1'") > 0
    assert count(log, "provider_name = 'openai' AND server_address = '127.0.0.1'") > 0


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = textwrap.dedent(
        """
        import sys, time
        from promptop.simulator import LiveTraffic
        traffic = LiveTraffic("http://127.0.0.1:9/v1", sys.argv[1], rate=1)
        traffic.start()
        print(traffic.process.pid, flush=True)
        time.sleep(600)
        """
    )
    command = [sys.executable, "-c", parent, str(tmp_path / "log.db")]
    with started(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not is_gone(child)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: is_gone(child))
