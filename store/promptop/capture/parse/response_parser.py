"""What a response said, gathered event by event (or from a whole body) on the log's writer thread."""

from __future__ import annotations

import json
import re
from array import array
from typing import Any

from promptop import providers
from promptop.providers.api import AnswerFacts, Api, Piece, loads
from promptop.providers.chat import plain_text
from promptop.providers.stream.json_stream import LineSplitter, ListSplitter
from promptop.providers.stream.sse import EventSplitter

STALL_S = 1.0
"""A gap between content events above this is a stall."""
_GAPS = 1 << 16
_TEXT_LIMIT = 1 << 22
"""Characters of the answer that are kept for its body; all of them are counted."""
_FOLD = 1 << 16
_PAGE = 8192
"""Bytes kept of a body that is not JSON."""

_DECODER = json.JSONDecoder()
_EDGE_FACTS = re.compile(r'(?<!\\)"(usage|usageMetadata|model|modelVersion|id)"\s*:\s*')
_MOST_LINES = 10_000
"""Lines of a body that turned out to be a stream under the wrong content type."""

Splitter = EventSplitter | LineSplitter | ListSplitter


class Digest:
    """Facts of one response. Times are seconds from the start; unknown is None."""

    def __init__(self, splitter: Splitter | None = None) -> None:
        """``splitter`` cuts the stream into events; server-sent events if it is None."""
        self.facts = AnswerFacts()
        """Model, usage, ends, errors."""
        self.events = 0
        self.content_events = 0
        self.malformed = 0
        self.first_event_s: float | None = None
        self.ttft_s: float | None = None
        self.ttfo_s: float | None = None
        self.last_content_s: float | None = None
        self.gap_max_s: float | None = None
        self.stalls = 0
        self.body: Any = None
        """The parsed body of a response that was not streamed."""
        self.raw: bytes = b""
        """A body that is not JSON (an error page), its first bytes."""
        self.partial = False
        """The body was too large to be kept whole: what is not known of it may have stood in its middle."""
        self._api: Api | None = None
        """Whose shape the last event had: the next one's, nearly always."""
        self._splitter: Splitter = splitter or EventSplitter()
        self._frame: tuple[bytes, bytes, bytes] | None = None
        """Name of the last event that was text and nothing else, and its bytes before and after that text."""
        self._gaps = array("d")
        self._stride = 1
        self._skip = 0
        self._text: dict[str, list[str]] = {}
        self._kept = 0
        self._pending: list[str] = []
        self._pending_chars = 0
        self._chars = (0, 0, 0, 0)

    @property
    def finish_reasons(self) -> list[str]:
        """Why each choice ended, in the order of the choices; Responses give their status or what cut them short."""
        return [self.facts.finish[index] for index in sorted(self.facts.finish)]

    @property
    def oversized(self) -> int:
        """Events that were too large to be read."""
        return self._splitter.oversized

    @property
    def complete(self) -> bool:
        """Whether the answer came to its regular end."""
        return self.facts.done or bool(self.facts.finish)

    def chars(self) -> tuple[int, int, int, int]:
        """Return the characters of the generated text: Latin, CJK, code, other."""
        self._fold()
        return self._chars

    def text(self, *kinds: str) -> str:
        """Return the generated text of the given kinds (see :class:`~promptop.providers.api.Piece`)."""
        return "".join("".join(self._text.get(kind, ())) for kind in kinds)

    def gap_quantile(self, share: float) -> float | None:
        """Return a quantile of the gaps between content events, seconds, by linear interpolation."""
        if not self._gaps:
            return None
        ordered = sorted(self._gaps)
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    def feed(self, now: float, data: bytes) -> None:
        """Take one read of a stream of events that arrived at ``now``."""
        splitter = self._splitter
        if type(splitter) is EventSplitter and (single := splitter.single(data)) is not None:
            self._event(now, b"", single)
            return
        for name, payload in splitter.feed(data):
            self._event(now, name, payload)

    def rest(self, now: float) -> None:
        """Take what no end of an event followed when the stream ended, where its form needs none."""
        if not isinstance(self._splitter, EventSplitter):
            for name, payload in self._splitter.rest():
                self._event(now, name, payload)
            if isinstance(self._splitter, ListSplitter) and self._splitter.closed:
                self.facts.done = True

    def read_body(self, head: bytes, rest: bytes, *, json_body: bool, path: str = "") -> None:
        """Take a whole body; ``head`` is not empty where its middle was dropped, ``path`` is where it was asked for."""
        if not json_body:
            self.raw = _beginning(head or rest)
            return
        found = providers.at_path(path)
        api = found[0] if found is not None else None
        if head:
            self.partial = True
            self._read_edges(head, rest, api)
            return
        self.body = loads(rest)
        if self.body is None:
            if self._read_lines(rest):
                return
            self.raw = _beginning(rest)
            self.malformed += 1
            return
        self.facts.done = True
        for item in self.body if isinstance(self.body, list) else [self.body]:  # Gemini wraps its errors in a list
            if isinstance(item, dict):
                self._api = providers.take(item, self.facts, api)
                if self._api is not None:
                    for piece in self._api.body_pieces(item):
                        self._keep(piece)

    def _read_lines(self, body: bytes) -> bool:
        """Read a body of JSON lines that came as one JSON document; False if it is none."""
        lines = [line for line in body.splitlines() if line.strip()]
        if not 1 < len(lines) <= _MOST_LINES:
            return False
        values = [loads(line.strip()) for line in lines]
        if not all(isinstance(value, dict) for value in values):
            return False
        for value in values:
            self._take(value)
        return True

    def _read_edges(self, head: bytes, tail: bytes, api: Api | None) -> None:
        """Find usage and model in the first and last bytes of a body too large to be kept (embeddings, images)."""
        for edge in (head, tail):
            text = edge.decode("utf-8", "replace")
            for found in _EDGE_FACTS.finditer(text):
                try:
                    value, _ = _DECODER.raw_decode(text, found.end())
                except (ValueError, RecursionError):
                    continue
                providers.take({found[1]: value}, self.facts, api)
                self.facts.named({found[1]: value})
        self.facts.done = tail.rstrip().endswith((b"}", b"]"))

    def _event(self, now: float, name: bytes, payload: bytes) -> None:
        self.events += 1
        if self.first_event_s is None:
            self.first_event_s = now
        if self._frame is not None and (text := _framed(name, payload, self._frame)):
            self._keep_text("text", text)
            self._content(now)
            return
        if not payload.startswith(b"{"):
            if payload.strip() == b"[DONE]":
                self.facts.done = self.facts.known = True
            elif isinstance(items := loads(payload), list):  # errors come so from Gemini
                for item in items:
                    if isinstance(item, dict):
                        self._take(item)
            elif payload.strip():
                self.malformed += 1
            return
        event = loads(payload)
        if event is None:
            self.malformed += 1
            return
        facts = self.facts
        if name == b"error":
            if "error" not in event:
                facts.known = True
                facts.failed(event)
        elif facts.model and (text := plain_text(event)):
            if self.ttfo_s is None:
                self.ttfo_s = now
            self._keep_text("text", text)
            self._content(now)
            self._frame = _frame_of(name, payload, text) or self._frame
            return
        said, plain = self._take(event)
        for piece in said:
            if piece.kind in ("text", "refusal") and self.ttfo_s is None:
                self.ttfo_s = now
        if said:
            self._content(now)
            if plain and len(said) == 1 and said[0].kind == "text":
                self._frame = _frame_of(name, payload, said[0].text) or self._frame

    def _take(self, event: dict[str, Any]) -> tuple[list[Piece], bool]:
        """Take an event's facts and keep what it says; return that, and whether it had no other facts.

        One that has text alone is read three times faster.
        """
        facts, api = self.facts, self._api
        plain = api is not None and bool(facts.model) and api.recognises(event) and api.is_plain(event)
        if not plain:
            api = self._api = providers.take(event, facts, api)
        said = list(api.event_pieces(event)) if api is not None else []
        for piece in said:
            self._keep(piece)
        return said, plain

    def _content(self, now: float) -> None:
        self.content_events += 1
        if self.last_content_s is None:
            self.ttft_s = now
        else:
            gap = now - self.last_content_s
            if self.gap_max_s is None or gap > self.gap_max_s:
                self.gap_max_s = gap
            if gap > STALL_S:
                self.stalls += 1
            self._skip += 1
            if self._skip >= self._stride:
                self._skip = 0
                self._gaps.append(gap)
                if len(self._gaps) >= _GAPS:
                    # Of a stream that goes on and on, every second gap is enough for its percentiles.
                    self._gaps = self._gaps[::2]
                    self._stride *= 2
        self.last_content_s = now

    def _keep(self, piece: Piece) -> None:
        self._keep_text(piece.kind, piece.text)

    def _keep_text(self, kind: str, text: str) -> None:
        if self._kept + len(text) <= _TEXT_LIMIT:
            self._kept += len(text)
            self._text.setdefault(kind, []).append(text)
        self._pending.append(text)
        self._pending_chars += len(text)
        if self._pending_chars > _FOLD:
            self._fold()

    def _fold(self) -> None:
        if self._pending:
            from promptop.tokens.scripts import add, chars_by_script

            self._chars = add(self._chars, chars_by_script("".join(self._pending)))
            self._pending.clear()
            self._pending_chars = 0


def _frame_of(name: bytes, payload: bytes, text: str) -> tuple[bytes, bytes, bytes] | None:
    """Return an event that has ``text`` and nothing else without its text; None where that stands elsewhere, too."""
    written = f'"{text}"'.encode("utf-8", "surrogatepass")
    before, found, after = payload.partition(written)
    if not found or written in after:
        return None
    return name, before + b'"', b'"' + after


def _framed(name: bytes, payload: bytes, frame: tuple[bytes, bytes, bytes]) -> str:
    """Return the text of an event that differs in nothing else from the one of the frame; empty where that is open.

    Of such events JSON need not be parsed, which takes five times as long: a text without quotes, escapes and controls
    is in JSON what it is.
    """
    named, before, after = frame
    if name != named or not payload.startswith(before) or not payload.endswith(after):
        return ""
    inner = payload[len(before) : len(payload) - len(after)]
    if b'"' in inner or b"\\" in inner or len(before) + len(after) >= len(payload):
        return ""
    try:
        text = inner.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def _beginning(page: bytes) -> bytes:
    """Return the first bytes of a page; its last word goes where it may have been cut, for it may be half of a key."""
    if len(page) <= _PAGE:
        return page
    words = re.split(rb"[\s\"'&,;]", page[:_PAGE])
    return page[: _PAGE - len(words[-1])]
