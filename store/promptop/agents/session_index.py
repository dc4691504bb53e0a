"""Brings agents' calls into the log, each once, and remembers how far every file was read.

The index lies beside the log (``LOG.agents``): offset, inode and size of each file, and the key of each call that is in
the log. A file that got shorter or has another inode is read anew, which the keys make harmless. What was read stays in
the log when the agent deletes its files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.agents import claude_code, codex
from promptop.agents.agent_call import CLAUDE_CODE, CODEX, AgentCall
from promptop.base import sqlite
from promptop.log import files as log_files
from promptop.log.rollups.rollups import Rollups
from promptop.log.transfer.imports import insert_rows, read_note

if TYPE_CHECKING:
    from sqlite_utils import Database

SETTLED_S = 60.0
"""A call without a finish reason is taken as complete once its file was quiet for so long."""
_BATCH = 2_000
_NOTE = "agents_written"
"""Key in the log's table ``meta``: keys of the calls that the last reading wrote. Index and log are two files; if a
process dies after the log's transaction and before the index's, the next one learns from it what is written."""


def index_path(log: Path) -> Path:
    """Return the index of a log."""
    return log.with_name(f"{log.name}.agents")


@dataclass(slots=True)
class SessionUpdate:
    """What a reading brought."""

    calls: int = 0
    known: int = 0
    files: int = 0
    """Files that had something new."""
    bytes: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Sources:
    """Where session files are looked for."""

    claude: list[Path]
    codex: list[Path]

    @classmethod
    def default(cls, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Sources:
        """Return the places that the agents use."""
        environ, home = os.environ if environ is None else environ, Path.home() if home is None else home
        return cls(claude_code.folders(environ, home), codex.folders(environ, home))

    @classmethod
    def of(cls, folder: Path) -> Sources:
        """Return the places of a folder that the user named, whichever agent's it is."""
        if (folder / "sessions").is_dir() or (folder / "archived_sessions").is_dir():
            return cls([], [folder])
        return cls(claude_code.folders_of(folder), [])


def _first(database: Database) -> None:
    database.table("files").create(
        {"path": str, "agent": str, "inode": int, "size": int, "offset": int, "session": str, "state": str}, pk="path"
    )
    database.table("calls").create({"key": bytes}, pk="key")
    database.table("limits").create({"agent": str, "at_ms": int, "limits": str}, pk="agent")


MIGRATIONS = (_first,)


class SessionIndex:
    """Reads what is new in the session files of some places into one log."""

    def __init__(self, log: Path, sources: Sources) -> None:
        self._log, self._sources = log, sources
        self._sessions: dict[str, Path] | None = None
        """Session → its file; None until all files were looked at."""
        self._infos: dict[str, list[dict[str, Any]] | None] = {}

    def read(
        self,
        *,
        since_ms: int | None = None,
        now_s: float | None = None,
        only: Collection[Path] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> SessionUpdate:
        """Read every file that changed; raises :class:`PromptopError` if log or index cannot be used.

        With ``only`` no other file is looked at: what a :class:`Follower` found, once all were read.
        ``progress`` is told how many files of how many were looked at. What it raises ends the reading, and nothing of
        it is kept.
        """
        now_s = time.time() if now_s is None else now_s
        found = SessionUpdate()
        with sqlite.tables(index_path(self._log), MIGRATIONS) as index:
            table = index.table("files")
            rows = []
            if only is not None and self._sessions is not None:
                marks = ", ".join("?" * len(only))
                rows = list(table.rows_where(f"path IN ({marks})", [str(path) for path in only]))
            if rows and len(rows) == len(only or ()):
                paths = [(row["agent"], Path(row["path"])) for row in rows]
            else:
                rows = list(table.rows)
                paths = [(CLAUDE_CODE, path) for path in claude_code.files(self._sources.claude)]
                codex_paths = list(codex.files(self._sources.codex))
                paths += [(CODEX, path) for path in codex_paths]
                self._sessions = {row["session"]: Path(row["path"]) for row in rows if row["session"]}
                self._sessions |= {path.stem[-36:]: path for path in codex_paths}
            known = {row["path"]: row for row in rows}
            self._recover(index)
            self._infos.clear()
            calls: list[AgentCall] = []
            for number, (agent, path) in enumerate(paths):
                if progress is not None:
                    progress(number, len(paths))
                with contextlib.suppress(FileNotFoundError):  # the agent cleaned up in between
                    row = self._read_file(agent, path, known.get(str(path)), found, calls, index, now_s)
                    if row is not None:
                        index.table("files").upsert(row, pk="path")
            self._write(calls, since_ms, found, index)
        return found

    def _read_file(
        self,
        agent: str,
        path: Path,
        known: dict[str, Any] | None,
        found: SessionUpdate,
        calls: list[AgentCall],
        index: Database,
        now_s: float,
    ) -> dict[str, Any] | None:
        status = path.stat()
        anew = known is None or known["inode"] != status.st_ino or status.st_size < known["size"]
        offset = 0 if anew or known is None else known["offset"]
        if not anew and known is not None and status.st_size == known["offset"]:
            return None
        state = {} if anew or known is None else json.loads(known["state"])
        reader: claude_code.ClaudeFile | codex.CodexFile
        if agent == CLAUDE_CODE:
            reader = claude_code.ClaudeFile(path, state)
        else:
            reader = codex.CodexFile(path, state, self._parent)
        settled = now_s - status.st_mtime > SETTLED_S
        end = offset
        with path.open("rb") as file:
            file.seek(offset)
            complete = offset
            for line in file:
                if not line.endswith(b"\n"):
                    break  # an unfinished write: read again from its start
                reader.take(line)
                end += len(line)
                if not reader.is_waiting:
                    complete = end
        ready = reader.calls(all_of_them=settled)
        if not settled and reader.is_waiting:
            end = complete  # the call that still grows is read again with its other lines
        if end == offset and not ready and known is not None and not anew:
            return None
        found.files += 1
        found.bytes += end - offset
        for cause, count in reader.passed_over.items():
            found.passed_over[cause] = found.passed_over.get(cause, 0) + count
        calls += ready
        if isinstance(reader, codex.CodexFile) and reader.limits is not None:
            self._keep_limits(index, reader.limits, reader.limits_at_ms)
        state = reader.state()
        return {
            "path": str(path),
            "agent": agent,
            "inode": status.st_ino,
            "size": end,
            "offset": end,
            "session": state.get("session", ""),
            "state": json.dumps(state),
        }

    def _parent(self, session: str) -> list[dict[str, Any]] | None:
        if session not in self._infos:
            path = (self._sessions or {}).get(session)
            self._infos[session] = codex.infos_of(path) if path is not None and path.is_file() else None
        return self._infos[session]

    @staticmethod
    def _keep_limits(index: Database, limits: dict[str, Any], at_ms: int) -> None:
        table = index.table("limits")
        old = next(iter(table.rows_where("agent = ?", [CODEX])), None)
        if old is None or old["at_ms"] <= at_ms:
            table.upsert({"agent": CODEX, "at_ms": at_ms, "limits": json.dumps(limits)}, pk="agent")

    def _recover(self, index: Database) -> None:
        try:
            note = read_note(self._log, _NOTE)
        except sqlite3.Error as error:
            raise log_files.explain(self._log, error) from None
        for digest in json.loads(note) if note else ():
            index.execute("INSERT OR IGNORE INTO calls VALUES (?)", [bytes.fromhex(digest)])

    def _write(self, calls: Iterable[AgentCall], since_ms: int | None, found: SessionUpdate, index: Database) -> None:
        """Write the calls that are not in the log; of one that stands in several files the earliest counts."""
        first: dict[str, AgentCall] = {}
        for call in sorted(calls, key=lambda each: each.at_ms):
            known = first.setdefault(f"{call.app}:{call.key}", call)
            if known is not call:
                found.known += 1
                known.is_sub = known.is_sub and call.is_sub
        fresh: list[AgentCall] = []
        digests: list[str] = []
        for key, call in first.items():
            digest = hashlib.blake2b(key.encode(), digest_size=12).digest()
            if since_ms is not None and call.at_ms < since_ms:
                continue
            if index.execute("INSERT OR IGNORE INTO calls VALUES (?)", [digest]).rowcount:
                fresh.append(call)
                digests.append(digest.hex())
            else:
                found.known += 1
        if not fresh:
            return
        try:
            for at in range(0, len(fresh), _BATCH):
                rows = [call.row() for call in fresh[at : at + _BATCH]]
                insert_rows(self._log, rows, (_NOTE, json.dumps(digests[: at + _BATCH])))
            with Rollups(self._log) as rollups:
                rollups.catch_up(10.0, limit=5_000)
        except (sqlite3.Error, OSError) as error:
            raise log_files.explain(self._log, error) from None
        found.calls += len(fresh)


class Follower:
    """Tells cheaply whether anything may be new: looks at folders and at files that were written within the hour."""

    _WHOLE_S = 30.0

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._seen: dict[Path, tuple[int, int]] = {}
        self._whole_s = 0.0
        self.grown: set[Path] | None = None
        """The files that the last look found changed; None where others may have, too."""

    def changed(self, now_s: float) -> bool:
        """Say whether a folder or a recent file differs from the last look, or a whole look is due."""
        self.grown = None
        if now_s - self._whole_s >= self._WHOLE_S:
            self._whole_s = now_s
            self._look(now_s)
            return True
        marks = {path: mark for path, was in self._seen.items() if (mark := _mark(path)) != was}
        if not marks:
            return False
        if all(path.suffix == ".jsonl" and size >= 0 for path, (size, _) in marks.items()):
            self._seen |= marks
            self.grown = set(marks)
        else:
            self._look(now_s)
        return True

    def _look(self, now_s: float) -> None:
        self._seen = {}
        for place in (*self._sources.claude, *self._sources.codex):
            for folder, _, names in os.walk(place):
                self._seen[Path(folder)] = _mark(Path(folder))
                for name in names:
                    path = Path(folder, name)
                    mark = _mark(path)
                    if name.endswith(".jsonl") and now_s - mark[1] / 1e9 < 3600:
                        self._seen[path] = mark


def _mark(path: Path) -> tuple[int, int]:
    """Return (size, time of the last change in ns) of a file or folder; (-1, 0) if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return (-1, 0)
    return status.st_size, status.st_mtime_ns


def limits_of(log: Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return, by agent, when the newest limits were told (Unix ms) and what they were."""
    if not index_path(log).exists():
        return {}
    with contextlib.closing(sqlite.connect_for_reading(index_path(log))) as index:
        if not index.execute("SELECT 1 FROM sqlite_master WHERE name = 'limits'").fetchone():
            return {}
        rows = index.execute("SELECT agent, at_ms, limits FROM limits").fetchall()
    return {str(agent): (int(at_ms), json.loads(limits)) for agent, at_ms, limits in rows}


def keep_limits(log: Path, agent: str, limits: dict[str, Any], at_ms: int) -> None:
    """Keep limits that an agent told in another way (its status line)."""
    with sqlite.tables(index_path(log), MIGRATIONS) as index:
        index.table("limits").upsert({"agent": agent, "at_ms": at_ms, "limits": json.dumps(limits)}, pk="agent")
