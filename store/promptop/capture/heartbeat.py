"""Says beside the log which calls this process has open: one thread, asleep while there are none.

It looks at the calls that are alive every two seconds, so that a call pays nothing for it, and a call that ends within
a second is never looked at.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.capture.faults import count_fault
from promptop.log import in_flight
from promptop.log.in_flight import InFlight

if TYPE_CHECKING:
    from promptop.capture.call import Call

FIRST_S, EVERY_S = 1.0, 2.0
_MODEL_WITHIN = 1 << 20
"""Bytes of a request up to which it is read for its model."""


class Heartbeat:
    """The thread and its state; begun anew in the child of a fork."""

    def __init__(self, live: Callable[[], Iterable[Call]]) -> None:
        self._live = live
        self._said: set[Path] = set()
        """Logs beside which this process has a file."""
        self._models: dict[int, str] = {}
        """Id of a call that is alive → its model."""
        self.awake = False
        """Whether the thread looks; a call that begins meanwhile need not wake it."""
        self._wake = threading.Event()
        self._process = 0

    def wake(self) -> None:
        """Have the thread look from now on."""
        self.awake = True
        try:
            if self._process != os.getpid():
                self._process, self._wake, self._said = os.getpid(), threading.Event(), set()
                threading.Thread(target=self._run, name="promptop-in-flight", daemon=True).start()
            self._wake.set()
        except Exception as error:  # noqa: BLE001 - the boundary: without a thread nothing is said of open calls
            count_fault("heartbeat", error)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(FIRST_S)
            while self._beat():
                time.sleep(EVERY_S)
            self._wake.clear()
            self.awake = False
            if any(True for _ in self._live()):
                self.awake = True
                self._wake.set()

    def _beat(self) -> bool:
        """Write what is open, and tell whether anything is."""
        try:
            calls = [call for call in list(self._live()) if not call.ended]
            self._models = {key: self._models[key] for key in map(id, calls) if key in self._models}
            by_log: dict[Path, list[InFlight]] = {path: [] for path in self._said}
            for call in calls:
                path = getattr(call.labels.sink, "path", None)
                if path is not None:
                    one = InFlight(call.labels.app or "", self._model(call), 1, call.started_ms)
                    by_log.setdefault(Path(path), []).append(one)
            for path, open_calls in by_log.items():
                in_flight.write(path, open_calls)
            self._said = {path for path, open_calls in by_log.items() if open_calls}
        except Exception as error:  # noqa: BLE001 - the boundary: a folder that cannot be written costs this alone
            count_fault("heartbeat", error)
            return False
        return bool(calls)

    def _model(self, call: Call) -> str:
        known = self._models.get(id(call))
        if known is None:
            known = self._models[id(call)] = _model_of(call)
        return known


def _model_of(call: Call) -> str:
    """Return the model that a call asks for; empty where its request does not say."""
    parsed, body = call.parsed, call.body
    if parsed is None and body is not None and len(body) <= _MODEL_WITHIN:
        try:
            parsed = json.loads(body)
        except ValueError:
            return ""
    model = parsed.get("model") if isinstance(parsed, dict) else None
    return model[:128] if isinstance(model, str) else ""
