"""Shipping goes on until it is told to stop: for ``promptop ship``, and on a thread of the programs that write the log.

Of the processes that write one log, one has the lease; the others ask for it every five seconds, so that the next one
goes on where it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from promptop.base.errors import PromptopError, UsageError
from promptop.base.sanitize import clean_line
from promptop.fleet.engine import Address, Engine, parse_address, password_of
from promptop.fleet.shipper import LogReplacedError, Shipper, ShippingStoppedError
from promptop.log.row import COLUMNS
from promptop.settings import FleetSettings

_LONGEST_EVERY_S = 60.0
_LOOK_S = 0.05
"""Between two looks (of 20 µs) at whether rows came."""
_FIRST_REOPEN_S, _LONGEST_REOPEN_S = 0.2, 30.0
_END_S = 2.0
"""How long the end of a process may be delayed to ship what it has just written."""
_logger = logging.getLogger("promptop.fleet")


def address_of(fleet: FleetSettings) -> Address:
    """Return the engine's address; raises :class:`UsageError` if none is named."""
    if not fleet.url:
        raise UsageError("No fleet is named.", "Set url in [fleet], or write --url clickhouse://HOST:8443/promptop.")
    return parse_address(fleet.url, user=fleet.user, password=password_of(fleet.password_file), ca_file=fleet.ca_file)


def shipper_of(
    log: Path, fleet: FleetSettings, *, take_over: bool = False, tell: Callable[[str], object], timeout_s: float = 30.0
) -> Shipper:
    """Return the shipper of a log as the settings say; raises :class:`UsageError` for columns that cannot stay here."""
    for name in fleet.columns_excluded:
        if name not in COLUMNS or name == "started_ms":
            raise UsageError(
                f"[fleet] columns_excluded names no column that can stay here: {name!r}.", "See docs/log.md."
            )
    return Shipper(
        log,
        Engine(address_of(fleet), timeout_s=timeout_s),
        tenant=fleet.tenant,
        batch=fleet.batch,
        excluded=fleet.columns_excluded,
        take_over=take_over,
        tell=tell,
    )


def ship(shipper: Shipper, stop: threading.Event, fleet: FleetSettings, *, once: bool = False) -> None:
    """Ship until ``stop`` is set, and then what came meanwhile; with ``once`` until no row waits.

    A row that comes when the last batch is ``every_s`` ago goes at once; the others wait for each other that long.
    """
    every_s, sent_at = fleet.every_s, -_LONGEST_EVERY_S
    while True:
        stopping = stop.is_set()
        seen = _written(shipper.log)
        step = shipper.step()
        if stopping or (step.done == "idle" and once):
            return
        if step.done == "crowded":
            every_s = min(every_s * 2, _LONGEST_EVERY_S)
        elif step.done == "sent":
            every_s, sent_at = max(fleet.every_s, every_s * 0.9), time.monotonic()
        if step.done == "sent" and (once or step.rows >= fleet.batch):
            continue
        if step.done in ("idle", "sent"):
            _wait_for_rows(stop, shipper.log, seen, sent_at + every_s, every_s)
        else:
            stop.wait(max(step.wait_s, every_s - fleet.every_s))


def _wait_for_rows(stop: threading.Event, log: Path, seen: object, earliest: float, longest_s: float) -> None:
    """Wait until something was written to a log and it is ``earliest`` (monotonic), for ``longest_s`` at most."""
    until = time.monotonic() + longest_s
    while (now := time.monotonic()) < until:
        if now >= earliest and _written(log) != seen:
            return
        if stop.wait(min(_LOOK_S, until - now)):
            return


def _written(log: Path) -> tuple[object, ...]:
    """Return what changes with every commit to a log."""
    found: list[object] = []
    for path in (log, log.with_name(f"{log.name}-wal")):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found += (status.st_ino, status.st_size, status.st_mtime_ns)
    return tuple(found)


class ShipThread:
    """Ships one log beside the program that writes it; failures are kept in ``LOG.ship`` and logged, never raised."""

    def __init__(self, log: Path, fleet: FleetSettings) -> None:
        self.log, self._fleet = log, fleet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="promptop-ship", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float = _END_S) -> None:
        """Ship what is there and give the lease back, in ``timeout_s`` seconds at most."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        wait_s = _FIRST_REOPEN_S  # the log may not be there yet
        while True:
            try:
                with contextlib.closing(shipper_of(self.log, self._fleet, tell=self._tell)) as shipper:
                    ship(shipper, self._stop, self._fleet)
            except LogReplacedError:
                continue
            except (ShippingStoppedError, UsageError) as error:
                self._tell(str(error))
                return
            except (PromptopError, sqlite3.Error, OSError) as error:
                if wait_s > 1:
                    self._tell(str(error))
                if self._stop.wait(wait_s):
                    return
                wait_s = min(wait_s * 2, _LONGEST_REOPEN_S)
                continue
            return

    def _tell(self, text: str) -> None:
        _logger.warning("promptop ship: %s", clean_line(text))


_threads: dict[tuple[int, Path], ShipThread] = {}
"""By process: in the child of a fork no thread of the parent runs."""
_starting = threading.Lock()


def start(log: Path, fleet: FleetSettings) -> None:
    """Ship a log from this process until its end, if the settings say so; a log that is shipped already stays so."""
    if not fleet.in_process or not fleet.url:
        return
    place = os.getpid(), log.absolute()
    with _starting:
        if place in _threads:
            return
        from promptop.log.write import lifecycle

        if stop_all not in lifecycle.after_end:
            lifecycle.after_end.append(stop_all)
        _threads[place] = ShipThread(log, fleet)
        _threads[place].start()


def stop_all() -> None:
    """End this process's threads, in two seconds together."""
    until = time.monotonic() + _END_S
    for (pid, _), thread in list(_threads.items()):
        if pid == os.getpid():
            thread.stop(max(0.0, until - time.monotonic()))
