"""When a row is sent: at once after a pause, else together with those that come within ``every_s``."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import cast

from tests.support.waits import until

from promptop.fleet.background import ship
from promptop.fleet.shipper import Shipper, ShipStep
from promptop.settings import FleetSettings


class Counting:
    """Stands for a shipper: says that nothing waits unless the log was written since."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.steps: list[float] = []
        self._size = 0

    def step(self) -> ShipStep:
        self.steps.append(time.monotonic())
        size, before = self.log.stat().st_size, self._size
        self._size = size
        return ShipStep("sent", rows=1) if size > before else ShipStep("idle")


def run(shipper: Counting, stop: threading.Event, every_s: float) -> threading.Thread:
    settings = FleetSettings(every_s=every_s)
    thread = threading.Thread(target=ship, args=(cast("Shipper", shipper), stop, settings))
    thread.start()
    return thread


def more(log: Path) -> None:
    with log.open("ab") as file:
        file.write(b"row")


def test_a_row_after_a_pause_does_not_wait_for_the_next_turn(tmp_path: Path) -> None:
    log, stop = tmp_path / "log.db", threading.Event()
    log.touch()
    shipper = Counting(log)
    thread = run(shipper, stop, every_s=3_600)
    until(lambda: len(shipper.steps) == 1)
    more(log)
    until(lambda: len(shipper.steps) == 2)
    stop.set()
    thread.join()


def test_rows_that_follow_each_other_go_together(tmp_path: Path) -> None:
    log, stop = tmp_path / "log.db", threading.Event()
    log.touch()
    more(log)
    shipper = Counting(log)
    thread = run(shipper, stop, every_s=0.2)

    def stepped_while_rows_come() -> bool:
        more(log)
        return len(shipper.steps) >= 4

    until(stepped_while_rows_come)
    stop.set()
    thread.join()
    assert all(after - before >= 0.2 for before, after in zip(shipper.steps[:-2], shipper.steps[1:-1], strict=True))
