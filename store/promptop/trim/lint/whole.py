"""Checks of the prompt as a whole: the form and length of the answer, its variables, its cacheable beginning."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptop.prompts import Prompt
from promptop.prompts.stable_prefix import first_volatile
from promptop.prompts.structure import Structure
from promptop.trim.lint.base import LintCheck, Place, asks_for_code, instructions, makes_a_thing, pattern, written
from promptop.trim.verbs import is_order

_FORMAT = pattern(
    r"\b(?:json|ya?ml|xml|csv|html|markdown|latex|table|lists?|bullets?|bullet points?|paragraphs?|sentences?|headings?|headlines?|titles?"
    r"|format(?:ted|ting)?|formatting|schema|structure|outline|one word|single word|yes or no|template|code blocks?|plain text|essay|letter|e-?mail"
    r"|poem|haiku|lyrics|story|tweet|report|summary|minutes|memo|commit message|subject line|columns?|rows?|steps|lines?|label|number only"
    r"|nothing else|only (?:the|with|output|return|reply|answer|write)|(?:answer|reply|respond|return|output|write|print)(?: back)? (?:only|with|in|as|exactly)|yaml|diff|tags?|fields?"
    r"|\bconvert(?:er|ed|s)?|score|rating|command|translation|translate|rewrite|correct(?:ed)?|regex|formula|sql|query)\b"
    r"|格式|列表|表格|分点|要点|段落|句话|一句|标题|模板|是或否|代码块|纯文本|结构|输出|只回复|只返回|只回答|邮件|报告|摘要|总结|翻译|改写|润色|步骤|结论|标注|JSON|markdown|一段"
)
_LENGTH = pattern(
    r"\b(?:at most|no more than|no longer than|not more than|up to|within|under|below|fewer than|less than|maximum|max(?:imum)? of|exactly|between|about"
    r"|around|approximately|roughly|limit(?:ed)? to|one|two|three|four|five|six|seven|eight|ten|a single|single|\d+(?: ?[-–] ?\d+)?)[ -](?:(?:\w+|\d+)[ -]){0,2}?"
    r"(?:words?|sentences?|paragraphs?|characters?|lines?|bullets?|bullet points?|items?|points?|tokens?|pages?|keywords?|signs?|rows?)\b(?! number)"
    r"|\b(?:at most|no more than|up to|within|under|exactly) \{|\b(?:one|single)[- ](?:line|word|sentence)\b|\b(?:word|length|character|token) (?:limit|count)\b|\blength\b"
    r"|\b(?:as short as|nothing else|and nothing more|only the (?:name|label|number|word|code|answer|json|result|corrected|translation|title|diff|command))\b"
    r"|\b(?:yes or no|one of(?: the)?(?: following)?:|valid json|json object|json array|only (?:valid )?json|json only|single label)\b"
    r"|(?:不超过|最多|以内|少于|控制在|不多于|不得超过|至多|左右|字数|长度|篇幅)"
    r"|[\d一二两三四五六七八九十百]+(?:到|至|-|~)?[\d一二两三四五六七八九十百]*\s*(?:个字|字|句话|句|段|条|点|行|项|个要点|页)|(?:只|仅)(?:回复|输出|返回|回答|给出|需)|不要解释"
)
_SAME_SIZE = pattern(
    r"(?:^|[.!?:]\s+|\bto |\band |\bplease |\bwill )(?:translate|proofread|correct (?:the|my)|rewrite|rephrase|paraphrase|convert|classify|extract|label|transcribe|fill in|edit)\b"
    r"|\b(?:converter|translator|proofreader|corrector)\b|\b(?:rewrites|rephrases|translates|edits|corrects|transforms|converts) \w+|\blight editing\b"
    r"|翻译|改写|校对|润色|分类|提取|抽取|转换|填写|填入"
)
_AGENT = pattern(
    r"\btools?\b|\bexecut(?:e|es|ing)\b|\brun (?:the |a )?(?:code|command|script)s?\b|\bcodebase\b|\brepositor(?:y|ies)\b|\bcommits?\b|\bscreenshots?\b|\bfunctions? (?:you|below)\b|\bfunction calls?\b|\bagents?\b|\bcall(?:s|ed|ing)? `|工具|智能体|函数调用"
)
_SHORT_PROMPT = 1600
"""Characters of a prompt that is a request; a longer one is a product's, whose form shows in its sections."""
_LONGEST_OPEN = 6000
_PLAYED = pattern(
    r"\b(?:simulators?|simulate (?:an? )?(?:chat|terminal|console|game)|chess|tic-?tac-?toe|linux terminal|game master|text[- ]based (?:adventure )?game|chat ?room)\b|下棋|模拟器|文字游戏"
)
"""What is played in turns, whose answers have the form and length of the game."""
_ADDRESSES = pattern(r"\b(?:you|your|act as|i (?:want|need)|please)\b|[?？]|你|您|请|担任|扮演|充当|给出|写|回答|帮")
_STABLE_AFTER = 1200  # characters: less than about 300 tokens after it are not worth caching
_SYNTAX = re.compile(r"\{\{\{?(?P<inside>[^{}\n]*)\}?\}\}|\{%-?(?P<block>[^%\n]*)-?%\}")
_NAME = re.compile(r"(?<![\w.'\"@])[^\W\d]\w*(?:\.\w+)*(?![\w(])")
_KEYWORDS = frozenset(
    "if else elif elseif endif for endfor in each unless with let as and or not is end raw endraw set block endblock include"
    " macro endmacro this true false none null loop json eq ne gt lt lookup log default join upper lower trim safe tojson".split()
)


def _is_no_request(structure: Structure, said: str) -> bool:
    """Tell whether a text is in a language that is not read here, is played in turns, or is a part of a program's."""
    return (
        not any(block.language != "other" for block in structure.prose)
        or _PLAYED.search(said) is not None
        or re.match(r"\s*<!--", structure.text) is not None
        or not (
            _ADDRESSES.search(said)
            or any(is_order(structure.text[start:end].lstrip("*_#> ")) for _, start, end in structure.sentences)
        )
    )


def _no_format(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    said = instructions(structure)
    if (
        not said.strip()
        or not structure.prose
        or len(said) > _SHORT_PROMPT
        or _FORMAT.search(said)
        or _AGENT.search(said)
        or asks_for_code(said)
        or makes_a_thing(said)
        or _is_no_request(structure, said)
    ):
        return
    if any(
        block.kind in ("table", "code", "fence", "form", "example", "parameter", "template")
        for block in structure.blocks
    ):
        return
    yield Place(
        prompt.body_start, prompt.body_start, "the form of the answer is open: say JSON, a list, one sentence …"
    )


def _no_length(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    said = instructions(structure)
    everything = written(structure)
    if not said.strip() or not structure.prose or len(said) > _LONGEST_OPEN or prompt.parameters.get("max_tokens"):
        return
    kinds = {block.kind for block in structure.blocks}
    is_agent = "parameter" in kinds or _AGENT.search(said) is not None
    if is_agent or kinds & {"form", "example", "table"} or _LENGTH.search(everything) or _SAME_SIZE.search(said[:400]):
        return
    if len(said) > _SHORT_PROMPT and kinds & {"code", "fence", "template", "tag"}:
        return
    if makes_a_thing(said) or _is_no_request(structure, said):
        return
    if asks_for_code(said) and not re.search(r"\bexplain|解释", said, re.IGNORECASE):
        return
    yield Place(prompt.body_start, prompt.body_start, "the length of the answer is open, and output tokens cost most")


def _volatile_prefix(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    if not prompt.messages:
        return
    first, last = prompt.messages[0].start, prompt.messages[-1].end
    at = first
    while True:
        found = first_volatile(structure.text, at, last)
        if found is None or last - found.end() < _STABLE_AFTER:
            return
        block = structure.block_at(found.start())
        if block is not None and (block.is_prose or block.kind in ("heading", "label", "form")):
            after = last - found.end()
            yield Place(
                *found.span(), f"{found[0]!r} changes from call to call and stands before {after:,} stable characters"
            )
            return
        at = found.end()


def _variables(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    if not prompt.sample:
        return
    text = structure.text
    used: set[str] = set()
    local: set[str] = {"this", "loop", "else"}
    for found in _SYNTAX.finditer(text, prompt.body_start):
        inside = found["inside"] if found["inside"] is not None else found["block"]
        bound = re.match(
            r"\s*(?:for\s+(?P<names>[\w, ]+)\s+in\b|set\s+(?P<set>\w+)|#each\s+[\w.]+\s+as\s*\|(?P<each>[\w ]+)\|)",
            inside,
        )
        if bound:
            local |= set(re.findall(r"\w+", bound["names"] or bound["set"] or bound["each"] or ""))
        used |= {name.split(".")[0] for name in _NAME.findall(inside)}
    for name in prompt.variables:
        root = name.rsplit(maxsplit=1)[-1].split(".")[0]  # a helper stands before what it is given
        if root not in prompt.sample and name not in prompt.sample and root not in local and root not in _KEYWORDS:
            at = re.compile(r"\{\{\s*" + re.escape(name) + r"\s*\}\}").search(text, prompt.body_start)
            start = at.start() if at else prompt.body_start
            yield Place(start, at.end() if at else start, f"variable {name!r} has no sample value")
    for name in prompt.sample:
        if name not in prompt.variables and name not in used:
            yield Place(0, 0, f"sample value {name!r} is used by no variable")


def _example_cost(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    """Find prompts that are mostly examples: each call pays for all of them."""
    units = [
        section
        for top in structure.outline
        for _, section in top.walk()
        if section.kind == "example" and not section.children
    ]
    shown = sum(section.end - section.start for section in units)
    everything = sum(end - start for start, end in structure.messages)
    if len(units) >= 3 and everything and shown >= 0.4 * everything:
        share = round(100 * shown / everything)
        yield Place(
            units[0].start,
            units[0].start,
            f"{len(units)} examples are {share} % of the prompt, paid for in each call: try fewer (promptop ablate shows which ones count)",
        )


WHOLE_CHECKS: tuple[LintCheck, ...] = (
    LintCheck("no-output-format", "warning", "no word about the form of the answer in a short request", _no_format),
    LintCheck("no-length-limit", "warning", "no word about the length of the answer", _no_length),
    LintCheck("volatile-prefix", "warning", "a date, time or id before stable text spoils the provider's cache", _volatile_prefix),
    LintCheck("variables", "warning", "variables without sample values, sample values without variables", _variables),
    LintCheck("example-cost", "hint", "examples that are most of the prompt", _example_cost),
)  # fmt: skip
