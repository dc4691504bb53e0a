"""What can be read of a damaged log: its rows, page by page, past whatever SQLite refuses to open.

SQLite stops at the first page that is wrong; rows lie in leaf pages of their own, so the others are still whole. Every
page of the file, with what its write-ahead file has committed, is looked at for records of the table ``requests``:
damage costs the rows of the pages that it has hit. Free pages are left out as long as their list can be read: they hold
rows that were deleted. Nothing is written to the damaged file. Format: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.sqlite import transaction
from promptop.log import files

_LEAF, _HEADER, _WAL_HEADER, _FRAME = 0x0D, 100, 32, 24
_SIZES = (4096, 8192, 16384, 1024, 2048, 32768, 65536, 512)
_EARLIEST_MS, _LATEST_MS = 946_684_800_000, 7_258_118_400_000
"""2000 to 2200: a record whose start lies elsewhere is none of ours."""
_BATCH = 5_000

Value = int | float | str | bytes | None


class _NotARecordError(Exception):
    """The bytes at a place are no record."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was saved."""

    rows: int
    pages: int
    """Pages that were looked at."""
    broken: int
    """Records that could not be read, in leaf pages that could."""


def recover(source: Path, target: Path) -> Recovered:
    """Write the rows that can be read of a log to a new log.

    Raises :class:`PromptopError` where there are none or ``target`` exists, :class:`OSError` and
    :class:`sqlite3.Error` where the new log cannot be written.
    """
    if target.exists():
        raise PromptopError(f"{target} exists already.", "Choose another name for the recovered log.")
    pages = _Pages(source)
    with contextlib.closing(files.open_log(target)) as log:
        names = [(str(row[1]), str(row[2])) for row in log.execute("PRAGMA table_info(requests)")]
        insert = f"INSERT OR IGNORE INTO requests VALUES ({', '.join('?' * len(names))})"
        reader = _Records(pages, [kind for _, kind in names])
        batch: list[Sequence[Value]] = []
        for record in reader.all():
            batch.append(record)
            if len(batch) >= _BATCH:
                with transaction(log):
                    log.executemany(insert, batch)
                batch.clear()
        with transaction(log):
            log.executemany(insert, batch)
        rows = int(log.execute("SELECT count(*) FROM requests").fetchone()[0])
    if not rows:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        raise PromptopError(f"No row can be read of {source}.", "Go back to a backup: promptop log backup makes them.")
    return Recovered(rows, pages.count, reader.broken)


class _Pages:
    """The pages of a file, the committed ones of its write-ahead file before its own."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        self.size = self._page_size(path)
        self._newer = dict(self._committed(Path(f"{path}-wal")))
        self.count = max(-(-len(self._data) // self.size), *self._newer, 0)
        reserved = self._data[20] if self._data[:6] == b"SQLite" and len(self._data) > 20 else 0
        self.usable = self.size - (reserved if reserved < 64 else 0)
        self.free = self._free_pages()

    def page(self, number: int) -> bytes:
        """Return a page, counted from 1; short or empty where the file ends."""
        found = self._newer.get(number)
        return found if found is not None else self._data[(number - 1) * self.size : number * self.size]

    def _page_size(self, path: Path) -> int:
        wal = Path(f"{path}-wal")
        with contextlib.suppress(OSError, struct.error):
            magic, _, size = struct.unpack(">III", wal.read_bytes()[:12])
            if magic & ~1 == 0x377F0682 and size in _SIZES:
                return int(size)
        if self._data[:6] == b"SQLite" and len(self._data) >= 18:
            size = int.from_bytes(self._data[16:18], "big")
            size = 65536 if size == 1 else size
            if size in _SIZES:
                return size
        # The header is gone: the smallest size at which nearly as many pages begin as leaves do as at any.
        shares = {size: self._leaves(size) for size in sorted(_SIZES)}
        return next(size for size, share in shares.items() if share >= 0.75 * max(shares.values()))

    def _leaves(self, size: int) -> float:
        """Return the share of pages that begin as leaves do."""
        starts = range(size, len(self._data), size)
        return sum(self._data[at] == _LEAF for at in starts) / max(len(starts), 1)

    def _committed(self, wal: Path) -> Iterator[tuple[int, bytes]]:
        """Yield the pages of the write-ahead file up to its last commit."""
        try:
            data = wal.read_bytes()
        except OSError:
            return
        if len(data) < _WAL_HEADER:
            return
        salt = data[16:24]
        waiting: list[tuple[int, bytes]] = []
        for at in range(_WAL_HEADER, len(data) - _FRAME - self.size + 1, _FRAME + self.size):
            number, commit = struct.unpack(">II", data[at : at + 8])
            if data[at + 8 : at + 16] != salt or not number:
                return
            waiting.append((number, data[at + _FRAME : at + _FRAME + self.size]))
            if commit:
                yield from waiting
                waiting = []

    def _free_pages(self) -> set[int]:
        """Return the pages that hold nothing any more; none where their list is damaged."""
        head = self.page(1)
        if head[:6] != b"SQLite" or len(head) < 40:
            return set()
        trunk, total = struct.unpack(">II", head[32:40])
        found: set[int] = set()
        while trunk and len(found) < total:
            page = self.page(trunk)
            if trunk in found or len(page) < self.size:
                return set()
            following, count = struct.unpack(">II", page[:8])
            if count > (self.usable - 8) // 4:
                return set()
            found.add(trunk)
            found.update(struct.unpack(f">{count}I", page[8 : 8 + 4 * count]))
            trunk = following
        return found if len(found) == total else set()


class _Records:
    """Finds the records of one table by their shape."""

    def __init__(self, pages: _Pages, kinds: Sequence[str]) -> None:
        self._pages, self._kinds = pages, kinds
        self.broken = 0

    def all(self) -> Iterator[list[Value]]:
        """Yield the values of each row, its id first; columns that an older row does not have are unknown."""
        for number in range(1, self._pages.count + 1):
            page = self._pages.page(number)
            begin = _HEADER if number == 1 else 0
            if number in self._pages.free or len(page) <= begin + 8 or page[begin] != _LEAF:
                continue
            count = int.from_bytes(page[begin + 3 : begin + 5], "big")
            for place in range(begin + 8, min(begin + 8 + 2 * count, len(page) - 1), 2):
                at = int.from_bytes(page[place : place + 2], "big")
                try:
                    row = self._row(page, at)
                except (_NotARecordError, IndexError, struct.error, OverflowError):
                    self.broken += 1
                    continue
                if row is not None:
                    yield row

    def _row(self, page: bytes, at: int) -> list[Value] | None:
        """Return a row of ours; None for a record of another table."""
        length, at = _varint(page, at)
        row_id, at = _varint(page, at)
        payload = self._payload(page, at, length)
        values = _values(payload, len(self._kinds))
        if values is None or not 10 < len(values) <= len(self._kinds):
            return None
        started = values[1]
        if values[0] is not None or not (started is None or isinstance(started, int)):
            return None
        if row_id < 1 or (isinstance(started, int) and not _EARLIEST_MS < started < _LATEST_MS):
            return None
        for value, kind in zip(values, self._kinds, strict=False):
            if value is None:
                continue
            if isinstance(value, bytes) or (isinstance(value, str) != (kind == "TEXT")):
                return None
        return [row_id, *values[1:], *[None] * (len(self._kinds) - len(values))]

    def _payload(self, page: bytes, at: int, length: int) -> bytes:
        """Return a record with what stands in overflow pages."""
        usable = self._pages.usable
        if not 0 < length < 1 << 24:
            raise _NotARecordError
        most = usable - 35
        if length <= most:
            found = page[at : at + length]
            if len(found) < length:
                raise _NotARecordError
            return found
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= most else least
        parts, left = [page[at : at + local]], length - local
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while left > 0:
            more = self._pages.page(following) if following else b""
            if len(more) < self._pages.size:
                raise _NotARecordError
            parts.append(more[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer and where it ends."""
    value = 0
    for number in range(9):
        byte = data[at + number]
        if number == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    raise _NotARecordError


def _values(payload: bytes, most: int) -> list[Value] | None:
    """Return the values of a record; None if it has more columns than ``most``."""
    end, at = _varint(payload, 0)
    if end > len(payload):
        raise _NotARecordError
    kinds = []
    while at < end:
        if (kind := payload[at]) < 0x80:  # nearly all are: a row has eighty columns, most of them without a value
            at += 1
        else:
            kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) > most:
        return None
    values: list[Value] = [None] * len(kinds)
    for number, kind in enumerate(kinds):
        if not kind:
            continue
        size = _SIZE_OF[kind] if kind < 10 else (kind - 12) // 2
        data = payload[at : at + size]
        if kind in (10, 11) or len(data) < size:
            raise _NotARecordError
        values[number] = _value(kind, data)
        at += size
    return values


_SIZE_OF = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Type of a value → its bytes, as SQLite's file format has it; longer ones are text and blobs."""


def _value(kind: int, data: bytes) -> Any:
    if kind <= 6:
        return int.from_bytes(data, "big", signed=True)
    if kind == 7:
        return struct.unpack(">d", data)[0]
    if kind in (8, 9):
        return kind - 8
    return data if kind % 2 == 0 else data.decode("utf-8", "replace")
