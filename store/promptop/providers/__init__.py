"""The place that knows wire formats: one module an API, and here which of them a path, a value or a profile means.

Others may add an API: a package names an :class:`~promptop.providers.api.Api` instance under the entry-point group
``promptop.providers``. Those that are shipped come first, so that an added one cannot change what they read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from promptop.providers.anthropic import ANTHROPIC
from promptop.providers.api import AnswerFacts, Api, Path, Piece, RequestSummary, loads
from promptop.providers.bedrock import BEDROCK
from promptop.providers.chat import CHAT
from promptop.providers.cohere import COHERE
from promptop.providers.gemini import GEMINI
from promptop.providers.media import EMBEDDINGS, IMAGES, SPEECH, TRANSCRIPTION
from promptop.providers.ollama import OLLAMA
from promptop.providers.responses import RESPONSES
from promptop.providers.usage import Usage

__all__ = [
    "GROUP",
    "HIDDEN",
    "NOTHING",
    "VISIBLE",
    "Api",
    "all_apis",
    "at_path",
    "body_pieces",
    "by_name",
    "classify",
    "event_pieces",
    "host_provider",
    "is_free",
    "load_added",
    "operation",
    "read_request",
    "recognise",
    "take",
    "usage_of",
    "with_counts",
]

GROUP: Final = "promptop.providers"
"""Entry-point group."""
NOTHING: Final = 0
HIDDEN: Final = 1
VISIBLE: Final = 2

_SHIPPED: Final[tuple[Api, ...]] = (
    CHAT,
    RESPONSES,
    ANTHROPIC,
    GEMINI,
    OLLAMA,
    COHERE,
    BEDROCK,
    EMBEDDINGS,
    IMAGES,
    SPEECH,
    TRANSCRIPTION,
)
"""In the order in which they are asked whose shape a value has: chat first, which most values are of."""

# Host (or the end of one) → the name of OpenTelemetry's GenAI conventions, or the host's own where there is none.
_HOSTS = (
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


_known: tuple[Api, ...] = _SHIPPED
_loading = threading.Lock()
broken: dict[str, str] = {}
"""Added APIs that could not be loaded → why."""


def all_apis() -> tuple[Api, ...]:
    """Return the APIs that are known so far: those that are shipped, and those that :func:`load_added` brought."""
    return _known


def load_added() -> None:
    """Load the APIs of other packages, once; one that cannot be loaded is noted in :data:`broken`.

    Looking for entry points takes 10 to 100 ms: it is done where nobody waits for an answer, and never at import.
    """
    global _known, _loaded  # noqa: PLW0603
    with _loading:
        if _loaded:
            return
        _loaded = True
        from importlib.metadata import entry_points

        added: list[Api] = []
        for entry in entry_points(group=GROUP):
            if entry.value.partition(":")[0].startswith("promptop.providers."):
                continue  # shipped: known without the package's being installed
            try:
                api = entry.load()
            except Exception as error:  # noqa: BLE001 - another package's fault must not stop what is shipped
                broken[entry.name] = f"{type(error).__name__}: {error}"
                continue
            if isinstance(api, Api):
                added.append(api)
            else:
                broken[entry.name] = "it is not promptop.providers.api.Api"
        _known = (*_SHIPPED, *added)
        at_path.cache_clear()
        host_provider.cache_clear()


_loaded = False


def by_name(name: str) -> Api | None:
    """Return the API of a name, as a profile's ``api`` has it."""
    return next((api for api in all_apis() if api.name == name), None)


@lru_cache(maxsize=512)
def at_path(path: str) -> tuple[Api, Path] | None:
    """Return the API that answers at a URL path, and which of its paths that is; the longest end that fits."""
    path = path.rstrip("/")
    found: tuple[Api, Path] | None = None
    for api in all_apis():
        for known in api.paths:
            if path.endswith(known.ending) and (found is None or len(known.ending) > len(found[1].ending)):
                found = api, known
    return found


def operation(path: str) -> tuple[str | None, str | None]:
    """Return ``gen_ai.operation.name`` and ``openai.api.type`` of a path, or None."""
    found = at_path(path)
    return (found[1].operation, found[1].api_type) if found is not None else (None, None)


@lru_cache(maxsize=256)
def host_provider(host: str, port: int | None, path: str) -> str | None:
    """Return the provider by host, else by what only one of them serves; None where that says nothing."""
    host = host.lower().rstrip(".")
    for ending, name in _HOSTS:
        if host == ending or host.endswith("." + ending):
            return name
    if port == 11434:
        return "ollama"
    found = at_path(path)
    if found is not None and found[0].provider:
        return found[0].provider
    return "anthropic" if path.rstrip("/").endswith("/v1/messages") else None


_FREE = re.compile(
    r"/(?:moderations|files|uploads|batches|fine_tuning|fine-tuning|count_tokens|input_tokens|tokenize|detokenize|cancel"
    r"|vector_stores|assistants|threads|models)(?:/[^/:]*)?$|:countTokens$"
    r"|/api/(?:show|pull|push|create|copy|delete|tags|ps|version)$"
)


@lru_cache(maxsize=256)
def is_free(path: str) -> bool:
    """Say whether a request to a path is one that providers do not charge by its answer."""
    return _FREE.search(path.rstrip("/")) is not None


def read_request(body: Any, path: str) -> RequestSummary:
    """Return the facts of a parsed JSON request; anything may stand anywhere in it."""
    asked = RequestSummary(model=_model_of_path(path))
    if path.endswith((":streamGenerateContent", "/converse-stream", "/invoke-with-response-stream")):
        asked.stream = True
    if not isinstance(body, dict):
        return asked
    found = at_path(path)
    (found[0] if found is not None else _asked_like(body)).read_request(body, asked)
    if asked.stream is None and found is not None and found[1].operation in ("chat", "text_completion"):
        asked.stream = False
    return asked


def _asked_like(body: Mapping[str, Any]) -> Api:
    """Return the API that a request is written for, by its fields alone."""
    if "contents" in body:
        return GEMINI
    if "messages" in body:
        return ANTHROPIC if "system" in body else CHAT
    return RESPONSES if "instructions" in body else CHAT


@lru_cache(maxsize=256)
def _model_of_path(path: str) -> str | None:
    """Return the model or deployment that a path names (Azure, Gemini, Bedrock)."""
    parts = path.split("/")
    for marker in ("deployments", "models", "model"):
        if marker in parts[:-1]:
            name = parts[parts.index(marker) + 1]
            return (name if marker == "model" else name.partition(":")[0]) or None
    return None


def recognise(value: Mapping[str, Any]) -> Api | None:
    """Return the API whose shape an event or a body has; None if it is none that is known."""
    for api in all_apis():
        if api.recognises(value):
            return api
    return None


def classify(name: bytes, payload: bytes) -> int:
    """Say whether an event carries generated tokens: :data:`NOTHING`, :data:`HIDDEN` or :data:`VISIBLE`."""
    if not payload.startswith(b"{"):
        return NOTHING
    found = NOTHING
    for piece in event_pieces(loads(payload)):
        if piece.kind in ("text", "refusal"):
            return VISIBLE
        found = HIDDEN
    return found


def event_pieces(event: Any) -> Iterator[Piece]:
    """Yield what a streamed event of any API adds to the answer."""
    api = recognise(event) if isinstance(event, dict) else None
    return api.event_pieces(event) if api is not None else iter(())


def body_pieces(body: Any, path: str = "") -> Iterator[Piece]:
    """Yield what a whole (not streamed) answer says; the ``path`` tells of shapes that say nothing of themselves."""
    api = api_of(body, path) if isinstance(body, dict) else None
    return api.body_pieces(body) if api is not None else iter(())


def api_of(body: Mapping[str, Any], path: str = "") -> Api | None:
    """Return the API of a body: by its shape, else by the path that answered with it."""
    api = recognise(body)
    if api is None and path:
        found = at_path(path)
        api = found[0] if found is not None else None
    return api


def take(value: Any, facts: AnswerFacts, api: Api | None = None) -> Api | None:
    """Take the facts of an event or a body of any API and return which it was; ``api`` is a guess.

    An error object is one wherever it stands, whatever the API.
    """
    if not isinstance(value, dict):
        return api
    if api is None or not api.recognises(value):
        found = recognise(value)
        facts.known = facts.known or found is not None
        api = found or api
    else:
        facts.known = True
    if value.get("type") == "error" or value.get("object") == "error":
        facts.failed(value)
        return api
    if api is not None:
        api.take(value, facts)
    usage = value.get("usage")
    if facts.usage is None and isinstance(usage, dict) and usage:
        facts.named(value)
        facts.usage, facts.usage_api = usage, usage_api(usage)
    if value.get("error") and facts.error is None:
        facts.failed(value["error"])
    facts.known = facts.known or facts.usage is not None or facts.error is not None
    return api


def usage_api(raw: Mapping[str, Any]) -> Api:
    """Return the API whose usage object that is, by its names alone."""
    if "promptTokenCount" in raw or "candidatesTokenCount" in raw:
        return GEMINI
    if "prompt_eval_count" in raw or "eval_count" in raw:
        return OLLAMA
    if "billed_units" in raw:
        return COHERE
    if "inputTokens" in raw:
        return BEDROCK
    apart = {"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"}
    if "input_tokens" in raw and not {"prompt_tokens", "input_tokens_details"} & raw.keys() and apart & raw.keys():
        return ANTHROPIC
    return CHAT


_COUNT_NAMES: Final[tuple[tuple[frozenset[str], tuple[str, str]], ...]] = (
    (
        frozenset(("thoughtsTokenCount", "promptTokensDetails", "cachedContentTokenCount")),
        ("promptTokenCount", "candidatesTokenCount"),
    ),
    (frozenset(("cache_read_input_tokens", "cache_creation_input_tokens")), ("input_tokens", "output_tokens")),
)


def with_counts(details: Mapping[str, Any], taken: int | None, given: int | None) -> dict[str, Any]:
    """Return the usage object of which a program kept input and output apart, and the rest in ``details``."""
    named = next(
        (names for marks, names in _COUNT_NAMES if marks & details.keys()), ("prompt_tokens", "completion_tokens")
    )
    return {**details, **dict(zip(named, (taken, given), strict=True))}


def usage_of(raw: Any, provider: str | None = None) -> Usage:
    """Return a usage object that came without its answer in one shape."""
    return usage_api(raw).usage(raw, provider) if isinstance(raw, dict) and raw else Usage()
