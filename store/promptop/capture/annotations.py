"""Labels from the caller's code, and its view of the calls that it makes under them.

``with annotate(prompt_name="greeting") as note: …`` labels every call of that thread or task, and of tasks started in
it. ``note.calls`` are the calls while they run, ``note.rows`` what was logged of them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from promptop.capture.call import Call
    from promptop.log.row import Row
    from promptop.routing.policy import Decision

_LIMIT = 1000


class Annotation:
    """Labels of the calls inside one ``annotate`` block, the calls, and their rows."""

    def __init__(
        self,
        *,
        app: str | None = None,
        tags: Mapping[str, object] | None = None,
        prompt_name: str | None = None,
        prompt_version: str | None = None,
        conversation_id: str | None = None,
        attempt: int | None = None,
        queue_s: float | None = None,
        outer: Annotation | None = None,
    ) -> None:
        self.app: str | None = app
        self.tags: dict[str, object] = {**(outer.tags if outer else {}), **(tags or {})}
        self.prompt_name: str | None = prompt_name
        self.prompt_version: str | None = prompt_version
        self.conversation_id: str | None = conversation_id
        if outer is not None:
            for name in ("app", "prompt_name", "prompt_version", "conversation_id"):
                if getattr(self, name) is None:
                    setattr(self, name, getattr(outer, name))
        self.attempt = attempt
        self.queue_s = queue_s
        self.calls: list[Call] = []
        """Calls begun in this block, at most the last 1,000; their timings can be read while they run."""
        self.rows: list[Row] = []
        """Rows of finished calls, at most the last 1,000, in the order in which they were logged."""
        self.decision: Decision | None = None
        """What routing decided, where the caller itself routed the request before it was made."""
        self.tee: Callable[[Call, bytes], None] | None = None
        """Gets each read of a response's body as it came from the wire, on the caller's path: it must be quick."""
        self._taken = 0
        self._changed = threading.Condition()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._outer = outer

    def wait(self, timeout: float | None = None) -> Row | None:
        """Block until the next row that was not taken yet, at most ``timeout`` seconds; None if there is none."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken < len(self.rows), timeout):
                return None
            return self._take()

    async def row(self, timeout: float | None = None) -> Row | None:
        """Wait for the next row that was not taken yet, at most ``timeout`` seconds; None if there is none."""
        import asyncio  # takes 10 ms, and who awaits has it

        arrived = asyncio.Event()
        waiter = (asyncio.get_running_loop(), arrived)
        with self._changed:
            self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    with self._changed:
                        if self._taken < len(self.rows):
                            return self._take()
                        arrived.clear()
                    await arrived.wait()
        except TimeoutError:
            return None
        finally:
            with self._changed:
                self._waiting.remove(waiter)

    def _take(self) -> Row:
        row = self.rows[self._taken]
        self._taken += 1
        return row

    def _begin(self, call: Call) -> None:
        self.calls.append(call)
        if len(self.calls) > _LIMIT:
            del self.calls[0]
        if self._outer is not None:
            self._outer._begin(call)

    def _finished(self, row: Row) -> None:
        """Take a row, on the writer's thread."""
        with self._changed:
            self.rows.append(row)
            if len(self.rows) > _LIMIT:
                del self.rows[0]
                self._taken = max(0, self._taken - 1)
            self._changed.notify_all()
            for loop, arrived in self._waiting:
                with suppress(RuntimeError):  # the loop was closed while somebody waited on it
                    loop.call_soon_threadsafe(arrived.set)
        if self._outer is not None:
            self._outer._finished(row)


_current: ContextVar[Annotation | None] = ContextVar("promptop_note", default=None)


def current_note() -> Annotation | None:
    """Return the innermost note of this thread or task."""
    return _current.get()


@contextmanager
def annotate(
    *,
    app: str | None = None,
    tags: Mapping[str, object] | None = None,
    prompt_name: str | None = None,
    prompt_version: str | None = None,
    conversation_id: str | None = None,
    attempt: int | None = None,
    queue_s: float | None = None,
) -> Iterator[Annotation]:
    """Label the calls made inside the block; what is not given comes from the block around it.

    ``attempt`` counts from 1; ``queue_s`` is how long the call waited for a limiter before it began, seconds.
    """
    note = Annotation(
        app=app,
        tags=tags,
        prompt_name=prompt_name,
        prompt_version=prompt_version,
        conversation_id=conversation_id,
        attempt=attempt,
        queue_s=queue_s,
        outer=_current.get(),
    )
    token = _current.set(note)
    try:
        yield note
    finally:
        _current.reset(token)


def apart(note: Annotation | None, tags: Mapping[str, object]) -> Annotation:
    """Return a note for a call of our own beside the caller's: labelled like its calls, and not one of them."""
    if note is None:
        return Annotation(tags=tags)
    return Annotation(
        app=note.app,
        tags={**note.tags, **tags},
        prompt_name=note.prompt_name,
        prompt_version=note.prompt_version,
        conversation_id=note.conversation_id,
    )


@contextmanager
def set_apart(tags: Mapping[str, object]) -> Iterator[None]:
    """Make the calls inside the block our own: no note of the caller's counts them or waits for their rows."""
    token = _current.set(apart(_current.get(), tags))
    try:
        yield
    finally:
        _current.reset(token)


def tags_json(*tags: Mapping[str, object] | None) -> str | None:
    """Return tags merged from left to right as a JSON object, or None where there are none."""
    merged: dict[str, object] = {}
    for mapping in tags:
        merged.update(mapping or {})
    return json.dumps(merged, ensure_ascii=False, default=str) if merged else None
