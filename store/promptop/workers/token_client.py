"""Counts from a worker process: the parent loads no tokenizer and is never held up by one.

Loading ranks holds the interpreter's lock for 200 ms; in another process the screen does not feel it. Frames are
eight bytes of length and a pickle, over the worker's own stdin and stdout, which nobody else can write to. A writer
thread sends, so that no caller waits for a pipe; a reader thread hands replies over.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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

_CALM_S = 30.0
"""A worker that dies again sooner than this after a restart is not started a third time."""


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
        self._outbox: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._threads: list[threading.Thread] = []
        self._restarted_s = -_CALM_S
        self._closed = False

    @property
    def alive(self) -> bool:
        """Whether the worker process runs."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None before :meth:`start`."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the worker process; calls made before it are kept until then."""
        with self._lock:
            if self._process is not None or self._closed:
                return
            self._launch()

    def close(self) -> None:
        """Stop the worker and join the threads; safe to call twice. No reply comes after it returns."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            process, threads = self._process, list(self._threads)
        if process is not None:
            process.kill()  # it holds nothing that is not here too
            self._outbox.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()
        if process is not None:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close_quietly(pipe)

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
            self._outbox.put(("open", doc, mirror.version, text, mirror.encodings))
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
            self._outbox.put(("edit", doc, mirror.version, start, end, new))
            return mirror.version

    def close_doc(self, doc: str) -> None:
        """Forget a document."""
        with self._lock:
            if self._docs.pop(doc, None) is not None:
                self._outbox.put(("close", doc))

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
            self._outbox.put(frame)
            return identity

    # The process and its two threads

    def _launch(self) -> None:
        root = str(Path(__file__).parents[2])
        known = os.environ.get("PYTHONPATH")
        environ = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{known}" if known else root}
        process = subprocess.Popen(
            # -P: a file in the working directory must not stand in for a module of the standard library
            [sys.executable, "-P", "-m", "promptop.workers.token_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the screen is drawn on stderr; failures come as replies
            env=environ,
        )
        self._process = process
        self._threads = [
            threading.Thread(target=self._write, args=(process, self._outbox), name="token-writer", daemon=True),
            threading.Thread(target=self._read, args=(process,), name="token-reader", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _write(process: subprocess.Popen[bytes], outbox: queue.SimpleQueue[tuple[Any, ...] | None]) -> None:
        assert process.stdin is not None
        while (frame := outbox.get()) is not None:
            data = pickle.dumps(frame, protocol=5)
            try:
                process.stdin.write(len(data).to_bytes(8, "big"))
                process.stdin.write(data)
                if outbox.empty():
                    process.stdin.flush()
            except (OSError, ValueError):  # the worker is gone: the reader sees it and sees to it
                return

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        stream = process.stdout
        assert stream is not None
        while True:
            header = stream.read(8)
            size = int.from_bytes(header, "big")
            data = stream.read(size) if len(header) == 8 else b""
            if len(header) < 8 or len(data) < size:
                break
            reply = pickle.loads(data)
            with self._lock:
                if self._closed:
                    return
                if isinstance(reply, Lines | Edges | SnippetCounts | Failed) and reply.id is not None:
                    self._unanswered.pop(reply.id, None)
            self._on_reply(reply)
        self._died(process)

    def _died(self, process: subprocess.Popen[bytes]) -> None:
        """Report that the worker ended and start another one, unless it was the second in a short time."""
        status = process.wait()
        with self._lock:
            if self._closed:
                return
            old = self._outbox
            old.put(None)
            again = time.monotonic() - self._restarted_s > _CALM_S
            if again:
                self._restarted_s = time.monotonic()
                self._outbox = queue.SimpleQueue()
                for doc, mirror in self._docs.items():
                    self._outbox.put(("open", doc, mirror.version, mirror.text(), mirror.encodings))
                for frame in self._unanswered.values():
                    self._outbox.put(frame)
                writer = self._threads[0]
        if again:
            writer.join()
            with self._lock:
                if not self._closed:
                    self._launch()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close_quietly(pipe)
        cause = f"signal {-status}" if status < 0 else f"exit code {status}"
        self._on_reply(Failed(f"The token counter stopped ({cause}).", None, again))


def _close_quietly(pipe: IO[bytes]) -> None:
    """Close a pipe whose other end may be gone: what was buffered for it is lost with it."""
    try:
        pipe.close()
    except OSError:
        return
