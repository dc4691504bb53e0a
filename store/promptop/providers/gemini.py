"""Gemini's own API, of Google AI and Vertex AI: candidates of parts, usage with every event, streams also as a list."""

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

_FAILED_ENDS = frozenset(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"))
_KINDS = {"AUDIO": "audio", "IMAGE": "image", "VIDEO": "video"}


class Gemini(Api):
    """Gemini's generateContent."""

    name = "gemini"
    title = "Gemini's API"
    paths = (
        Path(":generateContent", "generate_content"),
        Path(":streamGenerateContent", "generate_content"),
        Path(":embedContent", "embeddings"),
        Path(":batchEmbedContents", "embeddings"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")).rpartition("/")[2] or asked.model
        settings = table(body.get("generationConfig", body.get("generation_config")))
        asked.max_tokens = whole(settings.get("maxOutputTokens", settings.get("max_output_tokens")))
        asked.temperature = amount(settings.get("temperature"))
        asked.top_p = amount(settings.get("topP", settings.get("top_p")))
        stop = settings.get("stopSequences")
        asked.stop = [item for item in stop if isinstance(item, str)] if isinstance(stop, list) else None
        choices = whole(settings.get("candidateCount"))
        asked.choices = choices if choices != 1 else None
        tools = body.get("tools")
        if isinstance(tools, list):
            asked.tools = sum(len(list(dicts(tool.get("functionDeclarations")))) or 1 for tool in dicts(tools))
            asked.extra = compact(tools)
        if system := body.get("systemInstruction", body.get("system_instruction")):
            take_message("system", system, asked)
        contents = body.get("contents")
        if isinstance(contents, list):
            asked.messages = len(contents)
            for content in dicts(contents):
                take_message(string(content.get("role")) or "user", content.get("parts"), asked)
        elif content := table(body.get("content")):
            asked.messages = 1
            take_message("user", content.get("parts"), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return "candidates" in value or "usageMetadata" in value or "promptFeedback" in value

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        for place, candidate in enumerate(dicts(event.get("candidates"))):
            for part in dicts(table(candidate.get("content")).get("parts")):
                if text := string(part.get("text")):
                    yield Piece("reasoning" if part.get("thought") else "text", text, place)
                call = part.get("functionCall")
                if isinstance(call, dict):
                    yield Piece("tool", string(call.get("name")), place, is_name=True)
                    if call.get("args") is not None:
                        yield Piece("tool", compact(call["args"]), place)
                if isinstance(part.get("inlineData"), dict):
                    yield Piece("audio", "", place)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        return self.event_pieces(body)

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value, model="modelVersion", id="responseId")
        if error := value.get("error"):
            facts.failed(error)
        for number, candidate in enumerate(dicts(value.get("candidates"))):
            reason = string(candidate.get("finishReason"))
            if reason:
                place = candidate.get("index")
                facts.ended(place if place is not None else number, reason)
                if reason in _FAILED_ENDS and facts.error is None:
                    said = string(candidate.get("finishMessage")) or f"the server ended the answer with {reason}"
                    facts.error = (reason, said)
            grounding = candidate.get("groundingMetadata")
            if isinstance(grounding, dict) and grounding.get("webSearchQueries"):
                facts.fees["web_searches"] = _searches(facts.model, grounding["webSearchQueries"])
        if blocked := string(table(value.get("promptFeedback")).get("blockReason")):
            facts.ended(0, blocked)
        usage = value.get("usageMetadata")
        if isinstance(usage, dict) and usage:
            facts.usage, facts.usage_api = usage, self

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = table(raw)
        reasoning = whole(usage.get("thoughtsTokenCount"))
        given = total(whole(usage.get("candidatesTokenCount", usage.get("responseTokenCount"))), reasoning)
        taken = total(whole(usage.get("promptTokenCount")), whole(usage.get("toolUsePromptTokenCount")))
        overall = whole(usage.get("totalTokenCount"))
        if given is None and taken is not None and overall is not None and overall >= taken:
            given = overall - taken  # an answer that is empty, or all thought, leaves its count out
        heard = _by_kind(usage.get("promptTokensDetails"), usage.get("toolUsePromptTokensDetails"))
        said = _by_kind(usage.get("candidatesTokensDetails"), usage.get("responseTokensDetails"))
        again = _by_kind(usage.get("cacheTokensDetails"))
        return Usage(
            taken,
            given,
            whole(usage.get("cachedContentTokenCount")),
            None,
            reasoning,
            input_audio=heard.get("audio"),
            input_image=heard.get("image"),
            input_video=heard.get("video"),
            cache_read_audio=again.get("audio"),
            cache_read_image=again.get("image"),
            output_audio=said.get("audio"),
            output_image=said.get("image"),
            output_video=said.get("video"),
            unpriced="throughput paid by the month" if usage.get("trafficType") == "PROVISIONED_THROUGHPUT" else None,
            service={"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex", "BATCH": "batch"}.get(
                string(usage.get("trafficType"))
            ),
        )


GEMINI = Gemini()


def _searches(model: str, queries: Any) -> int:
    """Return what is charged of a grounded answer: once a prompt until Gemini 2.5, each query from Gemini 3 on."""
    count = len(queries) if isinstance(queries, list) else 1
    return 1 if "gemini-1" in model or "gemini-2" in model else count


def _by_kind(*details: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for several in details:
        for entry in dicts(several):
            kind = _KINDS.get(string(entry.get("modality")))
            if kind and (count := whole(entry.get("tokenCount"))):
                found[kind] = found.get(kind, 0) + count
    return found
