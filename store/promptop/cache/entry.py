"""One cached answer: the bytes that the server sent, when each part of them came, and what they cost."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

_MAGIC = b"ptc1"
_HEAD = struct.Struct(">4sI")
LIMIT = 32 << 20
"""Largest stored entry that is read back, bytes: what another program wrote into a shared Redis is not trusted."""


class BadEntryError(ValueError):
    """Bytes that are not an entry of ours."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An answer that may be given again."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Those that the body needs: content-type, and nothing that names a request or an account."""
    body: bytes
    """Decoded body, byte for byte; of a stream, its events."""
    marks: tuple[tuple[int, float], ...] = ()
    """(end offset, seconds since the request) of each read of a stream: its recorded pace."""
    model: str = ""
    prompt: str = ""
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """What this very answer cost; a hit saves it. None if it is not known."""
    created_s: float = 0.0
    """Unix seconds."""
    expires_s: float | None = None
    """Unix seconds; None never expires."""
    size: int = field(default=0, compare=False)
    """Bytes as stored, set when it is packed or read."""

    def expired(self, now_s: float) -> bool:
        """Whether it may no longer be given at ``now_s``, Unix seconds."""
        return self.expires_s is not None and now_s >= self.expires_s


def pack(entry: CacheEntry) -> bytes:
    """Return the stored form: a JSON head and the compressed body."""
    head = asdict(entry)
    del head["body"], head["size"]
    text = json.dumps(head, separators=(",", ":")).encode()
    return _HEAD.pack(_MAGIC, len(text)) + text + zlib.compress(entry.body, 3)


def unpack(data: bytes) -> CacheEntry:
    """Read the stored form; raise :class:`BadEntryError` for anything else, whatever it is."""
    try:
        magic, length = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise BadEntryError("not an entry")
        head: dict[str, Any] = json.loads(data[_HEAD.size : _HEAD.size + length])
        inflate = zlib.decompressobj()
        body = inflate.decompress(data[_HEAD.size + length :], LIMIT)
        if inflate.unconsumed_tail or not inflate.eof:
            raise BadEntryError("cut short, or larger than an answer can be")
        return CacheEntry(
            status=int(head["status"]),
            headers=tuple((str(name), str(value)) for name, value in head["headers"]),
            body=body,
            marks=tuple((int(end), float(at)) for end, at in head["marks"]),
            model=str(head["model"]),
            prompt=str(head["prompt"]),
            tags=tuple(map(str, head["tags"])),
            input_tokens=None if head["input_tokens"] is None else int(head["input_tokens"]),
            output_tokens=None if head["output_tokens"] is None else int(head["output_tokens"]),
            cost_usd=None if head["cost_usd"] is None else float(head["cost_usd"]),
            created_s=float(head["created_s"]),
            expires_s=None if head["expires_s"] is None else float(head["expires_s"]),
            size=len(data),
        )
    except (struct.error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEntryError(str(error)) from None
