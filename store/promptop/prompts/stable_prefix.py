"""How much of a prompt's beginning stays the same from call to call: what a provider keeps for the next one.

It is kept only as far as not one token differs, and only from :data:`CACHE_FLOOR` tokens on. Lint, the editor's figure
and the ablation's layout ask here, so that they name the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from promptop.prompts.document import Prompt
from promptop.prompts.syntax.variables import VARIABLE

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

_OF_THE_CALL = re.compile(
    r"\b(?:now|today|current(?:ly)?|date|time|timestamp|session|request|conversation|trace|turn|call|attempt|message|ticket|order|user"
    r"|as of|generated|updated|it is|it['’]s)\b"
    r"|当前|现在|今天|今日|日期|时间|会话|请求|订单|用户|工单|第",
    re.IGNORECASE,
)
"""What makes a date, a time or a number one of the call."""
_OF_THE_TEXT = re.compile(
    r"\b(?:last|version|released?|since|until|cut-?off|changed|published|revised|valid)\b|版本|截止|发布|自|更新",
    re.IGNORECASE,
)
"""What makes a date one of the prompt's own history."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The beginning that is the same in each call."""

    start: int
    """Offset of the first message's first character."""
    end: int
    """Offset of the first character that differs from call to call; the end of the last message if none does."""
    volatile: str = ""
    """The text that differs; empty if none does."""


@lru_cache(maxsize=2)
def first_volatile(text: str, start: int, end: int) -> re.Match[str] | None:
    """Find the first place in [start, end) that is likely another one in the next call; kept for who asks next.

    Takes 0.1 ms for each 1,000 characters, and both the prefix and its lint rule ask at each rest of the keys.
    """
    return next((found for found in VOLATILE.finditer(text, start, end) if _changes(text, found)), None)


def _changes(text: str, found: re.Match[str]) -> bool:
    """Tell whether a date or number is one of the call; not if it is in a name, an address or the prompt's history."""
    if found[0].startswith("{{"):
        return True
    begin = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    line = text[begin : end if end >= 0 else len(text)]
    before = text[begin : found.start()]
    if before[-1:] in ("-", "_") or (before[-1:].isascii() and before[-1:].isalnum()) or "://" in line:
        return False
    near = f"{before}{found[0]}{text[found.end() : found.end() + 12]}"
    return _OF_THE_CALL.search(near) is not None and _OF_THE_TEXT.search(before[-30:]) is None


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
