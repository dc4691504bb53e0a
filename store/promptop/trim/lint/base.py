"""What a check of a prompt is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from promptop.prompts import Prompt
from promptop.prompts.structure import Block, Structure

Severity = Literal["warning", "hint"]


@dataclass(frozen=True, slots=True)
class Place:
    """What a check found: offsets in characters (equal for the whole prompt) and what to do about it."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class LintCheck:
    """A rule: its id, severity, what it says of itself, and how it looks."""

    id: str
    severity: Severity
    description: str
    look: Callable[[Structure, Prompt], Iterator[Place]]


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern that is read without regard to case, line by line."""
    return re.compile(text, re.IGNORECASE | re.MULTILINE)


def sentences(structure: Structure) -> Iterator[tuple[Block, int, int, str]]:
    """Yield (block, start, end, text) of the sentences that ask something: prose of system and user messages."""
    for block, start, end in structure.sentences:
        yield block, start, end, structure.text[start:end]


def is_quoted(structure: Structure, start: int, end: int) -> bool:
    """Tell whether a place stands in a protected span: code, a quotation, an example, a placeholder."""
    return structure.cover.first_in(start, end) is not None


def instructions(structure: Structure) -> str:
    """Return all that the system and the user say, examples and code left out."""
    return "\n".join(
        structure.text[block.start : block.end]
        for block in structure.blocks
        if block.kind in ("paragraph", "item", "heading", "label", "literal")
    )


def written(structure: Structure) -> str:
    """Return all that the system and the user say, with code and examples."""
    return "\n".join(
        structure.text[start:end]
        for (start, end), role in zip(structure.messages, structure.roles, strict=True)
        if role not in ("assistant", "tool")
    )


_MADE = (
    r"(?:code|functions?|class(?:es)?|programs?|apps?|applications?|scripts?|websites?|endpoints?|apis?|web servers?|microservices?|sql|sql quer(?:y|ies)"
    r"|components?|modules?|unit tests?|parsers?|algorithms?|regex(?:es)?|cli|crawlers?|scrapers?)"
)
CODE_ASKED = pattern(
    r"(?:^|[.!?:;,]\s+|\b(?:please|and|then|to|will|must|should|you|also|just|can)\s+)(?P<order>(?:write|create|build|implement|generate|develop|refactor|optimi[sz]e|produce|give me)\s+"
    rf"(?:(?!\b(?:for|about|to|answering|of|from|with|that|on|using|which|no|not)\b)[^.!?\n]){{0,40}}?\b{_MADE}\b)"
    r"|(?P<zh>(?:(?<![改重填缩扩续撰书不要能会])写|编写|实现|开发|生成|创建|设计|优化|重构)(?:一)?(?:个|段|份|套|下)?[^。！？\n]{0,24}?"
    r"(?:代码(?!块|库|审查|风格|规范|评审)|函数|程序(?!员)|脚本|网站|接口|SQL|API|组件|算法|爬虫|端点|应用程序|系统(?=[。，,]|$)|查询(?:语句|代码)|网页))"
)
"""An order to write code."""
_NO_CODE = pattern(
    r"\b(?:code review|review(?:er)? of code|promo(?:tional)? code|zip code|dress code|code of conduct|class(?:es)? of (?!.*method)"
    r"|customer service|service desk|meal|study program|training program|fitness program|script for (?:a )?(?:video|movie|play|podcast))\b"
)


_DENIED = pattern(
    r"(?:\bnot|n['’]t|\bnever|\bability to|\bable to|\bused to|\bhow to)\s+\Z|(?:不要|不得|不能|禁止|不|能够?|可以|如何|怎样|怎么)\Z"
)


def asks_for_code(text: str) -> re.Match[str] | None:
    """Find an order to write code; None where there is none."""
    for found in CODE_ASKED.finditer(text):
        before = text[max(0, found.start() - 14) : found.start("order" if found["order"] else "zh")]
        if not _NO_CODE.search(found[0]) and not _DENIED.search(before):
            return found
    return None
