"""What a request asked: operation, provider, parameters, its text, and the hashes by which prompts are compared."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from promptop.providers.events import dicts, loads, string
from promptop.providers.usage import amount, whole

_OPERATIONS = (
    ("/chat/completions", "chat", "chat_completions"),
    ("/completions", "text_completion", None),
    ("/responses", "chat", "responses"),
    ("/embeddings", "embeddings", None),
    ("/messages", "chat", None),
    (":generateContent", "generate_content", None),
    (":streamGenerateContent", "generate_content", None),
)
# Host (or the end of one) → the name of OpenTelemetry's GenAI conventions, or the host's own where there is none.
_PROVIDERS = (
    ("openai.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.openai"),
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("amazonaws.com", "aws.bedrock"),
    ("deepseek.com", "deepseek"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral_ai"),
    ("moonshot.cn", "moonshot_ai"),
    ("moonshot.ai", "moonshot_ai"),
    ("perplexity.ai", "perplexity"),
    ("x.ai", "x_ai"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("openrouter.ai", "openrouter"),
    ("aliyuncs.com", "dashscope"),
    ("bigmodel.cn", "zhipu"),
    ("z.ai", "zhipu"),
    ("together.xyz", "together"),
    ("fireworks.ai", "fireworks"),
    ("siliconflow.cn", "siliconflow"),
)
_PREFIX_FROM = 1024
"""First prefix that is hashed, characters; the following ones double. Providers cache from 1,024 tokens on."""
_LEADING = ("system", "developer")
_EDGE = 4096
_MODEL = re.compile(rb'(?<!\\)"model"\s*:\s*("[^"\\]{1,200}")')
_STREAM = re.compile(rb'(?<!\\)"stream"\s*:\s*(true|false)')


@dataclass(slots=True)
class Asked:
    """A request's facts; None where it does not say."""

    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    choices: int | None = None
    effort: str | None = None
    tools: int | None = None
    messages: int | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Role and text of each message, in order; what is not text stands as JSON in ``attached``."""
    attached: list[str] = field(default_factory=list)
    extra: str = ""
    """Tool and schema definitions, JSON: they are counted, but are no message."""


@lru_cache(maxsize=256)
def operation(path: str) -> tuple[str | None, str | None]:
    """Return ``gen_ai.operation.name`` and ``openai.api.type`` of a path, or None."""
    path = path.rstrip("/")
    for ending, name, api in _OPERATIONS:
        if path.endswith(ending):
            return name, api
    return None, None


@lru_cache(maxsize=256)
def provider(host: str, port: int | None, path: str) -> str | None:
    """Return the provider by host, else by what only one of them serves; None where that says nothing."""
    host = host.lower().rstrip(".")
    for ending, name in _PROVIDERS:
        if host == ending or host.endswith("." + ending):
            return name
    if port == 11434:
        return "ollama"
    return "anthropic" if path.rstrip("/").endswith("/v1/messages") else None


def read(body: Any, path: str) -> Asked:
    """Return the facts of a parsed JSON request; anything may stand anywhere in it."""
    asked = Asked(model=_model_of_path(path))
    if path.endswith(":streamGenerateContent"):
        asked.stream = True
    if not isinstance(body, dict):
        return asked
    asked.model = string(body.get("model")) or asked.model
    if isinstance(body.get("stream"), bool):
        asked.stream = body["stream"]
    elif asked.stream is None and operation(path)[0] in ("chat", "text_completion"):
        asked.stream = False
    given = body.get("generationConfig")
    settings = given if isinstance(given, dict) else {}
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        asked.max_tokens = whole(body.get(name)) if asked.max_tokens is None else asked.max_tokens
    if settings:
        asked.max_tokens = whole(settings.get("maxOutputTokens"))
    asked.temperature = amount(body.get("temperature", settings.get("temperature")))
    asked.top_p = amount(body.get("top_p", settings.get("topP")))
    stop = body.get("stop", body.get("stop_sequences"))
    if isinstance(stop, str):
        asked.stop = [stop]
    elif isinstance(stop, list):
        asked.stop = [item for item in stop if isinstance(item, str)]
    asked.seed = _seed(body.get("seed"))
    choices = whole(body.get("n"))
    asked.choices = choices if choices != 1 else None
    reasoning = body.get("reasoning")
    effort = body.get("reasoning_effort", reasoning.get("effort") if isinstance(reasoning, dict) else None)
    asked.effort = string(effort) or None
    tools = body.get("tools", body.get("functions"))
    if isinstance(tools, list):
        asked.tools = len(tools)
    asked.extra = "".join(
        _json(body[name]) for name in ("tools", "functions", "response_format", "text") if body.get(name)
    )
    _texts(body, asked)
    return asked


def at_the_ends(body: bytes) -> dict[str, Any]:
    """Return what stands at the ends of a request too large to be parsed: its model, and whether it streams."""
    found: dict[str, Any] = {}
    for edge in (body[:_EDGE], body[-_EDGE:]):
        if model := _MODEL.search(edge):
            found["model"] = loads(model[1])
        if stream := _STREAM.search(edge):
            found["stream"] = stream[1] == b"true"
    return found


def prompt_hash(texts: list[tuple[str, str]], attached: list[str] | None = None) -> str:
    """Return the BLAKE2b-128 of messages, hex: ``role US text RS`` of each in UTF-8, then what is attached."""
    digest = blake2b(_flat(texts).encode("utf-8", "surrogatepass"), digest_size=16)
    for part in attached or ():
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def prefix_hashes(texts: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """Return ``(characters, BLAKE2b-64 hex)`` of growing prefixes of the messages.

    Prefixes end where the leading system messages end and at 1,024 · 2ᵏ characters: two requests whose entries agree
    share at least that much of their beginning.
    """
    flat = _flat(texts)
    if len(flat) < _PREFIX_FROM and (not texts or texts[0][0] not in _LEADING):
        return []
    cuts = set()
    end = 0
    for role, text in texts:
        if role not in _LEADING:
            break
        end += len(role) + len(text) + 2
        cuts.add(end)
    size = _PREFIX_FROM
    while size <= len(flat):
        cuts.add(size)
        size *= 2
    found = []
    digest = blake2b(digest_size=8)
    start = 0
    for cut in sorted(cuts):
        digest.update(flat[start:cut].encode("utf-8", "surrogatepass"))
        found.append((cut, digest.hexdigest()))
        start = cut
    return found


def _flat(texts: list[tuple[str, str]]) -> str:
    return "".join(f"{role}\x1f{text}\x1e" for role, text in texts)


def _texts(body: dict[str, Any], asked: Asked) -> None:
    """Collect the messages of any of the APIs."""
    for name in ("system", "instructions", "systemInstruction"):
        if body.get(name):
            _message("system", body[name], asked)
    messages = body.get("messages", body.get("contents"))
    if isinstance(messages, list):
        asked.messages = len(messages)
        for message in dicts(messages):
            _message(string(message.get("role")) or "user", message.get("content", message.get("parts")), asked)
            for call in dicts(message.get("tool_calls")):
                asked.texts.append(("tool", _json(call.get("function", call))))
        return
    inputs = body.get("input", body.get("prompt"))
    if isinstance(inputs, str):
        asked.messages = 1
        asked.texts.append(("user", inputs))
    elif isinstance(inputs, list):
        tokens = bool(inputs) and all(isinstance(item, int) for item in inputs)
        asked.messages = 1 if tokens else len(inputs)
        for item in [inputs] if tokens else inputs:
            if isinstance(item, str):
                asked.texts.append(("user", item))
            elif isinstance(item, dict):
                content = item.get("content", item.get("text", item.get("output", item.get("arguments"))))
                _message(string(item.get("role")) or "user", content, asked)
            else:
                asked.attached.append(_json(item))


def _message(role: str, content: Any, asked: Asked) -> None:
    if isinstance(content, dict):
        content = content.get("parts", [content])
    if not isinstance(content, list):
        asked.texts.append((role, string(content)))
        return
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text", part.get("content"))
            if isinstance(text, str):
                texts.append(text)
            elif isinstance(text, list):
                texts.extend(string(inner.get("text")) for inner in dicts(text))
            else:
                asked.attached.append(_json(part))
    asked.texts.append((role, "".join(texts)))


@lru_cache(maxsize=256)
def _model_of_path(path: str) -> str | None:
    """Return the model or deployment that a path names (Azure, Gemini)."""
    parts = path.split("/")
    for marker in ("deployments", "models"):
        if marker in parts[:-1]:
            return parts[parts.index(marker) + 1].partition(":")[0] or None
    return None


def _seed(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    return None


_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
