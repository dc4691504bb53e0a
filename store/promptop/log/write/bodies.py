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

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect, connect_for_reading
from promptop.log import files
from promptop.log.write.pending import Bodies, Finished

_VERSION = 1
_LISTS = ("messages", "input", "contents")
"""Members of a request that hold its messages: chat completions and Anthropic, Responses and embeddings, Gemini."""
_RAW, _ZLIB, _HASH_ONLY = 0, 1, 2
_FRAME, _RESPONSE = -1, -2
"""Positions of the request without its messages and of the answer among the parts of a request."""
_SHORT = 64
"""Below this many bytes compression does not pay."""

_DDL = (
    "CREATE TABLE IF NOT EXISTS chunks (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, codec INTEGER NOT NULL,"
    " size INTEGER NOT NULL, data BLOB)",
    "CREATE TABLE IF NOT EXISTS bodies (request_id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, mode TEXT NOT NULL,"
    " member TEXT)",
    "CREATE INDEX IF NOT EXISTS bodies_at ON bodies (at_ms)",
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
        self._connection = connect(files.bodies_path(log))
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
            "INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?)",
            (row_id, finished.row.started_ms or time.time_ns() // 1_000_000, mode, member),
        )
        parts = [(_FRAME, frame), (_RESPONSE, response), *enumerate(messages)]
        self._connection.executemany(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?)",
            [(row_id, position, self._chunk(part, text)) for position, part in parts if part is not None],
        )

    def _chunk(self, data: bytes, text: bool) -> int | None:
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
        with contextlib.closing(connect_for_reading(path)) as connection:
            return _read(connection, row_id)
    except (sqlite3.Error, zlib.error) as error:
        raise files.explain(path, error) from None


def _read(connection: sqlite3.Connection, row_id: int) -> StoredBody | None:
    head = connection.execute("SELECT mode, member FROM bodies WHERE request_id = ?", (row_id,)).fetchone()
    if head is None:
        return None
    mode, member = head
    parts = {
        position: (digest, codec, data)
        for position, digest, codec, data in connection.execute(
            "SELECT position, hash, codec, data FROM parts JOIN chunks ON chunks.id = chunk"
            " WHERE request_id = ? ORDER BY position",
            (row_id,),
        )
    }
    messages = [part for position, part in parts.items() if position >= 0]
    hashes = tuple(part[0].hex() for part in messages)
    if mode == "hash":
        return StoredBody(mode, None, None, hashes)
    request = _unpacked(parts.get(_FRAME))
    if request is not None and member is not None:
        whole = json.loads(request)
        whole[member] = [json.loads(_unpacked(message) or "null") for message in messages]
        request = json.dumps(whole, ensure_ascii=False)
    return StoredBody(mode, request, _unpacked(parts.get(_RESPONSE)), hashes)


def delete_body(connection: sqlite3.Connection, row_id: int) -> None:
    """Delete what was kept of a request, and the messages that no other request has."""
    chunks = connection.execute("SELECT DISTINCT chunk FROM parts WHERE request_id = ?", (row_id,)).fetchall()
    connection.execute("DELETE FROM bodies WHERE request_id = ?", (row_id,))
    connection.execute("DELETE FROM parts WHERE request_id = ?", (row_id,))
    connection.executemany(
        "DELETE FROM chunks WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM parts WHERE chunk = ?1)", chunks
    )


def _packed(data: bytes) -> tuple[int, bytes]:
    if len(data) >= _SHORT:
        small = zlib.compress(data, 6)
        if len(small) < len(data):
            return _ZLIB, small
    return _RAW, data


def _unpacked(chunk: tuple[bytes, int, bytes | None] | None) -> str | None:
    _, codec, data = chunk or (b"", _HASH_ONLY, None)
    if data is None:
        return None
    return (zlib.decompress(data) if codec == _ZLIB else data).decode("utf-8", "replace")


def _redacted(body: bytes | None, redact: Callable[[str], str]) -> bytes | None:
    return None if body is None else redact(body.decode("utf-8", "replace")).encode("utf-8", "replace")


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
