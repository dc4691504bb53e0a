"""The storm of tests/benchmarks/fleet_kill_run.py with fewer rows. Needs chdb (make test-fleet, make world)."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

pytest.importorskip("chdb", reason="chdb is not installed: make test-fleet")

from tests.benchmarks.fleet_kill_run import FAULTS, run


@pytest.mark.world
@pytest.mark.timeout(600)
def test_no_row_is_lost_or_counted_twice_whatever_fails(tmp_path: Path) -> None:
    found = run(tmp_path, 20_000, calls=20)
    assert found.exact, (found.expected, found.counts, found.equal)
    assert found.kills >= 8
    assert {"lose", *FAULTS} <= set(found.outcomes)
    assert statistics.median(found.visible_s) < 2  # 0.3 s on a machine that does nothing else
