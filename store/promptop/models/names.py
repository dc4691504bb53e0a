"""Names of models as routers, clouds and SDKs write them, and names that are likely mistyped.

``routes`` takes off what stands around a name and says whose prices it means; ``near`` offers known names for one that
nobody knows. Neither guesses: an unknown name stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

ROUTES: Final[dict[str, str]] = {
    "azure": "azure",
    "azure_ai": "azure",
    "azure_text": "azure",
    "azure-openai": "azure",
    "azure_openai": "azure",
    "azureopenai": "azure",
    "azure-ai-inference": "azure",
    "vertex": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "google-vertex": "google",
    "google-vertex-anthropic": "google",
    "google_vertexai": "google",
    "google_vertexai_anthropic": "google",
    "google-gla": "google",
    "google-genai": "google",
    "google_genai": "google",
    "googleai": "google",
    "gemini": "google",
    "palm": "google",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "bedrock-converse": "aws",
    "together_ai": "together",
    "together-ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "cohere_chat": "cohere",
    "mistralai": "mistral",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "moonshot": "moonshotai",
    "xai": "x-ai",
    "text-completion-openai": "openai",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "github_copilot": "github-copilot",
    "voyage": "voyageai",
    "zhipu": "zhipuai",
    "pplx": "perplexity",
}
"""Prefix of a router or an SDK → the price table's provider; the table's own ids are prefixes too."""
_SDK: Final = frozenset(
    ("openai", "anthropic", "google", "groq", "mistral", "deepseek", "cohere", "perplexity", "together", "fireworks")
) | {"openrouter", "aws", "cerebras", "x-ai", "huggingface", "ollama"}
"""Prefixes with a colon that are no part of a name, beside those of :data:`ROUTES`."""
TRANSPARENT: Final = frozenset(("litellm_proxy", "litellm", "responses", "chat", "messages", "converse", "invoke"))
"""Prefixes that say nothing of who is asked."""
_AZURE_PLACES: Final = frozenset(
    ("eu", "us", "global", "global-standard", "standard", "data-zone", "eastus", "westus", "swedencentral")
)
_REGION = re.compile(r"^(?:us|eu|ap|ca|sa|me|af|il|mx)(?:-gov)?-[a-z]+-\d$")
_COMMITMENT = re.compile(r"^\d+-month-commitment$")
_ARN = re.compile(r"^arn:aws[\w-]*:bedrock:[^/]*/(.+)$")
_VARIANT = re.compile(r":(?:online|floor|nitro|exacto|extended|beta)$")
_LOCAL_TAG = re.compile(r"^(?:latest$|\d+(?:\.\d+)?b\b|.*\bq\d)")
_SEPARATORS = re.compile(r"[-_.:@/\s]+")


def routes(name: str, providers: frozenset[str]) -> Iterator[tuple[str | None, str]]:
    """Yield ``(provider of the table or None, name there)`` for what a router, a cloud or an SDK writes.

    ``name`` is lower case; ``providers`` are the table's ids. The name as it is comes first.
    """
    yield None, name
    if arn := _ARN.match(name):
        yield "aws", arn[1]
        return
    provider: str | None = None
    rest = _VARIANT.sub("", name)
    if rest != name:
        yield None, rest
    while True:
        cut = re.match(r"^([a-z][\w.-]*)([/:])(?=[\w@])", rest)
        if cut is None:
            return
        head, separator, tail = cut[1], cut[2], rest[cut.end() :]
        if separator == ":" and (head == "ft" or _LOCAL_TAG.match(tail)):
            return
        if (
            head in TRANSPARENT
            or (provider == "azure" and head in _AZURE_PLACES)
            or (provider == "aws" and _REGION.match(head))
        ):
            rest = tail
        elif provider == "aws" and _COMMITMENT.match(head):
            return  # capacity that is paid by the month has no price a token
        elif head in ROUTES or head in providers:
            provider = ROUTES.get(head, head)
            rest = tail
        else:
            return
        yield provider, rest
        if provider == "fireworks" and not rest.startswith("accounts/"):
            yield provider, f"accounts/fireworks/models/{rest}"


def without_sdk(name: str) -> str:
    """Return a lower-case name without what an SDK puts before a colon, or a router behind one.

    ``openai:chat:gpt-4o`` and ``openai/gpt-4o:floor`` are ``gpt-4o`` and ``openai/gpt-4o``.
    """
    name = _VARIANT.sub("", name)
    while True:
        head, colon, tail = name.partition(":")
        if not colon or not tail or _LOCAL_TAG.match(tail):
            return name
        if head not in ROUTES and head not in TRANSPARENT and head not in _SDK:
            return name
        name = tail


# OpenAI's names are a closed world: behind a base name only these parts are known.
_OPENAI_BASE = re.compile(
    r"^(?:chatgpt-4o|gpt-4o|gpt-4\.[15]|gpt-5(?:\.\d)?|gpt-4|gpt-3\.5|gpt-35|gpt-oss|gpt-image|gpt-realtime|gpt-audio"
    r"|o[134]|codex|computer-use|text-embedding-3|text-embedding-ada|text-davinci|text-curie|text-babbage|text-ada"
    r"|code-davinci|code-cushman|davinci|curie|babbage|ada|gpt-?2|tts-1|whisper-1|dall-e-[23]|sora-2)"
)
_OPENAI_PART = re.compile(
    r"^(?:mini|nano|pro|turbo|instruct|chat|latest|preview|audio|realtime|search|transcribe|diarize|tts|vision|codex|max"
    r"|spark|high|low|medium|minimal|xhigh|deep|research|api|image|(?:16|32|64|128)k|hd|online|free|thinking|extended"
    r"|global|eu|us|apac|standard|batch|flex|priority|small|large|safeguard|v[1-3])$"
)
_NUMBER = re.compile(r"^(?:\d{1,4}|20\d{6}|\d{1,3}b|\d)$")


def is_openai(bare: str) -> bool | None:
    """Say whether a bare, lower-case name is one that OpenAI gives; None for a name that does not begin like one."""
    base = _OPENAI_BASE.match(bare)
    if base is None:
        return None
    rest = bare[base.end() :]
    if rest and rest[0] not in "-_.:@":
        return False
    parts = [part for part in _SEPARATORS.split(rest) if part]
    return " " not in rest and all(_OPENAI_PART.match(part) or _NUMBER.match(part) for part in parts)


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, str], frozenset[str], dict[str, str]]:
    """Return bare names of the table → names, the words in them, and names without separators → names."""
    from promptop.models import families, overrides, snapshot

    names: dict[str, str] = {}
    for row in snapshot.load().providers:
        for entry in row["models"]:
            names.setdefault(families.bare(entry["id"]), entry["id"].rpartition("/")[2])
    for own in (*overrides.current().models, *overrides.current().aliases):
        names.setdefault(families.bare(own), own)
    words = frozenset(word for name in names for word in _SEPARATORS.split(name) if word)
    squashed: dict[str, str] = {}
    for name, shown in names.items():
        squashed.setdefault(_SEPARATORS.sub("", name), shown)
    return names, words, squashed


def _is_listed(bare: str) -> bool:
    """Tell whether the table has a name as it stands; saves the index of all names, which takes 40 ms."""
    from promptop.models import snapshot

    providers = snapshot.load().providers
    return any(
        row_id.endswith(bare) and row_id[-len(bare) - 1 : -len(bare)] in ("", "/")
        for row in providers
        for entry in row["models"]
        if (row_id := entry["id"])
    )


@lru_cache(maxsize=4096)
def near(name: str, limit: int = 3) -> tuple[str, ...]:
    """Return known names that ``name`` is likely a slip of, nearest first; empty where it is known or like no other.

    A slip is a word that no known name has, one or two letters off a word of one (``gpt-5-mni``), or separators that
    are missing or too many (``gpt4o``, ``gpt-4 o``). Another size, date or version is not a slip.
    """
    from promptop.models import families, overrides

    bare = families.bare(name)
    ours = is_openai(bare)
    said, key = overrides.current(1.0), name.lower().strip()
    if not bare or ours or _is_listed(bare) or key in said.models or key in said.aliases:
        return ()
    names, words, squashed = _known()
    if bare in names:
        return ()
    plain = _SEPARATORS.sub("", bare)
    if plain in squashed and (ours is False or " " in bare or bare.startswith("gpt")):
        return (squashed[plain],)
    parts = [part for part in _SEPARATORS.split(bare) if part]
    strange = [at for at, part in enumerate(parts) if part not in words and re.search("[a-z]", part) is not None]
    if len(strange) != 1:
        return ()
    at = strange[0]
    found: list[tuple[float, str]] = []
    for word in words:
        off = _distance(parts[at], word)
        if off is None:
            continue
        meant = [*parts[:at], word, *parts[at + 1 :]]
        for known, shown in names.items():
            theirs = [part for part in _SEPARATORS.split(known) if part]
            if meant[: len(theirs)] == theirs or theirs[: len(meant)] == meant:
                found.append((off + abs(len(theirs) - len(meant)) / 10, shown))
    found.sort()
    return tuple(dict.fromkeys(shown for _, shown in found))[:limit]


def _distance(one: str, other: str) -> int | None:
    """Return how many letters to insert, drop, change or swap make one word the other, if few enough for a slip.

    Words that differ in digits alone are different sizes or versions.
    """
    most = 1 if min(len(one), len(other)) <= 5 else 2
    if abs(len(one) - len(other)) > most or min(len(one), len(other)) < 2:
        return None
    if re.sub(r"\d", "", one) == re.sub(r"\d", "", other):
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        following = [i]
        for j, b in enumerate(other, 1):
            cost = min(row[j] + 1, following[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            following.append(cost)
        before, row = row, following
    return row[-1] if row[-1] <= most else None
