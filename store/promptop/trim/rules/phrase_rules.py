"""Rules that know phrases: where one may stand, and what stands for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import ClassVar

from promptop.prompts.structure import Block, Structure, sentences_of
from promptop.trim.rules import chinese, english
from promptop.trim.rules.english import Phrase
from promptop.trim.rules.rule import Proposal, TrimRule
from promptop.trim.verbs import base_of, is_order

_START = re.compile(
    r"(?P<full>(?<=[.!?])[)\"”’*_]{0,3}[ \t\n]+|(?<=[。！？])[”」）]?[ \t\n]*)"
    r"|(?P<half>(?<=[:;])[*_]{0,3}[ \t\n]+|(?<=[；：])[ \t\n]*)"
    r"|(?P<comma>(?<=[，、])[ \t\n]*)|(?P<line>\n[ \t]*)"
)
_MARKS = re.compile(r"[*_(（]{0,3}")
_DEMAND = re.compile(
    r"(?:\b(?:you|your|must|should|please|never|always|do not|don['’]t|ensure|make sure|use|avoid|include"
    r"|provide)\b|你|您|请|不要|必须|应|需|要|不得|禁止)",
    re.IGNORECASE,
)
_CONNECTED = re.compile(
    r"(?:However|Also|Then|Therefore|Finally|First|Second|Third|Next|Otherwise|Instead|Now|Lastly|So|But|And"
    r"|Again|Here|Afterwards|After that|In that case), "
    r"|(?:但是?|然后|最后|其次|另外|同时|所以|因此|如果没有)[，,]?"
)
_SPOKEN_BEFORE = re.compile(
    r"(?:\b(?:say|says|saying|write|writing|type|typing|reply|word|words|phrase|message|like)"
    r"|[说写道])[ ]?[:：,]?[ ]?\Z",
    re.IGNORECASE,
)
_AS_A_WORD = re.compile(
    r"[\"“‘'`*「«]please[\"”’'`*」»]"
    r"|\b(?:words?|terms?|tool|command|phrase|say|says|said|called|use of|uses of)[ ]please\b"
    r"|(?:\A|[.!?\n][ ]*|\b(?:the|that|a) )please (?:is|was|means|shows|stands|counts)\b",
    re.IGNORECASE,
)
"""Where a prompt speaks about the word please, or about something of that name."""
_NOT_POLITE = re.compile(
    r"\b(?:to|you|as|they|we|he|she|it|who|words?|terms?|phrases?|say|says|said|saying|with|without|uses?|using|the|a"
    r"|and|or|not|never|like|of|from|named|called|if you)\Z",
    re.IGNORECASE,
)
"""What stands before please where it is a verb, as in "as you please", or a word that is spoken of."""
_ASKS = re.compile(r"(?:could|can|would|will) you (?!.*\b(?:please|kindly|mind|help me|so kind))")
"""A question that may be one: "Would you recommend it?"."""
_LISTS_WORDS = re.compile(r"\b(?:words?|terms?|phrases?|tags?|hashtags?|say|says|saying)\b", re.IGNORECASE)
_WORDING_BEFORE = re.compile(
    r"(?:\b(?:slogan|motto|tagline|catchphrase|greeting|subject line|headline|caption|banner|sign|tooltip|inscription)"
    r"[ ]?(?:is|reads?|says?)?[ ]?[:：–—-]?"
    r"|\b(?:reads?|wrote|writes|says?|said|entitled|titled|named)[ ]?[:：,–—-])[ ]?\Z",
    re.IGNORECASE,
)
"""What announces the wording of something else, which may be quoted without marks."""


_WORDS_FOLLOW = re.compile(
    r"\b(?:words?|terms?|phrases?|openers?|fillers?|expressions?|cliches?|clichés?|like|such as|avoid|say|use|write)\b"
    r"[^.!?\n:：]{0,24}[:：][ ]?[\"“*_]*\Z|(?:词|词语|套话|短语|如|避免|禁用)[^。！？\n：]{0,8}[：:]\Z",
    re.IGNORECASE,
)
"""What announces a list of words, which are spoken of and not said: "No fillers like: certainly, of course"."""


@lru_cache(maxsize=16)
def _speaks_of_please(text: str) -> bool:
    return _AS_A_WORD.search(text) is not None


def _is_name(text: str, found: re.Match[str], sentence_starts: set[int]) -> bool:
    """Tell whether a phrase inside a sentence is spelled with capitals, as a title or the name of a button is."""
    if found.start() in sentence_starts or found[0].isupper():
        return False
    rest = found[0].split()[1:]
    following = text[found.end() : found.end() + 2]
    begins = found[0].lstrip(", ")[:1].isupper()
    return any(word[0].isupper() for word in rest) or (begins and following[:1].isupper() and following[1:].islower())


def _compiled(phrase: Phrase) -> re.Pattern[str]:
    pattern = re.sub(r"\[(?:\\.|[^\]\\])*\]| ", lambda part: r"[ \n]" if part[0] == " " else part[0], phrase.pattern)
    is_word = (
        phrase.place in _INSIDE
        and re.match(r"\(?[A-Za-z(?:]", phrase.pattern)
        and not phrase.pattern.startswith(("(?<", " ", ",?"))
    )
    is_ascii = phrase.pattern.isascii()
    head = r"(?<![\w-])" if is_word and is_ascii else ""
    ends_in_word = re.search(r"(?:[A-Za-z]|(?<!\))\))\Z", phrase.pattern) and not re.search(
        r"\(\?[=!][^()]*(?:\([^()]*\)[^()]*)*\)\Z", phrase.pattern
    )
    tail = r"(?![\w-])" if is_ascii and ends_in_word and phrase.place == "any" else ""
    return re.compile(f"{head}(?:{pattern}){tail}", re.IGNORECASE | re.MULTILINE)


_INSIDE = ("any", "verb", "second")
"""Places of phrases that may stand inside a sentence."""


class Starts:
    """Where sentences and clauses begin in a block of prose."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.sentences: list[int] = []
        self.clauses: list[int] = []
        self.comma_clauses: list[int] = []
        begins = [(start, "full")] + [
            (found.end(), found.lastgroup or "") for found in _START.finditer(text, start, end)
        ]
        for begin, kind in begins:
            if kind == "line" and not self._line_begins(text, begin):
                continue
            marked = _MARKS.match(text, begin, end)
            at = marked.end() if marked else begin
            if at >= end:
                continue
            places = [at]
            connected = _CONNECTED.match(text, at, end)
            if connected and connected.end() < end:
                places.append(connected.end())
            if kind in ("full", "line"):
                self.sentences.append(at)
            if kind == "comma":
                self.comma_clauses += places
            else:
                self.clauses += places

    @staticmethod
    def _line_begins(text: str, at: int) -> bool:
        """Tell whether a line inside a paragraph begins a sentence rather than going on with one."""
        before = text[:at].rstrip() if at < 400 else text[at - 400 : at].rstrip()
        return (
            not before
            or before[-1] in ".!?:;。！？：；，"
            or text[at : at + 1].isupper()
            or text[at : at + 1] > "\u2e80"
        )


def _letters_of(pattern: str) -> str:
    """Return the longest run of letters that each match of a phrase holds; empty if it is short or unknown."""
    depth, runs, run = 0, [], ""
    if "|" in re.sub(r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", pattern):
        return ""
    for at, sign in enumerate(pattern):
        depth += (sign in "([") - (sign in ")]")
        is_optional = pattern[at + 1 : at + 2] in ("?", "*", "{")
        if depth == 0 and (sign.isalpha() and (at == 0 or pattern[at - 1] != "\\")) and not is_optional:
            run += sign
        else:
            runs.append(run)
            run = ""
    return (
        max([*runs, run], key=len).lower() if max(map(len, [*runs, run])) >= (2 if not pattern.isascii() else 4) else ""
    )


@lru_cache(maxsize=16_384)
def _hints(rule: type[Phrases], text: str) -> tuple[bool, tuple[tuple[re.Pattern[str], Phrase], ...]]:
    """Keep what a rule sees in a paragraph: of a draft one paragraph changes, and a second pass sees the same ones."""
    return rule.hints(text)


class Phrases(TrimRule):
    """Phrases from a table; what is removed where a sentence begins hands its capital on."""

    phrases: ClassVar[tuple[Phrase, ...]]
    is_chinese: ClassVar[bool] = False
    _at_starts: ClassVar[tuple[tuple[re.Pattern[str], Phrase], ...]]
    _anywhere: ClassVar[tuple[tuple[re.Pattern[str], Phrase], ...]]
    _any_start: ClassVar[re.Pattern[str]]
    _needed: ClassVar[tuple[str, ...]]
    """Of each phrase that may stand anywhere, letters that a text without it lacks; empty where none are known."""

    def __init_subclass__(cls) -> None:
        compiled = [(_compiled(phrase), phrase) for phrase in cls.phrases]
        cls._at_starts = tuple(each for each in compiled if each[1].place not in _INSIDE)
        cls._anywhere = tuple(each for each in compiled if each[1].place in _INSIDE)
        cls._needed = tuple(_letters_of(phrase.pattern) for _, phrase in cls._anywhere)
        joined = "|".join(re.sub(r"\?P<\w+>", "?:", pattern.pattern) for pattern, _ in cls._at_starts)
        cls._any_start = re.compile(joined or r"(?!)", re.IGNORECASE | re.MULTILINE)

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for block in structure.prose:
            if block.language == ("en" if self.is_chinese else "zh") and not (
                not self.is_chinese and re.search(r"[A-Za-z]{4}", structure.text[block.start : block.end])
            ):
                continue
            yield from self._in_block(structure, block)

    def _in_block(self, structure: Structure, block: Block) -> Iterator[Proposal]:
        text = structure.text
        at_starts, anywhere = _hints(type(self), text[block.start : block.end])
        if at_starts:
            yield from self._at_start(structure, block)
        sentence_starts = set(Starts(text, block.start, block.end).sentences) if anywhere else set()
        for pattern, phrase in anywhere:
            for found in pattern.finditer(text, block.start, block.end):
                if (
                    _joins_lines(text, found)
                    or not base_of(found.groupdict().get("gerund", "being"))
                    or _is_name(text, found, sentence_starts)
                    or _WORDING_BEFORE.search(text, max(block.start, found.start() - 24), found.start())
                    or (phrase.place == "verb" and not self._before_order(text, block, found, sentence_starts))
                    or (phrase.place == "second" and not _is_second(text, block, found))
                ):
                    continue
                yield self._proposal(structure, block, found, phrase)

    def _at_start(self, structure: Structure, block: Block) -> Iterator[Proposal]:
        text = structure.text
        starts = Starts(text, block.start, block.end)
        clauses = sorted({*starts.clauses, *(starts.comma_clauses if self.is_chinese else ())})
        sentence_starts = set(starts.sentences)
        behind = block.start
        for at in clauses:
            if at < behind or not self._any_start.match(text, at, block.end):
                continue
            for pattern, phrase in self._at_starts:
                found = pattern.match(text, at, block.end)
                if (
                    found
                    and found.end() > at
                    and not _joins_lines(text, found)
                    and not _WORDING_BEFORE.search(text, max(block.start, at - 24), at)
                    and not _WORDS_FOLLOW.search(text, max(block.start, at - 64), at)
                    and " IS " not in found[0]  # against what the sentence before says it is not
                    and self._fits(structure, block, found, phrase, sentence_starts)
                ):
                    yield self._proposal(structure, block, found, phrase)
                    behind = found.end()
                    break

    @classmethod
    def hints(cls, text: str) -> tuple[bool, tuple[tuple[re.Pattern[str], Phrase], ...]]:
        """Return whether some phrase stands at a start of ``text``, and those that stand anywhere in it."""
        starts = Starts(text, 0, len(text))
        clauses = (*starts.clauses, *(starts.comma_clauses if cls.is_chinese else ()))
        lowered = text.lower()
        anywhere = tuple(
            each
            for each, needed in zip(cls._anywhere, cls._needed, strict=True)
            if needed in lowered and each[0].search(text)
        )
        return any(cls._any_start.match(text, at) for at in clauses), anywhere

    def _fits(
        self, structure: Structure, block: Block, found: re.Match[str], phrase: Phrase, sentence_starts: set[int]
    ) -> bool:
        text, end = structure.text, found.end()
        if phrase.place == "order":
            if end >= block.end:
                return False
            said = found[0].lower()
            if said.startswith("please") and found.start() not in sentence_starts and _speaks_of_please(text):
                return False
            is_wish = "sure" in said and " you" in said
            asks = _ASKS.match(said) is not None
            if asks and self._is_question(structure, block, end):
                return False
            return is_order(text[end : min(block.end, end + 80)], states=not is_wish and not asks)
        if phrase.place in ("start", "demand"):
            if end >= block.end or text[end] in ".!?。！？\n:：" or re.match(r"that\b", text[end : end + 5]):
                return False
            return phrase.place == "start" or _DEMAND.search(text[end : min(block.end, end + 60)]) is not None
        if phrase.place == "sentence":
            return (
                found.start() in sentence_starts
                and (end >= block.end or text[end] in " \t\n" or text[end] > "\u2e80")
                and structure.cover.first_in(found.start(), end) is None
            )
        if self.is_chinese and found[0].startswith("首先"):
            return block.kind == "item" and found.start() == block.start
        is_first = block.kind == "paragraph" and found.start() == block.start
        return is_first and self._opens(structure, block)

    @staticmethod
    def _is_question(structure: Structure, block: Block, at: int) -> bool:
        """Tell whether ``would you …?`` is one of several questions that somebody else is to be asked."""
        if block.kind != "item":
            return False
        items = [each for each in structure.prose if each.kind == "item" and each.message == block.message]
        here = items.index(block)
        near = items[max(0, here - 1) : here] + items[here + 1 : here + 2]
        return any(structure.text[each.start : each.end].rstrip("*_ \n").endswith(("?", "？")) for each in near)

    @staticmethod
    def _opens(structure: Structure, block: Block) -> bool:
        """Tell whether a block is the first of its message or section."""
        before = [each for each in structure.blocks if each.end <= block.start and each.message == block.message]
        return not before or before[-1].kind in ("heading", "label", "tag", "separator")

    @staticmethod
    def _before_order(text: str, block: Block, found: re.Match[str], sentence_starts: set[int]) -> bool:
        """Tell whether an order follows a word such as please, or comes before " for me"."""
        said = found[0].strip().lower()
        if found[0].startswith((" ", ",")) and said.endswith("please"):
            return _asks_nicely(text, block, found)
        if said.startswith("for "):
            line = text.rfind("\n", block.start, found.start()) + 1
            sentence = max(
                [start for start, _ in sentences_of(text, max(block.start, line), found.start())], default=block.start
            )
            begun = re.sub(
                r"^(?:please|kindly|(?:could|can|would|will) you(?: please)?|i(?: would|['’]d) like you to|i"
                r" (?:want|need) you to) ",
                "",
                text[sentence : found.start()],
                flags=re.IGNORECASE,
            )
            return is_order(begun) and not re.match(
                r"(?:do|be|wait|ask|work|act|look|speak|pray|play|book|buy|reserve|decide)\b", begun, re.IGNORECASE
            )
        is_please = said.startswith(("please", "kindly"))
        if said.startswith("please") and found.start() not in sentence_starts and _speaks_of_please(text):
            return False
        if is_please and _SPOKEN_BEFORE.search(text, max(0, found.start() - 12), found.start()):
            return False
        if text[: found.start()].endswith(", ") and _states_first(text, block, found.start()):
            return False
        following = text[found.end() : min(block.end, found.end() + 80)]
        if said.startswith(("in order", "so as")) and not following.lstrip()[:1].isalpha():
            return True  # code or a placeholder stands for what is done
        return (
            is_order(following)
            or re.match(r"(?:never|always|only|note|be|ensure|let|make)\b", following, re.IGNORECASE) is not None
        )

    def _proposal(self, structure: Structure, block: Block, found: re.Match[str], phrase: Phrase) -> Proposal:
        text = structure.text
        start, end = found.span()
        after = found.expand(phrase.after) + base_of(found.groupdict().get("gerund", "ing"))
        kept = tuple(found.span(name) for name in found.groupdict() if f"\\g<{name}>" in phrase.after and found[name])
        if phrase.place in ("sentence", "opening") and not after:
            start, end = without_gap(text, block, start, end)
            if phrase.place == "sentence":
                return Proposal(start, end, "")
        if text[found.start()].isupper():
            if after:
                after = after[0].upper() + after[1:]
            elif takes_capital(structure, end):
                end, after = end + 1, text[end].upper()
        return Proposal(start, end, after, kept)


_SUBORDINATE = re.compile(
    r"(?:and|but|so|or|then|if|when|whenever|once|while|after|before|until|unless|since|because|as|for|in|on|at|by|with|from|to|given|based|using|according"
    r"|during|where|wherever|otherwise|instead|finally|first|next|also|therefore|however|now|again|depending|in"
    r" case|due|regarding|though|although)\b",
    re.IGNORECASE,
)


def _is_second(text: str, block: Block, found: re.Match[str]) -> bool:
    """Tell whether a clause gives an order after a sentence that says what the writer does, and ends with it."""
    start, stop = next(
        (span for span in sentences_of(text, block.start, block.end) if span[0] <= found.start() < span[1]),
        (block.start, block.end),
    )
    before, after = text[start : found.start()], text[found.end() : stop]
    return (
        re.match(r"I(?: will|['’]ll| am going to|['’]m going to)\b", before) is not None
        and not re.search(r"[;:]|\b(?:if|when|until|unless|while|so that|that you|because)\b", before)
        and is_order(after, states=False)
    )


def _asks_nicely(text: str, block: Block, found: re.Match[str]) -> bool:
    """Tell whether please at the end of a sentence is said to the reader: "Be brief, please.", not "as you please."."""
    start = max((begin for begin, _ in sentences_of(text, block.start, found.start())), default=block.start)
    before = re.sub(r"^[\W_]+", "", text[start : found.start()])
    if found[0].startswith(","):
        return not (_LISTS_WORDS.search(before) or _SPOKEN_BEFORE.search(before))
    return is_order(before) and not (_NOT_POLITE.search(before) or _LISTS_WORDS.search(before))


def _joins_lines(text: str, found: re.Match[str]) -> bool:
    """Tell whether a phrase holds the end of a line that is not merely wrapped: the next one begins with a capital."""
    ends = (found.start() + at for at, sign in enumerate(found[0]) if sign == "\n")
    return any(not text[at + 1 : at + 2].islower() for at in ends)


def _states_first(text: str, block: Block, at: int) -> bool:
    """Tell whether what stands before ", please" is a sentence of its own: only "please" joins the order to it."""
    start = max((begin for begin, _ in sentences_of(text, block.start, at)), default=block.start)
    clause = re.sub(r"^[\W_]+", "", text[start:at])
    last = clause.rstrip(", ").rsplit(",", 1)[-1].strip()
    return not (_SUBORDINATE.match(clause) or _SUBORDINATE.match(last) or is_order(clause))


def takes_capital(structure: Structure, at: int) -> bool:
    """Tell whether the word at ``at`` can begin a sentence with a capital: a name such as x or a path cannot."""
    word = re.match(r"[a-z]+", structure.text[at : at + 40])
    if word is None or structure.cover.first_in(at, at + 1) is not None:
        return False
    following = structure.text[at + len(word[0]) : at + len(word[0]) + 1]
    return (len(word[0]) > 1 or word[0] in "ai") and not (following.isalnum() or following in ("_", "=", "("))


def without_gap(text: str, block: Block, start: int, end: int) -> tuple[int, int]:
    """Widen what is taken out so that no gap is left: the blanks behind it, or before it at the end of a line."""
    behind = end
    while behind < block.end and text[behind] in " \t":
        behind += 1
    if behind < block.end and text[behind] != "\n":
        return start, behind
    before = start
    while before > block.start and text[before - 1] in " \t":
        before -= 1
    if before > block.start and text[before - 1] != "\n":
        return before, behind
    if behind < block.end:  # a line of its own inside a paragraph
        return before, behind + 1
    if before > block.start:
        return before - 1, behind
    if block.kind == "paragraph" and before == block.start:  # the whole paragraph: its line goes too
        line = text.rfind("\n", 0, before) + 1
        if not text[line:before].strip() and text[behind : behind + 1] == "\n":
            return line, behind + 1
    return before, behind


class PoliteEnglish(Phrases):
    id = "polite-en"
    description = "politeness that a model does not need (please, could you, thanks)"
    severity = "safe"
    phrases = english.POLITE


class PoliteChinese(Phrases):
    id = "polite-zh"
    description = "Chinese politeness: 请你帮我, 麻烦你, 能否, 非常感谢 …"
    severity = "safe"
    phrases = chinese.POLITE
    is_chinese = True


class FillerEnglish(Phrases):
    id = "filler-en"
    description = "words around an instruction: it is important to note that, as mentioned above, thanks, good luck"
    severity = "safe"
    phrases = english.FILLER


class FillerChinese(Phrases):
    id = "filler-zh"
    description = "Chinese set phrases: 需要注意的是, 众所周知, 相信你一定能做好 …"
    severity = "safe"
    phrases = chinese.FILLER
    is_chinese = True


class ShorterEnglish(Phrases):
    id = "shorter-en"
    description = "a long phrase for which there is a short word"
    severity = "safe"
    phrases = english.SHORTER


class ShorterChinese(Phrases):
    id = "shorter-zh"
    description = "Chinese long phrases: 进行分析, 总结一下, 在…的情况下 …"
    severity = "safe"
    phrases = chinese.SHORTER
    is_chinese = True


class Hedges(Phrases):
    id = "hedge"
    description = "words that soften or strengthen without changing what is asked"
    severity = "check"
    phrases = english.HEDGES


class HedgesChinese(Phrases):
    id = "hedge-zh"
    description = "Chinese hedges: 我觉得, 一般来说 …"
    severity = "check"
    phrases = chinese.HEDGES
    is_chinese = True


class Preambles(Phrases):
    id = "preamble"
    description = "role play without a role: You are a helpful assistant."
    severity = "check"
    phrases = english.PREAMBLES


class PreamblesChinese(Phrases):
    id = "preamble-zh"
    description = "Chinese role play without a role: 你是一个有用的助手。"
    severity = "check"
    phrases = chinese.PREAMBLES
    is_chinese = True


class Manner(TrimRule):
    """``in a clear and concise manner`` → ``clearly and concisely``."""

    id = "manner"
    description = "in a … manner: the adverb says it"
    severity = "safe"
    _pattern: ClassVar[re.Pattern[str]] = re.compile(rf"\b{english.MANNER}", re.IGNORECASE)

    def find(self, structure: Structure) -> Iterator[Proposal]:
        for block in structure.prose:
            for found in self._pattern.finditer(structure.text, block.start, block.end):
                after = re.sub(
                    r"[A-Za-z]+", lambda word: word[0] if word[0] == "and" else _adverb(word[0]), found["all"]
                )
                if found[0][0].isupper():
                    after = after[0].upper() + after[1:]
                yield Proposal(*found.span(), after)


def _adverb(word: str) -> str:
    return f"{word[:-2]}ly" if word.endswith("le") else f"{word}ly"


class Topics(TrimRule):
    """``In terms of language, answer in the language of the user``: the topic is named again, so it need not open."""

    id = "topic-en"
    description = "an opening that names what the sentence names again"
    severity = "safe"
    _topic: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:in terms of|when it comes to|with regards? to|in regards? to|as far as|regarding|as for|concerning"
        r"|on the subject of|in the case of)"
        r"[ ](?:the |your |its )?(?P<what>[\w-]+(?: [\w-]+){0,2})(?: (?:is|are) concerned)?,[ ]",
        re.IGNORECASE,
    )
    _role: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:in your (?:role|capacity|position|function) as(?: an?| the)?|as(?: an?| the| our| my| your))"
        r" (?P<what>[\w-]+(?: [\w-]+){0,3}),[ ](?P<you>you will )?",
        re.IGNORECASE,
    )

    def find(self, structure: Structure) -> Iterator[Proposal]:
        text = structure.text
        for block in structure.prose:
            for at in Starts(text, block.start, block.end).clauses:
                found = self._topic.match(text, at, block.end)
                if found is not None:
                    end = next((stop for start, stop in sentences_of(text, at, block.end)), block.end)
                    if not _named(found["what"], text[found.end() : end]):
                        continue
                else:
                    found = self._role.match(text, at, block.end)
                    if found is None or not self._is_role(structure, block, found):
                        continue
                yield _with_capital(structure, found.start(), found.end())

    @staticmethod
    def _is_role(structure: Structure, block: Block, found: re.Match[str]) -> bool:
        text = structure.text
        before = text[structure.messages[block.message][0] : found.start()]
        is_named = _named(found["what"], before)
        if found["you"] is None:
            following = text[found.end() : found.end() + 80]
            stem = re.escape(found["what"].rsplit(maxsplit=1)[-1].lower()[:6])
            is_told = re.search(rf"\b(?:you|act as)\b.*\b{stem}", before, re.IGNORECASE | re.DOTALL) is not None
            return (is_named or is_told) and is_order(following)
        return is_named and is_order(text[found.end() : found.end() + 80])


def _named(what: str, text: str) -> bool:
    """Tell whether the last word of ``what`` stands in a text, in the singular or plural."""
    stem = re.escape(what.rsplit(maxsplit=1)[-1].lower().rstrip("s"))
    return re.search(rf"\b{stem}(?:s|es)?\b", text, re.IGNORECASE) is not None


def _with_capital(structure: Structure, start: int, end: int) -> Proposal:
    """Return the proposal that takes out the beginning of a sentence and hands on its capital."""
    if structure.text[start].isupper() and takes_capital(structure, end):
        return Proposal(start, end + 1, structure.text[end].upper())
    return Proposal(start, end, "")


PHRASE_RULES: Sequence[type[TrimRule]] = (
    FillerEnglish, FillerChinese, PoliteEnglish, PoliteChinese, Topics, Manner, ShorterEnglish, ShorterChinese,
)  # fmt: skip
"""The safe ones, in the order in which they are asked."""
