"""Checks of prompts that ask for code: which language, how much of it, how fast."""

from __future__ import annotations

from collections.abc import Iterator

from promptop.prompts import Prompt
from promptop.prompts.structure import Structure
from promptop.trim.lint.base import (
    LintCheck,
    Place,
    asks_for_code,
    instructions,
    is_quoted,
    pattern,
    sentences,
    written,
)

_LANGUAGE = pattern(
    r"(?<![A-Za-z])(?:python|java|javascript|typescript|rust|go(?:lang)?|c\+\+|c#|sql|bash|shell|ruby|php|swift|kotlin|html|css|react|vue|flask|django|fastapi|spring|node(?:\.js)?|pandas|numpy|scala|perl|lua|dart|flutter|matlab|excel|vba|powershell|regex|latex|haskell|elixir|solidity)(?![A-Za-z])"
    r"|(?<![a-z])c语言|\{\{\s*(?:language|lang|语言)\s*\}\}"
)
_BOUND = pattern(
    r"\b(?:at most|no more than|up to|within|under|fewer than|less than|maximum|exactly|between|around|about|limit(?:ed)? to)\b[^.\n]{0,20}(?:\d|\{\{)"
    r"|\b\d[\d,.]*\s*(?:lines?|ms|µs|s|sec(?:onds?)?|minutes?|mb|gb|kb|rows?|records?|requests?|users?|qps|rps|files?|functions?|classes|endpoints?|tests?)\b"
    r"|\b(?:single|one|only|just|without|no)\b[^.\n]{0,16}\b(?:file|function|class|librar(?:y|ies)|dependenc(?:y|ies)|import|script|code block|explanation|comments?|code|prose|framework)s?\b"
    r"|\bcode only\b|\bonly (?:the |output |return )?(?:code|one)\b|\bO\([^)]+\)"
    r"|不超过|最多|不用|只返回|只输出|只用|仅用|以内|[≤<]=?\s*\d|\d+\s*(?:行|毫秒|秒|万|个文件|条|次)|\{\{[^{}]+\}\}\s*(?:行|毫秒|秒|ms|rows?|lines?)"
)
_SPEED = pattern(
    r"\b(?:fast(?:er)?|efficient(?:ly)?|performant|high[- ]performance|low[- ]latency|highly scalable|scalable"
    r"|optimi[sz]ed(?=(?:,| and| \w+)? (?:\w+[ -]){0,2}(?:code|quer(?:y|ies)|functions?|scripts?|algorithms?|implementation|solution|performance)\b)|quick)\b(?! (?:reference|fix|start|question|overview|note))"
    r"|高性能|高效|快速|低延迟|性能(?:好|高|优)|优化(?:性能|过的|的代码)|高并发"
)
_MEASURE = pattern(
    r"\d[\d,.]*\s*(?:ms|µs|us|s|sec(?:onds?)?|minutes?|mb|gb|kb|rows?|records?|requests?|users?|items?|qps|rps)\b"
    r"|\{\{[^{}]+\}\}\s*(?:ms|s|rows?|毫秒|秒|行)|O\([^)]+\)|\d\s*(?:毫秒|秒|万|行|条|次|个)|百万行|千万"
)
_SPECIFIED = 6
"""Requirements in a list from which on the code that is asked for is bounded by them."""
_HOW_FAST = pattern(r"\b(?:function|endpoint|query|script|api|algorithm|parser)\b|函数|接口|查询|脚本|算法|程序|处理")


def _open_code(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    said = written(structure)
    if len(instructions(structure)) > 2000 or any(block.kind == "parameter" for block in structure.blocks):
        return  # a product's prompt: the user's message says which code
    has_language = _LANGUAGE.search(said) is not None
    items = sum(block.kind == "item" for block in structure.blocks)
    has_bound = items >= _SPECIFIED or _BOUND.search(said) is not None
    if has_language and has_bound:
        return
    missing = [
        name
        for name, has in (("a language", has_language), ("a limit (lines, libraries, time, data)", has_bound))
        if not has
    ]
    for _, start, _, text in sentences(structure):
        found = asks_for_code(text)
        if found is not None and not is_quoted(structure, start + found.start(), start + found.start() + 1):
            name = "order" if found["order"] else "zh"
            hint = "" if has_bound else " (template performance-requirements)"
            yield Place(
                start + found.start(name),
                start + found.end(name),
                f"code is asked for without {' or '.join(missing)}{hint}",
            )
            return


def _unmeasured(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    said = written(structure)
    if _MEASURE.search(said) or asks_for_code(instructions(structure)) is None:
        return
    for _, start, _, text in sentences(structure):
        found = _SPEED.search(text)
        if found is None or is_quoted(structure, start + found.start(), start + found.end()):
            continue
        if asks_for_code(text) is not None or _HOW_FAST.search(text):
            yield Place(
                start + found.start(), start + found.end(),
                f"{found[0]!r} is not a measure: say ms, rows, memory (template performance-requirements)",
            )  # fmt: skip
            return


CODE_CHECKS: tuple[LintCheck, ...] = (
    LintCheck("open-code", "warning", "code without a language, or without a limit", _open_code),
    LintCheck("unmeasured-speed", "hint", "fast code is asked for without a figure", _unmeasured),
)
