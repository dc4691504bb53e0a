"""Counts from a worker process: the parent loads no tokenizer and is never held up by one (skeleton: signatures only).

Loading ranks holds the interpreter's lock for 200 ms; in another process the screen does not feel it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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


class TokenClient:
    """Owns the worker process. Every method returns at once; replies come to ``on_reply`` on the reader thread."""

    def __init__(self, on_reply: Callable[[Reply], None]) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start the worker process. Calls before it are kept."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the worker and join the threads; safe to call twice."""
        raise NotImplementedError

    def open(self, doc: str, text: str, encodings: Sequence[str]) -> int:
        """Open (or replace) a document under these encodings and return its version."""
        raise NotImplementedError

    def edit(self, doc: str, start: int, end: int, new: str) -> int:
        """Replace characters [start, end) by ``new`` and return the new version."""
        raise NotImplementedError

    def close_doc(self, doc: str) -> None:
        """Forget a document."""
        raise NotImplementedError

    def request_lines(self, doc: str, encoding: str, first: int, last: int) -> int:
        """Ask for tokens per line of the lines first … last, both included; return the request's id."""
        raise NotImplementedError

    def request_edges(self, doc: str, encoding: str, start: int, end: int) -> int:
        """Ask for the token starts in characters [start, end); return the request's id."""
        raise NotImplementedError

    def request_counts(self, texts: Sequence[str], encodings: Sequence[str]) -> int:
        """Ask for the counts of snippets; return the request's id."""
        raise NotImplementedError
