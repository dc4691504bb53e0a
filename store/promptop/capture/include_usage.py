"""Ask for usage in a stream where the caller did not, and keep the answer to that from the caller.

:func:`with_usage` adds ``stream_options.include_usage`` to a streamed chat completion; :class:`UsageHider` takes the
one chunk that comes of it (``choices: []`` and a usage object) out of the bytes and leaves every other byte as it was.
A model whose endpoint refuses the field, and answers without it, is remembered for an hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from time import monotonic
from typing import Any

from promptop.providers.api import loads
from promptop.providers.stream.sse import parse_block

LARGEST_BODY = 16 << 20
"""Bytes of the largest request that is parsed (which holds up other threads for 20 to 60 ms); a larger one is sent as
it is, and its row has the model, if that stands at either end."""
LARGEST_CHUNK = 64 * 1024
"""Bytes of an unfinished event that are held back; a usage chunk is far smaller."""

_STREAMED = re.compile(rb'"stream"\s*:\s*true')
_PATHS = ("/chat/completions", "/completions")
_ADDED = b'"stream_options":{"include_usage":true}'
# JSON may be spread over several data lines, between any two of its tokens.
_EMPTY_CHOICES = re.compile(rb'"choices"(?:\s|data:|:)*\[(?:\s|data:)*\]')
_LINE_ENDS = re.compile(rb"[\r\n]{2,}")
_BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_REFUSED_STATUS = (400, 422)
_FIELDS = ("stream_options", "include_usage")
REMEMBERED_S = 3600.0
"""Seconds for which a refusal is remembered: gateways change what stands behind them."""
_MOST_REMEMBERED = 10_000
_refused: dict[tuple[str, int | None, str, str], float] = {}
"""Host, port, path and model → when the refusal is forgotten."""


def is_streamed(body: bytes | None) -> bool:
    """Say whether a JSON request may ask for a stream: a scan of its bytes, not yet a reading."""
    return body is not None and len(body) <= LARGEST_BODY and _STREAMED.search(body) is not None


def with_usage(host: str, port: int | None, path: str, body: bytes, parsed: Any) -> bytes | None:
    """Return the body with ``include_usage`` added, or None where it must be sent as it is.

    It is added to streamed completions of endpoints that have not refused it, where the caller said nothing of it.
    """
    if not path.endswith(_PATHS) or not isinstance(parsed, dict):
        return None
    if parsed.get("stream") is not True or parsed.get("stream_options") is not None:
        return None
    if _refused and _refused.get((host, port, path, model_of(parsed)), 0.0) > monotonic():
        return None
    start = body.find(b"{") + 1
    if "stream_options" in parsed:  # null: a field cannot stand twice
        replaced, n = re.subn(rb'"stream_options"\s*:\s*null', _ADDED, body, count=1)
        again = loads(replaced) if n else None
        return replaced if isinstance(again, dict) and again.get("stream_options") else None
    return body[:start] + _ADDED + b"," + body[start:]


def model_of(parsed: Any) -> str:
    """Return the model that a parsed request names; empty where it names none."""
    model = parsed.get("model") if isinstance(parsed, dict) else None
    return model if isinstance(model, str) else ""


def names_stream_options(status: int, body: bytes) -> bool:
    """Say whether an error answer refuses ``stream_options``; one that only repeats the request does not."""
    if status not in _REFUSED_STATUS or (b"stream_options" not in body and b"include_usage" not in body):
        return False
    from promptop.providers import errors  # only a refusal needs its patterns and HTML's entities

    value = loads(body)
    return errors.refuses_field(body.decode("utf-8", "replace") if value is None else value, _FIELDS)


def remember_refusal(host: str, port: int | None, path: str, model: str) -> None:
    """Send no more ``stream_options`` for this model to this endpoint, for an hour."""
    if len(_refused) >= _MOST_REMEMBERED:
        _refused.clear()
    _refused[host, port, path, model] = monotonic() + REMEMBERED_S


class UsageHider:
    """Passes a stream's bytes on without the usage chunk; whole events at once, an unfinished one when it is whole."""

    __slots__ = ("_held", "_passing", "hidden")

    def __init__(self) -> None:
        self._held = b""
        self._passing = False
        self.hidden = 0
        """Usage chunks kept back."""

    def feed(self, data: bytes) -> bytes:
        """Return what may be passed on now (perhaps nothing)."""
        if not self._held and not self._passing and data.endswith(b"\n\n") and _EMPTY_CHOICES.search(data) is None:
            return data  # whole events, none of them without choices: nearly every read of nearly every stream
        # A blank line ends in the new bytes; at most three of the old ones belong to it.
        search = max(0, len(self._held) - 3)
        data = self._held + data if self._held else data
        out: list[bytes] = []
        start = 0
        for found in _blank_lines(data, search):
            # CR at the very end may be half of a line end.
            if found.end() == len(data) and data.endswith(b"\r"):
                break
            event = data[start : found.end()]
            start = found.end()
            if self._passing:
                self._passing = False
            elif is_usage_chunk(event):
                self.hidden += 1
                continue
            out.append(event)
        rest = data[start:]
        if self._passing or len(rest) > LARGEST_CHUNK:
            # Too large for a usage chunk. The last bytes stay, in case they are half of the blank line that ends it.
            self._passing = True
            keep = len(rest) - len(rest.rstrip(b"\r\n"))
            out.append(rest[: len(rest) - keep])
            rest = rest[len(rest) - keep :]
        self._held = rest
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what was held back when the stream ended."""
        held, self._held = self._held, b""
        if not self._passing and held.endswith((b"\r\r", b"\n\r")) and is_usage_chunk(held):
            self.hidden += 1  # it waited for an LF that did not come
            return b""
        return held


def _blank_lines(data: bytes, start: int) -> Iterator[re.Match[bytes]]:
    """Yield the line ends that are two in a row, whichever they are (a search for runs first: 20 times faster)."""
    for run in _LINE_ENDS.finditer(data, start):
        yield from _BLANK_LINE.finditer(data, run.start(), run.end())


def is_usage_chunk(event: bytes) -> bool:
    """Say whether an event is the chunk that ``include_usage`` asks for: no choices, and a usage object."""
    if b'"usage"' not in event or _EMPTY_CHOICES.search(event) is None:
        return False
    block = parse_block(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n"))
    chunk = loads(block[1]) if block is not None else None
    return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
