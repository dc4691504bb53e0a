"""Counts of files of any size in constant memory: read in blocks, cut at barriers, count each part."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from promptop.base.errors import PromptopError
from promptop.tokens import scripts, splintr, vocabularies
from promptop.tokens.scripts import Chars
from promptop.tokens.short_texts import count_tokens
from promptop.tokens.split_points import BARRIER, BARRIER_GPT2

BLOCK = 1 << 20
"""Bytes of a read."""
LONGEST_RUN = 1 << 22
"""Characters without a barrier above which a file is refused: 4 Mi of them are no text, not even base64."""
_PROBE = 8192
_SEARCHED = 4096


@dataclass(frozen=True, slots=True)
class FileCounts:
    """Tokens by encoding and characters by script."""

    counts: Mapping[str, int]
    chars: Chars


def count_stream(stream: BinaryIO, name: str, encodings: Sequence[str]) -> FileCounts:
    """Count a stream of UTF-8 under each encoding; the result is that of counting the whole text at once.

    ``name`` is for messages. Raises :class:`PromptopError` for binary data, for text that is not UTF-8, and for a run
    of more than :data:`LONGEST_RUN` characters without a place to split.
    """
    fast: list[tuple[str, Callable[[str], list[int]]]] = []
    gpt2 = any(not vocabularies.vocabulary(encoding).newline_barrier for encoding in encodings)
    barrier = BARRIER_GPT2 if gpt2 else BARRIER
    counts = dict.fromkeys(encodings, 0)
    chars: Chars = (0, 0, 0, 0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    held, read, searched = "", 0, 0
    while True:
        data = stream.read(BLOCK)
        if not read and b"\0" in data[:_PROBE]:
            raise PromptopError(
                f"{name} is a binary file (or UTF-16): it holds zero bytes.",
                "Give a text file in UTF-8; iconv -f UTF-16 -t UTF-8 converts.",
            )
        try:
            held += decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            place = read - len(decoder.getstate()[0]) + error.start
            raise PromptopError(
                f"{name} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {place:,}.",
                "Convert it first, for example: iconv -f GB18030 -t UTF-8 FILE",
            ) from None
        if not read and len(data) == BLOCK:  # its trial pays off from a megabyte on
            fast = [(encoding, splintr.encoder(encoding)) for encoding in encodings]
        read += len(data)
        cut = len(held)
        if data:
            cut = _last_barrier(held, barrier, searched)
            if not cut and len(held) > LONGEST_RUN:
                raise PromptopError(
                    f"{name} has a run of more than {LONGEST_RUN:,} characters without a blank or punctuation.",
                    "Such a file is not a prompt; give it in parts.",
                )
        part, held = held[:cut], held[cut:]
        searched = len(held)  # what is left over holds no barrier
        if part:
            chars = scripts.add(chars, scripts.chars_by_script(part))
            for encoding, encode in fast:
                counts[encoding] += len(encode(part))
            for encoding in () if fast else encodings:
                counts[encoding] += count_tokens(encoding, part)
        if not data:
            return FileCounts(counts, chars)


def _last_barrier(text: str, barrier: re.Pattern[str], searched: int) -> int:
    """Return the place of the last barrier in ``text``; 0 if there is none past its first ``searched`` characters."""
    window = _SEARCHED
    first = max(searched, 1)
    while True:
        start = max(len(text) - window, first)
        last = 0
        for found in barrier.finditer(text, start):
            last = found.start()
        if last or start == first:
            return last
        window *= 8
