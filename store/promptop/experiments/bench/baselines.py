"""Named results of benchmarks, in the data folder: figures only, no prompt and no answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base import sqlite
from promptop.base.errors import PromptopError
from promptop.base.files import data_dir
from promptop.client.request import RunRequest
from promptop.experiments.bench.load_generator import MeasuredRequest

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """A kept result; ``asked`` is a digest of prompt and parameters, so that unlike things are told apart."""

    name: str
    saved_ms: int
    asked: str
    phases: tuple[MeasuredRequest, ...]

    def find(self, key: str) -> MeasuredRequest | None:
        """Return the measurement of the same model under the same load."""
        return next((phase for phase in self.phases if phase.key == key), None)


def digest(requests: Sequence[RunRequest]) -> str:
    """Return what tells one benchmark's question from another's; neither model nor text can be read from it."""
    asked = [requests[0].messages, requests[0].parameters()]
    return hashlib.blake2b(json.dumps(asked, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


class Baselines:
    """The file of baselines, ``bench.db`` of the data folder."""

    def __init__(self, path: Path | None = None, *, now_s: Callable[[], float] = time.time) -> None:
        self.path = path or data_dir() / "bench.db"
        self._now_s = now_s

    def save(self, name: str, asked: str, phases: Sequence[MeasuredRequest]) -> None:
        """Keep a result under a name, instead of an earlier one of that name."""
        row = {
            "name": name,
            "saved_ms": int(self._now_s() * 1000),
            "asked": asked,
            "phases": json.dumps([dataclasses.asdict(phase) for phase in phases]),
        }
        with self._open() as database:
            database.table("baselines").upsert(row, pk="name")

    def names(self) -> list[str]:
        """Return the names that there are, the newest first."""
        if not self.path.exists():
            return []
        with self._open() as database:
            return [str(row["name"]) for row in database.table("baselines").rows_where(order_by="saved_ms desc")]

    def load(self, name: str) -> Baseline:
        """Return a kept result; raise :class:`PromptopError` if there is none of that name."""
        names: list[str] = []
        if self.path.exists():
            with self._open() as database:
                for row in database.table("baselines").rows:
                    if row["name"] == name:
                        return self._read(row)
                    names.append(str(row["name"]))
        known = f"There are: {', '.join(sorted(names))}." if names else "Keep one first: promptop bench --save NAME."
        raise PromptopError(f"There is no baseline {name!r}.", known)

    def _read(self, row: dict[str, Any]) -> Baseline:
        try:
            phases = tuple(MeasuredRequest(**phase) for phase in json.loads(row["phases"]))
        except (TypeError, ValueError):
            raise PromptopError(
                f"The baseline {row['name']!r} was kept by another version.", "Measure it again with --save."
            ) from None
        return Baseline(str(row["name"]), int(row["saved_ms"]), str(row["asked"]), phases)

    def _open(self) -> AbstractContextManager[Database]:
        return sqlite.tables(self.path, (_create,))


def _create(database: Database) -> None:
    """Version 1: a row for each name. A file of before the versions has the table already."""
    database.table("baselines").create(
        {"name": str, "saved_ms": int, "asked": str, "phases": str}, pk="name", if_not_exists=True
    )
