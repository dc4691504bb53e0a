"""The request log: a row per attempt in one SQLite file, written in the background, read in windows and pages.

Nothing but the standard library is imported here or in what it loads: the writer lives in other people's services.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.log.read.filters import Filter as Filter
    from promptop.log.read.filters import parse_filter as parse_filter
    from promptop.log.read.log_file import StoredRow as StoredRow
    from promptop.log.read.reader import LogReader as LogReader
    from promptop.log.read.stats import Stats as Stats
    from promptop.log.read.stats import Window as Window
    from promptop.log.rollups.sketch import Sketch as Sketch
    from promptop.log.row import COLUMNS as COLUMNS
    from promptop.log.row import Row as Row
    from promptop.log.write.lifecycle import writer_for as writer_for
    from promptop.log.write.pending import Bodies as Bodies
    from promptop.log.write.pending import Finished as Finished
    from promptop.log.write.pending import Pending as Pending
    from promptop.log.write.writer import Writer as Writer
    from promptop.log.write.writer import WriterStats as WriterStats

_HOMES = {
    "COLUMNS": "row",
    "Row": "row",
    "Bodies": "write.pending",
    "Finished": "write.pending",
    "Pending": "write.pending",
    "Sketch": "rollups.sketch",
    "Stats": "read.stats",
    "Window": "read.stats",
    "Writer": "write.writer",
    "WriterStats": "write.writer",
    "writer_for": "write.lifecycle",
    "LogReader": "read.reader",
    "StoredRow": "read.log_file",
    "Filter": "read.filters",
    "parse_filter": "read.filters",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.log' has no attribute {name!r}")
    return getattr(importlib.import_module(f"promptop.log.{home}"), name)
