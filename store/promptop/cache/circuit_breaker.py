"""A circuit breaker: what fails is left alone for a while: a dead Redis costs one time-out and not one a call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed (calls pass), open (calls are refused) or half open (one call may try).

    It opens after ``threshold`` failures in a row, and stays open for ``rest_s``, doubled at each failed try up to
    ``longest_s``. Recovery needs no one: the first call after the rest is the try.
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        rest_s: float = 1.0,
        longest_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._rest = self._first_rest = rest_s
        self._longest = longest_s
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._trying = False
        self._lock = threading.Lock()
        self.cause = ""
        """The failure that opened it; empty while it is closed."""

    def allows(self) -> bool:
        """Whether a call may be made now. One that may must report :meth:`succeeded` or :meth:`failed`."""
        with self._lock:
            if self._open_until is None:
                return True
            if self._trying or self._clock() < self._open_until:
                return False
            self._trying = True
            return True

    def succeeded(self) -> bool:
        """Note a success; return whether it closed the breaker."""
        with self._lock:
            closed = self._open_until is not None
            self._failures, self._open_until, self._trying, self._rest = 0, None, False, self._first_rest
            self.cause = ""
            return closed

    def failed(self, cause: str) -> bool:
        """Note a failure; return whether it opened the breaker (from closed)."""
        with self._lock:
            self._failures += 1
            if self._trying:
                self._trying = False
                self._rest = min(self._rest * 2, self._longest)
            elif self._open_until is not None or self._failures < self._threshold:
                return False
            opened = self._open_until is None
            self._open_until = self._clock() + self._rest
            self.cause = cause
            return opened

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at present."""
        return self._open_until is not None
