"""Where the time and the bytes of a call went, as lines of text.

Each stage begins where the one before it ended, on one scale from the moment before the request left our code; what did
not happen, or was not seen, is left out. The wait for a limiter lies before that moment and stands apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from promptop.base import units
from promptop.client.result import RunResult

BAR = 40
"""Cells of the longest bar."""


def stages(result: RunResult) -> Iterator[tuple[str, float, float]]:
    """Yield name, beginning and end of each stage, seconds from the start."""
    found, at = result.stages, 0.0
    if found.pool_s is not None:
        yield "pool", 0.0, found.pool_s
        at = found.pool_s
    if found.dns_s is not None:
        yield "DNS", at, at + found.dns_s
    if result.connect_s is not None:
        yield "connect", at + (found.dns_s or 0.0), at + result.connect_s
        at += result.connect_s
    if result.tls_s is not None:
        yield "TLS", at, at + result.tls_s
        at += result.tls_s
    if found.sent_s is not None:
        yield "sent", at, max(at, found.sent_s)
        at = max(at, found.sent_s)
    if result.ttfb_s is not None:
        yield "headers", at, result.ttfb_s
        at = result.ttfb_s
    if result.ttft_s is not None:
        yield "first token", at, result.ttft_s
        at = result.ttft_s
    if result.ttfo_s is not None and result.ttfo_s != result.ttft_s:
        yield "visible", at, result.ttfo_s
        at = result.ttfo_s
    if result.duration_s is not None:
        yield "last token", at, result.duration_s
        at = result.duration_s
    if result.total_s is not None:
        yield "closed", at, result.total_s


def waterfall(result: RunResult) -> list[str]:
    """Return the stages with their ends and bars, then the gaps between the pieces; nothing for a call not sent."""
    if not result.total_s:
        return []
    kind = "connection unknown"
    if result.connection_reused is not None:
        kind = "connection reused" if result.connection_reused else "new connection"
    version = f", {result.stages.http_version}" if result.stages.http_version else ""
    lines = [f"Time ({kind}{version})"]
    if result.queue_s:
        lines.append(f"  {'queue':<12}{units.seconds(result.queue_s):>9}  before the start, for the limits")
    for name, start, end in stages(result):
        before = min(BAR - 1, round(start / result.total_s * BAR))
        length = max(1, min(BAR - before, round(max(0.0, end - start) / result.total_s * BAR)))
        lines.append(f"  {name:<12}{units.seconds(end):>9}  {' ' * before}{'━' * length}")
    if result.gap_max_s is not None:
        lines.append(f"  longest gap {units.seconds(result.gap_max_s):>9}  stalls above 1 s: {result.stalls or 0}")
    return lines


def sizes(result: RunResult) -> list[str]:
    """Return the bytes of both bodies, as written and on the wire; nothing where none is known."""
    found = result.sizes()
    lines = []
    for name, plain, wire in (
        ("sent", found["sent"], found["sent_wire"]),
        ("received", found["received"], found["received_wire"]),
    ):
        known = plain if plain is not None else wire
        if known is None:
            continue
        text = f"  {name:<12}{units.count(known):>9}"
        if plain is not None and wire is not None and plain != wire:
            coding = result.stages.content_encoding if name == "received" else "gzip"
            text += f"  {units.count(wire)} on the wire ({coding or 'compressed'}, {units.share(wire / plain)})"
        elif plain is None:
            text += "  on the wire; its encoding cannot be read here"
        lines.append(text)
    return ["Bytes", *lines] if lines else []
