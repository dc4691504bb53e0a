"""Live simulated traffic: real HTTP requests through the real shim, from a process of its own.

A process, because sixteen streams in a thread of the app would make its screen stutter. It lives exactly as long as
whoever started it (:mod:`promptop.base.processes`).
"""

from __future__ import annotations

import os
import subprocess
from types import TracebackType
from typing import Self

from promptop.base.processes import launch, stop

_PATIENCE_S = 5.0
"""The rows of sixteen streams are flushed before the process ends."""

RATE = 0.6
"""Requests a second: about what the filled day ends with."""


class LiveTraffic:
    """The process that keeps requests coming; a context manager, or :meth:`start` and :meth:`stop`."""

    def __init__(
        self,
        base_url: str,
        log_path: str | os.PathLike[str],
        *,
        rate: float = RATE,
        seed: int = 0,
        fill_hours: float = 0.0,
        earlier: tuple[str | os.PathLike[str], int] | None = None,
        cache_path: str | os.PathLike[str] | None = None,
    ) -> None:
        """Prepare traffic of ``rate`` requests a second towards ``base_url`` (with ``/v1``), logged in ``log_path``.

        The log is first filled with ``fill_hours`` of the past; a rate of 0 ends the process after that.
        ``earlier`` is another log for all of these hours but the last, and the Unix milliseconds at which they end: the
        last hour is in ``log_path`` already. The programs
        that cache answers do so in memory, and in ``cache_path`` if it is given.
        """
        self._arguments = [
            *("--base-url", base_url, "--log", os.fspath(log_path), "--rate", str(rate)),
            *("--seed", str(seed), "--fill-hours", str(fill_hours)),
            *(("--earlier", os.fspath(earlier[0]), "--filled-at", str(earlier[1])) if earlier is not None else ()),
            *(("--cache", os.fspath(cache_path)) if cache_path is not None else ()),
        ]
        self.process: subprocess.Popen[bytes] | None = None
        """The process while it runs."""

    def start(self) -> None:
        """Start the process; returns at once."""
        self.process = launch(
            "promptop.simulator.traffic.traffic", self._arguments, stdout=subprocess.DEVNULL, stderr=None
        )

    def stop(self) -> None:
        """End the process, with the rows of its calls in the log."""
        process, self.process = self.process, None
        if process is not None:
            stop(process, _PATIENCE_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
