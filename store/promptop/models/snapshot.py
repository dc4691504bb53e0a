"""The compiled price table: which of its models a name means, and which of its prices hold at a moment.

``snapshot.json.gz`` is written by tools/compile_prices.py, which says what is kept and why; reading it takes 9 ms. The
rules of matching and choosing are those of genai-prices (a test holds every model's price against it).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from promptop.models import families, names

Row = Mapping[str, Any]
"""A provider or model of the table."""

OTEL_PROVIDERS: Final = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure_openai": "azure",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "gemini": "google",
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "moonshot": "moonshotai",
    "zhipu": "zhipuai",
}
"""Names of OpenTelemetry's convention and common ones → the table's."""

LOCAL_PROVIDERS: Final = frozenset(
    (
        "ollama",
        "vllm",
        "llama.cpp",
        "llamacpp",
        "llama_cpp",
        "lmstudio",
        "lm_studio",
        "sglang",
        "tgi",
        "localai",
        "local",
    )
)
"""Servers that run on one's own machines: what a call costs there is not in any table."""

_BEDROCK = re.compile(
    r"^(?:(?:us|eu|apac|global|jp|au|ca)\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\."
)
_LOCAL_TAG = re.compile(r":(?:latest$|\d+(?:\.\d+)?b\b|.*\bq\d)")
_VENDOR_PREFIX = re.compile(r"^(?:models/|publishers/[^/]+/models/|(?:us|eu|apac|global|jp|au|ca)\.(?=[a-z]+\.))")
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_DATE_TAIL = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")


@dataclass(frozen=True)
class ModelTable:
    """The table and its origin."""

    source: str
    """Package and version that it was compiled from."""
    as_of: str
    """ISO date of the newest price in it that had come into force when it was compiled."""
    providers: tuple[Row, ...]
    by_id: Mapping[str, Row]


@lru_cache(maxsize=1)
def load() -> ModelTable:
    """Return the table that is shipped."""
    packed = Path(__file__).with_name("snapshot.json.gz").read_bytes()
    table = json.loads(gzip.decompress(packed))
    rows = tuple(table["providers"])
    return ModelTable(table["source"], table["as_of"], rows, {row["id"]: row for row in rows})


def matches(clause: list[Any], text: str) -> bool:
    """Tell whether a clause of the table holds for ``text`` (lower case)."""
    operator, operand = clause
    match operator:
        case "=":
            return bool(text == operand)
        case "^":
            return bool(text.startswith(operand))
        case "$":
            return bool(text.endswith(operand))
        case "~":
            return bool(operand in text)
        case "/":
            return re.search(operand, text) is not None
        case "|":
            return any(matches(part, text) for part in operand)
        case _:
            return all(matches(part, text) for part in operand)


def provider_row(name: str) -> Row | None:
    """Return the table's provider that ``name`` means, whatever convention it follows."""
    table = load()
    name = name.lower().strip()
    name = OTEL_PROVIDERS.get(name, name)
    if name in table.by_id:
        return table.by_id[name]
    return next((row for row in table.providers if "provider" in row and matches(row["provider"], name)), None)


@lru_cache(maxsize=4096)
def locate(name: str, provider: str | None = None) -> tuple[Row, Row] | None:
    """Return (provider, model) that ``name`` means; None if the table does not know it.

    With a provider that the table knows only that one is asked: the same model costs different amounts elsewhere. The
    exception is ``openai``, which programs say of any endpoint that speaks its dialect. Models of one's own servers
    (``ollama``, ``vllm`` …) and names with a size tag (``deepseek-r1:8b``) are never found. Without a provider, a first
    path segment may name it (``openrouter/openai/gpt-4o``), and what routers, clouds and SDKs put around a name is
    taken off (:mod:`promptop.models.names`), else the table's rules tell whose model it is. A dated version that the
    table does not list (``gpt-4o-2024-08-06``) is its undated model, and an undated name its newest dated version. A
    name that is likely a slip of another is not found.
    """
    if (provider and provider.lower().strip() in LOCAL_PROVIDERS) or (not provider and _LOCAL_TAG.search(name)):
        return None
    asked = provider_row(provider) if provider else None
    ids = frozenset(load().by_id)
    for route, rest in names.routes(name.lower().strip(), ids):
        wanted = asked or (load().by_id[route] if route else None)
        for text in _spellings(rest):
            found = _locate_in(wanted, text) if wanted else None
            if found is None and (wanted is None or wanted["id"] == "openai"):
                found = _locate_anywhere(text)
            if found:
                return None if names.near(name) else found
        if wanted and (dated := _newest_dated(wanted, rest)):
            return wanted, dated
    return None


def _spellings(name: str) -> Iterator[str]:
    """Yield the name as it is, then without what hosts put around it, then without its date."""
    name = name.lower().strip()
    yield name
    bare = _VENDOR_PREFIX.sub("", name)
    if bare != name:
        yield bare
    at = bare.replace("@", "-")
    if at != bare:
        yield at
    undated = _DATE_TAIL.sub("", bare)
    if undated != bare:
        yield undated


def _locate_anywhere(text: str) -> tuple[Row, Row] | None:
    head, slash, tail = text.partition("/")
    if slash and head not in LOCAL_PROVIDERS:
        named = load().by_id.get(OTEL_PROVIDERS.get(head, head))
        if named is not None and (found := _locate_in(named, tail)):
            return found
    if _BEDROCK.match(text):
        return _locate_in(load().by_id["aws"], text)
    for row in load().providers:
        if "model" in row and matches(row["model"], text):
            return _locate_in(row, text)
    told = families.traits(text)  # the table's rules leave out embeddings and fine-tuned models
    return _locate_in(load().by_id["openai"], text) if told and told.family == "openai" else None


def _locate_in(provider: Row, text: str) -> tuple[Row, Row] | None:
    if model := _model_in(provider, text):
        return provider, model
    dashed = _COMPACT_DATE.sub(_dashed_date, text)
    if dashed != text and (model := _model_in(provider, dashed)):
        return provider, model
    return None


def _newest_dated(provider: Row, text: str) -> Row | None:
    """Return the newest dated version of an undated name that a provider does not list itself."""
    dated = re.compile(rf"{re.escape(text.rpartition('/')[2])}-(?:\d{{4}}|20\d{{6}}|20\d\d-\d\d-\d\d)")
    versions = [model for model in provider["models"] if dated.fullmatch(model["id"].lower().rpartition("/")[2])]
    return max(versions, key=lambda model: str(model["id"])) if versions else None


def _model_in(provider: Row, text: str) -> Row | None:
    rows = [provider, *(load().by_id[other] for other in provider.get("fallback", ()))]
    for row in rows:
        for model in row["models"]:
            if matches(model["match"], text):
                found: Row = model
                return found
    return None


def _dashed_date(found: re.Match[str]) -> str:
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return found[0]
    return f"-{day.isoformat()}"


def prices_at(model: Row, moment: datetime, context: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the prices that hold at ``moment``: ``i``, ``o``, ``r``, ``w``, ``t`` per million tokens, ``q`` per 1,000.

    ``context`` chooses variants by what was asked for or billed: ``{"service_tier": "flex"}``,
    ``{"processing": "batch"}``.
    """
    choices = model["prices"]
    if not choices:
        return {}
    chosen = next((prices for limit, prices in reversed(choices) if _holds(limit, moment)), choices[0][1])
    if not context:
        found: dict[str, Any] = chosen
        return found
    changed: dict[str, Any] = {}
    for when, limit, prices in model.get("variants", ()):
        if _holds(limit, moment) and all(context.get(key) == value for key, value in when.items()):
            for key, value in prices.items():
                changed.setdefault(key, value)
    return {**chosen, **changed}


def _holds(limit: Any, moment: datetime) -> bool:
    if limit is None:
        return True
    moment = moment.astimezone(UTC)
    if isinstance(limit, str):
        return moment.date().isoformat() >= limit
    start, end = limit
    clock = moment.strftime("%H:%M:%S.%f")
    if end < start:
        return bool(clock >= start or clock < end)
    inside: bool = start <= clock < end
    return inside
