"""Ships a log to the fleet's engine, each row exactly once, sums included.

The log is the outbox; beside it ``LOG.ship`` keeps who ships, up to which id the engine has confirmed, and the batch on
its way.

1. One process ships a log: whoever holds the lease. Exactness does not hang on it: two would send the same cut.
2. A batch is cut once. Its first and last id are on disk before it is sent, and the same rows go under the same token
   until the engine has confirmed them: after a crash too, and by the next holder. Then the next batch is cut.
3. The engine keeps the token for each table and view apart: a batch of which some tables came in is completed, one that
   came in whole changes nothing.
4. The engine's mark is compared with ours before the first batch. Lower: the engine was restored, so go back. Higher
   than we ever sent, or another shipper's: this log is a copy, so stop.
5. No answer: wait 0.1 s, doubling to 30 s, half of it random. Refused: say so once and ask again every 30 s. Nothing is
   skipped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect, connect_for_reading, transaction
from promptop.fleet.engine import TOO_MANY_PARTS, Engine, EngineDownError, EngineRefusedError
from promptop.fleet.schema import column_types
from promptop.log import files
from promptop.log.outbox import outbox_path

LEASE_S = 15.0
MOST_BYTES = 8 << 20
"""Bytes of a batch before compression: what a shipper holds in memory."""
_WEEK_MS = 7 * 86_400_000
_MOST_WEEKS = 20
"""Each week is a partition of three tables: ClickHouse refuses an insert into more than 100 of them."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 30.0
_INSERT = {
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "async_insert": 0,
    # Where requests is spread over a cluster, its shard has the rows before they are confirmed.
    "distributed_foreground_insert": 1,
    # A token names a block: one batch must be one block.
    "max_insert_block_size": 1_000_000,
    "min_insert_block_size_rows": 0,
    "min_insert_block_size_bytes": 0,
    "input_format_parallel_parsing": 0,
}
_FACTS: dict[str, object] = {
    "acked": 0,
    "first": 0,
    "last": 0,
    "rows": 0,
    "lease": "",
    "lease_until_ms": 0,
    "gone": 0,
    "sent_rows": 0,
    "last_error": "",
    "place": "",
    "log_id": "",
}


class ShippingStoppedError(PromptopError):
    """Shipping this log needs a person: it is a copy, or it is shipped from elsewhere."""

    exit_code = 3


class LogReplacedError(PromptopError):
    """The log was moved away, and another file has its name."""


@dataclass(frozen=True, slots=True)
class ShipStep:
    """What one step did."""

    done: str
    """sent, idle, leased, down, crowded or refused."""
    wait_s: float = 0.0
    """Seconds to wait before the next one."""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a log is shipped."""

    log: str
    log_id: str
    confirmed_id: int
    waiting_rows: int
    oldest_age_s: float
    """Age of the oldest row that waits, seconds; 0 if none does."""
    rows_gone: int
    """Rows that left the log before they were confirmed."""
    rows_sent: int
    last_error: str
    shipping: bool
    """Whether a process holds the lease now."""


class Shipper:
    """Ships one log; :meth:`step` does one thing and says how long to wait. For one thread."""

    def __init__(
        self,
        log: Path,
        engine: Engine,
        *,
        tenant: str = "default",
        batch: int = 5000,
        excluded: Collection[str] = (),
        take_over: bool = False,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.log, self._engine, self._tenant, self._batch = log, engine, tenant, batch
        self._excluded, self._take_over, self._tell = frozenset(excluded), take_over, tell
        self._host = socket.gethostname()
        self._holder = f"{self._host}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._place = _place_of(log) if log.exists() else ""
        self._rows = _open_log(log)
        self.log_id = _log_id(self._rows, log)
        self._side = _open_outbox(log, self.log_id)
        self._checked = False
        self._leased_until_ms = 0
        self._columns: list[str] = []
        self._wait_s = _FIRST_WAIT_S
        self._said = ""

    def close(self) -> None:
        """Give the lease back and close the files."""
        with contextlib.suppress(sqlite3.Error):
            self._side.execute(
                "UPDATE ship SET value = 0 WHERE key = 'lease_until_ms'"
                " AND (SELECT value FROM ship WHERE key = 'lease') = ?",
                (self._holder,),
            )
        self._side.close()
        self._rows.close()
        self._engine.close()

    def step(self) -> ShipStep:
        """Do one thing: take the lease, compare marks, send a batch. Raises :class:`ShippingStoppedError`."""
        try:
            if not self._leased():
                return ShipStep("leased", LEASE_S / 3)
            if not self._checked:
                self._compare()
            batch = self._cut()
            if batch is None:
                self._recovered()
                return ShipStep("idle")
            first, last, count = batch
            self._send(first, last, count)
            self._confirm(first, last, count)
            self._recovered()
            return ShipStep("sent", rows=count)
        except EngineDownError as error:
            self._checked = self._checked and self._wait_s < 1  # after a long silence it may be another engine
            wait, self._wait_s = self._wait_s, min(self._wait_s * 2, _LONGEST_WAIT_S)
            self._failed(f"{error.cause} Rows wait in the log.")
            done = "crowded" if error.code == TOO_MANY_PARTS else "down"
            return ShipStep(done, wait * random.uniform(0.5, 1.0))
        except EngineRefusedError as error:
            self._checked = False
            self._failed(str(error))
            return ShipStep("refused", _LONGEST_WAIT_S)
        except ShippingStoppedError as error:
            self._note(last_error=str(error))
            raise

    def _failed(self, text: str) -> None:
        if text != self._said:  # once for each change, not for each try
            self._said = text
            self._tell(text)
            self._note(last_error=text)

    def _recovered(self) -> None:
        self._wait_s = _FIRST_WAIT_S
        if self._said:
            self._said = ""
            self._tell("ClickHouse answers again.")
            self._note(last_error="")

    def _facts(self) -> dict[str, Any]:
        return dict(self._side.execute("SELECT key, value FROM ship"))

    def _note(self, **facts: object) -> None:
        self._side.executemany("UPDATE ship SET value = ? WHERE key = ?", [(v, k) for k, v in facts.items()])

    def _leased(self) -> bool:
        now = time.time_ns() // 1_000_000
        if 500 * LEASE_S < self._leased_until_ms - now <= 1000 * LEASE_S:  # each renewal waits for the disk
            return True
        if _place_of(self.log) != self._place:
            raise LogReplacedError(f"{self.log} is another file now.", "It is opened anew.")
        with transaction(self._side):
            facts = self._facts()
            left = int(facts["lease_until_ms"]) - now
            if facts["lease"] != self._holder:
                self._leased_until_ms = 0
                # Further ahead it is a clock that was set back.
                if 0 < left <= 2000 * LEASE_S and not self._has_ended(str(facts["lease"])):
                    return False
                self._checked = False
            until = now + round(1000 * LEASE_S)
            self._note(lease=self._holder, lease_until_ms=until)
        self._leased_until_ms = until
        return True

    def _has_ended(self, holder: str) -> bool:
        """Tell whether a holder was a process of this machine that is gone; if not sure, its lease runs out."""
        host, _, rest = holder.rpartition(":")[0].rpartition(":")
        if host != self._host or not rest.isdecimal() or os.name != "posix":
            return False
        try:
            os.kill(int(rest), 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False

    def _compare(self) -> None:
        """Compare the engine's marks with ours, and learn its columns."""
        facts = self._facts()
        place = self._place
        if facts["place"] != place and facts["place"] and not self._take_over:
            raise ShippingStoppedError(
                f"{self.log} is a copy or was restored: {outbox_path(self.log).name} names another file.",
                "Ship the original. If it is gone for good: promptop ship --take-over.",
            )
        marks = {
            str(shipper): int(last)
            for shipper, last in self._engine.rows(
                "SELECT shipper, max(last) FROM marks WHERE log_id = {log:String} GROUP BY shipper",
                {"log": self.log_id},
            )
        }
        mine = marks.pop(facts["ship_id"], 0)
        others = max(marks.values(), default=0)
        acked, last = int(facts["acked"]), int(facts["last"])
        seq = self._rows.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'requests'")
        highest = int(seq.fetchone()[0])
        if others > acked and not self._take_over:
            raise ShippingStoppedError(
                f"Another shipper sent ids up to {others} of this log: {self.log} is a copy or lost its .ship file.",
                "Ship the original. If no other process ships this log any more: promptop ship --take-over.",
            )
        if max(mine, others) > highest:
            raise ShippingStoppedError(
                f"ClickHouse has ids up to {max(mine, others)} of this log, which ends at {highest}:"
                f" {self.log} is an older copy.",
                "Ship the original, or begin a new log.",
            )
        if mine > max(acked, last):
            raise ShippingStoppedError(
                f"ClickHouse has ids up to {mine} under this shipper's name, which sent up to {max(acked, last)}:"
                " a copy of this machine ships the same log.",
                "End the other one, then: promptop ship --take-over." if not self._take_over else "",
            )
        if others > acked:
            self._note(acked=others, first=0, last=0, rows=0)
        elif max(mine, others) < acked:
            self._tell(f"ClickHouse has ids up to {max(mine, others)} and had confirmed {acked}: sending them again.")
            self._note(acked=max(mine, others), first=0, last=0, rows=0)
        self._note(place=place)
        there = {
            str(row[0])
            for row in self._engine.rows(
                "SELECT name FROM system.columns WHERE database = {db:String} AND table = 'requests'",
                {"db": self._engine.address.database},
            )
        }
        if not there:
            raise EngineRefusedError(60, "There is no table requests.", "promptop fleet init --apply creates it.")
        here = [str(row[1]) for row in self._rows.execute("PRAGMA table_info(requests)")]
        known = column_types()
        self._columns = [name for name in here if name in there and name in known and name not in self._excluded]
        self._checked = True

    def _cut(self) -> tuple[int, int, int] | None:
        """Return (first id, last id, rows) of the batch on its way; cut a new one if there is none."""
        with transaction(self._side):
            facts = self._facts()
            if facts["lease"] != self._holder:
                self._leased_until_ms = 0
                raise EngineDownError("Another process took the lease.")
            if facts["last"]:
                return int(facts["first"]), int(facts["last"]), int(facts["rows"])
            limit = max(1, min(self._batch, MOST_BYTES // 200))
            found = self._rows.execute(
                "SELECT id, started_ms, length(coalesce(tags, '')) + length(coalesce(error_message, ''))"
                " + length(coalesce(usage_raw, '')) + length(coalesce(prefix_hashes, '')) + 1500"
                " FROM requests WHERE id > ? ORDER BY id LIMIT ?",
                (int(facts["acked"]), limit),
            ).fetchall()
            weeks: set[int] = set()
            count = size = 0
            for _, started, length in found:
                weeks.add(started // _WEEK_MS)
                size += length
                if len(weeks) > _MOST_WEEKS or (size > MOST_BYTES and count):
                    break
                count += 1
            if not count:
                return None
            first, last = int(found[0][0]), int(found[count - 1][0])
            self._note(first=first, last=last, rows=count)
            return first, last, count

    def _send(self, first: int, last: int, count: int) -> None:
        facts = self._facts()
        lines = self._lines(facts, "id BETWEEN ? AND ?", (first, last))
        if len(lines) != count:
            gone = count - len(lines)
            self._tell(f"{gone} rows left the log before they were sent.")
            self._note(gone=int(facts["gone"]) + gone, rows=len(lines))
        self._insert(lines, f"{self.log_id}:{first}-{last}")

    def confirmed_id(self) -> int:
        """Return the id up to which the engine has confirmed the rows."""
        return int(self._facts()["acked"])

    def resend(self, ids: Sequence[int]) -> int:
        """Send confirmed rows that the engine lacks once more, as an insert of their own; return how many there are.

        The sums of rows that it had once count them twice until they are made anew (:mod:`promptop.fleet.audit`).
        """
        if not self._checked:
            self._compare()
        marks = ", ".join("?" * len(ids))
        lines = self._lines(self._facts(), f"id IN ({marks})", ids)
        self._insert(lines, f"{self.log_id}:again:{ids[0]}-{ids[-1]}:{uuid.uuid4().hex}")
        return len(lines)

    def _lines(self, facts: Mapping[str, Any], condition: str, values: Sequence[int]) -> list[bytes]:
        """Return rows as lines of JSON."""
        lines: list[bytes] = []
        selected = f"SELECT id, {', '.join(self._columns)} FROM requests WHERE {condition} ORDER BY id"
        for row_id, *cells in self._rows.execute(selected, values):
            entry = {n: _cell(v) for n, v in zip(self._columns, cells, strict=True) if v is not None}
            entry |= {"tenant": self._tenant, "log_id": self.log_id, "id": row_id}
            entry |= {"shipper": facts["ship_id"], "shipped_from": self._host}
            lines.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
        return lines

    def _insert(self, lines: Sequence[bytes], token: str) -> None:
        if lines:
            names = ", ".join(["tenant", "log_id", "id", "shipper", "shipped_from", *self._columns])
            self._engine.run(
                f"INSERT INTO requests ({names}) FORMAT JSONEachRow",
                data=b"\n".join(lines) + b"\n",
                settings={**_INSERT, "insert_deduplication_token": token},
            )

    def _confirm(self, first: int, last: int, count: int) -> None:
        with transaction(self._side):
            facts = self._facts()
            if (int(facts["first"]), int(facts["last"])) == (first, last):
                sent = int(facts["sent_rows"]) + count
                self._note(acked=max(int(facts["acked"]), last), first=0, last=0, rows=0, sent_rows=sent)


def standing(log: Path) -> Standing:
    """Return how far a log is shipped, without asking the engine."""
    with contextlib.closing(_open_log(log)) as rows:
        facts: dict[str, Any] = dict(_FACTS)
        if outbox_path(log).exists():
            with contextlib.closing(connect_for_reading(outbox_path(log))) as side:
                facts |= dict(side.execute("SELECT key, value FROM ship"))
        acked, now = int(facts["acked"]), time.time_ns() // 1_000_000
        waiting, oldest = rows.execute(
            "SELECT count(*), min(started_ms) FROM requests NOT INDEXED WHERE id > ?", (acked,)
        ).fetchone()
        return Standing(
            str(log),
            _log_id(rows, log),
            acked,
            int(waiting),
            0.0 if oldest is None else max(0.0, (now - int(oldest)) / 1000),
            int(facts["gone"]),
            int(facts["sent_rows"]),
            str(facts["last_error"]),
            int(facts["lease_until_ms"]) > now,
        )


def _open_log(log: Path) -> sqlite3.Connection:
    if not log.exists():
        raise PromptopError(f"There is no log {log}.", "promptop log path prints where yours is.")
    try:
        return connect_for_reading(log, timeout_s=5.0)
    except sqlite3.Error as error:
        raise files.explain(log, error) from None


def _log_id(rows: sqlite3.Connection, log: Path) -> str:
    try:
        found = rows.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()
    except sqlite3.Error:
        found = None
    if found is None:
        raise PromptopError(f"{log} is not a request log, or one of a very old version.", "promptop log status looks.")
    return str(found[0])


def _open_outbox(log: Path, log_id: str) -> sqlite3.Connection:
    path = outbox_path(log)
    try:
        side = connect(path)
        side.execute("PRAGMA synchronous = FULL")  # a cut must be on disk before it is sent
        with transaction(side):
            side.execute("CREATE TABLE IF NOT EXISTS ship (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
            facts = {"ship_id": uuid.uuid4().hex, **_FACTS}
            side.executemany("INSERT OR IGNORE INTO ship VALUES (?, ?)", facts.items())
            known = side.execute("SELECT value FROM ship WHERE key = 'log_id'").fetchone()[0]
            if known and known != log_id:  # the log that this file belonged to is gone
                side.executemany("UPDATE ship SET value = ? WHERE key = ?", [(v, k) for k, v in facts.items()])
            side.execute("UPDATE ship SET value = ? WHERE key = 'log_id'", (log_id,))
    except (sqlite3.Error, OSError) as error:
        raise files.explain(path, error) from None
    return side


def _place_of(log: Path) -> str:
    """Return what tells a log from its copies: the machine, and the file on its disk."""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = f"{uuid.getnode():x}"
    found = log.stat()
    return f"{machine}:{found.st_dev}:{found.st_ino}"


def _cell(value: Any) -> Any:
    """Return a value that every column takes: no NaN, no bytes; an infinite one is as large as it gets."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(1e300, value)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
