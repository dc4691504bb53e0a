"""What a prompt is made of: blocks in sections in messages, and the spans that an edit must leave alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]
"""Offsets in characters of the whole text: first, and one behind the last."""

BlockKind = Literal[
    "paragraph", "item", "heading", "label", "separator", "fence", "code", "table", "tag", "parameter", "example",
    "data", "form", "template", "literal",
]  # fmt: skip
"""``paragraph`` and ``item`` are prose that may be edited; all others come out as they went in."""
Language = Literal["en", "zh", "mixed", "other"]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of lines of one kind."""

    kind: BlockKind
    start: int
    """Offset of its first character; a bullet or number before an item is not part of it."""
    end: int
    section: int
    """Number of the section that holds it: two blocks of one number stand under the same heading, label and tag."""
    message: int
    """Number of the message that holds it."""
    detail: str = ""
    """What it is in words, for ``kind`` fence, code, tag, data and literal: ``JSON``, ``<document>`` …"""
    language: Language = "en"
    """Language of prose; ``other`` is left alone."""

    @property
    def is_prose(self) -> bool:
        """Whether its words are instructions that may be said with less."""
        return self.kind in ("paragraph", "item")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the outline: a message, what a heading or a tag begins, a tool, a few-shot example."""

    kind: Literal["message", "heading", "tag", "example", "examples", "code", "data"]
    title: str
    start: int
    """Offset of its first character, heading and tags included."""
    end: int
    children: tuple[Section, ...] = ()

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Section]]:
        """Yield (depth, section) in the order of the text, this one first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True, slots=True)
class Protected:
    """A span that a safe edit must not change, and what it is."""

    start: int
    end: int
    reason: str


class Cover:
    """Spans that may overlap, merged and searched by bisection."""

    def __init__(self, spans: Iterable[Protected]) -> None:
        merged: list[Protected] = []
        for each in sorted(spans, key=lambda span: (span.start, -span.end)):
            if merged and each.start < merged[-1].end:
                if each.end > merged[-1].end:
                    merged[-1] = Protected(merged[-1].start, each.end, merged[-1].reason)
            elif each.end > each.start:
                merged.append(each)
        self.spans = tuple(merged)
        self._starts = [each.start for each in merged]

    def first_in(self, start: int, end: int) -> Protected | None:
        """Return the first span that shares a character with [start, end), or that holds an empty [start, start)."""
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self.spans[at].end > start and (start < end or self.spans[at].start < start):
            return self.spans[at]
        if at + 1 < len(self.spans) and self.spans[at + 1].start < end:
            return self.spans[at + 1]
        return None

    def all_in(self, start: int, end: int) -> tuple[Protected, ...]:
        """Return the spans that share a character with [start, end)."""
        low = bisect_right(self._starts, start) - 1
        if low < 0 or self.spans[low].end <= start:
            low += 1
        high = low
        while high < len(self.spans) and self.spans[high].start < end:
            high += 1
        return self.spans[low:high]
