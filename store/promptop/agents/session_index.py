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
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from promptop.agents import claude_code, codex
from promptop.agents.agent_call import CLAUDE_CODE, CODEX, AgentCall
from promptop.base import sqlite
from promptop.base.files import identity
from promptop.log import files as log_files
from promptop.log.rollups.rollups import Rollups
from promptop.log.transfer.imports import insert_rows, read_note

SETTLED_S = 60.0
"""A call without a finish reason is taken as complete once its file was quiet for so long."""
_GRANULARITY_S = 0.01
"""File systems round times of changes."""
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

    def agent_of(self, path: Path) -> str:
        """Return the agent whose places hold a file."""
        return CLAUDE_CODE if any(path.is_relative_to(place) for place in self.claude) else CODEX

    @classmethod
    def of(cls, folder: Path) -> Sources:
        """Return the places of a folder that the user named, whichever agent's it is."""
        if (folder / "sessions").is_dir() or (folder / "archived_sessions").is_dir():
            return cls([], [folder])
        return cls(claude_code.folders_of(folder), [])


def _first(index: sqlite3.Connection) -> None:
    index.execute(
        "CREATE TABLE files (path TEXT PRIMARY KEY, agent TEXT, inode INTEGER, size INTEGER, offset INTEGER,"
        " session TEXT, state TEXT)"
    )
    index.execute("CREATE TABLE calls (key BLOB PRIMARY KEY)")
    index.execute("CREATE TABLE limits (agent TEXT PRIMARY KEY, at_ms INTEGER, limits TEXT)")


MIGRATIONS = (_first,)
_FILES = "SELECT path, agent, inode, size, offset, session, state FROM files"


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """How far a file was read; a row of ``files``."""

    path: str
    agent: str
    inode: int
    size: int
    offset: int
    session: str
    state: str
    """JSON of what the reader must remember."""


class SessionIndex:
    """Reads what is new in the session files of some places into one log.

    Its files stay open until :meth:`close`, for a follower reads often; they are opened again once another file stands
    in the place of one. For one thread.
    """

    def __init__(self, log: Path, sources: Sources) -> None:
        self._log, self._sources = log, sources
        self._sessions: dict[str, Path] | None = None
        """Session → its file; None until all files were looked at."""
        self._infos: dict[str, list[dict[str, Any]] | None] = {}
        self._index = sqlite.MigratedFile(index_path(log), MIGRATIONS)
        self._rows: sqlite3.Connection | None = None
        self._rollups: Rollups | None = None
        self._identities: tuple[object, object] | None = None
        """Of the index and of the log as they were opened."""

    def close(self) -> None:
        """Close the files; the next reading opens them again."""
        rows, rollups = self._rows, self._rollups
        self._rows = self._rollups = self._identities = None
        for each in (self._index, rollups, rows):
            if each is not None:
                each.close()

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
        if self._identities is not None and self._identities != self._identities_now():
            self.close()
        try:
            return self._read(since_ms, now_s, only, progress)
        except BaseException:
            self.close()  # what the log's transaction wrote without the index's is learnt at the next opening
            raise

    def _read(
        self,
        since_ms: int | None,
        now_s: float,
        only: Collection[Path] | None,
        progress: Callable[[int, int], object] | None,
    ) -> SessionUpdate:
        found = SessionUpdate()
        with self._index.transaction() as index:
            if only is not None and self._sessions is not None:
                marks = ", ".join("?" * len(only))
                query = f"{_FILES} WHERE path IN ({marks})"
                rows = [_ReadFile(*row) for row in index.execute(query, [str(path) for path in only])]
                paths = [(self._sources.agent_of(path), path) for path in sorted(only)]
                self._sessions |= {path.stem[-36:]: path for agent, path in paths if agent == CODEX}
            else:
                rows = [_ReadFile(*row) for row in index.execute(_FILES)]
                paths = [(CLAUDE_CODE, path) for path in claude_code.files(self._sources.claude)]
                codex_paths = list(codex.files(self._sources.codex))
                paths += [(CODEX, path) for path in codex_paths]
                self._sessions = {row.session: Path(row.path) for row in rows if row.session}
                self._sessions |= {path.stem[-36:]: path for path in codex_paths}
            known = {row.path: row for row in rows}
            if self._identities is None:
                self._recover(index)
            self._infos.clear()
            calls: list[AgentCall] = []
            for number, (agent, path) in enumerate(paths):
                if progress is not None:
                    progress(number, len(paths))
                with contextlib.suppress(FileNotFoundError):  # the agent cleaned up in between
                    row = self._read_file(agent, path, known.get(str(path)), found, calls, index, now_s)
                    if row is not None:
                        index.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(row))
            self._write(calls, since_ms, found, index)
        self._identities = self._identities_now()
        return found

    def _identities_now(self) -> tuple[object, object]:
        return identity(index_path(self._log)), identity(self._log)

    def _read_file(
        self,
        agent: str,
        path: Path,
        known: _ReadFile | None,
        found: SessionUpdate,
        calls: list[AgentCall],
        index: sqlite3.Connection,
        now_s: float,
    ) -> _ReadFile | None:
        status = path.stat()
        if known is not None and (known.inode != status.st_ino or status.st_size < known.size):
            known = None  # read anew
        offset = 0 if known is None else known.offset
        if known is not None and status.st_size == offset:
            return None
        state = {} if known is None else json.loads(known.state)
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
        if end == offset and not ready and known is not None:
            return None
        found.files += 1
        found.bytes += end - offset
        for cause, count in reader.passed_over.items():
            found.passed_over[cause] = found.passed_over.get(cause, 0) + count
        calls += ready
        if isinstance(reader, codex.CodexFile) and reader.limits is not None:
            self._keep_limits(index, reader.limits, reader.limits_at_ms)
        state = reader.state()
        return _ReadFile(str(path), agent, status.st_ino, end, end, state.get("session", ""), json.dumps(state))

    def _parent(self, session: str) -> list[dict[str, Any]] | None:
        if session not in self._infos:
            path = (self._sessions or {}).get(session)
            self._infos[session] = codex.infos_of(path) if path is not None and path.is_file() else None
        return self._infos[session]

    @staticmethod
    def _keep_limits(index: sqlite3.Connection, limits: dict[str, Any], at_ms: int) -> None:
        old = index.execute("SELECT at_ms FROM limits WHERE agent = ?", [CODEX]).fetchone()
        if old is None or old[0] <= at_ms:
            _put_limits(index, CODEX, limits, at_ms)

    def _recover(self, index: sqlite3.Connection) -> None:
        try:
            note = read_note(self._log, _NOTE)
        except sqlite3.Error as error:
            raise log_files.explain(self._log, error) from None
        for digest in json.loads(note) if note else ():
            index.execute("INSERT OR IGNORE INTO calls VALUES (?)", [bytes.fromhex(digest)])

    def _write(
        self, calls: Iterable[AgentCall], since_ms: int | None, found: SessionUpdate, index: sqlite3.Connection
    ) -> None:
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
            if self._rows is None:
                self._rows = log_files.open_log(self._log)
            for at in range(0, len(fresh), _BATCH):
                rows = [call.row() for call in fresh[at : at + _BATCH]]
                insert_rows(self._rows, rows, (_NOTE, json.dumps(digests[: at + _BATCH])))
            if self._rollups is None:
                self._rollups = Rollups(self._log)
            self._rollups.catch_up(10.0, limit=5_000)
            self._rollups.release()
        except (sqlite3.Error, OSError) as error:
            raise log_files.explain(self._log, error) from None
        found.calls += len(fresh)


class Follower:
    """Tells cheaply whether anything may be new.

    Each look stats the upper folders, what changed lately, and a part of the sessions at rest in turns: with thousands
    of files a look at all of them twice a second would take some hundredths of a core. So a session that rested for
    more than an hour is found again after ``_TURNS`` looks at the latest, and every other change by the next look.
    """

    _WHOLE_S = 300.0
    _FILE_S, _FOLDER_S = 3_600.0, 86_400.0
    """What changed within these is looked at each time."""
    _TURNS = 16

    def __init__(self, sources: Sources) -> None:
        # Claude Code makes new projects and sessions in the upper two levels, Codex new days in the upper four.
        self._places = [(str(place), 1) for place in sources.claude] + [(str(place), 3) for place in sources.codex]
        self._roots = {place for place, _ in self._places}
        self._near: dict[str, tuple[int, int]] = {}
        self._rest: dict[str, tuple[int, int]] = {}
        self._turns: list[list[str]] = [[] for _ in range(self._TURNS)]
        """Sessions of the rest, dealt out."""
        self._unsettled: dict[str, float] = {}
        """Files that changed lately → when a call that they leave open is taken as complete (Unix seconds)."""
        self._turn = 0
        self._whole_s = 0.0
        self.grown: set[Path] | None = None
        """The files that the last look found changed; None where others may have, too."""

    def changed(self, now_s: float) -> bool:
        """Say whether a folder or a file differs from the last look, or a whole look is due."""
        self.grown = None
        if now_s - self._whole_s >= self._WHOLE_S:
            self._whole_s = now_s
            self._look(now_s)
            return True
        marks = {path: mark for path, was in self._near.items() if (mark := _mark(path)) != was}
        self._turn = (self._turn + 1) % self._TURNS
        for path in self._turns[self._turn]:
            if path in self._rest and (mark := _mark(path)) != self._rest[path]:
                marks[path] = mark
        settled = {path for path, at_s in self._unsettled.items() if now_s > at_s}
        for path in settled:
            del self._unsettled[path]
        if not marks and not settled:
            return False
        grown = set(settled)
        for path, mark in marks.items():
            self._rest.pop(path, None)
            self._near.pop(path, None)
            if path.endswith(".jsonl"):
                if mark[0] >= 0:
                    self._near[path] = mark
                    self._watch_growing(path, mark)
                    grown.add(path)
            elif mark[0] >= 0 or path in self._roots:
                self._near[path] = mark
                grown |= self._new_in(path)
        self.grown = {Path(path) for path in grown}
        return bool(grown)

    def _new_in(self, changed: str) -> set[str]:
        """Look at what a folder has got, and return its new session files."""
        found: set[str] = set()
        for folder, inner, names in os.walk(changed):
            if folder != changed:
                self._near[folder] = _mark(folder)
            # What is known of its folders tells by itself when it changes.
            known = self._near.keys() | self._rest.keys() if folder == changed else set[str]()
            inner[:] = [name for name in inner if f"{folder}{os.sep}{name}" not in known]
            for name in names:
                path = f"{folder}{os.sep}{name}"
                if name.endswith(".jsonl") and path not in known:
                    self._near[path] = mark = _mark(path)
                    self._watch_growing(path, mark)
                    found.add(path)
        return found

    def _watch_growing(self, path: str, mark: tuple[int, int]) -> None:
        """Look at a session that grows once more when it is quiet, and each time where its sub-agents' files come."""
        self._unsettled[path] = mark[1] / 1e9 + SETTLED_S + _GRANULARITY_S
        own = path.removesuffix(".jsonl")
        for folder in (own, os.path.join(own, "subagents")):  # noqa: PTH118 (paths are text here, four times faster)
            if folder in self._rest:
                self._near[folder] = self._rest.pop(folder)

    def _look(self, now_s: float) -> None:
        self._near, self._rest, self._unsettled = {}, {}, {}
        growing, sessions = [], list[str]()
        for place, depth in self._places:
            self._near[place] = _mark(place)  # one that is not there may come
            for folder, _, names in os.walk(place):
                mark = _mark(folder)
                is_near = folder.count(os.sep) - place.count(os.sep) <= depth or now_s - mark[1] / 1e9 < self._FOLDER_S
                (self._near if is_near else self._rest)[folder] = mark
                for name in names:
                    if name.endswith(".jsonl"):
                        path = f"{folder}{os.sep}{name}"
                        mark = _mark(path)
                        is_near = now_s - mark[1] / 1e9 < self._FILE_S
                        (self._near if is_near else self._rest)[path] = mark
                        if is_near:
                            growing.append(path)
                        elif not folder.endswith("subagents"):  # which do not go on without their session
                            sessions.append(path)
        for path in growing:
            self._watch_growing(path, self._near[path])
        self._turns = [sessions[at :: self._TURNS] for at in range(self._TURNS)]


def _mark(path: str) -> tuple[int, int]:
    """Return (size, time of the last change in ns) of a file or folder; (-1, 0) if it is gone."""
    try:
        status = os.stat(path)  # noqa: PTH116 (as above)
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
    with contextlib.closing(sqlite.MigratedFile(index_path(log), MIGRATIONS)) as file, file.transaction() as index:
        _put_limits(index, agent, limits, at_ms)


def _put_limits(index: sqlite3.Connection, agent: str, limits: dict[str, Any], at_ms: int) -> None:
    index.execute("INSERT OR REPLACE INTO limits VALUES (?, ?, ?)", (agent, at_ms, json.dumps(limits)))
