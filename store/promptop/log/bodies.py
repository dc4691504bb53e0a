"""Bodies of requests and answers, where they are kept: in a file of their own, each message once.

Chats send their whole history with every turn; messages are told apart by hash, compressed and stored once, which
takes 1.1 KB a request where the bodies have 10 KB. Mode ``hash`` keeps which messages a request had, and no text.
The file can be deleted without harm to the log.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from promptop.errors import PromptopError
from promptop.log import files
from promptop.log.items import Bodies, Finished

_VERSION = 1
_LISTS = ("messages", "input", "contents")
"""Members of a request that hold its messages: chat completions and Anthropic, Responses and embeddings, Gemini."""
_RAW, _ZLIB, _HASH_ONLY = 0, 1, 2
_SHORT = 64
"""Below this many bytes compression does not pay."""

_DDL = (
    "CREATE TABLE IF NOT EXISTS chunks (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, codec INTEGER NOT NULL,"
    " size INTEGER NOT NULL, data BLOB)",
    "CREATE TABLE IF NOT EXISTS bodies (request_id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, mode TEXT NOT NULL,"
    " member TEXT, frame INTEGER, response INTEGER)",
    "CREATE TABLE IF NOT EXISTS parts (request_id INTEGER, position INTEGER, chunk INTEGER NOT NULL,"
    " PRIMARY KEY (request_id, position)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS parts_chunk ON parts (chunk)",
    f"PRAGMA user_version = {_VERSION}",
)


@dataclass(frozen=True, slots=True)
class StoredBody:
    """What was kept of one request."""

    mode: str
    request: str | None
    """Body of the request, equal as JSON to what was sent (its spacing may differ); None if only hashes were kept."""
    response: str | None
    """Text of the answer."""
    hashes: tuple[str, ...]
    """Hash of each message, in order."""


class BodyStore:
    """Writes bodies; used on the writer's thread alone."""

    def __init__(self, log: Path) -> None:
        self._connection = files.connect(files.bodies_path(log))
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise PromptopError(
                    f"{files.bodies_path(log)} was written by a newer promptop.", "Upgrade promptop, or move it away."
                )
            for statement in _DDL if version < _VERSION else ():
                self._connection.execute(statement)
        except BaseException:
            self._connection.close()
            raise

    def insert(
        self, kept: Sequence[tuple[int, Finished]], mode: Bodies, redact: Callable[[str], str] | None = None
    ) -> None:
        """Store the bodies of rows, given with their ids, in one transaction."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for row_id, finished in kept:
                self._one(row_id, finished, finished.bodies or mode, redact)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _one(self, row_id: int, finished: Finished, mode: str, redact: Callable[[str], str] | None) -> None:
        request, response = finished.request_body, finished.response_body
        if request is None and response is None:
            return
        if mode == "redacted" and not finished.redacted:
            if redact is None:
                mode = "hash"  # nothing that should have been redacted is stored as it is
            else:
                request, response = _redacted(request, redact), _redacted(response, redact)
        text = mode != "hash"
        member, frame, messages = split(request)
        self._connection.execute(
            "INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?, ?, ?)",
            (
                row_id,
                finished.row.started_ms or time.time_ns() // 1_000_000,
                mode,
                member,
                self._chunk(frame, text),
                self._chunk(response, text),
            ),
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
            [(row_id, position, self._chunk(message, text)) for position, message in enumerate(messages)],
        )

    def _chunk(self, data: bytes | None, text: bool) -> int | None:
        if data is None:
            return None
        digest = blake2b(data, digest_size=16).digest()
        found = self._connection.execute("SELECT id, codec FROM chunks WHERE hash = ?", (digest,)).fetchone()
        if found and (found[1] != _HASH_ONLY or not text):
            return int(found[0])
        codec, stored = _packed(data) if text else (_HASH_ONLY, None)
        if found:  # known by its hash alone until now
            self._connection.execute("UPDATE chunks SET codec = ?, data = ? WHERE id = ?", (codec, stored, found[0]))
            return int(found[0])
        cursor = self._connection.execute(
            "INSERT INTO chunks (hash, codec, size, data) VALUES (?, ?, ?, ?)", (digest, codec, len(data), stored)
        )
        return cursor.lastrowid


def split(body: bytes | None) -> tuple[str | None, bytes | None, list[bytes]]:
    """Split a request into (name of its list of messages, the rest, the messages), each as bytes of JSON.

    What is not a JSON object with such a list is (None, the body, []).
    """
    if body is None:
        return None, None, []
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None, body, []
    if isinstance(found, dict):
        for member in _LISTS:
            messages = found.get(member)
            if isinstance(messages, list) and messages:
                rest = {key: None if key == member else value for key, value in found.items()}
                return member, _json(rest), [_json(message) for message in messages]
    return None, body, []


def read_body(log: Path, row_id: int) -> StoredBody | None:
    """Return what was kept of a request, or None; raises :class:`PromptopError` if the file cannot be read."""
    path = files.bodies_path(log)
    if not path.exists():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        ) as connection:
            return _read(connection, row_id)
    except (sqlite3.Error, zlib.error) as error:
        raise files.explain(path, error) from None


def _read(connection: sqlite3.Connection, row_id: int) -> StoredBody | None:
    head = connection.execute(
        "SELECT mode, member, frame, response FROM bodies WHERE request_id = ?", (row_id,)
    ).fetchone()
    if head is None:
        return None
    mode, member, frame_id, response_id = head
    sql = "SELECT hash, codec, data FROM chunks WHERE id = ?"
    frame = connection.execute(sql, (frame_id,)).fetchone()
    response = connection.execute(sql, (response_id,)).fetchone()
    parts = connection.execute(
        "SELECT hash, codec, data FROM parts JOIN chunks ON chunks.id = chunk WHERE request_id = ? ORDER BY position",
        (row_id,),
    ).fetchall()
    request = None if frame is None or mode == "hash" else _unpacked(frame)
    if request is not None and member is not None and mode != "hash":
        whole = json.loads(request)
        whole[member] = [json.loads(_unpacked(part) or "null") for part in parts]
        request = json.dumps(whole, ensure_ascii=False)
    return StoredBody(
        mode=mode,
        request=request,
        response=None if response is None or mode == "hash" else _unpacked(response),
        hashes=tuple(part[0].hex() for part in parts),
    )


def _packed(data: bytes) -> tuple[int, bytes]:
    if len(data) >= _SHORT:
        small = zlib.compress(data, 6)
        if len(small) < len(data):
            return _ZLIB, small
    return _RAW, data


def _unpacked(chunk: tuple[bytes, int, bytes | None]) -> str | None:
    _, codec, data = chunk
    if data is None:
        return None
    return (zlib.decompress(data) if codec == _ZLIB else data).decode("utf-8", "replace")


def _redacted(body: bytes | None, redact: Callable[[str], str]) -> bytes | None:
    return None if body is None else redact(body.decode("utf-8", "replace")).encode("utf-8", "replace")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
