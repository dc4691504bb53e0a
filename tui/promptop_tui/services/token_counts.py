"""The token counter that all tabs share: it owns the worker process and brings its replies to who asked.

Replies arrive on the client's reader thread and leave it as Textual messages, so that a widget's state is touched by
its own handlers alone. Nothing here waits: before the worker has started, requests are kept by the client.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

from promptop.workers.token_client import Counts, Edges, Failed, Lines, Reply, SnippetCounts, TokenClient


@dataclass
class CountsReady(Message):
    """A document was counted; only the newest such message of a document matters."""

    reply: Counts

    def can_replace(self, message: Message) -> bool:
        """Let a newer count take the place of one that waits."""
        return isinstance(message, CountsReady) and message.reply.doc == self.reply.doc


@dataclass
class LinesReady(Message):
    """Tokens per line, as asked for."""

    reply: Lines


@dataclass
class EdgesReady(Message):
    """Token edges, as asked for."""

    reply: Edges


@dataclass
class SnippetsReady(Message):
    """Counts of snippets, as asked for."""

    reply: SnippetCounts


@dataclass
class CountingFailed(Message):
    """The worker could not answer, or died; ``reply.restarting`` says whether it comes back."""

    reply: Failed


def _message(reply: Reply) -> Message:
    if isinstance(reply, Counts):
        return CountsReady(reply)
    if isinstance(reply, Lines):
        return LinesReady(reply)
    if isinstance(reply, Edges):
        return EdgesReady(reply)
    if isinstance(reply, SnippetCounts):
        return SnippetsReady(reply)
    return CountingFailed(reply)


class Counting:
    """Counts for any widget of the app: ask with the widget, and the answer comes to it as a message."""

    def __init__(self, app: App[object]) -> None:
        self._app = app
        self._client = TokenClient(self._on_reply)
        self._lock = threading.Lock()
        self._owners: dict[str, MessagePump] = {}
        self._askers: dict[int, MessagePump] = {}
        self._closed = False

    def start(self) -> None:
        """Start the worker process; the app calls this after its first paint."""
        self._client.start()

    def close(self) -> None:
        """End the worker process."""
        with self._lock:
            self._closed = True
            self._owners.clear()
            self._askers.clear()
        self._client.close()

    def open(self, owner: MessagePump, doc: str, text: str, encodings: Sequence[str]) -> int:
        """Open or replace a document; :class:`CountsReady` comes to ``owner`` now and after each edit."""
        with self._lock:
            self._owners[doc] = owner
        return self._client.open(doc, text, encodings)

    def edit(self, doc: str, start: int, end: int, new: str) -> int:
        """Replace the characters [start, end) of a document and return its new version."""
        return self._client.edit(doc, start, end, new)

    def close_doc(self, doc: str) -> None:
        """Forget a document."""
        with self._lock:
            self._owners.pop(doc, None)
        self._client.close_doc(doc)

    def request_lines(self, doc: str, encoding: str, first: int, last: int) -> int:
        """Ask for tokens per line, both ends included; :class:`LinesReady` comes to the document's owner."""
        return self._client.request_lines(doc, encoding, first, last)

    def request_edges(self, doc: str, encoding: str, start: int, end: int) -> int:
        """Ask for token edges in characters [start, end); :class:`EdgesReady` comes to the document's owner."""
        return self._client.request_edges(doc, encoding, start, end)

    def request_counts(self, asker: MessagePump, texts: Sequence[str], encodings: Sequence[str]) -> int:
        """Ask for counts of snippets; :class:`SnippetsReady` with the returned id comes to ``asker``."""
        # The reply may be read before the id is noted: it waits for this lock.
        with self._lock:
            request = self._client.request_counts(texts, encodings)
            self._askers[request] = asker
        return request

    def _on_reply(self, reply: Reply) -> None:
        """Runs on the client's reader thread."""
        with self._lock:
            if self._closed:
                return
            targets: list[MessagePump] = []
            if isinstance(reply, Counts | Lines | Edges):
                targets = [self._owners[reply.doc]] if reply.doc in self._owners else []
            elif reply.id is not None and reply.id in self._askers:
                targets = [self._askers.pop(reply.id)]
            elif isinstance(reply, Failed):
                targets = list(dict.fromkeys(self._owners.values()))
        for target in targets:
            if target.is_running:
                target.post_message(_message(reply))
