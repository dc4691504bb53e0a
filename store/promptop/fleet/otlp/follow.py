"""Rows of a log go to a collector as they are written; ``LOG.otlp`` beside the log says how far each collector is.

The mark moves once the collector took a batch's spans and metrics. So nothing is left out after a kill; what was sent
and not yet noted is sent again, as spans with equal ids. Metrics are cumulative since the process began, as those of
any program: a batch is added to them once, however often it is sent.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from promptop.base.errors import PromptopError
from promptop.base.sqlite import MigratedFile
from promptop.fleet.otlp.export import Exporter, Names, log_id_of
from promptop.log import LogReader, StoredRow, parse_filter

EVERY_S = 5.0
"""Seconds between two batches that are not full, as the SDK's exporters have it."""
BATCH = 2_000
_METRICS_EVERY_S = 60.0
"""Metrics go without a new row, too, or a collector takes their series for ended."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


def marks_path(log: Path) -> Path:
    """Return the file that keeps how far a log was sent to collectors."""
    return log.with_name(f"{log.name}.otlp")


def _first(marks: sqlite3.Connection) -> None:
    marks.execute(
        "CREATE TABLE marks (collector TEXT, filter TEXT, log_id TEXT, row_id INTEGER, PRIMARY KEY (collector, filter))"
    )


class FollowingExporter:
    """Sends what a log gets to one collector; for one thread."""

    def __init__(
        self, log: Path, url: str, *, names: Names = "both", where: str = "", since_ms: int | None = None
    ) -> None:
        """Go on after the mark; without one begin with what started since ``since_ms``, else with what comes now.

        Raises :class:`PromptopError` for a log that cannot be read, and without the extra.
        """
        self._log, self._url = log, url.rstrip("/")
        self._filter, self._where = where, parse_filter(where)
        self._reader = LogReader(log)
        self._generation = self._reader.generation
        self._log_id = log_id_of(log)
        self._exporter = Exporter(url, names=names, log_id=self._log_id)
        self._marks = MigratedFile(marks_path(log), (_first,))
        self._unsent: tuple[list[StoredRow], int] | None = None
        """Rows that the metrics have already and the collector may not, and the mark after them."""
        self._metrics_at = time.monotonic()
        noted = self._noted()
        begin = self._reader.mark() if since_ms is None else self._reader.at(since_ms)
        self._mark = begin[0] if noted is None else noted
        if noted is None:
            self._note(self._mark)

    def step(self) -> int:
        """Send the next batch; return how many rows it had. Raises :class:`PromptopError` if it was not taken."""
        if self._unsent is None:
            self._reader.changed()
            if self._reader.generation != self._generation:
                self._begin_anew()
            rows, (mark,) = self._reader.follow((self._mark,), BATCH, self._where)
            self._exporter.count(rows)
            self._unsent = rows, mark
        rows, mark = self._unsent
        if rows:
            self._exporter.send_spans(rows)
        if rows or time.monotonic() - self._metrics_at >= _METRICS_EVERY_S:
            self._exporter.send_metrics()
            self._metrics_at = time.monotonic()
        if mark != self._mark:
            self._note(mark)
        self._unsent = None
        return len(rows)

    def run(self, stop: threading.Event, tell: Callable[[str], object]) -> None:
        """Go on until ``stop`` is set; a refusal is told once, and tried again ever more rarely."""
        wait_s, told = _FIRST_WAIT_S, False
        while True:
            stopping = stop.is_set()
            try:
                count = self.step()
            except PromptopError as error:
                if stopping or isinstance(error, AnotherExporterError):
                    raise
                if not told:
                    tell(str(error))
                told = True
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
                continue
            if told:
                tell("the collector takes rows again")
            wait_s, told = _FIRST_WAIT_S, False
            if stopping:
                return
            if count < BATCH:
                stop.wait(EVERY_S)

    def close(self) -> None:
        """Close the connections and the files."""
        self._exporter.close()
        self._marks.close()
        self._reader.close()

    def _begin_anew(self) -> None:
        """Take another file in the log's place as a new log: all its rows are new."""
        self._generation = self._reader.generation
        log_id = log_id_of(self._log)
        if log_id != self._log_id:
            self._log_id = self._exporter.log_id = log_id
            self._mark = 0
            with self._marks.transaction() as marks:
                self._put(marks, 0)

    def _noted(self) -> int | None:
        with self._marks.transaction() as marks:
            return self._read(marks)

    def _read(self, marks: sqlite3.Connection) -> int | None:
        found = marks.execute(
            "SELECT row_id FROM marks WHERE collector = ? AND filter = ? AND log_id = ?",
            (self._url, self._filter, self._log_id),
        ).fetchone()
        return None if found is None else int(found[0])

    def _note(self, mark: int) -> None:
        with self._marks.transaction() as marks:
            if self._read(marks) not in (None, self._mark):
                raise AnotherExporterError(
                    f"Another process sends {self._log} to {self._url}.", "One is enough: end the other, or this one."
                )
            self._put(marks, mark)
        self._mark = mark

    def _put(self, marks: sqlite3.Connection, mark: int) -> None:
        values = (self._url, self._filter, self._log_id, mark)
        marks.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", values)


class AnotherExporterError(PromptopError):
    """The mark was moved by another process."""
