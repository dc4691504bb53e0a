"""The log for programs and notebooks: rows as a data frame, and a window's figures."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError, UsageError
from promptop.base.times import moment_ms
from promptop.log.read.filters import parse_filter
from promptop.log.read.log_file import StoredRow
from promptop.log.read.reader import LogReader
from promptop.log.read.stats import Stats, Window
from promptop.log.row import COLUMNS, Row

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_PAGE = 5_000


def read_log(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    since: str = "24h",
    until: str = "now",
    where: str = "",
    own: bool = False,
) -> LoggedCalls:
    """Return what one log, or several as one, hold of a stretch of time; nothing is read until it is asked for.

    ``path`` is the settings' log if not given. ``since`` and ``until`` are times as ``promptop report`` takes them:
    ``24h`` or ``7d`` before the end, ``today``, ``2026-11-21T09:30``. ``where`` is a filter: ``app:web ttft>1s``.
    Without ``own`` promptop's own measuring calls are left out of the figures. Raises :class:`PromptopError` for a
    log that is not there and :class:`UsageError` for a time or a filter that cannot be read.
    """
    if path is None:
        from promptop import settings

        path = settings.load().log_path()
    paths = (path,) if isinstance(path, str | os.PathLike) else tuple(path)
    for each in map(Path, paths):
        if not each.exists():
            raise PromptopError(f"There is no log {each}.", "promptop log path prints where yours is.")
    now_ms = time.time_ns() // 1_000_000
    end = moment_ms(until, now_ms) + (until == "now")  # not included, and a row may be of this millisecond
    start = moment_ms(since, end)
    if start >= end:
        raise UsageError(f"The window from {since} to {until} is empty.", "since must be before until.")
    parse_filter(where)
    return LoggedCalls(tuple(map(Path, paths)), start, end, where, own)


@dataclass(frozen=True)
class LoggedCalls:
    """The calls of a log from ``since_ms`` to ``until_ms`` (Unix milliseconds, the end not included)."""

    paths: tuple[Path, ...]
    since_ms: int
    until_ms: int
    where: str = ""
    own: bool = False

    def __iter__(self) -> Iterator[StoredRow]:
        """Yield a row per attempt, the latest start first; each field of a row is a column of the log."""
        before: tuple[int, int, int] | None = None
        with LogReader(self.paths) as log:
            while page := log.between(self.since_ms, self.until_ms, _PAGE, self.where, before=before):
                yield from page
                last = page[-1]
                before = (last.started_ms or 0, last.id, last.source)

    def __len__(self) -> int:
        """Return the number of attempts."""
        with LogReader(self.paths) as log:
            return log.count(self.since_ms, self.until_ms, parse_filter(self.where))

    def window(self, by: str | Sequence[str] = "model", *, step_s: float | None = None) -> Window:
        """Add the calls up: in all, by one dimension or several and, with ``step_s``, by step of UTC time."""
        with LogReader(self.paths) as log:
            return log.window(
                self.since_ms,
                self.until_ms,
                step_ms=None if step_s is None else round(step_s * 1000),
                by=(by,) if isinstance(by, str) else tuple(by),
                where=self.where,
                own=self.own,
            )

    @cached_property
    def total(self) -> Stats:
        """What all calls add up to: counts, tokens, USD, distributions of TTFT and duration in seconds."""
        return self.window(by=()).total

    def _columns(self) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {name: [] for name in ("id", *COLUMNS)}
        for row in self:
            for name, values in columns.items():
                values.append(getattr(row, name))
        return columns

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame, with ``started`` as a UTC time. Needs pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise PromptopError("pandas is not installed.", "pip install 'promptop[pandas]'") from None
        frame = pd.DataFrame(self._columns())
        frame.insert(1, "started", pd.to_datetime(frame["started_ms"], unit="ms", utc=True))
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return the rows as a polars data frame, with ``started`` as a UTC time. Needs polars."""
        try:
            import polars as pl
        except ImportError:
            raise PromptopError("polars is not installed.", "pip install 'promptop[polars]'") from None
        kinds = {"INTEGER": pl.Int64, "REAL": pl.Float64, "TEXT": pl.String}
        schema = {"id": pl.Int64, **{each.name: kinds[each.metadata["sql"]] for each in fields(Row)}}
        frame = pl.DataFrame(self._columns(), schema=schema, strict=False)
        return frame.with_columns(
            pl.from_epoch("started_ms", time_unit="ms").dt.replace_time_zone("UTC").alias("started")
        )

    def _repr_html_(self) -> str:
        """Return the figures by model as a table, for notebooks."""
        window = self.window()
        groups = sorted(window.groups.items(), key=lambda group: -group[1].n)
        lines = [("model", "calls", "errors", "p50 TTFT", "p95 TTFT", "input", "output", "USD")]
        for name, stats in [*groups, ("all", window.total)]:
            lines.append((name, f"{stats.n:,}", f"{stats.errors:,}", _seconds(stats.ttft.quantile(0.5)),
                          _seconds(stats.ttft.quantile(0.95)), f"{stats.input_tokens:,}", f"{stats.output_tokens:,}",
                          f"{stats.cost_usd:.4f}"))  # fmt: skip
        head, *body = lines
        cells = "".join(f"<th>{html.escape(text)}</th>" for text in head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>" for line in body)
        return f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s"
