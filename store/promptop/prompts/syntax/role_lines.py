"""Lines of a prompt that mean something: role lines begin messages, directives carry what is not text.

A role line stands at the left edge, outside fences and outside a pair of tags whose opening tag begins a line: in a
fenced YAML file or a transcript in tags, ``user:`` is content. A line of content that looks like one of ours is written
with a backslash before it.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence

from promptop.prompts import comments

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles that a role line may name."""

_ROLE = r"(?:#[ \t]*)?(?P<role>" + "|".join(ROLES) + r")[ \t]*(?:\[(?P<attributes>[^\]\n]*)\][ \t]*)?[:：]"
_BEGIN = r"(?:^|(?<=\A\ufeff))"
"""The start of a line; a byte order mark may stand before the first."""
MARKER = re.compile(rf"{_BEGIN}{_ROLE}[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)
INLINE = re.compile(rf"{_BEGIN}{_ROLE}[ \t]*(?=[^\s:：])", re.MULTILINE | re.IGNORECASE)
"""A role with text behind it: to a person a message, to promptop text."""
DIRECTIVE = re.compile(rf"{_BEGIN}@(?P<name>message|part|image)(?P<value>[ \t][^\n\r]*)\r?$", re.MULTILINE)

_ROLE_PLAIN = _ROLE.replace("?P<role>", "?:").replace("(?P<attributes>", "(?:")
_OURS = rf"(?:{_ROLE_PLAIN}[ \t]*\r?$|@(?:message|part|image)[ \t])"
ESCAPED = re.compile(rf"^\\(?=\\*{_OURS})", re.MULTILINE | re.IGNORECASE)
_NEEDS_ESCAPE = re.compile(rf"^\\*(?={_OURS})", re.MULTILINE | re.IGNORECASE)

_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)$", re.MULTILINE)
_TAG = re.compile(
    r"^[ \t]*<(?P<open>[A-Za-z_][\w.:-]*)(?:[ \t][^<>\n]*)?(?<!/)>|</(?P<close>[A-Za-z_][\w.:-]*)[ \t]*>", re.MULTILINE
)

Span = tuple[int, int]


def markers(text: str, start: int = 0) -> list[re.Match[str]]:
    """Return the role lines of a text from ``start`` on, those inside fences and tags left out."""
    found = list(MARKER.finditer(text, start))
    if not found:
        return found
    inside = Inside(content_spans(text, start))
    return [each for each in found if each.start() not in inside]


def content_spans(text: str, start: int = 0) -> list[Span]:
    """Return the fenced blocks, the pairs of tags and what is switched off of a text, merged and in order.

    A fence or a tag that is never closed holds nothing.
    """
    spans = sorted([*_fences(text, start), *_tags(text, start), *comments.spans(text, start)])
    merged: list[Span] = []
    for begin, end in spans:
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _fences(text: str, start: int) -> Iterator[Span]:
    opened: re.Match[str] | None = None
    for each in _FENCE.finditer(text, start):
        info = each["info"].strip()
        if opened is None:
            if "`" not in info or each["fence"][0] == "~":  # ```code``` on one line is not a fence
                opened = each
        elif each["fence"].startswith(opened["fence"]) and not info:
            yield opened.start(), each.end()
            opened = None


def _tags(text: str, start: int) -> Iterator[Span]:
    if "</" not in text:
        return
    opened: dict[str, list[int]] = {}
    for each in _TAG.finditer(text, start):
        if each["open"]:
            opened.setdefault(each["open"], []).append(each.start())
        elif places := opened.get(each["close"]):
            yield places.pop(), each.end()


class Inside:
    """Tells whether an offset lies within spans that are in order and apart."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._starts = [begin for begin, _ in spans]
        self._ends = [end for _, end in spans]

    def __contains__(self, offset: int) -> bool:
        at = bisect.bisect_right(self._starts, offset) - 1
        return at >= 0 and offset < self._ends[at]


def escape(text: str, *, everywhere: bool = False) -> str:
    """Return content with a backslash before each line that would be read as one of ours.

    ``everywhere`` escapes those in fences and tags too, where a fence of another message could leave them outside.
    """
    inside = Inside([] if everywhere else content_spans(text))

    def escaped(found: re.Match[str]) -> str:
        # What has a backslash already loses one when it is read, wherever it stands.
        return found[0] if not found[0] and found.start() in inside else "\\" + found[0]

    return _NEEDS_ESCAPE.sub(escaped, text)
