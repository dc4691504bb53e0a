"""Ollama's own API: one JSON object a line, counts and timings (nanoseconds) in the last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptop.providers.api import (
    AnswerFacts,
    Api,
    Path,
    Piece,
    RequestSummary,
    compact,
    dicts,
    string,
    table,
    take_inputs,
    take_message,
)
from promptop.providers.chat import function_pieces, read_messages
from promptop.providers.usage import Usage, amount, whole

_TIMINGS = {"load_duration": "load_s", "prompt_eval_duration": "prompt_s", "eval_duration": "predicted_s"}
_COUNTS = ("prompt_eval_count", "eval_count")


class Ollama(Api):
    """Ollama's /api."""

    name = "ollama"
    title = "Ollama's own API"
    provider = "ollama"
    paths = (
        Path("/api/chat", "chat"),
        Path("/api/generate", "text_completion"),
        Path("/api/embed", "embeddings"),
        Path("/api/embeddings", "embeddings"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")) or asked.model
        # Streamed unless it says no.
        asked.stream = body.get("stream") is not False
        options = table(body.get("options"))
        asked.max_tokens = whole(options.get("num_predict"))
        asked.temperature, asked.top_p = amount(options.get("temperature")), amount(options.get("top_p"))
        asked.seed = whole(options.get("seed"))
        stop = options.get("stop")
        asked.stop = [item for item in stop if isinstance(item, str)] if isinstance(stop, list) else None
        if isinstance(body.get("tools"), list):
            asked.tools = len(body["tools"])
        asked.extra = "".join(compact(body[name]) for name in ("tools", "format") if body.get(name))
        if body.get("system"):
            take_message("system", body["system"], asked)
        messages = body.get("messages")
        if isinstance(messages, list):
            read_messages(messages, asked)
        else:
            take_inputs(body.get("input", body.get("prompt")), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return "done" in value or ("prompt_eval_count" in value and "model" in value)

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        if text := string(event.get("response")):
            yield Piece("text", text)
        if text := string(event.get("thinking")):
            yield Piece("reasoning", text)
        message = event.get("message")
        if isinstance(message, dict):
            if text := string(message.get("thinking")):
                yield Piece("reasoning", text)
            if text := string(message.get("content")):
                yield Piece("text", text)
            for place, call in enumerate(dicts(message.get("tool_calls"))):
                yield from function_pieces(call.get("function"), place)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        return self.event_pieces(body)

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        return event.get("done") is False and not event.get("error")

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value)
        if error := value.get("error"):
            facts.failed(error)
        if value.get("done") is True:
            facts.done = True
            facts.ended(0, value.get("done_reason") or "stop")
        counts = {name: value[name] for name in _COUNTS if whole(value.get(name)) is not None}
        if counts:
            facts.usage, facts.usage_api = counts, self
        for name, meaning in _TIMINGS.items():
            if (spent := amount(value.get(name))) is not None:
                facts.timings[meaning] = spent / 1e9

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = table(raw)
        # A prompt that the server still holds is left out of the counts: unknown then, and not 0.
        return Usage(whole(usage.get("prompt_eval_count")), whole(usage.get("eval_count")))


OLLAMA = Ollama()
