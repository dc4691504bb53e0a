"""What the parts of a prompt are for, and how much of its beginning stays the same from call to call.

Sections are *system* (system and developer messages), *examples* (exchanges before the last user message, and parts
under a heading such as "Example 1" or 示例), *context* (tool results, fences, and parts under a heading such as
"Document" or 背景) and *question* (the rest of what the user says). A provider keeps the beginning of a prompt for the
next call only as far as not one token differs, and only from :data:`CACHE_FLOOR` tokens on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from promptop.prompts.document import Prompt
from promptop.prompts.syntax.variables import VARIABLE

KINDS = ("system", "examples", "context", "question")
CACHE_FLOOR = 1024
"""Tokens of an equal beginning below which nothing is kept (OpenAI; Anthropic's larger models: the same)."""

VOLATILE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2})?|\b\d{1,2}:\d{2}:\d{2}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b"
    r"|\d{4}年\d{1,2}月\d{1,2}日|\b1[4-9]\d{8}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{24,}\b"
    r"|\b(?:request|session|conversation|trace|message|ticket|order|user)[ _-]?(?:id|no\.?|number)\s*[:=#]\s*\w+"
    r"|(?:请求|会话|订单|用户|工单)(?:号|编号|ID)\s*[:：=#]\s*\w+"
    r"|\b(?:turn|attempt|iteration|call|round|message)\s*#?\d+\s*(?:of|/)\s*\d+|第\s*\d+\s*[次轮回]"
    r"|\{\{\s*(?:date|time|now|today|timestamp|counter|turn|\w*_id|user_?id|session\w*|request_?id|uuid|日期|时间|编号)\s*\}\}",
    re.IGNORECASE,
)
"""Text that is likely another one in the next call: dates, times, ids, counters."""

_HEADING = r"^[ \t]*(?:#{1,6}[ \t]*|\*\*|【|<)?(?:"
_EXAMPLES = re.compile(
    _HEADING + r"(?:few[- ]shot )?examples?\b|sample (?:input|output)s?\b|示例|例子|例[一二三四五\d]|样例|输入示例)"
    r"[^\n]{0,40}$",
    re.IGNORECASE | re.MULTILINE,
)
_CONTEXT = re.compile(
    _HEADING + r"context|documents?|background|article|transcript|source(?: text)?|data|passages?|reference"
    r"|背景|上下文|文档|资料|材料|原文|数据|参考)\b[^\n]{0,40}$",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION = re.compile(
    _HEADING + r"questions?|tasks?|instructions?|request|now\b|your turn|问题|任务|要求|指令|现在)[^\n]{0,40}$",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^[ \t]*(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the text with one purpose."""

    kind: str
    """One of :data:`KINDS`."""
    start: int
    """Offset in characters."""
    end: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning that is the same in each call."""

    start: int
    """Offset of the first message's first character."""
    end: int
    """Offset of the first character that differs from call to call; the end of the last message if none does."""
    volatile: str = ""
    """The text that differs; empty if none does."""


def sections(text: str, prompt: Prompt) -> tuple[Section, ...]:
    """Return the sections of ``prompt``, which was parsed from ``text``, in order; marker lines belong to none."""
    found: list[Section] = []
    users = [at for at, message in enumerate(prompt.messages) if message.role == "user"]
    last = users[-1] if users else len(prompt.messages)
    for at, message in enumerate(prompt.messages):
        if message.role in ("system", "developer"):
            rest = "system"
        elif message.role == "tool":
            found.append(Section("context", message.start, message.end))
            continue
        else:
            rest = "examples" if at < last else "question"
        found += _inside(text, message.start, message.end, rest)
    return tuple(section for section in found if section.end > section.start)


def _inside(text: str, start: int, end: int, rest: str) -> Iterator[Section]:
    """Cut one message at headings and around fences."""
    if rest == "examples":
        yield Section(rest, start, end)
        return
    cuts: list[tuple[int, str]] = [(start, rest)]
    for kind, pattern in (("examples", _EXAMPLES), ("context", _CONTEXT), (rest, _QUESTION)):
        cuts += [(match.start(), kind) for match in pattern.finditer(text, start, end)]
    cuts.sort(key=lambda cut: cut[0])  # at one place, the later kind has it
    bounds = [at for at, _ in cuts[1:]] + [end]
    for (begin, kind), stop in zip(cuts, bounds, strict=True):
        at = begin
        if kind not in ("examples", "context"):
            for fence in _FENCE.finditer(text, begin, stop):
                yield Section(kind, at, fence.start())
                yield Section("context", fence.start(), fence.end())
                at = fence.end()
        yield Section(kind, at, stop)


@lru_cache(maxsize=2)
def first_volatile(text: str, start: int, end: int) -> re.Match[str] | None:
    """Find the first place in [start, end) that is likely another one in the next call; kept for who asks next.

    Takes 0.1 ms for each 1,000 characters, and both the prefix and its lint rule ask at each rest of the keys.
    """
    return VOLATILE.search(text, start, end)


def stable_prefix(text: str, prompt: Prompt) -> Prefix:
    """Return how far the prompt is the same from call to call: up to the first variable, date, time or id."""
    if not prompt.messages:
        return Prefix(0, 0)
    start, end = prompt.messages[0].start, prompt.messages[-1].end
    found = [match for match in (first_volatile(text, start, end), VARIABLE.search(text, start, end)) if match]
    if not found:
        return Prefix(start, end)
    first = min(found, key=lambda match: match.start())
    return Prefix(start, first.start(), first[0])
