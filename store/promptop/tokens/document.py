"""A text whose token count is exact after every edit, at a cost that does not grow with the text.

The text is held as chunks of about 512 characters that start at barriers (:mod:`promptop.tokens.split_points`, which
says why the sum over chunks is the count of the text). An edit joins the chunks that it touches, adds a neighbour
where it broke the barrier between them, and encodes the result again with the real tokenizer; nothing else changes.
Chunks stand in blocks that know their sums, so finding a character, a line or the tokens before an offset takes O(√n)
steps.

A 1 MB run without any barrier is one chunk, and an edit in it costs what encoding it costs (0.4 s): the app keeps its
documents in the worker process for that reason.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

from promptop.tokens import vocabularies
from promptop.tokens.split_points import BARRIER, BARRIER_GPT2

TARGET = 512
"""Characters of a chunk: 256 to 1,024 measure alike; below, memory grows, above, edits."""
LONG = 32_768
"""Characters from which on a chunk, having no barrier, is worth another tokenizer."""
_HARD = 4 * TARGET
_SMALL = TARGET // 8
_BLOCK = 64
_LEADS = bytes(byte & 0xC0 != 0x80 for byte in range(256))


class _Chunk:
    """A stretch of text that starts at a barrier."""

    __slots__ = ("lines", "starts", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = -1
        """Tokens; −1 until it is counted."""
        self.lines = text.count("\n")
        self.starts: tuple[array[int], array[int]] | None = None
        """Character where each token begins, and the places in that list that lie inside a character."""


class _Block:
    """Some consecutive chunks and their sums; ``tokens`` holds those of counted chunks."""

    __slots__ = ("chars", "chunks", "lines", "tokens")

    def __init__(self, chunks: list[_Chunk]) -> None:
        self.chunks = chunks
        self.measure()

    def measure(self) -> None:
        self.chars = sum(len(chunk.text) for chunk in self.chunks)
        self.lines = sum(chunk.lines for chunk in self.chunks)
        self.tokens = sum(chunk.tokens for chunk in self.chunks if chunk.tokens >= 0)


class TokenDocument:
    """A text and its tokens under one encoding. Offsets are characters (code points)."""

    def __init__(
        self, encoding_name: str, text: str = "", encode_long: Callable[[str], list[int]] | None = None
    ) -> None:
        """Hold ``text``; ``encode_long`` takes over for long chunks if it is given: the same ids, sooner."""
        spec = vocabularies.vocabulary(encoding_name)
        self.encoding_name = encoding_name
        self._encode = vocabularies.encoder(encoding_name)
        self._encode_long = encode_long or self._encode
        self._lengths: Sequence[int] | None = None
        self._nfc = spec.nfc
        self._barrier = BARRIER if spec.newline_barrier else BARRIER_GPT2
        self._blocks = self._blocks_of(self._split(text))
        self._chars = len(text)
        self._dirty: set[_Block] = set(self._blocks)

    def __len__(self) -> int:
        return self._chars

    # Text

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(chunk.text for block in self._blocks for chunk in block.chunks)

    @property
    def lines(self) -> int:
        """Number of lines: newlines (``\\n`` alone) plus one."""
        return sum(block.lines for block in self._blocks) + 1

    def slice(self, start: int, end: int) -> str:
        """Return the characters [start, end)."""
        start, end = self._clamped(start, end)
        parts = []
        for chunk, at in self._chunks_from(start):
            if at >= end:
                break
            parts.append(chunk.text[max(0, start - at) : end - at])
        return "".join(parts)

    def offset_of_line(self, line: int) -> int:
        """Return the offset of the first character of ``line`` (from 0); the length of the text beyond the last."""
        if line <= 0:
            return 0
        at = 0
        for block in self._blocks:
            if line > block.lines:
                line -= block.lines
                at += block.chars
                continue
            for chunk in block.chunks:
                if line > chunk.lines:
                    line -= chunk.lines
                    at += len(chunk.text)
                    continue
                place = -1
                for _ in range(line):
                    place = chunk.text.find("\n", place + 1)
                return at + place + 1
        return at

    # Edits

    def replace(self, start: int, end: int, new: str) -> int:
        """Replace the characters [start, end) by ``new`` and return the exact new total.

        Raises :class:`IndexError` if the range does not lie in the text.
        """
        self.apply(start, end, new)
        return self.count

    def apply(self, start: int, end: int, new: str) -> None:
        """Replace the characters [start, end) by ``new``; tokens are counted when they are asked for."""
        if not 0 <= start <= end <= self._chars:
            raise IndexError(f"[{start}, {end}) does not lie in a text of {self._chars} characters")
        blocks, barrier = self._blocks, self._barrier.match
        b1, c1, at1 = self._locate(start)
        b2, c2, at2 = b1, c1, at1
        while at2 + len(blocks[b2].chunks[c2].text) < end:
            at2 += len(blocks[b2].chunks[c2].text)
            b2, c2 = (b2, c2 + 1) if c2 + 1 < len(blocks[b2].chunks) else (b2 + 1, 0)
        text = blocks[b1].chunks[c1].text[: start - at1] + new + blocks[b2].chunks[c2].text[end - at2 :]
        while b1 or c1:
            b0, c0 = (b1, c1 - 1) if c1 else (b1 - 1, len(blocks[b1 - 1].chunks) - 1)
            left = blocks[b0].chunks[c0].text
            if text and left and barrier(left[-1] + text[0], 1) and len(text) >= _SMALL:
                break
            if len(left) > _HARD and text and left and barrier(left[-1] + text[0], 1):
                break
            text, b1, c1 = left + text, b0, c0
        while True:
            b3, c3 = (b2, c2 + 1) if c2 + 1 < len(blocks[b2].chunks) else (b2 + 1, 0)
            if b3 >= len(blocks):
                break
            right = blocks[b3].chunks[c3].text
            if text and right and barrier(text[-1] + right[0], 1):
                break
            text, b2, c2 = text + right, b3, c3
        self._chars += len(new) - (end - start)
        self._exchange(b1, c1, b2, c2, self._split(text) if len(text) > _HARD else [_Chunk(text)])

    def _exchange(self, b1: int, c1: int, b2: int, c2: int, parts: list[_Chunk]) -> None:
        """Put ``parts`` where the chunks from (b1, c1) to (b2, c2), both included, stand."""
        blocks = self._blocks
        block = blocks[b1]
        if b1 == b2:
            gone = block.chunks[c1 : c2 + 1]
            block.chunks[c1 : c2 + 1] = parts
            for chunk in gone:
                block.chars -= len(chunk.text)
                block.lines -= chunk.lines
                block.tokens -= max(chunk.tokens, 0)
            for chunk in parts:
                block.chars += len(chunk.text)
                block.lines += chunk.lines
        else:
            self._dirty.difference_update(blocks[b1 + 1 : b2 + 1])
            block.chunks = block.chunks[:c1] + parts + blocks[b2].chunks[c2 + 1 :]
            del blocks[b1 + 1 : b2 + 1]
            block.measure()
        self._dirty.add(block)
        if len(block.chunks) > 2 * _BLOCK:
            self._dirty.discard(block)
            pieces = self._blocks_of(block.chunks)
            blocks[b1 : b1 + 1] = pieces
            self._dirty.update(pieces)

    # Counts

    @property
    def count(self) -> int:
        """Tokens of the whole text."""
        self._settle()
        return sum(block.tokens for block in self._blocks)

    def count_range(self, start: int, end: int) -> int:
        """Return how many tokens begin in the characters [start, end); neighbouring ranges add up."""
        start, end = self._clamped(start, end)
        return self._before(end) - self._before(start)

    def count_lines(self, first: int, last: int) -> list[int]:
        """Return the tokens that begin in each line from ``first`` to ``last``, a line's newline being part of it."""
        last = min(last, self.lines - 1)
        if first > last:
            return []
        at, end = self.offset_of_line(first), self.offset_of_line(last + 1)
        edges = [self._before(at)]
        for line in self.slice(at, end).split("\n")[: last - first + 1]:
            at += len(line) + 1
            edges.append(self._before(min(at, end)))
        return [after - before for before, after in pairwise(edges)]

    def boundaries(self, start: int, end: int) -> list[tuple[int, bool]]:
        """Return (character, merged) of each token that begins in [start, end).

        A token may begin inside a character; its edge is moved to that character's start and marked as merged, as is an
        edge where several tokens share one character.
        """
        start, end = self._clamped(start, end)
        out: list[tuple[int, bool]] = []
        for chunk, at in self._chunks_from(start):
            if at >= end:
                break
            places, inside = self._starts(chunk)
            low, high = bisect_left(places, start - at), bisect_left(places, end - at)
            odd = set(inside)
            for index in range(low, high):
                place, merged = places[index] + at, index in odd
                if out and out[-1][0] == place:
                    out[-1] = (place, True)
                else:
                    out.append((place, merged))
        return out

    # Inside

    def _clamped(self, start: int, end: int) -> tuple[int, int]:
        start = min(max(start, 0), self._chars)
        return start, min(max(end, start), self._chars)

    def _blocks_of(self, chunks: Sequence[_Chunk]) -> list[_Block]:
        return [_Block(list(chunks[at : at + _BLOCK])) for at in range(0, len(chunks), _BLOCK)]

    def _split(self, text: str) -> list[_Chunk]:
        """Cut a text that starts at a barrier into chunks of about ``TARGET`` characters."""
        out = []
        at, size, search = 0, len(text), self._barrier.search
        while size - at > 2 * TARGET:
            found = search(text, at + TARGET)
            if found is None:
                break
            out.append(_Chunk(text[at : found.start()]))
            at = found.start()
        out.append(_Chunk(text[at:]))
        return out

    def _locate(self, offset: int) -> tuple[int, int, int]:
        """Return block, chunk and the chunk's offset for the chunk that holds ``offset`` (the last one at the end)."""
        at = 0
        last = len(self._blocks) - 1
        for number, block in enumerate(self._blocks):
            if offset < at + block.chars or number == last:
                final = len(block.chunks) - 1
                for index, chunk in enumerate(block.chunks):
                    if offset < at + len(chunk.text) or index == final:
                        return number, index, at
                    at += len(chunk.text)
            at += block.chars
        raise AssertionError("a document has at least one chunk")

    def _chunks_from(self, offset: int) -> Iterator[tuple[_Chunk, int]]:
        number, index, at = self._locate(offset)
        while number < len(self._blocks):
            for chunk in self._blocks[number].chunks[index:]:
                yield chunk, at
                at += len(chunk.text)
            number, index = number + 1, 0

    def _settle(self) -> None:
        """Count the chunks that an edit left uncounted."""
        encode, long = self._encode, self._encode_long
        while self._dirty:
            block = self._dirty.pop()
            for chunk in block.chunks:
                if chunk.tokens < 0:
                    chunk.tokens = len(encode(chunk.text) if len(chunk.text) < LONG else long(chunk.text))
                    block.tokens += chunk.tokens

    def _before(self, offset: int) -> int:
        """Return how many tokens begin before ``offset``."""
        self._settle()
        tokens = at = 0
        for block in self._blocks:
            if offset >= at + block.chars:
                at += block.chars
                tokens += block.tokens
                continue
            for chunk in block.chunks:
                if offset >= at + len(chunk.text):
                    at += len(chunk.text)
                    tokens += chunk.tokens
                    continue
                if offset > at:
                    tokens += bisect_left(self._starts(chunk)[0], offset - at)
                return tokens
        return tokens

    def _starts(self, chunk: _Chunk) -> tuple[array[int], array[int]]:
        """Return the character in which each token of the chunk begins, and which of them begin inside a character."""
        if chunk.starts is None:
            if self._lengths is None:
                self._lengths = vocabularies.token_lengths(self.encoding_name)
            chunk.starts = token_starts(chunk.text, self._encode, self._lengths, self._nfc)
        return chunk.starts


def token_starts(
    text: str, encode: Callable[[str], list[int]], lengths: Sequence[int], nfc: bool
) -> tuple[array[int], array[int]]:
    """Return the character in which each token of ``text`` begins, and the indices of those that begin inside one."""
    ids = encode(text)
    ends = list(accumulate(map(lengths.__getitem__, ids), initial=0))
    ends.pop()
    if text.isascii():
        return array("l", ends), array("l")
    seen, origin = _as_encoded(text, nfc)
    leads = seen.encode("utf-8").translate(_LEADS)  # 1 where a character begins, 0 inside it
    owners = list(accumulate(leads))
    places = array("l", [owners[byte] - 1 for byte in ends])
    inside = array("l", [index for index, byte in enumerate(ends) if not leads[byte]])
    if origin is not None:
        inside = array("l")
        for index, byte in enumerate(ends):
            character = places[index]
            if not leads[byte] or (character and origin[character] == origin[character - 1]):
                inside.append(index)
            places[index] = origin[character]
    return places, inside


def _as_encoded(text: str, nfc: bool) -> tuple[str, list[int] | None]:
    """Return the text that the tokenizer sees, and for each of its characters the one of ``text`` it comes from.

    None stands for the same characters. Surrogates become U+FFFD, pairs of them one character, as tiktoken has it.
    """
    seen = text
    origin: list[int] | None = None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        seen = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        origin = []
        place = 0
        while place < len(text):
            origin.append(place)
            pair = "\ud800" <= text[place] <= "\udbff" and "\udc00" <= text[place + 1 : place + 2] <= "\udfff"
            place += 2 if pair else 1
    if not nfc or unicodedata.is_normalized("NFC", seen):
        return seen, origin
    normalize = unicodedata.normalize
    parts: list[str] = []  # stretches that are normalised each on its own: a character and the marks after it
    for character in seen:
        if parts and not character.isascii():
            before = parts[-1]
            joined = normalize("NFC", before + character)
            if unicodedata.combining(character) or joined != normalize("NFC", before) + normalize("NFC", character):
                parts[-1] = before + character
                continue
        parts.append(character)
    whole: list[str] = []
    map_back: list[int] = []
    place = 0
    for part in parts:
        normal = normalize("NFC", part)
        whole.append(normal)
        same = normal == part
        for step in range(len(normal)):
            here = place + step if same else place
            map_back.append(here if origin is None else origin[here])
        place += len(part)
    return "".join(whole), map_back
