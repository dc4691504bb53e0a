"""What an event or an answer of each API says: generated text by kind, and where the rest of the facts stand.

One place knows the shapes of OpenAI chat completions, completions and Responses, Anthropic messages and Gemini, for
streamed events and for whole bodies alike, so that a live stamp and the row written later cannot disagree. Nothing here
trusts its input: any JSON value may stand anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

NOTHING: Final = 0
HIDDEN: Final = 1
VISIBLE: Final = 2


class Piece(NamedTuple):
    """Generated text: ``kind`` is text, refusal, reasoning, tool or audio."""

    kind: str
    text: str


_VISIBLE_KINDS = frozenset(("text", "refusal"))


_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # left out of typeshed


def loads(data: bytes | str) -> Any:
    """Return the JSON value of ``data``, or None where it is none (also where it nests too deeply)."""
    try:
        if isinstance(data, bytes) and data[:1] == b"{" and data[1:2] != b"\0":
            # Nearly all: an object in UTF-8, nothing around it. json.loads looks for encodings and blanks first, which
            # takes as long as the parsing of a stream's event.
            data = data.decode("utf-8", "surrogatepass")
            value, end = _scan(data, 0)
            if end == len(data):
                return value
        return json.loads(data)
    except (ValueError, RecursionError, StopIteration):
        return None


def classify(name: bytes, payload: bytes) -> int:
    """Say whether an event carries generated tokens: :data:`NOTHING`, :data:`HIDDEN` or :data:`VISIBLE`."""
    if not payload.startswith(b"{"):
        return NOTHING
    found = NOTHING
    for piece in event_pieces(loads(payload)):
        if piece.kind in _VISIBLE_KINDS:
            return VISIBLE
        found = HIDDEN
    return found


def event_pieces(event: Any) -> Iterator[Piece]:
    """Yield what a streamed event adds to the answer; nothing for role chunks, pings, usage and notices."""
    if not isinstance(event, dict):
        return
    if "choices" in event:
        for choice in dicts(event["choices"]):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                yield from _chat_pieces(delta)
            elif isinstance(choice.get("text"), str) and choice["text"]:
                yield Piece("text", choice["text"])
        return
    kind = event.get("type")
    if isinstance(kind, str):
        if kind.startswith("response."):
            if kind.endswith(".delta") and (text := string(event.get("delta"))):
                yield Piece(_responses_kind(kind), text)
        elif kind == "content_block_delta":
            yield from _anthropic_pieces(event.get("delta"))
        elif kind == "content_block_start":
            yield from _anthropic_pieces(event.get("content_block"))
    elif "candidates" in event:
        yield from _gemini_pieces(event["candidates"])


def body_pieces(body: Any) -> Iterator[Piece]:
    """Yield what a whole (not streamed) answer says."""
    if not isinstance(body, dict):
        return
    if "choices" in body:
        for choice in dicts(body["choices"]):
            message = choice.get("message")
            if isinstance(message, dict):
                yield from _chat_pieces(message)
            elif text := string(choice.get("text")):
                yield Piece("text", text)
    elif isinstance(body.get("output"), list):
        yield from _responses_items(body["output"])
    elif body.get("type") == "message":
        for block in dicts(body.get("content")):
            yield from _anthropic_pieces(block)
    elif "candidates" in body:
        yield from _gemini_pieces(body["candidates"])


def dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list; nothing where ``value`` is no list."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield item


def string(value: Any) -> str:
    """Return ``value`` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def _chat_pieces(delta: dict[str, Any]) -> Iterator[Piece]:
    content = delta.get("content")
    if isinstance(content, str):
        if content:
            yield Piece("text", content)
    elif content:
        yield from _parts(content)
    if text := string(delta.get("refusal")):
        yield Piece("refusal", text)
    # vLLM and OpenRouter say reasoning, DeepSeek and others reasoning_content; some send both with the same text.
    if text := string(delta.get("reasoning_content")) or string(delta.get("reasoning")):
        yield Piece("reasoning", text)
    for call in dicts(delta.get("tool_calls")):
        yield from _function(call.get("function") or call.get("custom"))
    if "function_call" in delta:
        yield from _function(delta["function_call"])
    audio = delta.get("audio")
    if isinstance(audio, dict):
        if text := string(audio.get("transcript")):
            yield Piece("text", text)
        if audio.get("data"):
            yield Piece("audio", "")


def _parts(content: Any) -> Iterator[Piece]:
    """Content as a list of parts (Mistral): text, and thinking that is itself a list of text parts."""
    for part in dicts(content):
        if text := string(part.get("text")):
            yield Piece("text", text)
        thinking = part.get("thinking")
        if text := string(thinking) or "".join(string(inner.get("text")) for inner in dicts(thinking)):
            yield Piece("reasoning", text)


def _function(function: Any) -> Iterator[Piece]:
    if isinstance(function, dict):
        for field in ("name", "arguments", "input"):
            if text := string(function.get(field)):
                yield Piece("tool", text)


def _responses_kind(event: str) -> str:
    if "refusal" in event:
        return "refusal"
    if "reasoning" in event:
        return "reasoning"
    if "output_text" in event or "transcript" in event:
        return "text"
    return "audio" if "audio" in event else "tool"


def _responses_items(output: list[Any]) -> Iterator[Piece]:
    for item in dicts(output):
        for part in dicts(item.get("content")):
            if text := string(part.get("text")):
                yield Piece("reasoning" if item.get("type") == "reasoning" else "text", text)
            if text := string(part.get("refusal")):
                yield Piece("refusal", text)
        for part in dicts(item.get("summary")):
            if text := string(part.get("text")):
                yield Piece("reasoning", text)
        if string(item.get("type")).endswith("_call"):
            yield from _function(item)


def _anthropic_pieces(block: Any) -> Iterator[Piece]:
    if not isinstance(block, dict):
        return
    if text := string(block.get("text")):
        yield Piece("text", text)
    if text := string(block.get("thinking")):
        yield Piece("reasoning", text)
    if text := string(block.get("partial_json")):
        yield Piece("tool", text)
    if block.get("type") in ("tool_use", "server_tool_use"):
        if text := string(block.get("name")):
            yield Piece("tool", text)
        if isinstance(block.get("input"), dict) and block["input"]:
            yield Piece("tool", json.dumps(block["input"], ensure_ascii=False))


def _gemini_pieces(candidates: Any) -> Iterator[Piece]:
    for candidate in dicts(candidates):
        content = candidate.get("content")
        for part in dicts(content.get("parts") if isinstance(content, dict) else None):
            if text := string(part.get("text")):
                yield Piece("reasoning" if part.get("thought") else "text", text)
            call = part.get("functionCall")
            if isinstance(call, dict):
                yield Piece("tool", string(call.get("name")) + json.dumps(call.get("args"), ensure_ascii=False))
