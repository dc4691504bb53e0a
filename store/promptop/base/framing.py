"""Frames between a screen and the process that makes its calls: a length, then a pickle.

Both ends are this program and the pipe is private to them; nothing foreign is ever unpickled.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

_LENGTH = 4


def send(stream: IO[bytes], frame: object) -> None:
    """Write one frame and flush it; raise :class:`OSError` or :class:`ValueError` if the other end is gone."""
    data = pickle.dumps(frame, protocol=5)
    stream.write(len(data).to_bytes(_LENGTH, "big") + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Return the next frame; raise :class:`EOFError` when the other end is gone."""
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError
    size = int.from_bytes(head, "big")
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)
