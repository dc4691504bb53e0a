"""The shim's boundary: its own failures are counted and told to :mod:`logging`, and never reach the host's call."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

_logger = logging.getLogger("promptop.capture")
_lock = threading.Lock()
_count = 0
_last = ""
_TOLD = 5


@dataclass(frozen=True, slots=True)
class CaptureFaults:
    """Failures inside the shim since the process began."""

    count: int
    last: str
    """The latest one, in one line."""


def faults() -> CaptureFaults:
    """Return how often the shim failed; calls went on, some of their rows are missing or poorer."""
    return CaptureFaults(_count, _last)


def count_fault(where: str, error: BaseException) -> None:
    """Count a failure of the shim; the first few are logged as warnings, without the text of the error.

    The text is left out because it may quote what was being read.
    """
    global _count, _last  # noqa: PLW0603
    with _lock:
        _count += 1
        _last = f"{where}: {type(error).__name__}"
        told = _count
    if told <= _TOLD:
        _logger.warning("promptop could not watch a call (%s); the call goes on", _last)
        _logger.debug("traceback of the failure in promptop", exc_info=error)
