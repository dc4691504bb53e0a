"""The extra ``fast``: splintr counts long texts about six times faster than tiktoken and brings more vocabularies.

tiktoken stays the reference. Nothing of splintr is used before it gave tiktoken's own ids for texts that tokenizers
find hard; it differs for an apostrophe before U+017F, so a text with that letter always goes to tiktoken, and so does
one with lone surrogates. For a vocabulary that is not packed here (Llama's licence, for one, does not allow it)
splintr yields the tokens, from which a tiktoken Encoding is built: that one is the reference for its own vocabulary,
held against splintr in the same way.
"""

from __future__ import annotations

import importlib.util
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError
from promptop.tokens import vocabularies

if TYPE_CHECKING:
    import tiktoken

Encode = Callable[[str], list[int]]

_CL100K_LIKE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARIES: dict[str, vocabularies.Vocabulary] = {
    "llama3": vocabularies.Vocabulary("llama3", _CL100K_LIKE),
    "glm4": vocabularies.Vocabulary("glm4", _CL100K_LIKE),
    "phi4": vocabularies.Vocabulary("phi4", _CL100K_LIKE),
}
"""Encodings that need the extra."""

_SPEEDS_UP = {"o200k_base": "o200k_base", "o200k_harmony": "o200k_base", "cl100k_base": "cl100k_base"}
_DIFFERS = "\u017f"

_TRIALS = (
    "The quick brown fox doesn't jump over 12,345 lazy dogs; it's (mostly) ASLEEP, isn't IT'S.\r\n\r\n\t x",
    "解释什么是提示工程?用200字解释提示工程:定义、1个重要性、1个技巧(比如Few-shot)。カタカナ한국어",
    "def f(x):\n    return {'a': x // 2}  # !\n/path\n\n\n   \n" + " " * 90 + "a" * 300 + "=" * 90,
    "e\u0301 \u0301\u0308 🙂👨\u200d👩\u200d👧 \u200b\ufeff\x00\x01\x7f\x85\xa0\u2028\u3000 ǅ ʰ Ⅷ ½ ١٢ 𠮷 \U0010ffff",
    "<|endoftext|><|begin_of_text|> <s> [INST] <|im_start|>user\n",
)


@cache
def available() -> bool:
    """Tell whether splintr is installed."""
    return importlib.util.find_spec("splintr") is not None


@cache
def encoder(name: str) -> Encode:
    """Return the fastest function text → ids that is exact for ``name``: splintr's after its trial, else tiktoken's."""
    reference = vocabularies.encoder(name)
    pretrained = _SPEEDS_UP.get(name, name if name in VOCABULARIES else "")
    if not pretrained or not available():
        return reference
    ordinary: Encode = _splintr(pretrained).encode_ordinary
    if any(ordinary(text) != reference(text) for text in _TRIALS):
        return reference

    def encode(text: str) -> list[int]:
        if _DIFFERS in text:
            return reference(text)
        try:
            return ordinary(text)
        except UnicodeEncodeError:
            return reference(text)

    return encode


@cache
def build(name: str) -> tiktoken.Encoding:
    """Build the tiktoken Encoding of a vocabulary that splintr brings.

    Raises :class:`PromptopError` without the extra, or if the Encoding does not give splintr's ids in the trial.
    """
    import tiktoken

    tokens = _tokens(name)
    made = tiktoken.Encoding(
        name,
        pat_str=VOCABULARIES[name].pattern,
        mergeable_ranks={token: identity for identity, token in enumerate(tokens) if token},
        special_tokens={},
    )
    ordinary = _splintr(name).encode_ordinary
    if any(made.encode_ordinary(text) != ordinary(text) for text in _TRIALS):
        raise PromptopError(
            f"splintr's {name} does not pass its trial on this system.", "Counts for such models are estimates."
        )
    return made


def token_lengths(name: str) -> Sequence[int]:
    """Return the length in bytes of each token by its id."""
    return array("H", map(len, _tokens(name)))


@cache
def _splintr(name: str) -> Any:
    if not available():
        raise PromptopError(f"The vocabulary {name} needs the extra fast.", "pip install 'promptop[fast]'")
    import splintr

    return splintr.Tokenizer.from_pretrained(name)


@cache
def _tokens(name: str) -> list[bytes]:
    """Return the bytes of each token by id, up to the first special one; empty where an id carries nothing."""
    import splintr

    tokenizer = _splintr(name)
    special = set(tokenizer.special_tokens().values())
    seen: set[bytes] = set()
    out = []
    for identity in range(splintr.base_vocab_size(name)):
        try:
            token = b"" if identity in special else bytes(tokenizer.decode_token_bytes(identity))
        except ValueError:  # an id that the vocabulary leaves out
            token = b""
        out.append(b"" if token in seen else token)
        seen.add(token)
    return out
