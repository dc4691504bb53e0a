"""The request log: a row per attempt in one SQLite file, written in the background, read in windows and pages.

Nothing but the standard library is imported here or in what it loads: the writer lives in other people's services.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promptop.log.filters import Filter as Filter
    from promptop.log.filters import parse_filter as parse_filter
    from promptop.log.items import Bodies as Bodies
    from promptop.log.items import Finished as Finished
    from promptop.log.items import Pending as Pending
    from promptop.log.process import writer_for as writer_for
    from promptop.log.reader import LogReader as LogReader
    from promptop.log.row import COLUMNS as COLUMNS
    from promptop.log.row import Row as Row
    from promptop.log.sketch import Sketch as Sketch
    from promptop.log.source import StoredRow as StoredRow
    from promptop.log.stats import Stats as Stats
    from promptop.log.stats import Window as Window
    from promptop.log.writer import Writer as Writer
    from promptop.log.writer import WriterStats as WriterStats

_HOMES = {
    "COLUMNS": "row",
    "Row": "row",
    "Bodies": "items",
    "Finished": "items",
    "Pending": "items",
    "Sketch": "sketch",
    "Stats": "stats",
    "Window": "stats",
    "Writer": "writer",
    "WriterStats": "writer",
    "writer_for": "process",
    "LogReader": "reader",
    "StoredRow": "source",
    "Filter": "filters",
    "parse_filter": "filters",
}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'promptop.log' has no attribute {name!r}")
    return getattr(importlib.import_module(f"promptop.log.{home}"), name)
