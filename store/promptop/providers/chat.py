"""Chat Completions and the older completions, OpenAI's and everybody's: one shape with many additions.

The limit of tokens has two names, reasoning and cached tokens have several, and each router reports cost its own way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from promptop.base.sanitize import clean_line
from promptop.providers.api import (
    AnswerFacts,
    Api,
    Path,
    Piece,
    RequestSummary,
    Writing,
    compact,
    dicts,
    string,
    table,
    take_inputs,
    take_message,
)
from promptop.providers.usage import Usage, amount, first, modalities, total, whole

if TYPE_CHECKING:
    from promptop.models import Model

OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
FAILED_ENDS = frozenset(("error", "insufficient_system_resource", "network_error", "abort"))
"""Finish reasons that say that the server failed: OpenRouter's, DeepSeek's, Zhipu's, vLLM's."""
_TICKS_PER_USD = 10_000_000_000
"""xAI reports cost in ticks."""
_OTHER_FACTS = ("usage", "error", "x_groq", "timings", "base_resp")


class Chat(Api):
    """OpenAI's Chat Completions."""

    name = "chat"
    title = "Chat Completions"
    path = "/chat/completions"
    paths = (
        Path("/chat/completions", "chat", "chat_completions"),
        Path("/completions", "text_completion"),
    )
    ours = frozenset({"stream_options"})
    required = frozenset({"model", "messages", "input", "instructions", "stream"})

    def build(self, request: Writing, model: Model | None) -> tuple[dict[str, Any], list[str]]:
        """Return the body: parameters under the names that the model takes, those that it refuses left out."""
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [dict(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        changes: list[str] = []
        for name, value in request.parameters.items():
            takes = model.takes(name) if model is not None else None
            if name in OTHER_NAME and takes is False:
                body[OTHER_NAME[name]] = value
            elif takes is False:
                changes.append(f"{name} not sent: {clean_line(request.model, 60)} does not take it")
            else:
                body[name] = value
        return body, changes

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        """Take messages or a prompt, parameters and tools."""
        read_common(body, asked)
        messages = body.get("messages")
        if isinstance(messages, list):
            read_messages(messages, asked)
        else:
            take_inputs(body.get("input", body.get("prompt")), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return "choices" in value

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        for number, choice in enumerate(dicts(event.get("choices"))):
            delta = choice.get("delta")
            place = choice.get("index")
            place = place if type(place) is int else number
            if isinstance(delta, dict):
                yield from _pieces(delta, place)
            elif isinstance(choice.get("text"), str) and choice["text"]:
                yield Piece("text", choice["text"], place)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        for number, choice in enumerate(dicts(body.get("choices"))):
            message = choice.get("message")
            place = choice.get("index")
            place = place if type(place) is int else number
            if isinstance(message, dict):
                yield from _pieces(message, place)
            elif text := string(choice.get("text")):
                yield Piece("text", text, place)

    def is_plain(self, event: Mapping[str, Any]) -> bool:
        for name in _OTHER_FACTS:
            if event.get(name):
                return False
        choices = event.get("choices")
        if not (isinstance(choices, list) and choices):
            return False
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("error"):
                return False
        return True

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value)
        if error := value.get("error"):
            facts.failed(error)
        reply = value.get("base_resp")  # MiniMax reports failures under HTTP 200 so
        if isinstance(reply, dict) and reply.get("status_code"):
            facts.failed({"code": reply["status_code"], "message": reply.get("status_msg")})
        for number, choice in enumerate(dicts(value.get("choices"))):
            reason = string(choice.get("finish_reason"))
            if reason:
                place = choice.get("index")
                facts.ended(place if place is not None else number, reason)
                if reason in FAILED_ENDS and facts.error is None and not choice.get("error"):
                    facts.error = (reason, f"the server ended the answer with finish_reason {reason}")
            if choice.get("error"):
                facts.failed(choice["error"])
            if isinstance(choice.get("usage"), dict):  # Moonshot puts it here in a stream
                take_usage(self, choice["usage"], facts)
            said = choice.get("message", choice.get("delta"))
            if isinstance(said, dict) and said.get("annotations"):
                _searched(said["annotations"], facts)
        groq = value.get("x_groq")
        for usage in (value.get("usage"), groq.get("usage") if isinstance(groq, dict) else None):
            if isinstance(usage, dict) and usage:
                take_usage(self, usage, facts)
        timings = value.get("timings")
        if isinstance(timings, dict):  # llama.cpp, milliseconds
            for name in ("prompt_ms", "predicted_ms"):
                if (spent := amount(timings.get(name))) is not None:
                    facts.timings[name.replace("_ms", "_s")] = spent / 1000

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        return read_usage(raw, provider)


CHAT = Chat()


def plain_text(event: Mapping[str, Any]) -> str:
    """Return the text of a chunk that has nothing else to say, as nearly all have, else an empty one.

    It stands for :meth:`Chat.is_plain` and :meth:`Chat.event_pieces` in the one loop where that counts.
    """
    choices = event.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choices[0]) is not dict:
        return ""
    choice = choices[0]
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1 or choice.get("finish_reason") or choice.get("error"):
        return ""
    for name in _OTHER_FACTS:
        if event.get(name):
            return ""
    text = delta.get("content")
    return text if type(text) is str else ""


def take_usage(api: Api, usage: dict[str, Any], facts: AnswerFacts) -> None:
    """Keep the last usage object that has a count, and the timings that Groq puts into it (seconds)."""
    if any(name in usage for name in _COUNTS):
        facts.usage, facts.usage_api = usage, api
    for name in ("queue_time", "prompt_time", "completion_time"):
        if (seconds := amount(usage.get(name))) is not None:
            facts.timings[name.replace("_time", "_s")] = seconds


_COUNTS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "seconds")


def read_common(body: Mapping[str, Any], asked: RequestSummary) -> None:
    """Take the parameters that OpenAI's APIs and Anthropic's share."""
    asked.model = string(body.get("model")) or asked.model
    if isinstance(body.get("stream"), bool):
        asked.stream = body["stream"]
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        asked.max_tokens = whole(body.get(name)) if asked.max_tokens is None else asked.max_tokens
    asked.temperature, asked.top_p = amount(body.get("temperature")), amount(body.get("top_p"))
    stop = body.get("stop", body.get("stop_sequences"))
    if isinstance(stop, str):
        asked.stop = [stop]
    elif isinstance(stop, list):
        asked.stop = [item for item in stop if isinstance(item, str)]
    seed = body.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and -(2**63) <= seed < 2**63:
        asked.seed = seed
    choices = whole(body.get("n"))
    asked.choices = choices if choices != 1 else None
    effort = body.get("reasoning_effort", table(body.get("reasoning")).get("effort"))
    asked.effort = string(effort) or None
    tools = body.get("tools", body.get("functions"))
    if isinstance(tools, list):
        asked.tools = len(tools)
    asked.extra = "".join(
        compact(body[name]) for name in ("tools", "functions", "response_format", "text", "format") if body.get(name)
    )


def read_messages(messages: list[Any], asked: RequestSummary) -> None:
    """Take messages with their tool calls."""
    asked.messages = len(messages)
    for message in dicts(messages):
        take_message(string(message.get("role")) or "user", message.get("content"), asked)
        for call in dicts(message.get("tool_calls")):
            asked.texts.append(("tool", compact(call.get("function", call))))


def _pieces(delta: Mapping[str, Any], place: int) -> Iterator[Piece]:
    content = delta.get("content")
    if isinstance(content, str):
        if content:
            yield Piece("text", content, place)
    elif content:
        yield from _parts(content, place)
    if text := string(delta.get("refusal")):
        yield Piece("refusal", text, place)
    # vLLM and OpenRouter say reasoning, DeepSeek and others reasoning_content; some send both with the same text.
    if text := string(delta.get("reasoning_content")) or string(delta.get("reasoning")):
        yield Piece("reasoning", text, place)
    for number, call in enumerate(dicts(delta.get("tool_calls"))):
        index = call.get("index")
        yield from function_pieces(call.get("function") or call.get("custom"), index if type(index) is int else number)
    if "function_call" in delta:
        yield from function_pieces(delta["function_call"], 0)
    audio = delta.get("audio")
    if isinstance(audio, dict):
        if text := string(audio.get("transcript")):
            yield Piece("text", text, place)
        if audio.get("data"):
            yield Piece("audio", "", place)


def _parts(content: Any, place: int) -> Iterator[Piece]:
    """Content as a list of parts (Mistral): text, and thinking that is itself a list of text parts."""
    for part in dicts(content):
        if text := string(part.get("text")):
            yield Piece("text", text, place)
        thinking = part.get("thinking")
        if text := string(thinking) or "".join(string(inner.get("text")) for inner in dicts(thinking)):
            yield Piece("reasoning", text, place)


def function_pieces(function: Any, place: int) -> Iterator[Piece]:
    """Yield name and arguments of a tool call; arguments that came as an object are written as JSON."""
    if isinstance(function, dict):
        if text := string(function.get("name")):
            yield Piece("tool", text, place, is_name=True)
        for name in ("arguments", "input"):
            given = function.get(name)
            if isinstance(given, str) and given:
                yield Piece("tool", given, place)
            elif isinstance(given, dict) and given:
                yield Piece("tool", compact(given), place)


def _searched(annotations: Any, facts: AnswerFacts) -> None:
    """Models that search are charged for it each time, without a count: a citation says that one did."""
    if "search" in facts.model and any(note.get("type") == "url_citation" for note in dicts(annotations)):
        facts.fees["web_searches"] = 1


def read_usage(raw: Any, provider: str | None = None) -> Usage:
    """Return the usage object of chat completions, with whatever routers and imitators add to it."""
    usage = table(raw)
    into = table(
        usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or usage.get("input_token_details")
    )
    out_of = table(
        usage.get("completion_tokens_details")
        or usage.get("output_tokens_details")
        or usage.get("output_token_details")
    )
    # Several names may stand side by side, one of them filled: 0 is what a converter writes that knows no other.
    read = _most(
        into.get("cached_tokens"),
        into.get("cache_read_tokens"),
        usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        usage.get("cached_tokens"),  # Moonshot
        usage.get("cache_read_input_tokens"),  # LiteLLM, of Anthropic
        usage.get("cache_read_tokens"),
    )
    written = _most(
        into.get("cache_write_tokens"),
        into.get("cache_creation_tokens"),  # LiteLLM
        into.get("cache_creation_input_tokens"),  # DashScope
        usage.get("cache_write_tokens"),
        usage.get("cache_creation_input_tokens"),
    )
    made = table(usage.get("cache_creation") or into.get("cache_creation") or into.get("cache_creation_token_details"))
    taken = first(whole(usage.get("prompt_tokens")), whole(usage.get("input_tokens")))
    if taken is None:
        taken = total(whole(usage.get("prompt_cache_hit_tokens")), whole(usage.get("prompt_cache_miss_tokens")))
    given = first(whole(usage.get("completion_tokens")), whole(usage.get("output_tokens")))
    overall = whole(usage.get("total_tokens"))
    reasoning = _most(out_of.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    cached = (read or 0) + (written or 0)
    if taken is not None and cached and (cached > taken or overall == taken + cached + (given or 0)):
        taken += cached  # of Anthropic's counts, whose input leaves out what was cached
    if given is None and taken is not None and overall is not None and overall > taken:
        given = overall - taken  # Gemini's compatible endpoint leaves the count out where all was thought
    if given is not None:
        given, reasoning = _with_reasoning(taken, given, overall, reasoning, provider)
    heard, said = modalities(into), modalities(out_of)
    again = modalities(into.get("cached_tokens_details"))
    cost = _cost(usage)
    return Usage(
        taken,
        given,
        read,
        written,
        reasoning,
        cost,
        cache_write_1h=whole(made.get("ephemeral_1h_input_tokens")),
        input_audio=heard.get("audio"),
        input_image=heard.get("image"),
        input_video=heard.get("video"),
        cache_read_audio=again.get("audio"),
        cache_read_image=again.get("image"),
        output_audio=said.get("audio"),
        output_image=said.get("image"),
        output_video=said.get("video"),
        output_citation=whole(usage.get("citation_tokens")),
        web_searches=whole(table(usage.get("server_tool_use")).get("web_search_requests")),
        audio_seconds=amount(usage.get("seconds")) if usage.get("type") == "duration" else None,
        unpriced="sources of a live search" if cost is None and whole(usage.get("num_sources_used")) else None,
    )


def _most(*values: Any) -> int | None:
    known = [count for value in values if (count := whole(value)) is not None]
    return max(known) if known else None


def _with_reasoning(
    taken: int | None, given: int, overall: int | None, reasoning: int | None, provider: str | None
) -> tuple[int, int | None]:
    """Add reasoning that the server counts outside of completion_tokens (xAI, Gemini's compatible endpoint)."""
    if overall is None:
        return (given + (reasoning or 0) if provider == "x_ai" else given), reasoning
    rest = overall - (taken or 0) - given
    if taken is None or rest <= 0 or (reasoning is not None and reasoning != rest):
        return given, reasoning
    return given + rest, rest


def _cost(usage: Mapping[str, Any]) -> float | None:
    """Return what the server says that the call cost, USD; a router that used the caller's own key adds the provider's.

    OpenRouter's ``cost`` is its own fee then (often 0), and the provider's price stands apart.
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):  # Perplexity
        whole_cost = amount(cost.get("total_cost"))
        parts = [part for name, value in cost.items() if name.endswith("_cost") and (part := amount(value)) is not None]
        return whole_cost if whole_cost is not None else sum(parts) if parts else None
    own = amount(cost)
    upstream = amount(table(usage.get("cost_details")).get("upstream_inference_cost"))
    if usage.get("is_byok") is True or (own == 0 and upstream):
        return (own or 0.0) + upstream if upstream else None
    if own is not None:
        return own
    ticks = amount(usage.get("cost_in_usd_ticks"))  # xAI
    if ticks is not None:
        return ticks / _TICKS_PER_USD
    return amount(usage.get("estimated_cost"))  # DeepInfra


def cost_of_headers(headers: Mapping[str, str]) -> float | None:
    """Return the cost that LiteLLM's proxy tells in a header (lower-case names); 0 is what it writes for unknown."""
    return amount(headers.get("x-litellm-response-cost")) or None


def write_usage(
    read: int,
    output: int,
    *,
    cached: int = 0,
    reasoning: int = 0,
    cost: float | None = None,
) -> dict[str, Any]:
    """Return a usage object as OpenAI writes it; ``read`` includes cached tokens, ``output`` includes reasoning."""
    shape: dict[str, Any] = {
        "prompt_tokens": read,
        "completion_tokens": output,
        "total_tokens": read + output,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if cost is not None:
        shape["cost"] = cost
    return shape
