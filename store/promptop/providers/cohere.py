"""Cohere's own API, versions 1 and 2: chat, embeddings and rerank, with billed units apart from counted tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptop.providers.api import (
    AnswerFacts,
    Api,
    Path,
    Piece,
    RequestSummary,
    dicts,
    string,
    table,
    take_inputs,
    take_message,
)
from promptop.providers.chat import function_pieces, read_common, read_messages
from promptop.providers.usage import Usage, first, whole

_FAILED_ENDS = frozenset(("ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT"))
_EVENTS = frozenset(
    [
        "message-start",
        "content-start",
        "content-delta",
        "content-end",
        "tool-plan-delta",
        "tool-call-start",
        "tool-call-delta",
        "tool-call-end",
        "citation-start",
        "citation-end",
        "message-end",
    ]
)
_EVENTS_V1 = frozenset(
    [
        "stream-start",
        "text-generation",
        "stream-end",
        "citation-generation",
        "tool-calls-generation",
        "tool-calls-chunk",
        "search-queries-generation",
        "search-results",
    ]
)


class Cohere(Api):
    """Cohere's /v2 and /v1."""

    name = "cohere"
    title = "Cohere's API"
    provider = "cohere"
    paths = (
        Path("/v2/chat", "chat"),
        Path("/v1/chat", "chat"),
        Path("/v2/embed", "embeddings"),
        Path("/v1/embed", "embeddings"),
        Path("/rerank", "rerank"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        read_common(body, asked)
        if isinstance(body.get("preamble"), str):
            take_message("system", body["preamble"], asked)
        for turn in dicts(body.get("chat_history")):
            take_message(string(turn.get("role")).lower() or "user", turn.get("message"), asked)
        messages = body.get("messages")
        if isinstance(messages, list):
            read_messages(messages, asked)
        elif isinstance(body.get("message"), str):
            asked.messages = 1 + len(list(dicts(body.get("chat_history"))))
            take_message("user", body["message"], asked)
        else:
            take_inputs(body.get("texts", body.get("query")), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        meta = value.get("meta")
        if isinstance(meta, dict) and "billed_units" in meta:
            return True
        if string(value.get("type")) in _EVENTS or string(value.get("event_type")) in _EVENTS_V1:
            return True
        usage = value.get("usage")
        return isinstance(usage, dict) and "billed_units" in usage

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        place = event.get("index")
        place = place if type(place) is int else 0
        if event.get("event_type") == "text-generation":
            if text := string(event.get("text")):
                yield Piece("text", text)
            return
        message = table(table(event.get("delta")).get("message"))
        content = message.get("content")
        if isinstance(content, dict):
            if text := string(content.get("text")):
                yield Piece("text", text, place)
            if text := string(content.get("thinking")):
                yield Piece("reasoning", text, place)
        if text := string(message.get("tool_plan")):
            yield Piece("reasoning", text, place)
        call = message.get("tool_calls")
        if isinstance(call, dict):
            yield from function_pieces(call.get("function"), place)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        if text := string(body.get("text")):
            yield Piece("text", text)
        message = table(body.get("message"))
        for part in dicts(message.get("content")):
            if text := string(part.get("text")):
                yield Piece("text", text)
            if text := string(part.get("thinking")):
                yield Piece("reasoning", text)
        for place, call in enumerate(dicts(message.get("tool_calls"))):
            yield from function_pieces(call.get("function"), place)

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        return event.get("type") == "content-delta" or event.get("event_type") == "text-generation"

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value)
        ending = value.get("event_type") == "stream-end"
        holder = table(value.get("response")) if ending else value
        delta = table(value.get("delta"))
        if value.get("type") == "message-end" or ending:
            facts.done = True
        if generation := string(holder.get("generation_id")):
            facts.id = generation
        for reason in (holder.get("finish_reason"), delta.get("finish_reason"), value.get("finish_reason")):
            if isinstance(reason, str) and reason:
                facts.ended(0, reason)
                if reason in _FAILED_ENDS and facts.error is None:
                    facts.error = (reason, f"the server ended the answer with {reason}")
        if error := value.get("error") or delta.get("error"):
            facts.failed(error)
        for usage in (holder.get("usage"), delta.get("usage"), holder.get("meta")):
            if isinstance(usage, dict) and ("billed_units" in usage or "tokens" in usage):
                facts.usage, facts.usage_api = usage, self

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = table(raw)
        billed, counted = table(usage.get("billed_units")), table(usage.get("tokens"))
        # What is billed leaves out the frame that the server puts around messages: it decides the price.
        apart = next((name for name in ("search_units", "classifications", "images") if whole(billed.get(name))), None)
        return Usage(
            first(whole(billed.get("input_tokens")), whole(counted.get("input_tokens"))),
            first(whole(billed.get("output_tokens")), whole(counted.get("output_tokens"))),
            whole(usage.get("cached_tokens")),
            unpriced=apart and apart.replace("_", " "),
        )


COHERE = Cohere()
