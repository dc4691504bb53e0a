"""What a rule must not touch, and where sentences begin.

Protected are front matter, marker lines, fenced and inline code, quoted strings, addresses, variables and other
placeholders, tags, and numbers. Negations are guarded apart: an edit may move them, but the ones before and the ones
after must be the same (:func:`negations`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property

from promptop.base.errors import PromptopError
from promptop.prompts import parse

_MARKER_LINE = re.compile(
    r"^[ \t]*(?:#[ \t]*)?(?:system|developer|user|assistant|tool)[ \t]*[:：][ \t]*$", re.IGNORECASE | re.MULTILINE
)
_FENCE = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n(?:.*?^[ \t]*(?P=fence)[`~]*[ \t]*$|.*\Z)", re.MULTILINE | re.DOTALL
)
_INLINE = re.compile(
    r"(?P<tick>`{1,2})(?!`)[^\n]+?(?P=tick)"
    r'|"[^"\n]{1,400}"|“[^”]{1,400}”|‘[^’\n]{1,400}’|「[^」]{1,400}」|『[^』]{1,400}』|《[^》\n]{1,80}》'
    r"|(?<![\w'])'[^'\n]{1,200}'(?!\w)"
    r"|\b(?:https?|ftp|file)://[^\s<>\"'，。）]+|\b[\w.+-]+@[\w-]+\.[\w.]+"
    r"|\{\{[^{}\n]*\}\}|\$?\{\w+\}|<%[^%]*%>|%\(\w+\)[sd]|<[/!?]?[A-Za-z][^<>\n]{0,80}>|\[[A-Z_]{2,}\]"
    r"|(?<![A-Za-z])[-+]?\d[\d.,:/%-]*\d|\d",
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|nothing|nobody|without|cannot|unless|except|avoid|only|don't|doesn't|didn't"
    r"|won't|can't|isn't|aren't|shouldn't|mustn't|couldn't|wouldn't)\b"
    r"|(?<![能可是要会])不(?!妨)|没有?|(?<![特分类区识个性级鉴])别|勿|无(?!论)|非(?!常)|禁止|避免|除非|除了|仅|只",
    re.IGNORECASE,
)
_BEFORE_START = re.compile(r"(?:^|\n|[.!?。！？：:；;])[ \t]*(?:[-*+>#•]+[ \t]*|\d+[.)、][ \t]*|[(（][ \t]*)*\Z")
_CLAUSE_START = re.compile(r"(?:^|\n|[.!?,。！？：:；;，、])[ \t]*(?:[-*+>#•]+[ \t]*|\d+[.)、][ \t]*|[(（][ \t]*)*\Z")

Span = tuple[int, int]


def negations(text: str) -> list[str]:
    """Return the words of a text that deny, restrict or except, in order."""
    return [found[0].lower() for found in _NEGATION.finditer(text)]


class Zones:
    """A text with its protected spans; built once for a pass over it."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            prompt = parse(text)
        except PromptopError:  # front matter that is no YAML: all up to its end is left alone below
            self.messages: tuple[Span, ...] = ((0, len(text)),)
            self.roles: tuple[str, ...] = ("user",)
            self.body_start = 0
        else:
            self.messages = tuple((message.start, message.end) for message in prompt.messages)
            self.roles = tuple(message.role for message in prompt.messages)
            self.body_start = prompt.body_start
        self.fences: tuple[Span, ...] = tuple(found.span() for found in _FENCE.finditer(text, self.body_start))
        spans = [(0, self.body_start)] if self.body_start else []
        spans += self.fences
        spans += [found.span() for found in _MARKER_LINE.finditer(text, self.body_start)]
        inside = _Cover(spans)
        spans += [f.span() for f in _INLINE.finditer(text, self.body_start) if not inside.touches(*f.span())]
        self._cover = _Cover(spans)

    @property
    def protected(self) -> tuple[Span, ...]:
        """The protected spans, in order."""
        return self._cover.spans

    def touches(self, start: int, end: int) -> bool:
        """Tell whether [start, end) takes anything of a protected span."""
        return self._cover.touches(start, end)

    def begins_sentence(self, at: int) -> bool:
        """Tell whether a sentence, or the text of a list item, begins at ``at``."""
        return _BEFORE_START.search(self.text[max(0, at - 24) : at]) is not None or at == 0

    def begins_clause(self, at: int) -> bool:
        """Tell whether a clause begins at ``at``: as a sentence, or after a comma."""
        return _CLAUSE_START.search(self.text[max(0, at - 24) : at]) is not None or at == 0

    def role_at(self, at: int) -> str:
        """Return the role of the message that holds ``at``; an empty string between messages."""
        for role, (start, end) in zip(self.roles, self.messages, strict=True):
            if start <= at < end:
                return role
        return ""

    def message_of(self, at: int) -> Span:
        """Return the message's span that holds ``at``; the empty span at ``at`` between messages."""
        return next(((start, end) for start, end in self.messages if start <= at < end), (at, at))

    @cached_property
    def sentences(self) -> tuple[Span, ...]:
        """Sentences outside fences: lines, cut behind the punctuation that ends a sentence."""
        fences = _Cover(self.fences)
        found = []
        for start, end in self.messages:
            for line in re.finditer(r"[^\n]+", self.text[start:end]):
                at = start + line.start()
                for part in re.finditer(r".+?(?:[.!?](?=\s|$)|[。！？]+|$)", line[0]):
                    span = at + part.start(), at + part.end()
                    if not fences.touches(*span):
                        found.append(span)
        return tuple(found)


class _Cover:
    """Spans that may overlap, merged and searched by bisection."""

    def __init__(self, spans: Iterable[Span]) -> None:
        merged: list[Span] = []
        for start, end in sorted(spans):
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            elif end > start:
                merged.append((start, end))
        self.spans = tuple(merged)
        self._starts = [start for start, _ in merged]

    def touches(self, start: int, end: int) -> bool:
        at = bisect_right(self._starts, start) - 1
        if at >= 0 and self.spans[at][1] > start:
            return start < end or self.spans[at][0] < start
        return at + 1 < len(self.spans) and self.spans[at + 1][0] < end
