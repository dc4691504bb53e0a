"""Exact counts of short texts without building a tokenizer, which takes half a second of a command's time.

A vocabulary is unpacked once into a table of its tokens: a hash table (open addressing over CRC-32), the places of the
tokens and their bytes, in one file of the state folder that is read as it stands, in 2 ms. Pieces are cut by the
vocabulary's own pattern, and merged as tiktoken merges them. Texts of which any character could be classed otherwise by
the two regular expression engines, and long ones, go to tiktoken, which stays the reference.

A table is written beside its place and moved there, so that readers and other writers see whole files alone; its
checksum covers every byte, and its name the vocabulary and the format: what is damaged or of another version is written
anew. Without a folder that can be written to, tiktoken counts.
"""

from __future__ import annotations

import contextlib
import re
import struct
import sys
import unicodedata
import zlib
from array import array
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from promptop.base.files import state_dir, write_private
from promptop.tokens import vocabularies

LONGEST = 16_384
"""Characters above which tiktoken counts: about where loading it costs less than merging in Python."""
LONGEST_PIECE = 512
"""Bytes of a piece above which tiktoken counts: merging takes their square."""

_MAGIC = b"ptranks1" if sys.byteorder == "little" else b"PTRANKS1"
_HEAD = struct.Struct("=8s4I")
"""Magic, checksum of what follows, slots of the hash table, tokens, bytes of all tokens."""
_PARTS = re.compile(r"\\p\{\w+\}|\\.|[\s\S]")
_ASCII_CLASSES = {"L": "A-Za-z", "Lu": "A-Z", "Ll": "a-z", "N": "0-9"} | dict.fromkeys(("Lt", "Lm", "Lo", "M"), "")
_PLAIN = re.compile(
    r"[\t\n\r\x20-\x7e\xa0-\u017e\u0180-\u024f\u0391-\u03a1\u03a3-\u03ff\u0400-\u052f\u05d0-\u05ea\u0620-\u064a"
    r"\u0660-\u0669\u0904-\u0939\u0e01-\u0e3a\u0e40-\u0e5b\u1e00-\u1e95\u1ea0-\u1eff\u2010-\u2027\u2030-\u205e"
    r"\u20a0-\u20bd\u2190-\u23f3\u2460-\u26ff\u2701-\u27bf\u3000-\u3029\u3030-\u303f\u3041-\u3096\u309b-\u30ff"
    r"\u3400-\u4db5\u4e00-\u9fcc\uac00-\ud7a3\uff01-\uffbe\U0001f300-\U0001f64f\U0001f680-\U0001f6c5]*"
)
"""Texts of characters that have been assigned for long, and are of one class in every version of Unicode since."""


def count_tokens(name: str, text: str) -> int:
    """Return the number of tokens of ``text`` as ordinary text under an encoding."""
    if vocabularies.loaded(name) is None and len(text) <= LONGEST and _PLAIN.fullmatch(text):
        counter = _counter(name)
        found = counter.count(text) if counter is not None else None
        if found is not None:
            return found
    return len(vocabularies.encoder(name)(text))


class _Ranks:
    """The tokens of a vocabulary by their bytes; the rank of a token is its place among them."""

    def __init__(self, data: bytes) -> None:
        """Take the content of a table's file; raises :class:`ValueError` for one that is damaged."""
        if len(data) < _HEAD.size:
            raise ValueError("cut short")
        magic, checksum, slots, tokens, size = _HEAD.unpack_from(data)
        view = memoryview(data)[_HEAD.size :]
        if magic != _MAGIC or len(view) != 4 * (slots + tokens + 1) + size or zlib.crc32(view) != checksum:
            raise ValueError("damaged")
        self._mask = slots - 1
        self._slots = view[: 4 * slots].cast("I")
        self._places = view[4 * slots : 4 * (slots + tokens + 1)].cast("I")
        self._bytes = bytes(view[4 * (slots + tokens + 1) :])

    def get(self, token: bytes) -> int | None:
        """Return the rank of a token, None for bytes that are no token."""
        slots, places = self._slots, self._places
        slot = zlib.crc32(token) & self._mask
        while found := slots[slot]:
            start = places[found - 1]
            if places[found] - start == len(token) and self._bytes.startswith(token, start):
                return int(found) - 1
            slot = (slot + 1) & self._mask
        return None


class _Counter:
    """Counts the tokens of texts under one encoding."""

    def __init__(self, ranks: _Ranks, spec: vocabularies.Vocabulary) -> None:
        self._pattern = spec.pattern
        self._ranks = ranks
        self._first = spec.first if spec.first is not None else 1 << 31
        self._nfc = spec.nfc
        self._known: dict[bytes, int] = {}

    def count(self, text: str) -> int | None:
        """Return the number of tokens; None if a piece is so long that tiktoken is faster."""
        if self._nfc:
            text = unicodedata.normalize("NFC", text)
        pieces = self._ascii if text.isascii() and self._ascii is not None else self._unicode
        total = 0
        for found in pieces.finditer(text):
            piece = found[0].encode()
            size = self._known.get(piece)
            if size is None:
                if len(piece) > LONGEST_PIECE:
                    return None
                size = self._known[piece] = 1 if self._rank(piece) is not None else self._merged(piece)
            total += size
        return total

    @cached_property
    def _unicode(self) -> Any:
        import regex

        # Sets within sets ("&&") are read as Rust reads them in version 1 alone.
        return regex.compile(self._pattern, regex.VERSION1 if "&&" in self._pattern else regex.VERSION0)

    @cached_property
    def _ascii(self) -> re.Pattern[str] | None:
        """The pattern for ASCII alone, in the standard library's terms: importing regex takes 35 ms.

        None for one with sets within sets.
        """
        return re.compile(ascii_pattern(self._pattern), re.ASCII) if "&&" not in self._pattern else None

    def _rank(self, token: bytes) -> int | None:
        rank = self._ranks.get(token)
        return rank if rank is not None and rank < self._first else None

    def _merged(self, piece: bytes) -> int:
        """Merge the pair of the lowest rank, the first of equals, until none is a token; return what is left."""
        ends = list(range(len(piece) + 1))
        ranks = [self._rank(piece[at : at + 2]) for at in range(len(piece) - 1)]
        while True:
            lowest = min((rank for rank in ranks if rank is not None), default=None)
            if lowest is None:
                return len(ends) - 1
            at = ranks.index(lowest)
            del ends[at + 1]
            del ranks[at]
            if at < len(ranks):
                ranks[at] = self._rank(piece[ends[at] : ends[at + 2]])
            if at:
                ranks[at - 1] = self._rank(piece[ends[at - 1] : ends[at + 1]])


def ascii_pattern(pattern: str) -> str:
    r"""Return a pattern with ``\\p{L}`` and the like as the ASCII characters of the class."""
    in_class = False
    out = []
    for part in _PARTS.findall(pattern):
        if part.startswith(r"\p"):
            letters = _ASCII_CLASSES[part[3:-1]]
            out.append(letters if in_class else f"[{letters}]")
            continue
        in_class = part == "[" or (in_class and part != "]")
        out.append(part)
    # A set of which nothing is left in ASCII would be empty, which no set can be.
    return "".join(out)


@cache
def _counter(name: str) -> _Counter | None:
    """Return what counts under an encoding, None where there is no table of it and none can be kept."""
    spec = vocabularies.VOCABULARIES.get(name)
    if spec is None:
        return None
    path = _table(spec.file)
    with contextlib.suppress(OSError, ValueError):
        return _Counter(_Ranks(path.read_bytes()), spec)
    data = _packed(vocabularies.tokens_of(spec.file))
    try:
        write_private(path, data)
        _remove_older(path, spec.file)
    except OSError:
        return None  # tiktoken counts: a table that cannot be kept would be made anew for each command
    return _Counter(_Ranks(data), spec)


def _table(file: str) -> Path:
    made_from: Any = vocabularies.manifest()[file]["sha256"]
    return state_dir() / "vocabularies" / f"{file}-{_MAGIC.decode()}-{made_from[:16]}.ranks"


def _remove_older(kept: Path, file: str) -> None:
    for path in kept.parent.glob(f"{file}-*.ranks"):
        if path != kept:
            path.unlink(missing_ok=True)


def _packed(tokens: list[bytes]) -> bytes:
    """Return the content of a table's file."""
    size = 1 << (2 * len(tokens)).bit_length()
    slots, mask, crc32 = array("I", bytes(4 * size)), size - 1, zlib.crc32
    places, place = array("I", [0]), 0
    for number, token in enumerate(tokens, 1):
        slot = crc32(token) & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = number
        place += len(token)
        places.append(place)
    body = slots.tobytes() + places.tobytes() + b"".join(tokens)
    return _HEAD.pack(_MAGIC, zlib.crc32(body), size, len(tokens), place) + body
