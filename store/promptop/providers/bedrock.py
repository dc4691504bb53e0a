"""Amazon Bedrock: Converse as JSON, and what InvokeModel tells in headers; its binary event streams are not read."""

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
    take_message,
)
from promptop.providers.usage import Usage, amount, total, whole

_FAILED_ENDS = frozenset(("malformed_model_output", "malformed_tool_use"))
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokens",
    "x-amzn-bedrock-output-token-count": "outputTokens",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokens",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokens",
}


class Bedrock(Api):
    """Bedrock's Converse and InvokeModel."""

    name = "bedrock"
    title = "Amazon Bedrock's API"
    provider = "aws.bedrock"
    paths = (
        Path("/converse", "chat"),
        Path("/converse-stream", "chat"),
        Path("/invoke", "chat"),
        Path("/invoke-with-response-stream", "chat"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        settings = table(body.get("inferenceConfig"))
        asked.max_tokens = whole(settings.get("maxTokens", body.get("max_tokens")))
        asked.temperature = amount(settings.get("temperature", body.get("temperature")))
        asked.top_p = amount(settings.get("topP", body.get("top_p")))
        tools = table(body.get("toolConfig")).get("tools")
        if isinstance(tools, list):
            asked.tools, asked.extra = len(tools), compact(tools)
        if body.get("system"):
            take_message("system", body["system"], asked)
        messages = body.get("messages")
        if isinstance(messages, list):
            asked.messages = len(messages)
            for message in dicts(messages):
                take_message(string(message.get("role")) or "user", message.get("content"), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return "stopReason" in value or (isinstance(value.get("usage"), dict) and "inputTokens" in value["usage"])

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        message = table(table(body.get("output")).get("message"))
        for place, part in enumerate(dicts(message.get("content"))):
            if text := string(part.get("text")):
                yield Piece("text", text, place)
            if text := string(table(table(part.get("reasoningContent")).get("reasoningText")).get("text")):
                yield Piece("reasoning", text, place)
            tool = part.get("toolUse")
            if isinstance(tool, dict):
                yield Piece("tool", string(tool.get("name")), place, is_name=True)
                yield Piece("tool", compact(tool.get("input")), place)

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        reason = string(value.get("stopReason"))
        facts.ended(0, reason)
        if reason in _FAILED_ENDS and facts.error is None:
            facts.error = (str(reason), f"the server ended the answer with {reason}")
        usage = value.get("usage")
        if isinstance(usage, dict) and usage:
            facts.usage, facts.usage_api = usage, self

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = table(raw)
        read, written = whole(usage.get("cacheReadInputTokens")), whole(usage.get("cacheWriteInputTokens"))
        taken = whole(usage.get("inputTokens"))
        return Usage(
            total(taken, read, written) if taken is not None else None,
            whole(usage.get("outputTokens")),
            read,
            written,
        )


BEDROCK = Bedrock()


def usage_of_headers(headers: Mapping[str, str]) -> dict[str, int]:
    """Return the usage that InvokeModel's response headers (lower-case names) tell; empty where they tell none."""
    return {name: count for header, name in _HEADERS.items() if (count := whole(headers.get(header))) is not None}
