"""Counts from a worker process: the parent loads no tokenizer and is never held up by one.

Loading ranks holds the interpreter's lock for 200 ms; in another process the screen does not feel it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptop.base.processes import Link, RestartPolicy
from promptop.tokens.scripts import Chars


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens under one encoding."""

    tokens: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a document at a version; older than the newest edit means: show ``≈`` until the next reply."""

    doc: str
    version: int
    counts: Mapping[str, Counted]
    chars: Chars
    """Characters by script at that version, for estimates (:func:`promptop.tokens.for_model`)."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Tokens that begin in each line from ``first`` on, a line's newline being part of it."""

    id: int
    doc: str
    version: int
    encoding: str
    first: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Edges:
    """Token starts in the characters [start, end): (character, merged); merged: more than one token begins there."""

    id: int
    doc: str
    version: int
    encoding: str
    start: int
    end: int
    edges: tuple[tuple[int, bool], ...]


@dataclass(frozen=True, slots=True)
class SnippetCounts:
    """Tokens of each snippet under each encoding, in the order asked for."""

    id: int
    counts: Mapping[str, tuple[int, ...]]
    chars: tuple[Chars, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """Something went wrong in the worker; ``id`` is the request's, or None where no request was being answered."""

    message: str
    id: int | None = None
    restarting: bool = False


Reply = Counts | Lines | Edges | SnippetCounts | Failed


class _Mirror:
    """The text of a document in pieces, so that a restarted worker can be told it: an edit copies one piece."""

    _PIECE = 1 << 16

    def __init__(self, text: str, encodings: tuple[str, ...], version: int) -> None:
        self.encodings = encodings
        self.version = version
        self._pieces = [text[at : at + self._PIECE] for at in range(0, len(text), self._PIECE)] or [""]
        self.length = len(text)

    def replace(self, start: int, end: int, new: str) -> None:
        if not 0 <= start <= end <= self.length:
            raise IndexError(f"[{start}, {end}) does not lie in a text of {self.length} characters")
        first, at = 0, 0
        while first + 1 < len(self._pieces) and at + len(self._pieces[first]) < start:
            at += len(self._pieces[first])
            first += 1
        last, end_at = first, at
        while end_at + len(self._pieces[last]) < end:
            end_at += len(self._pieces[last])
            last += 1
        joined = self._pieces[first][: start - at] + new + self._pieces[last][end - end_at :]
        size = self._PIECE
        parts = [joined[i : i + size] for i in range(0, len(joined), size)] if len(joined) > 2 * size else [joined]
        self._pieces[first : last + 1] = parts
        self.length += len(new) - (end - start)

    def text(self) -> str:
        return "".join(self._pieces)


class TokenClient:
    """Owns the worker process. Every method returns at once; replies come to ``on_reply`` on the reader thread.

    A worker that dies is reported (:class:`Failed`) and started again once, with the documents as they are now and the
    requests that it had not answered.
    """

    def __init__(self, on_reply: Callable[[Reply], None]) -> None:
        self._on_reply = on_reply
        self._lock = threading.RLock()
        self._docs: dict[str, _Mirror] = {}
        self._unanswered: dict[int, tuple[Any, ...]] = {}
        self._ids = itertools.count(1)
        self._versions = itertools.count(1)
        self._restarts = RestartPolicy()
        self._link = self._new_link()
        self._started = self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the worker process runs."""
        return self._link.alive

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None before :meth:`start`."""
        return self._link.pid

    def start(self) -> None:
        """Start the worker process; calls made before it are kept until then."""
        with self._lock:
            if self._started or self._closed:
                return
            self._started = True
            self._link.start()

    def close(self) -> None:
        """Stop the worker and join the threads; safe to call twice. No reply comes after it returns."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            link = self._link
        link.kill()

    def __enter__(self) -> TokenClient:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, doc: str, text: str, encodings: Sequence[str]) -> int:
        """Open (or replace) a document under these encodings and return its version; :class:`Counts` will follow."""
        with self._lock:
            mirror = _Mirror(text, tuple(dict.fromkeys(encodings)), next(self._versions))
            self._docs[doc] = mirror
            self._link.send(("open", doc, mirror.version, text, mirror.encodings))
            return mirror.version

    def edit(self, doc: str, start: int, end: int, new: str) -> int:
        """Replace characters [start, end) by ``new`` and return the new version; :class:`Counts` will follow.

        Edits that arrive while the worker counts are answered together. Raises :class:`KeyError` for a document that is
        not open, :class:`IndexError` for a range outside it.
        """
        with self._lock:
            mirror = self._docs[doc]
            mirror.replace(start, end, new)
            mirror.version = next(self._versions)
            self._link.send(("edit", doc, mirror.version, start, end, new))
            return mirror.version

    def close_doc(self, doc: str) -> None:
        """Forget a document."""
        with self._lock:
            if self._docs.pop(doc, None) is not None:
                self._link.send(("close", doc))

    def request_lines(self, doc: str, encoding: str, first: int, last: int) -> int:
        """Ask for tokens per line of the lines first … last, both included; return the request's id."""
        return self._ask("lines", doc, encoding, first, last)

    def request_edges(self, doc: str, encoding: str, start: int, end: int) -> int:
        """Ask for the token starts in characters [start, end); return the request's id."""
        return self._ask("edges", doc, encoding, start, end)

    def request_counts(self, texts: Sequence[str], encodings: Sequence[str]) -> int:
        """Ask for the counts of snippets; return the request's id."""
        return self._ask("snippets", tuple(texts), tuple(dict.fromkeys(encodings)))

    def _ask(self, what: str, *details: Any) -> int:
        with self._lock:
            identity = next(self._ids)
            frame = (what, identity, *details)
            self._unanswered[identity] = frame
            self._link.send(frame)
            return identity

    def _new_link(self) -> Link:
        return Link("promptop.workers.token_worker", on_frame=self._receive, on_end=self._died)

    def _receive(self, reply: Reply) -> None:
        with self._lock:
            if self._closed:
                return
            if isinstance(reply, Lines | Edges | SnippetCounts | Failed) and reply.id is not None:
                self._unanswered.pop(reply.id, None)
        self._on_reply(reply)

    def _died(self, status: int | None) -> None:
        """Report that the worker ended and start another one, unless it was the second in a short time."""
        with self._lock:
            if self._closed:
                return
            again = status is not None and self._restarts.allows()
            if again:
                self._link = self._new_link()
                for doc, mirror in self._docs.items():
                    self._link.send(("open", doc, mirror.version, mirror.text(), mirror.encodings))
                for frame in self._unanswered.values():
                    self._link.send(frame)
                self._link.start()
        cause = "it could not be started" if status is None else f"exit code {status}"
        cause = f"signal {-status}" if status is not None and status < 0 else cause
        self._on_reply(Failed(f"The token counter stopped ({cause}).", None, again))
