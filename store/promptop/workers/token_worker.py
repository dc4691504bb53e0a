"""The worker process of :class:`promptop.workers.token_client.TokenClient`: holds documents, counts, answers.

Reads frames from stdin and writes replies to stdout. All frames that have arrived are taken before anything is counted,
so a burst of keystrokes in a long chunk is counted once. Ends when stdin does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from promptop.base import processes
from promptop.base.errors import PromptopError
from promptop.tokens import scripts, splintr, vocabularies
from promptop.tokens.document import TokenDocument
from promptop.tokens.scripts import Chars, chars_by_script
from promptop.workers.token_client import Counted, Counts, Edges, Failed, Lines, SnippetCounts


def _quick(name: str) -> Callable[[str], list[int]]:
    """Return the fastest tokenizer of the encoding, which is loaded when a text first goes there."""

    def encode(text: str) -> list[int]:
        return splintr.encoder(name)(text)

    return encode


class _Document:
    """One text under its encodings, its version and its characters by script."""

    def __init__(self, version: int, text: str, encodings: tuple[str, ...]) -> None:
        self.version = version
        self.documents: dict[str, TokenDocument] = {}
        self.faults: list[PromptopError] = []
        """Encodings that cannot be had; the others are counted."""
        for name in encodings:
            try:
                self.documents[name] = TokenDocument(name, text, _quick(name))
            except PromptopError as error:
                self.faults.append(error)
        self.chars: Chars = chars_by_script(text)

    def apply(self, version: int, start: int, end: int, new: str) -> None:
        self.version = version
        removed = ""
        for document in self.documents.values():
            removed = document.slice(start, end)
            document.apply(start, end, new)
        self.chars = scripts.add(scripts.add(self.chars, chars_by_script(removed), -1), chars_by_script(new))

    def under(self, encoding: str) -> TokenDocument:
        """Return the document under an encoding, which is made if it was not asked for before."""
        if encoding not in self.documents:
            text = next(iter(self.documents.values())).text if self.documents else ""
            self.documents[encoding] = TokenDocument(encoding, text, _quick(encoding))
        return self.documents[encoding]

    def counts(self) -> dict[str, Counted]:
        return {name: Counted(document.count, True) for name, document in self.documents.items()}


class _Worker:
    """Answers frames; ``send`` takes one reply."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._documents: dict[str, _Document] = {}
        self._changed: dict[str, None] = {}

    def take(self, frame: tuple[Any, ...]) -> None:
        """Do what a frame asks; counts of changed documents wait for :meth:`settle`."""
        what, *details = frame
        try:
            if what == "open":
                doc, version, text, encodings = details
                self._documents.pop(doc, None)
                self._documents[doc] = _Document(version, text, encodings)
                self._changed[doc] = None
                for fault in self._documents[doc].faults:
                    self._send(Failed(str(fault)))
            elif what == "edit":
                doc, version, start, end, new = details
                self._documents[doc].apply(version, start, end, new)
                self._changed[doc] = None
            elif what == "close":
                self._documents.pop(details[0], None)
                self._changed.pop(details[0], None)
            else:
                self._send(self._answer(what, *details))
        except PromptopError as error:
            self._send(Failed(str(error), details[0] if what in ("lines", "edges", "snippets") else None))

    def settle(self) -> None:
        """Send the counts of every document that changed."""
        for doc in list(self._changed):
            held = self._documents[doc]
            self._send(Counts(doc, held.version, held.counts(), held.chars))
        self._changed.clear()

    def _answer(self, what: str, identity: int, *details: Any) -> Lines | Edges | SnippetCounts:
        if what == "snippets":
            texts, encodings = details
            made = {name: vocabularies.encoder(name) for name in encodings}
            counts = {name: tuple(len(encode(text)) for text in texts) for name, encode in made.items()}
            return SnippetCounts(identity, counts, tuple(map(chars_by_script, texts)))
        doc, encoding, first, last = details
        if doc not in self._documents:
            raise PromptopError(f"There is no document {doc!r}.", "Open it first.")
        held = self._documents[doc]
        document = held.under(encoding)
        if what == "lines":
            return Lines(identity, doc, held.version, encoding, first, tuple(document.count_lines(first, last)))
        edges = tuple(document.boundaries(first, last))
        return Edges(identity, doc, held.version, encoding, first, last, edges)


def main() -> int:
    """Serve stdin until it ends."""
    _, out = processes.open_channel()
    worker = _Worker(lambda reply: processes.send(out, reply))
    try:
        for frame in processes.waiting_frames():
            if frame is None:
                worker.settle()
            else:
                worker.take(frame)
    except BrokenPipeError:
        return 0  # the parent is gone
    return 0


if __name__ == "__main__":
    sys.exit(main())
