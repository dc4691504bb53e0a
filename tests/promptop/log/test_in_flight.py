"""What processes say of their open calls, and what a reader makes of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from promptop.log import in_flight
from promptop.log.in_flight import InFlight


def now_ms() -> int:
    return int(time.time() * 1000)


def test_what_is_written_is_read_added_up_and_private(tmp_path: Path) -> None:
    log, started = tmp_path / "log.db", now_ms() - 5_000
    in_flight.write(
        log, [InFlight("web", "m", 1, started), InFlight("web", "m", 1, started - 9), InFlight("b", "", 1, 7)]
    )
    assert in_flight.read([log], now_ms()) == [InFlight("b", "", 1, 7), InFlight("web", "m", 2, started - 9)]
    assert [path.stat().st_mode & 0o777 for path in in_flight.files_of(log)] == [0o600]
    in_flight.write(log, [])
    assert in_flight.read([log], now_ms()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_died_is_not_believed_for_long(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    in_flight.write(log, [InFlight("web", "m", 3, 1)])
    assert in_flight.read([log], now_ms() + 60_000) == []
    left = tmp_path / "log.db.in-flight-elsewhere-1"
    left.write_text("{}")
    os.utime(left, (1, 1))
    in_flight.write(log, [])
    in_flight.write(log, [InFlight("web", "m", 1, 1)])  # whoever begins cleans up
    assert not left.exists()


def test_damaged_files_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    in_flight.write(log, [InFlight("web", "m", 1, 1)])
    for number, text in enumerate(("", "{", "[]", '{"at_ms": "x"}', json.dumps({"at_ms": now_ms(), "calls": [[1]]}))):
        (tmp_path / f"log.db.in-flight-h-{number}").write_text(text)
    assert in_flight.read([log], now_ms()) == [InFlight("web", "m", 1, 1)]
    assert in_flight.read([tmp_path / "none.db"], now_ms()) == []
