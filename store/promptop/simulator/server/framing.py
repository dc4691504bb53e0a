"""Events into the bytes of a stream, with the faults that lie in the bytes: what is written at once, and when."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from promptop.simulator.server.events import StreamEvent
from promptop.simulator.server.faults import Faults

_BREATH_S = 0.001
"""Pause between parts of one event, so that they leave as packets of their own."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that go out in one write."""

    data: bytes
    events: tuple[StreamEvent, ...] = ()
    """The events that are complete with it."""
    delay_s: float = 0.0
    """Seconds after the write before, at speed 1."""
    pause_s: float = 0.0
    """Seconds after the write before, whatever the speed."""
    action: str = ""
    """``cut`` or ``reset``: the connection ends here, after these bytes."""


def spoil(events: Iterable[StreamEvent], faults: Faults, error: Callable[[], StreamEvent]) -> Iterator[StreamEvent]:
    """Put faults of the content between the events; ``error`` makes an error event of the dialect."""
    inserts: list[tuple[int, StreamEvent, bool]] = []
    if fault := faults.get("error-200"):
        inserts.append((int(fault.number("after", 0)), error(), True))
    if fault := faults.get("malformed"):
        broken = StreamEvent('{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"con', "other")
        inserts.append((int(fault.number("after", 2)), broken, False))
    if fault := faults.get("bad-utf8"):
        raw = b'{"id":"chatcmpl-broken","choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}'
        inserts.append((int(fault.number("after", 2)), StreamEvent(raw, "other"), False))
    huge = faults.get("huge")
    seen = 0
    for event in events:
        counted = event.kind in ("content", "finish", "usage", "done")
        for insert in [found for found in inserts if counted and seen >= found[0]]:
            inserts.remove(insert)
            yield insert[1]
            if insert[2]:
                return
        if event.kind == "content":
            seen += 1
            if huge:
                yield replace(event, payload=with_text(event.payload, "x" * int(huge.number("kb", 1024) * 1024)))
                huge = None
                continue
            if "endless" in faults and seen > 3:
                yield from itertools.repeat(event)
        yield event


def with_text(payload: Any, text: str) -> Any:
    """Return a content event's payload with another text, in whatever dialect it is."""
    if "choices" in payload:
        choice = payload["choices"][0]
        return {**payload, "choices": [{**choice, "delta": {"content": text}}]}
    if isinstance(payload["delta"], str):
        return {**payload, "delta": text}
    return {**payload, "delta": {**payload["delta"], "text": text}}


def frame(events: Iterable[StreamEvent], faults: Faults) -> Iterator[Write]:
    """Turn events into writes, with the faults of framing, grouping and connection."""
    writes: Iterator[Write] = _framed(events, faults)
    if "split-utf8" in faults:
        writes = _split(writes, _inside_character)
    elif "split" in faults:
        writes = _split(writes, lambda data: (len(data) // 3, 2 * len(data) // 3))
    if fault := faults.get("batch"):
        writes = _batch(writes, int(fault.number("n", 4)))
    return _broken_off(writes, faults)


def _framed(events: Iterable[StreamEvent], faults: Faults) -> Iterator[Write]:
    end = "\r\n" if "crlf" in faults else "\n"
    plain = "unicode" in faults or "split-utf8" in faults
    slow = faults.get("slow")
    if "bom" in faults:
        yield Write(b"\xef\xbb\xbf")
    for number, event in enumerate(events):
        if "comments" in faults and number % 2 == 0:
            yield Write(f": keep-alive{end}{end}".encode())
        pause = 0.0
        if slow and event.kind in ("content", "reasoning"):
            pause, slow = slow.number("s", 5), None
        yield Write(_bytes(event, end, plain, "multi-data" in faults), (event,), event.delay_s, pause)


def _bytes(event: StreamEvent, end: str, plain: bool, several: bool) -> bytes:
    head = f"event: {event.name}{end}".encode() if event.name else b""
    if isinstance(event.payload, bytes):
        return head + b"data: " + event.payload + (end + end).encode()
    if isinstance(event.payload, str):
        body = event.payload
    elif several:
        body = json.dumps(event.payload, ensure_ascii=not plain, indent=1)
    else:
        body = json.dumps(event.payload, ensure_ascii=not plain, separators=(",", ":"))
    lines = "".join(f"data: {line}{end}" for line in body.split("\n"))
    return head + lines.encode() + end.encode()


def _inside_character(data: bytes) -> tuple[int, ...]:
    """Return the first place inside each multi-byte character of the data, at most four of them."""
    return tuple(at for at in range(1, len(data)) if 0x80 <= data[at] < 0xC0 and data[at - 1] >= 0xC0)[:4]


def _split(writes: Iterable[Write], places: Callable[[bytes], tuple[int, ...]]) -> Iterator[Write]:
    for write in writes:
        cuts = (0, *(at for at in places(write.data) if at), len(write.data))
        parts = [write.data[a:b] for a, b in itertools.pairwise(cuts)]
        yield Write(parts[0], () if len(parts) > 1 else write.events, write.delay_s, write.pause_s)
        for number, part in enumerate(parts[1:], 2):
            yield Write(part, write.events if number == len(parts) else (), pause_s=_BREATH_S)


def _batch(writes: Iterable[Write], size: int) -> Iterator[Write]:
    source = iter(writes)
    while group := list(itertools.islice(source, max(1, size))):
        yield Write(
            b"".join(write.data for write in group),
            tuple(event for write in group for event in write.events),
            sum(write.delay_s for write in group),
            sum(write.pause_s for write in group),
        )


def _broken_off(writes: Iterable[Write], faults: Faults) -> Iterator[Write]:
    stall = faults.get("stall")
    cut = faults.first("cut", "reset")
    seen = 0
    for write in writes:
        if stall and seen >= stall.number("after", 3):
            yield Write(b"", pause_s=stall.number("s", 5))
            stall = None
        if cut and seen >= cut.number("after", 3):
            # Half of the event goes out: the reader is left in the middle of a line.
            yield Write(write.data[: len(write.data) // 2], (), write.delay_s, write.pause_s, cut.name)
            return
        seen += sum(event.kind in ("content", "reasoning") for event in write.events)
        yield write
    if cut:
        yield Write(b"", action=cut.name)
