"""What a writer takes: a finished row, or a promise of one that is kept on the writer's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from promptop.log.row import Row

Bodies = Literal["off", "hash", "redacted", "full"]
"""What is kept of prompts and answers."""


@dataclass(slots=True)
class Finished:
    """A row and, where bodies are kept, the bodies of its request and answer as bytes of JSON or text."""

    row: Row
    request_body: bytes | None = None
    response_body: bytes | None = None
    bodies: Bodies | None = None
    """Mode of this row; None: the writer's."""
    redacted: bool = False
    """Whether the bodies have already passed a redactor. Mode ``redacted`` keeps only hashes of bodies that have not,
    unless the writer was given one."""


@runtime_checkable
class Pending(Protocol):
    """Work left for the writer's thread: parsing, counting characters, pricing."""

    def finish(self) -> Finished | None:
        """Return the row, or None if there is nothing to log; called once, on the writer's thread."""

    # An item may also have ``held_bytes``, what it keeps in memory until then, and ``lighten()``, which lets go of most
    # of that at the cost of a poorer row. Its ``outline()`` returns a row of what can be told at once, on any thread.


ROW_BYTES = 1500
"""Bytes that a row takes in memory, about."""


def held_bytes(item: Row | Finished | Pending) -> int:
    """Return the bytes that an item holds until it is written."""
    if isinstance(item, Row):
        return ROW_BYTES
    if isinstance(item, Finished):
        return ROW_BYTES + len(item.request_body or b"") + len(item.response_body or b"")
    return ROW_BYTES + int(getattr(item, "held_bytes", 0))
