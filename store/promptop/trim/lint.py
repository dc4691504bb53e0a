"""Lint: what a prompt leaves open that a model will then decide, and what it asks that a model does badly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from promptop.base.errors import UsageError
from promptop.prompts import Prompt, parse
from promptop.prompts.sections import first_volatile

Level = Literal["warning", "hint"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark, with the line it is about (from 1)."""

    rule: str
    level: Level
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Check:
    """A rule: its id, level, what it says of itself, and how it looks."""

    id: str
    level: Level
    description: str
    look: Callable[[str, Prompt], Iterator[tuple[int, str]]]
    """Yields (offset in characters, message)."""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.MULTILINE)


_FORMAT = _pattern(
    r"\b(?:json|ya?ml|xml|csv|html|markdown|table|list|bullets?|paragraphs?|sentences?|headings?|format(?:ted)?|schema"
    r"|one word|yes or no|template|code block)\b|格式|列表|表格|分点|要点|段落|句话|标题|模板|是或否|代码块"
)
_LENGTH = _pattern(
    r"\b(?:at most|no more than|up to|within|under|fewer than|less than|maximum|max(?:imum)? of|exactly|one|two|three"
    r"|\d+)[ -](?:\w+ )?(?:words?|sentences?|paragraphs?|characters?|lines?|bullets?|items?|points?|tokens?)\b"
    r"|\bone[- ]line\b"
    r"|(?:不超过|最多|以内|少于|控制在|至多)|[\d一二两三四五六七八九十百]+(?:个字|字|句话|句|段|条|点|行)"
)
_VAGUE = _pattern(
    r"\b(?:some|several|a few|a couple of|various|as (?:many|much|long) as (?:needed|necessary)"
    r"|not too (?:long|short|many))\b"
    r"|一些|几个|若干|适当|适量|不要太[长短多]|差不多"
)
_ARITHMETIC = _pattern(
    r"\b(?:calculate|compute|add up|multiply|divide|count (?:the|how)|sort (?:the|them|these|by)"
    r"|order (?:them|these) by)\b"
    r"|计算|求和|排序|统计.{0,6}(?:数量|个数|次数)|总计"
)
_SHORT_WANTED = _pattern(r"\b(?:brief(?:ly)?|concise(?:ly)?|short|succinct(?:ly)?)\b|简洁|简短|简要|精炼")
_LONG_WANTED = _pattern(
    r"\b(?:detailed|in detail|comprehensive(?:ly)?|thorough(?:ly)?|exhaustive|elaborate)\b|详细|全面|详尽|深入"
)
_CODE = _pattern(
    r"\b(?:write|create|build|implement) (?:me )?(?:an? |the |some )?(?:\w+ )?"
    r"(?:code|program|app(?:lication)?|script|website)\b"
    r"|(?:写|编写|实现|开发)一?个?.{0,8}(?:代码|程序|应用|网站|脚本|系统)"
)
_CODE_BOUND = _pattern(
    r"\b(?:python|java|javascript|typescript|rust|go(?:lang)?|c\+\+|c#|sql|bash|ruby|php|swift|kotlin|html|only"
    r"|no more than|single (?:file|function))\b|函数|只|仅|不超过"
)
_SPEED = _pattern(
    r"\b(?:fast(?:er)?|efficient(?:ly)?|performan(?:t|ce)|high-performance|low[- ]latency|scalable|quick(?:ly)?"
    r"|optimi[sz]ed?)\b|高性能|高效|快速|性能|低延迟|优化"
)
_MEASURE = _pattern(
    r"\d[\d,.]*\s*(?:ms|µs|us|s|sec(?:onds?)?|minutes?|mb|gb|kb|rows?|records?|requests?|users?|items?|qps|rps)\b"
    r"|\{\{[^{}]+\}\}\s*(?:ms|s|rows?|毫秒|秒|行)|O\([^)]+\)|\d\s*(?:毫秒|秒|万|行|条|次|个)"
)
_ANY_CODE = _pattern(
    r"\b(?:code|function|program|script|query|class|implement|sql|api)\b|代码|函数|程序|脚本|查询|接口|实现"
)
_STABLE_AFTER = 1200  # characters: less than about 300 tokens after it are not worth caching


def _instructions(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.filled() if message.role != "assistant")


def _missing(pattern: re.Pattern[str], message: str) -> Callable[[str, Prompt], Iterator[tuple[int, str]]]:
    def look(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
        said = _instructions(prompt)
        if said.strip() and not pattern.search(said):
            yield prompt.body_start, message

    return look


def _present(pattern: re.Pattern[str], message: str) -> Callable[[str, Prompt], Iterator[tuple[int, str]]]:
    def look(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
        for part in prompt.messages:
            if part.role != "assistant":
                for found in pattern.finditer(text, part.start, part.end):
                    yield found.start(), message.format(found[0].strip())

    return look


_CONFLICTS = (
    (_SHORT_WANTED, _LONG_WANTED),
    (
        _pattern(
            r"\b(?:only (?:valid )?json|json only|(?:valid )?json and nothing else)\b"
            r"|(?:只|仅)(?:输出|返回|回复)\s*json"
        ),
        _pattern(
            r"\b(?:explain (?:your|the) (?:reasoning|answer|choice)|step[- ]by[- ]step|show your work)\b"
            r"|解释(?:你的|一下)?(?:理由|原因|推理|思路)|逐步(?:思考|说明)|说明理由"
        ),
    ),
    (
        _pattern(r"\b(?:answer|respond|reply|write) (?:only )?in english\b|用英文(?:回答|回复|输出)"),
        _pattern(r"\b(?:answer|respond|reply|write) (?:only )?in chinese\b|用中文(?:回答|回复|输出)"),
    ),
    (
        _pattern(
            r"\b(?:no|without|avoid|do not use|don't use) (?:bullet(?: point)?s?|lists?)\b"
            r"|不要(?:用|使用)?(?:列表|分点|项目符号)"
        ),
        _pattern(
            r"\bas (?:a )?(?:bulleted |numbered )?list\b|\bin bullet(?: point)?s\b"
            r"|(?<!not )(?<!n't )\buse (?:a list|bullet(?: point)?s)\b"
            r"|(?<!不要用)(?<!不要使用)(?<!不要)(?:分点|列表形式)"
        ),
    ),
    (
        _pattern(r"\b(?:formal(?:ly)?|professional tone)\b|正式(?:的)?(?:语气|风格)"),
        _pattern(r"\b(?:casual(?:ly)?|informal(?:ly)?|slang|chatty)\b|口语化|随意的语气|轻松的语气"),
    ),
)
"""Pairs of demands that exclude each other; each pattern stands for one of them."""
_LIMIT = _pattern(
    r"\b(?:at most|no more than|up to|within|fewer than|less than|maximum of|exactly) (?P<n>\d+) "
    r"(?P<unit>words?|sentences?|paragraphs?|characters?|lines?|bullets?|items?)\b"
    r"|(?:不超过|最多|控制在|至多)\s*(?P<zh_n>\d+)\s*个?(?P<zh_unit>字|句|段|条|行)"
)


def _conflicts(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
    for part in prompt.messages:
        if part.role == "assistant":
            continue
        for one, other in _CONFLICTS:
            first, second = one.search(text, part.start, part.end), other.search(text, part.start, part.end)
            if first and second:
                later = max(first, second, key=lambda found: found.start())
                yield later.start(), f"{first[0]!r} and {second[0]!r} in one message: which of them?"
        limits: dict[str, re.Match[str]] = {}
        for found in _LIMIT.finditer(text, part.start, part.end):
            unit = (found["unit"] or found["zh_unit"]).lower().rstrip("s")
            before = limits.setdefault(unit, found)
            if (before["n"] or before["zh_n"]) != (found["n"] or found["zh_n"]):
                yield found.start(), f"{before[0]!r} and {found[0]!r} in one message: which of them?"


def _open_code(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
    for part in prompt.messages:
        if part.role != "assistant" and not _CODE_BOUND.search(text, part.start, part.end):
            for found in _CODE.finditer(text, part.start, part.end):
                yield found.start(), "code is asked for without a language or a limit"


def _unmeasured(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
    for part in prompt.messages:
        if part.role != "assistant" and _ANY_CODE.search(text, part.start, part.end):
            found = _SPEED.search(text, part.start, part.end)
            if found and not _MEASURE.search(text, part.start, part.end):
                yield (
                    found.start(),
                    f"{found[0]!r} is no measure: say ms, rows, memory (template performance-requirements)",
                )


def _volatile_prefix(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
    if not prompt.messages:
        return
    first, last = prompt.messages[0].start, prompt.messages[-1].end
    found = first_volatile(text, first, last)
    if found and last - found.end() >= _STABLE_AFTER:
        after = last - found.end()
        yield found.start(), f"{found[0]!r} changes from call to call and stands before {after:,} stable characters"


def _variables(text: str, prompt: Prompt) -> Iterator[tuple[int, str]]:
    if not prompt.sample:
        return
    for name in prompt.variables:
        if name not in prompt.sample:
            yield max(0, text.find("{{", prompt.body_start)), f"variable {name!r} has no sample value"
    for name in prompt.sample:
        if name not in prompt.variables:
            yield 0, f"sample value {name!r} is used by no variable"


CHECKS: tuple[Check, ...] = (
    Check("no-output-format", "warning", "no word about the form of the answer",
          _missing(_FORMAT, "the form of the answer is open: say JSON, a list, one sentence …")),
    Check("no-length-limit", "warning", "no word about the length of the answer",
          _missing(_LENGTH, "the length of the answer is open, and output tokens cost most")),
    Check("vague-quantity", "hint", "a quantity that each run will read differently",
          _present(_VAGUE, "{0!r} is vague: give a number")),
    Check("arithmetic", "hint", "arithmetic, counting or sorting, which code does better",
          _present(_ARITHMETIC, "{0!r}: models miscount; do it in code or with a tool")),
    Check("conflict", "warning", "demands that exclude each other: short and detailed, two limits, two languages …",
          _conflicts),
    Check("open-code", "hint", "code without a language or a limit", _open_code),
    Check("unmeasured-speed", "hint", "fast code is asked for without a figure", _unmeasured),
    Check("volatile-prefix", "warning", "a date, time or id before stable text spoils the provider's cache",
          _volatile_prefix),
    Check("variables", "warning", "variables without sample values, sample values without variables", _variables),
)  # fmt: skip


def lint(text: str, select: Iterable[str] = ()) -> list[Finding]:
    """Return the remarks about a prompt, by line.

    Raises :class:`UsageError` for a rule that does not exist, :class:`PromptopError` for broken front matter.
    """
    wanted = set(select)
    known = {check.id for check in CHECKS}
    if unknown := wanted - known:
        raise UsageError(f"There is no lint rule {min(unknown)!r}.", f"Rules: {', '.join(sorted(known))}.")
    prompt = parse(text)
    found = [
        Finding(check.id, check.level, text.count("\n", 0, offset) + 1, message)
        for check in CHECKS
        if not wanted or check.id in wanted
        for offset, message in check.look(text, prompt)
    ]
    return sorted(found, key=lambda finding: (finding.line, finding.rule))
