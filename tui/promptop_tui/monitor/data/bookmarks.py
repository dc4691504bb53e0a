"""Moments of the log that the user wants to find again, kept in the state folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from promptop.base.files import write_private
from promptop.base.sanitize import clean_line
from promptop_tui.monitor.data.snapshot import SPANS, SnapshotQuery
from promptop_tui.widgets.table import Cell, Column

MOST = 200

COLUMNS: tuple[Column, ...] = (
    Column("until", "until", 20),
    Column("span", "window", 6),
    Column("filter", "filter", 30, grows=True),
    Column("note", "note", 30, grows=True),
)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A window that ends at a moment, with its filter."""

    until_ms: int
    span: str
    filter: str = ""
    note: str = ""
    """What the user wants to remember of it."""

    @property
    def query(self) -> SnapshotQuery:
        """What is to be looked at."""
        return SnapshotQuery(SPANS[self.span], self.until_ms, self.filter)


def cells_of(bookmark: Bookmark) -> Sequence[Cell]:
    """Return the cells of :data:`COLUMNS`."""
    return (
        f"{datetime.fromtimestamp(bookmark.until_ms / 1000):%Y-%m-%d %H:%M:%S}",
        bookmark.span,
        clean_line(bookmark.filter, 80),
        clean_line(bookmark.note, 200),
    )


def load(path: Path) -> tuple[Bookmark, ...]:
    """Return the bookmarks, newest first; those that cannot be read are left out."""
    return _read(path)


def _read(path: Path, member: str = "") -> tuple[Bookmark, ...]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if member:
        found = found.get(member) if isinstance(found, dict) else None
    out = []
    for item in found if isinstance(found, list) else ():
        try:
            made = Bookmark(
                int(item["until_ms"]), str(item["span"]), str(item.get("filter", "")), str(item.get("note", ""))
            )
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
        if made.span in SPANS and 0 < made.until_ms < 4_102_444_800_000:  # until the year 2100
            out.append(made)
    return tuple(out[:MOST])


def travelled(log: Path) -> tuple[Bookmark, ...]:
    """Return the bookmarks that came with the incident file from which a log was unpacked."""
    return _read(log.with_name("incident.json"), "bookmarks")


def save(path: Path, bookmarks: Iterable[Bookmark]) -> None:
    """Write the bookmarks (0600), in one piece. Raises :class:`OSError`."""
    write_private(path, json.dumps([asdict(each) for each in list(bookmarks)[:MOST]], ensure_ascii=False))
