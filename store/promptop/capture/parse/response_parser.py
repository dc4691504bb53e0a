"""What a response said, gathered event by event (or from a whole body) on the log's writer thread."""

from __future__ import annotations

import json
import re
from array import array
from typing import Any

from promptop.providers.events import Piece, body_pieces, dicts, event_pieces, loads, string
from promptop.providers.sse import EventSplitter
from promptop.providers.usage import amount

STALL_S = 1.0
"""A gap between content events above this is a stall."""
_GAPS = 1 << 16
_TEXT_LIMIT = 1 << 22
"""Characters of the answer that are kept for its body; all of them are counted."""
_FOLD = 1 << 16
_NAMES = 64
_PAGE = 8192
"""Bytes kept of a body that is no JSON."""

_DECODER = json.JSONDecoder()
_EDGE_FACTS = re.compile(r'(?<!\\)"(usage|model|id)"\s*:\s*')
_COUNTS = frozenset(
    ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "promptTokenCount")
)
_FACTS = ("usage", "error", "x_groq", "timings", "usageMetadata", "response", "message")
_TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed", "message_stop"))


class Digest:
    """Facts of one response. Times are seconds from the start; unknown is None."""

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.service_tier = ""
        self.usage: dict[str, Any] | None = None
        """Last usage object that was not null; Anthropic's two are merged."""
        self.anthropic = False
        """Whether the response is of Anthropic's own API."""
        self.opening_usage = False
        """Of Anthropic's two usage objects only the opening one came: its output tokens are not those of the answer."""
        self.error: tuple[str, str] | None = None
        """Code or type, and message, of an error object in the body or the stream."""
        self.timings: dict[str, float] = {}
        """The server's own timings, seconds."""
        self.done = False
        """A mark of the regular end came: ``[DONE]``, a final event, or (for a body) valid JSON."""
        self.known = False
        """At least one event or body had a shape that is known."""
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
        """A body that is no JSON (an error page), its first bytes."""
        self._finish: dict[int, str] = {}
        self._splitter = EventSplitter()
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
        return [self._finish[index] for index in sorted(self._finish)]

    @property
    def oversized(self) -> int:
        """Events that were too large to be read."""
        return self._splitter.oversized

    @property
    def complete(self) -> bool:
        """Whether the answer came to its regular end."""
        return self.done or bool(self._finish)

    def chars(self) -> tuple[int, int, int, int]:
        """Return the characters of the generated text: Latin, CJK, code, other."""
        self._fold()
        return self._chars

    def text(self, *kinds: str) -> str:
        """Return the generated text of the given kinds (see :class:`~promptop.providers.events.Piece`)."""
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
        for name, payload in self._splitter.feed(data):
            self._event(now, name, payload)

    def read_body(self, head: bytes, rest: bytes, *, json_body: bool) -> None:
        """Take a whole body; ``head`` is not empty where its middle was dropped."""
        if not json_body:
            self.raw = _beginning(head or rest)
            return
        if head:
            self._read_edges(head, rest)
            return
        self.body = loads(rest)
        if self.body is None:
            self.raw = _beginning(rest)
            self.malformed += 1
            return
        self.done = True
        if isinstance(self.body, list) and self.body:  # Gemini wraps its errors in a list
            self._facts(self.body[0])
        self._facts(self.body)
        for piece in body_pieces(self.body):
            self._keep(piece)

    def _read_edges(self, head: bytes, tail: bytes) -> None:
        """Find usage and model in the first and last bytes of a body too large to be kept (embeddings, images)."""
        for edge in (head, tail):
            text = edge.decode("utf-8", "replace")
            for found in _EDGE_FACTS.finditer(text):
                try:
                    value, _ = _DECODER.raw_decode(text, found.end())
                except (ValueError, RecursionError):
                    continue
                self._facts({found[1]: value})
        self.done = tail.rstrip().endswith(b"}")

    def _event(self, now: float, name: bytes, payload: bytes) -> None:
        self.events += 1
        if self.first_event_s is None:
            self.first_event_s = now
        if not payload.startswith(b"{"):
            if payload.strip() == b"[DONE]":
                self.done = self.known = True
            elif payload.strip():
                self.malformed += 1
            return
        event = loads(payload)
        if event is None:
            self.malformed += 1
            return
        if self.known and (text := self._plain_text(event)) and name != b"error":
            if self.ttfo_s is None:
                self.ttfo_s = now
            self._keep(Piece("text", text))
            self._content(now)
            return
        if name == b"error" and "error" not in event:
            event["error"] = event.get("message") or event
        if not (self.known and self._is_plain(event)):
            self._facts(event)
        found = False
        for piece in event_pieces(event):
            found = True
            if piece.kind in ("text", "refusal") and self.ttfo_s is None:
                self.ttfo_s = now
            self._keep(piece)
        if found:
            self._content(now)

    def _plain_text(self, event: dict[str, Any]) -> str:
        """Return the text of a chat chunk that has nothing else to say, as nearly all have, else an empty one."""
        choices = event.get("choices")
        if not self.model or type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
            return ""
        choice = choices[0]
        delta = choice.get("delta")
        if type(delta) is not dict or len(delta) != 1 or choice.get("finish_reason") or choice.get("finishReason"):
            return ""
        for name in _FACTS:
            if event.get(name):
                return ""
        text = delta.get("content")
        return text if type(text) is str else ""

    def _is_plain(self, event: dict[str, Any]) -> bool:
        """Say whether an event carries text and no fact that is not known yet: most do, and are read 3 times faster."""
        for name in _FACTS:
            if event.get(name):
                return False
        choices = event.get("choices")
        if choices is not None:
            if not (self.model and isinstance(choices, list) and choices):
                return False
            for choice in choices:
                if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("finishReason"):
                    return False
            return True
        kind = event.get("type")
        return isinstance(kind, str) and ((kind == "content_block_delta" and self.anthropic) or kind.endswith(".delta"))

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
        text = piece.text
        if self._kept + len(text) <= _TEXT_LIMIT:
            self._kept += len(text)
            self._text.setdefault(piece.kind, []).append(text)
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

    def _facts(self, event: Any) -> None:
        """Take ids, model, usage, ends, errors and timings of an event or a body, wherever its API puts them."""
        if not isinstance(event, dict):
            return
        kind = string(event.get("type"))
        if kind in _TERMINAL:
            self.done = True
        if kind.startswith("response."):
            self.known = True
        if error := event.get("error"):
            self._error(error)
        for holder in (event, event.get("response"), event.get("message")):
            if isinstance(holder, dict):
                self._names(holder)
        if kind in ("message", "message_start", "message_delta", "content_block_delta", "message_stop"):
            self.anthropic = self.known = True
            delta = event.get("delta")
            reason = string(event.get("stop_reason")) or string(
                delta.get("stop_reason") if isinstance(delta, dict) else ""
            )
            if reason:
                self._finish[0] = reason
        if kind in ("message_start", "message_delta"):
            self.opening_usage = kind == "message_start" or (self.opening_usage and not event.get("usage"))
        self._use(event)
        for field in ("choices", "candidates"):
            if field in event:
                self.known = True
                for place, choice in enumerate(dicts(event[field])):
                    reason = string(choice.get("finish_reason")) or string(choice.get("finishReason"))
                    if reason:
                        index = choice.get("index")
                        if len(self._finish) < _NAMES:
                            self._finish[index if isinstance(index, int) else place] = reason
        response = event.get("response") if kind.startswith("response.") else event
        if isinstance(response, dict) and (kind in _TERMINAL or event.get("object") == "response"):
            self._response(response)

    def _names(self, holder: dict[str, Any]) -> None:
        for field in ("id", "model", "service_tier"):
            if value := string(holder.get(field)):
                setattr(self, field, value)
        if value := string(holder.get("modelVersion")):
            self.model = value

    def _response(self, response: dict[str, Any]) -> None:
        """Take the end of a Responses answer: its status, or what cut it short."""
        details = response.get("incomplete_details")
        reason = string(details.get("reason")) if isinstance(details, dict) else ""
        status = reason or string(response.get("status"))
        if status:
            self._finish[0] = status
        if response.get("error"):
            self._error(response["error"])

    def _use(self, event: dict[str, Any]) -> None:
        groq = event.get("x_groq")
        message = event.get("message")
        response = event.get("response")
        for usage in (
            event.get("usage"),
            event.get("usageMetadata"),
            groq.get("usage") if isinstance(groq, dict) else None,
            response.get("usage") if isinstance(response, dict) else None,
            message.get("usage") if isinstance(message, dict) else None,
        ):
            if isinstance(usage, dict) and usage:
                self.known = True
                if not _COUNTS.isdisjoint(usage):
                    # Anthropic's counts are cumulative, each event with some of them; elsewhere the last object stands.
                    fresh = {key: value for key, value in usage.items() if value is not None}
                    self.usage = {**(self.usage or {}), **fresh} if self.anthropic else usage
                for name in ("queue_time", "prompt_time", "completion_time"):  # Groq, seconds
                    if (seconds := amount(usage.get(name))) is not None:
                        self.timings[name.replace("_time", "_s")] = seconds
        timings = event.get("timings")
        if isinstance(timings, dict):  # llama.cpp, milliseconds
            for name in ("prompt_ms", "predicted_ms"):
                if (value := amount(timings.get(name))) is not None:
                    self.timings[name.replace("_ms", "_s")] = value / 1000

    def _error(self, error: Any) -> None:
        self.known = True
        if isinstance(error, dict):
            code = error.get("code")
            name = string(error.get("type")) if not isinstance(code, str | int) or isinstance(code, bool) else str(code)
            message = error.get("message")
            self.error = (name or string(error.get("status")) or "error", string(message) or str(error))
        else:
            self.error = ("error", str(error))


def _beginning(page: bytes) -> bytes:
    """Return the first bytes of a page; its last word goes where it may have been cut, for it may be half of a key."""
    if len(page) <= _PAGE:
        return page
    words = re.split(rb"[\s\"'&,;]", page[:_PAGE])
    return page[: _PAGE - len(words[-1])]
