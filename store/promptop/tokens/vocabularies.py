"""Tokenizers from packed ranks: no network, on the first start either, and no temporary files.

``packed/NAME.xz`` holds the lengths of a vocabulary's tokens and then their bytes, in order of their ids
(tools/pack_ranks.py); the sha256 of what is unpacked is verified at each load. For OpenAI's vocabularies the packing
started from the files whose hashes tiktoken checks. Licences of the vocabularies: packed/LICENCES.md.

Loading o200k takes about 0.25 s and holds the interpreter's lock most of that time: the app does it in the worker
process (:mod:`promptop.workers.token_client`).
"""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError, UsageError

if TYPE_CHECKING:
    import tiktoken

_PACKED = Path(__file__).with_name("packed")
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LEAD = r"[^\r\n\p{L}\p{N}]?"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_O200K = f"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTION}?|{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTION}?" + r"|\p{N}{1,3}" + _REST
_TEKKEN = f"{_LEAD}{_UPPER}*{_LOWER}+|{_LEAD}{_UPPER}+{_LOWER}*" + r"|\p{N}" + _REST
_QWEN = (
    _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # text is brought to NFC first

# DeepSeek splits three times, each time inside what the splits before left: runs of up to three digits; runs of Han and
# kana; the rest by a pattern much like cl100k's. As one expression: the classes of the third split lose what the first
# two took, and its lookahead sees the end of its piece, which is a digit or a Han character as well as the end of text.
# Whatever no alternative takes (controls before no letter) is a piece of its own there; find_iter would drop it.
_HAN = "一-龥぀-ゟ゠-ヿ"
_DS_LETTER = rf"[\p{{L}}\p{{M}}&&[^{_HAN}]]"
_DS_MARK = rf"[\p{{P}}\p{{S}}&&[^{_HAN}]]"
_DS_LEAD = rf"[^\r\n\p{{L}}\p{{P}}\p{{S}}\p{{N}}{_HAN}]"
_DEEPSEEK = (
    rf"\p{{N}}{{1,3}}|[{_HAN}]+"
    r"|[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    rf"|{_DS_LEAD}?{_DS_LETTER}+| ?{_DS_MARK}+[\r\n]*|\s*[\r\n]+"
    rf"|\s+(?![^\s\p{{N}}{_HAN}])|\s+"
    rf"|(?:[^\s\p{{L}}\p{{M}}\p{{N}}\p{{P}}\p{{S}}](?!{_DS_LETTER}))+|[\s\S]"
)

_ENDOFTEXT = "<|endoftext|>"
_HARMONY_NAMED = {
    "<|startoftext|>": 199998,
    _ENDOFTEXT: 199999,
    "<|return|>": 200002,
    "<|constrain|>": 200003,
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
    "<|endofprompt|>": 200018,
}
_HARMONY = _HARMONY_NAMED | {
    f"<|reserved_{i}|>": i for i in range(200000, 201088) if i == 200018 or i not in set(_HARMONY_NAMED.values())
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How a tokenizer is built: packed file, pattern of its pre-tokenizer, special tokens."""

    file: str
    pattern: str
    special: dict[str, int] = field(default_factory=dict)
    first: int | None = None
    """How many of the file's tokens belong to it, where not all do."""
    nfc: bool = False
    """Whether text is brought to Unicode normal form C before it is split."""
    newline_barrier: bool = True
    """Whether a newline that a letter follows always ends a piece (:mod:`promptop.tokens.document`)."""


VOCABULARIES: dict[str, Vocabulary] = {
    "o200k_base": Vocabulary("o200k_base", _O200K, {_ENDOFTEXT: 199999, "<|endofprompt|>": 200018}),
    "o200k_harmony": Vocabulary("o200k_base", _O200K, _HARMONY),
    "cl100k_base": Vocabulary(
        "cl100k_base",
        _CL100K,
        {
            _ENDOFTEXT: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "p50k_base": Vocabulary("p50k_base", _GPT2, {_ENDOFTEXT: 50256}, newline_barrier=False),
    "r50k_base": Vocabulary("p50k_base", _GPT2, {_ENDOFTEXT: 50256}, first=50256, newline_barrier=False),
    "qwen": Vocabulary("qwen", _QWEN, nfc=True),
    "tekken": Vocabulary("tekken", _TEKKEN),
    "deepseek": Vocabulary("deepseek", _DEEPSEEK),
}
"""Encodings that are exact without network and without an extra."""

_lock = threading.RLock()


def names() -> tuple[str, ...]:
    """Return the encodings that are shipped; :mod:`promptop.tokens.splintr` brings more."""
    return tuple(VOCABULARIES)


def vocabulary(name: str) -> Vocabulary:
    """Return how ``name`` is built; raises :class:`UsageError` for a name that is not known."""
    from promptop.tokens import splintr

    found = VOCABULARIES.get(name) or splintr.VOCABULARIES.get(name)
    if found is None:
        known = ", ".join((*VOCABULARIES, *splintr.VOCABULARIES))
        raise UsageError(f"There is no encoding {name!r}.", f"Known: {known}.")
    return found


def encoding(name: str) -> tiktoken.Encoding:
    """Return the tiktoken Encoding called ``name``, built offline; the same object each time.

    Raises :class:`UsageError` for an unknown name, :class:`PromptopError` if the packed file is damaged or the extra
    that brings the vocabulary is missing. ``qwen`` expects text in normal form C (:func:`encoder` sees to that).
    """
    vocabulary(name)
    with _lock:
        if name in VOCABULARIES:
            return _build(name)
        from promptop.tokens import splintr

        return splintr.build(name)


def encoder(name: str) -> Callable[[str], list[int]]:
    """Return the function text → token ids of ordinary text: special-token text is text, any string is accepted."""
    made = encoding(name).encode_ordinary
    if vocabulary(name).nfc:
        normalize = unicodedata.normalize
        return lambda text: made(normalize("NFC", text))
    return made


def token_lengths(name: str) -> Sequence[int]:
    """Return the length in bytes of each token by its id (0 where an id is not used)."""
    if name not in VOCABULARIES:
        from promptop.tokens import splintr

        return splintr.token_lengths(name)
    lengths, _tokens, ids = _unpacked(vocabulary(name).file)
    first, _size = ids[0]
    if len(ids) == 1 and first == 0:
        return lengths
    out = bytearray(ids[-1][0] + ids[-1][1])
    place = 0
    for start, size in ids:
        out[start : start + size] = lengths[place : place + size]
        place += size
    return bytes(out)


def tokens_of(file: str) -> list[bytes]:
    """Return the bytes of each token of a packed file, in order of their ids; raises :class:`PromptopError`."""
    return _unpacked(file)[1]


@cache
def manifest() -> dict[str, dict[str, Any]]:
    """Return what the packing tool wrote about each file: tokens, ids, sha256 of payload and source, licence."""
    text = _PACKED.joinpath("manifest.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)
    return table


def payload(file: str) -> bytes:
    """Return the unpacked lengths and bytes of a packed file; raises :class:`PromptopError` if they are damaged."""
    import hashlib
    import lzma

    packed = _PACKED.joinpath(f"{file}.xz").read_bytes()
    try:
        data = lzma.decompress(packed)
    except (lzma.LZMAError, EOFError):
        data = b""
    if hashlib.sha256(data).hexdigest() != manifest()[file]["sha256"]:
        raise PromptopError(f"The packed ranks of {file} are damaged.", "Install promptop again.")
    return data


@cache
def _unpacked(file: str) -> tuple[bytes, list[bytes], list[tuple[int, int]]]:
    data = payload(file)
    entry = manifest()[file]
    size = entry["tokens"]
    lengths = data[:size]
    ends = list(accumulate(lengths, initial=size))
    tokens = [data[start:end] for start, end in pairwise(ends)]
    return lengths, tokens, [(start, count) for start, count in entry["ids"]]


def loaded(name: str) -> tiktoken.Encoding | None:
    """Return the encoding if this process has built it already; nothing is loaded."""
    return _built.get(name)


_built: dict[str, tiktoken.Encoding] = {}


def _build(name: str) -> tiktoken.Encoding:
    if name not in _built:
        _built[name] = _made(name)
    return _built[name]


def _made(name: str) -> tiktoken.Encoding:
    import tiktoken

    spec = vocabulary(name)
    _lengths, tokens, runs = _unpacked(spec.file)
    ids = [identity for start, size in runs for identity in range(start, start + size)]
    ranks = dict(zip(tokens[: spec.first], ids[: spec.first], strict=True))
    return tiktoken.Encoding(name, pat_str=spec.pattern, mergeable_ranks=ranks, special_tokens=spec.special)
