"""Checks of single demands: vague quantities, sums, demands that exclude each other or come twice, role play."""

from __future__ import annotations

import re
from collections.abc import Iterator

from promptop.prompts import Prompt
from promptop.prompts.structure import Structure
from promptop.trim.lint.base import (
    LintCheck,
    Place,
    asks_for_code,
    instructions,
    is_quoted,
    makes_a_thing,
    pattern,
    sentences,
    written,
)
from promptop.trim.rules.repeated_instructions import RepeatedAcross, RepeatedSentence, RestatedInstruction

_ASKED = (
    r"(?:add|give|list|suggest|name|write|provide|include|show|propose|recommend|offer|mention|generate|create|come up with|make|find|produce|ask"
    r"|select|choose|pick|share|return|output|draft|prepare|present|describe|brainstorm|identify|highlight|cite|quote|insert|tell)"
)
_VAGUE = pattern(
    rf"(?:^|[.!?:;,(]\s+|\b(?:and|then|also|please|to|will|should|must|can|could|would|or|you)\s+)(?:(?:then|also|always|finally|please|carefully|briefly)\s+)*{_ASKED}"
    r"(?:\s+(?:me|us|the (?:user|reader|customer|team)|them|up|at the end|out))?\s+(?P<vague>(?:just |only )?(?:some|several|a few|a couple of|various|multiple|many|a number of|a handful of|a bunch of|plenty of))"
    r"\s+(?!(?:of (?:the|these|those|it|them)\b|(?:other )?(?:times?|days?|minutes?|hours?|weeks?|time|information|context|background|detail|text|code|advice|feedback|sense|space|kind|more)\b))"
    r"(?:[\w'-]+\s+){0,3}?[\w'-]+"
    r"|(?:列出|给出|提供|写出?|生成|推荐|加上?|添加|举出?|提出|补充|设计|附上?|介绍|选出?|挑选|想出?|给我|说出?|准备|包含|提|来)[^，。；：！？\n不]{0,6}?"
    r"(?P<zh>(?<![长短多少快慢大小高低轻重浅深早晚好细])一些|几个|几条|几点|几种|几项|几句|几段|几篇|几道|若干|适量的?|多个|多条|一定数量的?)(?!月|小时|分钟|工作日)"
    r"|\b(?P<length>not too (?:long|short|many)|as (?:many|much|long) as (?:needed|necessary))\b"
    r"|(?P<zh_length>不要太[长短多]|差不多(?:长度|字数)|长度适中|适当(?:长度|篇幅))"
)
_OF_THE_USER = pattern(r"(?:^|[，,；;])\s*(?:如果|当|若|假如|一旦)[^，,]*$|\b(?:if|when|whenever|once)\b[^,]*$")
_GIVEN = pattern(
    r"\b(?:I|we|(?:the )?users?|they|customers?)(?: (?:will|can|may|might|would|shall|am going to|want to)|['’](?:ll|d))?(?: \w+){0,2} \Z|(?:^|[,;:(]\s*)I\b(?:(?!\byou\b)[^,;:.])*\Z"
    r"|\b(?:it is better to|can|may|might|fine to|free to|able to|allowed to|okay to)(?: \w+){0,2} \Z|(?:我|我们|用户|客户)(?:会|将|们|可能|可以)*[^，。；]{0,24}\Z"
)
"""Who gives the quantity is not the model, or it is free to."""
_AT_ONCE = pattern(
    r"\b(?:at once|at the same time|in parallel|simultaneously|concurrently|in one (?:go|message|call|turn)|at least \d|\d+ ?[-–] ?\d+)\b|同时|并行"
)
_SUMS = pattern(
    r"(?:^|[.!?:;,]\s+|\b(?:and|then|also|please|to|will|must|should|you)\s+)(?:(?:then|also|always|finally|please|carefully|daily)\s+)*"
    r"(?P<sum>(?:calculate|compute|work out|add up|sum up|multiply|divide|subtract|total(?=\s+(?:up|the|all|each|every)\b)|tally|count)\s+(?!on\b|toward|as\b|against\b|for\b|me\b)(?:up\s+)?"
    r"(?:the|all|each|every|how|its|their|his|her|my|your|a|an|number|percentages?|averages?|totals?|sums?|\w+s)\b)"
    r"|(?<![云可超心])(?P<zh>(?:计算|算出|统计|累加|求和|汇总|合计)(?!机|器|资源|能力|逻辑|模块|方法|引擎|平台|中心|公式|规则|口径|图|结果|表|局)[^，。；！？\n]{0,16}?"
    r"(?:平均|总|和|差|数量|次数|个数|金额|比例|百分比|占比|值|率|分数|得分|多少|天数|时长|人数|合计|利息|费用|价格|成本|面积|消费))"
)
_NOT_ASKED = pattern(
    r"\b(?:not|never|don['’]t|do not|without|instead of|avoid|no need to|tool|calculator|function|script|code|python|sql|query|automatically|already|system|`\w+`)\b"
    r"|不要|不得|不能|不需|无需|不用|自动|系统会|工具|调用|函数|脚本|代码|禁止|避免|由系统"
)
_SHORT = pattern(
    r"\b(?:brief(?:ly)?|concise(?:ly)?|short|succinct(?:ly)?|terse(?:ly)?|as short as possible)\b|简洁|简短|简要|精炼|言简意赅"
)
_LONG = pattern(
    r"\b(?:(?:very |highly |extremely )?detailed|in (?:great |full )?detail|comprehensive(?:ly)?|thorough(?:ly)?|exhaustive(?:ly)?|in[- ]depth|elaborate|lengthy|extensive(?:ly)?)\b|详细|全面|详尽|深入|面面俱到"
)
_STYLE = pattern(
    r"(?:please )?(?:always )?(?:be|keep (?:it|(?:your|the|all) (?:answers?|responses?|repl(?:y|ies)|output))|answer|respond|reply|(?:your|the|all) (?:answers?|responses?|repl(?:y|ies)|output) (?:should|must|will|are|is)(?: always)?(?: be)?)\b"
    r"|(?:你的)?(?:回答|回复|输出|语言|内容)(?:要|应|必须|需|应该|尽量)?"
)
"""A demand on all that is answered."""
_IF = pattern(
    r"\b(?:if|when|unless|except|for (?:simple|complex|short|long|complicated)|otherwise|but only|depending|whenever|in (?:the )?case)\b|如果|当|若|除非|否则|时，|时,"
)
_JSON_ONLY = pattern(
    r"\b(?:only (?:with )?(?:an? )?(?:valid )?json|json only|(?:valid |a )?json(?: object| array)?,? and nothing else|nothing but (?:valid )?json|just (?:the )?json)\b|(?:只|仅|只能)(?:输出|返回|回复)\s*(?:有效的?|合法的?)?\s*json"
)
_REASONED = pattern(
    r"\b(?:explain (?:your|the) (?:reasoning|answer|choice|thinking|decision|thought process)|show your (?:work|working|reasoning)|think (?:aloud|out loud)|walk (?:me|us) through)\b"
    r"|\bexplain\b[^.\n]{0,40}\bstep[- ]by[- ]step\b|解释(?:你的|一下)?(?:理由|原因|推理|思路)|逐步(?:说明|解释)|说明(?:你的)?理由"
)
_IN_JSON = pattern(
    r"\b(?:field|key|property|in the json|\"(?:reason\w*|explanation|thought\w*|why)\")|字段|\"(?:理由|原因)\""
)
_ENGLISH = pattern(
    r"\b(?:answer|respond|reply|write|speak|output)(?: only| always)? in english\b|(?:用|使用)(?:英文|英语)(?:回答|回复|输出|写)"
)
_CHINESE = pattern(
    r"\b(?:answer|respond|reply|write|speak|output)(?: only| always)? in (?:simplified |traditional )?chinese\b|(?:用|使用)(?:简体)?(?:中文|汉语)(?:回答|回复|输出|写)"
)
_NO_LIST = pattern(
    r"\b(?:no|without|avoid|do not use|don['’]t use|never use) (?:any )?(?:bullet(?:ed)?(?: points?| lists?)?s?|lists?|numbered lists?)\b|不要(?:用|使用)?(?:列表|分点|项目符号)|不得(?:用|使用)(?:列表|分点)"
)
_LIST = pattern(
    r"\bas (?:a )?(?:bulleted |numbered |bullet )?list\b|\bin bullet(?: point)?s\b|(?<!not )(?<!n't )(?<!never )\buse (?:a (?:bulleted |numbered )?list|bullet(?: point)?s)\b"
    r"|(?<!不要用)(?<!不要使用)(?<!不要)(?<!不得使用)(?<!不得用)(?:分点(?:列出|回答|说明)|用列表|以列表(?:的)?形式)"
)
_FORMAL = pattern(
    r"(?<![-\w])(?:formal(?:ly)?|formal (?:tone|language|style)|professional tone)\b|正式(?:的)?(?:语气|风格|用语)|语气正式"
)
_CASUAL = pattern(r"\b(?:casual(?:ly)?|informal(?:ly)?|slang|chatty)\b|口语化|随意的语气|轻松的语气|俏皮")
_LIMIT = pattern(
    r"\b(?:at most|no more than|no longer than|not more than|up to|within|under|fewer than|less than|(?:a )?maximum(?: of)?|max|exactly|limit(?:ed)? (?:\w+ )?to|in) (?P<n>\d+) "
    r"(?P<unit>words?|sentences?|paragraphs?|characters?|lines?|bullets?|items?|points?)\b"
    r"|(?:不超过|最多|控制在|至多|不得超过|限制在|不多于)\s*(?P<zh_n>\d+)\s*个?(?P<zh_unit>字|句|段|条|行|点)"
)
_SUBJECT = pattern(
    r"\b(?P<what>essays?|answers?|responses?|reply|replies|summary|summaries|reports?|letters?|e-?mails?|stor(?:y|ies)|poems?|articles?|descriptions?|titles?|headlines?|subjects?|subject line|bullets?|points?|items?|sentences?"
    r"|paragraphs?|reasons?|comments?|messages?|names?|notes?|posts?|tweets?|intro\w*|conclusions?|sections?|keywords?|tags?|examples?|steps?|fields?|keys?|values?|questions?|explanations?|abstracts?|captions?)\b"
    r"|(?P<zh>文章|作文|回答|回复|总结|摘要|报告|信|邮件|故事|标题|描述|要点|每点|每条|每段|每项|每句|理由|评论|简介|结尾|开头|关键词|例子|标签|说明)"
)
_ROLE = pattern(
    r"(?:\byou are|\bact as|\bpretend (?:to be|that you are|you are)|\bbehave (?:as|like)|\bimagine (?:that )?you are|\btake (?:on )?the role of|\bassume the role of)(?: if you (?:are|were))?"
    r" (?:an? |the )?(?P<praise>(?:(?:very|highly|extremely|most|truly) )?(?:world[- ]class|world[- ]renowned|highly (?:skilled|experienced|intelligent|knowledgeable|capable)|seasoned|brilliant|genius|talented|award-winning|renowned|leading expert|top expert|master|experienced|helpful (?:ai )?assistant(?=[.!])))"
    r"[^.!?\n]{0,80}"
    r"|(?:扮演|充当|你(?:现在)?是|假设你是|想象你是|作为)(?:一)?(?:个|位|名)?(?:非常|极其|十分)?(?P<zh>资深|专业|优秀|顶级|世界级|经验丰富|出色|聪明|强大|顶尖|权威|杰出|厉害)的?[^，。,.！？\n]{0,30}"
)
_TWICE = (
    (
        pattern(r"通俗易懂|简单易懂|浅显易懂|大白话|易于理解|\b(?:plain (?:english|language|words)|simple (?:terms|words|language)|easy to understand|layman['’]?s? terms|accessible)\b"),
        pattern(r"(?:不要|不|避免|少|别)(?:使)?用?(?:太多|过多|任何)?(?:专业)?(?:术语|行话)|\b(?:no|avoid|without|do not use|don['’]t use)(?: (?:any|technical|complex|using))* (?:jargon|technical terms)\b"),
    ),
    (
        pattern(r"简洁|简短|精炼|言简意赅|\b(?:concise(?:ly)?|brief(?:ly)?|succinct(?:ly)?|short)\b"),
        pattern(r"(?:不要|不|避免|别)(?:太|过于|过分)?(?:啰嗦|冗长|长篇大论|拖沓)|\b(?:not? (?:be )?(?:too )?(?:verbose|wordy|long-winded|rambling)|avoid (?:verbosity|wordiness|fluff|rambling|being verbose)|no fluff|don['’]t ramble|do not ramble)\b"),
    ),
    (
        pattern(r"\b(?:accurate(?:ly)?|truthful(?:ly)?|factual(?:ly)?)\b|准确|真实"),
        pattern(r"\b(?:do not|don['’]t|never) (?:make (?:things|anything|stuff|facts) up|hallucinate|lie)\b|不要(?:编造|捏造|胡编)"),
    ),
)  # fmt: skip
"""Two ways to ask the same."""


def _in_orders(structure: Structure, look: re.Pattern[str], said: str) -> Iterator[Place]:
    for _, start, _, text in sentences(structure):
        for found in look.finditer(text):
            name = next(key for key, value in found.groupdict().items() if value)
            if _OF_THE_USER.search(text[: found.start() + 4]) or _GIVEN.search(text[: found.start(name)]):
                continue
            if _AT_ONCE.search(text, found.end(name)) or text.rstrip().endswith((":", "：")):
                continue  # what the list below names is counted there
            a, b = start + found.start(name), start + found.end(name)
            if not is_quoted(structure, a, b):
                yield Place(a, b, said.format(found[name].strip()))
                break


def _vague(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    yield from _in_orders(structure, _VAGUE, "{0!r} is vague: give a number")


def _arithmetic(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    said = instructions(structure)
    if asks_for_code(said) or makes_a_thing(said):
        return
    for _, start, _, text in sentences(structure):
        found = _SUMS.search(text)
        if found is None or _NOT_ASKED.search(text):
            continue
        name = "sum" if found["sum"] else "zh"
        a, b = start + found.start(name), start + found.end(name)
        if not is_quoted(structure, a, b):
            yield Place(a, b, f"{found[name].strip()!r}: models miscount; do it in code or with a tool")


def _pair(
    structure: Structure, first: re.Pattern[str], second: re.Pattern[str], *, same_sentence: bool
) -> Iterator[Place]:
    """Find two demands of one message that exclude each other, neither of which holds under a condition only."""
    seen: dict[int, tuple[re.Match[str], bool, bool]] = {}
    told: set[int] = set()
    for block, start, _, text in sentences(structure):
        one, other = first.search(text), second.search(text)
        if _is_choice(text, one, other) or any(
            each and _UNWANTED.search(text, 0, each.start()) for each in (one, other)
        ):
            continue
        is_asked = not _IF.search(text)
        if one and other and one.span() != other.span() and is_asked and block.message not in told:
            apart = max(one.start(), other.start()) - min(one.end(), other.end())
            if (not same_sentence and not (_is_limited(text, one) and _is_limited(text, other))) or (
                same_sentence and apart <= 60 and not _two_things(text, one, other)
            ):
                told.add(block.message)
                later = max(one, other, key=lambda found: found.start())
                yield Place(start + later.start(), start + later.end(), f"{one[0]!r} and {other[0]!r}: which of them?")
            continue
        found = one or other
        if found is None or not is_asked or is_quoted(structure, start + found.start(), start + found.end()):
            continue
        if not same_sentence and _is_limited(text, found):
            continue
        is_style = _STYLE.match(text) is not None
        before = seen.get(block.message)
        if (
            before
            and before[1] != (found is one)
            and block.message not in told
            and (not same_sentence or (is_style and before[2]))
        ):
            told.add(block.message)
            yield Place(
                start + found.start(),
                start + found.end(),
                f"{before[0][0]!r} and {found[0]!r} in one message: which of them?",
            )
        else:
            seen.setdefault(block.message, (found, found is one, is_style))


_UNWANTED = pattern(
    r"(?:\b(?:not|never|avoid|without|no|less|overly|too|excessively|lacking|lacks?|rather than|instead of)|n['’]t)\b[^,.;:!?\n]{0,24}\Z"
    r"|(?:不要|不|避免|勿|过于|太|而不是|而非)[^，。；：]{0,8}\Z"
)
"""What stands before a quality that is not asked for: no casual language, overly formal."""
_EXAMPLES = re.compile(r"[(（][^)）]*(?:例如|比如|如|e\.g\.|such as|i\.e\.|for example)[^)）]*\Z", re.IGNORECASE)
_CHOICE = re.compile(r"/|\||\bor\b|或|、|，(?:一般|中等|适中)|, (?:medium|normal|standard|neutral)", re.IGNORECASE)


def _is_choice(text: str, one: re.Match[str] | None, other: re.Match[str] | None) -> bool:
    """Tell whether two qualities are the values that may be chosen from: "tone (formal/casual)"."""
    if one is None or other is None:
        return False
    start, end = min(one.start(), other.start()), max(one.end(), other.end())
    if any(_EXAMPLES.search(text[: each.start()]) for each in (one, other)):
        return True
    return _CHOICE.search(text[start:end]) is not None


_TO_SOME = re.compile(
    r"(?:[ ](?:tone|style|language|register))?[ ](?:with|for|to|towards|in|when|on)[ ]"
    r"(?!(?:(?:your|the|all|every|each) )?(?:answers?|responses?|repl(?:y|ies)|output|tone|style|english|chinese)\b)\w",
    re.IGNORECASE,
)
"""What limits a demand to some readers or texts: a formal tone with clients."""
_TO_SOME_ZH = re.compile(r"(?:对|面向|在)[^，。；,;]{1,12}\Z")


def _is_limited(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 16) : found.start()]
    return _TO_SOME.match(text, found.end()) is not None or _TO_SOME_ZH.search(before) is not None


def _two_things(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Tell whether two adjectives stand before nouns of their own: a short list and a detailed report."""
    between = text[min(one.end(), other.end()) : max(one.start(), other.start())]
    words = re.findall(r"[A-Za-z]+", between)
    joined = {
        "but",
        "and",
        "yet",
        "also",
        "very",
        "still",
        "in",
        "with",
        "while",
        "being",
        "as",
        "well",
        "a",
        "or",
        "sentences",
        "be",
        "at",
        "same",
        "time",
        "the",
        "though",
    }
    if re.search(r"[\u4e00-\u9fff]", between):
        return len(between) > 10 or bool(re.search(r"[；。]", between))
    return any(word.lower() not in joined for word in words)


def _conflicts(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    yield from _pair(structure, _SHORT, _LONG, same_sentence=True)
    if not _IN_JSON.search(written(structure)):
        yield from _pair(structure, _JSON_ONLY, _REASONED, same_sentence=False)
    yield from _pair(structure, _ENGLISH, _CHINESE, same_sentence=False)
    yield from _pair(structure, _NO_LIST, _LIST, same_sentence=False)
    yield from _pair(structure, _FORMAL, _CASUAL, same_sentence=False)
    limits: dict[tuple[int, str, str], re.Match[str]] = {}
    for block, start, _, text in sentences(structure):
        if _IF.search(text):
            continue
        for found in _LIMIT.finditer(text):
            unit = (found["unit"] or found["zh_unit"]).lower().rstrip("s")
            subject = _subject(text, found)
            key = (block.message, unit, subject)
            other = limits.get((block.message, unit, "")) if subject in _ANSWER else None
            before = (
                limits.get(key)
                or other
                or (
                    next((limits[k] for k in limits if k[:2] == key[:2] and k[2] in _ANSWER), None)
                    if not subject
                    else None
                )
            )
            if before is not None and (before["n"] or before["zh_n"]) != (found["n"] or found["zh_n"]):
                yield Place(
                    start + found.start(),
                    start + found.end(),
                    f"{before[0]!r} and {found[0]!r} in one message: which of them?",
                )
            limits.setdefault(key, found)


_ANSWER = (
    "answer",
    "response",
    "reply",
    "essay",
    "text",
    "回答",
    "回复",
    "文章",
    "作文",
    "总结",
    "summary",
    "summarie",
)


def _subject(text: str, limit: re.Match[str]) -> str:
    """Return what a limit is of: the noun before it in its sentence, or behind it where none is."""
    before = list(_SUBJECT.finditer(text, 0, limit.start()))
    if before:
        return before[-1][0].lower().rstrip("s")
    each = re.match(r"\s+(?:each|per \w+)", text[limit.end() :])
    return "each" if each else ""


_PARAMETERS_OF = re.compile(
    r"(?:arguments?|args|parameters?|params|returns?|inputs?|outputs?|options?|参数|返回值?|入参)[ ]?[:：–—]",
    re.IGNORECASE,
)
"""How a sentence begins that describes one tool: the next one may have the same parameters."""


def _doubled(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    text = structure.text
    told: set[int] = set()
    for rule in (RepeatedSentence(), RepeatedAcross(), RestatedInstruction()):
        for proposal in rule.find(structure):
            start = (
                proposal.start
                + len(text[proposal.start : proposal.end])
                - len(text[proposal.start : proposal.end].lstrip())
            )
            if start not in told and not _PARAMETERS_OF.match(text, start):
                told.add(start)
                yield Place(start, proposal.end, "this was asked before: say it once")
    for one, other in _TWICE:
        for block in structure.prose:
            first, second = one.search(text, block.start, block.end), other.search(text, block.start, block.end)
            if (
                first
                and second
                and not is_quoted(structure, *first.span())
                and not is_quoted(structure, *second.span())
            ):
                later = max(first, second, key=lambda found: found.start())
                yield Place(*later.span(), f"{first[0]!r} and {second[0]!r} ask for the same: one of them will do")


def _role(structure: Structure, prompt: Prompt) -> Iterator[Place]:
    for _, start, _, text in sentences(structure):
        found = _ROLE.search(text)
        if found is not None and not is_quoted(structure, start + found.start(), start + found.start() + 3):
            praise = (found["praise"] or found["zh"]).strip()
            yield Place(
                start + found.start(), start + found.end(),
                f"role play ({praise!r}): say what the answer needs (reader, depth, terms) instead of who gives it",
            )  # fmt: skip
            return


DEMAND_CHECKS: tuple[LintCheck, ...] = (
    LintCheck("vague-quantity", "hint", "a quantity that each run will read differently", _vague),
    LintCheck("arithmetic", "hint", "sums and counts that code does better; not in prompts that ask for code", _arithmetic),
    LintCheck("conflict", "warning", "demands that exclude each other: short and detailed, two limits, two languages …", _conflicts),
    LintCheck("doubled-demand", "hint", "what was asked before, word for word or in other words", _doubled),
    LintCheck("role-play", "hint", "praise for a role, which costs tokens and asks for nothing", _role),
)  # fmt: skip
