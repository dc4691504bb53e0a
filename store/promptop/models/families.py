"""What a model's name tells where the price table is silent: family, tokenizer, output limit, accepted parameters.

Facts only: a tokenizer is called exact where its vocabulary is published and known to be the model's; everything else
is an estimate. A parameter that is not documented as taken or refused is unknown (None), and the playground tries it.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from promptop.models import names

Kind = Literal["exact", "estimated"]


NEEDS_EXTRA: Final = frozenset(("llama3", "glm4", "phi4"))
"""Encodings that the extra ``fast`` brings (:mod:`promptop.tokens.splintr`)."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Family (key of estimates and chat overhead), tokenizer and whether counts with it are exact."""

    family: str
    encoding: str
    kind: Kind


_EXACT: Final[Kind] = "exact"
_ESTIMATED: Final[Kind] = "estimated"

_RULES: tuple[tuple[re.Pattern[str], Traits], ...] = tuple(
    (re.compile(pattern), Traits(family, encoding, kind))
    for pattern, family, encoding, kind in (
        # Distilled models speak the tokenizer of the model that learned, not of the teacher.
        (r"deepseek-r1[-:_].*llama", "llama", "llama3", _EXACT),
        (r"deepseek-r1-0528-qwen3|deepseek-r1[-:_].*qwen|deepseek-r1:(?:1\.5|7|14|32)b", "qwen", "qwen", _EXACT),
        (r"deepseek-r1:(?:8|70)b", "llama", "o200k_base", _ESTIMATED),  # 8b changed from Llama to Qwen under its name
        (r"gpt-oss", "openai", "o200k_harmony", _EXACT),
        (r"^gpt-?[6-9]", "openai", "o200k_base", _ESTIMATED),
        (
            r"^(?:chatgpt-4o|gpt-4o|gpt-4\.[15]|gpt-5|o[134](?:$|[-:])|codex-mini|computer-use)",
            "openai",
            "o200k_base",
            _EXACT,
        ),
        (r"^(?:gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002)", "openai", "cl100k_base", _EXACT),
        (r"^(?:davinci-002|babbage-002)", "openai", "cl100k_base", _EXACT),
        (r"^(?:text-davinci-00[23]|code-davinci|code-cushman)", "openai", "p50k_base", _EXACT),
        (
            r"^(?:text-davinci-001|text-curie|text-babbage|text-ada|davinci|curie|babbage|ada|gpt2|gpt-2)",
            "openai",
            "r50k_base",
            _EXACT,
        ),
        # Anthropic's tokenizer changed with Opus 4.7: about 1.3 times as many tokens as before.
        (
            r"claude-(?:v?[12]|instant|3|(?:opus|sonnet|haiku)-(?:3|4(?:$|-[0-6](?:$|\D)|-20|@))|4)",
            "claude-4",
            "o200k_base",
            _ESTIMATED,
        ),
        (r"claude", "claude", "o200k_base", _ESTIMATED),
        (r"gemini|learnlm", "gemini", "o200k_base", _ESTIMATED),
        (r"gemma", "gemma", "o200k_base", _ESTIMATED),
        (r"grok", "grok", "o200k_base", _ESTIMATED),
        (r"qwq-32b|qwen(?:1\.5|2|2\.5|3)(?:$|[-:_/](?!max))|qwen-?(?:1\.8|7|14|72)b", "qwen", "qwen", _EXACT),
        (r"qwen|qwq|qvq|tongyi", "qwen", "o200k_base", _ESTIMATED),
        (r"deepseek[-_]?(?:v3|r1)", "deepseek", "deepseek", _EXACT),
        (r"deepseek", "deepseek", "o200k_base", _ESTIMATED),
        (
            r"mistral-nemo|ministral-[38]b(?:$|-2410|-latest)|pixtral-12b|mistral-small-(?:24b|3\.[12]|2501|2503|2506)",
            "mistral",
            "tekken",
            _EXACT,
        ),
        (r"devstral-small-(?:2505|2507)|magistral-small|mistral-small(?:3\.[12])?:24b", "mistral", "tekken", _EXACT),
        (
            r"mistral|mixtral|codestral|ministral|pixtral|devstral|magistral|voxtral",
            "mistral",
            "o200k_base",
            _ESTIMATED,
        ),
        (r"llama-?3(?:$|\D)", "llama", "llama3", _EXACT),
        (r"llama|codellama|vicuna|hermes", "llama", "o200k_base", _ESTIMATED),
        (r"glm-4(?:$|\D)", "glm", "glm4", _EXACT),
        (r"glm|chatglm|zai-", "glm", "o200k_base", _ESTIMATED),
        (r"kimi|moonshot", "kimi", "o200k_base", _ESTIMATED),
        (r"minimax|abab", "minimax", "o200k_base", _ESTIMATED),
        (r"command|cohere|aya-", "cohere", "o200k_base", _ESTIMATED),
        (r"phi-?4(?!-?mini|-?multi)", "phi", "phi4", _EXACT),
        (r"phi-?[34]", "phi", "o200k_base", _ESTIMATED),
    )
)

_MAX_OUTPUT: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        (r"^gpt-4o-2024-05-13|^gpt-4-turbo|^gpt-4-\d{4}-preview|^gpt-4-vision|^gpt-3\.5|^gpt-35", 4_096),
        (r"^(?:chatgpt-4o|gpt-4o)", 16_384),
        (r"^gpt-4\.1", 32_768),
        (r"^gpt-4\.5", 16_384),
        (r"^gpt-4(?:$|-)", 8_192),
        (r"^gpt-5(?:$|-mini|-nano|-20|\.)", 128_000),
        (r"^o1-mini", 65_536),
        (r"^o1-preview", 32_768),
        (r"^o[134](?:$|-)", 100_000),
        (r"claude-3-5", 8_192),
        (r"claude-3-7|claude-(?:sonnet|haiku|opus)-4-5|claude-sonnet-4", 64_000),
        (r"claude-3-", 4_096),
        (r"claude-opus-4(?:$|-[01](?:$|\D)|-20)", 32_000),
        (r"gemini-(?:2\.0|1\.5)", 8_192),
        (r"gemini-(?:2\.5|3)", 65_536),
    )
)

_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_CHAT = {
    **dict.fromkeys((*_SAMPLING, "max_tokens", "max_completion_tokens", "stop", "seed", "n", "logprobs"), True),
    **dict.fromkeys(("stream_options", "response_format", "tools", "user", "logit_bias"), True),
    "reasoning_effort": False,
}
_REASONING = {
    **dict.fromkeys((*_SAMPLING, "max_tokens", "logprobs", "logit_bias"), False),
    **dict.fromkeys(("max_completion_tokens", "stream_options", "reasoning_effort"), True),
}

_TAKES: tuple[tuple[re.Pattern[str], dict[str, bool]], ...] = tuple(
    (re.compile(pattern), table)
    for pattern, table in (
        (r"embedding|embed-", dict.fromkeys((*_CHAT, "max_completion_tokens"), False)),
        (r"^o1-(?:mini|preview)", {**_REASONING, "reasoning_effort": False}),
        (r"^o1(?:$|-)", _REASONING),
        (r"^o[34](?:$|-)", {**_REASONING, "stop": False}),
        (
            r"^gpt-5(?:\.\d)?-chat|^chatgpt-4o|^gpt-4o|^gpt-4\.[15]|^gpt-4(?:$|-)|^gpt-3\.5-turbo(?!-instruct)|^gpt-35",
            _CHAT,
        ),
        (r"^gpt-5(?:$|-)", _REASONING),
        # From 5.1 on sampling parameters are taken at reasoning effort "none" only: unknown until the effort is known.
        (r"^gpt-(?:5\.|[6-9])", {"max_tokens": False, "max_completion_tokens": True, "reasoning_effort": True}),
        # From Opus 4.7 on sampling is not to be set: "`temperature` is deprecated for this model".
        (
            r"claude-(?:opus-4[-.][7-9]|[a-z]+-[5-9])(?:$|\D)",
            {
                **dict.fromkeys(("max_tokens", "stop", "stream_options"), True),
                **dict.fromkeys(("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"), False),
                **dict.fromkeys(("logprobs", "logit_bias"), False),
            },
        ),
        (
            r"claude",
            {
                **dict.fromkeys(("max_tokens", "stop", "stream_options"), True),
                **dict.fromkeys(("seed", "presence_penalty", "frequency_penalty", "logprobs", "logit_bias"), False),
            },
        ),
        (r"deepseek-reasoner", {**dict.fromkeys((*_SAMPLING, "logprobs"), False), "max_tokens": True, "stop": True}),
        (r"deepseek", {**dict.fromkeys((*_SAMPLING, "max_tokens", "stop", "logprobs", "stream_options"), True)}),
        (r"gemini", dict.fromkeys(("temperature", "top_p", "max_tokens", "stop", "stream_options"), True)),
    )
)


def bare(name: str) -> str:
    """Return the model's own name: lower case, without vendor path, host's prefix, fine-tune mark and route suffix."""
    name = names.without_sdk(name.lower().strip()).rpartition("/")[2]
    name = re.sub(r"^(?:us|eu|apac|global|jp|au|ca)\.(?=[a-z]+\.)", "", name)
    name = re.sub(r"^(?:anthropic|meta|mistral|deepseek|qwen|openai|amazon|cohere|ai21)\.(?=[a-z])", "", name)
    if name.startswith("ft:"):
        name = name[3:].partition(":")[0]
    return name


@lru_cache(maxsize=4096)
def traits(name: str) -> Traits | None:
    """Return family and tokenizer that the name tells, or None; what needs the extra ``fast`` is exact with it only.

    A name that nobody gives (``gpt-4oo``, a deployment's ``gpt-4o-prod``) is never exact.
    """
    asked, name = name, bare(name)
    found = next((found for pattern, found in _RULES if pattern.search(name)), None)
    if found is None:
        return None
    if found.encoding in NEEDS_EXTRA and not has_extra():
        return Traits(found.family, "o200k_base", _ESTIMATED)
    if found.kind == _EXACT and (names.is_openai(name) is False or names.near(asked)):
        return Traits(found.family, found.encoding, _ESTIMATED)
    return found


@lru_cache(maxsize=1)
def has_extra() -> bool:
    """Tell whether the package of the extra ``fast`` is installed."""
    return importlib.util.find_spec("splintr") is not None


def max_output(name: str) -> int | None:
    """Return the documented limit of output tokens, or None."""
    name = bare(name)
    return next((tokens for pattern, tokens in _MAX_OUTPUT if pattern.search(name)), None)


def takes(name: str, parameter: str) -> bool | None:
    """Return whether a model takes a request parameter (OpenAI's name for it), or None if that is not documented."""
    name = bare(name)
    for pattern, table in _TAKES:
        if pattern.search(name):
            return table.get(parameter)
    return None
